// Gives a tree one value of an extended attribute (a security label). Every file is held by a
// descriptor that names it and nothing else (O_PATH, O_NOFOLLOW): whoever may change names in the
// tree meanwhile can lead the walk nowhere else.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

// As deep as a path of the kernel's can be; a level needs a descriptor.
#define LABEL_DEPTH_MAX 2048
#define LABEL_BYTES_MAX 4096
// Beside those of the walk.
#define DESCRIPTORS_OTHER 64

struct labelling {
  struct run *run;
  const char *name;
  const void *value;
  size_t bytes;
};

// A file system without labels is left as it is.
static bool is_unlabelled(int error) { return error == -EOPNOTSUPP; }

// Apart from what calls itself for each level: the room for a label is on the stack.
__attribute__((noinline)) static int label_one(const struct labelling *l, int fd) {
  char at[40], now[LABEL_BYTES_MAX];
  snprintf(at, sizeof at, "/proc/self/fd/%d", fd);
  // Files that have it are not written to: they may be on a file system that is read-only.
  ssize_t n = getxattr(at, l->name, now, sizeof now);
  if (n == (ssize_t)l->bytes && !memcmp(now, l->value, l->bytes)) return 0;
  return setxattr(at, l->name, l->value, l->bytes, 0) ? -errno : 0;
}

static int label_beneath(const struct labelling *l, int fd, int depth);

static int label_item(const struct labelling *l, int parent, const char *name, int depth) {
  if (run_interrupt_errno) return -run_interrupt_errno;
  struct stat st;
  AUTO_CLOSE int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -errno;  // deleted meanwhile
  if (fstat(fd, &st)) return -errno;
  int error = label_one(l, fd);
  if (error && !is_unlabelled(error)) return error == -ENOENT ? 0 : error;
  return S_ISDIR(st.st_mode) ? label_beneath(l, fd, depth + 1) : 0;
}

static int label_beneath(const struct labelling *l, int fd, int depth) {
  if (depth > LABEL_DEPTH_MAX) return -ENAMETOOLONG;
  int folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno == ENOENT ? 0 : -errno;
  DIR *entries = fdopendir(folder);
  if (!entries) {
    int error = -errno;
    close(folder);
    return error;
  }
  int error = 0;
  struct dirent *entry;
  while (!error && (entry = readdir(entries))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    error = label_item(l, folder, entry->d_name, depth);
    if (error && !l->run->text[0]) run_fail(l->run, error, "%.200s", entry->d_name);
  }
  closedir(entries);
  return error;
}

// Two a level: the folder that is named, and that which is read.
static void allow_descriptors(void) {
  struct rlimit limit;
  rlim_t wanted = 2 * LABEL_DEPTH_MAX + DESCRIPTORS_OTHER;
  if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int op_relabel_tree(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_RELABEL_TREE_PATH].ptr;
  const struct labelling l = {.run = r,
                              .name = f[A_RELABEL_TREE_NAME].ptr,
                              .value = f[A_RELABEL_TREE_VALUE].ptr,
                              .bytes = f[A_RELABEL_TREE_VALUE].len};
  // Whoever asks has followed the links: one that is there now was put there since.
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
  AUTO_CLOSE int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return run_fail(r, -errno, "%s", path);
  allow_descriptors();
  int error = label_one(&l, fd);
  if (is_unlabelled(error)) return 0;
  if (!error && S_ISDIR(st.st_mode)) error = label_beneath(&l, fd, 0);
  if (error && !r->text[0]) run_fail(r, error, "%s", path);
  return error;
}

// Deletes a tree without following links or leaving its file system, however deep it is: folders
// beyond a fixed depth are moved up, so that neither stack nor descriptors grow with it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define TREE_DEPTH_MAX 128

struct removal {
  dev_t device;
  int top;          // where folders too deep for one descriptor a level are moved to
  uint32_t moved;
};

static int remove_beneath(struct removal *r, int parent, const char *name, int depth);

// Empties the folder `fd`, which is closed.
static int remove_entries(struct removal *r, int fd, int depth) {
  struct stat st;
  DIR *entries = fdopendir(fd);
  if (!entries || fstat(fd, &st)) {
    int error = -errno;
    if (entries) closedir(entries);
    else close(fd);
    return error;
  }
  int error = st.st_dev == r->device ? 0 : -EXDEV;
  struct dirent *entry;
  while (!error && (entry = readdir(entries))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    error = run_interrupt_errno ? -run_interrupt_errno
                                : remove_beneath(r, fd, entry->d_name, depth + 1);
  }
  closedir(entries);
  return error;
}

static int remove_beneath(struct removal *r, int parent, const char *name, int depth) {
  if (unlinkat(parent, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return -errno;
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0) return 0;
  if (errno != ENOTEMPTY && errno != EEXIST) return -errno;
  if (depth > TREE_DEPTH_MAX) {
    char place[32];
    snprintf(place, sizeof place, ".removed-%d-%u", getpid(), r->moved++);
    return renameat2(parent, name, r->top, place, RENAME_NOREPLACE) ? -errno : 0;
  }
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = remove_entries(r, fd, depth);
  if (error) return error;
  return unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
}

static int remove_tree(int parent, const char *name) {
  struct stat st;
  if (unlinkat(parent, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return -errno;
  AUTO_CLOSE int top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (top < 0 || fstat(top, &st)) return -errno;
  struct removal r = {.device = st.st_dev, .top = top};
  // Once more for what was moved up meanwhile.
  for (;;) {
    uint32_t before = r.moved;
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 ? -errno : remove_entries(&r, fd, 0);
    if (error) return error;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0) return 0;
    if ((errno != ENOTEMPTY && errno != EEXIST) || r.moved == before) return -errno;
  }
}

int op_remove_tree(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_REMOVE_TREE_PATH].ptr, *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_REMOVE_TREE_ROOT], path, &name);
  int error = parent < 0 ? parent : remove_tree(parent, name);
  if (error == -ENOENT && f[A_REMOVE_TREE_MISSING_OK].num) return 0;
  return error ? run_fail(r, error, "%s", path) : 0;
}

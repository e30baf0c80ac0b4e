// Operations on whole trees: copy (volume copy-up), size, folders and mount points that are left,
// and the stat of one path.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive.h"

// ---- copyTree

struct copier {
  struct run *run;
  struct links links;
  int to_root;  // of the copy, for hard links
  int64_t entries, bytes;
};

static int copy_xattrs(int from, const char *from_name, int to, const char *to_name) {
  char *list = NULL;
  ssize_t n = list_xattrs(from, from_name, &list);
  int error = n < 0 ? (int)n : 0;
  for (ssize_t at = 0; error == 0 && at < n; at += (ssize_t)strlen(list + at) + 1) {
    const char *key = list + at;
    if (!xattr_travels(key)) continue;
    char *value = NULL;
    ssize_t length = get_xattr(from, from_name, key, &value);
    int done = 0;
    if (length >= 0) {
      size_t bytes = (size_t)length;
      if (to_name == NULL) done = fsetxattr(to, key, value, bytes, 0);
      else done = fchdir(to) < 0 ? -1 : lsetxattr(to_name, key, value, bytes, 0);
    }
    if (done < 0 && errno != EOPNOTSUPP) error = -errno;
    free(value);
  }
  free(list);
  return error;
}

static int copy_bytes(int from, int to, off_t start, off_t end) {
  char buffer[65536];
  if (lseek(to, start, SEEK_SET) < 0) return -errno;
  while (start < end) {
    size_t want = end - start < (off_t)sizeof buffer ? (size_t)(end - start) : sizeof buffer;
    ssize_t got = pread(from, buffer, want, start);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) break;
    int error = write_all(to, buffer, (size_t)got);
    if (error < 0) return error;
    start += got;
  }
  return 0;
}

// Copies extent by extent, so that holes stay holes.
static int copy_data(int from, int to, off_t size) {
  off_t at = 0;
  while (at < size) {
    off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) data = at;
    off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0 || hole > size) hole = size;
    int error = copy_bytes(from, to, data, hole);
    if (error < 0) return error;
    at = hole;
  }
  return ftruncate(to, size) < 0 ? -errno : 0;
}

// Owner first (it clears setuid bits and capabilities), then mode, attributes, times.
static int copy_metadata(int from, int to, const struct stat *st) {
  if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0) return -errno;
  int error = copy_xattrs(from, NULL, to, NULL);
  struct timespec times[2] = {st->st_atim, st->st_mtim};
  return error < 0 ? error : futimens(to, times) < 0 ? -errno : 0;
}

static int copy_file(struct copier *c, int from, int to, const char *name, const char *path) {
  AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  if (in < 0 || fstat(in, &st) < 0) return -errno;
  if (!S_ISREG(st.st_mode)) return -ESTALE;
  int error = 0;
  const char *first = st.st_nlink > 1 ? links_note(&c->links, &st, path, &error) : NULL;
  if (error < 0) return error;
  if (first != NULL) {
    const char *slash = strrchr(first, '/');
    char *folder = strndup(first, slash == NULL ? 0 : (size_t)(slash - first));
    if (folder == NULL) return -ENOMEM;
    AUTO_CLOSE int parent = open_beneath(c->to_root, folder, O_PATH | O_DIRECTORY, false);
    free(folder);
    if (parent < 0) return parent;
    return linkat(parent, slash == NULL ? first : slash + 1, to, name, 0) < 0 ? -errno : 0;
  }
  AUTO_CLOSE int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (out < 0) return -errno;
  error = copy_data(in, out, st.st_size);
  c->bytes += st.st_size;
  return error < 0 ? error : copy_metadata(in, out, &st);
}

static int copy_special(int from, int to, const char *name, const struct stat *st) {
  char target[4097];
  int done;
  if (S_ISLNK(st->st_mode)) {
    ssize_t n = readlinkat(from, name, target, sizeof target - 1);
    if (n < 0) return -errno;
    target[n] = '\0';
    done = symlinkat(target, to, name);
  } else {
    done = mknodat(to, name, st->st_mode, st->st_rdev);
  }
  if (done < 0) return -errno;
  if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  int error = copy_xattrs(from, name, to, name);
  struct timespec times[2] = {st->st_atim, st->st_mtim};
  return error < 0 ? error : utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_children(struct copier *c, int from, int to, const char *path);

static int copy_folder(struct copier *c, int from, int to, const char *name, const char *path) {
  AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (in < 0 || fstat(in, &st) < 0) return -errno;
  if (mkdirat(to, name, 0700) < 0 && errno != EEXIST) return -errno;
  AUTO_CLOSE int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (out < 0) return -errno;
  int error = copy_children(c, in, out, path);
  return error < 0 ? error : copy_metadata(in, out, &st);
}

static int copy_item(struct copier *c, int from, int to, const char *name, const char *path) {
  struct stat st;
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  c->entries++;
  if (S_ISDIR(st.st_mode)) return copy_folder(c, from, to, name, path);
  if (S_ISREG(st.st_mode)) return copy_file(c, from, to, name, path);
  return copy_special(from, to, name, &st);
}

static int copy_children(struct copier *c, int from, int to, const char *path) {
  char **names;
  size_t count;
  int error = read_names(from, &names, &count);
  for (size_t i = 0; error == 0 && i < count; i++) {
    char *next;
    if (asprintf(&next, "%s%s%s", path, *path == '\0' ? "" : "/", names[i]) < 0) {
      error = -ENOMEM;
      break;
    }
    error = copy_item(c, from, to, names[i], next);
    if (error == -ENOENT) error = 0;  // deleted meanwhile
    if (error < 0 && c->run->text[0] == '\0') run_fail(c->run, error, "copy %.200s", next);
    free(next);
  }
  free_names(names, count);
  return error;
}

static int folder_is_empty(int fd) {
  char **names;
  size_t count;
  int error = read_names(fd, &names, &count);
  free_names(names, count);
  return error < 0 ? error : count == 0;
}

int op_copy_tree(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  struct copier c = {.run = r};
  AUTO_CLOSE int from = run_open(r, &f[0], f[1].ptr, O_RDONLY | O_DIRECTORY, 0);
  if (from < 0) return run_fail(r, from, "open %.200s", f[1].ptr);
  AUTO_CLOSE int to = run_open(r, &f[2], f[3].ptr, O_RDONLY | O_DIRECTORY, 0);
  if (to < 0) return run_fail(r, to, "open %.200s", f[3].ptr);
  int error = f[4].num & ARCHIVE_IF_EMPTY ? folder_is_empty(to) : 1;
  struct stat st;
  mode_t mask = umask(0);
  if (error == 1) {
    c.to_root = to;
    error = copy_children(&c, from, to, "");
    if (error == 0) error = fstat(from, &st) < 0 ? -errno : copy_metadata(from, to, &st);
  }
  umask(mask);
  links_free(&c.links);
  int64_t result[2] = {c.entries, c.bytes};
  return error < 0 ? error : run_result(r, result, sizeof result);
}

// ---- treeSize

struct meter {
  struct links seen;
  int64_t bytes, inodes;
};

static int measure(struct meter *m, int fd) {
  char **names;
  size_t count;
  int error = read_names(fd, &names, &count);
  for (size_t i = 0; error == 0 && i < count; i++) {
    struct stat st;
    if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
      error = errno == ENOENT ? 0 : -errno;
      continue;
    }
    if (st.st_nlink > 1 && !S_ISDIR(st.st_mode) && links_note(&m->seen, &st, "", &error) != NULL) {
      continue;
    }
    m->inodes++;
    if (!S_ISDIR(st.st_mode)) {
      m->bytes += S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ? st.st_size : 0;
      continue;
    }
    AUTO_CLOSE int child = openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    error = child >= 0 ? measure(m, child) : errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
  }
  free_names(names, count);
  return error;
}

int op_tree_size(struct run *r, const struct op *o) {
  struct meter m = {.inodes = 1};
  const char *path = o->fields[1].len == 0 ? "." : o->fields[1].ptr;
  AUTO_CLOSE int fd = run_open(r, &o->fields[0], path, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return run_fail(r, fd, "open %.200s", path);
  int error = measure(&m, fd);
  links_free(&m.seen);
  int64_t result[2] = {m.bytes, m.inodes};
  return error < 0 ? error : run_result(r, result, sizeof result);
}

// ---- dropPoints

static void drop_point(struct run *r, const struct field *root, const char *path) {
  const char *name;
  struct stat st;
  AUTO_CLOSE int parent = run_open_parent(r, root, path, &name);
  if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return;
  if (S_ISDIR(st.st_mode)) unlinkat(parent, name, AT_REMOVEDIR);  // one that is used stays
  else if (S_ISREG(st.st_mode) && st.st_size == 0) unlinkat(parent, name, 0);
}

// A folder that is empty and as it was below is there only because a point was made in it.
static bool drop_folder(struct run *r, const struct field *f, const char *folder) {
  struct stat st, below;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[0], folder, &name);
  if (parent < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return false;
  int base = f[1].num == NO_SLOT ? -1 : run_fd(r, &f[1]);
  AUTO_CLOSE int fd = base < 0 ? -1 : open_beneath(base, folder, O_PATH | O_NOFOLLOW, false);
  bool known = fd >= 0 && fstat(fd, &below) == 0;
  bool same = known && st.st_mode == below.st_mode && st.st_uid == below.st_uid &&
              st.st_gid == below.st_gid;
  return S_ISDIR(st.st_mode) && (!known || same) && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

// The folders above a point: the ones that go have changed the ones above them, too.
static void drop_folders(struct run *r, const struct field *f, const char *path) {
  char folder[PATH_MAX];
  size_t n = strlen(path);
  if (n >= sizeof folder) return;
  memcpy(folder, path, n + 1);
  for (char *slash; (slash = strrchr(folder, '/')) != NULL && slash > folder;) {
    *slash = '\0';
    if (!drop_folder(r, f, folder)) return;
  }
}

int op_drop_points(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  uint32_t length;
  const char *cursor = f[2].ptr;
  for (uint32_t i = 0; i < f[2].count; i++) drop_point(r, &f[0], next_str(&cursor, &length));
  cursor = f[2].ptr;
  for (uint32_t i = 0; i < f[2].count; i++) drop_folders(r, f, next_str(&cursor, &length));
  r->text[0] = '\0';
  return 0;
}

// ---- spreadFolders

// ext4 looks for a free inode near the folder, and passes one by one over those that were deleted
// within the last minutes: after a removal, each new file costs 0.2 ms. Folders of a "top" folder
// are spread over the disk instead.
int op_spread_folders(struct run *r, const struct op *o) {
  const char *path = o->fields[0].ptr;
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return run_fail(r, -errno, "open %.200s", path);
  int flags = 0;
  int64_t done = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
  if (done && !(flags & FS_TOPDIR_FL)) {
    flags |= FS_TOPDIR_FL;
    done = ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
  }
  return run_result(r, &done, sizeof done);
}

// ---- statPath

int op_stat_path(struct run *r, const struct op *o) {
  const char *path = o->fields[1].ptr;
  bool follow = o->fields[2].num;
  AUTO_CLOSE int fd = run_open(r, &o->fields[0], path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
  if (fd < 0) return run_fail(r, fd, "lstat %.200s", path);
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (is_kernel_fs(fd) && !is_mount_root(fd)) return run_fail(r, -ENOENT, "lstat %.200s", path);
  int64_t numbers[9] = {(int64_t)st.st_dev, (int64_t)st.st_ino, st.st_mode, st.st_uid, st.st_gid,
                        st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_rdev};
  int error = run_result(r, numbers, sizeof numbers);
  char target[PATH_MAX];
  ssize_t n = S_ISLNK(st.st_mode) ? readlinkat(fd, "", target, sizeof target - 1) : 0;
  if (error < 0 || n < 0) return n < 0 ? -errno : error;
  target[n] = '\0';
  error = run_result(r, target, (size_t)n + 1);
  // A loop of links means nothing.
  if (error == 0) error = resolve_links(run_fd(r, &o->fields[0]), path, target);
  if (error == -ELOOP) return 0;
  return error < 0 ? error : run_result(r, target, strlen(target));
}

// Operations on files. Every path under a container's root is resolved by the kernel inside it
// (openat2, RESOLVE_IN_ROOT), so neither a symlink nor a race leads outside (CVE-2021-30465).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"
#include "paths.h"

#define RESOLVE_TRIES_MAX 64

// A plan's open(2) flags are those of asm-generic/fcntl.h, which x86 has; arm64 has its own.
static int open_flags(const struct field *f) {
  enum { DIRECT = 040000, DIRECTORY = 0200000, NOFOLLOW = 0400000 };
  int flags = (int)f->num;
  return (flags & ~(DIRECT | DIRECTORY | NOFOLLOW)) | (flags & DIRECT ? O_DIRECT : 0) |
         (flags & DIRECTORY ? O_DIRECTORY : 0) | (flags & NOFOLLOW ? O_NOFOLLOW : 0);
}

static int open2(int root, const char *path, int flags, unsigned mode, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
  if (flags & (O_CREAT | O_TMPFILE)) how.mode = mode & 07777;
  for (int i = 0; i < RESOLVE_TRIES_MAX; i++) {
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0) return (int)fd;
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
  return -EAGAIN;
}

int open_in_root(int root, const char *path, int flags, unsigned mode) {
  if (!*path) path = ".";
  return open2(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int run_open(struct run *r, const struct field *root, const char *path, int flags,
             unsigned mode) {
  int base = run_fd(r, root);
  if (base < 0 && base != AT_FDCWD) return base;
  int fd;
  if (base != AT_FDCWD) {
    fd = open_in_root(base, path, flags, mode);
  } else {
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR && !run_interrupt_errno);
    if (fd < 0) fd = -errno;
  }
  if (fd < 0 && !r->text[0]) run_fail(r, fd, "%s", path);
  return fd;
}

// Cuts trailing slashes and the last part off; "" is the root or working folder itself.
static int split(const char *path, char *folder, size_t size, const char **name) {
  size_t length = strlen(path);
  if (length >= size) return -ENAMETOOLONG;
  memcpy(folder, path, length + 1);
  while (length > 1 && folder[length - 1] == '/') folder[--length] = 0;
  char *slash = strrchr(folder, '/');
  *name = path + (slash ? slash - folder + 1 : 0);
  if (!slash) folder[0] = 0;
  else slash[slash == folder ? 1 : 0] = 0;
  return 0;
}

int run_open_parent(struct run *r, const struct field *root, const char *path,
                    const char **name) {
  static char last[NAME_MAX + 2];
  char folder[PATH_MAX];
  int error = split(path, folder, sizeof folder, name);
  if (error) return error;
  // The name without trailing slashes: what *at(2) calls want.
  size_t length = strcspn(*name, "/");
  if (length > NAME_MAX) return -ENAMETOOLONG;
  memcpy(last, *name, length);
  last[length] = 0;
  *name = last;
  if (length == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
    return run_fail(r, -EINVAL, "%s names no entry", path);
  int fd = run_open(r, root, *folder ? folder : ".", O_PATH | O_DIRECTORY, 0);
  return fd < 0 ? run_fail(r, fd, "%s", path) : fd;
}

static int make_step(int root, const char *path, const struct new_folder *how, int depth);

// A dangling symlink on the way: makes the folder that it names.
static int make_behind_link(int root, int parent, const char *folder, const char *name,
                            const struct new_folder *how, int depth) {
  char link[PATH_MAX], path[PATH_MAX];
  ssize_t n = readlinkat(parent, name, link, sizeof link - 1);
  if (n < 0) return -ENOTDIR;
  link[n] = 0;
  int length = link[0] == '/' ? snprintf(path, sizeof path, "%s", link)
                              : snprintf(path, sizeof path, "%s/%s", folder, link);
  if (length < 0 || (size_t)length >= sizeof path) return -ENAMETOOLONG;
  return make_step(root, path, how, depth + 1);
}

static int make_step(int root, const char *path, const struct new_folder *how, int depth) {
  if (depth > 16) return -ELOOP;
  int fd = open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
  if (fd != -ENOENT) return fd;
  char folder[PATH_MAX];
  const char *tail;
  int error = split(path, folder, sizeof folder, &tail);
  if (error) return error;
  char name[NAME_MAX + 1];
  size_t length = strcspn(tail, "/");
  if (length > NAME_MAX) return -ENAMETOOLONG;
  memcpy(name, tail, length);
  name[length] = 0;
  if (length == 0 || strcmp(name, "..") == 0) return -ENOENT;
  AUTO_CLOSE int parent = make_step(root, *folder ? folder : "/", how, depth);
  if (parent < 0 || strcmp(name, ".") == 0) {
    int result = parent;
    parent = -1;
    return result;
  }
  if (mkdirat(parent, name, how->mode)) {
    if (errno != EEXIST) return -errno;
    fd = open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
    return fd == -ENOENT ? make_behind_link(root, parent, folder, name, how, depth) : fd;
  }
  if ((how->uid || how->gid) &&
      fchownat(parent, name, how->uid, how->gid, AT_SYMLINK_NOFOLLOW))
    return -errno;
  fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int make_folders(int root, const char *path, const struct new_folder *how) {
  if (root == AT_FDCWD) {
    AUTO_CLOSE int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (slash < 0) return -errno;
    return make_step(slash, path, how, 0);
  }
  return make_step(root, path, how, 0);
}

int make_file(int root, const char *path, unsigned mode, const struct new_folder *folders) {
  char folder[PATH_MAX];
  const char *name;
  int error = split(path, folder, sizeof folder, &name);
  if (error) return error;
  AUTO_CLOSE int parent = make_folders(root, *folder ? folder : "/", folders);
  if (parent < 0) return parent;
  // O_EXCL is not used: a dangling symlink's target is made, inside the root.
  AUTO_CLOSE int slash = root == AT_FDCWD ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  AUTO_CLOSE int fd = open_in_root(slash >= 0 ? slash : root, path,
                                   O_CREAT | O_WRONLY | O_NONBLOCK | O_NOCTTY, mode);
  return fd < 0 && fd != -ENXIO ? fd : 0;
}

int op_mkdir(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_MKDIR_ROOT], f[A_MKDIR_PATH].ptr, &name);
  if (parent < 0) return parent;
  if (mkdirat(parent, name, (mode_t)f[A_MKDIR_MODE].num) == 0) return 0;
  if (errno == EEXIST && f[A_MKDIR_EXIST_OK].num) return 0;
  return run_fail(r, -errno, "%s", f[A_MKDIR_PATH].ptr);
}

int op_mkdirs(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int root = run_fd(r, &f[A_MKDIRS_ROOT]);
  if (root < 0 && root != AT_FDCWD) return root;
  struct new_folder how = {(mode_t)f[A_MKDIRS_MODE].num, (uid_t)f[A_MKDIRS_UID].num,
                           (gid_t)f[A_MKDIRS_GID].num};
  AUTO_CLOSE int fd = make_folders(root, f[A_MKDIRS_PATH].ptr, &how);
  return fd < 0 ? run_fail(r, fd, "%s", f[A_MKDIRS_PATH].ptr) : 0;
}

int op_touch(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  AUTO_CLOSE int fd = run_open(r, &f[A_TOUCH_ROOT], f[A_TOUCH_PATH].ptr, O_PATH, 0);
  if (fd >= 0) return 0;
  if (fd != -ENOENT) return fd;
  fd = run_open(r, &f[A_TOUCH_ROOT], f[A_TOUCH_PATH].ptr,
                O_CREAT | O_WRONLY | O_NONBLOCK | O_NOCTTY, (unsigned)f[A_TOUCH_MODE].num);
  return fd < 0 ? fd : 0;
}

static int write_once(struct run *r, int fd, const char *path, const void *data, size_t length) {
  ssize_t n;
  do n = write(fd, data, length);
  while (n < 0 && errno == EINTR && !run_interrupt_errno);
  if (n < 0) return run_fail(r, -errno, "%s", path);
  if ((size_t)n != length) return run_fail(r, -EIO, "%s: short write", path);
  return 0;
}

// The path after "/proc/" (also of a root), or NULL.
static const char *beneath_proc(const char *path) {
  while (*path == '/') path++;
  if (strncmp(path, "proc/", 5)) return NULL;
  path += 5;
  while (*path == '/') path++;
  return path;
}

// Writes to /proc only ever reach a real, untouched procfs: its root is procfs' own root inode and
// no mount (a bind of another procfs file, CVE-2025-52881) is crossed on the way.
static int open_proc(int root, const char *rest, int flags) {
  AUTO_CLOSE int proc = root == AT_FDCWD
                            ? open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)
                            : open_in_root(root, "/proc", O_PATH | O_DIRECTORY, 0);
  if (proc < 0) return root == AT_FDCWD ? -errno : proc;
  struct statfs fs;
  struct stat st;
  if (fstatfs(proc, &fs) || fstat(proc, &st)) return -errno;
  if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != 1) return -EXDEV;
  return open2(proc, rest, flags, 0,
               RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
}

int op_write(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_WRITE_PATH].ptr;
  const struct field *data = &f[A_WRITE_DATA];
  int flags = open_flags(&f[A_WRITE_FLAGS]) | O_WRONLY;
  const char *rest = beneath_proc(path);
  AUTO_CLOSE int fd = -1;
  if (rest) {
    int root = run_fd(r, &f[A_WRITE_ROOT]);
    if (root < 0 && root != AT_FDCWD) return root;
    fd = open_proc(root, rest, flags & ~(O_CREAT | O_TRUNC));
    if (fd < 0) return run_fail(r, fd, "%s", path);
  } else {
    fd = run_open(r, &f[A_WRITE_ROOT], path, flags, (unsigned)f[A_WRITE_MODE].num);
    if (fd == -ENOENT && f[A_WRITE_OR_PATH].len) {
      path = f[A_WRITE_OR_PATH].ptr;
      data = &f[A_WRITE_OR_DATA];
      fd = run_open(r, &f[A_WRITE_ROOT], path, flags, (unsigned)f[A_WRITE_MODE].num);
    }
    if (fd == -ENOENT && f[A_WRITE_MISSING_OK].num) return 0;
    if (fd < 0) return fd;
  }
  return write_once(r, fd, path, data->ptr, data->len);
}

int op_write_slot(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int64_t slot = f[A_WRITE_SLOT_SLOT].num;
  if (slot < 0 || r->slot[slot] < 0) return run_fail(r, -EBADF, "slot %d is empty", (int)slot);
  AUTO_CLOSE int fd =
      run_open(r, &f[A_WRITE_SLOT_ROOT], f[A_WRITE_SLOT_PATH].ptr, O_WRONLY, 0);
  if (fd < 0) return fd;
  char text[24];
  int length = snprintf(text, sizeof text, "%lld", (long long)r->slot[slot]);
  return write_once(r, fd, f[A_WRITE_SLOT_PATH].ptr, text, (size_t)length);
}

static int open_pid_file(struct run *r, const struct field *pid, const char *file, int flags) {
  char rest[PATH_MAX];
  int64_t number = pid->num < 0 ? 0 : r->slot[pid->num];
  if (number < 0) return run_fail(r, -ESRCH, "slot %d holds no pid", (int)pid->num);
  int n = number == 0 ? snprintf(rest, sizeof rest, "self/%s", file)
                      : snprintf(rest, sizeof rest, "%lld/%s", (long long)number, file);
  if (n < 0 || (size_t)n >= sizeof rest) return -ENAMETOOLONG;
  // Namespace files are magic links by nature; everything else is not allowed to be one.
  if (strncmp(file, "ns/", 3) == 0 || strcmp(file, "root") == 0 || strcmp(file, "exe") == 0) {
    AUTO_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = proc < 0 ? -errno : open2(proc, rest, flags, 0, 0);
    return fd < 0 ? run_fail(r, fd, "/proc/%s", rest) : fd;
  }
  int fd = open_proc(AT_FDCWD, rest, flags);
  return fd < 0 ? run_fail(r, fd, "/proc/%s", rest) : fd;
}

int op_write_proc(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  AUTO_CLOSE int fd =
      open_pid_file(r, &f[A_WRITE_PROC_PID], f[A_WRITE_PROC_FILE].ptr, O_WRONLY);
  if (fd < 0) return fd;
  return write_once(r, fd, f[A_WRITE_PROC_FILE].ptr, f[A_WRITE_PROC_DATA].ptr,
                    f[A_WRITE_PROC_DATA].len);
}

int op_open(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int fd = run_open(r, &f[A_OPEN_ROOT], f[A_OPEN_PATH].ptr, open_flags(&f[A_OPEN_FLAGS]),
                    (unsigned)f[A_OPEN_MODE].num);
  if (fd == -ENOENT && f[A_OPEN_OPTIONAL].num) return run_store(r, &f[A_OPEN_TO], -1);
  return fd < 0 ? fd : run_store(r, &f[A_OPEN_TO], fd);
}

int op_open_proc(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int fd = open_pid_file(r, &f[A_OPEN_PROC_PID], f[A_OPEN_PROC_FILE].ptr,
                         open_flags(&f[A_OPEN_PROC_FLAGS]));
  return fd < 0 ? fd : run_store(r, &f[A_OPEN_PROC_TO], fd);
}

int op_close(struct run *r, const struct op *o) {
  return run_store(r, &o->fields[A_CLOSE_SLOT], -1);
}

int op_symlink(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_SYMLINK_ROOT], f[A_SYMLINK_PATH].ptr, &name);
  if (parent < 0) return parent;
  if (symlinkat(f[A_SYMLINK_TARGET].ptr, parent, name) == 0) return 0;
  if (errno == EEXIST && f[A_SYMLINK_EXIST_OK].num) return 0;
  return run_fail(r, -errno, "%s", f[A_SYMLINK_PATH].ptr);
}

int op_mknod(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_MKNOD_ROOT], f[A_MKNOD_PATH].ptr, &name);
  if (parent < 0) return parent;
  dev_t device = makedev((unsigned)f[A_MKNOD_MAJOR].num, (unsigned)f[A_MKNOD_MINOR].num);
  mode_t mode = (mode_t)f[A_MKNOD_MODE].num;
  if (mknodat(parent, name, mode, device) == 0) return 0;
  struct stat st;
  int error = -errno;
  bool same = error == -EEXIST && f[A_MKNOD_SAME_OK].num &&
              fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
              (st.st_mode & S_IFMT) == (mode & S_IFMT) && (S_ISFIFO(mode) || st.st_rdev == device);
  return same ? 0 : run_fail(r, error, "%s", f[A_MKNOD_PATH].ptr);
}

int op_chown(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int flags = O_PATH | (f[A_CHOWN_NOFOLLOW].num ? O_NOFOLLOW : 0);
  AUTO_CLOSE int opened = -1;
  int fd;
  // An empty path is the slot itself, which may be a pipe.
  if (!*f[A_CHOWN_PATH].ptr) fd = run_fd(r, &f[A_CHOWN_ROOT]);
  else fd = opened = run_open(r, &f[A_CHOWN_ROOT], f[A_CHOWN_PATH].ptr, flags, 0);
  if (fd < 0) return fd;
  if (fchownat(fd, "", (uid_t)f[A_CHOWN_UID].num, (gid_t)f[A_CHOWN_GID].num, AT_EMPTY_PATH))
    return run_fail(r, -errno, "%s", f[A_CHOWN_PATH].ptr);
  return 0;
}

int op_chmod(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_CHMOD_ROOT], f[A_CHMOD_PATH].ptr, &name);
  if (parent < 0) return parent;
  mode_t mode = (mode_t)f[A_CHMOD_MODE].num;
#ifdef SYS_fchmodat2
  long result = syscall(SYS_fchmodat2, parent, name, mode, AT_SYMLINK_NOFOLLOW);
#else
  long result = syscall(452, parent, name, mode, AT_SYMLINK_NOFOLLOW);
#endif
  if (result < 0 && errno == ENOSYS) {
    AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    result = fd < 0 ? -1 : fchmod(fd, mode);
  }
  return result < 0 ? run_fail(r, -errno, "%s", f[A_CHMOD_PATH].ptr) : 0;
}

int op_unlink(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_UNLINK_ROOT], f[A_UNLINK_PATH].ptr, &name);
  int error = parent < 0 ? parent : unlinkat(parent, name, 0) ? -errno : 0;
  if (error == -ENOENT && f[A_UNLINK_MISSING_OK].num) return 0;
  return error ? run_fail(r, error, "%s", f[A_UNLINK_PATH].ptr) : 0;
}

int op_rmdir(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *name;
  AUTO_CLOSE int parent = run_open_parent(r, &f[A_RMDIR_ROOT], f[A_RMDIR_PATH].ptr, &name);
  int error = parent < 0 ? parent : unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
  int64_t waited_us = 0;
  for (int64_t step_us = 200; error == -EBUSY && waited_us < f[A_RMDIR_RETRY_MS].num * 1000;) {
    struct timespec pause = {0, step_us * 1000};
    nanosleep(&pause, NULL);
    waited_us += step_us;
    if (step_us < 50000) step_us *= 2;
    error = unlinkat(parent, name, AT_REMOVEDIR) ? -errno : 0;
    if (run_interrupt_errno) break;
  }
  if (error == -ENOENT && f[A_RMDIR_MISSING_OK].num) return 0;
  return error ? run_fail(r, error, "%s", f[A_RMDIR_PATH].ptr) : 0;
}

int op_rename(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  unsigned flags = f[A_RENAME_EXCHANGE].num ? RENAME_EXCHANGE : 0;
  if (renameat2(AT_FDCWD, f[A_RENAME_FROM].ptr, AT_FDCWD, f[A_RENAME_TO].ptr, flags))
    return run_fail(r, -errno, "%s", f[A_RENAME_FROM].ptr);
  return 0;
}

// Below a root nothing else is ever opened: a container can make a node of any device there, and
// to open one on the host may reset a machine (a watchdog) or wait for ever. Nor are files that the
// kernel answers for, which would take us for the reader (/proc/kmsg).
static int open_regular(struct run *r, const struct field *root, const char *path) {
  int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  if (root->num == NO_SLOT) return run_open(r, root, path, flags, 0);
  AUTO_CLOSE int place = run_open(r, root, path, O_PATH, 0);
  if (place < 0) return place;
  struct stat st;
  struct statfs fs;
  if (fstat(place, &st) || fstatfs(place, &fs)) return -errno;
  bool kernels = fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC;
  if (!S_ISREG(st.st_mode) || kernels)
    return run_fail(r, -EINVAL, "%s is not a regular file", path);
  char own[40];
  snprintf(own, sizeof own, "/proc/self/fd/%d", place);
  int fd = open(own, flags);
  return fd < 0 ? run_fail(r, -errno, "%s", path) : fd;
}

int op_read_file(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  AUTO_CLOSE int fd = open_regular(r, &f[A_READ_FILE_ROOT], f[A_READ_FILE_PATH].ptr);
  if (fd == -ENOENT && f[A_READ_FILE_MISSING_OK].num) return 0;
  if (fd < 0) return fd;
  int64_t total = 0, max = f[A_READ_FILE_MAX].num;
  int error = run_result(r, "", 0);
  while (!error) {
    char chunk[16384];
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0) return run_fail(r, -errno, "%s", f[A_READ_FILE_PATH].ptr);
    if (n == 0) return 0;
    if ((total += n) > max) return run_fail(r, -E2BIG, "%s", f[A_READ_FILE_PATH].ptr);
    error = run_result(r, chunk, (size_t)n);
  }
  return error;
}

int op_assert_filesystem(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_ASSERT_FILESYSTEM_SLOT]);
  if (fd < 0) return -EBADF;
  struct statfs fs;
  if (fstatfs(fd, &fs)) return -errno;
  if ((uint64_t)fs.f_type == (uint64_t)o->fields[A_ASSERT_FILESYSTEM_MAGIC].num) return 0;
  return run_fail(r, -EXDEV, "unexpected file system 0x%llx", (unsigned long long)fs.f_type);
}

int op_assert_inode(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_ASSERT_INODE_SLOT]);
  struct stat st;
  if (fd < 0) return -EBADF;
  if (fstat(fd, &st)) return -errno;
  if (st.st_dev == (dev_t)o->fields[A_ASSERT_INODE_DEVICE].num &&
      st.st_ino == (ino_t)o->fields[A_ASSERT_INODE_INODE].num)
    return 0;
  return run_fail(r, -ESTALE, "the file was replaced");
}

int op_assert_device(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int fd = run_fd(r, &f[A_ASSERT_DEVICE_SLOT]);
  struct stat st;
  if (fd < 0) return -EBADF;
  if (fstat(fd, &st)) return -errno;
  if ((st.st_mode & S_IFMT) == ((mode_t)f[A_ASSERT_DEVICE_MODE].num & S_IFMT) &&
      st.st_rdev == makedev((unsigned)f[A_ASSERT_DEVICE_MAJOR].num,
                            (unsigned)f[A_ASSERT_DEVICE_MINOR].num))
    return 0;
  return run_fail(r, -ENODEV, "not the expected device");
}

int op_stat(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_STAT_SLOT]);
  struct stat st;
  if (fd < 0) return -EBADF;
  if (fstat(fd, &st)) return -errno;
  int64_t values[9] = {(int64_t)st.st_dev,  (int64_t)st.st_ino,  st.st_mode,
                       st.st_uid,           st.st_gid,           st.st_size,
                       st.st_mtim.tv_sec,   st.st_mtim.tv_nsec,  (int64_t)st.st_rdev};
  return run_result(r, values, sizeof values);
}

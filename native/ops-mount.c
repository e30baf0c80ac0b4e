// Mounts are made detached (fsmount, open_tree) and moved to targets that are descriptors, never
// paths that could be swapped meanwhile (CVE-2025-31133, CVE-2025-52565).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"
#include "paths.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

// The kernel's own words about a failed mount, where it has any ("e overlay: …").
static int mount_failed(struct run *r, int context, int error, const char *what) {
  char message[200];
  ssize_t n = read(context, message, sizeof message - 1);
  if (n <= 0) return run_fail(r, error, "%s", what);
  while (n > 0 && message[n - 1] == '\n') n--;
  message[n] = 0;
  return run_fail(r, error, "%s: %s", what, n > 2 && message[1] == ' ' ? message + 2 : message);
}

static int configure(struct run *r, int context, const char *option) {
  const char *equals = strchr(option, '=');
  if (!equals) return fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0) ? -errno : 0;
  char key[64];
  size_t length = (size_t)(equals - option);
  if (length >= sizeof key) return -ENAMETOOLONG;
  memcpy(key, option, length);
  key[length] = 0;
  const char *value = equals + 1;
  bool literal = *value != '@' || value[1] == '@';
  if (*value == '@' && literal) value++;
  if (literal) return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) ? -errno : 0;
  struct field slot = {.kind = F_SLOT, .num = atoi(value + 1)};
  if (slot.num < 0 || slot.num >= SLOTS) return -EBADF;
  int fd = run_fd(r, &slot);
  if (fd < 0) return fd;
  if (fsconfig(context, FSCONFIG_SET_FD, key, NULL, fd) == 0) return 0;
  if (errno != EINVAL && errno != EOPNOTSUPP) return -errno;
  // Before 6.13 overlay takes no descriptors: the same folder by its path in our own /proc.
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return fsconfig(context, FSCONFIG_SET_STRING, key, link, 0) ? -errno : 0;
}

int op_fsmount(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  AUTO_CLOSE int context = fsopen(f[A_FSMOUNT_FSTYPE].ptr, FSOPEN_CLOEXEC);
  if (context < 0) return run_fail(r, -errno, "file system %s", f[A_FSMOUNT_FSTYPE].ptr);
  const char *at = f[A_FSMOUNT_OPTIONS].ptr;
  for (uint32_t i = 0; i < f[A_FSMOUNT_OPTIONS].count; i++) {
    const char *option = next_str(&at, NULL);
    int error = configure(r, context, option);
    if (error) return mount_failed(r, context, error, option);
  }
  if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
    return mount_failed(r, context, -errno, f[A_FSMOUNT_FSTYPE].ptr);
  int fd = fsmount(context, FSMOUNT_CLOEXEC, (unsigned)f[A_FSMOUNT_ATTR].num);
  if (fd < 0) return mount_failed(r, context, -errno, f[A_FSMOUNT_FSTYPE].ptr);
  return run_store(r, &f[A_FSMOUNT_TO], fd);
}

int op_open_tree(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_OPEN_TREE_PATH].ptr;
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  if (f[A_OPEN_TREE_RECURSIVE].num) flags |= AT_RECURSIVE;
  const struct field *base = f[A_OPEN_TREE_SLOT].num == NO_SLOT ? &f[A_OPEN_TREE_ROOT]
                                                                : &f[A_OPEN_TREE_SLOT];
  AUTO_CLOSE int opened = -1;
  int source;
  if (*path) {
    int nofollow = f[A_OPEN_TREE_NOFOLLOW].num ? O_NOFOLLOW : 0;
    source = opened = run_open(r, base, path, O_PATH | nofollow, 0);
  } else {
    source = run_fd(r, base);
  }
  if (source < 0) return source == AT_FDCWD ? -EBADF : source;
  int fd = open_tree(source, "", flags);
  if (fd < 0) return run_fail(r, -errno, "%s", path);
  return run_store(r, &f[A_OPEN_TREE_TO], fd);
}

int op_mount_attr(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int fd = run_fd(r, &f[A_MOUNT_ATTR_SLOT]);
  if (fd < 0) return -EBADF;
  struct mount_attr attr = {
      .attr_set = (uint64_t)f[A_MOUNT_ATTR_SET].num,
      .attr_clr = (uint64_t)f[A_MOUNT_ATTR_CLEAR].num,
      .propagation = (uint64_t)f[A_MOUNT_ATTR_PROPAGATION].num,
  };
  if (f[A_MOUNT_ATTR_USERNS].num != NO_SLOT) {
    int userns = run_fd(r, &f[A_MOUNT_ATTR_USERNS]);
    if (userns < 0) return userns;
    attr.attr_set |= MOUNT_ATTR_IDMAP;
    attr.userns_fd = (uint64_t)userns;
  }
  unsigned flags = AT_EMPTY_PATH | (f[A_MOUNT_ATTR_RECURSIVE].num ? AT_RECURSIVE : 0);
  if (mount_setattr(fd, "", flags, &attr, sizeof attr) == 0) return 0;
  return *f[A_MOUNT_ATTR_OF].ptr ? run_fail(r, -errno, "%s", f[A_MOUNT_ATTR_OF].ptr) : -errno;
}

// A missing target is made inside the root: a folder, or an empty file.
static int open_target(struct run *r, const struct field *root, const char *path,
                       const char *make) {
  int fd = run_open(r, root, path, O_PATH, 0);
  if (fd != -ENOENT || !*make) return fd;
  int base = run_fd(r, root);
  struct new_folder how = {.mode = 0755};
  if (strcmp(make, "dir") == 0) {
    fd = make_folders(base, path, &how);
    return fd < 0 ? run_fail(r, fd, "%s", path) : fd;
  }
  if (strcmp(make, "file")) return run_fail(r, -EINVAL, "make: %s", make);
  int error = make_file(base, path, 0755, &how);
  return error ? run_fail(r, error, "%s", path) : run_open(r, root, path, O_PATH, 0);
}

static int attach(int tree, int target) {
  return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
             ? -errno
             : 0;
}

// A symlink of the image that leads a mount's target into procfs would cover what the runtime
// masks or reads there (CVE-2019-16884, CVE-2023-28642).
static bool strays_into_proc(int target, const char *path) {
  struct statfs fs;
  bool meant = strncmp(path, "/proc", 5) == 0 && (path[5] == 0 || path[5] == '/');
  return !meant && fstatfs(target, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

// A tmpfs over a folder of the image keeps that folder's mode, as users of --tmpfs expect.
static int copy_mode(struct run *r, const struct op *o, int tree) {
  const struct field *f = o->fields;
  AUTO_CLOSE int there = run_open(r, &f[A_MOVE_MOUNT_ROOT], f[A_MOVE_MOUNT_PATH].ptr, O_PATH, 0);
  r->text[0] = 0;
  struct stat st;
  if (there < 0 || fstat(there, &st) || !S_ISDIR(st.st_mode)) return 0;
  AUTO_CLOSE int top = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return top < 0 || fchmod(top, st.st_mode & 07777) ? -errno : 0;
}

// A symlink of the image that leads to its own root: what is put there would never be seen.
static bool is_root(struct run *r, const struct field *root, int target) {
  struct stat a, b;
  int fd = run_fd(r, root);
  return fd >= 0 && fstat(fd, &a) == 0 && fstat(target, &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

int op_move_mount(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_MOVE_MOUNT_PATH].ptr;
  int tree = run_fd(r, &f[A_MOVE_MOUNT_SLOT]);
  if (tree < 0) return -EBADF;
  AUTO_CLOSE int target = -1;
  int place;
  const char *make = f[A_MOVE_MOUNT_MAKE].ptr;
  struct stat st;
  if (strcmp(make, "same") == 0) {
    if (fstat(tree, &st)) return -errno;
    make = S_ISDIR(st.st_mode) ? "dir" : "file";
  }
  if (f[A_MOVE_MOUNT_LIKE_TARGET].num) {
    int error = copy_mode(r, o, tree);
    if (error) return run_fail(r, error, "%s", path);
  }
  if (!*path && f[A_MOVE_MOUNT_ROOT].num != NO_SLOT) {
    place = run_fd(r, &f[A_MOVE_MOUNT_ROOT]);
  } else {
    place = target = open_target(r, &f[A_MOVE_MOUNT_ROOT], path, make);
  }
  if (place < 0) return place;
  if (f[A_MOVE_MOUNT_ROOT].num != NO_SLOT && *path && strays_into_proc(place, path))
    return run_fail(r, -EPERM, "%s leads into /proc", path);
  if (f[A_MOVE_MOUNT_ROOT].num != NO_SLOT && *path && is_root(r, &f[A_MOVE_MOUNT_ROOT], place))
    return run_fail(r, -EPERM, "%s leads to the root", path);
  int error = attach(tree, place);
  return error ? run_fail(r, error, "%s", path) : 0;
}

int op_propagation(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_PROPAGATION_PATH].ptr;
  unsigned long flags = (unsigned long)f[A_PROPAGATION_FLAGS].num;
  if (f[A_PROPAGATION_ROOT].num == NO_SLOT)
    return mount(NULL, path, NULL, flags, NULL) ? run_fail(r, -errno, "%s", path) : 0;
  AUTO_CLOSE int fd = run_open(r, &f[A_PROPAGATION_ROOT], path, O_PATH, 0);
  if (fd < 0) return fd;
  struct mount_attr attr = {.propagation = flags & ~(unsigned long)MS_REC};
  unsigned at = AT_EMPTY_PATH | (flags & MS_REC ? AT_RECURSIVE : 0);
  if (mount_setattr(fd, "", at, &attr, sizeof attr)) return run_fail(r, -errno, "%s", path);
  return 0;
}

int op_mount(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_MOUNT_PATH].ptr, *fstype = f[A_MOUNT_FSTYPE].ptr;
  unsigned long flags = (unsigned long)f[A_MOUNT_FLAGS].num;
  AUTO_CLOSE int target = -1;
  char at[40] = "";
  if (f[A_MOUNT_ROOT].num != NO_SLOT) {
    target = open_target(r, &f[A_MOUNT_ROOT], path, "dir");
    if (target < 0) return target;
    if (strays_into_proc(target, path)) return run_fail(r, -EPERM, "%s leads into /proc", path);
    if (is_root(r, &f[A_MOUNT_ROOT], target))
      return run_fail(r, -EPERM, "%s leads to the root", path);
    snprintf(at, sizeof at, "/proc/self/fd/%d", target);
  }
  if (mount(f[A_MOUNT_SOURCE].ptr, *at ? at : path, fstype, flags, f[A_MOUNT_DATA].ptr))
    return run_fail(r, -errno, "%s on %s", fstype, path);
  return 0;
}

int op_remount(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_REMOUNT_PATH].ptr, *at = f[A_REMOUNT_OPTIONS].ptr;
  AUTO_CLOSE int target = run_open(r, &f[A_REMOUNT_ROOT], path, O_PATH, 0);
  if (target < 0) return target;
  AUTO_CLOSE int context = fspick(target, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
  if (context < 0) return run_fail(r, -errno, "remount of %s", path);
  for (uint32_t i = 0; i < f[A_REMOUNT_OPTIONS].count; i++) {
    const char *option = next_str(&at, NULL);
    int error = configure(r, context, option);
    if (error) return mount_failed(r, context, error, option);
  }
  if (fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0))
    return mount_failed(r, context, -errno, path);
  return 0;
}

int op_set_xattr(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_SET_XATTR_PATH].ptr, *name = f[A_SET_XATTR_NAME].ptr;
  AUTO_CLOSE int place = run_open(r, &f[A_SET_XATTR_ROOT], path, O_PATH, 0);
  if (place < 0) return place;
  char at[40];
  snprintf(at, sizeof at, "/proc/self/fd/%d", place);
  if (setxattr(at, name, f[A_SET_XATTR_VALUE].ptr, f[A_SET_XATTR_VALUE].len, 0))
    return run_fail(r, -errno, "%s of %s", name, path);
  return 0;
}

int op_umount(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  if (umount2(f[A_UMOUNT_PATH].ptr, (int)f[A_UMOUNT_FLAGS].num) == 0) return 0;
  // EINVAL: the path is there, but nothing is mounted on it.
  if (f[A_UMOUNT_MISSING_OK].num && (errno == ENOENT || errno == EINVAL)) return 0;
  return run_fail(r, -errno, "%s", f[A_UMOUNT_PATH].ptr);
}

static int assert_dev_null(struct run *r, int fd) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) return -EBADF;
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) return 0;
  return run_fail(r, -ENODEV, "/dev/null is not the null device");
}

// It is the host's own node: through a mount that is read-only the device can be used as ever,
// but root in a container cannot change its mode, owner or times. Closes the mount when it fails.
static int guard_device(int tree) {
  struct mount_attr attr = {
      .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
      .propagation = MS_PRIVATE,
  };
  if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0) return tree;
  int error = -errno;
  close(tree);
  return error;
}

// A mount can be cloned only from the mount namespace that it is in. A descriptor that the host
// half opened is in the host's: our own copy of that tree has the same device; it is verified too.
static int clone_dev_null(int null) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  int cover = open_tree(null, "", flags);
  if (cover < 0 && errno == EINVAL) {
    AUTO_CLOSE int own = open("/dev/null", O_PATH | O_CLOEXEC);
    cover = own < 0 ? -1 : open_tree(own, "", flags);
  }
  return cover < 0 ? -errno : guard_device(cover);
}

int op_dev_null(struct run *r, const struct op *o) {
  AUTO_CLOSE int tree =
      open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return run_fail(r, -errno, "/dev/null");
  int error = assert_dev_null(r, tree);
  if (error) return error;
  tree = guard_device(tree);
  if (tree < 0) return run_fail(r, tree, "/dev/null");
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", tree);
  int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return fd < 0 ? run_fail(r, -errno, "/dev/null") : run_store(r, &o->fields[A_DEV_NULL_TO], fd);
}

static int empty_folder(void) {
  AUTO_CLOSE int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (context < 0) return -errno;
  if (fsconfig(context, FSCONFIG_SET_STRING, "nr_blocks", "1", 0) ||
      fsconfig(context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) ||
      fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) ||
      fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
    return -errno;
  int fd = fsmount(context, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  return fd < 0 ? -errno : fd;
}

int op_mask_path(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_MASK_PATH_PATH].ptr;
  AUTO_CLOSE int target = run_open(r, &f[A_MASK_PATH_ROOT], path, O_PATH, 0);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  struct stat st;
  if (fstat(target, &st)) return -errno;
  AUTO_CLOSE int cover = -1;
  if (S_ISDIR(st.st_mode)) {
    cover = empty_folder();
    if (cover < 0) return run_fail(r, cover, "tmpfs over %s", path);
  } else {
    int null = run_fd(r, &f[A_MASK_PATH_DEV_NULL]);
    int error = assert_dev_null(r, null);
    if (error) return error;
    cover = clone_dev_null(null);
    if (cover < 0) return run_fail(r, cover, "/dev/null over %s", path);
    error = assert_dev_null(r, cover);
    if (error) return error;
  }
  int error = attach(cover, target);
  return error ? run_fail(r, error, "%s", path) : 0;
}

int op_readonly_path(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_READONLY_PATH_PATH].ptr;
  AUTO_CLOSE int target = run_open(r, &f[A_READONLY_PATH_ROOT], path, O_PATH, 0);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return target;
  AUTO_CLOSE int tree = open_tree(
      target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return run_fail(r, -errno, "%s", path);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
  if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr))
    return run_fail(r, -errno, "%s", path);
  int error = attach(tree, target);
  return error ? run_fail(r, error, "%s", path) : 0;
}

int op_pivot_root(struct run *r, const struct op *o) {
  int root = run_fd(r, &o->fields[A_PIVOT_ROOT_SLOT]);
  if (root < 0) return -EBADF;
  AUTO_CLOSE int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0) return -errno;
  if (fchdir(root)) return run_fail(r, -errno, "entering the root file system");
  if (syscall(SYS_pivot_root, ".", ".")) return run_fail(r, -errno, "pivot_root");
  // The old root is stacked on the new one: make it a slave, so that its unmounting does not
  // travel to the host, then detach it.
  if (fchdir(old)) return -errno;
  if (mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL)) return run_fail(r, -errno, "old root");
  if (umount2(".", MNT_DETACH)) return run_fail(r, -errno, "detaching the old root");
  return chdir("/") ? -errno : 0;
}

int op_chroot(struct run *r, const struct op *o) {
  int root = run_fd(r, &o->fields[A_CHROOT_SLOT]);
  if (root < 0) return -EBADF;
  if (fchdir(root) || chroot(".")) return run_fail(r, -errno, "chroot");
  return chdir("/") ? -errno : 0;
}

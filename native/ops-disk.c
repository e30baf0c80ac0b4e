// Limited areas of a disk: a file system inside a file (through a loop device that the kernel
// frees with its last mount), and project quotas of the file system itself.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <linux/quota.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define LOOP_MAJOR 7
#define MISC_MAJOR 10
#define LOOP_CONTROL_MINOR 237
#define LOOP_TRIES_MAX 64
#define QUOTA_BLOCK 1024
#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, __u64)
#endif
#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif
// ---- loop devices

static int open_loop(int number) {
  char path[32];
  snprintf(path, sizeof path, "/dev/loop%d", number);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT) return fd < 0 ? -errno : fd;
  // A /dev that is no devtmpfs.
  if (mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)number)) && errno != EEXIST) {
    return -errno;
  }
  fd = open(path, O_RDWR | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static bool holds(int loop, const struct stat *image) {
  struct loop_info64 info;
  return ioctl(loop, LOOP_GET_STATUS64, &info) == 0 && info.lo_inode == image->st_ino &&
         info.lo_device == image->st_dev;
}

// The device that the image is on already: a second one would give the same blocks to two file
// systems. While it is open here the kernel does not free it.
static int find_loop(const struct stat *image, int *number) {
  DIR *devices = opendir("/sys/block");
  if (!devices) return -errno;
  int found = -ENOENT;
  struct dirent *item;
  while (found == -ENOENT && (item = readdir(devices))) {
    char path[300];
    if (sscanf(item->d_name, "loop%d", number) != 1) continue;
    snprintf(path, sizeof path, "/sys/block/%s/loop", item->d_name);
    if (access(path, F_OK)) continue;
    int fd = open_loop(*number);
    if (fd < 0) continue;
    if (holds(fd, image)) found = fd;
    else close(fd);
  }
  closedir(devices);
  return found;
}

static int attach_loop(struct run *r, int image, const char *path, int *number) {
  // Opening it loads the driver; a /dev that is no devtmpfs may lack it.
  mknod("/dev/loop-control", S_IFCHR | 0600, makedev(MISC_MAJOR, LOOP_CONTROL_MINOR));
  AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return run_fail(r, -errno, "/dev/loop-control");
  for (int i = 0; i < LOOP_TRIES_MAX; i++) {
    *number = ioctl(control, LOOP_CTL_GET_FREE);
    if (*number < 0) return run_fail(r, -errno, "no free loop device");
    int fd = open_loop(*number);
    if (fd < 0) return run_fail(r, fd, "/dev/loop%d", *number);
    struct loop_config config = {
        .fd = (uint32_t)image,
        .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
    };
    snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", path);
    if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) return fd;
    int error = -errno;
    close(fd);
    if (error != -EBUSY) return run_fail(r, error, "/dev/loop%d for %.160s", *number, path);
  }
  return run_fail(r, -EBUSY, "no free loop device");
}

// Opens and locks the image: who looks for its device and who attaches one must not meet.
static int open_image(struct run *r, const char *path, struct stat *st) {
  int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return run_fail(r, -errno, "%s", path);
  if (flock(fd, LOCK_EX) == 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
  int error = errno ? -errno : -EINVAL;
  close(fd);
  return run_fail(r, error, "%s", path);
}

static int configure_disk(int context, const char *option) {
  const char *equals = strchr(option, '=');
  char key[64];
  if (!equals) return fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0) ? -errno : 0;
  snprintf(key, sizeof key, "%.*s", (int)(equals - option), option);
  return fsconfig(context, FSCONFIG_SET_STRING, key, equals + 1, 0) ? -errno : 0;
}

static int mount_device(struct run *r, const struct op *o, int number) {
  const struct field *f = o->fields;
  const char *fstype = f[A_MOUNT_IMAGE_FSTYPE].ptr, *at = f[A_MOUNT_IMAGE_OPTIONS].ptr;
  char device[40], message[160];
  snprintf(device, sizeof device, "source=/dev/loop%d", number);
  AUTO_CLOSE int context = fsopen(fstype, FSOPEN_CLOEXEC);
  if (context < 0) return run_fail(r, -errno, "file system %s", fstype);
  int error = configure_disk(context, device);
  for (uint32_t i = 0; error == 0 && i < f[A_MOUNT_IMAGE_OPTIONS].count; i++) {
    error = configure_disk(context, next_str(&at, NULL));
  }
  if (error == 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) error = -errno;
  int fd = error ? -1 : fsmount(context, FSMOUNT_CLOEXEC, (unsigned)f[A_MOUNT_IMAGE_ATTR].num);
  if (fd >= 0) return run_store(r, &f[A_MOUNT_IMAGE_TO], fd);
  if (error == 0) error = -errno;
  ssize_t n = read(context, message, sizeof message - 1);
  message[n > 0 ? n : 0] = 0;
  return run_fail(r, error, "%s: %s", f[A_MOUNT_IMAGE_PATH].ptr, message);
}

int op_mount_image(struct run *r, const struct op *o) {
  const char *path = o->fields[A_MOUNT_IMAGE_PATH].ptr;
  struct stat st;
  AUTO_CLOSE int image = open_image(r, path, &st);
  if (image < 0) return image;
  int number;
  AUTO_CLOSE int loop = find_loop(&st, &number);
  if (loop < 0) loop = attach_loop(r, image, path, &number);
  // The device shares our open file, so that closing it would not unlock it.
  flock(image, LOCK_UN);
  return loop < 0 ? loop : mount_device(r, o, number);
}

// ---- growing

static int grow_fs(int fd, uint64_t bytes) {
  struct statfs fs;
  if (fstatfs(fd, &fs) < 0) return -errno;
  if (fs.f_type == EXT4_SUPER_MAGIC) {
    uint64_t blocks = bytes / (uint64_t)fs.f_bsize;
    return ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) < 0 ? -errno : 0;
  }
  if ((uint32_t)fs.f_type == BTRFS_SUPER_MAGIC) {
    struct btrfs_ioctl_vol_args args = {.name = "max"};
    return ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0 ? -errno : 0;
  }
  return -EOPNOTSUPP;
}

int op_grow_image(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_GROW_IMAGE_PATH].ptr;
  uint64_t bytes = (uint64_t)f[A_GROW_IMAGE_BYTES].num;
  int mounted = run_fd(r, &f[A_GROW_IMAGE_MOUNT]);
  if (mounted < 0) return -EBADF;
  struct stat st;
  AUTO_CLOSE int image = open_image(r, path, &st);
  if (image < 0) return image;
  int number;
  AUTO_CLOSE int loop = find_loop(&st, &number);
  if (loop < 0) return run_fail(r, loop, "no loop device has %.180s", path);
  flock(image, LOCK_UN);
  if ((uint64_t)st.st_size < bytes && ftruncate(image, (off_t)bytes)) return -errno;
  if (ioctl(loop, LOOP_SET_CAPACITY)) return run_fail(r, -errno, "capacity of /dev/loop%d", number);
  // An ioctl wants a file that is open for more than its name.
  AUTO_CLOSE int top = openat(mounted, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = top < 0 ? -errno : grow_fs(top, bytes);
  return error ? run_fail(r, error, "grow %.200s", path) : 0;
}

int op_image_attached(struct run *r, const struct op *o) {
  struct stat st;
  int number;
  if (lstat(o->fields[A_IMAGE_ATTACHED_PATH].ptr, &st)) {
    return run_fail(r, -errno, "%s", o->fields[A_IMAGE_ATTACHED_PATH].ptr);
  }
  AUTO_CLOSE int loop = find_loop(&st, &number);
  int64_t attached = loop >= 0;
  return run_result(r, &attached, sizeof attached);
}

// ---- project quotas

static long quota(int fd, int command, uint32_t id, void *data) {
  // QCMD() would shift a one into the sign.
  unsigned code = (unsigned)command << SUBCMDSHIFT | PRJQUOTA;
  return syscall(SYS_quotactl_fd, fd, code, id, data);
}

int op_project_state(struct run *r, const struct op *o) {
  const char *path = o->fields[A_PROJECT_STATE_PATH].ptr;
  uint32_t id = (uint32_t)o->fields[A_PROJECT_STATE_PROJECT].num;
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return run_fail(r, -errno, "%s", path);
  struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};
  struct if_dqblk block = {0};
  struct fsxattr attr = {0};
  int64_t result[5] = {0};  // enforced, limit, used, inodes, project of the folder
  if (quota(fd, Q_XGETQSTATV, 0, &state) == 0) result[0] = !!(state.qs_flags & FS_QUOTA_PDQ_ENFD);
  if (result[0] && quota(fd, Q_GETQUOTA, id, &block) == 0) {
    result[1] = (int64_t)(block.dqb_bhardlimit * QUOTA_BLOCK);
    result[2] = (int64_t)block.dqb_curspace;
    result[3] = (int64_t)block.dqb_curinodes;
  }
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) == 0) result[4] = attr.fsx_projid;
  return run_result(r, result, sizeof result);
}

int op_set_project(struct run *r, const struct op *o) {
  const char *path = o->fields[A_SET_PROJECT_PATH].ptr;
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct fsxattr attr;
  if (fd < 0 || ioctl(fd, FS_IOC_FSGETXATTR, &attr)) return run_fail(r, -errno, "%s", path);
  attr.fsx_projid = (uint32_t)o->fields[A_SET_PROJECT_PROJECT].num;
  attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ioctl(fd, FS_IOC_FSSETXATTR, &attr) ? run_fail(r, -errno, "%s", path) : 0;
}

int op_set_quota(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_SET_QUOTA_PATH].ptr;
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return run_fail(r, -errno, "%s", path);
  uint64_t blocks = ((uint64_t)f[A_SET_QUOTA_BYTES].num + QUOTA_BLOCK - 1) / QUOTA_BLOCK;
  struct if_dqblk block = {
      .dqb_bhardlimit = blocks, .dqb_bsoftlimit = blocks, .dqb_valid = QIF_BLIMITS};
  if (quota(fd, Q_SETQUOTA, (uint32_t)f[A_SET_QUOTA_PROJECT].num, &block) == 0) return 0;
  return run_fail(r, -errno, "quota of %.200s", path);
}

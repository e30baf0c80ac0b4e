// Paths, trees and extended attributes beneath a root descriptor. The kernel resolves every path
// (openat2), and the last part is never followed, so a symlink that an archive made, or that a
// process in the container swaps in, leads nowhere outside.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive.h"

#define XATTR_BYTES_MAX 65536
#define RESOLVE_TRIES_MAX 10000
#define MQUEUE_MAGIC 0x19800202
#define CONFIGFS_MAGIC 0x62656570
#define FUSECTL_MAGIC 0x65735543

int clean_path(char *path) {
  char *out = path;
  const char *in = path;
  while (*in != '\0') {
    while (*in == '/') in++;
    size_t n = strcspn(in, "/");
    if (n == 0) break;
    if (n == 2 && in[0] == '.' && in[1] == '.') {
      if (out == path) return -EXDEV;
      while (out > path && out[-1] != '/') out--;
      if (out > path) out--;
    } else if (!(n == 1 && in[0] == '.')) {
      if (out > path) *out++ = '/';
      memmove(out, in, n);
      out += n;
    }
    in += n;
  }
  *out = '\0';
  return 0;
}

int open_beneath(int root, const char *path, int flags, bool symlinks) {
  while (*path == '/') path++;
  struct open_how how = {
      .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
      .resolve = RESOLVE_NO_MAGICLINKS |
                 (symlinks ? RESOLVE_IN_ROOT : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)};
  // EAGAIN: something was renamed meanwhile, and a ".." can no longer be told to stay inside.
  long fd = -1;
  for (int i = 0; i < RESOLVE_TRIES_MAX; i++) {
    fd = syscall(SYS_openat2, root, *path == '\0' ? "." : path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd < 0 ? -errno : (int)fd;
}

bool is_kernel_fs(int fd) {
  static const uint32_t kinds[] = {
      PROC_SUPER_MAGIC,   SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
      DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,      SECURITYFS_MAGIC,
      BPF_FS_MAGIC,       PSTOREFS_MAGIC, EFIVARFS_MAGIC,    BINFMTFS_MAGIC,
      SELINUX_MAGIC,      MQUEUE_MAGIC,  CONFIGFS_MAGIC,     FUSECTL_MAGIC,
  };
  struct statfs fs;
  if (fstatfs(fd, &fs) < 0) return false;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if ((uint32_t)fs.f_type == kinds[i]) return true;
  }
  return false;
}

bool is_mount_root(int fd) {
  struct statx x;
  return statx(fd, "", AT_EMPTY_PATH, 0, &x) == 0 && x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int remove_content(int fd, struct split *split) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return -errno;
  DIR *dir = fdopendir(copy);
  if (dir == NULL) {
    close(copy);
    return -ENOMEM;
  }
  int error = 0;
  struct dirent *item;
  while (error == 0 && (errno = 0, item = readdir(dir)) != NULL) {
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
    error = remove_beneath(fd, item->d_name, split);
  }
  if (error == 0 && item == NULL && errno != 0) error = -errno;
  closedir(dir);
  return error;
}

int remove_beneath(int parent, const char *name, struct split *split) {
  struct stat st;
  if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  if (!S_ISDIR(st.st_mode)) {
    if (split != NULL && S_ISREG(st.st_mode)) {
      int error = split_save(split, parent, name);
      if (error < 0) return error;
    }
    return unlinkat(parent, name, 0) < 0 ? -errno : 0;
  }
  AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = remove_content(fd, split);
  if (error < 0) return error;
  return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

bool is_whiteout(const struct stat *st) {
  return S_ISCHR(st->st_mode) && major(st->st_rdev) == 0 && minor(st->st_rdev) == 0;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

void free_names(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
}

static int append_name(char ***names, size_t *count, const char *name) {
  if (*count == 0 || (*count >= 16 && (*count & (*count - 1)) == 0)) {
    size_t room = *count == 0 ? 16 : *count * 2;
    char **grown = realloc(*names, room * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    *names = grown;
  }
  char *copy = strdup(name);
  if (copy == NULL) return -ENOMEM;
  (*names)[(*count)++] = copy;
  return 0;
}

int read_names(int fd, char ***names, size_t *count) {
  *names = NULL;
  *count = 0;
  int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return -errno;
  DIR *dir = fdopendir(copy);
  if (dir == NULL) {
    close(copy);
    return -ENOMEM;
  }
  int error = 0;
  struct dirent *item;
  while (error == 0 && (errno = 0, item = readdir(dir)) != NULL) {
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
    error = append_name(names, count, item->d_name);
  }
  if (error == 0 && item == NULL && errno != 0) error = -errno;
  closedir(dir);
  if (error < 0) {
    free_names(*names, *count);
    *names = NULL;
    *count = 0;
    return error;
  }
  if (*count > 1) qsort(*names, *count, sizeof **names, compare_names);
  return 0;
}

ssize_t list_xattrs(int fd, const char *name, char **list) {
  *list = malloc(XATTR_BYTES_MAX);
  if (*list == NULL) return -ENOMEM;
  ssize_t n = name == NULL ? flistxattr(fd, *list, XATTR_BYTES_MAX)
                           : fchdir(fd) < 0 ? -1 : llistxattr(name, *list, XATTR_BYTES_MAX);
  if (n >= 0) return n;
  return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

ssize_t get_xattr(int fd, const char *name, const char *key, char **value) {
  *value = malloc(XATTR_BYTES_MAX + 1);
  if (*value == NULL) return -ENOMEM;
  ssize_t n = name == NULL ? fgetxattr(fd, key, *value, XATTR_BYTES_MAX)
                           : fchdir(fd) < 0 ? -1 : lgetxattr(name, key, *value, XATTR_BYTES_MAX);
  if (n < 0) return -errno;
  (*value)[n] = '\0';
  return n;
}

int set_xattrs(const struct entry *e, int fd, const char *name) {
  for (size_t i = 0; i < e->xattr_count; i++) {
    const struct xattr *x = &e->xattrs[i];
    // Overlay's own attributes in an archive could splice other layers' folders in.
    if (strncmp(x->name, "trusted.overlay.", 16) == 0) continue;
    int done = name != NULL && fchdir(fd) < 0 ? -1
               : name != NULL ? lsetxattr(name, x->name, x->value, x->length, 0)
                              : fsetxattr(fd, x->name, x->value, x->length, 0);
    if (done == 0 || errno == EOPNOTSUPP) continue;
    // Only files and folders may have user attributes.
    if (errno == EPERM && name != NULL && strncmp(x->name, "user.", 5) == 0) continue;
    return -errno;
  }
  return 0;
}

bool xattr_travels(const char *key) {
  static const char *const local[] = {"trusted.overlay.", "security.selinux", "security.ima",
                                      "security.evm", "system.nfs4"};
  for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
    if (strncmp(key, local[i], strlen(local[i])) == 0) return false;
  }
  return true;
}

int drop_marks(int fd, const char *name) {
  static const char *const marks[] = {"trusted.overlay.origin", "trusted.overlay.impure",
                                      "trusted.overlay.nlink", "trusted.overlay.uuid",
                                      "trusted.overlay.upper"};
  char list[1024];
  if (name != NULL && fchdir(fd) < 0) return -errno;
  ssize_t n = name == NULL ? flistxattr(fd, list, sizeof list)
                           : llistxattr(name, list, sizeof list);
  if (n == 0 || (n < 0 && errno != ERANGE)) return 0;
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    int done = name == NULL ? fremovexattr(fd, marks[i]) : lremovexattr(name, marks[i]);
    if (done < 0 && errno != ENODATA && errno != EOPNOTSUPP) return -errno;
  }
  return 0;
}

int finish_layer_root(int fd, int64_t *opaque) {
  char value[2];
  *opaque = fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
  int error = drop_marks(fd, NULL);
  if (error < 0) return error;
  return fchown(fd, 0, 0) < 0 || fchmod(fd, 0755) < 0 ? -errno : 0;
}

struct link_slot {
  dev_t dev;
  ino_t ino;
  char *name;
};

static struct link_slot *find_link(struct links *l, dev_t dev, ino_t ino) {
  size_t i = (size_t)(ino * 0x9E3779B97F4A7C15u) & (l->size - 1);
  while (l->slots[i].name != NULL && (l->slots[i].ino != ino || l->slots[i].dev != dev)) {
    i = (i + 1) & (l->size - 1);
  }
  return &l->slots[i];
}

static int grow_links(struct links *l) {
  struct links bigger = {.size = l->size == 0 ? 256 : l->size * 2, .used = l->used};
  bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
  if (bigger.slots == NULL) return -ENOMEM;
  for (size_t i = 0; i < l->size; i++) {
    if (l->slots[i].name == NULL) continue;
    *find_link(&bigger, l->slots[i].dev, l->slots[i].ino) = l->slots[i];
  }
  free(l->slots);
  *l = bigger;
  return 0;
}

const char *links_note(struct links *l, const struct stat *st, const char *name, int *error) {
  *error = 0;
  if (l->used * 2 >= l->size && (*error = grow_links(l)) < 0) return NULL;
  struct link_slot *slot = find_link(l, st->st_dev, st->st_ino);
  if (slot->name != NULL) return slot->name;
  *slot = (struct link_slot){.dev = st->st_dev, .ino = st->st_ino, .name = strdup(name)};
  if (slot->name == NULL) *error = -ENOMEM;
  l->used++;
  return NULL;
}

void links_free(struct links *l) {
  for (size_t i = 0; i < l->size; i++) free(l->slots[i].name);
  free(l->slots);
  *l = (struct links){0};
}

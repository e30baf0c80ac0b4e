// Where an entry of an archive goes. Parents are resolved by openat2 inside the root and the last
// part of a name is never followed, so no entry, symlink or race reaches outside.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"

void target_enter(struct target *t, int fd, char *path, bool linked) {
  if (t->parent >= 0) close(t->parent);
  free(t->parent_path);
  t->parent = fd;
  t->parent_path = path;
  t->parent_linked = linked;
}

int target_open(const struct target *t, const char *path, int flags) {
  char whole[PATH_MAX];
  int n = snprintf(whole, sizeof whole, "%s/%s", t->prefix, path);
  return n >= (int)sizeof whole ? -ENAMETOOLONG : open_beneath(t->top, whole, flags, true);
}

int target_folder(struct target *t, const char *path, bool *linked) {
  int fd = open_beneath(t->root, path, O_PATH | O_DIRECTORY, false);
  *linked = fd == -ELOOP;
  if (fd == -ELOOP) fd = target_open(t, path, O_PATH | O_DIRECTORY);
  if (fd < 0 || !is_kernel_fs(fd)) return fd;
  // Where a link of a hostile container may lead to: nothing is written to the kernel.
  close(fd);
  return run_fail(t->run, -EPERM, "folder of the kernel: %.180s", path);
}

// Makes the missing folders of `path`, as docker does for archives that leave them out.
static int make_folders(struct target *t, char *path) {
  for (char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
    if (slash != NULL) *slash = '\0';
    bool linked;
    AUTO_CLOSE int fd = target_folder(t, path, &linked);
    if (fd == -ENOENT) {
      char *last = strrchr(path, '/');
      if (last != NULL) *last = '\0';
      AUTO_CLOSE int parent = target_folder(t, last == NULL ? "" : path, &linked);
      if (last != NULL) *last = '/';
      const char *name = last == NULL ? path : last + 1;
      int error = parent < 0 ? parent : mkdirat(parent, name, 0755) < 0 ? -errno : 0;
      if (error < 0) {
        if (slash != NULL) *slash = '/';
        return error;
      }
    }
    if (slash != NULL) *slash = '/';
    if (fd < 0 && fd != -ENOENT) return fd;
    if (slash == NULL) return 0;
  }
}

int target_find(struct target *t, const char *path, struct place *p) {
  const char *slash = strrchr(path, '/');
  size_t n = slash == NULL ? 0 : (size_t)(slash - path);
  p->name = slash == NULL ? path : slash + 1;
  if (t->parent_path == NULL || strlen(t->parent_path) != n ||
      memcmp(t->parent_path, path, n) != 0) {
    char *folder = strndup(path, n);
    if (folder == NULL) return -ENOMEM;
    bool linked;
    int fd = target_folder(t, folder, &linked);
    if (fd == -ENOENT) {
      int error = make_folders(t, folder);
      fd = error < 0 ? error : target_folder(t, folder, &linked);
    }
    if (fd < 0) {
      free(folder);
      return fd;
    }
    target_enter(t, fd, folder, linked);
  }
  p->parent = t->parent;
  p->linked = t->parent_linked;
  return 0;
}

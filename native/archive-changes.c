// The changes of an overlay upper folder against what lies beneath it, as docker diff tells them:
// A, C or D and a path for each file that was added, changed or deleted.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive.h"

struct differ {
  struct run *run;
  int lower;
};

static int report(struct differ *d, char kind, const char *path) {
  int error = run_result(d->run, &kind, 1);
  if (error == 0) error = run_result(d->run, " /", 2);
  return error < 0 ? error : run_result(d->run, path, strlen(path) + 1);
}

// lstat beneath the lower root; false when nothing is there. The upper path has no symlinks.
static bool lower_stat(struct differ *d, const char *path, struct stat *st) {
  AUTO_CLOSE int fd = open_beneath(d->lower, path, O_PATH | O_NOFOLLOW, false);
  return fd >= 0 && fstat(fd, st) == 0 && !is_whiteout(st);
}

static bool opaque_folder(int fd) {
  char value[2];
  return fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

static bool same_folder(const struct stat *a, const struct stat *b) {
  return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int diff_folder(struct differ *d, int upper, const char *path, bool hidden, bool *reported);

// What an opaque folder hides: the names of the lower one that it does not have itself.
static int report_hidden(struct differ *d, int upper, const char *path) {
  AUTO_CLOSE int lower = open_beneath(d->lower, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, false);
  if (lower < 0) return 0;
  char **names;
  size_t count;
  int error = read_names(lower, &names, &count);
  for (size_t i = 0; error == 0 && i < count; i++) {
    struct stat st;
    char *child;
    if (fstatat(upper, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0) continue;
    if (asprintf(&child, "%s/%s", path, names[i]) < 0) return -ENOMEM;
    error = report(d, 'D', child);
    free(child);
  }
  free_names(names, count);
  return error;
}

// `hidden`: an upper folder cut the lower one off, so everything here was added.
static int diff_item(struct differ *d, int upper, const char *name, const char *path, bool hidden,
                     bool *touched) {
  struct stat st, below;
  if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -errno;
  bool known = !hidden && lower_stat(d, path, &below);
  if (is_whiteout(&st)) {
    *touched |= known;
    return known ? report(d, 'D', path) : 0;
  }
  *touched |= !known;
  if (!S_ISDIR(st.st_mode)) return report(d, known ? 'C' : 'A', path);
  AUTO_CLOSE int fd = openat(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
  bool opaque = known && opaque_folder(fd);
  bool reported = !known || opaque || !S_ISDIR(below.st_mode) || !same_folder(&st, &below);
  int error = reported ? report(d, known ? 'C' : 'A', path) : 0;
  if (error == 0 && opaque) error = report_hidden(d, fd, path);
  return error < 0 ? error : diff_folder(d, fd, path, !known || !S_ISDIR(below.st_mode), &reported);
}

// A folder in which names came or went has changed, even when its times say otherwise.
static int diff_folder(struct differ *d, int upper, const char *path, bool hidden, bool *reported) {
  char **names;
  size_t count;
  bool touched = false;
  int error = read_names(upper, &names, &count);
  for (size_t i = 0; error == 0 && i < count; i++) {
    char *child;
    if (asprintf(&child, "%s%s%s", path, *path == '\0' ? "" : "/", names[i]) < 0) return -ENOMEM;
    error = diff_item(d, upper, names[i], child, hidden, &touched);
    free(child);
  }
  free_names(names, count);
  if (error == 0 && touched && !*reported && *path != '\0') error = report(d, 'C', path);
  return error;
}

int op_changes(struct run *r, const struct op *o) {
  struct differ d = {.run = r, .lower = run_fd(r, &o->fields[1])};
  int upper = run_fd(r, &o->fields[0]);
  if (upper < 0 || d.lower < 0) return -EBADF;
  AUTO_CLOSE int fd = openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool reported = false;
  return fd < 0 ? -errno : diff_folder(&d, fd, "", false, &reported);
}

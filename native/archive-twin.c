// An older tree, some files of which are known to be those of the archive that is unpacked: they
// get a further name instead of being written again. Whoever says so has compared contents; owner,
// mode, size and time are looked at here once more, since a name brings them along.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"

// `root` may be -1: no older tree. The bits are those of the regular files, in their order.
void twin_open(struct twin *t, int root, const char *same, size_t bytes) {
  *t = (struct twin){.root = root, .bytes = bytes, .folder = -1};
  t->same = (const unsigned char *)same;
}

void twin_close(struct twin *t) {
  if (t->folder >= 0) close(t->folder);
  free(t->path);
}

// Counts one regular file; whether it is said to be the same.
bool twin_said(struct twin *t) {
  size_t number = t->files++;
  if (t->root < 0 || number / 8 >= t->bytes) return false;
  return t->same[number / 8] >> (number % 8) & 1;
}

static int open_folder(struct twin *t, const char *path) {
  if (t->path != NULL && strcmp(t->path, path) == 0) return t->folder;
  if (t->folder >= 0) close(t->folder);
  free(t->path);
  t->folder = -1;
  t->path = strdup(path);
  if (t->path != NULL) t->folder = open_beneath(t->root, path, O_PATH | O_DIRECTORY, false);
  return t->folder;
}

static bool agrees(const struct stat *st, const struct entry *e, uid_t uid, gid_t gid) {
  return S_ISREG(st->st_mode) && (st->st_mode & 07777) == e->mode && st->st_uid == uid &&
         st->st_gid == gid && (uint64_t)st->st_size == e->size &&
         st->st_mtim.tv_sec == e->mtime.tv_sec && st->st_mtim.tv_nsec == e->mtime.tv_nsec;
}

// Whether the file `name` of that folder now has the name in `parent` too; *st is its own. Where it
// cannot be (too many names, something is in the way) the caller writes the file.
bool twin_link(struct twin *t, const char *folder, int parent, const char *name,
               const struct entry *e, uid_t uid, gid_t gid, struct stat *st) {
  if (e->sparse || e->xattr_count > 0) return false;
  int from = open_folder(t, folder);
  if (from < 0 || fstatat(from, name, st, AT_SYMLINK_NOFOLLOW) < 0) return false;
  return agrees(st, e, uid, gid) && linkat(from, name, parent, name, 0) == 0;
}

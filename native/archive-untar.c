// Unpacks a tar stream beneath a root descriptor (archive-place.c: nothing reaches outside it).
// Two uses: image layers (whiteouts become overlay's) and docker cp into a container.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive.h"

struct dir_time {
  char *path;
  struct timespec mtime;
};
struct unpack {
  struct run *run;
  struct target to;
  int64_t flags, uid, gid;
  uint64_t max_bytes, max_entries, entries, bytes;
  bool opaque_root;
  struct source in;
  struct split split;
  struct dir_time *dirs;
  size_t dir_count;
  struct twin twin;
};

static int fail(struct unpack *u, int error, const char *what, const struct entry *e) {
  if (u->run->text[0] != '\0') return error;
  return run_fail(u->run, error, "%s %.180s", what, e->name);
}

static struct split *split_of(struct unpack *u) { return u->in.split; }

// Clears the way for an entry after EEXIST. Returns 1 when a folder is there and is kept.
static int clear_way(struct unpack *u, const struct place *p, const struct entry *e, bool *opaque) {
  struct stat st;
  if (fstatat(p->parent, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    return errno == ENOENT ? 0 : -errno;
  }
  bool folder = S_ISDIR(st.st_mode);
  if (folder && e->type == '5') return 1;
  if (u->flags & ARCHIVE_KEEP_KIND && folder != (e->type == '5')) {
    const char *at = u->to.prefix;
    const char *gap = at[0] != '\0' && at[strlen(at) - 1] == '/' ? "" : "/";
    return folder ? run_fail(u->run, -EISDIR, "cannot overwrite directory \"%.70s%s%.60s\" with "
                             "non-directory \"%.70s\"", at, gap, e->name, at)
                  : run_fail(u->run, -ENOTDIR, "cannot overwrite non-directory \"%.70s%s%.60s\" "
                             "with directory \"%.70s\"", at, gap, e->name, at);
  }
  if (opaque != NULL && u->flags & ARCHIVE_LAYER && is_whiteout(&st)) *opaque = true;
  return remove_beneath(p->parent, p->name, split_of(u));
}

static void owner(const struct unpack *u, const struct entry *e, uid_t *uid, gid_t *gid) {
  bool forced = u->flags & ARCHIVE_CHOWN;
  *uid = (uid_t)(forced ? u->uid : e->uid);
  *gid = (gid_t)(forced ? u->gid : e->gid);
}

// Owner before mode and capabilities: chown(2) clears setuid bits and security.capability.
static int set_metadata(const struct unpack *u, const struct entry *e, int fd) {
  uid_t uid;
  gid_t gid;
  owner(u, e, &uid, &gid);
  if (fchown(fd, uid, gid) < 0 || fchmod(fd, e->mode) < 0) return -errno;
  int error = set_xattrs(e, fd, NULL);
  if (error < 0 || e->type == '5') return error;
  struct timespec times[2] = {e->mtime, e->mtime};
  return futimens(fd, times) < 0 ? -errno : 0;
}

static int set_metadata_at(const struct unpack *u, const struct entry *e, const struct place *p) {
  uid_t uid;
  gid_t gid;
  owner(u, e, &uid, &gid);
  if (fchownat(p->parent, p->name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  AUTO_CLOSE int here = openat(p->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = here < 0 ? -errno : set_xattrs(e, here, p->name);
  if (error < 0) return error;
  struct timespec times[2] = {e->mtime, e->mtime};
  return utimensat(p->parent, p->name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_content(struct unpack *u, int fd, uint64_t n, bool into_split) {
  bool hole = false;
  while (n > 0) {
    ssize_t have = source_fill(&u->in);
    if (have < 0) return (int)have;
    if (have == 0) return run_fail(u->run, -EBADMSG, "unexpected EOF");
    size_t take = (uint64_t)have < n ? (size_t)have : (size_t)n;
    const char *data = u->in.buffer + u->in.start;
    int error = write_or_skip(fd, data, take, &hole);
    if (error == 0 && into_split) error = split_raw(split_of(u), data, take);
    if (error < 0) return error;
    u->in.start += take;
    n -= take;
  }
  return hole && ftruncate(fd, lseek(fd, 0, SEEK_CUR)) < 0 ? -errno : 0;
}

static int copy_sparse(struct unpack *u, int fd, const struct entry *e, bool into_split) {
  for (size_t i = 0; i < e->extent_count; i++) {
    if (lseek(fd, (off_t)e->extents[i].offset, SEEK_SET) < 0) return -errno;
    int error = copy_content(u, fd, e->extents[i].length, into_split);
    if (error < 0) return error;
  }
  return ftruncate(fd, (off_t)e->size) < 0 ? -errno : 0;
}

// A file record names the path where the content will be found; behind a symlink that may later
// point elsewhere, the content goes into the split itself.
static int note_content(struct unpack *u, int fd, const struct entry *e, bool *into_split,
                        const struct place *p) {
  *into_split = split_of(u) != NULL && p->linked;
  if (split_of(u) == NULL || p->linked || e->stored == 0) return 0;
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  return split_file(split_of(u), e->name, st.st_ino, e);
}

// Gives the same file of an older tree a name here: 1 when it is done, 0 when it must be written.
static int link_twin(struct unpack *u, const struct entry *e, const struct place *p) {
  uid_t uid;
  gid_t gid;
  struct stat st;
  owner(u, e, &uid, &gid);
  if (!twin_said(&u->twin) || p->linked) return 0;
  if (!twin_link(&u->twin, u->to.parent_path, p->parent, p->name, e, uid, gid, &st)) return 0;
  struct split *split = split_of(u);
  int error = 0;
  if (split != NULL && e->stored > 0) error = split_file(split, e->name, st.st_ino, e);
  u->in.split = NULL;  // the content is no raw record
  if (error == 0) error = source_skip(&u->in, e->stored);
  u->in.split = split;
  return error < 0 ? error : 1;
}

static int put_file(struct unpack *u, const struct entry *e, const struct place *p) {
  int done = link_twin(u, e, p);
  if (done != 0) return done < 0 ? done : 0;
  int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  AUTO_CLOSE int fd = openat(p->parent, p->name, flags, 0600);
  if (fd < 0 && errno == EEXIST) {
    int error = clear_way(u, p, e, NULL);
    if (error < 0) return error;
    fd = openat(p->parent, p->name, flags, 0600);
  }
  if (fd < 0) return -errno;
  bool into_split;
  int error = note_content(u, fd, e, &into_split, p);
  if (error == 0) {
    error = e->sparse ? copy_sparse(u, fd, e, into_split)
                      : copy_content(u, fd, e->stored, into_split);
  }
  return error < 0 ? error : set_metadata(u, e, fd);
}

static int put_folder(struct unpack *u, const struct entry *e, const struct place *p, int *opened) {
  bool opaque = false;
  if (mkdirat(p->parent, p->name, 0700) < 0) {
    int error = errno == EEXIST ? clear_way(u, p, e, &opaque) : -errno;
    if (error < 0) return error;
    if (error == 0 && mkdirat(p->parent, p->name, 0700) < 0) return -errno;
  }
  int fd = openat(p->parent, p->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (is_kernel_fs(fd)) {
    close(fd);
    return 0;
  }
  int error = set_metadata(u, e, fd);
  if (error == 0 && opaque && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0) {
    error = -errno;
  }
  if (error < 0) close(fd);
  else *opened = fd;
  return error;
}

static int put_link(struct unpack *u, struct entry *e, const struct place *p) {
  int error = clean_path(e->link);
  if (error < 0) {
    return run_fail(u->run, error, "invalid hardlink \"%.100s\" -> \"%.100s\"", e->name, e->link);
  }
  char *slash = strrchr(e->link, '/');
  if (slash != NULL) *slash = '\0';
  bool linked;
  AUTO_CLOSE int from = target_folder(&u->to, slash == NULL ? "" : e->link, &linked);
  if (slash != NULL) *slash = '/';
  const char *name = slash == NULL ? e->link : slash + 1;
  if (from < 0) return from;
  if (linkat(from, name, p->parent, p->name, 0) == 0) return 0;
  if (errno != EEXIST) return -errno;
  struct stat a, b;
  if (fstatat(from, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
      fstatat(p->parent, p->name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
      a.st_dev == b.st_dev) {
    return 0;  // a link to itself
  }
  error = clear_way(u, p, e, NULL);
  if (error < 0) return error;
  return linkat(from, name, p->parent, p->name, 0) < 0 ? -errno : 0;
}

static int make_special(const struct entry *e, const struct place *p) {
  if (e->type == '2') return symlinkat(e->link, p->parent, p->name);
  mode_t kind = e->type == '3' ? S_IFCHR : e->type == '4' ? S_IFBLK : S_IFIFO;
  return mknodat(p->parent, p->name, kind | e->mode, makedev(e->major, e->minor));
}

static int put_special(struct unpack *u, const struct entry *e, const struct place *p) {
  if (make_special(e, p) < 0) {
    int error = errno == EEXIST ? clear_way(u, p, e, NULL) : -errno;
    if (error < 0) return error;
    if (make_special(e, p) < 0) return -errno;
  }
  return set_metadata_at(u, e, p);
}

static int set_opaque(struct unpack *u, int parent, const char *name) {
  AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (u->to.parent_path[0] == '\0' && strcmp(name, ".") == 0) u->opaque_root = true;
  return fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

// .wh.NAME hides NAME of the layers beneath, .wh..wh..opq everything in its folder; other names
// with .wh..wh. are AUFS's own and mean nothing here.
static int put_whiteout(struct unpack *u, const struct entry *e, const struct place *p) {
  const char *hidden = p->name + 4;
  if (strcmp(p->name, ".wh..wh..opq") == 0) return set_opaque(u, p->parent, ".");
  if (strncmp(p->name, ".wh..wh.", 8) == 0) return 0;
  if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0) {
    return run_fail(u->run, -EBADMSG, "invalid whiteout name: %.180s", e->name);
  }
  if (mknodat(p->parent, hidden, S_IFCHR, 0) < 0) {
    struct stat st;
    if (errno != EEXIST) return -errno;
    if (fstatat(p->parent, hidden, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    // What this layer itself holds stays; a folder of its own hides the one beneath.
    return S_ISDIR(st.st_mode) ? set_opaque(u, p->parent, hidden) : 0;
  }
  uid_t uid;
  gid_t gid;
  owner(u, e, &uid, &gid);
  return fchownat(p->parent, hidden, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int note_dir(struct unpack *u, const struct entry *e) {
  size_t n = u->dir_count;
  if (n == 0 || (n >= 64 && (n & (n - 1)) == 0)) {
    struct dir_time *grown = realloc(u->dirs, (n == 0 ? 64 : n * 2) * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    u->dirs = grown;
  }
  char *path = strdup(e->name);
  if (path == NULL) return -ENOMEM;
  u->dirs[u->dir_count++] = (struct dir_time){.path = path, .mtime = e->mtime};
  return 0;
}

static int put_root(struct unpack *u, const struct entry *e) {
  if (e->type != '5') return run_fail(u->run, -EISDIR, "archive entry without a name");
  if (u->flags & ARCHIVE_KEEP_ROOT) return 0;
  AUTO_CLOSE int fd = open_beneath(u->to.root, "", O_RDONLY | O_DIRECTORY, false);
  int error = fd < 0 ? fd : set_metadata(u, e, fd);
  return error < 0 ? fail(u, error, "unpack", e) : note_dir(u, e);
}

static int put_dir(struct unpack *u, const struct entry *e, const struct place *p) {
  int fd = -1;
  bool linked = p->linked;
  int error = put_folder(u, e, p, &fd);
  if (error < 0 || fd < 0) return error;
  char *path = strdup(e->name);
  if (path == NULL) {
    close(fd);
    return -ENOMEM;
  }
  target_enter(&u->to, fd, path, linked);  // its content comes next
  return note_dir(u, e);
}

static int put_entry(struct unpack *u, struct entry *e) {
  int error = clean_path(e->name);
  if (error < 0) {
    return run_fail(u->run, error, "archive entry is outside of the root: %.180s", e->name);
  }
  if (e->name[0] == '\0') return put_root(u, e);
  struct place p;
  error = target_find(&u->to, e->name, &p);
  if (error < 0) return fail(u, error, "folder of", e);
  if (u->flags & ARCHIVE_LAYER && strncmp(p.name, ".wh.", 4) == 0) {
    error = put_whiteout(u, e, &p);
    if (error == 0 && e->stored > 0) error = source_skip(&u->in, e->stored);
    return error < 0 ? fail(u, error, "whiteout", e) : 0;
  }
  switch (e->type) {
    case '0': error = put_file(u, e, &p); break;
    case '1': error = put_link(u, e, &p); break;
    case '5': error = put_dir(u, e, &p); break;
    default: error = put_special(u, e, &p); break;
  }
  if (error == 0 && e->type != '0' && e->stored > 0) error = source_skip(&u->in, e->stored);
  return error < 0 ? fail(u, error, "unpack", e) : 0;
}

static int within_limits(struct unpack *u, const struct entry *e) {
  u->entries++;
  if (u->max_entries != 0 && u->entries > u->max_entries) {
    return run_fail(u->run, -EFBIG, "archive has more than %llu entries",
                    (unsigned long long)u->max_entries);
  }
  if (e->type != '0') return 0;
  if (u->max_bytes != 0 && (e->size > u->max_bytes || u->bytes > u->max_bytes - e->size)) {
    return run_fail(u->run, -EFBIG, "archive unpacks to more than %llu bytes",
                    (unsigned long long)u->max_bytes);
  }
  u->bytes += e->size;
  return 0;
}

static int unpack_entries(struct unpack *u) {
  struct entry e;
  int more;
  while ((more = tar_next(u->run, &u->in, &e)) == 1) {
    int error = within_limits(u, &e);
    uint64_t padding = e.padding;
    if (error == 0) error = put_entry(u, &e);
    entry_free(&e);
    if (error == 0) {
      error = source_skip(&u->in, padding);
      // Whole without the zeros after its last content, as for Go: docker build -f sends such.
      if (error == -EPIPE) return 0;
    }
    if (error == -EPIPE && u->run->text[0] == '\0') {
      error = run_fail(u->run, -EBADMSG, "unexpected EOF");
    }
    if (error < 0) return error;
  }
  return more;
}

// What follows the end of the archive (padding of the last record) belongs to its bytes too.
static int drain(struct unpack *u) {
  for (;;) {
    ssize_t have = source_fill(&u->in);
    if (have <= 0) return (int)have;
    int error = source_skip(&u->in, (uint64_t)have);
    if (error < 0) return error;
  }
}

// Folders get their times last: every entry in them changes them.
static int set_dir_times(struct unpack *u) {
  for (size_t i = 0; i < u->dir_count; i++) {
    AUTO_CLOSE int fd = target_open(&u->to, u->dirs[i].path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP) continue;  // replaced by a later entry
    if (fd < 0) return fd;
    struct timespec times[2] = {u->dirs[i].mtime, u->dirs[i].mtime};
    if (futimens(fd, times) < 0) return -errno;
  }
  return 0;
}

static int unpack_all(struct unpack *u, int split) {
  int error = unpack_entries(u);
  if (error == 0) error = drain(u);
  if (error == 0) error = set_dir_times(u);
  if (error == 0 && u->in.split != NULL) error = split_end(&u->split);
  if (error == 0 && u->flags & ARCHIVE_SYNC) {
    AUTO_CLOSE int fd = open_beneath(u->to.root, "", O_RDONLY | O_DIRECTORY, false);
    if (fd < 0 || syncfs(fd) < 0 || (split >= 0 && fsync(split) < 0)) return -errno;
  }
  return error;
}

int op_untar(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  struct unpack u = {.run = r, .flags = f[4].num};
  u.max_bytes = (uint64_t)f[5].num;
  u.max_entries = (uint64_t)f[6].num;
  u.uid = f[7].num;
  u.gid = f[8].num;
  int twin = f[9].num == NO_SLOT ? -1 : run_fd(r, &f[9]);
  twin_open(&u.twin, twin, f[10].ptr, f[10].len);
  int from = run_fd(r, &f[2]), split = f[3].num == NO_SLOT ? -1 : run_fd(r, &f[3]);
  AUTO_CLOSE int root = run_open(r, &f[0], f[1].len == 0 ? "." : f[1].ptr, O_PATH | O_DIRECTORY, 0);
  if (root < 0) return run_fail(r, root, "open %.200s", f[1].len == 0 ? "/" : f[1].ptr);
  if (from < 0 || (f[3].num != NO_SLOT && split < 0)) return -EBADF;
  if (f[9].num != NO_SLOT && twin < 0) return -EBADF;
  u.to = (struct target){.run = r, .root = root, .prefix = f[1].ptr, .parent = -1};
  u.to.top = run_fd(r, &f[0]);
  mode_t mask = umask(0);
  int error = source_open(&u.in, from);
  if (error == 0 && split >= 0) {
    error = split_open(&u.split, split);
    u.in.split = &u.split;
  }
  if (error == 0) error = unpack_all(&u, split);
  umask(mask);
  target_enter(&u.to, -1, NULL, false);
  twin_close(&u.twin);
  for (size_t i = 0; i < u.dir_count; i++) free(u.dirs[i].path);
  free(u.dirs);
  source_close(&u.in);
  if (u.in.split != NULL) split_close(&u.split);
  int64_t result[3] = {(int64_t)u.entries, (int64_t)u.bytes, u.opaque_root};
  return error < 0 ? error : run_result(r, result, sizeof result);
}

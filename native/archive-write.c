// Writes tar streams: a path beneath a root (docker cp, export) or an overlay upper folder as an
// OCI layer (tarUpper). The order is that of the names' bytes, so one tree always gives one tar.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <linux/stat.h>

#include "archive.h"

struct writer {
  struct run *run;
  struct sink out;
  struct links links;
  int64_t flags;
  bool upper;  // write whiteouts as .wh. files
  uint64_t mount_id;
  struct text pax;
  struct split *split;  // of an upper folder that becomes a layer as it is
  bool unlike;          // the tar would unpack to something else than this folder
  int64_t bytes;        // content of files
};

// Everything but the content of files goes through here: the split keeps it.
static int emit(struct writer *w, const void *data, size_t n) {
  int error = w->split == NULL ? 0 : split_raw(w->split, data, n);
  return error < 0 ? error : sink_write(&w->out, data, n);
}

static int emit_zeros(struct writer *w, uint64_t n) {
  static const char zeros[2 * BLOCK];
  return emit(w, zeros, (size_t)n);
}

static int write_pax(struct writer *w, const char *name) {
  unsigned char h[BLOCK] = {0};
  tar_pax_header(h, name, w->pax.used);
  int error = emit(w, h, BLOCK);
  if (error == 0) error = emit(w, w->pax.data, w->pax.used);
  return error < 0 ? error : emit_zeros(w, (uint64_t)-(int64_t)w->pax.used % BLOCK);
}

static int write_header(struct writer *w, const struct item *i, int fd) {
  char name[8192];
  bool slash = i->type == '5' && strcmp(i->name, "/") != 0;
  int n = snprintf(name, sizeof name, "%s%s", i->name, slash ? "/" : "");
  if (n >= (int)sizeof name) return -ENAMETOOLONG;
  int error = tar_pax_text(&w->pax, i, name, fd);
  if (error == 0 && w->pax.used > 0) error = write_pax(w, i->name);
  if (error < 0) return error;
  unsigned char h[BLOCK] = {0};
  tar_header(h, i, name);
  return emit(w, h, BLOCK);
}

// Content of exactly `size` bytes: a file that shrinks meanwhile is filled with zeros.
static int write_content(struct writer *w, int fd, uint64_t size) {
  char buffer[65536];
  uint64_t left = size;
  while (left > 0) {
    ssize_t got = read(fd, buffer, left < sizeof buffer ? (size_t)left : sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) break;
    int error = sink_write(&w->out, buffer, (size_t)got);
    if (error < 0) return error;
    left -= (uint64_t)got;
  }
  int error = sink_zeros(&w->out, left);
  if (left > 0) w->unlike = true;
  return error < 0 ? error : emit_zeros(w, (uint64_t)-(int64_t)size % BLOCK);
}

// With metacopy an upper file may have lost nothing but its content: that is beneath.
static int check_upper_file(struct writer *w, const struct item *i, int fd) {
  char nothing;
  if (fgetxattr(fd, "trusted.overlay.metacopy", &nothing, 0) < 0) return 0;
  return run_fail(w->run, -EOPNOTSUPP, "file has only metadata (metacopy): %.160s", i->name);
}

static int write_file(struct writer *w, struct item *i) {
  AUTO_CLOSE int fd = openat(i->parent, i->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -errno;  // deleted meanwhile
  struct stat st;
  if (fstat(fd, &st) < 0) return -errno;
  if (!S_ISREG(st.st_mode)) return 0;  // replaced meanwhile
  i->st = st;
  int error = w->upper ? check_upper_file(w, i, fd) : 0;
  if (error < 0) return error;
  const char *first = st.st_nlink > 1 ? links_note(&w->links, &st, i->name, &error) : NULL;
  if (st.st_nlink > 1 && first == NULL && error < 0) return error;
  i->type = first != NULL ? '1' : '0';
  i->link = first;
  i->size = first != NULL ? 0 : (uint64_t)st.st_size;
  w->bytes += (int64_t)i->size;
  error = write_header(w, i, fd);
  if (error == 0 && w->split != NULL) error = drop_marks(fd, NULL);
  if (error == 0 && w->split != NULL && i->size > 0) {
    struct entry e = {.stored = i->size, .size = i->size};
    error = split_file(w->split, i->name, st.st_ino, &e);
  }
  return error < 0 || first != NULL ? error : write_content(w, fd, i->size);
}

static int write_closed(struct writer *w, const struct item *i) {
  int error = write_header(w, i, -1);
  return error < 0 || w->split == NULL ? error : drop_marks(i->parent, i->file);
}

static int write_symlink(struct writer *w, struct item *i) {
  char target[4097];
  ssize_t n = readlinkat(i->parent, i->file, target, sizeof target - 1);
  if (n < 0) return errno == ENOENT || errno == EINVAL ? 0 : -errno;
  target[n] = '\0';
  i->type = '2';
  i->link = target;
  return write_closed(w, i);
}

static int write_special(struct writer *w, struct item *i) {
  if (S_ISSOCK(i->st.st_mode)) {  // tar has no sockets
    if (w->split == NULL) return 0;
    return unlinkat(i->parent, i->file, 0) < 0 && errno != ENOENT ? -errno : 0;
  }
  i->type = S_ISCHR(i->st.st_mode) ? '3' : S_ISBLK(i->st.st_mode) ? '4' : '6';
  return write_closed(w, i);
}

// The .wh. file that stands for a whiteout or an opaque folder.
static int write_marker(struct writer *w, const struct item *of, const char *format) {
  char name[8192];
  const char *slash = strrchr(of->name, '/');
  int head = slash == NULL ? 0 : (int)(slash - of->name + 1);
  int n = snprintf(name, sizeof name, format, head, of->name, of->name + head);
  if (n >= (int)sizeof name) return -ENAMETOOLONG;
  struct item marker = {.type = '0', .st = of->st};
  marker.st.st_mode = 0600;
  unsigned char h[BLOCK] = {0};
  w->pax.used = 0;
  int error = tar_pax_name(&w->pax, name);
  if (error == 0 && w->pax.used > 0) error = write_pax(w, name);
  tar_header(h, &marker, name);
  return error < 0 ? error : emit(w, h, BLOCK);
}

static int write_children(struct writer *w, int fd, const char *prefix);

static uint64_t mount_of(int fd, const char *name) {
  struct statx x;
  int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  long done = syscall(SYS_statx, fd, name, flags, STATX_MNT_ID, &x);
  return done < 0 || !(x.stx_mask & STATX_MNT_ID) ? 0 : x.stx_mnt_id;
}

// Folders that overlay renamed or whose content it left beneath cannot be told from one layer.
static int check_upper(struct writer *w, const struct item *i, int fd, bool *opaque) {
  char *value = NULL;
  ssize_t n = get_xattr(fd, NULL, "trusted.overlay.redirect", &value);
  free(value);
  if (n >= 0) {
    return run_fail(w->run, -EOPNOTSUPP, "folder was renamed by overlay: %.180s", i->name);
  }
  n = get_xattr(fd, NULL, "trusted.overlay.opaque", &value);
  *opaque = n == 1 && value[0] == 'y';
  free(value);
  return 0;
}

static int write_folder(struct writer *w, struct item *i) {
  AUTO_CLOSE int fd = openat(i->parent, i->file, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
  if (fstat(fd, &i->st) < 0) return -errno;
  i->type = '5';
  i->size = 0;
  int error = write_header(w, i, fd);
  bool opaque = false;
  if (error == 0 && w->upper) error = check_upper(w, i, fd, &opaque);
  if (error == 0 && opaque) error = write_marker(w, i, "%.*s%s/.wh..wh..opq");
  if (error < 0) return error;
  if (w->flags & ARCHIVE_ONE_MOUNT && mount_of(fd, "") != w->mount_id) return 0;
  if (!w->upper && is_kernel_fs(fd)) return 0;  // as docker, for which /proc is an empty folder
  error = write_children(w, fd, i->name);
  if (error < 0 || w->split == NULL) return error;
  // A socket that was removed changed the folder's time.
  struct timespec times[2] = {i->st.st_atim, i->st.st_mtim};
  error = drop_marks(fd, NULL);
  return error < 0 ? error : futimens(fd, times) < 0 ? -errno : 0;
}

static int write_item(struct writer *w, int parent, const char *file, const char *name) {
  struct item i = {.parent = parent, .file = file, .name = name};
  if (fstatat(parent, file, &i.st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : -errno;
  if (w->upper && is_whiteout(&i.st)) return write_marker(w, &i, "%.*s.wh.%s");
  // A file of this name is a whiteout to whoever unpacks it.
  if (strncmp(file, ".wh.", 4) == 0) w->unlike = true;
  if (S_ISDIR(i.st.st_mode)) return write_folder(w, &i);
  bool file_mounts = S_ISREG(i.st.st_mode) && w->flags & ARCHIVE_ONE_MOUNT;
  if (file_mounts && mount_of(parent, file) != w->mount_id) {
    i.type = '0';
    return write_header(w, &i, -1);
  }
  if (S_ISREG(i.st.st_mode)) return write_file(w, &i);
  return S_ISLNK(i.st.st_mode) ? write_symlink(w, &i) : write_special(w, &i);
}

static int write_children(struct writer *w, int fd, const char *prefix) {
  char **names;
  size_t count;
  int error = read_names(fd, &names, &count);
  bool bare = *prefix == '\0' || strcmp(prefix, "/") == 0;
  for (size_t n = 0; error == 0 && n < count; n++) {
    size_t room = strlen(prefix) + strlen(names[n]) + 2;
    char *name = malloc(room);
    if (name == NULL) {
      error = -ENOMEM;
      break;
    }
    snprintf(name, room, "%s%s%s", prefix, bare ? "" : "/", names[n]);
    error = write_item(w, fd, names[n], name);
    if (error < 0 && w->run->text[0] == '\0') run_fail(w->run, error, "archive %.180s", name);
    free(name);
  }
  free_names(names, count);
  return error;
}

static int finish_writer(struct writer *w, int error) {
  if (error == 0) error = emit_zeros(w, 2 * BLOCK);
  if (error == 0 && w->split != NULL) error = split_end(w->split);
  if (error == 0) error = sink_flush(&w->out);
  sink_close(&w->out);
  links_free(&w->links);
  free(w->pax.data);
  return error;
}

// The folder and last name of `path` beneath root; "/" is "." in the root itself.
static int write_path(struct writer *w, const struct op *o, const char *path) {
  const char *file, *name = o->fields[2].ptr;
  bool root = strspn(path, "/") == strlen(path);
  AUTO_CLOSE int parent = root ? run_open(w->run, &o->fields[0], ".", O_PATH | O_DIRECTORY, 0)
                               : run_open_parent(w->run, &o->fields[0], path, &file);
  if (parent < 0) return run_fail(w->run, parent, "open %.200s", path);
  if (root) file = ".";
  struct stat st;
  if (fstatat(parent, file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    return run_fail(w->run, -errno, "open %.200s", path);
  }
  if (!root && is_kernel_fs(parent)) return run_fail(w->run, -ENOENT, "open %.200s", path);
  w->mount_id = mount_of(parent, file);
  if (!(w->flags & ARCHIVE_CONTENTS)) {
    return write_item(w, parent, file, *name != '\0' ? name : root ? "/" : file);
  }
  AUTO_CLOSE int fd = openat(parent, file, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return run_fail(w->run, -errno, "open %.200s", path);
  return write_children(w, fd, name);
}

int op_tar(struct run *r, const struct op *o) {
  struct writer w = {.run = r, .flags = o->fields[4].num};
  int to = run_fd(r, &o->fields[3]);
  if (to < 0) return to;
  int error = sink_open(&w.out, to);
  if (error == 0) error = write_path(&w, o, o->fields[1].ptr);
  return finish_writer(&w, error);
}

int op_tar_upper(struct run *r, const struct op *o) {
  struct writer w = {.run = r, .flags = o->fields[2].num, .upper = true};
  int root = run_fd(r, &o->fields[0]), to = run_fd(r, &o->fields[1]);
  if (root < 0 || to < 0) return -EBADF;
  AUTO_CLOSE int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = fd < 0 ? -errno : sink_open(&w.out, to);
  if (error == 0) error = write_children(&w, fd, "");
  return finish_writer(&w, error);
}

// The tar is only hashed, and the folder is left as unpacking that tar would make it.
int op_seal_upper(struct run *r, const struct op *o) {
  struct split split = {0};
  struct writer w = {.run = r, .upper = true, .split = &split};
  struct sha256 hash;
  struct {
    int64_t unlike, bytes, opaque_root, tar_bytes;
    unsigned char digest[32];
  } result = {0};
  int root = run_fd(r, &o->fields[0]), split_fd = run_fd(r, &o->fields[1]);
  if (root < 0 || split_fd < 0) return -EBADF;
  AUTO_CLOSE int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int error = fd < 0 ? -errno : sink_open(&w.out, -1);
  sha256_begin(&hash);
  w.out.hash = &hash;
  if (error == 0) error = split_open(&split, split_fd);
  if (error == 0) error = write_children(&w, fd, "");
  if (error == 0) error = finish_layer_root(fd, &result.opaque_root);
  error = finish_writer(&w, error);
  split_close(&split);
  if (error < 0) return error;
  sha256_end(&hash, result.digest);
  result.unlike = w.unlike;
  result.bytes = w.bytes;
  result.tar_bytes = (int64_t)w.out.total;
  return run_result(r, &result, sizeof result);
}

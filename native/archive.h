// What the archive operations share (archive-*.c): flags, buffered streams, the tar reader, the
// split (what a byte-exact rebuild of a tar needs beside the unpacked files) and safe paths.
// Everything that comes from an archive is hostile: sizes are checked before they are used, and
// every path is resolved by the kernel beneath the root descriptor.
#ifndef GANTRY_ARCHIVE_H
#define GANTRY_ARCHIVE_H
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "ops.h"
#include "sha256.h"

// Flags of the archive operations; src/storage/archive-flags.ts has the same numbers.
enum {
  ARCHIVE_LAYER = 1,        // untar: .wh. files become overlay whiteouts
  ARCHIVE_CHOWN = 2,        // untar: everything belongs to the fields uid and gid
  ARCHIVE_KEEP_KIND = 4,    // untar: a folder never replaces another kind of file, nor is replaced
  ARCHIVE_SYNC = 8,         // untar: syncfs(2) before the answer
  ARCHIVE_CONTENTS = 16,    // tar: what the folder holds, without the folder itself
  ARCHIVE_ONE_MOUNT = 32,   // tar: a mount point is written as an empty folder or file
  ARCHIVE_IF_EMPTY = 64,    // copyTree: do nothing unless the target folder is empty
  ARCHIVE_KEEP_ROOT = 128,  // untar: the folder that is unpacked into stays as it is
};

#define BLOCK 512
#define STREAM_BYTES (256 * 1024)
#define PAX_BYTES_MAX (1 << 20)   // pax header or GNU long name; the limit of Go's reader
#define EXTENTS_MAX (1 << 20)     // of one sparse file

// ---- streams (archive-stream.c)

struct split;

struct source {
  int fd;
  bool ended;
  size_t start, end;
  char *buffer;
  struct split *split;  // gets a copy of what is read as raw bytes
};
struct sink {
  int fd;                // or, where it is below 0,
  struct sha256 *hash;   // all that becomes of the bytes
  size_t used;
  char *buffer;
  uint64_t total;
};

int source_open(struct source *s, int fd);
void source_close(struct source *s);
// Makes buffered bytes available: their count, 0 at the end of the stream, or a negative errno.
ssize_t source_fill(struct source *s);
// Reads exactly n bytes as raw; -ENODATA at a clean end before the first, -EPIPE when cut short.
int source_read(struct source *s, void *to, size_t n);
int source_skip(struct source *s, uint64_t n);

int sink_open(struct sink *s, int fd);
void sink_close(struct sink *s);
int sink_write(struct sink *s, const void *data, size_t n);
int sink_zeros(struct sink *s, uint64_t n);
int sink_flush(struct sink *s);
int write_all(int fd, const void *data, size_t n);
// Writes, or leaves a hole for zeros (*hole): the file must get its length afterwards.
int write_or_skip(int fd, const char *data, size_t n, bool *hole);

// ---- tar entries (archive-read.c)

struct extent {
  uint64_t offset, length;
};
struct xattr {
  const char *name;  // points into the pax text of the entry
  const char *value;
  size_t length;
};
struct entry {
  char type;  // '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' folder, '6' fifo
  char *name;
  char *link;
  mode_t mode;
  int64_t uid, gid;
  struct timespec mtime;
  uint32_t major, minor;
  uint64_t stored;  // bytes of content still in the stream
  uint64_t size;    // bytes of the file
  bool sparse;
  struct extent *extents;
  size_t extent_count;
  struct xattr *xattrs;
  size_t xattr_count;
  uint64_t padding;  // after the content
  char *pax;         // owned text of the pax header
};
// The next entry: 1, 0 at the end of the archive, or a negative errno with run_fail's text.
int tar_next(struct run *r, struct source *s, struct entry *e);
void entry_free(struct entry *e);
// What is wrong with the archive, in the words of Go's archive/tar; a stream that ends too early.
int tar_bad(struct run *r, const char *what);
int tar_cut(struct run *r, int error);

// ---- maps of sparse files (archive-sparse.c)

int tar_sparse_append(struct entry *e, uint64_t offset, uint64_t length);
// "OFFSET,LENGTH,…" of pax 0.1.
int tar_sparse_text(struct entry *e, const char *map);
// Reads the map that a pax 1.0 sparse file has before its content.
int tar_read_sparse_map(struct run *r, struct source *s, struct entry *e);
// Whether the ranges lie within the file and are the content that is stored.
int tar_check_sparse(struct run *r, struct entry *e);

// ---- what is written before a file (archive-header.c)

struct text {
  char *data;
  size_t used, room;
};
// One file on its way out.
struct item {
  int parent;
  const char *file;  // its name in parent
  const char *name;  // its name in the tar, without a slash at the end
  const char *link;
  struct stat st;
  char type;
  uint64_t size;
};
// Fills `t` with what the ustar header of `i` cannot say; empty where it says everything.
int tar_pax_text(struct text *t, const struct item *i, const char *name, int fd);
// The name alone, where ustar's two fields do not hold it.
int tar_pax_name(struct text *t, const char *name);
// The header of a pax text of so many bytes, for the entry `name`; `h` is a block of zeros.
void tar_pax_header(unsigned char *h, const char *name, uint64_t bytes);
void tar_header(unsigned char *h, const struct item *i, const char *name);

// ---- the split (archive-split.c, docs/internals/layer-split.md)

struct kept;  // one file record: which inode holds its content
struct split {
  struct sink out;
  char raw[4096];
  size_t raw_used;
  uint64_t zeros;
  uint64_t tar_bytes;
  uint32_t files, saved;
  struct kept *kept;  // open addressing by inode
  size_t kept_slots, kept_used;
};
int split_open(struct split *s, int fd);
void split_close(struct split *s);
int split_raw(struct split *s, const void *data, size_t n);
// Says that the next bytes of the tar are the content of `path`, which is inode `ino`.
int split_file(struct split *s, const char *path, ino_t ino, const struct entry *e);
// Keeps the content of an inode that is about to lose a name, when a file record needs it.
int split_save(struct split *s, int parent, const char *name);
int split_end(struct split *s);

// ---- where entries go (archive-place.c)

struct target {
  struct run *run;
  int root;
  int top;             // the root that absolute links start from: the container's
  const char *prefix;  // the path of `root` in it
  // The folder of the entry before, since entries come folder by folder.
  int parent;
  char *parent_path;
  bool parent_linked;  // its path leads through a symlink
};
struct place {
  int parent;
  const char *name;
  bool linked;
};
// Opens what `path` means where it leads through links: those start from the container's root.
int target_open(const struct target *t, const char *path, int flags);
// Opens a folder inside the root. *linked: whether symlinks had to be followed.
int target_folder(struct target *t, const char *path, bool *linked);
// Finds the folder that holds `path`, and makes it where it is missing; the descriptor stays ours.
int target_find(struct target *t, const char *path, struct place *p);
// Says that what comes next lies in the folder `fd`, whose path (ours from now on) is `path`.
void target_enter(struct target *t, int fd, char *path, bool linked);

// ---- an older tree with the same files (archive-twin.c)

struct twin {
  int root;  // -1: none
  const unsigned char *same;
  size_t bytes, files;
  int folder;
  char *path;  // of the folder
};
void twin_open(struct twin *t, int root, const char *same, size_t bytes);
void twin_close(struct twin *t);
bool twin_said(struct twin *t);
bool twin_link(struct twin *t, const char *folder, int parent, const char *name,
               const struct entry *e, uid_t uid, gid_t gid, struct stat *st);

// ---- what people wrote (archive-resolve.c)

// The absolute path beneath root that `path` means after all symlinks, in PATH_MAX bytes of `out`.
// Parts that do not exist are taken as they are.
int resolve_links(int root, const char *path, char *out);
// Whether a name matches n bytes of pattern (*, ?, [a-z], [!a], \\x), as a shell's.
bool matches_pattern(const char *pattern, size_t n, const char *name);

// ---- paths (archive-path.c)

// Removes empty, "." and ".." parts in place. -EXDEV when it leads above the root.
int clean_path(char *path);
// openat2 beneath root. `symlinks`: whether links may be followed, as if root were "/".
int open_beneath(int root, const char *path, int flags, bool symlinks);
// Whether a file is of the kernel's own making (procfs, sysfs, cgroups …): nothing to copy.
bool is_kernel_fs(int fd);
// Whether something is mounted right there.
bool is_mount_root(int fd);
// Deletes name in the folder parent, whatever it is. `split` (optional) keeps needed content.
int remove_beneath(int parent, const char *name, struct split *split);
bool is_whiteout(const struct stat *st);
// The names in a folder, sorted by bytes, without "." and "..". Free with free_names.
int read_names(int fd, char ***names, size_t *count);
void free_names(char **names, size_t count);
// Extended attributes of an open file, or, where fd cannot be opened, of name in parent.
ssize_t list_xattrs(int fd, const char *name, char **list);
ssize_t get_xattr(int fd, const char *name, const char *key, char **value);
// Whether an attribute travels in archives and copies: not overlay's own, not labels of this host.
bool xattr_travels(const char *key);
// Removes what overlay noted for itself while the file was in an upper folder.
int drop_marks(int fd, const char *name);
// Makes an upper folder's root that of a layer: it is no entry of the tar.
int finish_layer_root(int fd, int64_t *opaque);
int set_xattrs(const struct entry *e, int fd, const char *name);  // `fd` itself where NULL

// First names of inodes that have several, for hard links.
struct links {
  struct link_slot *slots;
  size_t size, used;
};
// The name noted earlier for this inode, or NULL after noting `name`; -ENOMEM in *error.
const char *links_note(struct links *l, const struct stat *st, const char *name, int *error);
void links_free(struct links *l);

#endif

// The split: everything of a layer's tar but the content of its files, so that the exact bytes can
// be rebuilt from it and the unpacked tree (format: docs/internals/layer-split.md). Content that
// the tree loses while the archive is unpacked (a later entry of the same name) is kept in here.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"

#define MAGIC "GSPLIT1\n"
#define ZERO_RUN_MIN 16  // shorter runs stay in the raw record
#define END_BYTES 13
enum { REC_RAW = 1, REC_ZEROS, REC_FILE, REC_EXTENTS, REC_SAVED, REC_END };

struct kept {
  ino_t ino;  // 0: free slot
  uint32_t number;
  bool saved;
  struct extent *extents;
  size_t extent_count;
  uint64_t size;
};

static int put_u32(struct sink *s, uint32_t v) { return sink_write(s, &v, sizeof v); }
static int put_u64(struct sink *s, uint64_t v) { return sink_write(s, &v, sizeof v); }
static int put_type(struct sink *s, uint8_t type) { return sink_write(s, &type, 1); }

int split_open(struct split *s, int fd) {
  *s = (struct split){0};
  int error = sink_open(&s->out, fd);
  return error < 0 ? error : sink_write(&s->out, MAGIC, 8);
}

void split_close(struct split *s) {
  for (size_t i = 0; i < s->kept_slots; i++) free(s->kept[i].extents);
  free(s->kept);
  s->kept = NULL;
  sink_close(&s->out);
}

static int end_raw(struct split *s) {
  if (s->raw_used == 0) return 0;
  int error = put_type(&s->out, REC_RAW);
  if (error == 0) error = put_u32(&s->out, (uint32_t)s->raw_used);
  if (error == 0) error = sink_write(&s->out, s->raw, s->raw_used);
  s->raw_used = 0;
  return error;
}

static int append_raw(struct split *s, const char *data, size_t n) {
  while (n > 0) {
    if (s->raw_used == sizeof s->raw) {
      int error = end_raw(s);
      if (error < 0) return error;
    }
    size_t room = sizeof s->raw - s->raw_used, take = n < room ? n : room;
    memcpy(s->raw + s->raw_used, data, take);
    s->raw_used += take;
    data += take;
    n -= take;
  }
  return 0;
}

// Pending zeros become a record of their own, or part of the raw bytes when they are few.
static int end_zeros(struct split *s) {
  static const char zeros[ZERO_RUN_MIN];
  uint64_t n = s->zeros;
  s->zeros = 0;
  if (n < ZERO_RUN_MIN) return append_raw(s, zeros, (size_t)n);
  int error = end_raw(s);
  if (error == 0) error = put_type(&s->out, REC_ZEROS);
  return error < 0 ? error : put_u64(&s->out, n);
}

static size_t zero_prefix(const char *data, size_t n) {
  size_t i = 0;
  while (i < n && data[i] == 0) i++;
  return i;
}

int split_raw(struct split *s, const void *data, size_t n) {
  const char *at = data;
  s->tar_bytes += n;
  while (n > 0) {
    size_t zeros = zero_prefix(at, n);
    s->zeros += zeros;
    at += zeros;
    n -= zeros;
    if (n == 0) break;
    const char *next = memchr(at, 0, n);
    size_t text = next == NULL ? n : (size_t)(next - at);
    int error = end_zeros(s);
    if (error == 0) error = append_raw(s, at, text);
    if (error < 0) return error;
    at += text;
    n -= text;
  }
  return 0;
}

static int end_pending(struct split *s) {
  int error = end_zeros(s);
  return error < 0 ? error : end_raw(s);
}

static struct kept *find_kept(struct split *s, ino_t ino) {
  size_t i = (size_t)(ino * 0x9E3779B97F4A7C15u) & (s->kept_slots - 1);
  while (s->kept[i].ino != 0 && s->kept[i].ino != ino) i = (i + 1) & (s->kept_slots - 1);
  return &s->kept[i];
}

static int grow_kept(struct split *s) {
  size_t old_slots = s->kept_slots;
  struct kept *old = s->kept;
  size_t slots = old_slots == 0 ? 1024 : old_slots * 2;
  struct kept *bigger = calloc(slots, sizeof *bigger);
  if (bigger == NULL) return -ENOMEM;
  s->kept = bigger;
  s->kept_slots = slots;
  for (size_t i = 0; i < old_slots; i++) {
    if (old[i].ino != 0) *find_kept(s, old[i].ino) = old[i];
  }
  free(old);
  return 0;
}

// Remembers which inode holds the content of record `number`. An inode number may come back after
// its file was deleted; the old content has been saved by then.
static int remember(struct split *s, ino_t ino, const struct entry *e) {
  if (s->kept_used * 2 >= s->kept_slots) {
    int error = grow_kept(s);
    if (error < 0) return error;
  }
  struct kept *slot = find_kept(s, ino);
  if (slot->ino == 0) s->kept_used++;
  free(slot->extents);
  *slot = (struct kept){.ino = ino, .number = s->files, .size = e->size};
  if (!e->sparse || e->extent_count == 0) return 0;
  slot->extents = malloc(e->extent_count * sizeof *slot->extents);
  if (slot->extents == NULL) return -ENOMEM;
  memcpy(slot->extents, e->extents, e->extent_count * sizeof *slot->extents);
  slot->extent_count = e->extent_count;
  return 0;
}

int split_file(struct split *s, const char *path, ino_t ino, const struct entry *e) {
  int error = end_pending(s);
  uint32_t length = (uint32_t)strlen(path);
  if (error == 0) error = put_type(&s->out, e->sparse ? REC_EXTENTS : REC_FILE);
  if (error == 0) error = put_u64(&s->out, e->stored);
  if (error == 0) error = put_u32(&s->out, length);
  if (error == 0) error = sink_write(&s->out, path, length);
  if (error == 0 && e->sparse) {
    error = put_u32(&s->out, (uint32_t)e->extent_count);
    if (error == 0) error = sink_write(&s->out, e->extents, e->extent_count * sizeof *e->extents);
  }
  if (error == 0) error = remember(s, ino, e);
  s->files++;
  s->tar_bytes += e->stored;
  return error;
}

static int copy_range(struct sink *out, int fd, uint64_t offset, uint64_t n) {
  char buffer[65536];
  while (n > 0) {
    size_t want = n < sizeof buffer ? (size_t)n : sizeof buffer;
    ssize_t got = pread(fd, buffer, want, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return -EIO;  // shorter than recorded
    int error = sink_write(out, buffer, (size_t)got);
    if (error < 0) return error;
    offset += (uint64_t)got;
    n -= (uint64_t)got;
  }
  return 0;
}

int split_save(struct split *s, int parent, const char *name) {
  if (s->kept_slots == 0) return 0;
  AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0) return -errno;
  struct kept *slot = find_kept(s, st.st_ino);
  if (slot->ino == 0 || slot->saved) return 0;
  uint64_t n = slot->extents == NULL ? slot->size : 0;
  for (size_t i = 0; i < slot->extent_count; i++) n += slot->extents[i].length;
  int error = end_pending(s);
  if (error == 0) error = put_type(&s->out, REC_SAVED);
  if (error == 0) error = put_u32(&s->out, slot->number);
  if (error == 0) error = put_u64(&s->out, n);
  if (error == 0 && slot->extents == NULL) error = copy_range(&s->out, fd, 0, n);
  for (size_t i = 0; error == 0 && i < slot->extent_count; i++) {
    error = copy_range(&s->out, fd, slot->extents[i].offset, slot->extents[i].length);
  }
  slot->saved = true;
  s->saved++;
  return error;
}

int split_end(struct split *s) {
  int error = end_pending(s);
  if (error == 0) error = put_type(&s->out, REC_END);
  if (error == 0) error = put_u64(&s->out, s->tar_bytes);
  if (error == 0) error = put_u32(&s->out, s->saved);
  return error < 0 ? error : sink_flush(&s->out);
}

// ---- rebuilding

struct saved {
  uint32_t number;
  uint64_t offset, length;  // in the split file
};
struct rebuild {
  struct run *run;
  int root, split;
  struct source in;
  struct sink out;
  uint64_t tar_bytes;  // what must come out
  uint64_t position;   // in the split file
  uint32_t number;     // of the next file record
  struct saved *saved;
  uint32_t saved_count;
};

static int take(struct rebuild *b, void *to, size_t n) {
  b->position += n;
  int error = source_read(&b->in, to, n);
  return error == -ENODATA || error == -EPIPE ? -EBADMSG : error;
}

static int pass_over(struct rebuild *b, uint64_t n) {
  b->position += n;
  int error = source_skip(&b->in, n);
  return error == -EPIPE ? -EBADMSG : error;
}

// A damaged split must not write without end.
static bool has_room(const struct rebuild *b, uint64_t n) {
  return n <= b->tar_bytes - b->out.total;
}

static int copy_raw(struct rebuild *b, uint32_t n) {
  char buffer[4096];
  if (n > sizeof buffer || !has_room(b, n)) return -EBADMSG;
  int error = take(b, buffer, n);
  return error < 0 ? error : sink_write(&b->out, buffer, n);
}

static int copy_saved(struct rebuild *b, uint64_t stored) {
  for (uint32_t i = 0; i < b->saved_count; i++) {
    if (b->saved[i].number != b->number) continue;
    if (b->saved[i].length != stored) return -EBADMSG;
    return copy_range(&b->out, b->split, b->saved[i].offset, stored);
  }
  return -ENOENT;
}

static int open_content(struct rebuild *b, const char *path) {
  int fd = open_beneath(b->root, path, O_RDONLY | O_NOFOLLOW, false);
  if (fd < 0) return run_fail(b->run, fd, "layer file %.200s", path);
  return fd;
}

static int copy_extents(struct rebuild *b, int fd, bool output) {
  uint32_t count;
  int error = take(b, &count, sizeof count);
  for (uint32_t i = 0; error == 0 && i < count; i++) {
    struct extent x;
    error = take(b, &x, sizeof x);
    if (error == 0 && output && !has_room(b, x.length)) error = -EBADMSG;
    if (error == 0 && output) error = copy_range(&b->out, fd, x.offset, x.length);
  }
  return error;
}

static int copy_file(struct rebuild *b, uint8_t type) {
  uint64_t stored;
  uint32_t length;
  char path[4097];
  int error = take(b, &stored, sizeof stored);
  if (error == 0) error = take(b, &length, sizeof length);
  if (error == 0 && (length > 4096 || !has_room(b, stored))) error = -EBADMSG;
  if (error == 0) error = take(b, path, length);
  if (error < 0) return error;
  path[length] = '\0';
  int done = copy_saved(b, stored);
  b->number++;
  if (done < 0 && done != -ENOENT) return done;
  AUTO_CLOSE int fd = done == 0 ? -1 : open_content(b, path);
  if (done < 0 && fd < 0) return fd;
  if (type == REC_EXTENTS) return copy_extents(b, fd, done < 0);
  error = done == 0 ? 0 : copy_range(&b->out, fd, 0, stored);
  return error == -EIO ? run_fail(b->run, -EIO, "layer file %.200s is cut short", path) : error;
}

static int rebuild_record(struct rebuild *b, uint8_t type) {
  uint32_t n;
  uint64_t zeros;
  int error;
  switch (type) {
    case REC_RAW:
      error = take(b, &n, sizeof n);
      return error < 0 ? error : copy_raw(b, n);
    case REC_ZEROS:
      error = take(b, &zeros, sizeof zeros);
      if (error == 0 && !has_room(b, zeros)) error = -EBADMSG;
      return error < 0 ? error : sink_zeros(&b->out, zeros);
    case REC_FILE:
    case REC_EXTENTS: return copy_file(b, type);
    case REC_SAVED:
      error = take(b, &n, sizeof n);
      if (error == 0) error = take(b, &zeros, sizeof zeros);
      return error < 0 ? error : pass_over(b, zeros);
    default: return -EBADMSG;
  }
}

// Skips a record; the place of a saved content is noted.
static int index_record(struct rebuild *b, uint8_t type) {
  uint32_t n, count = 0;
  uint64_t big;
  int error;
  switch (type) {
    case REC_RAW:
      error = take(b, &n, sizeof n);
      return error < 0 ? error : pass_over(b, n);
    case REC_ZEROS: return pass_over(b, 8);
    case REC_FILE:
    case REC_EXTENTS:
      error = pass_over(b, 8);
      if (error == 0) error = take(b, &n, sizeof n);
      if (error == 0) error = pass_over(b, n);
      if (error == 0 && type == REC_EXTENTS) error = take(b, &count, sizeof count);
      return error < 0 ? error : pass_over(b, (uint64_t)count * sizeof(struct extent));
    case REC_SAVED: break;
    default: return -EBADMSG;
  }
  error = take(b, &n, sizeof n);
  if (error == 0) error = take(b, &big, sizeof big);
  if (error < 0) return error;
  struct saved *grown = realloc(b->saved, (b->saved_count + 1) * sizeof *grown);
  if (grown == NULL) return -ENOMEM;
  b->saved = grown;
  b->saved[b->saved_count++] = (struct saved){.number = n, .offset = b->position, .length = big};
  return pass_over(b, big);
}

static int each_record(struct rebuild *b, int (*visit)(struct rebuild *, uint8_t)) {
  if (lseek(b->split, 0, SEEK_SET) < 0) return -errno;
  b->in.start = b->in.end = 0;
  b->in.ended = false;
  b->position = 0;
  char magic[8];
  int error = take(b, magic, sizeof magic);
  if (error == 0 && memcmp(magic, MAGIC, sizeof magic) != 0) error = -EBADMSG;
  while (error == 0) {
    uint8_t type;
    error = take(b, &type, 1);
    if (error < 0 || type == REC_END) break;
    error = visit(b, type);
  }
  return error;
}

static int rebuild_all(struct rebuild *b) {
  uint32_t saved;
  char end[END_BYTES];
  off_t size = lseek(b->split, 0, SEEK_END);
  if (size < END_BYTES || pread(b->split, end, END_BYTES, size - END_BYTES) != END_BYTES ||
      end[0] != REC_END) {
    return run_fail(b->run, -EBADMSG, "layer split is cut short");
  }
  memcpy(&b->tar_bytes, end + 1, sizeof b->tar_bytes);
  memcpy(&saved, end + 9, sizeof saved);
  int error = saved > 0 ? each_record(b, index_record) : 0;
  if (error == 0) error = each_record(b, rebuild_record);
  if (error == 0) error = sink_flush(&b->out);
  if (error == 0 && b->out.total != b->tar_bytes) error = -EBADMSG;
  if (error == -EBADMSG && b->run->text[0] == '\0') {
    return run_fail(b->run, error, "layer split is damaged");
  }
  return error;
}

int op_untar_rebuild(struct run *r, const struct op *o) {
  struct rebuild b = {.run = r};
  b.root = run_fd(r, &o->fields[0]);
  b.split = run_fd(r, &o->fields[1]);
  int to = run_fd(r, &o->fields[2]);
  if (b.root < 0 || b.split < 0 || to < 0) return -EBADF;
  int error = source_open(&b.in, b.split);
  if (error == 0) error = sink_open(&b.out, to);
  if (error == 0) error = rebuild_all(&b);
  source_close(&b.in);
  sink_close(&b.out);
  free(b.saved);
  return error;
}

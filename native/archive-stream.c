// Buffered reading and writing for the archive operations: one buffer a direction, whole reads and
// writes, and a tee of raw bytes into the split while a layer is read.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"

int source_open(struct source *s, int fd) {
  *s = (struct source){.fd = fd, .buffer = malloc(STREAM_BYTES)};
  return s->buffer == NULL ? -ENOMEM : 0;
}

void source_close(struct source *s) {
  free(s->buffer);
  s->buffer = NULL;
}

ssize_t source_fill(struct source *s) {
  if (s->start < s->end) return (ssize_t)(s->end - s->start);
  if (s->ended) return 0;
  ssize_t got;
  do got = read(s->fd, s->buffer, STREAM_BYTES);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  s->start = 0;
  s->end = (size_t)got;
  s->ended = got == 0;
  return got;
}

int source_read(struct source *s, void *to, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t have = source_fill(s);
    if (have < 0) return (int)have;
    if (have == 0) return done == 0 ? -ENODATA : -EPIPE;
    size_t take = (size_t)have < n - done ? (size_t)have : n - done;
    memcpy((char *)to + done, s->buffer + s->start, take);
    if (s->split != NULL) {
      int error = split_raw(s->split, s->buffer + s->start, take);
      if (error < 0) return error;
    }
    s->start += take;
    done += take;
  }
  return 0;
}

int source_skip(struct source *s, uint64_t n) {
  while (n > 0) {
    ssize_t have = source_fill(s);
    if (have < 0) return (int)have;
    if (have == 0) return -EPIPE;
    size_t take = (uint64_t)have < n ? (size_t)have : (size_t)n;
    if (s->split != NULL) {
      int error = split_raw(s->split, s->buffer + s->start, take);
      if (error < 0) return error;
    }
    s->start += take;
    n -= take;
  }
  return 0;
}

int write_all(int fd, const void *data, size_t n) {
  const char *at = data;
  while (n > 0) {
    ssize_t wrote = write(fd, at, n);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return -errno;
    at += wrote;
    n -= (size_t)wrote;
  }
  return 0;
}

int sink_open(struct sink *s, int fd) {
  signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error like others
  *s = (struct sink){.fd = fd, .buffer = malloc(STREAM_BYTES)};
  return s->buffer == NULL ? -ENOMEM : 0;
}

void sink_close(struct sink *s) {
  free(s->buffer);
  s->buffer = NULL;
}

// Bytes go to the descriptor, or into a digest only.
static int pass_on(struct sink *s, const void *data, size_t n) {
  if (s->fd >= 0) return write_all(s->fd, data, n);
  sha256_add(s->hash, data, n);
  return 0;
}

int sink_flush(struct sink *s) {
  int error = pass_on(s, s->buffer, s->used);
  s->used = 0;
  return error;
}

int sink_write(struct sink *s, const void *data, size_t n) {
  s->total += n;
  if (n > STREAM_BYTES - s->used) {
    int error = sink_flush(s);
    if (error < 0) return error;
    if (n >= STREAM_BYTES) return pass_on(s, data, n);
  }
  memcpy(s->buffer + s->used, data, n);
  s->used += n;
  return 0;
}

int sink_zeros(struct sink *s, uint64_t n) {
  static const char zeros[4096];
  while (n > 0) {
    size_t take = n < sizeof zeros ? (size_t)n : sizeof zeros;
    int error = sink_write(s, zeros, take);
    if (error < 0) return error;
    n -= take;
  }
  return 0;
}

#define HOLE_BYTES_MIN 4096

static bool all_zeros(const char *data, size_t n) {
  return data[0] == 0 && memcmp(data, data + 1, n - 1) == 0;
}

// Long runs of zeros become holes: most of what a decompression bomb holds costs no disk then.
int write_or_skip(int fd, const char *data, size_t n, bool *hole) {
  *hole = n >= HOLE_BYTES_MIN && all_zeros(data, n);
  if (!*hole) return write_all(fd, data, n);
  return lseek(fd, (off_t)n, SEEK_CUR) < 0 ? -errno : 0;
}

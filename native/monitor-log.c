// The local log in docker's json-file format, byte for byte what dockerd's driver writes: a line
// an entry, long lines in parts of 16 KiB, rotation by size. Compression of rotated files is left
// to the daemon (this program links libc only), so both names, with and without .gz, move on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

#define OUT_BYTES 32768
static struct {
  char data[OUT_BYTES];
  size_t length;
  int64_t start;  // size of the file when the current entry began
  bool broken;    // the current entry could not be written
} out;

int log_open(struct log *log) {
  log->fd = -1;
  if (!log->path || !*log->path) return 0;
  log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (log->fd < 0) return -errno;
  struct stat st;
  log->bytes = fstat(log->fd, &st) ? 0 : st.st_size;
  return 0;
}

static void flush(struct log *log) {
  if (out.length > 0 && !out.broken && write_fully(log->fd, out.data, out.length))
    out.broken = true;
  out.length = 0;
}

static void put(struct log *log, const char *data, size_t length) {
  while (length > 0) {
    if (out.length == OUT_BYTES) flush(log);
    size_t take = OUT_BYTES - out.length < length ? OUT_BYTES - out.length : length;
    memcpy(out.data + out.length, data, take);
    out.length += take;
    log->bytes += (int64_t)take;
    data += take;
    length -= take;
  }
}

// A full disk costs the entry, never half of one: the file is cut where the entry began.
static void finish(struct log *log) {
  flush(log);
  if (!out.broken) return;
  out.broken = false;
  struct stat st;
  if (ftruncate(log->fd, out.start) == 0) log->bytes = out.start;
  else if (fstat(log->fd, &st) == 0) log->bytes = st.st_size;
}

static void rotate(struct log *log) {
  char from[4096], to[4096];
  if (log->max_files > 1) {
    static const char *const endings[] = {"", ".gz"};
    for (int e = 0; e < 2; e++) {
      for (uint32_t i = log->max_files - 1; i > 0; i--) {
        snprintf(to, sizeof to, "%s.%u%s", log->path, i, endings[e]);
        if (i > 1) snprintf(from, sizeof from, "%s.%u%s", log->path, i - 1, endings[e]);
        else snprintf(from, sizeof from, "%s", log->path);
        if (i == log->max_files - 1) unlink(to);
        if (i > 1 || e == 0) rename(from, to);
      }
    }
  }
  int fd = open(log->path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return;  // the old descriptor still takes the output
  close(log->fd);
  log->fd = fd;
  log->bytes = 0;
}

// Length of the valid UTF-8 sequence at `s`, or 0.
static size_t rune_length(const uint8_t *s, size_t left, uint32_t *rune) {
  uint8_t b = s[0];
  size_t n = b >= 0xf0 && b <= 0xf4 ? 4 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xc2 && b < 0xe0 ? 2 : 0;
  if (n == 0 || left < n) return 0;
  uint32_t value = b & (0xffu >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    value = value << 6 | (s[i] & 0x3fu);
  }
  if (n == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))) return 0;
  if (n == 4 && (value < 0x10000 || value > 0x10ffff)) return 0;
  *rune = value;
  return n;
}

static void put_escaped(struct log *log, const char *text, size_t length) {
  const uint8_t *s = (const uint8_t *)text;
  size_t start = 0, i = 0;
  while (i < length) {
    uint8_t b = s[i];
    char escape[8];
    size_t used = 1;
    uint32_t rune = 0;
    if (b >= 0x20 && b < 0x80 && b != '\\' && b != '"' && b != '<' && b != '>' && b != '&') {
      i++;
      continue;
    }
    if (b >= 0x80) {
      used = rune_length(s + i, length - i, &rune);
      if (used > 0 && rune != 0x2028 && rune != 0x2029) {
        i += used;
        continue;
      }
      snprintf(escape, sizeof escape, "\\u%04x", used ? rune : 0xfffd);
      if (used == 0) used = 1;
    } else if (b == '\\' || b == '"') {
      snprintf(escape, sizeof escape, "\\%c", b);
    } else if (b == '\n' || b == '\r') {
      snprintf(escape, sizeof escape, "\\%c", b == '\n' ? 'n' : 'r');
    } else {
      snprintf(escape, sizeof escape, "\\u%04x", b);
    }
    put(log, text + start, i - start);
    put(log, escape, strlen(escape));
    i += used;
    start = i;
  }
  put(log, text + start, length - start);
}

// RFC 3339 with nanoseconds, trailing zeros cut, as Go does. A line a microsecond is usual:
// the part that changes once a second is kept.
static size_t format_time(char *text, int64_t seconds, uint32_t nanoseconds) {
  static char prefix[32];
  static size_t length;
  static int64_t of = -1;
  if (seconds != of) {
    struct tm tm;
    time_t t = (time_t)seconds;
    gmtime_r(&t, &tm);
    length = strftime(prefix, sizeof prefix, "%Y-%m-%dT%H:%M:%S", &tm);
    of = seconds;
  }
  memcpy(text, prefix, length);
  size_t n = length;
  if (nanoseconds > 0) {
    text[n] = '.';
    for (int digit = 9; digit > 0; digit--, nanoseconds /= 10)
      text[n + (size_t)digit] = (char)('0' + nanoseconds % 10);
    n += 10;
    while (text[n - 1] == '0') n--;
  }
  text[n++] = 'Z';
  return n;
}

#define PUT(log, literal) put(log, literal, sizeof(literal) - 1)

static void entry(struct log *log, struct stream *s, const char *more, size_t length, bool last) {
  if (log->max_bytes > 0 && log->bytes >= log->max_bytes) {
    finish(log);
    rotate(log);
  }
  if (!s->partial) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    s->partial_seconds = now.tv_sec;
    s->partial_nanoseconds = (uint32_t)now.tv_nsec;
  }
  s->partial = !last;
  char time[48];
  size_t time_length = format_time(time, s->partial_seconds, s->partial_nanoseconds);
  if (out.length == 0) out.start = log->bytes;
  PUT(log, "{\"log\":\"");
  put_escaped(log, s->tail, s->tail_length);
  put_escaped(log, more, length);
  if (last) PUT(log, "\\n");
  PUT(log, "\",\"stream\":\"");
  if (s->number == 1) PUT(log, "stdout\"");
  else PUT(log, "stderr\"");
  if (*log->attrs) {
    PUT(log, ",\"attrs\":");
    put(log, log->attrs, strlen(log->attrs));
  }
  PUT(log, ",\"time\":\"");
  put(log, time, time_length);
  PUT(log, "\"}\n");
  free(s->tail);
  s->tail = NULL;
  s->tail_length = 0;
}

void log_output(struct log *log, struct stream *s, const char *data, size_t length) {
  if (log->fd < 0) return;
  while (length > 0) {
    size_t room = STREAM_CHUNK_BYTES - s->tail_length;
    size_t take = length < room ? length : room;
    const char *newline = memchr(data, '\n', take);
    if (newline) {
      take = (size_t)(newline - data);
      entry(log, s, data, take, true);
      take++;
    } else if (take == room) {
      entry(log, s, data, take, false);
    } else {
      char *grown = realloc(s->tail, s->tail_length + take);
      if (grown) {
        memcpy(grown + s->tail_length, data, take);
        s->tail = grown;
        s->tail_length += (uint32_t)take;
      }
    }
    data += take;
    length -= take;
  }
  finish(log);
}

void log_end(struct log *log, struct stream *s) {
  if (log->fd < 0 || s->tail_length == 0) return;
  entry(log, s, "", 0, false);
  finish(log);
}

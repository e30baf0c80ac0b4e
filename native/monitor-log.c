// Output becomes entries: a line each, long lines in parts of 16 KiB, as dockerd cuts them. In
// docker's json-file format byte for byte as its driver writes it, or as binary records (driver
// `local` and the cache of remote drivers), which hold any byte.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "monitor.h"

// An escaped byte is at most six; and what stands around a text in JSON.
#define FRAME_BYTES 160
#define OUT_BYTES (512u << 10)
#define QUEUE_BATCH_BYTES (64u << 10)
#define ENDING_MS 2500  // how long a slow disk may delay the end of a monitor
#define REPORT_MS 1000  // and the report of an exit

static struct {
  struct log_policy policy;
  char *data;  // whole entries, not yet passed on
  size_t length, capacity, entry_max;
  char *attrs;
  size_t attrs_length;
  bool open;
  struct timespec now;  // of the chunk: every entry of it is a nanosecond later than the one before
} out;

static struct source spool;
static void (*on_room)(void);

static void on_spool(struct source *s, uint32_t events) {
  (void)s;
  (void)events;
  store_spool_drain();
  if (!store_spool_full() && on_room) on_room();
}

int log_open(const struct log_policy *policy, char *attrs, void (*room)(void)) {
  if (!policy->path || !*policy->path) return 0;
  out.policy = *policy;
  out.attrs = attrs;
  out.attrs_length = strlen(attrs);
  out.entry_max = 6 * (size_t)STREAM_CHUNK_BYTES + FRAME_BYTES + out.attrs_length;
  out.capacity = OUT_BYTES + out.entry_max;
  int error = store_open(policy);
  if (!error && policy->queue_bytes > 0) {
    size_t least = 2 * out.entry_max, asked = (size_t)policy->queue_bytes;
    error = queue_start(asked > least ? asked : least);
  }
  if (error) return error;
  out.open = true;
  on_room = room;
  spool = (struct source){on_spool, store_spool_watch(), 0};
  if (spool.fd >= 0 && policy->blocking) watch_source(&spool, EPOLLIN);
  return 0;
}

bool log_is_full(void) { return out.open && out.policy.blocking && store_spool_full(); }

// What there is no room for is dropped, entry by entry.
static void enqueue(const char *data, size_t length) {
  uint64_t dropped = 0;
  if (queue_put(data, length)) return;
  for (size_t n; length > 0; data += n, length -= n) {
    n = entry_length(out.policy.format, data, length);
    if (!queue_put(data, n)) dropped++;
  }
  if (dropped > 0) queue_dropped(dropped);
}

bool log_has_rotated(void) { return out.open && store_has_rotated(); }

static void pass_on(void) {
  if (out.length == 0) return;
  if (out.policy.queue_bytes > 0) enqueue(out.data, out.length);
  else store_write(out.data, out.length);
  out.length = 0;
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

#define EACH(byte) (0x0101010101010101u * (byte))
#define HIGH EACH(0x80)

// The high bit of each byte that is equal to `byte` (and perhaps of bytes after one).
static inline uint64_t equals(uint64_t word, uint8_t byte) {
  uint64_t zero = word ^ EACH(byte);
  return (zero - EACH(1)) & ~zero & HIGH;
}

// True when none of eight bytes has to be escaped or looked at: printable ASCII.
static inline bool is_plain(uint64_t word) {
  uint64_t odd = word | (word - EACH(0x20));  // not ASCII, or below a space
  odd |= equals(word, '"') | equals(word, '\\') | equals(word, '&');
  return ((odd & HIGH) | equals(word & ~EACH(2), '<')) == 0;  // '<' and '>' differ in one bit
}

static char *put_escape(char *to, const uint8_t *s, size_t left, size_t *used) {
  uint32_t rune = 0;
  uint8_t b = *s;
  *used = 1;
  if (b >= 0x80) {
    *used = rune_length(s, left, &rune);
    if (*used > 0 && rune != 0x2028 && rune != 0x2029) return mempcpy(to, s, *used);
    to += sprintf(to, "\\u%04x", *used ? rune : 0xfffd);
    if (*used == 0) *used = 1;
    return to;
  }
  if (b >= 0x20 && b != '\\' && b != '"' && b != '<' && b != '>' && b != '&') {
    *to++ = (char)b;
    return to;
  }
  static const char digits[] = "0123456789abcdef";
  *to++ = '\\';
  if (b == '\\' || b == '"') *to++ = (char)b;
  else if (b == '\n' || b == '\r') *to++ = b == '\n' ? 'n' : 'r';
  else {
    to = mempcpy(to, "u00", 3);
    *to++ = digits[b >> 4];
    *to++ = digits[b & 15];
  }
  return to;
}

static char *put_escaped(char *to, const char *text, size_t length) {
  const uint8_t *s = (const uint8_t *)text, *end = s + length;
  while (s < end) {
    uint64_t word;
    while (end - s >= 8) {
      memcpy(&word, s, sizeof word);
      if (!is_plain(word)) break;
      memcpy(to, &word, sizeof word);
      s += 8;
      to += 8;
    }
    // Up to the next eight plain bytes, one by one.
    for (const uint8_t *stop = end - s > 8 ? s + 8 : end; s < stop;) {
      size_t used;
      to = put_escape(to, s, (size_t)(end - s), &used);
      s += used;
    }
  }
  return to;
}

// RFC 3339 with nanoseconds, trailing zeros cut, as Go does. A line a microsecond is usual:
// the part that changes once a second is kept.
static char *put_time(char *to, int64_t seconds, uint32_t nanoseconds) {
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
  to = mempcpy(to, prefix, length);
  if (nanoseconds > 0) {
    *to = '.';
    for (int digit = 9; digit > 0; digit--, nanoseconds /= 10)
      to[digit] = (char)('0' + nanoseconds % 10);
    to += 10;
    while (to[-1] == '0') to--;
  }
  *to++ = 'Z';
  return to;
}

#define PUT(to, literal) mempcpy(to, literal, sizeof(literal) - 1)

static char *put_json(char *to, const struct stream *s, const char *more, size_t length,
                      bool last) {
  to = PUT(to, "{\"log\":\"");
  to = put_escaped(to, s->tail, s->tail_length);
  to = put_escaped(to, more, length);
  if (last) to = PUT(to, "\\n");
  to = s->number == 1 ? PUT(to, "\",\"stream\":\"stdout\"") : PUT(to, "\",\"stream\":\"stderr\"");
  if (out.attrs_length > 0) {
    to = PUT(to, ",\"attrs\":");
    to = mempcpy(to, out.attrs, out.attrs_length);
  }
  to = PUT(to, ",\"time\":\"");
  to = put_time(to, s->partial_seconds, s->partial_nanoseconds);
  return PUT(to, "\"}\n");
}

static char *put_record(char *to, const struct stream *s, const char *more, size_t length,
                        bool last) {
  uint32_t text = s->tail_length + (uint32_t)length;
  bool part = s->ordinal > 0 || !last;
  uint16_t ordinal = part && s->ordinal < UINT16_MAX ? (uint16_t)(s->ordinal + 1) : s->ordinal;
  uint8_t flags = (uint8_t)(s->number | (part ? LOG_FLAG_PART : 0) | (last ? LOG_FLAG_LAST : 0));
  int64_t time = s->partial_seconds * 1000000000 + s->partial_nanoseconds;
  uint32_t whole = text + LOG_RECORD_HEAD + LOG_RECORD_TAIL;
  to = mempcpy(to, &text, sizeof text);
  *to++ = (char)flags;
  *to++ = 0;
  to = mempcpy(to, &ordinal, sizeof ordinal);
  to = mempcpy(to, &time, sizeof time);
  to = mempcpy(to, s->tail, s->tail_length);
  to = mempcpy(to, more, length);
  return mempcpy(to, &whole, sizeof whole);
}

static void keep_tail(struct stream *s, const char *data, size_t length) {
  if (!s->tail) s->tail = malloc(STREAM_CHUNK_BYTES);
  if (!s->tail || length == 0) return;
  memcpy(s->tail + s->tail_length, data, length);
  s->tail_length += (uint32_t)length;
}

// Bytes at the end of a text that begin a UTF-8 sequence which is not complete.
static uint32_t torn_rune(const char *text, uint32_t length) {
  for (uint32_t back = 1; back <= 3 && back < length; back++) {
    uint8_t b = (uint8_t)text[length - back];
    if (b < 0x80) return 0;
    if (b < 0xc0) continue;
    uint32_t needs = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2;
    return needs > back ? back : 0;
  }
  return 0;
}

static void entry(struct stream *s, const char *more, size_t length, bool last) {
  if (s->ordinal == 0) {
    s->partial_seconds = out.now.tv_sec;
    s->partial_nanoseconds = (uint32_t)out.now.tv_nsec;
    if (++out.now.tv_nsec == 1000000000) out.now.tv_sec++, out.now.tv_nsec = 0;
  }
  bool json = out.policy.format == LOG_JSON;
  uint32_t torn = 0;
  if (s->tail_length > 0 || !last) {  // a sequence may lie in both, and in this part and the next
    keep_tail(s, more, length);
    length = 0;
    if (json && !last && s->tail_length == STREAM_CHUNK_BYTES)
      torn = torn_rune(s->tail, s->tail_length);
    s->tail_length -= torn;
  }
  char *start = out.data + out.length;
  char *end = json ? put_json(start, s, more, length, last)
                   : put_record(start, s, more, length, last);
  out.length += (size_t)(end - start);
  if (torn > 0) memmove(s->tail, s->tail + s->tail_length, torn);
  s->tail_length = torn;
  if (last) s->ordinal = 0;
  else if (s->ordinal < UINT16_MAX) s->ordinal++;
  if (out.length >= (out.policy.queue_bytes > 0 ? QUEUE_BATCH_BYTES : OUT_BYTES)) pass_on();
}

void log_output(struct stream *s, const char *data, size_t length) {
  if (!out.open) return;
  if (!out.data && !(out.data = malloc(out.capacity))) return;
  clock_gettime(CLOCK_REALTIME, &out.now);
  while (length > 0) {
    size_t room = STREAM_CHUNK_BYTES - s->tail_length;
    size_t take = length < room ? length : room;
    const char *newline = memchr(data, '\n', take);
    if (newline) {
      take = (size_t)(newline - data);
      entry(s, data, take, true);
      take++;
    } else if (take == room) {
      entry(s, data, take, false);
    } else {
      keep_tail(s, data, take);
    }
    data += take;
    length -= take;
  }
  pass_on();
}

void log_end(struct stream *s) {
  if (!out.open || s->tail_length == 0) return;
  if (!out.data && !(out.data = malloc(out.capacity))) return;
  clock_gettime(CLOCK_REALTIME, &out.now);
  entry(s, "", 0, false);
  pass_on();
}

void log_settle(bool ending) {
  if (out.policy.queue_bytes > 0) queue_flush(ending ? ENDING_MS : REPORT_MS);
}

// DNS messages (RFC 1035, RFC 6891) as far as a forwarding name server must understand them. All
// input is hostile: it comes from containers and from servers elsewhere.
#define _GNU_SOURCE
#include "resolver.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 12
#define TTL_SECONDS 60           // of our own names
#define TTL_SECONDS_MAX 300      // how long an answer of others is kept
#define NEGATIVE_SECONDS_MAX 60
#define QR 0x80
#define TC 0x02
#define RD 0x01
#define RA 0x80

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
static void put16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}
static void put32(uint8_t *at, uint32_t value) {
  put16(at, (uint16_t)(value >> 16));
  put16(at + 2, (uint16_t)value);
}

// Whether the name at `at` ends, by way of pointers to what is before them.
static bool name_ends(const uint8_t *m, size_t length, size_t at) {
  for (int labels = 0; labels < NAME_BYTES_MAX && at < length; labels++) {
    uint8_t size = m[at];
    if (size == 0) return true;
    if ((size & 0xc0) == 0xc0) {
      size_t target = at + 2 <= length ? get16(m + at) & 0x3fffu : at;
      // The header is no name, whatever its id looks like: the client gets another one.
      if (target >= at || target < HEADER) return false;
      at = target;
    } else if (size & 0xc0) {
      return false;
    } else {
      at += size + 1u;
    }
  }
  return false;
}

// The offset after a name that may end in a pointer, or 0.
static size_t skip_name(const uint8_t *m, size_t length, size_t at) {
  while (at < length) {
    uint8_t size = m[at];
    if (size == 0) return at + 1;
    if ((size & 0xc0) == 0xc0) return name_ends(m, length, at) ? at + 2 : 0;
    if (size & 0xc0) return 0;
    at += size + 1u;
  }
  return 0;
}

// A question's name: no pointers. Labels with a dot in them are no names of ours.
static size_t take_name(const uint8_t *m, size_t length, char *out) {
  size_t at = HEADER, used = 0;
  while (at < length && m[at] != 0) {
    uint8_t size = m[at];
    if (size > 63 || at + 1 + size >= length || used + size + 1 > NAME_BYTES_MAX) return 0;
    if (used > 0) out[used++] = '.';
    for (int i = 0; i < size; i++) {
      uint8_t byte = m[at + 1 + (size_t)i];
      out[used++] = byte == '.' || byte == 0 ? '\1' : (char)tolower(byte);
    }
    at += size + 1u;
  }
  out[used] = 0;
  return at < length ? at + 1 : 0;
}

int question_parse(const uint8_t *m, size_t length, struct question *q) {
  memset(q, 0, sizeof *q);
  if (length < HEADER || m[2] & QR) return -1;
  q->udp_bytes = UDP_BYTES_MIN;
  q->end = HEADER;
  if ((m[2] >> 3 & 0xf) != 0) return NOTIMP;
  if (get16(m + 4) != 1 || get16(m + 6) != 0 || get16(m + 8) != 0) return FORMERR;
  size_t at = take_name(m, length, q->name);
  if (at == 0 || at + 4 > length) return FORMERR;
  q->type = get16(m + at);
  q->class = get16(m + at + 2);
  at += 4;
  q->end = at;
  for (int left = get16(m + 10); left > 0; left--) {
    at = skip_name(m, length, at);
    if (at == 0 || at + 10 > length) return FORMERR;
    size_t size = get16(m + at + 8);
    if (at + 10 + size > length) return FORMERR;
    if (get16(m + at) == TYPE_OPT) {
      q->edns = true;
      q->dnssec_ok = m[at + 6] & 0x80;
      uint16_t bytes = get16(m + at + 2);
      q->udp_bytes = bytes < UDP_BYTES_MIN ? UDP_BYTES_MIN : bytes;
    }
    at += 10 + size;
  }
  return 0;
}

bool same_question(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
  if (a_length < HEADER || b_length < HEADER) return false;
  if (get16(a + 4) != 1 || get16(b + 4) != 1) return false;
  char a_name[NAME_BYTES_MAX + 1], b_name[NAME_BYTES_MAX + 1];
  size_t a_end = take_name(a, a_length, a_name), b_end = take_name(b, b_length, b_name);
  return a_end != 0 && b_end != 0 && a_end + 4 <= a_length && b_end + 4 <= b_length &&
         strcmp(a_name, b_name) == 0 && memcmp(a + a_end, b + b_end, 4) == 0;
}

bool reverse_address(const char *name, struct ip *ip) {
  memset(ip, 0, sizeof *ip);
  unsigned b[4];
  int used = 0;
  if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &b[3], &b[2], &b[1], &b[0], &used) == 4 &&
      used > 0 && name[used] == 0) {
    ip->family = 4;
    for (int i = 0; i < 4; i++) {
      if (b[i] > 255) return false;
      ip->bytes[i] = (uint8_t)b[i];
    }
    return true;
  }
  if (strlen(name) != 72 || strcmp(name + 64, "ip6.arpa") != 0) return false;
  ip->family = 6;
  for (int i = 0; i < 32; i++) {
    char digit = name[i * 2];
    if (!isxdigit((unsigned char)digit) || name[i * 2 + 1] != '.') return false;
    int value = isdigit((unsigned char)digit) ? digit - '0' : digit - 'a' + 10;
    ip->bytes[15 - i / 2] |= (uint8_t)(i % 2 ? value << 4 : value);
  }
  return true;
}

// Header, question; returns its length.
static size_t begin(const uint8_t *query, const struct question *q, int rcode, uint8_t *out) {
  memcpy(out, query, q->end);
  out[2] = (uint8_t)(QR | (query[2] & (0x78 | RD)));
  out[3] = (uint8_t)(RA | rcode);
  put16(out + 4, q->end > HEADER ? 1 : 0);
  memset(out + 6, 0, 6);
  return q->end;
}

static size_t finish(const struct question *q, uint8_t *out, size_t at) {
  if (!q->edns) return at;
  out[at] = 0;
  put16(out + at + 1, TYPE_OPT);
  put16(out + at + 3, UDP_PAYLOAD_BYTES);
  memset(out + at + 5, 0, 6);
  put16(out + 10, 1);
  return at + 11;
}

size_t answer_empty(const uint8_t *query, const struct question *q, int rcode, uint8_t *out) {
  return finish(q, out, begin(query, q, rcode, out));
}

static size_t put_head(uint8_t *at, uint16_t type, size_t length) {
  put16(at, 0xc000 | HEADER);
  put16(at + 2, type);
  put16(at + 4, CLASS_IN);
  put32(at + 6, TTL_SECONDS);
  put16(at + 10, (uint16_t)length);
  return 12;
}

// The name as labels; 0 where it cannot be one.
static size_t put_name(uint8_t *out, const char *name) {
  size_t at = 0;
  while (*name) {
    size_t size = strcspn(name, ".");
    if (size == 0 || size > 63) return 0;
    out[at++] = (uint8_t)size;
    memcpy(out + at, name, size);
    at += size;
    name += size;
    if (*name == '.') name++;
  }
  out[at] = 0;
  return at + 1;
}

size_t answer_record(const uint8_t *query, const struct question *q, struct record *r,
                     size_t limit, uint8_t *out) {
  size_t at = begin(query, q, NOERROR, out);
  size_t opt = q->edns ? 11 : 0;
  int count = 0;
  if (r->reverse) {
    uint8_t name[NAME_BYTES_MAX + 1];
    size_t size = q->type == TYPE_PTR ? put_name(name, r->name) : 0;
    if (size > 0 && at + 12 + size + opt <= limit) {
      at += put_head(out + at, TYPE_PTR, size);
      memcpy(out + at, name, size);
      at += size;
      count = 1;
    }
  } else {
    int family = q->type == TYPE_A ? 4 : q->type == TYPE_AAAA ? 6 : 0;
    size_t size = family == 4 ? 4 : 16;
    unsigned first = r->count > 1 ? r->turn++ : 0;
    for (unsigned i = 0; i < r->count && family; i++) {
      const struct ip *ip = &r->ips[(first + i) % r->count];
      if (ip->family != family) continue;
      if (at + 12 + size + opt > limit) {
        out[2] |= TC;
        break;
      }
      at += put_head(out + at, q->type, size);
      memcpy(out + at, ip->bytes, size);
      at += size;
      count++;
    }
  }
  put16(out + 6, (uint16_t)count);
  return finish(q, out, at);
}

// Calls `each` with every record but OPT; false where the message is malformed.
typedef void each_record(uint8_t *m, size_t at, int section, void *context);
static bool walk(uint8_t *m, size_t length, each_record *each, void *context) {
  if (length < HEADER || get16(m + 4) != 1) return false;
  size_t at = skip_name(m, length, HEADER);
  if (at == 0 || at + 4 > length) return false;
  at += 4;
  for (int section = 0; section < 3; section++) {
    for (int left = get16(m + 6 + section * 2); left > 0; left--) {
      at = skip_name(m, length, at);
      if (at == 0 || at + 10 > length || at + 10 + get16(m + at + 8) > length) return false;
      if (get16(m + at) != TYPE_OPT) each(m, at, section, context);
      at += 10u + get16(m + at + 8);
    }
  }
  return true;
}

struct ttl {
  uint32_t lowest, negative;
  bool answered, soa;
};

static void see_ttl(uint8_t *m, size_t at, int section, void *context) {
  struct ttl *t = context;
  uint32_t seconds = get32(m + at + 4);
  if (seconds & 0x80000000u) seconds = 0;
  if (seconds < t->lowest) t->lowest = seconds;
  if (section == 0) t->answered = true;
  size_t size = get16(m + at + 8);
  if (section != 1 || get16(m + at) != TYPE_SOA || size < 22) return;
  uint32_t minimum = get32(m + at + 10 + size - 4);
  t->soa = true;
  t->negative = minimum < seconds ? minimum : seconds;
}

uint32_t answer_ttl(const uint8_t *message, size_t length) {
  struct ttl t = {.lowest = TTL_SECONDS_MAX, .negative = 0};
  int rcode = length > 3 ? message[3] & 0xf : SERVFAIL;
  if (rcode != NOERROR && rcode != NXDOMAIN) return 0;
  if (message[2] & TC || !walk((uint8_t *)(uintptr_t)message, length, see_ttl, &t)) return 0;
  if (rcode == NOERROR && t.answered) return t.lowest;
  if (!t.soa) return 0;  // RFC 2308: nothing says how long it holds
  uint32_t seconds = t.negative < t.lowest ? t.negative : t.lowest;
  return seconds < NEGATIVE_SECONDS_MAX ? seconds : NEGATIVE_SECONDS_MAX;
}

static void see_nothing(uint8_t *m, size_t at, int section, void *context) {
  (void)m, (void)at, (void)section, (void)context;
}

bool answer_whole(const uint8_t *message, size_t length) {
  return length >= HEADER && (message[2] & 0xf8) == QR &&
         walk((uint8_t *)(uintptr_t)message, length, see_nothing, NULL);
}

static void age(uint8_t *m, size_t at, int section, void *context) {
  (void)section;
  uint32_t passed = *(uint32_t *)context, seconds = get32(m + at + 4);
  put32(m + at + 4, seconds > passed ? seconds - passed : 0);
}

void answer_age(uint8_t *message, size_t length, uint32_t seconds) {
  walk(message, length, age, &seconds);
}

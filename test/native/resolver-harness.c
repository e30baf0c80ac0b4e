// The resolver's message parser and cache under ASan and UBSan, without sockets: seeded mutations
// of questions and answers, each in memory of exactly its own length so that a byte read too far is
// seen, and what must be true of whatever comes out.
//   harness SEED COUNT     prints how many questions were understood and answers kept
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../native/resolver.h"

#define SAMPLE_BYTES_MAX 600

static int64_t clock_ms = 1000;
int64_t now_ms(void) { return clock_ms; }
uint64_t hash_bytes(uint64_t seed, const void *data, size_t length) {
  uint64_t hash = seed ^ 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
  return hash;
}

static uint32_t state;
static uint32_t random_below(uint32_t below) {
  state = state * 1664525u + 1013904223u;
  return below == 0 ? 0 : (uint32_t)((uint64_t)(state >> 4) * below >> 28);
}

#define MUST(what)                                              \
  do {                                                          \
    if (!(what)) {                                              \
      fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what); \
      abort();                                                  \
    }                                                           \
  } while (0)

struct sample {
  uint8_t bytes[SAMPLE_BYTES_MAX];
  size_t length;
};

static void put(struct sample *s, const void *data, size_t length) {
  memcpy(s->bytes + s->length, data, length);
  s->length += length;
}
static void put16(struct sample *s, unsigned value) {
  put(s, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}
static void put_name(struct sample *s, const char *name) {
  while (*name) {
    size_t size = strcspn(name, ".");
    put(s, (uint8_t[]){(uint8_t)size}, 1);
    put(s, name, size);
    name += size + (name[size] == '.');
  }
  put(s, "", 1);
}

static struct sample question(const char *name, unsigned type, bool edns) {
  struct sample s = {.length = 0};
  const unsigned head[] = {0x1234, 0x0100, 1, 0, 0, edns};
  for (int i = 0; i < 6; i++) put16(&s, head[i]);
  put_name(&s, name);
  put16(&s, type);
  put16(&s, 1);
  if (edns) put(&s, (uint8_t[]){0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0}, 11);
  return s;
}

// A CNAME and an address; or a name that does not exist, with its SOA.
static struct sample answer_of(const char *name, bool exists) {
  struct sample s = question(name, TYPE_A, false);
  s.bytes[2] |= 0x80;
  s.bytes[3] = exists ? 0x80 : 0x83;
  s.bytes[exists ? 7 : 9] = exists ? 2 : 1;
  put16(&s, 0xc00c);
  put16(&s, exists ? 5 : TYPE_SOA);
  put(&s, (uint8_t[]){0, 1, 0, 0, 0, 60}, 6);
  if (!exists) {
    put16(&s, 22);
    put(&s, (uint8_t[22]){[21] = 9}, 22);
    return s;
  }
  put16(&s, 4);
  put(&s, (uint8_t[]){1, 'x', 0xc0, 12}, 4);
  put16(&s, 0xc00c);
  put16(&s, TYPE_A);
  put(&s, (uint8_t[]){0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, 1}, 12);
  return s;
}

static struct sample mutate(struct sample s) {
  for (uint32_t times = random_below(5); times > 0; times--) {
    uint32_t at = random_below((uint32_t)s.length), kind = random_below(5);
    if (kind == 0) s.bytes[at] = (uint8_t)random_below(256);
    if (kind == 1) s.bytes[at] ^= (uint8_t)(1u << random_below(8));
    if (kind == 2) s.bytes[at] = (uint8_t[]){0, 0x3f, 0x40, 0xc0, 0xff}[random_below(5)];
    if (kind == 3) s.length = at + 1;
    if (kind == 4 && s.length + 8 < SAMPLE_BYTES_MAX) {
      memmove(s.bytes + at + 8, s.bytes + at, s.length - at);
      s.length += 8;
    }
  }
  return s;
}

static uint8_t *exactly(const struct sample *s) {
  uint8_t *copy = malloc(s->length);
  memcpy(copy, s->bytes, s->length);
  return copy;
}

static struct ip ips[300];
static char pointer_name[] = "web.front";
static uint8_t *out;

// An answer of ours is one to the question, whole, and no longer than it may be.
static void check_answer(const uint8_t *query, const struct question *q, size_t length,
                         size_t limit) {
  MUST(length <= limit && length >= q->end);
  MUST(memcmp(out, query, 2) == 0 && out[2] & 0x80);
  MUST(q->end == 12 || memcmp(out + 12, query + 12, q->end - 12) == 0);
  uint8_t *copy = malloc(length);
  memcpy(copy, out, length);
  if (q->end > 12) {
    MUST(same_question(copy, length, query, q->end));
    // Every record can be walked: a malformed answer has no time to live.
    bool has = copy[7] > 0 || copy[6] > 0;
    MUST((answer_ttl(copy, length) > 0) == (has && !(copy[2] & 0x02)));
  }
  free(copy);
}

static bool try_question(const struct sample *s) {
  uint8_t *query = exactly(s);
  struct question q;
  int rcode = question_parse(query, s->length, &q);
  MUST(q.end <= s->length || rcode < 0);
  if (rcode >= 0) {
    check_answer(query, &q, answer_empty(query, &q, rcode, out), 512);
    struct ip ip;
    if (rcode == 0) reverse_address(q.name, &ip);
  }
  if (rcode == 0) {
    MUST(strlen(q.name) <= NAME_BYTES_MAX && q.udp_bytes >= UDP_BYTES_MIN);
    struct record forward = {.count = (uint16_t)random_below(301), .ips = ips};
    struct record back = {.reverse = 1, .name = pointer_name};
    size_t limit = 512 + random_below(2000);
    check_answer(query, &q, answer_record(query, &q, &forward, limit, out), limit);
    check_answer(query, &q, answer_record(query, &q, &back, limit, out), limit);
  }
  free(query);
  return rcode == 0;
}

static bool try_answer(const struct sample *s, const struct sample *asked) {
  uint8_t *message = exactly(s), *query = exactly(asked);
  struct question q;
  MUST(question_parse(query, asked->length, &q) == 0);
  uint32_t seconds = answer_ttl(message, s->length);
  MUST(seconds <= 300 && (seconds == 0 || (message[2] & 0xf8) != 0x80 ||
                            answer_whole(message, s->length)));
  bool same = same_question(message, s->length, query, asked->length);
  // What forward() does with it.
  if (same && answer_whole(message, s->length)) cache_keep(7, &q, message, s->length);
  MUST(cache_find(8, query, &q, out) == 0);
  clock_ms += random_below(3000);
  size_t kept = cache_find(7, query, &q, out);
  MUST(kept <= 2048);
  if (kept > 0) {
    MUST(memcmp(out, query, 2) == 0 && memcmp(out + 12, query + 12, q.end - 12) == 0);
    uint8_t *copy = malloc(kept);
    memcpy(copy, out, kept);
    answer_age(copy, kept, random_below(100));
    free(copy);
  }
  answer_age(message, s->length, 5);
  free(message);
  free(query);
  return seconds > 0 && same && kept > 0;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  state = (uint32_t)atoi(argv[1]);
  out = malloc(MESSAGE_BYTES_MAX);
  for (size_t i = 0; i < sizeof ips / sizeof *ips; i++) ips[i].family = i % 3 ? 4 : 6;
  const struct sample questions[] = {
      question("web", TYPE_A, false),
      question("Db_1.Front", TYPE_AAAA, true),
      question("4.3.2.1.in-addr.arpa", TYPE_PTR, true),
      question("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
               TYPE_PTR, false),
      question("", 255, true),
  };
  const struct sample asked = question("www.example", TYPE_A, false);
  const struct sample answers[] = {answer_of("www.example", true), answer_of("www.example", false)};
  MUST(try_answer(&answers[0], &asked) && try_answer(&answers[1], &asked));
  unsigned understood = 0, kept = 0;
  for (int left = atoi(argv[2]); left > 0; left--) {
    struct sample s = mutate(questions[random_below(5)]);
    understood += try_question(&s);
    s = mutate(answers[random_below(2)]);
    kept += try_answer(&s, &asked);
  }
  printf("%u %u\n", understood, kept);
  return 0;
}

// Answers of servers, kept as long as they say, at most CACHE_ENTRIES of them: a table of sets, the
// oldest of a full set goes. The scope is part of the key, so networks never share what they heard
// unless they have the same servers and names.
#define _GNU_SOURCE
#include "resolver.h"

#include <stdlib.h>
#include <string.h>

#define SETS 1024
#define WAYS 4
#define ENTRY_BYTES_MAX 2048

struct entry {
  uint64_t hash, scope;
  int64_t kept_ms, until_ms;
  uint16_t type, length;
  bool dnssec_ok;
  char *name;
  uint8_t *message;
};

static struct entry sets[SETS][WAYS];

static uint64_t hash_of(uint64_t scope, const struct question *q) {
  uint64_t seed = scope ^ (uint64_t)q->type << 32 ^ (q->dnssec_ok ? 1u << 20 : 0) ^ q->edns;
  return hash_bytes(seed, q->name, strlen(q->name));
}

static void drop(struct entry *e) {
  free(e->name);
  free(e->message);
  memset(e, 0, sizeof *e);
}

size_t cache_find(uint64_t scope, const uint8_t *query, const struct question *q, uint8_t *out) {
  uint64_t hash = hash_of(scope, q);
  int64_t now = now_ms();
  if (q->class != CLASS_IN || query[3] & 0x10) return 0;  // CD: the client checks for itself
  for (int way = 0; way < WAYS; way++) {
    struct entry *e = &sets[hash % SETS][way];
    if (!e->message || e->hash != hash || e->scope != scope || e->type != q->type ||
        e->dnssec_ok != q->dnssec_ok || strcmp(e->name, q->name) != 0)
      continue;
    if (e->until_ms <= now) {
      drop(e);
      return 0;
    }
    if (e->length < q->end) return 0;
    memcpy(out, e->message, e->length);
    memcpy(out, query, 2);                       // the id
    memcpy(out + 12, query + 12, q->end - 12);   // the name in the asker's own case
    out[2] = (uint8_t)((out[2] & ~1) | (query[2] & 1));
    answer_age(out, e->length, (uint32_t)((now - e->kept_ms) / 1000));
    return e->length;
  }
  return 0;
}

void cache_keep(uint64_t scope, const struct question *q, const uint8_t *message, size_t length) {
  uint32_t seconds = 0;
  if (length <= ENTRY_BYTES_MAX && q->class == CLASS_IN) seconds = answer_ttl(message, length);
  if (seconds == 0) return;
  uint64_t hash = hash_of(scope, q);
  struct entry *place = &sets[hash % SETS][0];
  for (int way = 0; way < WAYS; way++) {
    struct entry *e = &sets[hash % SETS][way];
    bool same = e->message && e->hash == hash && e->scope == scope && e->type == q->type &&
                strcmp(e->name, q->name) == 0;
    if (!e->message || same) {
      place = e;
      if (same) break;
    } else if (place->message && e->kept_ms < place->kept_ms) {
      place = e;
    }
  }
  char *name = strdup(q->name);
  uint8_t *copy = malloc(length);
  if (!name || !copy) {
    free(name);
    free(copy);
    return;
  }
  drop(place);
  memcpy(copy, message, length);
  int64_t now = now_ms();
  *place = (struct entry){.hash = hash,
                          .scope = scope,
                          .kept_ms = now,
                          .until_ms = now + (int64_t)seconds * 1000,
                          .type = q->type,
                          .length = (uint16_t)length,
                          .dnssec_ok = q->dnssec_ok,
                          .name = name,
                          .message = copy};
}

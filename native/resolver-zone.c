// The tables: per network, names with their addresses and addresses with their name. One hash table
// for all, since a lookup names its zone; a zone lists its records so that it can go whole. After
// `mark`, what is not said again goes with `sweep`: a daemon that comes back replaces everything
// without a moment in which a name is missing.
#define _GNU_SOURCE
#include "resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 1024
#define ADDRESSES_MAX 512  // of one name: 64 KiB hold more, nobody reads more

static struct zone *zones;
static struct record **buckets;
static size_t bucket_count, record_count;
static uint32_t generation = 1;

uint64_t hash_bytes(uint64_t seed, const void *data, size_t length) {
  uint64_t hash = seed ^ 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
  return hash ^ hash >> 29;
}

static uint32_t hash_of(const struct zone *zone, bool reverse, const void *key, size_t length) {
  return (uint32_t)hash_bytes((uint64_t)(uintptr_t)zone ^ reverse, key, length);
}

static struct zone *zone_find(const char *id) {
  struct zone *z = zones;
  while (z && strcmp(z->id, id) != 0) z = z->next_zone;
  return z;
}

static struct zone *zone_of(const char *id) {
  struct zone *zone = zone_find(id);
  if (zone || strlen(id) >= KEY_BYTES_MAX || !(zone = calloc(1, sizeof *zone))) return zone;
  strcpy(zone->id, id);
  zone->next_zone = zones;
  zones = zone;
  return zone;
}

static void zone_settle(struct zone *zone) {
  if (zone->records || zone->users > 0) return;
  struct zone **at = &zones;
  while (*at != zone) at = &(*at)->next_zone;
  *at = zone->next_zone;
  free(zone);
}

struct zone *zone_take(const char *id) {
  struct zone *zone = zone_of(id);
  if (zone) zone->users++;
  return zone;
}

void zone_leave(struct zone *zone) {
  zone->users--;
  zone_settle(zone);
}

struct record *zone_lookup(const struct zone *zone, bool reverse, const void *key, size_t length) {
  if (bucket_count == 0) return NULL;
  uint32_t hash = hash_of(zone, reverse, key, length);
  struct record *r = buckets[hash & (bucket_count - 1)];
  while (r && (r->hash != hash || r->zone != zone || r->reverse != reverse ||
               r->key_length != length || memcmp(r->key, key, length) != 0))
    r = r->next_hash;
  return r;
}

static int grow(void) {
  if (record_count < bucket_count) return 0;
  size_t count = bucket_count == 0 ? BUCKETS_FIRST : bucket_count * 2;
  struct record **larger = calloc(count, sizeof *larger);
  if (!larger) return -ENOMEM;
  for (size_t i = 0; i < bucket_count; i++)
    for (struct record *r = buckets[i], *next; r; r = next) {
      next = r->next_hash;
      r->next_hash = larger[r->hash & (count - 1)];
      larger[r->hash & (count - 1)] = r;
    }
  free(buckets);
  buckets = larger;
  bucket_count = count;
  return 0;
}

static void record_remove(struct record *r) {
  struct record **at = &buckets[r->hash & (bucket_count - 1)];
  while (*at != r) at = &(*at)->next_hash;
  *at = r->next_hash;
  if (r->previous)
    r->previous->next = r->next;
  else
    r->zone->records = r->next;
  if (r->next) r->next->previous = r->previous;
  free(r->ips);
  free(r->name);
  free(r);
  record_count--;
}

static void forget(const char *id, bool reverse, const void *key, size_t length) {
  struct zone *zone = zone_find(id);
  struct record *r = zone ? zone_lookup(zone, reverse, key, length) : NULL;
  if (!r) return;
  record_remove(r);
  zone_settle(zone);
}

// Finds or makes; NULL when memory is short.
static struct record *record_of(const char *id, bool reverse, const void *key, size_t length) {
  struct zone *zone = zone_of(id);
  struct record *r = zone ? zone_lookup(zone, reverse, key, length) : NULL;
  if (r || !zone) return r;
  if (grow() < 0 || !(r = calloc(1, sizeof *r))) {
    zone_settle(zone);
    return NULL;
  }
  r->zone = zone;
  r->reverse = reverse;
  r->key_length = (uint8_t)length;
  memcpy(r->key, key, length);
  r->hash = hash_of(zone, reverse, key, length);
  r->next_hash = buckets[r->hash & (bucket_count - 1)];
  buckets[r->hash & (bucket_count - 1)] = r;
  r->next = zone->records;
  if (r->next) r->next->previous = r;
  zone->records = r;
  record_count++;
  return r;
}

static bool parse_ip(const char *text, struct ip *ip) {
  memset(ip, 0, sizeof *ip);
  ip->family = strchr(text, ':') ? 6 : 4;
  return inet_pton(ip->family == 6 ? AF_INET6 : AF_INET, text, ip->bytes) == 1;
}

static int fold(const char *name, char *key) {
  size_t length = strlen(name);
  if (length > 0 && name[length - 1] == '.') length--;
  if (length == 0 || length > NAME_BYTES_MAX - 2) return -EINVAL;
  for (size_t i = 0; i < length; i++) key[i] = (char)tolower((unsigned char)name[i]);
  return (int)length;
}

int zone_set(const char *id, const char *name, char *addresses) {
  char key[NAME_BYTES_MAX];
  int length = fold(name, key);
  if (length < 0 || strlen(id) >= KEY_BYTES_MAX) return -EINVAL;
  if (strcmp(addresses, "-") == 0) {
    forget(id, false, key, (size_t)length);
    return 0;
  }
  struct ip ips[ADDRESSES_MAX];
  int count = 0;
  for (char *one; (one = strsep(&addresses, ","));)
    if (count == ADDRESSES_MAX || !parse_ip(one, &ips[count++])) return -EINVAL;
  struct ip *kept = malloc(sizeof *kept * (size_t)count);
  struct record *r = kept ? record_of(id, false, key, (size_t)length) : NULL;
  if (!r) {
    free(kept);
    return -ENOMEM;
  }
  memcpy(kept, ips, sizeof *kept * (size_t)count);
  free(r->ips);
  r->ips = kept;
  r->count = (uint16_t)count;
  r->generation = generation;
  return count;
}

int zone_pointer(const char *id, const char *address, const char *name) {
  struct ip ip;
  if (!parse_ip(address, &ip) || strlen(id) >= KEY_BYTES_MAX || strlen(name) > NAME_BYTES_MAX - 2)
    return -EINVAL;
  if (strcmp(name, "-") == 0) {
    forget(id, true, &ip, sizeof ip);
    return 0;
  }
  char *kept = strdup(name);
  struct record *r = kept ? record_of(id, true, &ip, sizeof ip) : NULL;
  if (!r) {
    free(kept);
    return -ENOMEM;
  }
  free(r->name);
  r->name = kept;
  r->generation = generation;
  return 1;
}

int zone_drop(const char *id) {
  struct zone *zone = zone_find(id);
  int gone = 0;
  if (!zone) return 0;
  for (; zone->records; gone++) record_remove(zone->records);
  zone_settle(zone);
  return gone;
}

int zone_mark(void) {
  generation++;
  return 0;
}

int zone_sweep(void) {
  int gone = 0;
  for (struct zone *zone = zones, *next_zone; zone; zone = next_zone) {
    next_zone = zone->next_zone;
    for (struct record *r = zone->records, *next; r; r = next) {
      next = r->next;
      if (r->generation == generation) continue;
      record_remove(r);
      gone++;
    }
    zone_settle(zone);
  }
  return gone;
}

int zone_list(struct client *c, const char *id) {
  int count = 0;
  for (struct zone *zone = zones; zone; zone = zone->next_zone, count++)
    answer(c, "%s item zone %s\n", id, zone->id);
  return count;
}

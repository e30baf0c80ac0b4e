// Private to the resolver (resolver*.c): the name server that containers find on 127.0.0.11. It
// holds no privilege at all: sockets in the containers' network namespaces are made by the plan
// that starts a container and handed over, and names come from the daemon, per network.
#ifndef GANTRY_RESOLVER_H
#define GANTRY_RESOLVER_H
#include "resident.h"

#define NAME_BYTES_MAX 255
#define KEY_BYTES_MAX 72
#define MESSAGE_BYTES_MAX 65535
#define UDP_PAYLOAD_BYTES 1232  // what we say that we take (DNS flag day 2020)
#define UDP_BYTES_MIN 512       // RFC 1035: what a client without EDNS takes
#define SERVERS_MAX 6
#define ZONES_MAX 128
#define UPSTREAMS_MAX 8

enum { TYPE_A = 1, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41, CLASS_IN = 1 };
enum { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 };

// --- names of networks (resolver-zone.c)

struct ip {
  uint8_t family;  // 4 or 6
  uint8_t bytes[16];
};

// What a zone says of a name (its addresses) or of an address (its name).
struct record {
  struct record *next_hash;
  struct record *next, *previous;  // of the same zone
  struct zone *zone;
  uint32_t hash;
  uint32_t generation;
  uint16_t turn;    // where the next answer starts
  uint8_t reverse;  // an address: key is struct ip, `name` the answer
  uint8_t key_length;
  uint8_t key[NAME_BYTES_MAX];
  uint16_t count;
  struct ip *ips;
  char *name;
};

struct zone {
  struct zone *next_zone;
  struct record *records;
  int users;  // sandboxes that search it; without users and records it goes
  char id[KEY_BYTES_MAX];
};

// Finds or makes, for a sandbox; NULL when memory is short.
struct zone *zone_take(const char *id);
void zone_leave(struct zone *zone);
// Verbs of the control socket.
int zone_set(const char *zone, const char *name, char *addresses);
int zone_pointer(const char *zone, const char *address, const char *name);
int zone_drop(const char *zone);
int zone_mark(void);
int zone_sweep(void);
int zone_list(struct client *c, const char *id);
struct record *zone_lookup(const struct zone *zone, bool reverse, const void *key, size_t length);

// --- messages (resolver-message.c)

struct question {
  char name[NAME_BYTES_MAX + 1];  // lower case, dots, no last dot
  uint16_t type, class;
  size_t end;         // offset after the question
  bool edns;
  bool dnssec_ok;
  uint16_t udp_bytes;  // what the client takes
};

// Returns 0, or the rcode of a refusal, or -1 for what deserves no answer.
int question_parse(const uint8_t *message, size_t length, struct question *q);
// Same name (whatever the case), type and class.
bool same_question(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);
// The address that an in-addr.arpa or ip6.arpa name stands for.
bool reverse_address(const char *name, struct ip *ip);
// An answer without records. `out` has room for MESSAGE_BYTES_MAX. Returns its length.
size_t answer_empty(const uint8_t *query, const struct question *q, int rcode, uint8_t *out);
// Answers from a zone, at most `limit` bytes: what does not fit sets TC.
size_t answer_record(const uint8_t *query, const struct question *q, struct record *r,
                     size_t limit, uint8_t *out);
// Walks the records of an answer; 0 where it is malformed or must not be kept, else seconds.
uint32_t answer_ttl(const uint8_t *message, size_t length);
// Whether it is an answer with every record that it announces.
bool answer_whole(const uint8_t *message, size_t length);
// Takes `seconds` off every TTL.
void answer_age(uint8_t *message, size_t length, uint32_t seconds);

// --- sandboxes (resolver.c)

struct server {
  union address address;
  bool host;          // asked from the host's network namespace
  int64_t resting_ms; // was silent: until then the others are asked first
};

// One network namespace: its sockets, the networks whose names it knows, its upstream servers.
struct sandbox {
  struct handler udp;  // first
  struct handler tcp;
  struct handler ended;
  struct sandbox *next;
  char key[KEY_BYTES_MAX];
  int udp_fd, tcp_fd;
  int process_fd;  // the container's init: it closes with it
  struct upstream *upstreams[UPSTREAMS_MAX];  // UDP
  int tcp_upstreams[UPSTREAMS_MAX];
  int upstream_count, tcp_upstream_count;
  struct server servers[SERVERS_MAX];
  int server_count;
  struct zone *zones[ZONES_MAX];
  int zone_count;
  char *links;     // pairs of strings, alias and name; an empty alias ends them
  uint64_t scope;  // of the cache: whose answers may be given to whom
  int pending, connections;
  bool closed;
};

// A UDP socket that servers are asked through.
struct upstream {
  struct handler handler;  // first
  int fd, family;
  int asked;  // questions that wait for an answer
};

// Who asked: a datagram's sender, or a connection.
struct asker {
  struct sandbox *sandbox;
  struct tcp_client *connection;  // NULL: UDP
  union address from;
};

// Answers from tables or cache, or asks a server. The answer may come later.
void resolve(const struct asker *asker, const uint8_t *message, size_t length);
void reply(const struct asker *asker, const struct question *q, uint8_t *message, size_t length);

// --- servers (resolver-forward.c)

// Takes the descriptor only when it succeeds.
struct upstream *upstream_new(int fd);
// How a socket of `family` is to be given the address: mapped, where it has both families.
socklen_t address_for(int family, const union address *a, union address *out);
int socket_family(int fd);
// An rcode after which another server may know better.
bool rcode_passes(int rcode);
void upstream_end(struct upstream *u);
void forward(const struct asker *asker, const struct question *q, const uint8_t *message,
             size_t length);
// Forgets what a sandbox or a connection has asked.
void forward_forget(const struct sandbox *sandbox, const struct tcp_client *connection);
int forward_expire(void);
void forward_start(void);

// --- cache (resolver-cache.c)

// Returns the length of a fresh answer to `query` in `out`, or 0.
size_t cache_find(uint64_t scope, const uint8_t *query, const struct question *q, uint8_t *out);
void cache_keep(uint64_t scope, const struct question *q, const uint8_t *message, size_t length);

// --- TCP (resolver-tcp.c)

void tcp_accept_run(struct handler *self, uint32_t events);
void tcp_reply(struct tcp_client *c, const uint8_t *message, size_t length);
void tcp_forget(const struct sandbox *sandbox);
int tcp_expire(void);
void tcp_forward(const struct asker *asker, const uint8_t *message, size_t length, int first);

uint64_t hash_bytes(uint64_t seed, const void *data, size_t length);

#endif

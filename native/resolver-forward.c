// What no table knows is asked of servers, over UDP through the sandbox's own sockets (or the
// host's, for servers on the host's loopback). A server that is silent or refuses is followed by
// the next. An answer counts only with our random id, through the socket that asked, from the
// server that was asked, about the same question.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "resolver.h"

#define TRY_MS 2000
#define TRIES_MIN 2
#define PENDING_MAX 16384
#define PENDING_OF_SANDBOX_MAX 1024
#define BUCKETS 4096
#define ANSWERS_PER_TURN 256
#define HOST_UPSTREAMS 4

struct pending {
  struct pending *next_hash;
  struct pending *next, *previous;  // by deadline: all wait equally long
  struct asker asker;
  struct question question;
  struct upstream *via;
  uint16_t id, asked_id;
  int server, tries;
  int64_t deadline_ms;
  size_t length;
  uint8_t message[];
};

static struct pending *buckets[BUCKETS];
static struct pending *oldest, *newest;
static int pending_count;
static struct upstream *host_upstreams[HOST_UPSTREAMS];

static uint16_t random16(void) {
  static uint16_t pool[128];
  static size_t left;
  if (left == 0) {
    if (getrandom(pool, sizeof pool, 0) != sizeof pool) abort();
    left = sizeof pool / sizeof *pool;
  }
  return pool[--left];
}

static struct pending **bucket_of(const struct upstream *via, uint16_t id) {
  return &buckets[(((uintptr_t)via >> 4) ^ id * 31u) % BUCKETS];
}

static void pending_link(struct pending *p) {
  struct pending **bucket = bucket_of(p->via, p->id);
  p->next_hash = *bucket;
  *bucket = p;
  p->deadline_ms = now_ms() + TRY_MS;
  p->next = NULL;
  p->previous = newest;
  if (newest)
    newest->next = p;
  else
    oldest = p;
  newest = p;
}

static void pending_unlink(struct pending *p) {
  struct pending **at = bucket_of(p->via, p->id);
  while (*at != p) at = &(*at)->next_hash;
  *at = p->next_hash;
  if (p->previous)
    p->previous->next = p->next;
  else
    oldest = p->next;
  if (p->next)
    p->next->previous = p->previous;
  else
    newest = p->previous;
}

static void pending_free(struct pending *p) {
  pending_count--;
  p->asker.sandbox->pending--;
  free(p);
}

static void fail(struct pending *p) {
  uint8_t out[512];
  memcpy(p->message, &p->asked_id, 2);
  size_t length = answer_empty(p->message, &p->question, SERVFAIL, out);
  reply(&p->asker, &p->question, out, length);
  pending_free(p);
}

// Sockets of both families carry IPv4 as mapped addresses.
static socklen_t to_socket(int fd, const union address *a, union address *out) {
  int family = AF_INET;
  socklen_t length = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
  *out = *a;
  if (family != AF_INET6 || a->any.sa_family != AF_INET) return address_length(a);
  memset(out, 0, sizeof *out);
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = a->v4.sin_port;
  memset(&out->v6.sin6_addr.s6_addr[10], 0xff, 2);
  memcpy(&out->v6.sin6_addr.s6_addr[12], &a->v4.sin_addr, 4);
  return sizeof out->v6;
}

static bool same_address(const union address *a, const union address *b) {
  if (a->any.sa_family != b->any.sa_family) return false;
  if (a->any.sa_family == AF_INET)
    return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
  return a->v6.sin6_port == b->v6.sin6_port &&
         memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

// Asks the next server that can be reached; answers with a failure when there is none.
static void ask(struct pending *p) {
  struct sandbox *s = p->asker.sandbox;
  int tries_max = s->server_count > TRIES_MIN ? s->server_count : TRIES_MIN;
  while (p->tries < tries_max && s->server_count > 0) {
    p->server = p->tries++ % s->server_count;
    const struct server *server = &s->servers[p->server];
    int count = server->host ? HOST_UPSTREAMS : s->upstream_count;
    struct upstream **from = server->host ? host_upstreams : s->upstreams;
    if (count == 0 || !(p->via = from[random16() % count])) continue;
    p->id = random16();
    memcpy(p->message, &p->id, 2);
    union address to;
    socklen_t size = to_socket(p->via->fd, &server->address, &to);
    if (sendto(p->via->fd, p->message, p->length, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any, size) < 0)
      continue;
    pending_link(p);
    return;
  }
  fail(p);
}

void forward(const struct asker *asker, const struct question *q, const uint8_t *message,
             size_t length) {
  struct sandbox *s = asker->sandbox;
  struct pending *p = NULL;
  if (pending_count < PENDING_MAX && s->pending < PENDING_OF_SANDBOX_MAX)
    p = malloc(sizeof *p + length);
  if (!p) return;  // the client asks again
  *p = (struct pending){.asker = *asker, .question = *q, .length = length};
  memcpy(p->message, message, length);
  memcpy(&p->asked_id, message, 2);
  pending_count++;
  s->pending++;
  ask(p);
}

static void take_answer(struct upstream *u, uint8_t *message, size_t length, union address *from) {
  uint16_t id;
  if (length < 12 || !(message[2] & 0x80)) return;
  memcpy(&id, message, 2);
  if (from->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from->v6.sin6_addr)) {
    union address plain = {.v4 = {.sin_family = AF_INET, .sin_port = from->v6.sin6_port}};
    memcpy(&plain.v4.sin_addr, &from->v6.sin6_addr.s6_addr[12], 4);
    *from = plain;
  }
  struct pending *p = *bucket_of(u, id);
  while (p && (p->via != u || p->id != id)) p = p->next_hash;
  if (!p || !same_question(message, length, p->message, p->length)) return;
  struct sandbox *s = p->asker.sandbox;
  if (p->server >= s->server_count || !same_address(from, &s->servers[p->server].address)) return;
  pending_unlink(p);
  int rcode = message[3] & 0xf;
  if ((rcode == SERVFAIL || rcode == REFUSED || rcode == NOTIMP) && p->tries < s->server_count) {
    ask(p);
    return;
  }
  memcpy(message, &p->asked_id, 2);
  cache_keep(s->scope, &p->question, message, length);
  reply(&p->asker, &p->question, message, length);
  pending_free(p);
}

static void upstream_run(struct handler *self, uint32_t events) {
  static uint8_t message[MESSAGE_BYTES_MAX];
  struct upstream *u = (struct upstream *)self;
  (void)events;
  for (int turn = 0; turn < ANSWERS_PER_TURN && u->fd >= 0; turn++) {
    union address from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(u->fd, message, sizeof message, MSG_DONTWAIT, &from.any, &size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n >= 0) take_answer(u, message, (size_t)n, &from);
  }
}

struct upstream *upstream_new(int fd) {
  struct upstream *u = calloc(1, sizeof *u);
  if (!u) return NULL;
  u->handler.run = upstream_run;
  u->fd = fd;
  if (watch(fd, &u->handler, EPOLLIN) == 0) return u;
  free(u);
  return NULL;
}

void upstream_end(struct upstream *u) {
  close(u->fd);
  u->fd = -1;
  defer_free(&u->handler);
}

// Sockets in the host's namespace, made anew from time to time by nobody: ids are random, and who
// can forge a datagram from the host's loopback needs no forging.
void forward_start(void) {
  for (int i = 0; i < HOST_UPSTREAMS; i++) {
    int off = 0, kind = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(AF_INET6, kind, 0);
    if (fd >= 0)
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    else
      fd = socket(AF_INET, kind, 0);
    if (fd >= 0 && !(host_upstreams[i] = upstream_new(fd))) close(fd);
  }
}

void forward_forget(const struct sandbox *sandbox, const struct tcp_client *connection) {
  for (struct pending *p = oldest, *next; p; p = next) {
    next = p->next;
    if (sandbox ? p->asker.sandbox != sandbox : p->asker.connection != connection) continue;
    pending_unlink(p);
    pending_free(p);
  }
}

int forward_expire(void) {
  int64_t now = now_ms();
  // What is asked again goes to the end of the queue, with a later deadline.
  while (oldest && oldest->deadline_ms <= now) {
    struct pending *p = oldest;
    pending_unlink(p);
    ask(p);
  }
  return oldest ? (int)(oldest->deadline_ms - now) : -1;
}

// What no table knows is asked of servers, over UDP through the sandbox's own sockets (or the
// host's, for the host's own servers). A server that is silent, that refuses, or whose
// machine says that nobody listens, is followed by the next. An answer counts only with our random
// id, through the socket that asked, from the server that was asked, about the same question; a
// socket that nothing is asked through takes a new random port first.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "resolver.h"

#define TRY_MS 2000
#define REST_MS 30000
#define TRIES_MIN 2
#define PENDING_MAX 16384
#define PENDING_OF_SANDBOX_MAX 1024
#define BUCKETS 4096
#define ANSWERS_PER_TURN 256
#define HOST_UPSTREAMS 16

struct pending {
  struct pending *next_hash;
  struct pending *next, *previous;  // by deadline: all wait equally long
  struct asker asker;
  struct question question;
  struct upstream *via;
  uint16_t id, asked_id;
  int server, tries;
  unsigned asked;  // servers, as bits
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
  p->via->asked++;
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
  p->via->asked--;
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

socklen_t address_for(int family, const union address *a, union address *out) {
  *out = *a;
  if (family != AF_INET6 || a->any.sa_family != AF_INET) return address_length(a);
  memset(out, 0, sizeof *out);
  out->v6.sin6_family = AF_INET6;
  out->v6.sin6_port = a->v4.sin_port;
  memset(&out->v6.sin6_addr.s6_addr[10], 0xff, 2);
  memcpy(&out->v6.sin6_addr.s6_addr[12], &a->v4.sin_addr, 4);
  return sizeof out->v6;
}

static void unmap(union address *a) {
  if (a->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) return;
  union address plain = {.v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port}};
  memcpy(&plain.v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
  *a = plain;
}

int socket_family(int fd) {
  int family = AF_INET;
  socklen_t length = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
  return family;
}

static bool same_address(const union address *a, const union address *b) {
  if (a->any.sa_family != b->any.sa_family) return false;
  if (a->any.sa_family == AF_INET)
    return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
  return a->v6.sin6_port == b->v6.sin6_port &&
         memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

// A socket that nothing is asked through, if there is one, with a port of the kernel's choice that
// nobody has seen yet; otherwise one that others ask through.
static struct upstream *choose_socket(struct upstream **from, int count) {
  int first = random16() % count;
  for (int i = 0; i < count; i++) {
    struct upstream *u = from[(first + i) % count];
    if (!u || u->asked > 0) continue;
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    connect(u->fd, &none, sizeof none);
    return u;
  }
  return from[first];
}

// In their order, those that have been silent of late at the end; each once in a round.
static int choose_server(const struct sandbox *s, struct pending *p) {
  int64_t now = now_ms();
  int resting = -1;
  if (p->asked == (1u << s->server_count) - 1) p->asked = 0;
  for (int i = 0; i < s->server_count; i++) {
    if (p->asked >> i & 1) continue;
    if (s->servers[i].resting_ms <= now) return i;
    if (resting < 0) resting = i;
  }
  return resting < 0 ? 0 : resting;
}

static bool send_question(struct pending *p, const struct server *server) {
  union address to;
  socklen_t size = address_for(p->via->family, &server->address, &to);
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  // An error may be that of an earlier datagram, which is said once.
  for (int turn = 0; turn < 2; turn++)
    if (sendto(p->via->fd, p->message, p->length, flags, &to.any, size) >= 0) return true;
  return false;
}

// Asks the next server that can be reached; answers with a failure when there is none.
static void ask(struct pending *p) {
  struct sandbox *s = p->asker.sandbox;
  int tries_max = s->server_count > TRIES_MIN ? s->server_count : TRIES_MIN;
  while (p->tries < tries_max && s->server_count > 0) {
    p->tries++;
    p->server = choose_server(s, p);
    p->asked |= 1u << p->server;
    const struct server *server = &s->servers[p->server];
    int count = server->host ? HOST_UPSTREAMS : s->upstream_count;
    struct upstream **from = server->host ? host_upstreams : s->upstreams;
    if (count == 0 || !(p->via = choose_socket(from, count))) continue;
    p->id = random16();
    memcpy(p->message, &p->id, 2);
    if (!send_question(p, server)) continue;
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
  if (!p) {
    // Who asks by datagram asks again; a connection waits.
    uint8_t out[512];
    if (asker->connection) reply(asker, q, out, answer_empty(message, q, SERVFAIL, out));
    return;
  }
  *p = (struct pending){.asker = *asker, .question = *q, .length = length};
  memcpy(p->message, message, length);
  memcpy(&p->asked_id, message, 2);
  pending_count++;
  s->pending++;
  ask(p);
}

// What is waited for through the socket under this id, from this server.
static struct pending *pending_find(const struct upstream *u, uint16_t id, union address *from) {
  unmap(from);
  struct pending *p = *bucket_of(u, id);
  while (p && (p->via != u || p->id != id)) p = p->next_hash;
  const struct sandbox *s = p ? p->asker.sandbox : NULL;
  if (!p || p->server >= s->server_count) return NULL;
  return same_address(from, &s->servers[p->server].address) ? p : NULL;
}

bool rcode_passes(int rcode) { return rcode == SERVFAIL || rcode == REFUSED || rcode == NOTIMP; }

static void take_answer(struct upstream *u, uint8_t *message, size_t length, union address *from) {
  uint16_t id;
  bool cut = length >= 12 && message[2] & 0x02;
  if (!answer_whole(message, length) && !cut) return;
  memcpy(&id, message, 2);
  struct pending *p = pending_find(u, id, from);
  if (!p || !same_question(message, length, p->message, p->length)) return;
  struct sandbox *s = p->asker.sandbox;
  pending_unlink(p);
  s->servers[p->server].resting_ms = 0;
  if (rcode_passes(message[3] & 0xf) && p->tries < s->server_count) {
    ask(p);
    return;
  }
  // One that asks over TCP, but had to be asked for by datagram, cannot do with half an answer.
  if (p->asker.connection && message[2] & 0x02) {
    fail(p);
    return;
  }
  memcpy(message, &p->asked_id, 2);
  if (cut && !answer_whole(message, length)) {
    // Some cut in the middle of a record; clients without TCP make use of whole ones.
    uint8_t out[512];
    length = answer_empty(p->message, &p->question, NOERROR, out);
    out[2] |= 0x02;
    memcpy(out, &p->asked_id, 2);
    memcpy(message, out, length);
  }
  cache_keep(s->scope, &p->question, message, length);
  reply(&p->asker, &p->question, message, length);
  pending_free(p);
}

// Nobody listens there, or no way leads there: the error comes with the datagram that caused it.
static void take_errors(struct upstream *u) {
  for (int turn = 0; turn < ANSWERS_PER_TURN; turn++) {
    uint8_t sent[512];
    union address to;
    struct iovec part = {sent, sizeof sent};
    struct msghdr message = {
        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t n = recvmsg(u->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0) return;
    uint16_t id;
    if (n < (ssize_t)sizeof id || message.msg_namelen == 0) continue;
    memcpy(&id, sent, sizeof id);
    struct pending *p = pending_find(u, id, &to);
    if (!p) continue;
    pending_unlink(p);
    ask(p);
  }
}

static void upstream_run(struct handler *self, uint32_t events) {
  static uint8_t message[MESSAGE_BYTES_MAX];
  struct upstream *u = (struct upstream *)self;
  if (events & EPOLLERR) take_errors(u);
  for (int turn = 0; turn < ANSWERS_PER_TURN && u->fd >= 0; turn++) {
    union address from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(u->fd, message, sizeof message, MSG_DONTWAIT, &from.any, &size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n >= 0) take_answer(u, message, (size_t)n, &from);
  }
}

struct upstream *upstream_new(int fd) {
  int on = 1;
  struct upstream *u = calloc(1, sizeof *u);
  if (!u) return NULL;
  u->handler.run = upstream_run;
  u->fd = fd;
  u->family = socket_family(fd);
  setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
  if (u->family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
  if (watch(fd, &u->handler, EPOLLIN) == 0) return u;
  free(u);
  return NULL;
}

void upstream_end(struct upstream *u) {
  close(u->fd);
  u->fd = -1;
  defer_free(&u->handler);
}

// Sockets in the host's namespace.
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
    struct sandbox *s = p->asker.sandbox;
    pending_unlink(p);
    if (p->server < s->server_count) s->servers[p->server].resting_ms = now + REST_MS;
    ask(p);
  }
  return oldest ? (int)(oldest->deadline_ms - now) : -1;
}

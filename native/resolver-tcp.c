// TCP: a client's connection carries one question after another; each that no table answers goes to
// a server over one of the sandbox's own TCP sockets, since what comes over TCP is what did not fit
// into a datagram. Everything has a limit and a deadline.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver.h"

#define CONNECTIONS_MAX 64  // of a sandbox
#define CONNECTIONS_ALL_MAX 4096
#define OUTPUT_BYTES_MAX 65536  // unread answers, after which no more questions are taken
#define IDLE_MS 10000
#define TRY_MS 4000

struct buffer {
  uint8_t *data;
  size_t used, size;
};

struct tcp_client {
  struct handler handler;  // first
  struct tcp_client *next;
  struct sandbox *sandbox;
  int fd;
  bool waiting;  // for an answer: the next question stays in the buffer
  bool turning;  // client_turn() is at work and goes on by itself
  struct buffer in, out;
  size_t sent;
  int64_t deadline_ms;
};

// One question to one server.
struct tcp_query {
  struct handler handler;  // first
  struct tcp_query *next;
  struct asker asker;
  struct question question;
  int fd, place;  // of the sandbox's pool
  int server;
  bool host;
  struct buffer out, in;
  size_t sent;
  int64_t deadline_ms;
};

static struct tcp_client *connections;
static struct tcp_query *queries;
static int connection_count;
static int64_t due_ms = INT64_MAX;  // before it, no deadline has passed

static int64_t deadline_in(int ms) {
  int64_t at = now_ms() + ms;
  if (at < due_ms) due_ms = at;
  return at;
}

static bool reserve(struct buffer *b, size_t size) {
  if (size <= b->size) return true;
  uint8_t *larger = realloc(b->data, size);
  if (!larger) return false;
  b->data = larger;
  b->size = size;
  return true;
}

static size_t message_bytes(const struct buffer *b) {
  return b->used < 2 ? 0 : 2u + (size_t)(b->data[0] << 8 | b->data[1]);
}

static bool put_message(struct buffer *b, const uint8_t *message, size_t length) {
  if (length > MESSAGE_BYTES_MAX || !reserve(b, b->used + length + 2)) return false;
  b->data[b->used] = (uint8_t)(length >> 8);
  b->data[b->used + 1] = (uint8_t)length;
  memcpy(b->data + b->used + 2, message, length);
  b->used += length + 2;
  return true;
}

static void query_end(struct tcp_query *q) {
  for (struct tcp_query **at = &queries; *at; at = &(*at)->next) {
    if (*at != q) continue;
    *at = q->next;
    break;
  }
  unwatch(q->fd);
  if (q->host) {
    close(q->fd);
  } else {
    // Back to the pool: an unconnected socket gets another port next time.
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    connect(q->fd, &none, sizeof none);
    q->asker.sandbox->tcp_upstreams[q->place] = q->fd;
  }
  q->fd = -1;
  free(q->in.data);
  free(q->out.data);
  defer_free(&q->handler);
}

static void client_end(struct tcp_client *c) {
  if (c->fd < 0) return;
  for (struct tcp_client **at = &connections; *at; at = &(*at)->next) {
    if (*at != c) continue;
    *at = c->next;
    break;
  }
  for (struct tcp_query *q = queries, *next; q; q = next) {
    next = q->next;
    if (q->asker.connection == c) query_end(q);
  }
  forward_forget(NULL, c);
  close(c->fd);
  c->fd = -1;
  c->sandbox->connections--;
  connection_count--;
  free(c->in.data);
  free(c->out.data);
  c->in.data = c->out.data = NULL;
  defer_free(&c->handler);
}

static void client_flush(struct tcp_client *c) {
  while (c->sent < c->out.used) {
    ssize_t n = send(c->fd, c->out.data + c->sent, c->out.used - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
      client_end(c);
      return;
    }
    c->sent += (size_t)n;
  }
  c->out.used = c->sent = 0;
}

static bool client_full(const struct tcp_client *c) {
  return c->out.used - c->sent > OUTPUT_BYTES_MAX;
}

// Takes whole questions out of the buffer, one at a time.
static void client_turn(struct tcp_client *c) {
  c->turning = true;
  while (c->fd >= 0 && !c->waiting && !client_full(c)) {
    size_t size = message_bytes(&c->in);
    if (size == 0 || c->in.used < size) break;
    static uint8_t message[MESSAGE_BYTES_MAX];
    memcpy(message, c->in.data + 2, size - 2);
    memmove(c->in.data, c->in.data + size, c->in.used - size);
    c->in.used -= size;
    c->waiting = true;
    struct asker asker = {.sandbox = c->sandbox, .connection = c};
    resolve(&asker, message, size - 2);
  }
  c->turning = false;
}

static void client_run(struct handler *self, uint32_t events) {
  struct tcp_client *c = (struct tcp_client *)self;
  (void)events;
  if (c->fd >= 0) client_flush(c);
  if (c->fd >= 0) client_turn(c);
  while (c->fd >= 0) {
    // Read on when it is answered, or when the answers are read.
    if (client_full(c)) return;
    // A question at most, and what little follows it.
    if (!reserve(&c->in, c->in.used < 2 ? 1024 : message_bytes(&c->in) + 512)) break;
    if (c->in.used == c->in.size) {
      if (c->waiting) return;
      break;
    }
    ssize_t n = recv(c->fd, c->in.data + c->in.used, c->in.size - c->in.used, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) break;
    c->in.used += (size_t)n;
    c->deadline_ms = deadline_in(IDLE_MS);
    client_turn(c);
  }
  client_end(c);
}

void tcp_reply(struct tcp_client *c, const uint8_t *message, size_t length) {
  if (c->fd < 0) return;
  c->waiting = false;
  c->deadline_ms = deadline_in(IDLE_MS);
  if (!put_message(&c->out, message, length)) {
    client_end(c);
    return;
  }
  client_flush(c);
  if (c->turning || c->fd < 0) return;
  // It was answered late: more questions may be in the buffer, or wait to be read.
  client_run(&c->handler, 0);
}

void tcp_accept_run(struct handler *self, uint32_t events) {
  struct sandbox *s = (struct sandbox *)((char *)self - offsetof(struct sandbox, tcp));
  (void)events;
  if (s->closed) return;
  int fd = accept_one(s->tcp_fd);
  if (fd < 0) return;
  bool full = s->connections == CONNECTIONS_MAX || connection_count == CONNECTIONS_ALL_MAX;
  struct tcp_client *c = full ? NULL : calloc(1, sizeof *c);
  if (!c || watch(fd, &c->handler, EPOLLIN | EPOLLOUT | EPOLLET) < 0) {
    close(fd);
    free(c);
    return;
  }
  c->handler.run = client_run;
  c->fd = fd;
  c->sandbox = s;
  c->deadline_ms = deadline_in(IDLE_MS);
  c->next = connections;
  connections = c;
  s->connections++;
  connection_count++;
}

static void query_fail(struct tcp_query *q) {
  struct asker asker = q->asker;
  struct question question = q->question;
  int next = q->server + 1;
  size_t length = q->out.used - 2;
  uint8_t *message = malloc(length);
  if (message) memcpy(message, q->out.data + 2, length);
  query_end(q);
  if (message && next < asker.sandbox->server_count) {
    tcp_forward(&asker, message, length, next);
  } else if (message) {
    uint8_t out[512];
    size_t size = answer_empty(message, &question, SERVFAIL, out);
    reply(&asker, &question, out, size);
  }
  free(message);
}

static void query_done(struct tcp_query *q) {
  struct asker asker = q->asker;
  struct question question = q->question;
  uint8_t *message = q->in.data;
  size_t length = q->in.used - 2;
  bool good = answer_whole(message + 2, length) && memcmp(message + 2, q->out.data + 2, 2) == 0 &&
              same_question(message + 2, length, q->out.data + 2, q->out.used - 2);
  if (!good) {
    query_fail(q);
    return;
  }
  if (rcode_passes(message[5] & 0xf) && q->server + 1 < asker.sandbox->server_count) {
    query_fail(q);
    return;
  }
  q->in.data = NULL;
  query_end(q);
  cache_keep(asker.sandbox->scope, &question, message + 2, length);
  reply(&asker, &question, message + 2, length);
  free(message);
}

static void query_run(struct handler *self, uint32_t events) {
  struct tcp_query *q = (struct tcp_query *)self;
  if (q->fd < 0) return;
  if (events & (EPOLLERR | EPOLLHUP)) {
    query_fail(q);
    return;
  }
  while (q->sent < q->out.used) {
    ssize_t n = send(q->fd, q->out.data + q->sent, q->out.used - q->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
    if (n < 0) {
      query_fail(q);
      return;
    }
    q->sent += (size_t)n;
  }
  for (;;) {
    size_t wanted = q->in.used < 2 ? 2 : message_bytes(&q->in);
    if (q->in.used >= 2 && q->in.used == wanted) {
      query_done(q);
      return;
    }
    if (!reserve(&q->in, wanted)) break;
    ssize_t n = recv(q->fd, q->in.data + q->in.used, wanted - q->in.used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
    if (n <= 0) break;
    q->in.used += (size_t)n;
  }
  query_fail(q);
}

static int take_socket(struct sandbox *s, bool host, int *place) {
  const int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (host) {
    int off = 0, fd = socket(AF_INET6, kind, 0);
    if (fd < 0) return socket(AF_INET, kind, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return fd;
  }
  for (int i = 0; i < s->tcp_upstream_count; i++) {
    int fd = s->tcp_upstreams[i];
    if (fd < 0) continue;
    s->tcp_upstreams[i] = -1;
    *place = i;
    return fd;
  }
  return -1;
}

static bool query_start(struct tcp_query *q, const struct server *server) {
  union address to;
  socklen_t size = address_for(socket_family(q->fd), &server->address, &to);
  if (connect(q->fd, &to.any, size) < 0 && errno != EINPROGRESS) return false;
  return watch(q->fd, &q->handler, EPOLLIN | EPOLLOUT | EPOLLET) == 0;
}

void tcp_forward(const struct asker *asker, const uint8_t *message, size_t length, int first) {
  struct sandbox *s = asker->sandbox;
  struct question question;
  if (question_parse(message, length, &question) != 0) return;
  for (int at = first; at < s->server_count; at++) {
    int place = 0;
    int fd = take_socket(s, s->servers[at].host, &place);
    if (fd < 0) {
      // All are busy with others' questions.
      forward(asker, &question, message, length);
      return;
    }
    struct tcp_query *q = calloc(1, sizeof *q);
    if (!q) {
      if (s->servers[at].host)
        close(fd);
      else
        s->tcp_upstreams[place] = fd;
      break;
    }
    *q = (struct tcp_query){.handler.run = query_run,
                            .asker = *asker,
                            .question = question,
                            .fd = fd,
                            .place = place,
                            .server = at,
                            .host = s->servers[at].host,
                            .deadline_ms = deadline_in(TRY_MS),
                            .next = queries};
    queries = q;
    if (put_message(&q->out, message, length) && query_start(q, &s->servers[at])) return;
    query_end(q);
  }
  uint8_t out[512];
  size_t size = answer_empty(message, &question, SERVFAIL, out);
  reply(asker, &question, out, size);
}

void tcp_forget(const struct sandbox *sandbox) {
  for (struct tcp_client *c = connections, *next; c; c = next) {
    next = c->next;
    if (c->sandbox == sandbox) client_end(c);
  }
}

int tcp_expire(void) {
  int64_t now = now_ms();
  if (now < due_ms) return due_ms == INT64_MAX ? -1 : (int)(due_ms - now);
  due_ms = INT64_MAX;
  for (struct tcp_query *q = queries, *next; q; q = next) {
    next = q->next;
    if (q->deadline_ms <= now) {
      query_fail(q);
      next = queries;  // others may have ended with it
    } else if (q->deadline_ms < due_ms) {
      due_ms = q->deadline_ms;
    }
  }
  for (struct tcp_client *c = connections, *next; c; c = next) {
    next = c->next;
    // A connection that waits for an answer is kept by the query's own deadline.
    if (c->waiting) continue;
    if (c->deadline_ms <= now)
      client_end(c);
    else if (c->deadline_ms < due_ms)
      due_ms = c->deadline_ms;
  }
  return due_ms == INT64_MAX ? -1 : (int)(due_ms - now);
}

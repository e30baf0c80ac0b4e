// The port holder's TCP side. Bytes move with splice(2) through a pipe for each direction, so they
// never enter this process. A direction that ended is passed on as a half-close; a connection that
// broke is passed on as a reset. Edge-triggered: every event pumps both directions until nothing
// moves, at most TURN_ROUNDS times, so that one fast connection cannot starve the others.
#define _GNU_SOURCE
#include "ports.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK (64 * 1024)
#define TURN_ROUNDS 16
#define ACCEPTS_PER_TURN 64

struct direction {
  int from, to;
  int pipe[2];
  size_t held;  // bytes in the pipe
  bool ended;   // `from` has no more
  bool passed;  // and `to` knows
};

struct connection {
  struct handler client;  // first: a handler pointer is the connection
  struct handler server;
  struct direction up, down;
  bool connected, closed, queued;
  struct connection *next_queued;
};

static struct connection *queue;

static void connection_run(struct connection *c, uint32_t events);

static void client_run(struct handler *self, uint32_t events) {
  connection_run((struct connection *)self, events);
}
static void server_run(struct handler *self, uint32_t events) {
  connection_run((struct connection *)((char *)self - offsetof(struct connection, server)), events);
}

static void connection_close(struct connection *c, bool reset) {
  if (c->closed) return;
  c->closed = true;
  if (reset) {
    struct linger now = {1, 0};
    setsockopt(c->up.from, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    setsockopt(c->up.to, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  close(c->up.from);
  close(c->up.to);
  for (int end = 0; end < 2; end++) {
    if (c->up.pipe[end] >= 0) close(c->up.pipe[end]);
    if (c->down.pipe[end] >= 0) close(c->down.pipe[end]);
  }
  if (!c->queued) defer_free(&c->client);
}

// Returns 1 when something moved, 0 when nothing can, or a negative errno.
static int pump_once(struct direction *d) {
  int moved = 0;
  if (!d->ended) {
    ssize_t n = splice(d->from, NULL, d->pipe[1], NULL, CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n > 0) {
      d->held += (size_t)n;
      moved = 1;
    } else if (n == 0) {
      d->ended = true;
    } else if (errno != EAGAIN && errno != EINTR) {
      return -errno;
    }
  }
  if (d->held > 0) {
    ssize_t n = splice(d->pipe[0], NULL, d->to, NULL, d->held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n > 0) {
      d->held -= (size_t)n;
      moved = 1;
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return -errno;
    }
  }
  if (d->ended && d->held == 0 && !d->passed) {
    shutdown(d->to, SHUT_WR);
    d->passed = true;
  }
  return moved;
}

static void connection_pump(struct connection *c) {
  for (int round = 0; round < TURN_ROUNDS; round++) {
    int up = pump_once(&c->up);
    int down = up < 0 ? 0 : pump_once(&c->down);
    if (up < 0 || down < 0) {
      connection_close(c, true);
      return;
    }
    if (c->up.passed && c->down.passed) {
      connection_close(c, false);
      return;
    }
    if (up + down == 0) return;
  }
  if (c->queued) return;
  c->queued = true;
  c->next_queued = queue;
  queue = c;
}

static void connection_run(struct connection *c, uint32_t events) {
  if (c->closed) return;
  if (!c->connected) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->up.to, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      connection_close(c, true);
      return;
    }
    union address peer;
    length = sizeof peer;
    if (getpeername(c->up.to, &peer.any, &length) < 0) {
      if (events & (EPOLLERR | EPOLLHUP)) connection_close(c, false);
      return;
    }
    c->connected = true;
  }
  connection_pump(c);
}

bool tcp_turns(void) {
  struct connection *c = queue;
  queue = NULL;
  while (c) {
    struct connection *next = c->next_queued;
    c->queued = false;
    if (c->closed)
      defer_free(&c->client);
    else
      connection_pump(c);
    c = next;
  }
  return queue != NULL;
}

static int connection_start(int client, const union address *target) {
  int on = 1;
  struct connection *c = calloc(1, sizeof *c);
  int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int server = socket(target->any.sa_family, kind, 0);
  if (!c || server < 0) {
    free(c);
    if (server >= 0) close(server);
    close(client);
    return -errno;
  }
  c->client.run = client_run;
  c->server.run = server_run;
  c->up = (struct direction){.from = client, .to = server, .pipe = {-1, -1}};
  c->down = (struct direction){.from = server, .to = client, .pipe = {-1, -1}};
  for (int end = 0; end < 2; end++) {
    int fd = end == 0 ? client : server;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  int connecting = connect(server, &target->any, address_length(target));
  if ((connecting < 0 && errno != EINPROGRESS) || pipe2(c->up.pipe, O_CLOEXEC | O_NONBLOCK) < 0 ||
      pipe2(c->down.pipe, O_CLOEXEC | O_NONBLOCK) < 0 ||
      watch(client, &c->client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0 ||
      watch(server, &c->server, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
    int error = errno;
    connection_close(c, true);
    return -error;
  }
  return 0;
}

void tcp_accept(struct handler *self, uint32_t events) {
  (void)events;
  struct listener *listener = (struct listener *)self;
  for (int turn = 0; turn < ACCEPTS_PER_TURN && listener->fd >= 0; turn++) {
    int client = accept_one(listener->fd);
    if (client < 0) return;
    union address peer = {0};
    socklen_t length = sizeof peer;
    const union address *target = NULL;
    if (listener->protocol == IPPROTO_TCP && getpeername(client, &peer.any, &length) == 0)
      target = target_of(listener, &peer);
    if (target)
      connection_start(client, target);
    else
      close(client);
  }
}

// Streams of a container's processes, and the clients attached to them. Output is never dropped:
// while a client's queue is over its limit, the container's pipe stays unread. A client that has
// vanished is removed and delays nobody.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor.h"

#define FINAL_DRAIN_BYTES_MAX (1u << 20)

static char chunk[OUTPUT_CHUNK_BYTES];
static void on_output(struct source *s, uint32_t events);
static void on_stdin_room(struct source *s, uint32_t events);
static void watch_client(struct client *c);

static void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static void set_stream(struct process *p, int which, int fd) {
  p->out[which] = (struct stream){
      .source = {on_output, fd, 0}, .process = p, .number = (uint8_t)(which + 1)};
}

// Takes what the plan exported; the descriptor is the monitor's from here on.
int add_stream(struct process *p, const char *name, int fd) {
  if (fd < 0) return -EBADF;
  if (strcmp(name, "stdin") && strcmp(name, "stdout") && strcmp(name, "stderr") &&
      strcmp(name, "tty")) {
    close(fd);
    return strcmp(name, "seccomp") ? -EINVAL : -EOPNOTSUPP;
  }
  set_nonblocking(fd);
  if (strcmp(name, "stdin") == 0) p->stdin = (struct source){on_stdin_room, fd, 0};
  else if (strcmp(name, "stderr") == 0) set_stream(p, 1, fd);
  else set_stream(p, 0, fd);
  // Fewer and larger reads where a container writes much; best effort.
  if (strcmp(name, "stdin") && strcmp(name, "tty")) fcntl(fd, F_SETPIPE_SZ, OUTPUT_CHUNK_BYTES);
  if (strcmp(name, "tty")) return 0;
  p->tty = fd;
  p->stdin = (struct source){on_stdin_room, fcntl(fd, F_DUPFD_CLOEXEC, 3), 0};
  return 0;
}

bool streams_ended(const struct process *p) {
  return p->out[0].source.fd < 0 && p->out[1].source.fd < 0;
}

bool clients_flushed(const struct process *p) {
  for (struct client *c = p->clients; c; c = c->next)
    if (c->queue_length > 0) return false;
  return true;
}

// Reads a stream only when every client that wants it has room.
void adjust_streams(struct process *p) {
  for (int i = 0; i < 2; i++) {
    struct stream *s = &p->out[i];
    bool wait = p->hold || !p->started || (!p->exec && log_is_full());
    for (struct client *c = p->clients; c && !wait; c = c->next)
      wait = (c->mask & (2 << i)) && c->queue_length > CLIENT_QUEUE_BYTES_MAX;
    watch_source(&s->source, wait ? 0 : EPOLLIN);
  }
}

void start_streams(struct process *p) {
  p->started = true;
  adjust_streams(p);
}

static void remove_client(struct client *gone) {
  struct process *p = gone->process;
  for (struct client **at = &p->clients; *at; at = &(*at)->next) {
    if (*at != gone) continue;
    *at = gone->next;
    break;
  }
  forget_source(&gone->source);
  free(gone->queue);
  free(gone);
  monitor.connections--;
  adjust_streams(p);
}

// Clients of a process that has ended go when they have read everything.
static void finish_clients(struct process *p) {
  if (!p->exited || (!streams_ended(p) && !p->reported)) return;
  for (struct client *c = p->clients, *next; c; c = next) {
    next = c->next;
    if (c->queue_length == 0) remove_client(c);
  }
}

static void enqueue(struct client *c, const void *data, size_t length) {
  if (c->queue_start + c->queue_length + length > c->queue_capacity) {
    if (c->queue_start > 0) memmove(c->queue, c->queue + c->queue_start, c->queue_length);
    c->queue_start = 0;
    if (c->queue_length + length > c->queue_capacity) {
      size_t capacity = c->queue_length + length + STREAM_CHUNK_BYTES;
      uint8_t *grown = realloc(c->queue, capacity);
      if (!grown) return;
      c->queue = grown;
      c->queue_capacity = (uint32_t)capacity;
    }
  }
  memcpy(c->queue + c->queue_start + c->queue_length, data, length);
  c->queue_length += (uint32_t)length;
}

// False when the client is gone.
static bool deliver(struct client *c, const void *head, size_t head_length, const char *data,
                    size_t length) {
  size_t sent = 0, total = head_length + length;
  if (c->queue_length == 0) {
    struct iovec parts[2] = {{(void *)(uintptr_t)head, head_length},
                             {(void *)(uintptr_t)data, length}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = sendmsg(c->source.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n > 0) sent = (size_t)n;
  }
  if (sent == total) return true;
  if (sent < head_length) enqueue(c, (const char *)head + sent, head_length - sent);
  size_t skip = sent > head_length ? sent - head_length : 0;
  enqueue(c, data + skip, length - skip);
  watch_client(c);
  return true;
}

static void to_clients(struct stream *s, const char *data, size_t length) {
  struct process *p = s->process;
  uint8_t head[8] = {s->number};
  uint32_t size = htonl((uint32_t)length);
  memcpy(head + 4, &size, sizeof size);
  for (struct client *c = p->clients, *next; c; c = next) {
    next = c->next;
    if (!(c->mask & (2 << (s->number - 1)))) continue;
    if (!deliver(c, head, p->terminal ? 0 : sizeof head, data, length)) remove_client(c);
  }
}

static void end_stream(struct stream *s) {
  struct process *p = s->process;
  if (!p->exec) log_end(s);
  if (p->tty == s->source.fd) p->tty = -1;
  forget_source(&s->source);
  free(s->tail);
  s->tail = NULL;
}

// Attached clients are given less at once: their queues are in memory.
static size_t chunk_size(const struct process *p) {
  return p->clients ? CLIENT_QUEUE_BYTES_MAX : sizeof chunk;
}

// Moves one chunk; the bytes moved, 0 at the end of the stream, -1 when nothing is there now.
static ssize_t pump(struct stream *s) {
  ssize_t n;
  do n = read(s->source.fd, chunk, chunk_size(s->process));
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return -1;
  if (n <= 0) {  // a pty whose slaves are all closed says EIO
    end_stream(s);
    return 0;
  }
  if (!s->process->exec) log_output(s, chunk, (size_t)n);
  if (log_has_rotated()) broadcast_log();
  to_clients(s, chunk, (size_t)n);
  return n;
}

static void on_output(struct source *source, uint32_t events) {
  (void)events;
  struct stream *s = (struct stream *)source;
  struct process *p = s->process;
  if (pump(s) != 0) {
    adjust_streams(p);
    return;
  }
  finish_clients(p);
  settle(p);
}

// The last of the output, whatever the clients do: what a descendant still writes is bounded.
void drain_streams(struct process *p) {
  for (int i = 0; i < 2; i++) {
    size_t total = 0;
    ssize_t n = 1;
    while (p->out[i].source.fd >= 0 && total < FINAL_DRAIN_BYTES_MAX && n > 0)
      if ((n = pump(&p->out[i])) > 0) total += (size_t)n;
    if (p->out[i].source.fd >= 0) end_stream(&p->out[i]);
  }
  forget_source(&p->stdin);
  p->reported = true;
  finish_clients(p);
}

void close_process_io(struct process *p) {
  while (p->clients) remove_client(p->clients);
  for (int i = 0; i < 2; i++) {
    forget_source(&p->out[i].source);
    free(p->out[i].tail);
    p->out[i].tail = NULL;
  }
  forget_source(&p->stdin);
  p->tty = -1;
  free(p->pending);
  p->pending = NULL;
  p->pending_length = 0;
}

static void watch_clients(struct process *p) {
  for (struct client *c = p->clients; c; c = c->next) watch_client(c);
}

static void close_stdin(struct process *p) {
  forget_source(&p->stdin);
  free(p->pending);
  p->pending = NULL;
  p->pending_length = 0;
  watch_clients(p);
}

static void write_stdin(struct process *p, const char *data, size_t length) {
  while (length > 0) {
    ssize_t n = write(p->stdin.fd, data, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return close_stdin(p);
    if (n < 0) break;
    data += n;
    length -= (size_t)n;
  }
  if (length == 0) return;
  p->pending = malloc(length);
  if (!p->pending) return;
  memcpy(p->pending, data, length);
  p->pending_start = 0;
  p->pending_length = (uint32_t)length;
  watch_source(&p->stdin, EPOLLOUT);
  watch_clients(p);
}

static void on_stdin_room(struct source *s, uint32_t events) {
  (void)events;
  struct process *p = (struct process *)((char *)s - offsetof(struct process, stdin));
  if (p->pending_length > 0) {
    ssize_t n = write(s->fd, p->pending + p->pending_start, p->pending_length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return close_stdin(p);
    p->pending_start += (uint32_t)n;
    p->pending_length -= (uint32_t)n;
    if (p->pending_length > 0) return;
  }
  free(p->pending);
  p->pending = NULL;
  watch_source(s, 0);
  if (p->stdin_ending) close_stdin(p);
  else watch_clients(p);
}

// The client has closed its side: StdinOnce ends the program's input, once all is written.
static void end_client_input(struct client *c) {
  struct process *p = c->process;
  c->read_end = true;
  if (!(c->mask & 1) || !p->stdin_once || p->terminal || p->stdin.fd < 0) return;
  p->stdin_ending = true;
  if (p->pending_length == 0) close_stdin(p);
}

static void watch_client(struct client *c) {
  struct process *p = c->process;
  bool busy = (c->mask & 1) && p->pending_length > 0;
  bool wanted = !c->read_end && !busy && (!(c->mask & 1) || p->started);
  // EPOLLERR and EPOLLHUP come unasked; naming one keeps a silent client registered.
  watch_source(&c->source,
               EPOLLERR | (wanted ? EPOLLIN : 0) | (c->queue_length > 0 ? EPOLLOUT : 0));
}

static bool flush(struct client *c) {
  while (c->queue_length > 0) {
    ssize_t n = send(c->source.fd, c->queue + c->queue_start, c->queue_length,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    c->queue_start += (uint32_t)n;
    c->queue_length -= (uint32_t)n;
  }
  free(c->queue);
  c->queue = NULL;
  c->queue_start = c->queue_capacity = 0;
  return true;
}

static void on_client(struct source *s, uint32_t events) {
  struct client *c = (struct client *)s;
  struct process *p = c->process;
  if (events & EPOLLIN) {
    ssize_t n = recv(s->fd, chunk, STREAM_CHUNK_BYTES, MSG_DONTWAIT);
    if (n == 0) end_client_input(c);
    // What is sent without standard input, or after its end, has no reader.
    if (n > 0 && (c->mask & 1) && p->stdin.fd >= 0 && !p->stdin_ending)
      write_stdin(p, chunk, (size_t)n);
    if (n < 0 && errno != EAGAIN && errno != EINTR) events |= EPOLLERR;
    watch_client(c);
    if (!(events & EPOLLERR)) return;
  }
  bool alive = !(events & (EPOLLERR | EPOLLHUP));
  if (alive && (events & EPOLLOUT)) alive = flush(c);
  if (!alive) {
    if (!c->read_end) end_client_input(c);
    remove_client(c);
    return;
  }
  watch_client(c);
  adjust_streams(p);
  finish_clients(p);
}

struct client *add_client(int fd, struct process *p, uint8_t mask) {
  struct client *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  *c = (struct client){.source = {on_client, fd, 0}, .process = p, .mask = mask};
  if (!p->open_stdin) c->mask &= (uint8_t)~1u;
  c->next = p->clients;
  p->clients = c;
  set_nonblocking(fd);
  watch_client(c);
  finish_clients(p);
  return c;
}

// The monitor's unix socket: a connection's first frame says its role (CONTROL, ATTACH, EXEC). Of
// an EXEC only the header is read here: the plan stays in the socket for the executor.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor.h"

#define REQUEST_BYTES_MAX 4096
#define BACKLOG 1024  // beyond it connect(2) fails with EAGAIN at once

struct conn {
  struct source source;
  struct conn *next;
  bool control;
  uint32_t have, need;
  uint32_t prefix;  // EXEC: bytes of the payload read here
  union {
    struct frame_header header;
    uint8_t bytes[sizeof(struct frame_header) + REQUEST_BYTES_MAX];
  } in;
};

static struct conn *conns;

static void detach(struct conn *c) {
  for (struct conn **at = &conns; *at; at = &(*at)->next) {
    if (*at != c) continue;
    *at = c->next;
    break;
  }
}

static void close_conn(struct conn *c) {
  detach(c);
  forget_source(&c->source);
  free(c);
  monitor.connections--;
}

// Replies and events are small; a control client that does not read them is dropped.
static void say(struct conn *c, uint32_t id, uint16_t type, const void *data, size_t length) {
  uint8_t frame[sizeof(struct frame_header) + 512];
  struct frame_header h = {(uint32_t)length, id, type, WIRE_VERSION};
  if (length > sizeof frame - sizeof h) return;
  memcpy(frame, &h, sizeof h);
  if (length > 0) memcpy(frame + sizeof h, data, length);
  ssize_t n = send(c->source.fd, frame, sizeof h + length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n != (ssize_t)(sizeof h + length)) shutdown(c->source.fd, SHUT_RDWR);
}

static void say_failure(struct conn *c, uint32_t id, int error, const char *text) {
  struct out o = {0};
  put_u8(&o, HALF_PROTOCOL);
  put_u32(&o, 0);
  put_u32(&o, (uint32_t)error);
  put_str(&o, text);
  say(c, id, T_FAIL, o.data, o.length);
  out_free(&o);
}

static void say_exit(struct conn *c, struct process *p) {
  struct out o = {0};
  put_str(&o, p->id);
  put_u32(&o, (uint32_t)p->status_code);
  put_u32(&o, (uint32_t)p->status_signal);
  put_u8(&o, p->exec ? 0 : monitor.oom_killed);
  put_i64(&o, p->exit_seconds);
  put_u32(&o, p->exit_nanoseconds);
  say(c, 0, T_EXIT, o.data, o.length);
  out_free(&o);
}

void broadcast_exit(struct process *p) {
  for (struct conn *c = conns; c; c = c->next)
    if (c->control) say_exit(c, p);
}

void broadcast_oom(void) {
  for (struct conn *c = conns; c; c = c->next)
    if (c->control) say(c, 0, T_OOM, NULL, 0);
}

void broadcast_log(void) {
  for (struct conn *c = conns; c; c = c->next)
    if (c->control) say(c, 0, T_LOG, NULL, 0);
}

static void say_hello(struct conn *c, uint32_t id) {
  monitor.met = true;
  struct out o = {0};
  put_u32(&o, (uint32_t)getpid());
  put_u32(&o, (uint32_t)monitor.init->pid);
  put_i64(&o, (int64_t)monitor.init->ticks);
  put_u8(&o, monitor.running);
  say(c, id, T_HELLO, o.data, o.length);
  out_free(&o);
  if (monitor.init->reported) say_exit(c, monitor.init);
}

static int resize(struct process *p, struct cursor *at) {
  struct winsize size = {.ws_row = take_u16(at), .ws_col = take_u16(at)};
  if (at->bad) return -EPROTO;
  if (p->tty < 0) return -ENOTTY;
  return ioctl(p->tty, TIOCSWINSZ, &size) ? -errno : 0;
}

static int send_kill(struct process *p, struct cursor *at) {
  int signal = (int)take_u32(at);
  if (at->bad) return -EPROTO;
  if (p->exit.fd < 0 || p->exited) return -ESRCH;
  return pidfd_send_signal(p->exit.fd, signal, NULL, 0) ? -errno : 0;
}

static void on_request(struct conn *c) {
  const struct frame_header *h = &c->in.header;
  struct cursor at = {c->in.bytes + sizeof *h, c->in.bytes + sizeof *h + h->length, false};
  struct process *p = find_process(take_str(&at, NULL));
  int error = 0;
  if (at.bad) error = -EPROTO;
  else if (!p || !p->started) error = -ESRCH;
  else if (h->type == T_KILL) error = send_kill(p, &at);
  else if (h->type == T_RESIZE) error = resize(p, &at);
  else if (h->type != T_RELEASE) error = -EPROTO;
  if (error) {
    say_failure(c, h->id, -error, "");
    return;
  }
  say(c, h->id, T_OK, NULL, 0);
  if (h->type != T_RELEASE || !p->hold) return;
  p->hold = false;
  adjust_streams(p);
}

static void become_client(struct conn *c) {
  const struct frame_header *h = &c->in.header;
  struct cursor at = {c->in.bytes + sizeof *h, c->in.bytes + sizeof *h + h->length, false};
  struct process *p = find_process(take_str(&at, NULL));
  uint8_t mask = take_u8(&at);
  if (at.bad || !p || !p->started || p->reported) {
    say_failure(c, h->id, at.bad ? EPROTO : ESRCH, "no such process");
    close_conn(c);
    return;
  }
  say(c, h->id, T_OK, NULL, 0);
  int fd = c->source.fd;
  watch_source(&c->source, 0);
  detach(c);
  free(c);
  if (add_client(fd, p, mask)) return;
  close(fd);
  monitor.connections--;
}

static void become_exec(struct conn *c) {
  const struct frame_header *h = &c->in.header;
  struct cursor at = {c->in.bytes + sizeof *h, c->in.bytes + c->have, false};
  const char *id = take_str(&at, NULL);
  bool terminal = take_u8(&at), open_stdin = take_u8(&at);
  uint32_t hold_ms = take_u32(&at);
  int error = at.bad ? -EPROTO : 0;
  watch_source(&c->source, 0);
  if (!error)
    error = start_exec(c->source.fd, id, terminal, open_stdin, hold_ms, h->id,
                       h->length - c->prefix);
  if (error) {
    say_failure(c, h->id, -error, error == -EEXIST ? "exec id in use" : "container is not running");
    close_conn(c);
    return;
  }
  detach(c);  // its descriptor is the job's now
  free(c);
  monitor.connections--;
}

// Called when `need` bytes are there: asks for more (true), or acts and is done.
static bool advance(struct conn *c) {
  struct frame_header *h = &c->in.header;
  if (c->have == sizeof *h) {
    bool exec = h->type == T_EXEC && !c->control;
    if (h->version != WIRE_VERSION || (!exec && h->length > REQUEST_BYTES_MAX)) {
      close_conn(c);
      return false;
    }
    c->need += exec ? 4 : h->length;
    if (exec && h->length < 4) c->need = c->have + h->length;
    if (c->need > c->have) return true;
  }
  if (!c->control && h->type == T_EXEC) {
    uint32_t id_length;
    memcpy(&id_length, c->in.bytes + sizeof *h, 4);
    if (id_length > 256 || h->length < id_length + 11) {
      close_conn(c);
      return false;
    }
    c->prefix = 4 + id_length + 1 + 6;
    c->need = (uint32_t)sizeof *h + c->prefix;
    if (c->have < c->need) return true;
    become_exec(c);
    return false;
  }
  if (c->control) {
    on_request(c);
  } else if (h->type == T_CONTROL) {
    c->control = true;
    say_hello(c, h->id);
  } else {
    if (h->type == T_ATTACH) become_client(c);
    else close_conn(c);
    return false;
  }
  c->have = 0;
  c->need = sizeof *h;
  return true;
}

static void on_conn(struct source *s, uint32_t events) {
  (void)events;
  struct conn *c = (struct conn *)s;
  for (;;) {
    ssize_t n = recv(s->fd, c->in.bytes + c->have, c->need - c->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return close_conn(c);
    c->have += (uint32_t)n;
    if (c->have == c->need && !advance(c)) return;
  }
}

static void on_listen(struct source *s, uint32_t events) {
  (void)events;
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct conn *c = monitor.connections < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
  if (!c) {
    close(fd);
    return;
  }
  monitor.connections++;
  c->source = (struct source){on_conn, fd, 0};
  c->need = sizeof c->in.header;
  c->next = conns;
  conns = c;
  watch_source(&c->source, EPOLLIN);
}

int listen_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  unlink(path);
  mode_t old = umask(0177);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address) ? -errno : 0;
  umask(old);
  if (!error && listen(fd, BACKLOG)) error = -errno;
  if (error) {
    close(fd);
    return error;
  }
  monitor.listen = (struct source){on_listen, fd, 0};
  watch_source(&monitor.listen, EPOLLIN);
  return 0;
}

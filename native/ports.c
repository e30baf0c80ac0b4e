// The port holder, `gantry-native ports SOCKET [IDLE_MS]`: really binds every published port, so
// that nobody else can take it, and carries what nftables cannot (127.0.0.1, ::1, IPv6 to IPv4,
// hosts without nftables). It outlives the daemon, which reconnects and asks for the list, and
// ends when it is told to, or when it holds nothing and nobody has been connected for IDLE_MS.
//
// SOCKET speaks lines of text, one request a line, each answered by `ID ok [COUNT]` or
// `ID error ERRNO`:
//   ID bind KEY tcp|udp|sctp IP PORT TARGET-IP TARGET-PORT   (again: only the target changes)
//   ID unbind KEY [tcp|udp|sctp IP PORT]
//   ID list          answers `ID item KEY PROTOCOL IP PORT TARGET-IP TARGET-PORT` for each first
//   ID stop
#define _GNU_SOURCE
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_BYTES_MAX 512
#define OUTPUT_BYTES_MAX (16 << 20)
#define IDLE_MS_DEFAULT 10000
#define BACKLOG 1024
#define EVENTS 64

struct client {
  struct handler handler;  // first
  int fd;
  size_t in_length;
  char in[4096];
  char *out;
  size_t out_length, out_sent, out_size;
};

static int poller = -1;
static int control_fd = -1;
static int spare = -1;  // given up to accept and drop a connection when descriptors run out
static struct handler *freed;
static struct listener *listeners;
static int clients;
static bool stopping;

socklen_t address_length(const union address *a) {
  return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

int watch(int fd, struct handler *handler, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = handler};
  return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

void defer_free(struct handler *handler) {
  handler->next_freed = freed;
  freed = handler;
}

int accept_one(int fd) {
  int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (got >= 0 || (errno != EMFILE && errno != ENFILE)) return got;
  // Without this, the waiting connection would wake us for ever.
  close(spare);
  got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
  if (got >= 0) close(got);
  spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  errno = EAGAIN;
  return -1;
}

static int parse_address(const char *ip, const char *port, union address *a) {
  memset(a, 0, sizeof *a);
  char *end;
  unsigned long number = strtoul(port, &end, 10);
  if (*port == 0 || *end != 0 || number > 65535) return -EINVAL;
  if (strcmp(ip, "-") == 0) return 0;  // AF_UNSPEC: held, carried nowhere
  if (inet_pton(AF_INET, ip, &a->v4.sin_addr) == 1) {
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)number);
    return 0;
  }
  if (inet_pton(AF_INET6, ip, &a->v6.sin6_addr) != 1) return -EINVAL;
  a->v6.sin6_family = AF_INET6;
  a->v6.sin6_port = htons((uint16_t)number);
  return 0;
}

static void format_address(const union address *a, char *out, size_t size) {
  char ip[INET6_ADDRSTRLEN] = "-";
  if (a->any.sa_family == AF_INET) inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
  if (a->any.sa_family == AF_INET6) inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
  snprintf(out, size, "%s %u", ip, ntohs(a->v4.sin_port));  // same place in both families
}

static const char *protocol_name(int protocol) {
  return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "sctp";
}
static int protocol_number(const char *name) {
  if (strcmp(name, "tcp") == 0) return IPPROTO_TCP;
  if (strcmp(name, "udp") == 0) return IPPROTO_UDP;
  return strcmp(name, "sctp") == 0 ? IPPROTO_SCTP : -1;
}

// Returns a bound (and, but for UDP, listening) socket or a negative errno.
static int open_port(int protocol, const union address *bound) {
  int family = bound->any.sa_family, on = 1;
  int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &bound->any, address_length(bound)) < 0 ||
      (type == SOCK_STREAM ? listen(fd, BACKLOG) : udp_prepare(fd, family)) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

static struct listener *find_listener(int protocol, const union address *bound) {
  for (struct listener *l = listeners; l; l = l->next)
    if (l->protocol == protocol && memcmp(&l->bound, bound, sizeof *bound) == 0) return l;
  return NULL;
}

static int bind_port(char **words, int count) {
  union address bound, target;
  int protocol = count == 6 ? protocol_number(words[1]) : -1;
  if (protocol < 0 || strlen(words[0]) >= sizeof(((struct listener *)0)->key)) return -EINVAL;
  if (parse_address(words[2], words[3], &bound) < 0 || bound.any.sa_family == AF_UNSPEC ||
      bound.v4.sin_port == 0 || parse_address(words[4], words[5], &target) < 0)
    return -EINVAL;
  struct listener *l = find_listener(protocol, &bound);
  if (l && strcmp(l->key, words[0]) != 0) return -EADDRINUSE;
  if (l) {
    if (protocol == IPPROTO_UDP) udp_forget(l);
    l->target = target;
    return 0;
  }
  int fd = open_port(protocol, &bound);
  if (fd < 0) return fd;
  l = calloc(1, sizeof *l);
  if (!l) {
    close(fd);
    return -ENOMEM;
  }
  l->handler.run = protocol == IPPROTO_UDP ? udp_receive : tcp_accept;
  l->fd = fd;
  l->protocol = protocol;
  l->bound = bound;
  l->target = target;
  strcpy(l->key, words[0]);
  if (watch(fd, &l->handler, EPOLLIN) < 0) {
    int error = errno;
    close(fd);
    free(l);
    return -error;
  }
  l->next = listeners;
  listeners = l;
  return 0;
}

// Returns how many ports were let go. Connections that live go on until they end.
static int unbind_ports(char **words, int count) {
  union address bound;
  int protocol = 0, gone = 0;
  if (count != 1 && count != 4) return -EINVAL;
  if (count == 4) {
    protocol = protocol_number(words[1]);
    if (protocol < 0 || parse_address(words[2], words[3], &bound) < 0) return -EINVAL;
  }
  for (struct listener **at = &listeners; *at;) {
    struct listener *l = *at;
    if (strcmp(l->key, words[0]) != 0 ||
        (count == 4 && (l->protocol != protocol || memcmp(&l->bound, &bound, sizeof bound) != 0))) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    if (l->protocol == IPPROTO_UDP) udp_forget(l);
    close(l->fd);
    l->fd = -1;
    defer_free(&l->handler);
    gone++;
  }
  return gone;
}

static void client_end(struct client *c) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  clients--;
  free(c->out);
  c->out = NULL;
  defer_free(&c->handler);
}

static void client_flush(struct client *c) {
  while (c->out_sent < c->out_length) {
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;  // edge-triggered EPOLLOUT brings us back
    if (n < 0) {
      client_end(c);
      return;
    }
    c->out_sent += (size_t)n;
  }
  c->out_length = c->out_sent = 0;
}

__attribute__((format(printf, 2, 3)))
static void answer(struct client *c, const char *format, ...) {
  char line[LINE_BYTES_MAX];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (c->fd < 0 || length < 0 || (size_t)length >= sizeof line) return;
  if (c->out_length + (size_t)length > c->out_size) {
    size_t size = c->out_size == 0 ? 4096 : c->out_size * 2;
    char *larger = size > OUTPUT_BYTES_MAX ? NULL : realloc(c->out, size);
    if (!larger) {
      client_end(c);
      return;
    }
    c->out = larger;
    c->out_size = size;
  }
  memcpy(c->out + c->out_length, line, (size_t)length);
  c->out_length += (size_t)length;
}

static int list_ports(struct client *c, const char *id) {
  int count = 0;
  for (struct listener *l = listeners; l; l = l->next, count++) {
    char bound[64], target[64];
    format_address(&l->bound, bound, sizeof bound);
    format_address(&l->target, target, sizeof target);
    answer(c, "%s item %s %s %s %s\n", id, l->key, protocol_name(l->protocol), bound, target);
  }
  return count;
}

static void handle_line(struct client *c, char *line) {
  char *words[9], *rest = line;
  int count = 0;
  for (char *word; count < 9 && (word = strsep(&rest, " "));) words[count++] = word;
  if (count < 2 || rest || strlen(words[0]) > 20) {
    client_end(c);
    return;
  }
  int result = -EINVAL;
  if (strcmp(words[1], "bind") == 0)
    result = bind_port(words + 2, count - 2);
  else if (strcmp(words[1], "unbind") == 0)
    result = unbind_ports(words + 2, count - 2);
  else if (strcmp(words[1], "list") == 0)
    result = list_ports(c, words[0]);
  else if (strcmp(words[1], "stop") == 0) {
    stopping = true;
    result = 0;
  }
  if (result < 0)
    answer(c, "%s error %d\n", words[0], -result);
  else
    answer(c, "%s ok %d\n", words[0], result);
}

static void client_run(struct handler *self, uint32_t events) {
  struct client *c = (struct client *)self;
  (void)events;
  while (c->fd >= 0) {
    ssize_t n = recv(c->fd, c->in + c->in_length, sizeof c->in - c->in_length, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      client_end(c);
      return;
    }
    c->in_length += (size_t)n;
    char *start = c->in, *end;
    size_t left = c->in_length;
    while (c->fd >= 0 && (end = memchr(start, '\n', left))) {
      *end = 0;
      handle_line(c, start);
      left -= (size_t)(end + 1 - start);
      start = end + 1;
    }
    if (left >= LINE_BYTES_MAX) client_end(c);
    memmove(c->in, start, left);
    c->in_length = left;
  }
  if (c->fd >= 0) client_flush(c);
}

static void control_run(struct handler *self, uint32_t events) {
  (void)self;
  (void)events;
  int fd = accept_one(control_fd);
  if (fd < 0) return;
  struct ucred peer;
  socklen_t length = sizeof peer;
  struct client *c = calloc(1, sizeof *c);
  if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
      (peer.uid != 0 && peer.uid != geteuid()) ||
      watch(fd, &c->handler, EPOLLIN | EPOLLOUT | EPOLLET) < 0) {
    close(fd);
    free(c);
    return;
  }
  c->handler.run = client_run;
  c->fd = fd;
  clients++;
  answer(c, "gantry-ports 1 %d\n", getpid());
  client_flush(c);
}

static int control_open(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof name.sun_path) return -ENAMETOOLONG;
  strcpy(name.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0) return -EADDRINUSE;
  unlink(path);
  umask(0177);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 16) < 0) return -errno;
  control_fd = fd;
  return 0;
}

// What is left is the right to bind low ports.
static void drop_privileges(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2] = {{0}};
  caps[0].effective = caps[0].permitted = 1u << CAP_NET_BIND_SERVICE;
  for (int cap = 0; cap < 64; cap++)
    if (cap != CAP_NET_BIND_SERVICE) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  syscall(SYS_capset, &header, caps);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void free_deferred(void) {
  while (freed) {
    struct handler *next = freed->next_freed;
    free(freed);
    freed = next;
  }
}

static int serve(int idle_ms) {
  while (!stopping) {
    bool more = tcp_turns();
    int expiry = udp_expire();
    free_deferred();
    bool idle = !listeners && clients == 0;
    int timeout = more ? 0 : idle ? idle_ms : expiry;
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, timeout);
    if (count < 0 && errno != EINTR) return 1;
    if (count == 0 && idle && !more) return 0;
    for (int i = 0; i < count; i++) {
      struct handler *handler = events[i].data.ptr;
      handler->run(handler, events[i].events);
    }
  }
  return 0;
}

int ports_main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: gantry-native ports SOCKET [IDLE_MS]\n");
    return 2;
  }
  static struct handler control = {.run = control_run};
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  syscall(SYS_close_range, 3u, ~0u, 0u);
  poller = epoll_create1(EPOLL_CLOEXEC);
  spare = open("/dev/null", O_RDWR | O_CLOEXEC);
  int error = control_open(argv[1]);
  if (error < 0 || poller < 0 || spare < 0 || watch(control_fd, &control, EPOLLIN) < 0) {
    printf("error %d\n", error < 0 ? -error : errno);
    return 1;
  }
  drop_privileges();
  prctl(PR_SET_NAME, "gantry-ports", 0, 0, 0);
  if (chdir("/") < 0) return 1;
  // Whoever started us waits for this line; after it, nothing of theirs stays open.
  printf("ready %d\n", getpid());
  fflush(stdout);
  for (int fd = 0; fd <= 2; fd++) dup2(spare, fd);
  int status = serve(argc > 2 ? atoi(argv[2]) : IDLE_MS_DEFAULT);
  unlink(argv[1]);
  return status;
}

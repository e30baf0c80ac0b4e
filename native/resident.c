// The life of a resident helper: its control socket, its clients and their lines, its one epoll,
// and its end when nothing holds it and nobody has been connected for a while. It outlives the
// daemon, which connects again and asks what is there. Requests are `ID VERB …`, each answered by
// `ID ok COUNT` or `ID error ERRNO`; see ports.c and resolver.c for the verbs.
#define _GNU_SOURCE
#include "resident.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_BYTES_MAX (16 << 20)
#define INPUT_BYTES (16 << 10)
#define EVENTS 64
#define FIRST_CLIENT_MS 10000
#define LOCK_PATIENCE_MS 2000
#define LOCK_PAUSE_MS 2

struct client {
  struct handler handler;  // first
  int fd;
  size_t in_length;
  char in[INPUT_BYTES];
  char *out;
  size_t out_length, out_sent, out_size;
  int fds[CLIENT_FDS_MAX];
  int fd_count;
};

static const struct service *service;
static int poller = -1;
static int control_fd = -1;
static char lock_path[sizeof((struct sockaddr_un *)0)->sun_path + 8];
static int spare = -1;  // given up to accept and drop a connection when descriptors run out
static struct handler *freed;
static int clients;
static bool met;  // somebody has been connected
static bool stopping;

socklen_t address_length(const union address *a) {
  return a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
}

int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int watch(int fd, struct handler *handler, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = handler};
  return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}
void unwatch(int fd) { epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL); }

void defer_free(struct handler *handler) {
  handler->next_freed = freed;
  freed = handler;
}

void resident_stop(void) { stopping = true; }

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

int parse_address(const char *ip, const char *port, union address *a) {
  memset(a, 0, sizeof *a);
  char *end;
  unsigned long number = strtoul(port, &end, 10);
  if (*port == 0 || *end != 0 || number > 65535) return -EINVAL;
  if (strcmp(ip, "-") == 0) return 0;
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

void format_address(const union address *a, char *out, size_t size) {
  char ip[INET6_ADDRSTRLEN] = "-";
  if (a->any.sa_family == AF_INET) inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof ip);
  if (a->any.sa_family == AF_INET6) inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof ip);
  snprintf(out, size, "%s %u", ip, ntohs(a->v4.sin_port));  // same place in both families
}

static void client_end(struct client *c) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  clients--;
  while (c->fd_count > 0) close(c->fds[--c->fd_count]);
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

void answer(struct client *c, const char *format, ...) {
  char line[1024];
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

int client_take_fds(struct client *c, int *fds, int max) {
  int count = c->fd_count < max ? c->fd_count : max;
  memcpy(fds, c->fds, sizeof *fds * (size_t)count);
  for (int i = count; i < c->fd_count; i++) close(c->fds[i]);
  c->fd_count = 0;
  return count;
}

static void handle_line(struct client *c, char *line) {
  char *words[WORDS_MAX], *rest = line;
  int count = 0;
  for (char *word; count < WORDS_MAX && (word = strsep(&rest, " "));) words[count++] = word;
  if (count < 2 || rest || strlen(words[0]) > 20) {
    client_end(c);
    return;
  }
  int result = service->line(c, words[0], words + 1, count - 1);
  if (result < 0)
    answer(c, "%s error %d\n", words[0], -result);
  else
    answer(c, "%s ok %d\n", words[0], result);
}

// Reads bytes, and descriptors that come with them.
static ssize_t client_receive(struct client *c) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * CLIENT_FDS_MAX)];
  } control;
  struct iovec part = {c->in + c->in_length, sizeof c->in - c->in_length};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  ssize_t n = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return n;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    int got[CLIENT_FDS_MAX];
    size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(got, CMSG_DATA(h), count * sizeof(int));
    for (size_t i = 0; i < count; i++) {
      if (c->fd_count < CLIENT_FDS_MAX)
        c->fds[c->fd_count++] = got[i];
      else
        close(got[i]);
    }
  }
  return n;
}

static void client_run(struct handler *self, uint32_t events) {
  struct client *c = (struct client *)self;
  (void)events;
  while (c->fd >= 0) {
    ssize_t n = client_receive(c);
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
    if (left >= service->line_bytes_max) client_end(c);
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
  met = true;
  answer(c, "%s %d\n", service->greeting, getpid());
  client_flush(c);
}

// Holds PATH.lock for life, so that of two that start at once only one takes the socket over, and
// one that ends never removes another's. 0: ours; -EADDRINUSE: another one lives.
static int control_lock(const struct sockaddr_un *name) {
  const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000};
  int64_t patience = now_ms() + LOCK_PATIENCE_MS;
  if (snprintf(lock_path, sizeof lock_path, "%s.lock", name->sun_path) >= (int)sizeof lock_path)
    return -ENAMETOOLONG;
  for (;;) {
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -errno;
    struct stat ours, there;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    // One that ended may have removed the file between our open and our lock.
    bool current = locked && fstat(fd, &ours) == 0 && stat(lock_path, &there) == 0 &&
                   ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
    if (current) return 0;
    close(fd);
    if (locked) continue;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return -errno;
    bool lives = connect(probe, (const struct sockaddr *)name, sizeof *name) == 0;
    close(probe);
    // Whoever has the lock and does not listen is starting or ending: a moment's matter.
    if (lives || now_ms() > patience) return -EADDRINUSE;
    nanosleep(&pause, NULL);
  }
}

static int control_open(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof name.sun_path) return -ENAMETOOLONG;
  strcpy(name.sun_path, path);
  int locked = control_lock(&name);
  if (locked < 0) return locked;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  // One of an earlier version has no lock.
  if (connect(fd, (struct sockaddr *)&name, sizeof name) == 0) return -EADDRINUSE;
  unlink(path);
  umask(0177);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 64) < 0) return -errno;
  control_fd = fd;
  return 0;
}

static void drop_privileges(uint64_t kept) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2] = {{0}};
  for (int cap = 0; cap < 64; cap++) {
    if (kept >> cap & 1) {
      caps[cap / 32].effective |= 1u << (cap % 32);
      caps[cap / 32].permitted |= 1u << (cap % 32);
    } else {
      prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
  }
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
    int due = service->turn();
    free_deferred();
    bool idle = !service->holds() && clients == 0;
    // Whoever started us may be slow to come: a machine under load is no reason to leave.
    int patience = met || idle_ms > FIRST_CLIENT_MS ? idle_ms : FIRST_CLIENT_MS;
    int timeout = idle && due != 0 ? patience : due;
    struct epoll_event events[EVENTS];
    int count = epoll_wait(poller, events, EVENTS, timeout);
    if (count < 0 && errno != EINTR) return 1;
    if (count == 0 && idle && due != 0) return 0;
    for (int i = 0; i < count; i++) {
      struct handler *handler = events[i].data.ptr;
      handler->run(handler, events[i].events);
    }
  }
  return 0;
}

int resident_main(const struct service *wanted, const char *path, int idle_ms) {
  static struct handler control = {.run = control_run};
  service = wanted;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  syscall(SYS_close_range, 3u, ~0u, 0u);
  poller = epoll_create1(EPOLL_CLOEXEC);
  spare = open("/dev/null", O_RDWR | O_CLOEXEC);
  int error = control_open(path);
  if (error < 0 || poller < 0 || spare < 0 || watch(control_fd, &control, EPOLLIN) < 0) {
    printf("error %d\n", error < 0 ? -error : errno);
    return 1;
  }
  if (service->start) service->start();
  drop_privileges(service->capabilities);
  prctl(PR_SET_NAME, service->title, 0, 0, 0);
  if (chdir("/") < 0) return 1;
  // Whoever started us waits for this line; after it, nothing of theirs stays open.
  printf("ready %d\n", getpid());
  fflush(stdout);
  for (int fd = 0; fd <= 2; fd++) dup2(spare, fd);
  int status = serve(idle_ms);
  unlink(path);
  unlink(lock_path);
  return status;
}

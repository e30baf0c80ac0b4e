// One question over TCP from inside a network namespace, and what came back for it: probes that
// need no process of the container. Everything that the peer says is bounded in size and time.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define ANSWER_BYTES_MAX (1 << 20)

enum outcome { ENDED = 0, TIME_OVER = 1 };

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// 0 when ready, -ETIMEDOUT, or what interrupted the plan.
static int await_ready(int fd, short events, int64_t until_ms) {
  for (;;) {
    int64_t left = until_ms - now_ms();
    if (left <= 0) return -ETIMEDOUT;
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, (int)left);
    if (run_interrupt_errno) return -run_interrupt_errno;
    if (n > 0) return 0;
    if (n < 0 && errno != EINTR) return -errno;
  }
}

static int socket_inside(struct run *r, const struct field *netns, int family) {
  int target = run_fd(r, netns);
  if (target < 0) return target;
  AUTO_CLOSE int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return run_fail(r, -errno, "own network namespace");
  if (setns(target, CLONE_NEWNET)) return run_fail(r, -errno, "joining the network namespace");
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? -errno : 0;
  // Going on in the wrong namespace would do harm there.
  if (setns(home, CLONE_NEWNET)) _exit(1);
  return error ? error : fd;
}

static int connect_to(int fd, const struct field *ip, uint16_t port, int64_t until_ms) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  bool is_v4 = ip->len == 4;
  memcpy(is_v4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, ip->ptr, ip->len);
  const struct sockaddr *address = is_v4 ? (void *)&v4 : (void *)&v6;
  if (connect(fd, address, is_v4 ? sizeof v4 : sizeof v6) == 0) return 0;
  if (errno != EINPROGRESS) return -errno;
  int error = await_ready(fd, POLLOUT, until_ms), state = 0;
  socklen_t size = sizeof state;
  if (error) return error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &state, &size)) return -errno;
  return -state;
}

static int send_all(int fd, const char *data, size_t length, int64_t until_ms) {
  while (length > 0) {
    ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return -errno;
    if (n < 0) {
      int error = await_ready(fd, POLLOUT, until_ms);
      if (error) return error;
      continue;
    }
    data += n;
    length -= (size_t)n;
  }
  return 0;
}

struct answer {
  char *data;
  size_t length, max;
  enum outcome outcome;
};

// Reads to the end of the stream, to `max` bytes, or to `linger_ms` after the mark was seen.
static int receive(int fd, const struct op *o, struct answer *a, int64_t until_ms) {
  const struct field *mark = &o->fields[A_EXCHANGE_UNTIL];
  bool seen = false;
  while (a->length < a->max) {
    ssize_t n = recv(fd, a->data + a->length, a->max - a->length, 0);
    if (n == 0) return 0;
    if (n > 0) {
      a->length += (size_t)n;
      if (!seen && mark->len && memmem(a->data, a->length, mark->ptr, mark->len)) {
        int64_t soon = now_ms() + o->fields[A_EXCHANGE_LINGER_MS].num;
        seen = true;
        if (soon < until_ms) until_ms = soon;
      }
      continue;
    }
    if (errno == EINTR) continue;
    // A peer that resets what it has answered has answered.
    if (errno == ECONNRESET && a->length > 0) return 0;
    if (errno != EAGAIN) return -errno;
    int error = await_ready(fd, POLLIN, until_ms);
    if (error == -ETIMEDOUT) {
      a->outcome = seen ? ENDED : TIME_OVER;
      return 0;
    }
    if (error) return error;
  }
  return 0;
}

int op_exchange(struct run *r, const struct op *o) {
  const struct field *f = o->fields, *ip = &f[A_EXCHANGE_IP], *data = &f[A_EXCHANGE_DATA];
  int64_t until_ms = now_ms() + f[A_EXCHANGE_WAIT_MS].num, max = f[A_EXCHANGE_MAX].num;
  if (ip->len != 4 && ip->len != 16) return run_fail(r, -EINVAL, "not an address");
  if (max < 0 || max > ANSWER_BYTES_MAX) return run_fail(r, -EINVAL, "a too large answer");
  AUTO_CLOSE int fd = socket_inside(r, &f[A_EXCHANGE_NETNS], ip->len == 4 ? AF_INET : AF_INET6);
  if (fd < 0) return fd;
  int error = connect_to(fd, ip, (uint16_t)f[A_EXCHANGE_PORT].num, until_ms);
  if (error) return run_fail(r, error, "connect");
  error = send_all(fd, data->ptr, data->len, until_ms);
  if (error) return run_fail(r, error, "send");
  struct answer a = {.max = (size_t)max};
  a.data = malloc(a.max + 1);
  if (!a.data) return -ENOMEM;
  error = receive(fd, o, &a, until_ms);
  uint8_t outcome = (uint8_t)a.outcome;
  if (!error) error = run_result(r, &outcome, 1);
  if (!error && a.length > 0) error = run_result(r, a.data, a.length);
  free(a.data);
  return error ? run_fail(r, error, "receive") : 0;
}

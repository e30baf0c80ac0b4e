// The two halves of a plan and the processes that run them. A worker runs a host-only plan; an
// executor (the child of a monitor) runs the host half, clones the container's init as its own
// sibling, and tells the monitor what to keep. Each reads its plan itself, after it has closed
// every other descriptor, so nothing of another container is ever in reach.
#define _GNU_SOURCE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define DEADLINE_MS_DEFAULT 30000u
#define TEARDOWN_DEADLINE_MS 10000u

struct executor executor = {.monitor = -1, .peer = -1, .agent = -1};
unsigned preserved_descriptors;

uint64_t start_ticks(pid_t pid) {
  char path[48], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = 0;
  char *at = strrchr(text, ')');  // the name may hold anything, the fields after it may not
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at ? strtoull(at + 1, NULL, 10) : 0;
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

void close_others(int *keep, size_t count) {
  qsort(keep, count, sizeof *keep, ascending);
  unsigned from = 3 + preserved_descriptors;
  for (size_t i = 0; i < count; i++) {
    if (keep[i] < (int)from) continue;
    if ((unsigned)keep[i] > from) close_range(from, (unsigned)keep[i] - 1, 0);
    from = (unsigned)keep[i] + 1;
  }
  close_range(from, ~0u, 0);
}

void isolate_process(int a, int b) {
  int keep[2] = {a, b};
  close_others(keep, 2);
  prctl(PR_SET_DUMPABLE, 0);
  umask(0);
}

static void on_interrupt(int signal) {
  run_interrupt_errno = signal == SIGALRM ? ETIMEDOUT : ECANCELED;
  // Whoever does not come back from here (the teardown included) is killed by the second one.
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval timer = {.it_value = {.tv_sec = TEARDOWN_DEADLINE_MS / 1000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static void set_deadline(uint32_t ms) {
  if (ms == 0) ms = DEADLINE_MS_DEFAULT;
  struct itimerval timer = {
      .it_value = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

static void put_failure(struct out *o, uint8_t half, uint32_t index, int error, const char *text) {
  put_u8(o, half);
  put_u32(o, index);
  put_u32(o, (uint32_t)error);
  put_str(o, text);
}

_Noreturn void worker_main(int fd) {
  struct frame_header h;
  uint8_t *payload;
  if (receive_frame(fd, &h, &payload)) _exit(0);
  struct plan plan;
  struct out answer = {0};
  int error = h.type == T_RUN ? plan_decode(&plan, payload, h.length) : -EPROTO;
  if (!error && plan.count[HALF_CONTAINER] > 0) error = -EPROTO;
  if (error) {
    put_failure(&answer, HALF_PROTOCOL, 0, -error, "malformed plan");
    _exit(send_frame(fd, h.id, T_FAIL, answer.data, answer.length) != 0);
  }
  struct sigaction action = {.sa_handler = on_interrupt};
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  set_deadline(plan.deadline_ms);
  executor.plan = &plan;
  struct results results = {0};
  struct run r;
  put_u32(&results.data, 0);
  run_init(&r, &results);
  error = run_half(&r, &plan, HALF_HOST);
  if (!error) {
    memcpy(results.data.data, &results.count, 4);
    _exit(send_frame(fd, h.id, T_OK, results.data.data, results.data.length) != 0);
  }
  put_failure(&answer, HALF_HOST, r.index, -error, r.text);
  run_teardown(&plan, &answer);
  _exit(send_frame(fd, h.id, T_FAIL, answer.data, answer.length) != 0);
}

// Between the halves: SOCK_SEQPACKET, one message each.
struct peer_frame {
  uint8_t type, half;
  uint32_t number, error;
  char text[256];
};

static int peer_write(const struct peer_frame *frame, size_t length, int fd) {
  struct iovec part = {(void *)frame, length};
  ssize_t n = send_parts(executor.peer, &part, 1, fd);
  return n < 0 ? (int)n : 0;
}

int peer_send(uint8_t type, uint32_t number, const char *text, int fd) {
  struct peer_frame frame = {.type = type, .number = number};
  if (text) snprintf(frame.text, sizeof frame.text, "%s", text);
  return peer_write(&frame, text ? sizeof frame : offsetof(struct peer_frame, text), fd);
}

int peer_fail(uint32_t index, int error, const char *text) {
  struct peer_frame frame = {.type = P_FAIL, .number = index, .error = (uint32_t)error};
  snprintf(frame.text, sizeof frame.text, "%s", text);
  return peer_write(&frame, sizeof frame, -1);
}

void peer_replace(int fd) {
  close(executor.peer);
  executor.peer = fd;
}

static int peer_read(struct peer_frame *frame, int *fd) {
  struct iovec part = {frame, sizeof *frame};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr m = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = control.bytes,
                     .msg_controllen = sizeof control.bytes};
  *fd = -1;
  ssize_t n;
  // A peer that ended with something unread resets the socket; what it said before still follows.
  do n = recvmsg(executor.peer, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return -errno;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (n > 0 && c && c->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(c), sizeof *fd);
  return n > 0;
}

static int peer_take(const struct peer_frame *frame, int fd) {
  switch (frame->type) {
    case P_GO:
      return 0;
    case P_POINT:
      if (frame->number < 64) executor.points |= 1ull << frame->number;
      return 0;
    case P_SLOT:
    case P_NUMBER:
      if (executor.queued == sizeof executor.queue / sizeof *executor.queue) return -ENOBUFS;
      executor.queue[executor.queued].fd = fd;
      executor.queue[executor.queued].is_fd = frame->type == P_SLOT;
      executor.queue[executor.queued++].number = frame->number;
      return 0;
    case P_EXPORT: {
      if (executor.container || executor.monitor < 0) return -EPROTO;
      size_t length = strlen(frame->text) + 1;
      int error = send_frame_fd(executor.monitor, 0, M_FD, frame->text, length, fd);
      close(fd);
      return error;
    }
    case P_SILENT:
      executor.silent = true;
      return 0;
    case P_FILTER:
      return executor.container ? -EPROTO : hand_listener(frame->text);
    case P_FAIL:
      executor.fail_half = HALF_CONTAINER;
      executor.fail_index = frame->number;
      executor.fail_errno = (int)frame->error;
      memcpy(executor.fail_text, frame->text, sizeof executor.fail_text);
      executor.fail_text[sizeof executor.fail_text - 1] = 0;
      return -(int)frame->error;
  }
  return -EPROTO;
}

int peer_wait(int point) {
  if (executor.peer < 0) return -ENOTCONN;
  for (;;) {
    if (point >= 0 && (executor.points >> point & 1)) return 0;
    if (point == -1 && executor.queued > 0) return 0;
    struct peer_frame frame;
    int fd;
    int n = peer_read(&frame, &fd);
    if (n < 0) return n;
    if (n == 0 && point == -2) return 0;
    if (n == 0) return -ECHILD;
    int error = peer_take(&frame, fd);
    if (error) return error;
    if (point == -3) return frame.type == P_GO ? 0 : -EPROTO;
  }
}

static int tell_monitor(uint16_t type, const void *data, size_t length) {
  return send_frame(executor.monitor, 0, type, data, length);
}

static _Noreturn void give_up(uint8_t half, uint32_t index, int error, const char *text) {
  struct out o = {0};
  put_failure(&o, half, index, error, text);
  tell_monitor(M_FAILED, o.data, o.length);
  _exit(1);
}

// Sends the monitor its configuration and the teardown plan: all that it ever sees of a plan.
static int brief_monitor(const struct plan *plan, const uint8_t *config, size_t length) {
  struct out o = {0};
  put_u32(&o, plan->deadline_ms ? plan->deadline_ms : DEADLINE_MS_DEFAULT);
  put_bytes(&o, config, length);
  int error = tell_monitor(M_CONFIG, o.data, o.length);
  o.length = 0;
  put_u32(&o, plan->count[HALF_TEARDOWN]);
  put_bytes(&o, plan->teardown, plan->teardown_length);
  if (!error) error = tell_monitor(M_TEARDOWN, o.data, o.length);
  out_free(&o);
  return error;
}

_Noreturn void executor_main(int fd, int monitor, bool exec, uint32_t id, uint32_t left) {
  executor.monitor = monitor;
  struct frame_header h = {left, id, T_EXEC, WIRE_VERSION};
  if (!exec && read_exact(fd, &h, sizeof h)) _exit(0);
  uint8_t *payload = h.length <= FRAME_BYTES_MAX ? malloc((size_t)h.length + 1) : NULL;
  if (!payload || read_exact(fd, payload, h.length)) _exit(0);
  struct cursor c = {payload, payload + h.length, false};
  uint32_t config_length = exec ? 0 : take_u32(&c);
  const uint8_t *config = take_bytes(&c, config_length);
  struct plan plan;
  int error = c.bad ? -EPROTO : plan_decode(&plan, c.at, (size_t)(c.end - c.at));
  if (error) give_up(HALF_PROTOCOL, 0, -error, "malformed plan");
  if (brief_monitor(&plan, config, config_length)) _exit(1);
  set_deadline(plan.deadline_ms);
  executor.plan = &plan;

  struct results results = {0};
  struct run r;
  put_u32(&results.data, 0);
  put_i64(&results.data, 0);
  put_u32(&results.data, 0);
  put_u32(&results.data, 0);
  run_init(&r, &results);
  error = run_half(&r, &plan, HALF_HOST);
  // Where the container half failed first, this one may have failed of that (EPIPE, ESRCH …): the
  // other's own words say why.
  if (error && executor.peer >= 0 && executor.fail_errno == 0) {
    fcntl(executor.peer, F_SETFL, O_NONBLOCK);
    peer_wait(-2);
  }
  if (error && executor.fail_errno == 0) give_up(HALF_HOST, r.index, -error, r.text);
  if (!error && executor.peer < 0)
    give_up(HALF_PROTOCOL, 0, EPROTO, "the plan starts no process");
  // The socket between the halves is close-on-exec: its end means that execve succeeded.
  if (!error) error = peer_wait(-2);
  if (executor.fail_errno)
    give_up(executor.fail_half, executor.fail_index, executor.fail_errno, executor.fail_text);
  if (error || !executor.silent)
    give_up(HALF_CONTAINER, 0, ECHILD, "the process died before its program was started");

  struct frame_header ack;
  uint8_t *data;
  if (tell_monitor(M_COMMIT, NULL, 0)) _exit(1);
  if (receive_frame(monitor, &ack, &data) || ack.type != M_ACK || ack.length != 12) _exit(1);
  memcpy(results.data.data, &executor.child, 4);
  memcpy(results.data.data + 4, data, 8);
  memcpy(results.data.data + 12, data + 8, 4);
  memcpy(results.data.data + 16, &results.count, 4);
  // An exec is answered with pid and ticks alone.
  _exit(send_frame(fd, h.id, T_OK, results.data.data, exec ? 12 : results.data.length) != 0);
}

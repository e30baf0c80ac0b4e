// Filters of system calls, and the hand-over of a filter's notify descriptor to the agent that will
// answer for it (config-linux.md, seccomp listenerPath).
//
// From the moment a filter is loaded any call may wait for the agent's answer, also those that
// would hand the descriptor over. So the process that has loaded it calls nothing: it says so in
// its own memory and spins; a helper of the host half reads that, takes the descriptor
// (pidfd_getfd), sends it, and writes back that it has been sent.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define SEND_SECONDS_MAX 10
#define LOOK_NS 100000
// Seconds on any processor: whoever was to take the descriptor has died.
#define SPINS_MAX 20000000000ull

enum handing { LOADING = 1, LOADED, FAILED, SENT };

// In the container half: what the host half reads and writes.
static struct { volatile int state, fd; } handing;

// Of the host half, in a process of its own: an exec's executor has entered the container by then,
// and may take nothing from a process that is not dumpable.
static struct { pid_t helper; uint32_t index; } agent;

// What the helper is asked; it answers with an errno, negative or 0.
struct request { uint64_t address; pid_t pid; };

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield" ::: "memory");
#endif
}

static int load_for_agent(struct run *r, unsigned long flags, const struct sock_fprog *program) {
  char text[64];
  snprintf(text, sizeof text, "%llx", (unsigned long long)(uintptr_t)&handing);
  handing.state = LOADING;
  int error = peer_send(P_FILTER, 0, text, -1);
  if (error) return error;
  executor_seal();
  flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program);
  if (fd < 0) {
    error = -errno;
    handing.state = FAILED;
    return run_fail(r, error, "cannot load the seccomp filter: %s", strerror(-error));
  }
  handing.fd = (int)fd;
  __atomic_store_n(&handing.state, LOADED, __ATOMIC_RELEASE);
  for (uint64_t spins = 0; __atomic_load_n(&handing.state, __ATOMIC_ACQUIRE) != SENT; spins++) {
    // Even exit may be a call that nobody answers.
    if (spins == SPINS_MAX) __builtin_trap();
    relax();
  }
  return 0;
}

int op_seccomp(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const struct field *filter = &f[A_SECCOMP_FILTER];
  if (filter->len % sizeof(struct sock_filter) || filter->len / sizeof(struct sock_filter) > 4096)
    return run_fail(r, -EINVAL, "a seccomp filter of %u bytes", filter->len);
  // The plan's bytes are not aligned.
  struct sock_filter *code = malloc(filter->len + 1);
  if (!code) return -ENOMEM;
  memcpy(code, filter->ptr, filter->len);
  struct sock_fprog program = {(unsigned short)(filter->len / sizeof *code), code};
  unsigned long flags = (unsigned long)f[A_SECCOMP_FLAGS].num;
  // What is not freed is gone with execve: freeing might be a call that the filter forbids.
  if (f[A_SECCOMP_AGENT].num) return load_for_agent(r, flags, &program);
  bool listener = f[A_SECCOMP_LISTENER].num != NO_SLOT;
  if (listener) flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  else executor_seal();
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  int error = result < 0 ? -errno : 0;
  if (error) return run_fail(r, error, "cannot load the seccomp filter: %s", strerror(-error));
  return listener ? run_store(r, &f[A_SECCOMP_LISTENER], result) : 0;
}

// The parts joined by the pid, in memory of its own.
static char *joined(const struct field *parts, pid_t pid) {
  char number[16];
  snprintf(number, sizeof number, "%d", pid);
  size_t size = 1;
  const char *at = parts->ptr;
  for (uint32_t i = 0, length; i < parts->count; i++) {
    next_str(&at, &length);
    size += length + strlen(number);
  }
  char *text = calloc(size, 1);
  at = parts->ptr;
  for (uint32_t i = 0; text && i < parts->count; i++) {
    if (i > 0) strcat(text, number);
    strcat(text, next_str(&at, NULL));
  }
  return text;
}

// The state, its first bytes with the descriptor.
static int send_state(int fd, const char *text, int listener) {
  size_t length = strlen(text);
  for (size_t sent = 0; sent < length; listener = -1) {
    struct iovec part = {(void *)(uintptr_t)(text + sent), length - sent};
    ssize_t n = send_parts(fd, &part, 1, listener);
    if (n < 0) return (int)n;
    sent += (size_t)n;
  }
  return 0;
}

// Waits until the filter is loaded. There is no event for it that a filter could not forbid; it
// takes the kernel less than a millisecond. Its descriptor, -ECANCELED where loading has failed
// (the process says why by itself), or a negative errno.
static int await_filter(const struct request *q, int process) {
  struct { int state, fd; } seen;
  struct iovec here = {&seen, sizeof seen}, there = {(void *)(uintptr_t)q->address, sizeof seen};
  for (;;) {
    ssize_t n = process_vm_readv(q->pid, &here, 1, &there, 1, 0);
    if (n != (ssize_t)sizeof seen) return n < 0 ? -errno : -EFAULT;
    if (seen.state == LOADED) return seen.fd;
    if (seen.state == FAILED) return -ECANCELED;
    struct pollfd ended = {.fd = process, .events = POLLIN};
    struct timespec pause = {.tv_nsec = LOOK_NS};
    if (ppoll(&ended, 1, &pause, NULL) > 0) return -ECHILD;
  }
}

static int hand_over(const struct request *q, const char *text, int agent_fd) {
  AUTO_CLOSE int process = pidfd_open(q->pid, 0);
  if (process < 0) return -errno;
  int number = await_filter(q, process);
  if (number < 0) return number;
  AUTO_CLOSE int listener = (int)syscall(SYS_pidfd_getfd, process, number, 0);
  if (listener < 0) return -errno;
  int error = send_state(agent_fd, text, listener);
  if (error) return error;
  int sent = SENT;
  struct iovec here = {&sent, sizeof sent}, there = {(void *)(uintptr_t)q->address, sizeof sent};
  return process_vm_writev(q->pid, &here, 1, &there, 1, 0) == sizeof sent ? 0 : -ESRCH;
}

static _Noreturn void help(int asked, int agent_fd, const struct field *parts) {
  int keep[2] = {asked, agent_fd};
  close_others(keep, 2);
  struct request q;
  if (read_exact(asked, &q, sizeof q)) _exit(0);  // nobody has asked: the plan has failed
  char *text = joined(parts, q.pid);
  int error = text ? hand_over(&q, text, agent_fd) : -ENOMEM;
  _exit(write(asked, &error, sizeof error) != sizeof error);
}

static int connect_agent(struct run *r, const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path)
    return run_fail(r, -ENAMETOOLONG, "the path of the seccomp agent is too long: %s", path);
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct timeval limit = {.tv_sec = SEND_SECONDS_MAX};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = -errno;
  close(fd);
  return run_fail(r, error, "cannot connect to the seccomp agent at %s: %s", path,
                  strerror(-error));
}

int op_seccomp_agent(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  if (executor.container || executor.agent >= 0) return -EINVAL;
  if (f[A_SECCOMP_AGENT_PID].num > 0) executor.child = (pid_t)f[A_SECCOMP_AGENT_PID].num;
  AUTO_CLOSE int fd = connect_agent(r, f[A_SECCOMP_AGENT_PATH].ptr);
  if (fd < 0) return fd;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -errno;
  agent.index = r->index;
  agent.helper = fork();
  if (agent.helper == 0) help(pair[1], fd, &f[A_SECCOMP_AGENT_PARTS]);
  close(pair[1]);
  executor.agent = pair[0];
  return agent.helper < 0 ? -errno : 0;
}

static int ask_helper(const char *text) {
  struct request q = {strtoull(text, NULL, 16), executor.child};
  int error = -ENOTCONN;
  if (executor.agent < 0) return error;
  if (write(executor.agent, &q, sizeof q) != sizeof q ||
      read_exact(executor.agent, &error, sizeof error))
    error = -ECHILD;
  while (waitpid(agent.helper, NULL, 0) < 0 && errno == EINTR) continue;
  close(executor.agent);
  executor.agent = -1;
  return error;
}

int hand_listener(const char *text) {
  int error = ask_helper(text);
  // What the other half says of its own failure is to be heard.
  if (!error || error == -ECANCELED || error == -ECHILD) return 0;
  // It waits for an answer that will not come.
  kill(executor.child, SIGKILL);
  executor.fail_half = HALF_HOST;
  executor.fail_index = agent.index;
  executor.fail_errno = -error;
  snprintf(executor.fail_text, sizeof executor.fail_text,
           "cannot hand the seccomp descriptor to the agent: %s", strerror(-error));
  return error;
}

// A create or an exec between the fork of its executor and the moment at which the new process
// runs its own program; and teardown, in a process of its own, so that a stuck umount never stops
// the monitor.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "monitor.h"
#include "pool.h"

void watch_process(struct process *p);

static _Noreturn void teardown_child(const uint8_t *ops, uint32_t length, uint32_t count, int reply,
                                     uint32_t id, const struct job *failure) {
  struct out o = {0};
  struct plan plan;
  isolate_process(reply, -1);
  alarm(TEARDOWN_MS / 1000);
  if (failure) {
    put_u8(&o, failure->fail_half);
    put_u32(&o, failure->fail_index);
    put_u32(&o, (uint32_t)failure->fail_errno);
    put_str(&o, failure->fail_text);
  }
  if (count > 0 && ops_decode(&plan, HALF_TEARDOWN, count, ops, length) == 0)
    run_teardown(&plan, failure ? &o : NULL);
  if (reply >= 0) send_frame(reply, id, T_FAIL, o.data, o.length);
  _exit(0);
}

pid_t run_teardown_process(const uint8_t *ops, uint32_t length, uint32_t count, int reply,
                           uint32_t id, const struct job *failure) {
  if (count == 0 && reply < 0) return 0;
  pid_t pid = fork();
  if (pid == 0) teardown_child(ops, length, count, reply, id, failure);
  return pid;
}

static void remove_job(struct job *job) {
  for (struct job **at = &monitor.jobs; *at; at = &(*at)->next) {
    if (*at != job) continue;
    *at = job->next;
    break;
  }
  forget_source(&job->executor);
  forget_source(&job->exit);
  forget_source(&job->teardown);
  if (job->reply >= 0) close(job->reply);
  free(job);
}

static void unlist(struct process *p) {
  for (struct process **at = &monitor.processes; *at; at = &(*at)->next) {
    if (*at != p) continue;
    *at = p->next;
    break;
  }
}

static void drop_process(struct process *p) {
  unlist(p);
  close_process_io(p);
  forget_source(&p->exit);
  free(p->teardown);
  free(p->id);
  free(p);
}

static void on_torn_down(struct source *s, uint32_t events) {
  (void)events;
  struct job *job = (struct job *)((char *)s - offsetof(struct job, teardown));
  siginfo_t info;
  waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG);
  bool exec = job->exec;
  drop_process(job->process);
  remove_job(job);
  if (!exec) monitor_end();
}

// False when it does not die: a process in a frozen cgroup does so only when that thaws. It must
// not stop the monitor.
static bool kill_and_reap(struct source *pidfd) {
  if (pidfd->fd < 0) return true;
  siginfo_t info = {0};
  struct pollfd end = {.fd = pidfd->fd, .events = POLLIN};
  pidfd_send_signal(pidfd->fd, SIGKILL, NULL, 0);
  while (poll(&end, 1, KILL_WAIT_MS) < 0 && errno == EINTR) {
  }
  waitid(P_PIDFD, (id_t)pidfd->fd, &info, WEXITED | WNOHANG);
  forget_source(pidfd);
  return info.si_pid != 0;
}

static int keep_teardown(struct process *p, const uint8_t *data, size_t length) {
  if (length < 4) return -EPROTO;
  memcpy(&p->teardown_count, data, 4);
  p->teardown_length = (uint32_t)length - 4;
  p->teardown = malloc(length);
  if (!p->teardown) return -ENOMEM;
  memcpy(p->teardown, data + 4, length - 4);
  return 0;
}

static int started(struct process *p, const uint8_t *data, size_t length) {
  if (length != 4) return -EPROTO;
  memcpy(&p->pid, data, 4);
  // Our own child, not yet reaped: its pid cannot have been given to anyone else.
  p->exit.fd = pidfd_open(p->pid, 0);
  if (p->exit.fd < 0) return -errno;
  p->ticks = start_ticks(p->pid);
  return 0;
}

static int receive_message(struct source *s, struct frame_header *h, uint8_t **data, int *fd) {
  *data = NULL;
  int error = receive_header_fd(s->fd, h, fd);
  if (!error && h->length > FRAME_BYTES_MAX) error = -EMSGSIZE;
  if (!error && !(*data = malloc((size_t)h->length + 1))) error = -ENOMEM;
  if (!error) error = read_exact(s->fd, *data, h->length);
  return error;
}

static bool has_words(const struct job *job) {
  struct pollfd words = {.fd = job->executor.fd, .events = POLLIN};
  return poll(&words, 1, 0) > 0;
}

static int take_last_words(struct job *job) {
  if (job->executor.fd < 0) return -EBADF;
  struct frame_header h;
  uint8_t *data;
  int fd = -1;
  int error = receive_message(&job->executor, &h, &data, &fd);
  if (!error && h.type == M_TEARDOWN) keep_teardown(job->process, data, h.length);
  if (!error && h.type == M_STARTED) started(job->process, data, h.length);
  if (fd >= 0) close(fd);
  free(data);
  return error;
}

// Ends both halves, then has the teardown run; its process answers with the FAIL frame.
void fail_job(struct job *job, uint8_t half, uint32_t index, int error, const char *text) {
  if (job->failed || job->committed) return;
  job->failed = true;
  job->fail_half = half;
  job->fail_index = index;
  job->fail_errno = error;
  if (text != job->fail_text) snprintf(job->fail_text, sizeof job->fail_text, "%s", text);
  struct process *p = job->process;
  bool dead = kill_and_reap(&job->exit);
  if (!job->exec) pool_discard(job->pid);
  // What it said before it died is still to be heard: its teardown, the process that it made. A
  // clone that it had no time to report ends by itself: that waits for P_GO.
  while ((dead || has_words(job)) && take_last_words(job) == 0) {
  }
  kill_and_reap(&p->exit);
  forget_source(&job->executor);
  close_process_io(p);
  if (job->exec) unlist(p);  // its id is free again before the answer is sent
  if (!job->exec && monitor.socket_path) unlink(monitor.socket_path);
  pid_t pid = run_teardown_process(p->teardown, p->teardown_length, p->teardown_count, job->reply,
                                   job->id, job);
  job->teardown.fd = pid > 0 ? pidfd_open(pid, 0) : -1;
  job->teardown.handle = on_torn_down;
  if (job->teardown.fd >= 0) {
    watch_source(&job->teardown, EPOLLIN);
  } else {
    if (!job->exec) monitor_end();
    drop_process(p);
    remove_job(job);
  }
}

static char *copy_str(struct cursor *c) { return strdup(take_str(c, NULL)); }

static void keep_own_cgroups(struct cursor *c) {
  uint32_t count = take_u32(c);
  if (count > OWN_CGROUPS_MAX) c->bad = true;
  for (uint32_t i = 0; i < count && !c->bad; i++) monitor.own_cgroups[i] = copy_str(c);
}

// Out of the daemon's cgroups, off the path of a start. Where it fails, the monitor stays.
static void enter_own_cgroups(void) {
  for (int i = 0; i < OWN_CGROUPS_MAX && monitor.own_cgroups[i]; i++) {
    AUTO_CLOSE int fd = open(monitor.own_cgroups[i], O_WRONLY | O_CLOEXEC);
    if (fd >= 0) write_fully(fd, "0", 1);
    free(monitor.own_cgroups[i]);
    monitor.own_cgroups[i] = NULL;
  }
}

static void on_log_room(void) { adjust_streams(monitor.init); }

static int configure(struct job *job, const uint8_t *data, size_t length) {
  struct cursor c = {data, data + length, false};
  struct process *p = job->process;
  job->deadline = monotonic_ms() + take_u32(&c) + JOB_GRACE_MS;
  job->configured = true;
  if (job->exec) return c.bad ? -EPROTO : 0;
  monitor.id = copy_str(&c);
  monitor.socket_path = copy_str(&c);
  monitor.exit_path = copy_str(&c);
  struct log_policy log = {.path = copy_str(&c)};
  log.max_bytes = take_i64(&c);
  log.max_files = take_u32(&c);
  char *attrs = copy_str(&c);
  log.format = take_u8(&c) ? LOG_BINARY : LOG_JSON;
  log.spool_bytes = take_i64(&c);
  log.blocking = take_u8(&c);
  log.queue_bytes = take_i64(&c);
  p->terminal = take_u8(&c);
  p->stdin_once = take_u8(&c);
  p->open_stdin = take_u8(&c);
  uint32_t hold_ms = take_u32(&c);
  monitor.oom_path = copy_str(&c);
  keep_own_cgroups(&c);
  if (c.bad || c.at != c.end) return -EPROTO;
  set_title("gantry-monitor", monitor.id);
  p->hold = hold_ms > 0;
  p->hold_ms = hold_ms;
  int error = log_open(&log, attrs, on_log_room);
  if (error) {
    snprintf(job->fail_text, sizeof job->fail_text, "log file %s", log.path);
    return error;
  }
  error = listen_on(monitor.socket_path);
  if (error)
    snprintf(job->fail_text, sizeof job->fail_text, "monitor socket %s", monitor.socket_path);
  return error;
}

static void commit(struct job *job) {
  struct process *p = job->process;
  struct out o = {0};
  put_i64(&o, (int64_t)p->ticks);
  put_u32(&o, (uint32_t)getpid());
  job->committed = true;
  if (!job->exec) {
    if (*monitor.oom_path) oom_watch(monitor.oom_path);
    monitor.running = true;
    forget_source(&monitor.control);
  }
  p->hold_until = monotonic_ms() + p->hold_ms;
  send_frame(job->executor.fd, 0, M_ACK, o.data, o.length);
  out_free(&o);
  start_streams(p);
  watch_process(p);
  if (!job->exec) enter_own_cgroups();
}

// A process between the executor and its clone (ops-namespace.c): it has ended already.
static void reap_helper(const uint8_t *data) {
  uint32_t pid;
  siginfo_t info;
  memcpy(&pid, data, sizeof pid);
  while (waitid(P_PID, (id_t)pid, &info, WEXITED) && errno == EINTR) continue;
}

static int take_message(struct job *job, const struct frame_header *h, const uint8_t *data,
                        int fd) {
  struct process *p = job->process;
  switch (h->type) {
    case M_CONFIG:
      return configure(job, data, h->length);
    case M_TEARDOWN:
      return keep_teardown(p, data, h->length);
    case M_FD:
      return h->length > 0 && data[h->length - 1] == 0 ? add_stream(p, (const char *)data, fd)
                                                       : -EPROTO;
    case M_STARTED:
      return started(p, data, h->length);
    case M_REAP:
      if (h->length != 4) return -EPROTO;
      reap_helper(data);
      return 0;
    case M_COMMIT:
      if (p->exit.fd < 0) return -EPROTO;
      commit(job);
      return 0;
    case M_FAILED: {
      struct cursor c = {data, data + h->length, false};
      uint8_t half = take_u8(&c);
      uint32_t index = take_u32(&c);
      int error = (int)take_u32(&c);
      const char *text = take_str(&c, NULL);
      fail_job(job, half, index, error, text);
      return 0;
    }
  }
  return -EPROTO;
}

// The executor closed its socket without a last word: its own deadline (SIGALRM), or worse.
static void fail_with_executor(struct job *job) {
  siginfo_t info = {0};
  if (job->exit.fd >= 0) {
    while (waitid(P_PIDFD, (id_t)job->exit.fd, &info, WEXITED) && errno == EINTR) {
    }
    forget_source(&job->exit);
  }
  if (info.si_code != CLD_EXITED && info.si_status == SIGALRM)
    return fail_job(job, HALF_HOST, 0, ETIMEDOUT, "the deadline of the plan has passed");
  fail_job(job, HALF_HOST, 0, ECHILD, "the executor died");
}

static bool is_live(const struct job *job) {
  for (struct job *at = monitor.jobs; at; at = at->next)
    if (at == job) return true;
  return false;
}

// The spawner has gone, or wants this pair no more.
static _Noreturn void end_idle_pair(struct job *job) {
  kill_and_reap(&job->exit);
  pool_discard(job->pid);
  monitor_end();
}

static void on_executor(struct source *s, uint32_t events) {
  (void)events;
  struct job *job = (struct job *)((char *)s - offsetof(struct job, executor));
  struct frame_header h;
  uint8_t *data;
  int fd = -1;
  int error = receive_message(s, &h, &data, &fd);
  if (error) {
    free(data);
    if (!job->exec && !job->configured) end_idle_pair(job);
    if (job->committed) return forget_source(s);
    return fail_with_executor(job);
  }
  error = take_message(job, &h, data, fd);
  free(data);
  if (!error) return;
  if (job->fail_text[0])
    return fail_job(job, HALF_PROTOCOL, 0, -error, job->fail_text);
  fail_job(job, HALF_PROTOCOL, 0, -error, "the monitor could not follow the plan");
}

static void on_executor_exit(struct source *s, uint32_t events) {
  (void)events;
  struct job *job = (struct job *)((char *)s - offsetof(struct job, exit));
  // What it said last is still to be read.
  while (job->executor.fd >= 0 && !job->committed) {
    on_executor(&job->executor, EPOLLIN);
    if (!is_live(job) || job->failed) return;
  }
  siginfo_t info;
  waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG);
  struct process *p = job->process;
  if (!job->exec) pool_discard(job->pid);
  remove_job(job);
  settle(p);
}

static void on_control(struct source *s, uint32_t events) {
  (void)events;
  struct frame_header h;
  if (read_exact(s->fd, &h, sizeof h) || h.type != T_CANCEL) {
    forget_source(s);
    if (monitor.jobs && !monitor.jobs->configured) end_idle_pair(monitor.jobs);
    // The daemon died before it could learn of this container: nothing must remain of it.
    if (monitor.jobs) fail_job(monitor.jobs, HALF_HOST, 0, ECANCELED, "the daemon is gone");
    return;
  }
  if (monitor.jobs) fail_job(monitor.jobs, HALF_HOST, 0, ECANCELED, "cancelled");
}

static struct job *new_job(struct process *p, int plan, int reply, bool exec, uint32_t request,
                           uint32_t left) {
  struct job *job = calloc(1, sizeof *job);
  int pair[2] = {-1, -1};
  if (!job || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
    free(job);
    return NULL;
  }
  pid_t pid = fork();
  if (pid == 0) {
    isolate_process(plan, pair[1]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    set_title("gantry-executor", "");
    if (!exec) pool_prepare(plan);
    executor_main(plan, pair[1], exec, request, left);
  }
  close(pair[1]);
  job->process = p;
  job->reply = reply;
  job->exec = exec;
  job->id = request;
  job->pid = pid;
  job->teardown.fd = -1;
  job->executor = (struct source){on_executor, pair[0], 0};
  job->exit = (struct source){on_executor_exit, pid > 0 ? pidfd_open(pid, 0) : -1, 0};
  job->next = monitor.jobs;
  monitor.jobs = job;
  watch_source(&job->executor, EPOLLIN);
  if (job->exit.fd >= 0) watch_source(&job->exit, EPOLLIN);
  return job;
}

static struct process *new_process(const char *id, bool exec) {
  struct process *p = calloc(1, sizeof *p);
  if (!p || !(p->id = strdup(id))) {
    free(p);
    return NULL;
  }
  p->exec = exec;
  p->tty = p->exit.fd = p->stdin.fd = p->out[0].source.fd = p->out[1].source.fd = -1;
  p->next = monitor.processes;
  monitor.processes = p;
  return p;
}

void start_create(int plan, int control) {
  struct process *p = new_process("", false);
  if (!p) _exit(1);
  monitor.init = p;
  struct job *job = new_job(p, plan, dup(control), false, 0, 0);
  if (!job) _exit(1);
  fcntl(job->reply, F_SETFD, FD_CLOEXEC);
  close(plan);
  monitor.control = (struct source){on_control, control, 0};
  watch_source(&monitor.control, EPOLLIN);
}

int start_exec(int conn, const char *id, bool terminal, bool open_stdin, uint32_t hold_ms,
               uint32_t request, uint32_t left) {
  if (!*id || find_process(id)) return -EEXIST;
  if (!monitor.running) return -ESRCH;
  struct process *p = new_process(id, true);
  if (!p) return -ENOMEM;
  p->terminal = terminal;
  p->open_stdin = p->stdin_once = open_stdin;
  p->hold = hold_ms > 0;
  p->hold_ms = hold_ms;
  struct job *job = new_job(p, conn, conn, true, request, left);
  if (!job) {
    drop_process(p);
    return -EAGAIN;
  }
  // Until the executor has read the deadline.
  job->deadline = monotonic_ms() + 30000 + JOB_GRACE_MS;
  return 0;
}

// The monitor: parent of one container's init and of its execs, from their birth to their last
// byte of output. It outlives the daemon, holds no plan and no secret, and ends when everything is
// written, reported and torn down.
#define _GNU_SOURCE
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct monitor monitor = {
    .listen = {.fd = -1}, .control = {.fd = -1}, .teardown = {.fd = -1}};
static int epoll_fd;

int64_t monotonic_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void watch_source(struct source *s, uint32_t events) {
  if (s->fd < 0 || s->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = s};
  if (events == 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
  else epoll_ctl(epoll_fd, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event);
  s->events = events;
}

void forget_source(struct source *s) {
  if (s->fd < 0) return;
  watch_source(s, 0);
  close(s->fd);
  s->fd = -1;
}

struct process *find_process(const char *id) {
  for (struct process *p = monitor.processes; p; p = p->next)
    if (strcmp(p->id, id) == 0) return p;
  return NULL;
}

static int write_exit_record(const struct process *p) {
  char temporary[4096], text[128];
  int n = snprintf(temporary, sizeof temporary, "%s.tmp", monitor.exit_path);
  if (n < 0 || (size_t)n >= sizeof temporary) return -ENAMETOOLONG;
  int length = snprintf(text, sizeof text, "1 %d %d %d %lld %u\n", p->status_code,
                        p->status_signal, monitor.oom_killed, (long long)p->exit_seconds,
                        p->exit_nanoseconds);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  int error = write_fully(fd, text, (size_t)length);
  if (!error && fsync(fd)) error = -errno;
  close(fd);
  if (!error && rename(temporary, monitor.exit_path)) error = -errno;
  if (error) unlink(temporary);
  return error;
}

static void remove_process(struct process *p) {
  for (struct process **at = &monitor.processes; *at; at = &(*at)->next) {
    if (*at != p) continue;
    *at = p->next;
    break;
  }
  close_process_io(p);
  forget_source(&p->exit);
  free(p->teardown);
  free(p->id);
  free(p);
}

static void on_exec_torn_down(struct source *s, uint32_t events) {
  (void)events;
  siginfo_t info;
  waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG);
  forget_source(s);  // run_timers removes the process
}

// An exec goes when its own teardown (seldom is there one) has run.
static void remove_exec(struct process *p) {
  if (p->exit.fd >= 0) return;
  pid_t pid = run_teardown_process(p->teardown, p->teardown_length, p->teardown_count, -1, 0, NULL);
  p->teardown_count = 0;
  if (pid <= 0) return remove_process(p);
  p->exit = (struct source){on_exec_torn_down, pidfd_open(pid, 0), 0};
  if (p->exit.fd >= 0) watch_source(&p->exit, EPOLLIN);
}

static void begin_ending(void) {
  monitor.ending = true;
  monitor.ending_since = monotonic_ms();
  struct process *init = monitor.init;
  pid_t pid = run_teardown_process(init->teardown, init->teardown_length, init->teardown_count,
                                   -1, 0, NULL);
  if (pid > 0) monitor.teardown.fd = pidfd_open(pid, 0);
  if (monitor.teardown.fd >= 0) watch_source(&monitor.teardown, EPOLLIN);
}

static bool others_remain(void) {
  for (struct process *p = monitor.processes; p; p = p->next)
    if (p->exec && !p->reported) return true;
  return false;
}

// Reports a process that has ended and whose output is drained (or has had its time).
void settle(struct process *p) {
  if (!p->exited || p->reported) return;
  int64_t now = monotonic_ms();
  if (p->hold && now < p->hold_until) return;
  if (p->hold) {
    p->hold = false;
    adjust_streams(p);
  }
  if (p->drain_until == 0) p->drain_until = now + DRAIN_MS;
  bool late = now >= p->drain_until;
  if (!streams_ended(p) && !late) return;
  if (!p->exec && others_remain() && !late) return;
  drain_streams(p);
  p->reported = true;
  if (!p->exec) log_settle(false);
  broadcast_exit(p);
  if (!p->exec) begin_ending();
}

static void on_exit_event(struct source *s, uint32_t events) {
  (void)events;
  struct process *p = (struct process *)((char *)s - offsetof(struct process, exit));
  siginfo_t info = {0};
  if (waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG) || info.si_pid == 0) return;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  p->exited = true;
  p->exit_seconds = now.tv_sec;
  p->exit_nanoseconds = (uint32_t)now.tv_nsec;
  p->status_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
  p->status_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  forget_source(s);
  if (p->exec) oom_check();
  else oom_settle();
  if (!p->exec) {
    monitor.running = false;
    write_exit_record(p);
    // Without a pid namespace of its own, execs outlive init: the container has ended for them.
    for (struct process *other = monitor.processes; other; other = other->next)
      if (other->exec && other->exit.fd >= 0)
        pidfd_send_signal(other->exit.fd, SIGKILL, NULL, 0);
  }
  settle(p);
  if (p->exec && monitor.init) settle(monitor.init);
}

// Called when a job has committed: from now on the exit of the process is its own matter.
void watch_process(struct process *p);
void watch_process(struct process *p) {
  p->exit.handle = on_exit_event;
  watch_source(&p->exit, EPOLLIN);
}

_Noreturn void monitor_end(void) {
  log_settle(true);
  if (monitor.socket_path) unlink(monitor.socket_path);
  _exit(0);
}

static void on_teardown(struct source *s, uint32_t events) {
  (void)events;
  siginfo_t info;
  waitid(P_PIDFD, (id_t)s->fd, &info, WEXITED | WNOHANG);
  forget_source(s);
}

static void sooner(int64_t *next, int64_t when) {
  if (when > 0 && (*next == 0 || when < *next)) *next = when;
}

// Acts on everything whose time has come; returns how long epoll may wait.
static int run_timers(void) {
  int64_t now = monotonic_ms(), next = 0;
  for (struct job *job = monitor.jobs, *after; job; job = after) {
    after = job->next;
    if (job->deadline && now >= job->deadline && !job->failed)
      fail_job(job, HALF_HOST, 0, ETIMEDOUT, "the deadline of the plan has passed");
    else if (!job->failed) sooner(&next, job->deadline);
  }
  for (struct process *p = monitor.processes, *after; p; p = after) {
    after = p->next;
    if (p->started && p->hold && now >= p->hold_until) {
      p->hold = false;
      adjust_streams(p);
    }
    if (p->started && p->hold) sooner(&next, p->hold_until);
    settle(p);
    if (p->exited && !p->reported && !p->hold) sooner(&next, p->drain_until);
    if (!p->exec || !p->reported) continue;
    if (p->drain_until + LINGER_MS > now && !clients_flushed(p)) {
      sooner(&next, p->drain_until + LINGER_MS);
    } else {
      remove_exec(p);
    }
  }
  if (monitor.ending) {
    bool torn_down = monitor.teardown.fd < 0 || now >= monitor.ending_since + TEARDOWN_MS;
    bool flushed = clients_flushed(monitor.init) || now >= monitor.ending_since + LINGER_MS;
    // Whoever had it created is about to connect, and wants to hear of this exit.
    int64_t met = monitor.met ? 0 : monitor.ending_since + MEET_MS;
    if (torn_down && flushed && now >= met) monitor_end();
    sooner(&next, now < met ? met : 0);
    sooner(&next, monitor.ending_since + (now < monitor.ending_since + LINGER_MS ? LINGER_MS
                                                                                : TEARDOWN_MS));
  }
  if (next == 0) return -1;
  return next <= now ? 0 : (int)(next - now);
}

_Noreturn void monitor_main(int plan, int control) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  set_title("gantry-monitor", "");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  monitor.teardown.handle = on_teardown;
  start_create(plan, control);
  for (;;) {
    struct epoll_event event;
    int n = epoll_wait(epoll_fd, &event, 1, run_timers());
    if (n != 1) continue;
    struct source *s = event.data.ptr;
    s->handle(s, event.events);
  }
}

// The resident spawner: one thread that only dispatches. It keeps a few workers forked in advance,
// gives each exactly one plan, relays the answer, and ends when its daemon does. The buffer
// through which plans pass is wiped in every process forked from here (MADV_WIPEONFORK), so a
// worker never holds a byte of someone else's plan.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "monitor.h"
#include "pool.h"

#define DAEMON_FD 3
#define STANDBY_MIN 2          // idle workers kept of each kind
#define WORKERS_MAX 192        // more requests wait in the daemon's socket
#define PAIR_END_MS 2000       // how long an idle pair may take to end
#define BUFFER_KEPT_BYTES (64u << 10)
#define OVERDUE_MS 12000       // after its own deadline and teardown a worker is given up
#define DEADLINE_MS_DEFAULT 30000

struct worker {
  bool used, busy, create, answered;
  int fd, control, pidfd;  // plan socket; a monitor's control socket or -1
  pid_t pid;
  uint32_t id;
  int64_t overdue_ms;
};

static struct worker workers[WORKERS_MAX];
static int epoll_fd;
static uint8_t *buffer;  // one frame at a time, wiped on fork
static int busy_count;
static bool paused;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void release_buffer(size_t used) {
  if (used > BUFFER_KEPT_BYTES) madvise(buffer, FRAME_BYTES_MAX + 4096, MADV_DONTNEED);
  else memset(buffer, 0, used);
}

static void watch(int fd, uint32_t key) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = key};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static _Noreturn void become_worker(struct worker *w, int plan, int control) {
  signal(SIGCHLD, SIG_DFL);
  // The daemon's stderr is not for containers, nor for monitors that outlive the daemon.
  dup2(1, 2);
  // A group of its own: an overdue worker is killed with whatever it forked.
  setsid();
  if (!w->create) {
    isolate_process(plan, -1);
    set_title("gantry-worker", "");
    prctl(PR_SET_PDEATHSIG, 0);
    worker_main(plan);
  }
  isolate_process(plan, control);
  monitor_main(plan, control);
}

static struct worker *add_worker(bool create) {
  struct worker *w = NULL;
  for (int i = 0; i < WORKERS_MAX && !w; i++)
    if (!workers[i].used) w = &workers[i];
  if (!w) return NULL;
  int plan[2], control[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, plan)) return NULL;
  if (create && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control)) {
    close(plan[0]);
    close(plan[1]);
    return NULL;
  }
  *w = (struct worker){.used = true, .create = create, .fd = plan[0], .control = control[0]};
  w->pid = fork();
  if (w->pid == 0) become_worker(w, plan[1], control[1]);
  close(plan[1]);
  if (create) close(control[1]);
  if (w->pid < 0) {
    close(plan[0]);
    if (create) close(control[0]);
    w->used = false;
    return NULL;
  }
  w->pidfd = pidfd_open(w->pid, 0);
  uint32_t index = (uint32_t)(w - workers);
  watch(w->fd, index * 2);
  if (create) watch(w->control, index * 2 + 1);
  return w;
}

static struct worker *idle_worker(bool create) {
  for (int i = 0; i < WORKERS_MAX; i++)
    if (workers[i].used && !workers[i].busy && workers[i].create == create) return &workers[i];
  return add_worker(create);
}

static void keep_standby(void) {
  for (int create = 0; create < 2; create++) {
    int idle = 0;
    for (int i = 0; i < WORKERS_MAX; i++)
      idle += workers[i].used && !workers[i].busy && workers[i].create == create;
    while (idle++ < STANDBY_MIN)
      if (!add_worker(create)) return;
  }
}

static void answer_failure(uint32_t id, int error, const char *text) {
  struct out o = {0};
  put_u8(&o, HALF_PROTOCOL);
  put_u32(&o, 0);
  put_u32(&o, (uint32_t)error);
  put_str(&o, text);
  if (send_frame(DAEMON_FD, id, T_FAIL, o.data, o.length)) _exit(0);
  out_free(&o);
}

// Unregistered by name: a copy of the descriptor in a worker that was forked just now would keep
// the registration alive, and its key would mean another worker by then.
static void close_watched(int fd) {
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  close(fd);
}

static void end_worker(struct worker *w) {
  if (w->busy && !w->answered) answer_failure(w->id, ECHILD, "the native worker died");
  if (w->busy) busy_count--;
  if (w->fd >= 0) close_watched(w->fd);
  if (w->control >= 0) close_watched(w->control);
  if (w->pidfd >= 0) close(w->pidfd);
  w->used = false;
}

static void close_end(struct worker *w, int *fd) {
  close_watched(*fd);
  *fd = -1;
  if (w->fd < 0 && w->control < 0) end_worker(w);
}

// One answer of a worker is relayed; what is said after it (there is nothing) is dropped.
static void relay_answer(struct worker *w, int *fd) {
  struct frame_header *h = (struct frame_header *)buffer;
  if (read_exact(*fd, h, sizeof *h) || h->length > FRAME_BYTES_MAX ||
      read_exact(*fd, buffer + sizeof *h, h->length)) {
    close_end(w, fd);
    return;
  }
  size_t length = sizeof *h + h->length;
  if (w->busy && !w->answered && (h->type == T_OK || h->type == T_FAIL)) {
    h->id = w->id;
    w->answered = true;
    if (write_fully(DAEMON_FD, buffer, length)) _exit(0);
  }
  release_buffer(length);
}

static void cancel(uint32_t id) {
  for (int i = 0; i < WORKERS_MAX; i++) {
    struct worker *w = &workers[i];
    if (!w->used || !w->busy || w->answered || w->id != id) continue;
    if (!w->create) pidfd_send_signal(w->pidfd, SIGTERM, NULL, 0);
    else if (w->control >= 0) send_frame(w->control, id, T_CANCEL, NULL, 0);
  }
}

// The deadline that the plan asks for; the worker enforces it, this side only notices its failure.
static uint32_t deadline_of(const struct frame_header *h) {
  struct cursor c = {(const uint8_t *)(h + 1), (const uint8_t *)(h + 1) + h->length, false};
  if (h->type == T_CREATE) take_bytes(&c, take_u32(&c));
  take_u32(&c);
  uint32_t ms = take_u32(&c);
  return c.bad || ms == 0 ? DEADLINE_MS_DEFAULT : ms;
}

// Ends the idle pairs, which know nothing of a new pool, and waits for them: when the answer is
// sent, nothing that they prepared is left.
static void end_idle_pairs(void) {
  for (int i = 0; i < WORKERS_MAX; i++) {
    struct worker *w = &workers[i];
    if (!w->used || w->busy || !w->create) continue;
    struct pollfd end = {.fd = w->pidfd, .events = POLLIN};
    w->pidfd = -1;
    end_worker(w);
    if (end.fd < 0) continue;
    poll(&end, 1, PAIR_END_MS);
    close(end.fd);
  }
}

static void set_pool(const struct frame_header *h) {
  end_idle_pairs();
  int error = pool_configure((const uint8_t *)(h + 1), h->length);
  uint32_t no_results = 0;
  if (error) answer_failure(h->id, -error, "malformed pool");
  else if (send_frame(DAEMON_FD, h->id, T_OK, &no_results, sizeof no_results)) _exit(0);
}

static void dispatch(void) {
  struct frame_header *h = (struct frame_header *)buffer;
  if (read_exact(DAEMON_FD, h, sizeof *h)) _exit(0);
  if (h->length > FRAME_BYTES_MAX) {
    // What follows cannot be told from frames any more.
    answer_failure(h->id, EMSGSIZE, "a frame over 16 MiB");
    _exit(1);
  }
  if (read_exact(DAEMON_FD, buffer + sizeof *h, h->length)) _exit(0);
  size_t length = sizeof *h + h->length;
  if (h->version != WIRE_VERSION) {
    answer_failure(h->id, EPROTO, "a frame of another version");
  } else if (h->type == T_CANCEL) {
    cancel(h->id);
  } else if (h->type == T_POOL) {
    set_pool(h);
  } else if (h->type != T_RUN && h->type != T_CREATE) {
    answer_failure(h->id, EPROTO, "a frame of unknown type");
  } else {
    struct worker *w = idle_worker(h->type == T_CREATE);
    if (!w) {
      answer_failure(h->id, EAGAIN, "no worker could be forked");
    } else {
      w->busy = true;
      w->id = h->id;
      w->overdue_ms = now_ms() + deadline_of(h) + OVERDUE_MS;
      busy_count++;
      if (write_fully(w->fd, buffer, length)) {
        answer_failure(h->id, EPIPE, "the native worker is gone");
        w->answered = true;
      }
    }
  }
  release_buffer(length);
}

static int expire_overdue(void) {
  int64_t now = now_ms(), next = -1;
  for (int i = 0; i < WORKERS_MAX; i++) {
    struct worker *w = &workers[i];
    if (!w->used || !w->busy || w->answered) continue;
    if (w->overdue_ms > now) {
      if (next < 0 || w->overdue_ms - now < next) next = w->overdue_ms - now;
      continue;
    }
    answer_failure(w->id, ETIMEDOUT, "the native worker is stuck");
    w->answered = true;
    kill(-w->pid, SIGKILL);
    pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
  }
  return next > 60000 ? 60000 : (int)next;
}

static void pause_or_resume(void) {
  bool want = busy_count >= WORKERS_MAX - 2 * STANDBY_MIN;
  if (want == paused) return;
  paused = want;
  struct epoll_event event = {.events = paused ? 0 : EPOLLIN | EPOLLRDHUP, .data.u32 = ~0u};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, DAEMON_FD, &event);
}

int spawn_main(void) {
  for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);  // reaped by the kernel; who died is seen at its socket
  signal(SIGINT, SIG_IGN);   // a Ctrl-C meant for a daemon in the foreground is the daemon's
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0) return 2;
  if (null > 1) close(null);
  int flags = fcntl(DAEMON_FD, F_GETFL);
  if (flags < 0) return 2;
  fcntl(DAEMON_FD, F_SETFL, flags & ~O_NONBLOCK);
  fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_DUMPABLE, 0);
  set_title("gantry-spawner", "");
  buffer = mmap(NULL, FRAME_BYTES_MAX + 4096, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (buffer == MAP_FAILED || madvise(buffer, FRAME_BYTES_MAX + 4096, MADV_WIPEONFORK)) return 2;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  watch(DAEMON_FD, ~0u);
  for (;;) {
    keep_standby();
    pause_or_resume();
    struct epoll_event event;
    int n = epoll_wait(epoll_fd, &event, 1, expire_overdue());
    if (n <= 0) continue;
    if (event.data.u32 == ~0u) {
      if (event.events & EPOLLIN) dispatch();
      else return 0;
      continue;
    }
    struct worker *w = &workers[event.data.u32 / 2];
    if (w->used) relay_answer(w, event.data.u32 & 1 ? &w->control : &w->fd);
  }
}

// The plans of gantry-runtime: a worker for what happens on the host, an executor for a new
// process, with this process in the place that a monitor has for the engine's containers.
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "exec.h"
#include "monitor.h"

#define TERMINAL_CHUNK 32768

static int terminal = -1;  // the pty's master of the process that was made last

// Signals of the caller wait here for whoever is in the foreground.
static volatile sig_atomic_t caught[NSIG];
static void on_signal(int number) { caught[number] = 1; }

static void handle_signals(void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  for (int number = 1; number < NSIG; number++) {
    // Those of faults and of the terminal's job control stay as they are.
    static const int kept[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                               SIGABRT, SIGTRAP, SIGTTIN, SIGTTOU, SIGPIPE};
    bool keep = false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) keep |= kept[i] == number;
    if (!keep) sigaction(number, &action, NULL);
  }
}

void runtime_keep_signals(void) { handle_signals(on_signal); }

void runtime_succeed(struct out *answer) {
  put_u8(answer, T_OK);
  put_u32(answer, 0);
}

static void fail(struct out *answer, uint8_t half, uint32_t index, int error, const char *text) {
  answer->length = 0;
  put_u8(answer, T_FAIL);
  put_u8(answer, half);
  put_u32(answer, index);
  put_u32(answer, (uint32_t)error);
  put_str(answer, text);
}

void runtime_fail(struct out *answer, int error, const char *text) {
  fail(answer, HALF_PROTOCOL, 0, error, text);
}

static int reap(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

// Both ends above what the container is to inherit.
static int pair_above(unsigned lowest, int type, int pair[2]) {
  int low[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, low)) return -errno;
  for (int i = 0; i < 2; i++) {
    pair[i] = fcntl(low[i], F_DUPFD_CLOEXEC, (int)lowest);
    close(low[i]);
  }
  return pair[0] < 0 || pair[1] < 0 ? -EMFILE : 0;
}

// Sends a request to the child that serves it and appends its answer.
static void converse(int fd, uint16_t type, const uint8_t *data, size_t length,
                     struct out *answer) {
  struct frame_header h;
  uint8_t *payload;
  int error = send_frame(fd, 1, type, data, length);
  if (!error) error = receive_frame(fd, &h, &payload);
  if (error) {
    fail(answer, HALF_PROTOCOL, 0, -error, "a process of the runtime was killed");
    return;
  }
  put_u8(answer, (uint8_t)h.type);
  put_bytes(answer, payload, h.length);
  free(payload);
}

static void run_plan(const uint8_t *plan, size_t length, struct out *answer) {
  int pair[2];
  int error = pair_above(3, SOCK_STREAM, pair);
  pid_t pid = error ? -1 : fork();
  if (pid == 0) {
    handle_signals(SIG_DFL);
    isolate_process(pair[1], pair[1]);
    worker_main(pair[1]);
  }
  if (!error) close(pair[1]);
  if (pid < 0) {
    fail(answer, HALF_PROTOCOL, 0, error ? -error : errno, "no process for a plan");
  } else {
    converse(pair[0], T_RUN, plan, length, answer);
    reap(pid);
  }
  if (!error) close(pair[0]);
}

int runtime_hand(const char *path, const char *text, int fd) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  AUTO_CLOSE int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || connect(socket_fd, (struct sockaddr *)&address, sizeof address))
    return -errno;
  struct iovec part = {(char *)text, strlen(text)};
  ssize_t n = send_parts(socket_fd, &part, 1, fd);
  return n < 0 ? (int)n : 0;
}

// What has become of an executor's plan, heard over its socket, and who is told of the process.
struct birth {
  const char *console, *pidfd_socket, *pidfd_text;
  pid_t child;
  bool committed;
  uint8_t *teardown;
  uint32_t teardown_length;
  uint8_t half;
  uint32_t index;
  int error;
  char text[256];
};

static int take_terminal(const char *console, int fd) {
  if (terminal >= 0) close(terminal);
  terminal = fd;
  if (!*console) return 0;
  // The other end expects the terminal's name with it (as of runc).
  int error = runtime_hand(console, "/dev/ptmx", fd);
  close(fd);
  terminal = -1;
  return error;
}

static int hand_pidfd(const struct birth *b) {
  if (!*b->pidfd_socket) return 0;
  AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, b->child, 0);
  return fd < 0 ? -errno : runtime_hand(b->pidfd_socket, b->pidfd_text, fd);
}

static void take_failure(struct birth *b, const uint8_t *data, size_t length) {
  struct cursor c = {data, data + length, false};
  b->half = take_u8(&c);
  b->index = take_u32(&c);
  b->error = (int)take_u32(&c);
  snprintf(b->text, sizeof b->text, "%s", take_str(&c, NULL));
}

// Hears the executor until it has nothing more to say.
static void attend(int fd, struct birth *b) {
  struct frame_header h;
  int pass;
  while (receive_header_fd(fd, &h, &pass) == 0 && h.length <= FRAME_BYTES_MAX) {
    uint8_t *data = malloc((size_t)h.length + 1);
    if (!data || read_exact(fd, data, h.length)) break;
    data[h.length] = 0;
    int error = 0;
    const char *socket = b->console, *what = "terminal";
    if (h.type == M_STARTED && h.length == 4) memcpy(&b->child, data, 4);
    pid_t ended;
    if (h.type == M_REAP && h.length == 4) reap(*(pid_t *)memcpy(&ended, data, 4));
    if (h.type == M_FAILED) take_failure(b, data, h.length);
    if (h.type == M_FD && pass >= 0 && h.length > 0 && !strcmp((char *)data, "tty")) {
      error = take_terminal(b->console, pass);
      pass = -1;
    }
    if (h.type == M_COMMIT && (error = hand_pidfd(b))) {
      socket = b->pidfd_socket;
      what = "pidfd";
    } else if (h.type == M_COMMIT) {
      struct out ack = {0};
      put_i64(&ack, (int64_t)start_ticks(b->child));
      put_u32(&ack, (uint32_t)getpid());
      b->committed = send_frame(fd, 0, M_ACK, ack.data, ack.length) == 0;
      out_free(&ack);
    }
    if (pass >= 0) close(pass);
    if (h.type == M_TEARDOWN) {
      b->teardown = data;
      b->teardown_length = h.length;
    } else {
      free(data);
    }
    if (error && b->error == 0) {
      b->half = HALF_PROTOCOL;
      b->error = -error;
      snprintf(b->text, sizeof b->text, "cannot pass the %s to %s", what, socket);
    }
    if (b->error || b->committed) return;
  }
}

// The teardown of a plan that has failed, in a process of its own; its failures are appended.
static void tear_down(const struct birth *b, struct out *answer) {
  if (b->teardown_length <= 4) return;
  if (b->half == HALF_HOST && b->index == 0) return;  // nothing has been done
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return;
  pid_t pid = fork();
  if (pid == 0) {
    handle_signals(SIG_DFL);
    struct plan plan = {0};
    struct out failed = {0};
    uint32_t count;
    memcpy(&count, b->teardown, 4);
    if (!ops_decode(&plan, HALF_TEARDOWN, count, b->teardown + 4, b->teardown_length - 4))
      run_teardown(&plan, &failed);
    _exit(send_frame(pair[1], 0, T_OK, failed.data, failed.length) != 0);
  }
  close(pair[1]);
  struct frame_header h;
  uint8_t *data;
  if (pid > 0 && receive_frame(pair[0], &h, &data) == 0) {
    put_bytes(answer, data, h.length);
    free(data);
  }
  close(pair[0]);
  if (pid > 0) reap(pid);
}

static const char *missing_descriptor(uint32_t preserved) {
  static char text[64];
  for (uint32_t i = 0; i < preserved; i++) {
    // What the caller has left open is not close-on-exec, what is ours is.
    int flags = fcntl(3 + (int)i, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC)) continue;
    snprintf(text, sizeof text, "unable to preserve fd %u: it is not open", 3 + i);
    return text;
  }
  return NULL;
}

static void create(struct cursor *c, struct out *answer) {
  uint32_t preserved = take_u32(c);
  uint8_t flags = take_u8(c);
  struct birth b = {.half = HALF_PROTOCOL};
  b.console = take_str(c, NULL);
  b.pidfd_socket = take_str(c, NULL);
  b.pidfd_text = take_str(c, NULL);
  if (c->bad || preserved > 1024) return fail(answer, HALF_PROTOCOL, 0, EPROTO, "malformed plan");
  const char *missing = missing_descriptor(preserved);
  if (missing) return fail(answer, HALF_PROTOCOL, 0, EBADF, missing);
  int request[2], monitor[2];
  int error = pair_above(3 + preserved, SOCK_STREAM, request);
  if (!error) error = pair_above(3 + preserved, SOCK_STREAM, monitor);
  if (error) return fail(answer, HALF_PROTOCOL, 0, -error, "no sockets for a plan");
  preserved_descriptors = preserved;
  // What the container leaves behind falls to this process, which waits for it.
  if (flags & CREATE_SUBREAPER) prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t pid = fork();
  if (pid == 0) {
    handle_signals(SIG_DFL);
    isolate_process(request[1], monitor[1]);
    executor_main(request[1], monitor[1], false, 0, 0);
  }
  close(request[1]);
  close(monitor[1]);
  struct out payload = {0};
  put_u32(&payload, 0);  // no configuration of a monitor
  put_bytes(&payload, c->at, (size_t)(c->end - c->at));
  // The executor reads all of it before it says anything.
  error = pid < 0 ? -errno : send_frame(request[0], 1, T_CREATE, payload.data, payload.length);
  out_free(&payload);
  if (!error) attend(monitor[0], &b);
  if (b.committed) {
    struct frame_header h;
    uint8_t *data;
    if (receive_frame(request[0], &h, &data) == 0) {
      put_u8(answer, (uint8_t)h.type);
      put_bytes(answer, data, h.length);
      free(data);
    } else {
      b.committed = false;
    }
  }
  close(request[0]);
  close(monitor[0]);
  bool killed = pid > 0 && WIFSIGNALED(reap(pid));
  if (!b.committed && !b.error && killed && b.child > 0 && b.teardown_length <= 4) {
    // Who starts an exec is in the container's cgroups, too: a kill of all that is there strikes
    // both. The process has been started, and its end is told as that of any other.
    kill(b.child, SIGKILL);
    put_u8(answer, T_OK);
    put_u32(answer, (uint32_t)b.child);
    put_i64(answer, (int64_t)start_ticks(b.child));
    put_u32(answer, (uint32_t)getpid());
    put_u32(answer, 0);
    b.committed = true;
  }
  if (!b.committed) {
    if (b.child > 0) kill(b.child, SIGKILL);
    if (b.child > 0) reap(b.child);
    if (!b.error) b.error = error ? -error : ECHILD;
    fail(answer, b.half, b.index, b.error, b.text);
    tear_down(&b, answer);
  }
  free(b.teardown);
}

// ---- the foreground ----

static struct termios saved;
static bool raw;

static void copy_size(void) {
  struct winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(terminal, TIOCSWINSZ, &size);
}

static void set_terminal(bool on) {
  if (on && !raw && tcgetattr(0, &saved) == 0) {
    struct termios mode = saved;
    cfmakeraw(&mode);
    raw = tcsetattr(0, TCSANOW, &mode) == 0;
  } else if (!on && raw) {
    tcsetattr(0, TCSANOW, &saved);
    raw = false;
  }
}

static void forward(pid_t pid) {
  for (int number = 1; number < NSIG; number++) {
    if (!caught[number]) continue;
    caught[number] = 0;
    if (number == SIGCHLD) continue;
    if (number == SIGWINCH && terminal >= 0) copy_size();
    else kill(pid, number);
  }
}

static bool copy_some(int from, int to) {
  static char chunk[TERMINAL_CHUNK];
  ssize_t n = read(from, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  return n > 0 && write_fully(to, chunk, (size_t)n) == 0;
}

// Whether `pid` was among those that have ended; orphans that have fallen to this process are too.
static bool reap_all(pid_t pid, int *status) {
  int code;
  bool ended = false;
  for (pid_t child; (child = waitpid(-1, &code, WNOHANG)) > 0;) {
    if (child != pid) continue;
    *status = code;
    ended = true;
  }
  return ended;
}

// Relays the terminal until `pid` has ended and said its last; forwards what signals come.
static int attend_foreground(pid_t pid, bool relay) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  runtime_keep_signals();
  if (relay) {
    set_terminal(true);
    copy_size();
  }
  bool stdin_open = relay, output_open = relay, ended = false;
  int status = 0;
  while (!ended || output_open) {
    ended = reap_all(pid, &status) || ended;
    if (ended && !output_open) break;
    if (!ended) forward(pid);  // they are blocked: none comes between here and ppoll
    struct pollfd fds[2] = {{.fd = stdin_open && !ended ? 0 : -1, .events = POLLIN},
                            {.fd = output_open ? terminal : -1, .events = POLLIN}};
    struct timespec drain = {.tv_sec = 1};
    int n = ppoll(fds, 2, ended ? &drain : NULL, &before);
    if (ended && n == 0) break;
    if (n < 0 && errno != EINTR) break;
    if (n <= 0) continue;
    if (fds[0].revents) stdin_open = copy_some(0, terminal);
    if (fds[1].revents) output_open = copy_some(terminal, 1);
  }
  if (!ended) reap(pid);
  set_terminal(false);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void wait_for(struct cursor *c, struct out *answer) {
  uint32_t pid = take_u32(c);
  bool relay = take_u8(c) && terminal >= 0;
  if (c->bad) return runtime_fail(answer, EPROTO, "malformed request");
  put_u8(answer, T_OK);
  put_u32(answer, (uint32_t)attend_foreground((pid_t)pid, relay));
}

void runtime_native(uint8_t *request, uint32_t length, struct out *answer) {
  struct cursor c = {request, request + length, false};
  switch (take_u8(&c)) {
    case R_RUN: return run_plan(c.at, (size_t)(c.end - c.at), answer);
    case R_CREATE: return create(&c, answer);
    case R_WAIT: return wait_for(&c, answer);
    case R_LOCK: return runtime_lock(&c, answer);
    case R_UNLOCK: runtime_unlock(); return runtime_succeed(answer);
    case R_WATCH: return runtime_watch(&c, answer);
    case R_LISTEN: return runtime_listen(&c, answer);
    case R_NOTIFY: return runtime_notify(&c, answer);
    default: return runtime_fail(answer, EPROTO, "no such request");
  }
}

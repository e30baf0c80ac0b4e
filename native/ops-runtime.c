// What only gantry-runtime's plans hold: the pause between create and start, hooks, and standard
// streams that are the caller's own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define HOOK_SAYS_MAX 200

int op_own_streams(struct run *r, const struct op *o) {
  (void)r;
  for (int fd = 0; fd < 3; fd++) {
    struct stat st;
    if (fstat(fd, &st) || S_ISCHR(st.st_mode)) continue;
    if (fchown(fd, (uid_t)o->fields[A_OWN_STREAMS_UID].num, (gid_t)-1) && errno != EINVAL &&
        errno != EPERM && errno != EROFS)
      return run_fail(r, -errno, "cannot give standard stream %d to its user", fd);
  }
  return 0;
}

// A path may be longer than sun_path takes: its folder is opened, the name is short.
static int socket_at(struct run *r, const char *path, struct sockaddr_un *address, int *folder) {
  const char *name;
  const struct field none = {.num = NO_SLOT};
  *folder = run_open_parent(r, &none, path, &name);
  if (*folder < 0) return *folder;
  address->sun_family = AF_UNIX;
  size_t room = sizeof address->sun_path;
  int n = snprintf(address->sun_path, room, "/proc/self/fd/%d/%s", *folder, name);
  if (n < 0 || (size_t)n >= room) return -ENAMETOOLONG;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int op_listen(struct run *r, const struct op *o) {
  struct sockaddr_un address = {0};
  AUTO_CLOSE int folder = -1;
  int fd = socket_at(r, o->fields[A_LISTEN_PATH].ptr, &address, &folder);
  if (fd < 0) return fd;
  mode_t mask = umask(0177);
  int error = bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1) ? -errno : 0;
  umask(mask);
  if (error) {
    close(fd);
    return run_fail(r, error, "%s", o->fields[A_LISTEN_PATH].ptr);
  }
  return run_store(r, &o->fields[A_LISTEN_TO], fd);
}

int op_await_start(struct run *r, const struct op *o) {
  int listening = run_fd(r, &o->fields[A_AWAIT_START_SLOT]);
  if (!executor.container || listening < 0) return -EINVAL;
  int error = peer_send(P_SILENT, 0, NULL, -1);
  if (error) return error;
  peer_replace(-1);
  int fd;
  do fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
  while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0) return -errno;
  close(listening);
  r->slot[o->fields[A_AWAIT_START_SLOT].num] = -1;
  peer_replace(fd);
  return 0;
}

int op_release_start(struct run *r, const struct op *o) {
  struct sockaddr_un address = {0};
  AUTO_CLOSE int folder = -1;
  int fd = socket_at(r, o->fields[A_RELEASE_START_PATH].ptr, &address, &folder);
  if (fd < 0) return fd;
  if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
    int error = -errno;
    close(fd);
    return run_fail(r, error, "nothing waits to be started");
  }
  executor.peer = fd;
  int error = peer_wait(-2);
  if (executor.fail_errno) return run_fail(r, -executor.fail_errno, "%s", executor.fail_text);
  if (error || !executor.silent)
    return run_fail(r, -ECHILD, "the process died before its program was started");
  return 0;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct hook {
  pid_t pid;
  int input, output;  // -1 when closed
  char *state;
  size_t state_length, written;
  char says[HOOK_SAYS_MAX + 1];
  size_t said;
};

static void feed(struct hook *h) {
  ssize_t n = write(h->input, h->state + h->written, h->state_length - h->written);
  if (n > 0) h->written += (size_t)n;
  bool over = n < 0 && errno != EAGAIN && errno != EINTR;  // it does not read its stdin
  if (h->written < h->state_length && !over) return;
  close(h->input);
  h->input = -1;
}

// Keeps the beginning of what it says.
static void hear(struct hook *h) {
  char chunk[4096];
  ssize_t n = read(h->output, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    close(h->output);
    h->output = -1;
    return;
  }
  size_t room = HOOK_SAYS_MAX - h->said;
  size_t take = (size_t)n < room ? (size_t)n : room;
  memcpy(h->says + h->said, chunk, take);
  h->said += take;
}

// Speaks with the hook until it has ended. 0, or -ETIMEDOUT (it was killed).
static int attend_hook(struct hook *h, int64_t deadline, int *status) {
  AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
  for (;;) {
    if (waitpid(h->pid, status, WNOHANG) == h->pid) break;
    struct pollfd fds[3] = {{.fd = h->input, .events = POLLOUT},
                            {.fd = h->output, .events = POLLIN},
                            {.fd = pidfd, .events = POLLIN}};
    int64_t left = deadline == 0 ? -1 : deadline - now_ms();
    if ((deadline != 0 && left <= 0) || run_interrupt_errno) {
      kill(-h->pid, SIGKILL);  // with what it has started
      while (waitpid(h->pid, status, 0) < 0 && errno == EINTR) continue;
      return -ETIMEDOUT;
    }
    if (poll(fds, 3, left > INT_MAX ? INT_MAX : (int)left) <= 0) continue;
    if (fds[0].revents) feed(h);
    if (fds[1].revents) hear(h);
  }
  // What it had said when it ended; a child of its own may keep the pipe open for ever.
  if (h->output >= 0) {
    fcntl(h->output, F_SETFL, O_NONBLOCK);
    while (h->output >= 0 && h->said < HOOK_SAYS_MAX) {
      size_t before = h->said;
      hear(h);
      if (h->said == before) break;
    }
  }
  return 0;
}

static _Noreturn void become_hook(const struct field *f, int input, int output) {
  setpgid(0, 0);
  dup2(input, 0);
  dup2(output, 1);
  dup2(output, 2);
  close_range(3, ~0u, 0);
  for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  umask(022);
  char **argv = run_vector(&f[A_RUN_HOOK_ARGV]), **env = run_vector(&f[A_RUN_HOOK_ENV]);
  if (argv && env) execve(f[A_RUN_HOOK_PATH].ptr, argv, env);
  dprintf(2, "fork/exec %s: %s", f[A_RUN_HOOK_PATH].ptr, strerror(errno));
  _exit(127);
}

int op_run_hook(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_RUN_HOOK_PATH].ptr;
  int in[2], out[2];
  char pid[24] = "";
  if (f[A_RUN_HOOK_PID].num != NO_SLOT)
    snprintf(pid, sizeof pid, "%lld", (long long)r->slot[f[A_RUN_HOOK_PID].num]);
  struct hook h = {0};
  int n = asprintf(&h.state, "%s%s%s", f[A_RUN_HOOK_BEFORE].ptr, pid,
                   f[A_RUN_HOOK_AFTER].ptr);
  if (n < 0) return -ENOMEM;
  h.state_length = (size_t)n;
  if (pipe2(in, O_CLOEXEC)) return free(h.state), -errno;
  if (pipe2(out, O_CLOEXEC)) return free(h.state), close(in[0]), close(in[1]), -EMFILE;
  h.input = in[1];
  h.output = out[0];
  fcntl(h.input, F_SETFL, O_NONBLOCK);
  struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
  sigaction(SIGPIPE, &ignore, &before);
  h.pid = fork();
  int error = h.pid < 0 ? -errno : 0;
  if (h.pid == 0) become_hook(f, in[0], out[1]);
  if (h.pid > 0) setpgid(h.pid, h.pid);  // whichever of us is first
  close(in[0]);
  close(out[1]);
  int64_t timeout = f[A_RUN_HOOK_TIMEOUT_MS].num;
  int status = 0;
  if (!error) error = attend_hook(&h, timeout ? now_ms() + timeout : 0, &status);
  sigaction(SIGPIPE, &before, NULL);
  if (h.input >= 0) close(h.input);
  if (h.output >= 0) close(h.output);
  free(h.state);
  if (error == -ETIMEDOUT)
    return run_fail(r, error, "hook %s ran past specified timeout of %.1fs", path,
                    (double)timeout / 1000);
  if (error) return error;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  while (h.said > 0 && (h.says[h.said - 1] == '\n' || h.says[h.said - 1] == '\r')) h.said--;
  h.says[h.said] = 0;
  if (WIFSIGNALED(status))
    return run_fail(r, -EIO, "hook %s: signal: %s, stdout and stderr: %s", path,
                    strsignal(WTERMSIG(status)), h.says);
  return run_fail(r, -EIO, "hook %s: exit status %d, stdout and stderr: %s", path,
                  WEXITSTATUS(status), h.says);
}

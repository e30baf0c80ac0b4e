// Readiness of a container's program for the service manager of whoever runs it (sd_notify(3), as
// runc has it): the program has a socket of its own beneath /run/notify; when it says READY, the
// manager is told, and which process is the main one. Nothing else is handed on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "exec.h"
#include "runtime.h"

#define DATAGRAM_BYTES_MAX 4096
#define BARRIER_MS_MAX 30000

static int listening = -1;

static socklen_t address_of(struct sockaddr_un *address, const char *path) {
  size_t length = strlen(path);
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (length >= sizeof address->sun_path) return 0;
  memcpy(address->sun_path, path, length);
  if (*path == '@') address->sun_path[0] = 0;
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

void runtime_listen(struct cursor *c, struct out *answer) {
  const char *path = take_str(c, NULL);
  struct sockaddr_un address;
  socklen_t length = address_of(&address, path);
  if (c->bad || !length) return runtime_fail(answer, ENAMETOOLONG, path);
  int low = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (listening >= 0) close(listening);
  listening = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, 512);  // above what is handed on
  if (low >= 0) close(low);
  unlink(path);
  if (listening < 0 || bind(listening, (struct sockaddr *)&address, length) || chmod(path, 0777))
    return runtime_fail(answer, errno, path);
  runtime_succeed(answer);
}

// The first line that says READY=, without its end; 0 for none.
static size_t find_ready(char *text, char **line) {
  for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
    if (strncmp(at, "READY=", 6)) continue;
    *line = at;
    return strlen(at);
  }
  return 0;
}

// Waits until the manager has read what it was sent: it closes its end of a pipe then.
static int send_barrier(int fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) return -errno;
  struct iovec part = {"BARRIER=1", 9};
  ssize_t n = send_parts(fd, &part, 1, ends[1]);
  int error = n < 0 ? (int)n : 0;
  close(ends[1]);
  struct pollfd wait = {.fd = ends[0]};
  if (!error) poll(&wait, 1, BARRIER_MS_MAX);
  close(ends[0]);
  return error;
}

static int tell_manager(const char *manager, const char *ready, size_t length, pid_t main_pid) {
  struct sockaddr_un address;
  socklen_t size = address_of(&address, manager);
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (!size || fd < 0 || connect(fd, (struct sockaddr *)&address, size)) return -errno;
  char text[DATAGRAM_BYTES_MAX + 40];
  int n = snprintf(text, sizeof text, "%.*s\n", (int)length, ready);
  if (send(fd, text, (size_t)n, MSG_NOSIGNAL) < 0) return -errno;
  n = snprintf(text, sizeof text, "MAINPID=%d\n", main_pid);
  if (send(fd, text, (size_t)n, MSG_NOSIGNAL) < 0) return -errno;
  return send_barrier(fd);
}

// Until the program is ready or `pid` has ended.
static int attend_socket(const char *manager, pid_t pid, pid_t main_pid) {
  AUTO_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return errno == ESRCH ? 0 : -errno;
  for (;;) {
    struct pollfd fds[2] = {{.fd = listening, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    char text[DATAGRAM_BYTES_MAX + 1], *line;
    ssize_t n = fds[0].revents ? recv(listening, text, DATAGRAM_BYTES_MAX, MSG_DONTWAIT) : -1;
    if (n > 0) {
      text[n] = 0;
      size_t length = find_ready(text, &line);
      if (length) return tell_manager(manager, line, length, main_pid);
    }
    if (n <= 0 && fds[1].revents) return 0;
  }
}

void runtime_notify(struct cursor *c, struct out *answer) {
  const char *manager = take_str(c, NULL);
  pid_t pid = (pid_t)take_u32(c), main_pid = (pid_t)take_u32(c);
  bool background = take_u8(c);
  if (c->bad || listening < 0) return runtime_fail(answer, EPROTO, "malformed request");
  if (main_pid == 0) main_pid = getpid();
  int error = 0;
  pid_t parent = getpid(), child = background ? fork() : 0;
  if (background && child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    if (getppid() == parent) attend_socket(manager, pid, main_pid);
    _exit(0);
  }
  if (child < 0) error = -errno;
  else if (!background) error = attend_socket(manager, pid, main_pid);
  close(listening);
  listening = -1;
  if (error) runtime_fail(answer, -error, manager);
  else runtime_succeed(answer);
}

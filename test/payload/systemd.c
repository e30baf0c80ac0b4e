// A service manager in miniature: binds sockets, passes them as sd_listen_fds(3) has it, starts a
// program and prints what that says over sd_notify(3), a line each: "PID text; text". What comes on
// stdin goes to nobody: its end ends the program with SIGTERM, as systemctl stop does.
//
//   manager NOTIFY NAME=SOCKET… -- PROGRAM ARG…
// NOTIFY: a path or @name; SOCKET: a path or a port
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKETS_MAX 8
#define TEXT_MAX 4096

static void die(const char *what) {
  fprintf(stderr, "manager: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int unix_socket(int type, const char *path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strncpy(a.sun_path, path, sizeof a.sun_path - 1);
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + strlen(a.sun_path);
  if (*path == '@') a.sun_path[0] = 0;
  int fd = socket(AF_UNIX, type, 0), one = 1;
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, length)) die(path);
  setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  return fd;
}

static int passed_socket(const char *where) {
  int fd;
  if (*where == '/') {
    fd = unix_socket(SOCK_STREAM, where);
  } else {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(where))};
    socklen_t length = sizeof a;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a)) die(where);
    getsockname(fd, (struct sockaddr *)&a, &length);
    printf("port %d\n", ntohs(a.sin_port));
  }
  if (listen(fd, 16)) die("listen");
  return fd;
}

static void print_message(int fd) {
  char text[TEXT_MAX + 1], control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec data = {.iov_base = text, .iov_len = TEXT_MAX};
  struct msghdr m = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &m, 0);
  if (n < 0) die("recvmsg");
  struct ucred who = {0};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (c && c->cmsg_type == SCM_CREDENTIALS) memcpy(&who, CMSG_DATA(c), sizeof who);
  text[n] = 0;
  for (char *p = text; *p; p++)
    if (*p == '\n') *p = ';';
  printf("%d %s\n", who.pid, text);
  fflush(stdout);
}

static void run(char **argv, const char *notify, int *sockets, int count, const char *names) {
  char number[32];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Beyond the range first, so that none is overwritten.
  for (int i = 0; i < count; i++) sockets[i] = fcntl(sockets[i], F_DUPFD, 3 + SOCKETS_MAX);
  for (int i = 0; i < count; i++) dup2(sockets[i], 3 + i);
  syscall(SYS_close_range, 3 + count, ~0u, 0);
  snprintf(number, sizeof number, "%d", count);
  if (count) setenv("LISTEN_FDS", number, 1), setenv("LISTEN_FDNAMES", names, 1);
  snprintf(number, sizeof number, "%d", getpid());
  if (count) setenv("LISTEN_PID", number, 1);
  setenv("WATCHDOG_PID", number, 1);
  setenv("NOTIFY_SOCKET", notify, 1);
  execvp(argv[0], argv);
  die(argv[0]);
}

int main(int argc, char **argv) {
  int sockets[SOCKETS_MAX], count = 0, i = 2;
  char names[TEXT_MAX] = "";
  if (argc < 4) return 2;
  for (; i < argc && strcmp(argv[i], "--"); i++) {
    char *where = strchr(argv[i], '=');
    if (!where || count == SOCKETS_MAX) return 2;
    *where++ = 0;
    if (count) strcat(names, ":");
    strcat(names, argv[i]);
    sockets[count++] = passed_socket(where);
  }
  int notify = unix_socket(SOCK_DGRAM, argv[1]);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) run(argv + i + 1, argv[1], sockets, count, names);
  int child = syscall(SYS_pidfd_open, pid, 0);
  struct pollfd p[] = {{notify, POLLIN, 0}, {0, POLLIN, 0}, {child, POLLIN, 0}};
  for (;;) {
    if (poll(p, 3, -1) < 0) die("poll");
    char ignored[256];
    if (p[0].revents & POLLIN) print_message(notify);
    else if (p[2].revents) break;
    else if (p[1].revents && read(0, ignored, sizeof ignored) <= 0)
      kill(pid, SIGTERM), p[1].fd = -1;
  }
  int status = 0;
  waitpid(pid, &status, 0);
  printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  return 0;
}

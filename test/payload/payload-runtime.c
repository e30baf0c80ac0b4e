// Verbs around a runtime's sockets: what systemd and engines listen on, and who speaks to them.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "payload.h"

static int open_socket(const char *path, int type, int listening) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof at.sun_path) return -1;
  strcpy(at.sun_path, path);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int (*attach)(int, const struct sockaddr *, socklen_t) = listening ? bind : connect;
  return attach(fd, (struct sockaddr *)&at, sizeof at) ? -1 : fd;
}

// Receives a text and what descriptor comes with it (else -1).
static ssize_t receive(int fd, char *text, size_t size, int *passed) {
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {text, size - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
  *passed = -1;
  if (header) memcpy(passed, CMSG_DATA(header), sizeof *passed);
  if (n >= 0) text[n] = 0;
  return n;
}

// notify TEXT: tells it to $NOTIFY_SOCKET.
int v_notify(int argc, char **argv) {
  const char *path = getenv("NOTIFY_SOCKET");
  int fd = argc < 2 || !path ? -1 : open_socket(path, SOCK_DGRAM, 0);
  if (fd < 0) return fail(path ? path : "NOTIFY_SOCKET");
  return send(fd, argv[1], strlen(argv[1]), 0) < 0 ? fail("send") : 0;
}

// manager PATH: a service manager; prints what it is told, up to a barrier.
int v_manager(int argc, char **argv) {
  int fd = argc < 2 ? -1 : open_socket(argv[1], SOCK_DGRAM, 1);
  if (fd < 0) return fail("bind");
  printf("listening\n"), fflush(stdout);
  for (;;) {
    char text[4096];
    int passed;
    if (receive(fd, text, sizeof text, &passed) < 0) return fail("recvmsg");
    printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n"), fflush(stdout);
    if (passed >= 0) return close(passed);
  }
}

// handed PATH: listens, and prints the text that it is sent and which process its pidfd is of.
int v_handed(int argc, char **argv) {
  int fd = argc < 2 ? -1 : open_socket(argv[1], SOCK_STREAM, 1), passed;
  if (fd < 0 || listen(fd, 1)) return fail("listen");
  printf("listening\n"), fflush(stdout);
  int peer = accept(fd, NULL, NULL);
  char text[256], path[64], line[256];
  if (peer < 0 || receive(peer, text, sizeof text, &passed) < 0) return fail("recvmsg");
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", passed);
  FILE *info = fopen(path, "re");
  while (info && fgets(line, sizeof line, info))
    if (!strncmp(line, "Pid:", 4)) printf("%s %d\n", text, atoi(line + 4));
  return info ? fclose(info) : fail(path);
}

// orphan: a child that outlives its parent by waiting; prints the pid that it has here.
int v_orphan(int argc, char **argv) {
  (void)argc, (void)argv;
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      pause();
      _exit(0);
    }
    printf("%d\n", grandchild), fflush(stdout);
    _exit(0);
  }
  return 0;
}

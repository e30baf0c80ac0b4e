/* A process with something that a checkpoint has to be asked to take along: a TCP connection, a
 * connection to a unix socket outside, a lock, a file without its name. It uses it again and again
 * and writes how often to ./progress, so that a test sees whether it still works. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { PORT = 4000, INTERVAL_US = 20000, MEMORY = 8 << 20 };

static int die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

static int listener(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (void *)&at, sizeof at) < 0 || listen(fd, 8) < 0) die("listen");
  return fd;
}

static int connected(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (void *)&to, sizeof to) < 0) die("connect");
  return fd;
}

static void pass(int from, int to) {
  char byte = 'x';
  if (write(from, &byte, 1) != 1 || read(to, &byte, 1) != 1) die("pass");
}

static void tell(unsigned long count) {
  char text[32];
  int n = snprintf(text, sizeof text, "%lu\n", count);
  int fd = open("progress.new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, n) != n || close(fd) < 0) die("progress");
  if (rename("progress.new", "progress") < 0) die("rename");
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "";
  int one = -1, other = -1;
  if (argc > 2 && chdir(argv[2]) < 0) die(argv[2]);
  if (!strcmp(kind, "tcp")) {
    int at = listener();
    one = connected();
    other = accept(at, NULL, NULL);
    close(at);
  } else if (!strcmp(kind, "listen")) {
    listener();
  } else if (!strcmp(kind, "datagram")) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, argv[3], sizeof to.sun_path - 1);
    one = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (connect(one, (void *)&to, sizeof to) < 0) die("connect");
  } else if (!strcmp(kind, "lock")) {
    one = open("locked", O_RDWR | O_CREAT, 0644);
    if (flock(one, LOCK_EX) < 0) die("flock");
  } else if (!strcmp(kind, "renamed")) {
    one = open("first", O_RDWR | O_CREAT, 0644);
    if (link("first", "second") < 0 || unlink("first") < 0) die("second");
  } else if (!strcmp(kind, "memory")) {
    int access = PROT_READ | PROT_WRITE, kept = MAP_PRIVATE | MAP_ANONYMOUS;
    volatile char *all = mmap(NULL, MEMORY, access, kept, -1, 0);
    for (int i = 0; i < MEMORY; i++) all[i] = (char)(i * 7 + 1);
  } else if (!strcmp(kind, "keyring")) {
    /* KEYCTL_GET_KEYRING_ID of the session's, made if need be. */
    printf("%ld\n", syscall(SYS_keyctl, 0, -3, 0));
    return 0;
  }
  for (unsigned long count = 1;; count++) {
    if (!strcmp(kind, "tcp")) pass(one, other), pass(other, one);
    if (!strcmp(kind, "datagram") && write(one, "x", 1) != 1) die("datagram");
    if (!strcmp(kind, "renamed") && pwrite(one, &count, sizeof count, 0) < 0) die("renamed");
    tell(count);
    usleep(INTERVAL_US);
  }
}

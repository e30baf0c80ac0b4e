// `gantry-native datagrams PATH [large]`: sends to a unix datagram socket, which Node cannot. Reads
// `u32 length | bytes` again and again, answers each with an errno (i32, 0: sent), and one before
// the first for the connection. A receiver whose queue is full is waited for. `large`: what does
// not fit into a datagram goes as a sealed memory file whose descriptor is the message, as journald
// takes it. Ends with its daemon: when standard input does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

#define DATAGRAM_BYTES_MAX (64u << 20)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

static int send_file(int fd, const uint8_t *bytes, size_t length) {
  int file = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return errno;
  int error = 0;
  if (write_fully(file, bytes, length) || fcntl(file, F_ADD_SEALS, SEALS)) error = errno;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof control};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &file, sizeof file);
  while (!error && sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
    if (errno != EINTR) error = errno;
  close(file);
  return error;
}

static int send_one(int fd, const uint8_t *bytes, size_t length, bool large) {
  while (send(fd, bytes, length, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (large && (errno == EMSGSIZE || errno == ENOBUFS)) return send_file(fd, bytes, length);
    return errno;
  }
  return 0;
}

static int answer(int error) {
  int32_t value = error;
  return write_fully(1, &value, sizeof value);
}

int datagrams_main(int argc, char **argv) {
  if (argc < 2) {
    dprintf(2, "usage: gantry-native datagrams PATH [large]\n");
    return 2;
  }
  // It may wait in the kernel for a receiver that does not read.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() == 1) return 1;
  bool large = argc > 2 && strcmp(argv[2], "large") == 0;
  int fd = connect_to(argv[1]);
  if (answer(fd < 0 ? -fd : 0) || fd < 0) return 1;
  uint8_t *bytes = NULL;
  size_t room = 0;
  for (uint32_t length; read_exact(0, &length, sizeof length) == 0;) {
    if (length > DATAGRAM_BYTES_MAX) return 2;
    if (length > room) {
      uint8_t *more = realloc(bytes, length);
      if (!more) return 2;
      bytes = more;
      room = length;
    }
    if (length && read_exact(0, bytes, length)) break;
    if (answer(send_one(fd, bytes, length, large))) break;
  }
  free(bytes);
  return 0;
}

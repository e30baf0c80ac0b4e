// One datagram to a service manager's socket (sd_notify(3)), said in the name of the daemon: the
// manager goes by the credentials of the sender, and this is a worker.
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define SEND_SECONDS_MAX 5

static ssize_t send_as(int fd, const struct msghdr *plain, pid_t pid) {
  struct ucred who = {.pid = pid, .uid = getuid(), .gid = getgid()};
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof who)];
  } control = {0};
  struct msghdr m = *plain;
  m.msg_control = control.bytes;
  m.msg_controllen = sizeof control.bytes;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_CREDENTIALS;
  c->cmsg_len = CMSG_LEN(sizeof who);
  memcpy(CMSG_DATA(c), &who, sizeof who);
  return sendmsg(fd, &m, MSG_NOSIGNAL);
}

int op_notify(struct run *r, const struct op *o) {
  const struct field *f = o->fields, *path = &f[A_NOTIFY_PATH], *text = &f[A_NOTIFY_TEXT];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path->len >= sizeof address.sun_path) return run_fail(r, -ENAMETOOLONG, "%s", path->ptr);
  memcpy(address.sun_path, path->ptr, path->len);
  // An abstract name ends where the address does; "@" stands for its NUL.
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct timeval limit = {.tv_sec = SEND_SECONDS_MAX};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  struct iovec data = {.iov_base = (void *)text->ptr, .iov_len = text->len};
  struct msghdr m = {.msg_name = &address,
                     .msg_namelen = offsetof(struct sockaddr_un, sun_path) + path->len,
                     .msg_iov = &data,
                     .msg_iovlen = 1};
  ssize_t n = send_as(fd, &m, (pid_t)f[A_NOTIFY_PID].num);
  // Not privileged to speak for another, or that one is not of this pid namespace.
  if (n < 0 && (errno == EPERM || errno == ESRCH)) n = sendmsg(fd, &m, MSG_NOSIGNAL);
  return n < 0 ? run_fail(r, -errno, "%s", path->ptr) : 0;
}

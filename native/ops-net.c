// Netlink: messages that TypeScript encoded, sent as they are but for sequence numbers and patched
// slots. Every answer is read; the kernel's own words (extack) become the text of a failure.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define ANSWER_BYTES (256u << 10)
#define ANSWER_SECONDS_MAX 10
#define BUFFER_BYTES (4 << 20)

// Opens a socket that belongs to the network namespace in `netns` (or to our own).
static int socket_in(struct run *r, const struct field *netns, int family, int type,
                     int protocol) {
  if (netns->num == NO_SLOT) {
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    return fd < 0 ? -errno : fd;
  }
  int target = run_fd(r, netns);
  if (target < 0) return target;
  AUTO_CLOSE int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return run_fail(r, -errno, "own network namespace");
  if (setns(target, CLONE_NEWNET)) return run_fail(r, -errno, "joining the network namespace");
  int fd = socket(family, type | SOCK_CLOEXEC, protocol);
  int error = fd < 0 ? -errno : 0;
  // Going on in the wrong namespace would do harm there.
  if (setns(home, CLONE_NEWNET)) _exit(1);
  return error ? error : fd;
}

static int open_netlink(struct run *r, const struct field *netns, int protocol) {
  int fd = socket_in(r, netns, AF_NETLINK, SOCK_RAW, protocol);
  if (fd < 0) return fd;
  int one = 1, bytes = BUFFER_BYTES;
  struct timeval limit = {.tv_sec = ANSWER_SECONDS_MAX};
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = -errno;
  close(fd);
  return error;
}

// The text that comes with a negative acknowledgement, if any.
static const char *extack(const struct nlmsghdr *h, uint32_t *length) {
  const struct nlmsgerr *error = NLMSG_DATA(h);
  if (!(h->nlmsg_flags & NLM_F_ACK_TLVS)) return NULL;
  size_t at = NLMSG_HDRLEN + sizeof *error;
  if (!(h->nlmsg_flags & NLM_F_CAPPED) && error->msg.nlmsg_len > sizeof error->msg)
    at += NLMSG_ALIGN(error->msg.nlmsg_len - sizeof error->msg);
  while (at + sizeof(struct nlattr) <= h->nlmsg_len) {
    const struct nlattr *attr = (const struct nlattr *)((const char *)h + at);
    if (attr->nla_len < sizeof *attr || at + attr->nla_len > h->nlmsg_len) return NULL;
    if ((attr->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
      *length = attr->nla_len - (uint32_t)sizeof *attr;
      return (const char *)(attr + 1);
    }
    at += NLA_ALIGN(attr->nla_len);
  }
  return NULL;
}

struct exchange {
  uint32_t first, count;  // sequence numbers of this exchange
  uint32_t expected;      // acknowledgements and ends of dumps still to come
  int ignore;
  int error;              // the first negative one
};

static void take_error(struct run *r, struct exchange *x, const struct nlmsghdr *h) {
  const struct nlmsgerr *answer = NLMSG_DATA(h);
  uint32_t index = h->nlmsg_seq - 1;
  if (x->expected > 0) x->expected--;
  if (answer->error == 0 || -answer->error == x->ignore || x->error) return;
  x->error = answer->error;
  uint32_t length = 0;
  const char *text = extack(h, &length);
  if (text) run_fail(r, x->error, "netlink message %u: %.*s", index, (int)length, text);
  else run_fail(r, x->error, "netlink message %u: %s", index, strerror(-x->error));
}

// Reads one datagram; false when there is nothing (more) to read.
static int take_answers(struct run *r, int fd, struct exchange *x, char *buffer) {
  // After an error the kernel owes nothing (an nftables batch that was refused as a whole).
  ssize_t n;
  do n = recv(fd, buffer, ANSWER_BYTES, x->error ? MSG_DONTWAIT : 0);
  while (n < 0 && errno == EINTR && !run_interrupt_errno);
  if (n < 0 && errno == EAGAIN && x->error) return 0;
  if (n < 0 && errno == EAGAIN) return run_fail(r, -ETIMEDOUT, "the kernel did not answer");
  if (n < 0) return -errno;
  int left = (int)n;
  for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, (unsigned)left);
       h = NLMSG_NEXT(h, left)) {
    if (h->nlmsg_seq - x->first >= x->count) continue;
    if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
      take_error(r, x, h);
    } else if (h->nlmsg_type == NLMSG_DONE) {
      int32_t status = 0;
      if (h->nlmsg_len >= NLMSG_LENGTH(sizeof status)) memcpy(&status, NLMSG_DATA(h), 4);
      if (status < 0 && -status != x->ignore && !x->error) x->error = status;
      if (x->expected > 0) x->expected--;
    } else if (h->nlmsg_type >= NLMSG_MIN_TYPE) {
      int error = run_result(r, h, NLMSG_ALIGN(h->nlmsg_len));
      if (error) return error;
    }
  }
  return 1;
}

// Sends messages [data, data + length) and reads what belongs to them.
static int exchange(struct run *r, int fd, struct exchange *x, const void *data, size_t length,
                    char *buffer) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t n;
  do n = sendto(fd, data, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  while (n < 0 && errno == EINTR && !run_interrupt_errno);
  if (n < 0) return -errno;
  while (x->expected > 0) {
    int more = take_answers(r, fd, x, buffer);
    if (more < 0) return more;
    if (more == 0) break;
  }
  return x->error;
}

static int patch(struct run *r, uint8_t *data, uint32_t length, const struct field *patches) {
  struct cursor c = {(const uint8_t *)patches->ptr, (const uint8_t *)patches->ptr + patches->len,
                     false};
  for (uint32_t i = 0; i < patches->count; i++) {
    uint32_t offset = take_u32(&c);
    int32_t slot = (int32_t)take_u32(&c);
    uint8_t width = take_u8(&c);
    if (c.bad || offset > length || width > length - offset)
      return run_fail(r, -EINVAL, "patch %u is outside the message", i);
    if (r->slot[slot] < 0) return run_fail(r, -EBADF, "slot %d is empty", slot);
    memcpy(data + offset, &r->slot[slot], width);  // little-endian, as netlink on this machine
  }
  return 0;
}

// rtnetlink would go on after a failed message, so those go one at a time and stop at the first;
// an nftables batch (from BATCH_BEGIN to BATCH_END) is one transaction and one datagram.
static int walk(struct run *r, int fd, uint8_t *data, uint32_t length, bool batches, int ignore,
                char *buffer) {
  struct exchange x = {.first = 1, .ignore = ignore};
  uint32_t at = 0, start = 0;
  bool inside = false;
  while (at < length) {
    struct nlmsghdr *h = (struct nlmsghdr *)(data + at);
    if (length - at < sizeof *h || h->nlmsg_len < sizeof *h || h->nlmsg_len > length - at)
      return run_fail(r, -EINVAL, "malformed netlink message at offset %u", at);
    uint32_t size = NLMSG_ALIGN(h->nlmsg_len);
    if (size > length - at) size = length - at;
    h->nlmsg_seq = x.first + x.count++;
    h->nlmsg_pid = 0;
    bool dump = (h->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP && !inside;
    if (dump || h->nlmsg_flags & NLM_F_ACK) x.expected++;
    at += size;
    if (batches && h->nlmsg_type == NFNL_MSG_BATCH_BEGIN) inside = true;
    if (batches && h->nlmsg_type == NFNL_MSG_BATCH_END) inside = false;
    if (inside && at < length) continue;
    int error = exchange(r, fd, &x, data + start, at - start, buffer);
    if (error) return error;
    x = (struct exchange){.first = x.first + x.count, .ignore = ignore};
    start = at;
  }
  return 0;
}

int op_netlink(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int protocol = (int)f[A_NETLINK_PROTOCOL].num;
  uint32_t length = f[A_NETLINK_DATA].len;
  AUTO_CLOSE int fd = open_netlink(r, &f[A_NETLINK_NETNS], protocol);
  if (fd < 0) return fd;
  uint8_t *data = malloc((size_t)length + 16);  // the plan's bytes are not aligned
  char *buffer = malloc(ANSWER_BYTES);
  int error = data && buffer ? 0 : -ENOMEM;
  if (!error) memcpy(data, f[A_NETLINK_DATA].ptr, length);
  if (!error) error = patch(r, data, length, &f[A_NETLINK_PATCHES]);
  if (!error)
    error = walk(r, fd, data, length, protocol == NETLINK_NETFILTER,
                 (int)f[A_NETLINK_IGNORE].num, buffer);
  free(data);
  free(buffer);
  return error;
}

int op_interface_index(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const struct field *name = &f[A_INTERFACE_INDEX_NAME];
  struct ifreq request = {0};
  if (name->len >= sizeof request.ifr_name) return run_fail(r, -EINVAL, "%s", name->ptr);
  memcpy(request.ifr_name, name->ptr, name->len);
  AUTO_CLOSE int fd = socket_in(r, &f[A_INTERFACE_INDEX_NETNS], AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return fd;
  if (ioctl(fd, SIOCGIFINDEX, &request)) return run_fail(r, -errno, "interface %s", name->ptr);
  return run_store_number(r, &f[A_INTERFACE_INDEX_TO], request.ifr_ifindex);
}

#define HANDED_MAX 32
#define HAND_OVER_SECONDS_MAX 5

struct handed {
  int fd[HANDED_MAX];
  int count;
};

static int add_socket(struct handed *h, int family, int type) {
  if (h->count == HANDED_MAX) return -E2BIG;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  h->fd[h->count++] = fd;
  return fd;
}

// A socket of both families, or of IPv4 alone where the kernel lacks the other.
static int add_asking(struct handed *h, int type) {
  int off = 0, fd = add_socket(h, AF_INET6, type);
  if (fd < 0) return fd == -EAFNOSUPPORT ? add_socket(h, AF_INET, type) : fd;
  return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) ? -errno : fd;
}

// Runs inside the namespace. Its loopback interface may be down yet, hence IP_FREEBIND.
static int make_handed(const struct op *o, struct handed *h) {
  const struct field *f = o->fields;
  struct sockaddr_in own = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)f[A_HAND_SOCKETS_PORT].num)};
  memcpy(&own.sin_addr, f[A_HAND_SOCKETS_IP].ptr, sizeof own.sin_addr);
  for (int i = 0; i < 2; i++) {
    int on = 1, fd = add_socket(h, AF_INET, i == 0 ? SOCK_DGRAM : SOCK_STREAM);
    if (fd < 0) return fd;
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    if (i == 1) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&own, sizeof own)) return -errno;
    if (i == 1 && listen(fd, 128)) return -errno;
  }
  int fd = 0;
  for (int i = 0; i < f[A_HAND_SOCKETS_UDP].num && fd >= 0; i++) fd = add_asking(h, SOCK_DGRAM);
  for (int i = 0; i < f[A_HAND_SOCKETS_TCP].num && fd >= 0; i++) fd = add_asking(h, SOCK_STREAM);
  return fd < 0 ? fd : 0;
}

static int in_namespace(struct run *r, const struct op *o, struct handed *h) {
  int target = run_fd(r, &o->fields[A_HAND_SOCKETS_NETNS]);
  if (target < 0) return target;
  AUTO_CLOSE int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return run_fail(r, -errno, "own network namespace");
  if (setns(target, CLONE_NEWNET)) return run_fail(r, -errno, "joining the network namespace");
  int error = make_handed(o, h);
  if (setns(home, CLONE_NEWNET)) _exit(1);
  return error;
}

// Sends the line with the descriptors; the answer is the second line, after the greeting.
static int hand_over(int fd, const char *line, uint32_t length, const struct handed *h) {
  char control[CMSG_SPACE(sizeof h->fd)] = {0}, text[512];
  struct iovec parts[2] = {{(void *)(uintptr_t)line, length}, {"\n", 1}};
  struct msghdr message = {.msg_iov = parts,
                           .msg_iovlen = 2,
                           .msg_control = control,
                           .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)h->count)};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  *rights = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)h->count),
                             .cmsg_level = SOL_SOCKET,
                             .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(rights), h->fd, sizeof(int) * (size_t)h->count);
  if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) return -errno;
  size_t used = 0;
  for (;;) {
    ssize_t n = recv(fd, text + used, sizeof text - 1 - used, 0);
    if (n <= 0) return n < 0 ? -errno : -EPIPE;
    used += (size_t)n;
    text[used] = 0;
    char *second = strchr(text, '\n');
    if (!second || !strchr(second + 1, '\n')) {
      if (used == sizeof text - 1) return -EPROTO;
      continue;
    }
    char *word = strchr(second, ' ');
    if (word && strncmp(word, " ok ", 4) == 0) return 0;
    int error = word && strncmp(word, " error ", 7) == 0 ? atoi(word + 7) : 0;
    return error > 0 ? -error : -EPROTO;
  }
}

int op_hand_sockets(struct run *r, const struct op *o) {
  const struct field *f = o->fields, *path = &f[A_HAND_SOCKETS_PATH];
  const struct field *line = &f[A_HAND_SOCKETS_LINE];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path->len >= sizeof address.sun_path) return run_fail(r, -ENAMETOOLONG, "%s", path->ptr);
  if (f[A_HAND_SOCKETS_IP].len != 4) return run_fail(r, -EINVAL, "an IPv4 address is needed");
  memcpy(address.sun_path, path->ptr, path->len + 1);
  AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval limit = {.tv_sec = HAND_OVER_SECONDS_MAX};
  if (fd < 0) return -errno;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&address, sizeof address))
    return run_fail(r, -errno, "%s", path->ptr);
  struct handed h = {.count = 0};
  int error = in_namespace(r, o, &h);
  if (!error) error = hand_over(fd, line->ptr, line->len, &h);
  for (int i = 0; i < h.count; i++) close(h.fd[i]);
  return error ? run_fail(r, error, "handing sockets to %s", path->ptr) : 0;
}

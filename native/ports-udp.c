// The port holder's UDP side. A client of a listener gets a socket of its own, connected to the
// target, so that answers find their way back; they leave from the very address that the client
// had sent to (IP_PKTINFO). Sessions end after IDLE_SECONDS, or when there are too many.
#define _GNU_SOURCE
#include "ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define IDLE_SECONDS 90
#define SESSIONS_MAX 8192
#define BUCKETS 1024
#define DATAGRAMS_PER_TURN 64

struct session {
  struct handler handler;  // first
  int fd;
  struct listener *listener;
  union address client;
  struct in6_addr local;  // the address that the client sent to; v4 in the first four bytes
  unsigned interface;     // only where link-local addresses need it
  time_t used;
  struct session *next;            // of the bucket
  struct session *older, *newer;  // in order of use
};

static struct session *buckets[BUCKETS];
static struct session *oldest, *newest;
static int sessions;
static char datagram[65536];

static time_t now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static bool same_address(const union address *a, const union address *b) {
  if (a->any.sa_family != b->any.sa_family) return false;
  if (a->any.sa_family == AF_INET)
    return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
  return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
         memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0;
}

static unsigned bucket_of(const struct listener *listener, const union address *client) {
  uint32_t hash = (uint32_t)listener->fd * 2654435761u;
  const unsigned char *bytes = client->any.sa_family == AF_INET
                                   ? (const unsigned char *)&client->v4.sin_addr
                                   : (const unsigned char *)&client->v6.sin6_addr;
  unsigned length = client->any.sa_family == AF_INET ? 4 : 16;
  for (unsigned i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
  hash = (hash ^ client->v4.sin_port) * 16777619u;  // same place in both families
  return (hash ^ (hash >> 16)) % BUCKETS;
}

static void unlink_use(struct session *s) {
  *(s->older ? &s->older->newer : &oldest) = s->newer;
  *(s->newer ? &s->newer->older : &newest) = s->older;
}
static void link_newest(struct session *s) {
  s->newer = NULL;
  s->older = newest;
  *(newest ? &newest->newer : &oldest) = s;
  newest = s;
  s->used = now_seconds();
}

static void session_end(struct session *s) {
  struct session **at = &buckets[bucket_of(s->listener, &s->client)];
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  unlink_use(s);
  close(s->fd);
  s->fd = -1;
  sessions--;
  defer_free(&s->handler);
}

static void session_answer(struct session *s, size_t length) {
  struct iovec data = {datagram, length};
  union {
    char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_name = &s->client,
                           .msg_namelen = address_length(&s->client),
                           .msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control};
  if (s->client.any.sa_family == AF_INET) {
    struct in_pktinfo from = {.ipi_ifindex = 0};
    memcpy(&from.ipi_spec_dst, &s->local, 4);
    control.align = (struct cmsghdr){CMSG_LEN(sizeof from), IPPROTO_IP, IP_PKTINFO};
    memcpy(CMSG_DATA(&control.align), &from, sizeof from);
    message.msg_controllen = CMSG_SPACE(sizeof from);
  } else {
    struct in6_pktinfo from = {.ipi6_addr = s->local, .ipi6_ifindex = s->interface};
    control.align = (struct cmsghdr){CMSG_LEN(sizeof from), IPPROTO_IPV6, IPV6_PKTINFO};
    memcpy(CMSG_DATA(&control.align), &from, sizeof from);
    message.msg_controllen = CMSG_SPACE(sizeof from);
  }
  sendmsg(s->listener->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void session_run(struct handler *self, uint32_t events) {
  (void)events;
  struct session *s = (struct session *)self;
  for (int turn = 0; turn < DATAGRAMS_PER_TURN && s->fd >= 0; turn++) {
    ssize_t length = recv(s->fd, datagram, sizeof datagram, MSG_DONTWAIT);
    // ECONNREFUSED: nobody listens in the container now; the next datagram may find someone.
    if (length < 0) return;
    session_answer(s, (size_t)length);
  }
  if (s->fd < 0) return;
  unlink_use(s);
  link_newest(s);
}

static struct session *session_find(struct listener *listener, const union address *target,
                                    const union address *client,
                                    const struct in6_addr *local, unsigned interface) {
  unsigned bucket = bucket_of(listener, client);
  for (struct session *s = buckets[bucket]; s; s = s->next)
    if (s->listener == listener && same_address(&s->client, client) &&
        memcmp(&s->local, local, sizeof *local) == 0)
      return s;
  if (sessions >= SESSIONS_MAX) session_end(oldest);
  struct session *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  int kind = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  s->fd = socket(target->any.sa_family, kind, 0);
  if (s->fd < 0 && (errno == EMFILE || errno == ENFILE) && oldest) {
    session_end(oldest);
    s->fd = socket(target->any.sa_family, kind, 0);
  }
  s->handler.run = session_run;
  if (s->fd < 0 || connect(s->fd, &target->any, address_length(target)) < 0 ||
      watch(s->fd, &s->handler, EPOLLIN) < 0) {
    if (s->fd >= 0) close(s->fd);
    free(s);
    return NULL;
  }
  s->listener = listener;
  s->client = *client;
  s->local = *local;
  s->interface = interface;
  s->next = buckets[bucket];
  buckets[bucket] = s;
  sessions++;
  link_newest(s);
  return s;
}

static void read_local(struct msghdr *message, struct in6_addr *local, unsigned *interface) {
  memset(local, 0, sizeof *local);
  *interface = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo to;
      memcpy(&to, CMSG_DATA(c), sizeof to);
      memcpy(local, &to.ipi_spec_dst, 4);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo to;
      memcpy(&to, CMSG_DATA(c), sizeof to);
      *local = to.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(local)) *interface = to.ipi6_ifindex;
    }
  }
}

void udp_receive(struct handler *self, uint32_t events) {
  (void)events;
  struct listener *listener = (struct listener *)self;
  for (int turn = 0; turn < DATAGRAMS_PER_TURN && listener->fd >= 0; turn++) {
    union address client = {0};
    struct iovec data = {datagram, sizeof datagram};
    char control[128] __attribute__((aligned(sizeof(size_t))));
    struct msghdr message = {.msg_name = &client,
                             .msg_namelen = sizeof client,
                             .msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t length = recvmsg(listener->fd, &message, MSG_DONTWAIT);
    if (length < 0) return;
    const union address *target = target_of(listener, &client);
    if (!target) continue;
    struct in6_addr local;
    unsigned interface;
    read_local(&message, &local, &interface);
    struct session *s = session_find(listener, target, &client, &local, interface);
    if (!s) continue;
    send(s->fd, datagram, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    unlink_use(s);
    link_newest(s);
  }
}

int udp_prepare(int fd, int family) {
  int on = 1;
  return family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on)
                           : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
}

void udp_forget(struct listener *listener) {
  for (struct session *s = oldest; s;) {
    struct session *next = s->newer;
    if (s->listener == listener) session_end(s);
    s = next;
  }
}

int udp_expire(void) {
  time_t now = now_seconds();
  while (oldest && oldest->used + IDLE_SECONDS <= now) session_end(oldest);
  return oldest ? (int)(oldest->used + IDLE_SECONDS - now) * 1000 : -1;
}

// The port holder, `gantry-native ports SOCKET [IDLE_MS]`: really binds every published port, so
// that nobody else can take it, and carries what nftables cannot (127.0.0.1, ::1, IPv6 to IPv4,
// hosts without nftables). It outlives the daemon, which reconnects and asks for the list, and
// ends when it is told to, or when it holds nothing and nobody has been connected for IDLE_MS.
//
// SOCKET speaks lines of text, one request a line, each answered by `ID ok [COUNT]` or
// `ID error ERRNO`:
//   ID bind KEY tcp|udp|sctp IP PORT TARGET-IP TARGET-PORT [COUNT [TARGET-IP4]]
//   ID unbind KEY [tcp|udp|sctp IP PORT [COUNT]]
//   ID list          answers `ID item KEY PROTOCOL IP PORT TARGET-IP TARGET-PORT` for each first
// What is bound again only changes its target. COUNT ports in a row are bound all or none. With
// TARGET-IP4, IP is ::, and its sockets take IPv4 too, for that target: half the sockets.
//   ID stop
#define _GNU_SOURCE
#include "ports.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX 512
#define IDLE_MS_DEFAULT 10000
#define BACKLOG 1024

#define BUCKETS 4096  // by port

static struct listener *listeners;
static struct listener *buckets[BUCKETS];

static unsigned bucket_of(const union address *bound) {
  return ntohs(bound->v4.sin_port) % BUCKETS;
}

static void add_listener(struct listener *l) {
  l->next = listeners;
  if (listeners) listeners->previous = l;
  listeners = l;
  struct listener **bucket = &buckets[bucket_of(&l->bound)];
  l->next_same = *bucket;
  *bucket = l;
}

static void end_listener(struct listener *l) {
  *(l->previous ? &l->previous->next : &listeners) = l->next;
  if (l->next) l->next->previous = l->previous;
  struct listener **at = &buckets[bucket_of(&l->bound)];
  while (*at != l) at = &(*at)->next_same;
  *at = l->next_same;
  if (l->protocol == IPPROTO_UDP) udp_forget(l);
  close(l->fd);
  l->fd = -1;
  defer_free(&l->handler);
}

const union address *target_of(const struct listener *l, const union address *client) {
  const union address *target = &l->target;
  if (l->dual) {
    bool four = client->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&client->v6.sin6_addr);
    if (four ? l->without4 : l->without6) return NULL;
    if (four) target = &l->target4;
  }
  return target->any.sa_family == AF_UNSPEC ? NULL : target;
}

static const char *protocol_name(int protocol) {
  return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "sctp";
}
static int protocol_number(const char *name) {
  if (strcmp(name, "tcp") == 0) return IPPROTO_TCP;
  if (strcmp(name, "udp") == 0) return IPPROTO_UDP;
  return strcmp(name, "sctp") == 0 ? IPPROTO_SCTP : -1;
}

static bool is_any(const union address *a) {
  return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == INADDR_ANY
                                     : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}
static bool is_loopback(const union address *a) {
  return a->any.sa_family == AF_INET ? (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127
                                     : IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

// Returns a bound (and, but for UDP, listening) socket or a negative errno.
static int open_port(int protocol, const union address *bound, bool dual) {
  int family = bound->any.sa_family, on = 1, only6 = !dual;
  int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Whatever routes and sysctls say, and with no firewall: nothing but loopback gets in.
  if (is_loopback(bound)) setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo");
  if (bind(fd, &bound->any, address_length(bound)) < 0 ||
      (type == SOCK_STREAM ? listen(fd, BACKLOG) : udp_prepare(fd, family)) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

// A socket for both families is also found by 0.0.0.0.
static struct listener *find_listener(int protocol, const union address *bound) {
  for (struct listener *l = buckets[bucket_of(bound)]; l; l = l->next_same) {
    if (l->protocol != protocol) continue;
    if (memcmp(&l->bound, bound, sizeof *bound) == 0) return l;
    if (l->dual && bound->any.sa_family == AF_INET && is_any(bound) &&
        l->bound.v6.sin6_port == bound->v4.sin_port)
      return l;
  }
  return NULL;
}

struct wish {
  const char *key;
  int protocol;
  union address bound, target, target4;
  bool dual;
};

static int change_target(struct listener *l, const struct wish *w) {
  if (strcmp(l->key, w->key) != 0) return -EADDRINUSE;
  if (l->protocol == IPPROTO_UDP) udp_forget(l);
  if (l->dual && w->bound.any.sa_family == AF_INET) {
    l->target4 = w->target;
    l->without4 = false;
    return 0;
  }
  // What was bound for one family alone does not become dual by asking again.
  if (w->dual && !l->dual) return -EADDRINUSE;
  l->target = w->target;
  l->without6 = false;
  if (w->dual) {
    l->target4 = w->target4;
    l->without4 = false;
  }
  return 0;
}

static int bind_one(const struct wish *w) {
  struct listener *l = find_listener(w->protocol, &w->bound);
  if (l) return change_target(l, w);
  int fd = open_port(w->protocol, &w->bound, w->dual);
  if (fd < 0) return fd;
  l = calloc(1, sizeof *l);
  if (!l) {
    close(fd);
    return -ENOMEM;
  }
  l->handler.run = w->protocol == IPPROTO_UDP ? udp_receive : tcp_accept;
  l->fd = fd;
  l->protocol = w->protocol;
  l->bound = w->bound;
  l->target = w->target;
  l->target4 = w->target4;
  l->dual = w->dual;
  strcpy(l->key, w->key);
  if (watch(fd, &l->handler, EPOLLIN) < 0) {
    int error = errno;
    close(fd);
    free(l);
    return -error;
  }
  add_listener(l);
  return 1;
}

static void step(union address *a, int by) {  // same place in both families
  a->v4.sin_port = htons((uint16_t)(ntohs(a->v4.sin_port) + by));
}

// COUNT, where it is among the words; else 1. The ports of a row end at 65535.
static int count_of(const char *word, const union address *first) {
  char *end;
  long count = word ? strtol(word, &end, 10) : 1;
  if (word && (*word < '0' || *word > '9' || *end)) return -EINVAL;
  return count < 1 || ntohs(first->v4.sin_port) + count > 65536 ? -EINVAL : (int)count;
}

static int bind_ports(char **words, int count) {
  struct wish w = {.key = words[0]};
  if (count < 6 || count > 8) return -EINVAL;
  w.protocol = protocol_number(words[1]);
  w.dual = count == 8;
  if (w.protocol < 0 || strlen(w.key) >= sizeof(((struct listener *)0)->key)) return -EINVAL;
  if (parse_address(words[2], words[3], &w.bound) < 0 || w.bound.any.sa_family == AF_UNSPEC ||
      w.bound.v4.sin_port == 0 || parse_address(words[4], words[5], &w.target) < 0 ||
      (w.dual && parse_address(words[7], words[5], &w.target4) < 0))
    return -EINVAL;
  if (w.dual && (w.bound.any.sa_family != AF_INET6 || !is_any(&w.bound))) return -EINVAL;
  int ports = count_of(count > 6 ? words[6] : NULL, &w.bound);
  if (ports < 0) return ports;
  struct listener *before = listeners;  // newer ones come before it
  for (int n = 0; n < ports; n++) {
    int error = bind_one(&w);
    if (error < 0) {
      while (listeners != before) end_listener(listeners);
      return error;
    }
    step(&w.bound, 1);
    if (w.target.any.sa_family != AF_UNSPEC) step(&w.target, 1);
    if (w.target4.any.sa_family != AF_UNSPEC) step(&w.target4, 1);
  }
  return 0;
}

static int unbind_all(const char *key) {
  int gone = 0;
  for (struct listener *l = listeners; l;) {
    struct listener *next = l->next;
    if (strcmp(l->key, key) == 0) {
      end_listener(l);
      gone++;
    }
    l = next;
  }
  return gone;
}

// Returns how many ports were let go. Connections that live go on until they end.
static int unbind_ports(char **words, int count) {
  if (count == 1) return unbind_all(words[0]);
  union address bound;
  int protocol = count == 4 || count == 5 ? protocol_number(words[1]) : -1, gone = 0;
  if (protocol < 0 || parse_address(words[2], words[3], &bound) < 0) return -EINVAL;
  if (bound.any.sa_family == AF_UNSPEC) return -EINVAL;
  int ports = count_of(count > 4 ? words[4] : NULL, &bound);
  if (ports < 0) return ports;
  for (int n = 0; n < ports; n++, step(&bound, 1)) {
    struct listener *l = find_listener(protocol, &bound);
    if (!l || strcmp(l->key, words[0]) != 0) continue;
    gone++;
    if (l->dual) *(bound.any.sa_family == AF_INET ? &l->without4 : &l->without6) = true;
    if (!l->dual || (l->without4 && l->without6)) end_listener(l);
  }
  return gone;
}

static void list_one(struct client *c, const char *id, const struct listener *l,
                     const union address *bound, const union address *target) {
  char from[64], to[64];
  format_address(bound, from, sizeof from);
  format_address(target, to, sizeof to);
  answer(c, "%s item %s %s %s %s\n", id, l->key, protocol_name(l->protocol), from, to);
}

static int list_ports(struct client *c, const char *id) {
  int count = 0;
  for (struct listener *l = listeners; l; l = l->next, count++) {
    if (!l->without6) list_one(c, id, l, &l->bound, &l->target);
    if (!l->dual || l->without4) continue;
    union address any4 = {.v4 = {.sin_family = AF_INET, .sin_port = l->bound.v6.sin6_port}};
    list_one(c, id, l, &any4, &l->target4);
  }
  return count;
}

static int handle(struct client *c, const char *id, char **words, int count) {
  if (strcmp(words[0], "bind") == 0) return bind_ports(words + 1, count - 1);
  if (strcmp(words[0], "unbind") == 0) return unbind_ports(words + 1, count - 1);
  if (strcmp(words[0], "list") == 0) return list_ports(c, id);
  if (strcmp(words[0], "stop") != 0) return -EINVAL;
  resident_stop();
  return 0;
}

static int turn(void) { return tcp_turns() ? 0 : udp_expire(); }
static bool holds(void) { return listeners != NULL; }

int ports_main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: gantry-native ports SOCKET [IDLE_MS]\n");
    return 2;
  }
  static const struct service service = {
      .title = "gantry-ports",
      .greeting = "gantry-ports 1",
      .line_bytes_max = LINE_BYTES_MAX,
      .line = handle,
      .turn = turn,
      .holds = holds,
      .capabilities = 1u << CAP_NET_BIND_SERVICE,
  };
  return resident_main(&service, argv[1], argc > 2 ? atoi(argv[2]) : IDLE_MS_DEFAULT);
}

// The port holder, `gantry-native ports SOCKET [IDLE_MS]`: really binds every published port, so
// that nobody else can take it, and carries what nftables cannot (127.0.0.1, ::1, IPv6 to IPv4,
// hosts without nftables). It outlives the daemon, which reconnects and asks for the list, and
// ends when it is told to, or when it holds nothing and nobody has been connected for IDLE_MS.
//
// SOCKET speaks lines of text, one request a line, each answered by `ID ok [COUNT]` or
// `ID error ERRNO`:
//   ID bind KEY tcp|udp|sctp IP PORT TARGET-IP TARGET-PORT   (again: only the target changes)
//   ID unbind KEY [tcp|udp|sctp IP PORT]
//   ID list          answers `ID item KEY PROTOCOL IP PORT TARGET-IP TARGET-PORT` for each first
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

static struct listener *listeners;

static const char *protocol_name(int protocol) {
  return protocol == IPPROTO_TCP ? "tcp" : protocol == IPPROTO_UDP ? "udp" : "sctp";
}
static int protocol_number(const char *name) {
  if (strcmp(name, "tcp") == 0) return IPPROTO_TCP;
  if (strcmp(name, "udp") == 0) return IPPROTO_UDP;
  return strcmp(name, "sctp") == 0 ? IPPROTO_SCTP : -1;
}

// Returns a bound (and, but for UDP, listening) socket or a negative errno.
static int open_port(int protocol, const union address *bound) {
  int family = bound->any.sa_family, on = 1;
  int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &bound->any, address_length(bound)) < 0 ||
      (type == SOCK_STREAM ? listen(fd, BACKLOG) : udp_prepare(fd, family)) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

static struct listener *find_listener(int protocol, const union address *bound) {
  for (struct listener *l = listeners; l; l = l->next)
    if (l->protocol == protocol && memcmp(&l->bound, bound, sizeof *bound) == 0) return l;
  return NULL;
}

static int bind_port(char **words, int count) {
  union address bound, target;
  int protocol = count == 6 ? protocol_number(words[1]) : -1;
  if (protocol < 0 || strlen(words[0]) >= sizeof(((struct listener *)0)->key)) return -EINVAL;
  if (parse_address(words[2], words[3], &bound) < 0 || bound.any.sa_family == AF_UNSPEC ||
      bound.v4.sin_port == 0 || parse_address(words[4], words[5], &target) < 0)
    return -EINVAL;
  struct listener *l = find_listener(protocol, &bound);
  if (l && strcmp(l->key, words[0]) != 0) return -EADDRINUSE;
  if (l) {
    if (protocol == IPPROTO_UDP) udp_forget(l);
    l->target = target;
    return 0;
  }
  int fd = open_port(protocol, &bound);
  if (fd < 0) return fd;
  l = calloc(1, sizeof *l);
  if (!l) {
    close(fd);
    return -ENOMEM;
  }
  l->handler.run = protocol == IPPROTO_UDP ? udp_receive : tcp_accept;
  l->fd = fd;
  l->protocol = protocol;
  l->bound = bound;
  l->target = target;
  strcpy(l->key, words[0]);
  if (watch(fd, &l->handler, EPOLLIN) < 0) {
    int error = errno;
    close(fd);
    free(l);
    return -error;
  }
  l->next = listeners;
  listeners = l;
  return 0;
}

// Returns how many ports were let go. Connections that live go on until they end.
static int unbind_ports(char **words, int count) {
  union address bound;
  int protocol = 0, gone = 0;
  if (count != 1 && count != 4) return -EINVAL;
  if (count == 4) {
    protocol = protocol_number(words[1]);
    if (protocol < 0 || parse_address(words[2], words[3], &bound) < 0) return -EINVAL;
  }
  for (struct listener **at = &listeners; *at;) {
    struct listener *l = *at;
    if (strcmp(l->key, words[0]) != 0 ||
        (count == 4 && (l->protocol != protocol || memcmp(&l->bound, &bound, sizeof bound) != 0))) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    if (l->protocol == IPPROTO_UDP) udp_forget(l);
    close(l->fd);
    l->fd = -1;
    defer_free(&l->handler);
    gone++;
  }
  return gone;
}

static int list_ports(struct client *c, const char *id) {
  int count = 0;
  for (struct listener *l = listeners; l; l = l->next, count++) {
    char bound[64], target[64];
    format_address(&l->bound, bound, sizeof bound);
    format_address(&l->target, target, sizeof target);
    answer(c, "%s item %s %s %s %s\n", id, l->key, protocol_name(l->protocol), bound, target);
  }
  return count;
}

static int handle(struct client *c, const char *id, char **words, int count) {
  if (strcmp(words[0], "bind") == 0) return bind_port(words + 1, count - 1);
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

// `gantry-native firewall-watch TABLE`: says `changed` on standard output when tables, chains or
// rules of nftables change that are not TABLE's own, or TABLE itself is deleted (which replacing
// it is, too). A burst of changes is one line. Ends with its daemon: when standard input does.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUIET_MS 30
#define BURST_ROUNDS_MAX 20

static const char *own_table;
static char buffer[64 << 10];

static const char *table_of(const struct nlmsghdr *h) {
  size_t at = NLMSG_LENGTH(sizeof(struct nfgenmsg));
  while (at + sizeof(struct nlattr) <= h->nlmsg_len) {
    const struct nlattr *attr = (const struct nlattr *)((const char *)h + at);
    if (attr->nla_len < sizeof *attr || at + attr->nla_len > h->nlmsg_len) break;
    // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE
    if ((attr->nla_type & NLA_TYPE_MASK) == 1 && attr->nla_len > sizeof *attr &&
        ((const char *)attr)[attr->nla_len - 1] == 0)
      return (const char *)(attr + 1);
    at += NLA_ALIGN(attr->nla_len);
  }
  return "";
}

static bool matters(const struct nlmsghdr *h) {
  if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES) return false;
  switch (h->nlmsg_type & 0xff) {
    case NFT_MSG_DELTABLE:
      return true;
    case NFT_MSG_NEWTABLE:
    case NFT_MSG_NEWCHAIN:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_NEWRULE:
    case NFT_MSG_DELRULE:
      return strcmp(table_of(h), own_table) != 0;
    default:
      return false;
  }
}

// Reads one datagram. Returns 1 when something in it matters, 0 when not, -1 when it is over.
static int take(int fd) {
  ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == ENOBUFS) return 1;  // some were lost
  if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  int left = (int)n;
  for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, (unsigned)left);
       h = NLMSG_NEXT(h, left))
    if (matters(h)) return 1;
  return 0;
}

static int say(const char *line) {
  size_t length = strlen(line);
  return write(1, line, length) == (ssize_t)length ? 0 : -1;
}

static int watch_tables(int fd) {
  for (;;) {
    struct pollfd ready[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return 1;
    char byte;
    if (ready[1].revents && read(0, &byte, 1) <= 0) return 0;
    if (!ready[0].revents) continue;
    int found = take(fd);
    if (found < 0) return 1;
    if (found == 0) continue;
    for (int round = 0; round < BURST_ROUNDS_MAX && poll(ready, 1, QUIET_MS) > 0; round++)
      if (take(fd) < 0) return 1;
    if (say("changed\n")) return 0;
  }
}

int firewall_watch_main(int argc, char **argv) {
  if (argc < 2) {
    dprintf(2, "usage: gantry-native firewall-watch TABLE\n");
    return 2;
  }
  own_table = argv[1];
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  int group = NFNLGRP_NFTABLES;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group)) {
    dprintf(2, "gantry-native: cannot watch nftables: %s\n", strerror(errno));
    return 1;
  }
  if (say("ready\n")) return 0;
  return watch_tables(fd);
}

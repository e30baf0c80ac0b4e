// Private to the port holder (ports.c, ports-tcp.c, ports-udp.c): one process, one epoll, no
// thread. Everything that epoll can report is a `handler`; what is freed while events are being
// handled goes through `defer_free`, since a later event of the same batch may still point at it.
#ifndef GANTRY_PORTS_H
#define GANTRY_PORTS_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct handler {
  void (*run)(struct handler *self, uint32_t events);
  struct handler *next_freed;
};

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

// A published port: a bound socket, and where its traffic goes.
struct listener {
  struct handler handler;
  int fd;
  int protocol;  // IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP
  union address bound;
  union address target;
  char key[72];  // whose it is: an endpoint id
  struct listener *next;
};

socklen_t address_length(const union address *a);
int watch(int fd, struct handler *handler, uint32_t events);
void defer_free(struct handler *handler);
// Accepts without blocking. When descriptors have run out, the connection is dropped, not left
// to wake us for ever.
int accept_one(int fd);

// TCP: carries each accepted connection to the target until both directions have ended.
void tcp_accept(struct handler *self, uint32_t events);
// Goes on with connections that had more to carry than one turn allows; true while some have.
bool tcp_turns(void);

// UDP: one connected socket for each client of a listener, forgotten when idle.
int udp_prepare(int fd, int family);
void udp_receive(struct handler *self, uint32_t events);
void udp_forget(struct listener *listener);
// Forgets idle sessions; returns milliseconds until the next one is due, or -1.
int udp_expire(void);

#endif

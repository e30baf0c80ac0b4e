// Private to the port holder (ports.c, ports-tcp.c, ports-udp.c).
#ifndef GANTRY_PORTS_H
#define GANTRY_PORTS_H
#include "resident.h"

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

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
  union address target4;  // of `dual`: for its IPv4 clients
  bool dual;              // one socket for 0.0.0.0 and ::
  bool without4, without6;  // of `dual`: a half that was let go
  char key[72];           // whose it is: an endpoint id
  struct listener *next, *previous;
  struct listener *next_same;  // of the bucket of its port
};

// Where a client's traffic goes; NULL where it is not wanted (any more).
const union address *target_of(const struct listener *listener, const union address *client);

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

// What the resident helpers share (the port holder, the resolver): one process, one epoll, no
// thread, and a control socket that speaks lines of text. Everything that epoll can report is a
// `handler`; what is freed while events are being handled goes through `defer_free`, since a later
// event of the same batch may still point at it.
#ifndef GANTRY_RESIDENT_H
#define GANTRY_RESIDENT_H
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define WORDS_MAX 10
#define CLIENT_FDS_MAX 32

struct handler {
  void (*run)(struct handler *self, uint32_t events);
  struct handler *next_freed;
};

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct client;

// How a resident process presents itself, and what it does with a line. `line` returns a count for
// `ID ok COUNT`, or a negative errno. Descriptors that came with a line wait in client_take_fds().
struct service {
  const char *title;     // of the process
  const char *greeting;  // the first line, before the pid
  size_t line_bytes_max;
  int (*line)(struct client *c, const char *id, char **words, int count);
  void (*start)(void);  // once, when epoll is there; may be NULL
  // Runs once a turn before waiting; returns milliseconds until something is due, 0 to go round
  // again at once, or -1.
  int (*turn)(void);
  bool (*holds)(void);        // whether there is a reason to live on with nobody connected
  uint64_t capabilities;      // what it keeps
};

socklen_t address_length(const union address *a);
// "-" is AF_UNSPEC. Returns 0 or -EINVAL.
int parse_address(const char *ip, const char *port, union address *a);
void format_address(const union address *a, char *out, size_t size);

int watch(int fd, struct handler *handler, uint32_t events);
void unwatch(int fd);
void defer_free(struct handler *handler);
// Accepts without blocking. When descriptors have run out, the connection is dropped, not left
// to wake us for ever.
int accept_one(int fd);
int64_t now_ms(void);

__attribute__((format(printf, 2, 3))) void answer(struct client *c, const char *format, ...);
// Moves the descriptors that came so far into `fds`; returns how many.
int client_take_fds(struct client *c, int *fds, int max);
void resident_stop(void);

// `ready PID` or `error ERRNO` goes to standard output before the first client is served.
int resident_main(const struct service *service, const char *path, int idle_ms);

#endif

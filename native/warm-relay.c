// The bytes between a caller's process and the process that works for it: output is written where
// the caller has it, stdin is read when it is wanted, the rest is each program's own affair.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "warm.h"

#define CHUNK 65536

static const struct warm_caller *caller;
static int sock;
static int stdin_wanted;

static void look_around(void) {
  if (caller->between) caller->between();
}

static int receive_all(void *data, size_t length) {
  char *bytes = data;
  while (length > 0) {
    look_around();
    ssize_t n = recv(sock, bytes, length, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    bytes += n;
    length -= (size_t)n;
  }
  return 0;
}

static int write_out(int fd, const uint8_t *data, size_t length) {
  while (length > 0) {
    look_around();
    ssize_t n = write(fd, data, length);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (n < 0 && errno == EAGAIN) poll(&wait, 1, -1);
    else if (n < 0 && errno != EINTR) return -1;
    if (n < 0) continue;
    data += n;
    length -= (size_t)n;
  }
  return 0;
}

// A result of WARM_GO_ON goes on, WARM_LOST ends without an answer, others are the exit code.
static int take_frame(void) {
  static uint8_t *body;
  static uint32_t capacity;
  unsigned char head[5];
  if (receive_all(head, sizeof head) != 0) return WARM_LOST;
  uint32_t length = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
  if (length > WARM_FRAME_BYTES_MAX) return WARM_LOST;
  if (length > capacity) {
    body = realloc(body, capacity = length);
    if (!body) return WARM_LOST;
  }
  if (length > 0 && receive_all(body, length) != 0) return WARM_LOST;
  switch (head[0]) {
    case WARM_STDOUT_DATA:
    case WARM_STDERR_DATA:
      return write_out(head[0] == WARM_STDOUT_DATA ? 1 : 2, body, length) == 0 ? WARM_GO_ON : 1;
    case WARM_EXIT: return length >= 1 ? body[0] : 1;
    case WARM_STDIN_WANTED: stdin_wanted = length >= 1 && body[0]; return WARM_GO_ON;
    default: return caller->frame(head[0], body, length);
  }
}

// Reads stdin once, when it is wanted: what is not asked for stays where it is.
static void relay_stdin(void) {
  static char chunk[CHUNK];
  ssize_t n = read(0, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  stdin_wanted = 0;
  if (n > 0) warm_send(sock, WARM_STDIN_DATA, chunk, (uint32_t)n);
  else warm_send(sock, WARM_STDIN_END, NULL, 0);
}

int warm_relay(int to, const struct warm_caller *program) {
  caller = program;
  sock = to;
  for (;;) {
    look_around();
    struct pollfd fds[3] = {{.fd = sock, .events = POLLIN},
                            {.fd = stdin_wanted ? 0 : -1, .events = POLLIN},
                            {.fd = caller->watched ? caller->watched() : -1, .events = POLLIN}};
    if (poll(fds, 3, -1) < 0) {
      if (errno == EINTR) continue;
      return WARM_LOST;
    }
    if (fds[0].revents) {
      int code = take_frame();
      if (code != WARM_GO_ON) return code;
    }
    if (fds[1].revents) relay_stdin();
    if (fds[2].revents) caller->event();
  }
}

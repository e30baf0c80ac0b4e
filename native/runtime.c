// gantry-runtime: what other engines start as their OCI runtime. TypeScript in a warm process (or
// in plain Node beneath this one) reads the configuration and decides; this process has what only
// the caller's own child can have: its streams, its terminal, its descriptors, and the container as
// its child, which becomes the caller's (or its subreaper's) when this one ends. It runs the plans
// that it is sent, one at a time, as the spawner does, and relays the rest like launcher.c.
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "warm.h"
#include "wire.h"

#define CHUNK 65536
#define EXIT_LOST 1

static const struct warm_program program = {"runtime", "bin/gantry-runtime.ts",
                                            "bin/gantry-runtime.ts"};
static int sock = -1;
// Node beneath this process, for one call: it answers on its fd 3 as a warm process does.
static int start_plain(int argc, char **argv) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -1;
  pid_t pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    int kept = fcntl(pair[1], F_DUPFD, 4);
    dup2(kept, 3);
    close_range(4, ~0u, 0);
    warm_environment();
    char *args[] = {(char *)warm_node(), "--disable-warning=ExperimentalWarning",
                    (char *)warm_bundle(&program, program.entry), "--gantry-call", NULL};
    execv(args[0], args);
    dprintf(2, "gantry-runtime: cannot run %s: %s\n", args[0], strerror(errno));
    _exit(1);
  }
  close(pair[1]);
  uint8_t head[5];
  if (warm_hello(pair[0], argc, argv, "") || read_exact(pair[0], head, sizeof head)) return -1;
  return head[0] == WARM_ACCEPT ? pair[0] : -1;
}

static int receive_all(void *data, size_t length) {
  char *bytes = data;
  while (length > 0) {
    ssize_t n = recv(sock, bytes, length, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    bytes += n;
    length -= (size_t)n;
  }
  return 0;
}

static int lost(void) {
  dprintf(2, "gantry-runtime: lost the connection to the process that decides\n");
  return EXIT_LOST;
}

static int answer_native(uint8_t *body, uint32_t length) {
  struct out answer = {0};
  runtime_native(body, length, &answer);
  uint32_t bytes = (uint32_t)answer.length;
  int error = answer.bad || warm_send(sock, WARM_NATIVE_ANSWER, answer.data, bytes);
  out_free(&answer);
  return error ? lost() : -1;
}

// A result of -1 goes on, others are the exit code.
static int handle_frame(int *stdin_wanted) {
  unsigned char head[5];
  if (receive_all(head, sizeof head)) return lost();
  uint32_t length = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
  uint8_t *body = length <= WARM_FRAME_BYTES_MAX ? malloc((size_t)length + 1) : NULL;
  if (!body || receive_all(body, length)) return lost();
  int result = -1;
  switch (head[0]) {
    case WARM_STDOUT_DATA:
    case WARM_STDERR_DATA:
      if (write_fully(head[0] == WARM_STDOUT_DATA ? 1 : 2, body, length)) result = 1;
      break;
    case WARM_EXIT: result = length ? body[0] : 1; break;
    case WARM_STDIN_WANTED: *stdin_wanted = length && body[0]; break;
    case WARM_RAW: break;
    case WARM_CATCH:
      if (length && body[0]) runtime_keep_signals();
      break;
    case WARM_NATIVE: result = answer_native(body, length); break;
    default: result = lost();
  }
  free(body);
  return result;
}

static void relay_stdin(int *wanted) {
  static char chunk[CHUNK];
  ssize_t n = read(0, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  *wanted = 0;
  if (n > 0) warm_send(sock, WARM_STDIN_DATA, chunk, (uint32_t)n);
  else warm_send(sock, WARM_STDIN_END, NULL, 0);
}

static int relay(void) {
  int stdin_wanted = 0;
  for (;;) {
    struct pollfd fds[2] = {{.fd = sock, .events = POLLIN},
                            {.fd = stdin_wanted ? 0 : -1, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return lost();
    }
    if (fds[0].revents) {
      int code = handle_frame(&stdin_wanted);
      if (code >= 0) return code;
    }
    if (fds[1].revents) relay_stdin(&stdin_wanted);
  }
}

int runtime_main(int argc, char **argv) {
  const char *plain = getenv("GANTRY_PLAIN");
  bool identified = warm_identify(&program) == 0;
  if (identified && !(plain && *plain)) sock = warm_call(&program, argc, argv);
  if (sock < 0) sock = start_plain(argc, argv);
  if (sock < 0) {
    dprintf(2, "gantry-runtime: Node cannot be started: run bin/gantry once in %s\n", warm_root);
    return 1;
  }
  return relay();
}

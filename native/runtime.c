// gantry-runtime: what other engines start as their OCI runtime. TypeScript in a warm process (or
// in plain Node beneath this one) reads the configuration and decides; this process has what only
// the caller's own child can have: its streams, its terminal, its descriptors, and the container as
// its child, which becomes the caller's (or its subreaper's) when this one ends. It runs the plans
// that it is sent, one at a time, as the spawner does, and relays the rest like launcher.c.
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "warm.h"
#include "wire.h"

#define EXIT_LOST 1

static const struct warm_program program = {"runtime", "bin/gantry-runtime.ts",
                                            "bin/gantry-runtime.ts", 1};
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

static int answer_native(uint8_t *body, uint32_t length) {
  struct out answer = {0};
  runtime_native(body, length, &answer);
  uint32_t bytes = (uint32_t)answer.length;
  int error = answer.bad || warm_send(sock, WARM_NATIVE_ANSWER, answer.data, bytes);
  out_free(&answer);
  return error ? WARM_LOST : WARM_GO_ON;
}

static int take_frame(uint8_t type, uint8_t *body, uint32_t length) {
  switch (type) {
    case WARM_NATIVE: return answer_native(body, length);
    case WARM_CATCH:
      if (length > 0 && body[0]) runtime_keep_signals();
      return WARM_GO_ON;
    case WARM_RAW: return WARM_GO_ON;  // the terminal is the container's while it is relayed
    default: return WARM_LOST;
  }
}

static void tell_event(void) {
  uint8_t event = (uint8_t)runtime_event();
  if (event) warm_send(sock, WARM_NATIVE_EVENT, &event, 1);
}

static int relay(void) {
  static const struct warm_caller self = {
      .frame = take_frame, .watched = runtime_watched, .event = tell_event};
  int code = warm_relay(sock, &self);
  if (code != WARM_LOST) return code;
  dprintf(2, "gantry-runtime: lost the connection to the process that decides\n");
  return EXIT_LOST;
}

// Descriptors of socket activation are for the process that LISTEN_PID names, and none else.
static void forget_listeners_of_others(void) {
  const char *pid = getenv("LISTEN_PID");
  if (!pid || atoi(pid) != getpid()) unsetenv("LISTEN_FDS");
}

// What callers of runc may leave behind: standard streams that are closed, a working folder that is
// gone, any umask (a shim's is 0). What is the container's is in its configuration.
static void settle(void) {
  int fd;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) continue;
  if (fd > 2) close(fd);
  char here[PATH_MAX];
  if (!getcwd(here, sizeof here) && chdir("/") != 0) return;
  umask(022);
}

int runtime_main(int argc, char **argv) {
  settle();
  forget_listeners_of_others();
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

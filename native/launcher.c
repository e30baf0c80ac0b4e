// gantry-launcher: what `gantry` is once it is built. Node's own start would be most of a short
// command's time, so the command runs in a warm process of the same user that already has
// everything loaded; the launcher keeps the standard streams, the terminal's modes and the
// signals, and relays bytes over a unix socket. On any doubt it runs plain Node instead, and a
// warm process is started in the background for the next call.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "warm.h"

#define CHUNK 65536
#define EXIT_LOST 125
static struct termios saved;
static int raw_mode;
static int catching;
static int sock = -1;
static volatile sig_atomic_t pending[NSIG];
static volatile sig_atomic_t any_pending;

static const struct warm_program client = {"cli", "bin/gantry.ts", "bin/gantry-warm.ts"};

/* The verbs that bin/gantry.ts gives to a server's program instead of the client. */
static int is_server(int argc, char **argv) {
  return argc > 1 && (!strcmp(argv[1], "daemon") || !strcmp(argv[1], "dockerd") ||
                      !strcmp(argv[1], "registry"));
}
static int run_plain(int argc, char **argv) {
  warm_environment();
  char **args = calloc(argc + 4, sizeof *args);
  if (!args) return 1;
  args[0] = (char *)warm_node();
  args[1] = "--disable-warning=ExperimentalWarning";
  int server = is_server(argc, argv);
  static char sources[PATH_MAX];
  warm_path(sources, "%s", client.entry);
  args[2] = server ? sources : (char *)warm_bundle(&client, client.entry);
  for (int i = 1; i < argc; i++) args[i + 2] = argv[i];
  execv(args[0], args);
  // Without Node (a fresh clone whose node_modules is gone) bin/gantry says what to do.
  char entry[PATH_MAX];
  warm_path(entry, "bin/gantry");
  setenv("GANTRY_PLAIN", "1", 1);
  argv[0] = entry;
  execv(entry, argv);
  fprintf(stderr, "gantry: cannot run %s: %s\n", args[0], strerror(errno));
  return 1;
}

// ---- the terminal and signals ----

static void set_raw(int on) {
  if (on == raw_mode) return;
  if (on && tcgetattr(0, &saved) != 0) return;
  struct termios mode = saved;
  if (on) cfmakeraw(&mode);
  if (tcsetattr(0, TCSANOW, &mode) == 0) raw_mode = on;
}

static const int SIGNALS[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,   SIGUSR1, SIGUSR2,
                              SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU,   SIGALRM, SIGURG,
                              SIGXCPU, SIGXFSZ, SIGIO,   SIGVTALRM, SIGPWR,  SIGSYS};
#define SIGNAL_COUNT (sizeof SIGNALS / sizeof *SIGNALS)

static void on_signal(int number) {
  pending[number] = 1;
  any_pending = 1;
}

static void on_fatal(int number) {
  if (raw_mode) tcsetattr(0, TCSANOW, &saved);
  signal(number, SIG_DFL);
  raise(number);
}

// Not caught: as any program, but the terminal is put back first. Caught: passed on.
static void set_catching(int on) {
  catching = on;
  struct sigaction action = {0};
  for (size_t i = 0; i < SIGNAL_COUNT; i++) {
    int number = SIGNALS[i];
    int fatal = number == SIGHUP || number == SIGINT || number == SIGQUIT || number == SIGTERM;
    action.sa_handler = on ? on_signal : fatal ? on_fatal : SIG_DFL;
    struct sigaction before;
    // What the caller's shell has ignored (nohup) stays ignored.
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaction(number, &action, NULL);
  }
}

static void forward_signals(void) {
  any_pending = 0;
  for (int number = 1; number < NSIG; number++) {
    if (!pending[number]) continue;
    pending[number] = 0;
    uint8_t byte = number;
    if (number == SIGWINCH) warm_send_window(sock);
    else if (catching) warm_send(sock, WARM_SIGNAL, &byte, 1);
  }
}

static int receive_all(void *data, size_t length) {
  char *bytes = data;
  while (length > 0) {
    if (any_pending) forward_signals();
    ssize_t n = recv(sock, bytes, length, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    bytes += n;
    length -= n;
  }
  return 0;
}

static int write_out(int fd, const char *data, size_t length) {
  while (length > 0) {
    if (any_pending) forward_signals();
    ssize_t n = write(fd, data, length);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    if (n < 0 && errno == EAGAIN) poll(&wait, 1, -1);
    else if (n < 0 && errno != EINTR) return -1;
    if (n < 0) continue;
    data += n;
    length -= n;
  }
  return 0;
}

static int lost(void) {
  set_raw(0);
  fprintf(stderr, "gantry: lost the connection to the warm client process\n");
  return EXIT_LOST;
}

// Handles one frame of the warm process; a result of -1 goes on, others are the exit code.
static int handle_frame(int *stdin_wanted) {
  static char *body;
  static uint32_t capacity;
  unsigned char head[5];
  if (receive_all(head, 5) != 0) return lost();
  uint32_t length = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
  if (length > WARM_FRAME_BYTES_MAX) return lost();
  if (length > capacity) {
    body = realloc(body, capacity = length);
    if (!body) return lost();
  }
  if (length > 0 && receive_all(body, length) != 0) return lost();
  int on = length >= 1 && body[0];
  switch (head[0]) {
    case WARM_STDOUT_DATA:
    case WARM_STDERR_DATA:
      if (write_out(head[0] == WARM_STDOUT_DATA ? 1 : 2, body, length) == 0) return -1;
      set_raw(0);
      return 1;
    case WARM_EXIT:
      set_raw(0);
      return length >= 1 ? (unsigned char)body[0] : 1;
    case WARM_STDIN_WANTED: *stdin_wanted = on; return -1;
    case WARM_RAW: set_raw(on); return -1;
    case WARM_CATCH: set_catching(on); return -1;
    default: return lost();
  }
}

// Reads stdin once, when it is wanted: what the command does not ask for stays where it is.
static void relay_stdin(int *wanted) {
  static char chunk[CHUNK];
  ssize_t n = read(0, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  *wanted = 0;
  if (n > 0) warm_send(sock, WARM_STDIN_DATA, chunk, n);
  else warm_send(sock, WARM_STDIN_END, NULL, 0);
}

static int relay(void) {
  int stdin_wanted = 0;
  for (;;) {
    if (any_pending) forward_signals();
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

int main(int argc, char **argv) {
  // A server is no guest of a warm process.
  int server = is_server(argc, argv);
  if (warm_find_root() != 0) {
    fprintf(stderr, "gantry: cannot find the program's folder\n");
    return 1;
  }
  char *plain = getenv("GANTRY_PLAIN");
  int known = warm_identify(&client) == 0;
  if (server || !known || (plain && *plain) || getuid() != geteuid()) return run_plain(argc, argv);
  struct sigaction window = {.sa_handler = on_signal};
  sigaction(SIGWINCH, &window, NULL);
  // Declined: descriptors and handlers of this attempt end with the exec.
  sock = warm_call(&client, argc, argv);
  if (sock < 0) return run_plain(argc, argv);
  set_catching(0);
  return relay();
}

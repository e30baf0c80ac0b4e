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

#define EXIT_LOST 125
static struct termios saved;
static int raw_mode;
static int catching;
static int sock = -1;
static volatile sig_atomic_t pending[NSIG];
static volatile sig_atomic_t any_pending;

static const struct warm_program client = {"cli", "bin/gantry.ts", "bin/gantry-warm.ts", 0};

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

static void between(void) {
  if (any_pending) forward_signals();
}

static int take_frame(uint8_t type, uint8_t *body, uint32_t length) {
  int on = length >= 1 && body[0];
  switch (type) {
    case WARM_RAW: set_raw(on); return WARM_GO_ON;
    case WARM_CATCH: set_catching(on); return WARM_GO_ON;
    default: return WARM_LOST;
  }
}

static int relay(void) {
  static const struct warm_caller self = {.between = between, .frame = take_frame};
  int code = warm_relay(sock, &self);
  set_raw(0);
  if (code != WARM_LOST) return code;
  fprintf(stderr, "gantry: lost the connection to the warm client process\n");
  return EXIT_LOST;
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

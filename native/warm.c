// The warm process of a user and build: finding it, greeting it, starting it. Shared by the
// programs whose work is done by TypeScript that is loaded already (launcher.c, runtime.c).
#define _GNU_SOURCE
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "surroundings.h"

#define HELLO_BYTES_MAX (4u << 20)
#define CALLERS_QUEUED_MAX 256
#define TURN_SECONDS_MAX 10

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

static int bound_address(const char *path, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address->sun_path) return -1;
  strcpy(address->sun_path, path);
  return 0;
}

static int connect_warm(const char *path) {
  struct sockaddr_un address;
  if (bound_address(path, &address) != 0) return -1;
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

// ---- its start ----

// A token that only this user can read: with it, callers prove to Node who they are.
static int write_token(const char *path) {
  unsigned char bytes[32];
  char text[65];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return -1;
  for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  int ok = write(fd, text, 64) == 64;
  close(fd);
  return ok ? 0 : -1;
}

// Whoever holds the lock of a warm process is the only one: what lies there is of one that has
// ended. Callers queue from here on; where Node does not come to life, the last copy of this
// descriptor is closed, they hear it and run plain Node.
static int listen_for_warm(const char *path, const char *token_path) {
  struct sockaddr_un address;
  if (bound_address(path, &address) != 0) return -1;
  unlink(path);
  unlink(token_path);
  if (write_token(token_path) != 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(fd, CALLERS_QUEUED_MAX) != 0)
    return close(fd), -1;
  return fd;
}

// In the process that becomes the warm one: nobody's, without terminal and streams of the caller.
static void become_warm(const struct warm_program *program, const char *folder, const char *path,
                        const int descriptors[3]) {
  setsid();
  if (fork() != 0) _exit(0);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  // Out of the way first: the lock for its whole life, its listening socket, its first call.
  int kept[3], calls = descriptors[2] >= 0;
  for (int i = 0; i < 2 + calls; i++) kept[i] = fcntl(descriptors[i], F_DUPFD, 6);
  for (int i = 0; i < 2 + calls; i++) dup2(kept[i], 3 + i);
  close_range(5 + calls, ~0u, 0);
  if (chdir("/") != 0) _exit(1);
  signal(SIGPIPE, SIG_DFL);
  keep_environment();
  warm_environment();
  char id[17];
  snprintf(id, sizeof id, "%016llx", (unsigned long long)warm_build_id);
  char *args[] = {(char *)warm_node(),
                  "--disable-warning=ExperimentalWarning",
                  (char *)warm_bundle(program, program->resident),
                  "--gantry-warm",
                  (char *)folder,
                  (char *)path,
                  id,
                  "--listening",
                  calls ? "--call" : NULL,
                  NULL};
  execv(args[0], args);
  _exit(1);
}

// A warm process that ends removes its lock: one that was opened before locks nobody out.
static int is_at(int fd, const char *path) {
  struct stat own, there;
  return fstat(fd, &own) == 0 && lstat(path, &there) == 0 && own.st_ino == there.st_ino &&
         own.st_dev == there.st_dev;
}

// Starts the warm process of this build in the background, once: a lock names who is at it. `first`
// is the socket of its first call, or -1. -1 where another one is there, or none can be.
static int start_warm(const struct warm_program *program, const char *folder, const char *path,
                      const char *token_path, int first) {
  char lock[PATH_MAX];
  snprintf(lock, sizeof lock, "%.4000s.lock", path);
  int held = open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (held < 0) return -1;
  int listening = -1;
  pid_t child = -1;
  if (flock(held, LOCK_EX | LOCK_NB) == 0 && is_at(held, lock))
    listening = listen_for_warm(path, token_path);
  if (listening >= 0) child = fork();
  if (child == 0) become_warm(program, folder, path, (int[]){held, listening, first});
  // Copies that stayed here would have others wait for a warm process that has died.
  if (listening >= 0) close(listening);
  close(held);
  return child < 0 ? -1 : 0;
}

// ---- frames ----

static int send_all(int sock, const void *data, size_t length) {
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

int warm_send(int sock, uint8_t type, const void *data, uint32_t length) {
  unsigned char head[5] = {type, length, length >> 8, length >> 16, length >> 24};
  return send_all(sock, head, 5) != 0 || (length > 0 && send_all(sock, data, length) != 0) ? -1 : 0;
}

void warm_send_window(int sock) {
  struct winsize size;
  for (int fd = 1; fd <= 2; fd++) {
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) continue;
    unsigned char body[4] = {size.ws_row, size.ws_row >> 8, size.ws_col, size.ws_col >> 8};
    warm_send(sock, WARM_WINDOW, body, 4);
    return;
  }
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

int warm_hello(int sock, int argc, char **argv, const char *token) {
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
  warm_send_window(sock);
  return warm_send(sock, WARM_HELLO, b.data, b.length);
}

// Whether the process at the other end takes the call.
static int is_accepted(int sock, int argc, char **argv, const char *token) {
  unsigned char answer[5];
  size_t have = 0;
  if (warm_hello(sock, argc, argv, token)) return 0;
  while (have < sizeof answer) {
    ssize_t n = recv(sock, answer + have, sizeof answer - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    have += (size_t)n;
  }
  return answer[0] == WARM_ACCEPT;
}

// Who finds no warm process waits until whoever starts one has brought its socket to be: both take
// a millisecond. The lock is free when its holder dies; one that is frozen holds nobody for long.
static void ring(int number) { (void)number; }
static int take_turn(const char *path) {
  char turn[PATH_MAX];
  snprintf(turn, sizeof turn, "%.4000s.turn", path);
  int fd = open(turn, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  struct sigaction before, wake = {.sa_handler = ring};
  sigaction(SIGALRM, &wake, &before);
  unsigned left = alarm(TURN_SECONDS_MAX);
  int error = flock(fd, LOCK_EX);
  alarm(left);
  sigaction(SIGALRM, &before, NULL);
  return error ? close(fd), -1 : fd;
}

// To the warm process, or to the place where callers wait for it.
static int open_warm(const char *path, const char *token_path, char token[65]) {
  int sock = connect_warm(path);
  if (sock < 0 || read_token(token_path, token) == 0) return sock;
  return close(sock), -1;
}

// A warm process whose first call this is, where the program waits for it.
static int start_with_call(const struct warm_program *program, const char *folder,
                           const char *path, const char *token_path) {
  int pair[2] = {-1, -1};
  if (program->waits && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -1;
  int error = start_warm(program, folder, path, token_path, pair[1]);
  if (!program->waits) return -1;
  close(pair[1]);
  if (error) close(pair[0]);
  return error ? -1 : pair[0];
}

int warm_call(const struct warm_program *program, int argc, char **argv) {
  char folder[PATH_MAX], path[PATH_MAX], token_path[PATH_MAX], token[65] = "";
  if (private_folder(folder) != 0) return -1;
  // A name for each surroundings: one of another namespace would decline, and stand in the way.
  if (describe_surroundings() != 0) return -1;
  uint32_t place = 0x811c9dc5u;
  for (const char *at = around; *at; at++) place = (place ^ (unsigned char)*at) * 0x01000193u;
  snprintf(path, sizeof path, "%.4000s/%016llx-%08x", folder, (unsigned long long)warm_build_id,
           place);
  snprintf(token_path, sizeof token_path, "%.4000s.token", path);
  int sock = open_warm(path, token_path, token);
  if (sock < 0) {
    int turn = take_turn(path);
    if (turn >= 0) sock = open_warm(path, token_path, token);
    if (turn >= 0 && sock < 0) {
      token[0] = 0;
      sock = start_with_call(program, folder, path, token_path);
    }
    // Not only closed: the new process may still have its copy.
    if (turn >= 0) flock(turn, LOCK_UN), close(turn);
  }
  if (sock < 0) return -1;
  if (is_accepted(sock, argc, argv, token)) return sock;
  close(sock);
  return -1;
}

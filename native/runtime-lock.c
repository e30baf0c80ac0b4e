// What a command holds while it lasts: the right to be the only one that works on a container, and
// a watch over its memory. The right is a record lock: it belongs to this process alone, is not
// inherited by what it starts, and ends with it however it ends.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "exec.h"
#include "monitor.h"
#include "runtime.h"

#define LOCK_NAME "lock"

static int held = -1;
static volatile sig_atomic_t expired;

static void on_alarm(int number) {
  (void)number;
  expired = 1;
}

// Waits for a record lock. 0, or a negative errno (-ETIMEDOUT).
static int wait_for_lock(int fd, uint32_t ms) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(fd, F_SETLK, &lock) == 0) return 0;
  if (errno != EAGAIN && errno != EACCES) return -errno;
  if (ms == 0) return -ETIMEDOUT;
  struct sigaction alarm_action = {.sa_handler = on_alarm}, before;
  // Again and again: the first may come right before the wait begins.
  struct itimerval limit = {.it_value = {ms / 1000, ms % 1000 * 1000}, .it_interval = {0, 100000}};
  struct itimerval none = {0};
  expired = 0;
  sigaction(SIGALRM, &alarm_action, &before);
  setitimer(ITIMER_REAL, &limit, NULL);
  int error = 0;
  do error = fcntl(fd, F_SETLKW, &lock) ? -errno : 0;
  while (error == -EINTR && !expired);
  setitimer(ITIMER_REAL, &none, NULL);
  sigaction(SIGALRM, &before, NULL);
  return error == -EINTR ? -ETIMEDOUT : error;
}

static void tell_holder(int fd, struct out *answer) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  char text[80] = "another process works on it";
  if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
    snprintf(text, sizeof text, "process %d works on it", lock.l_pid);
  runtime_fail(answer, ETIMEDOUT, text);
}

void runtime_lock(struct cursor *c, struct out *answer) {
  const char *folder = take_str(c, NULL);
  uint32_t ms = take_u32(c);
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/" LOCK_NAME, folder);
  if (c->bad || n < 0 || (size_t)n >= sizeof path)
    return runtime_fail(answer, EPROTO, "malformed request");
  runtime_unlock();
  for (;;) {
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return runtime_fail(answer, errno, path);
    // Above what a container may be given.
    held = fcntl(fd, F_DUPFD_CLOEXEC, 1024 + 3);
    if (held < 0) held = fcntl(fd, F_DUPFD_CLOEXEC, 512);
    close(fd);
    if (held < 0) return runtime_fail(answer, EMFILE, path);
    int error = wait_for_lock(held, ms);
    struct stat st;
    if (error == -ETIMEDOUT) tell_holder(held, answer);
    else if (error) runtime_fail(answer, -error, path);
    else if (fstat(held, &st) == 0 && st.st_nlink > 0) return runtime_succeed(answer);
    runtime_unlock();
    if (error) return;
    // Whoever had it before has removed the folder, and somebody may have made it anew.
  }
}

void runtime_unlock(void) {
  if (held >= 0) close(held);
  held = -1;
}

static int watched = -1;
static char watched_path[PATH_MAX];
static uint64_t kills;
static bool is_v1;

static uint64_t value_of(const char *path, const char *name) {
  char text[1024], key[32];
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = 0;
  snprintf(key, sizeof key, "%s ", name);
  for (char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, strlen(key)) == 0) return strtoull(line + strlen(key), NULL, 10);
  }
  return 0;
}

static void neighbour(char out[PATH_MAX], const char *name) {
  snprintf(out, PATH_MAX, "%s", watched_path);
  char *slash = strrchr(out, '/');
  if (slash) snprintf(slash + 1, (size_t)(out + PATH_MAX - slash - 1), "%s", name);
}

void runtime_watch(struct cursor *c, struct out *answer) {
  const char *path = take_str(c, NULL);
  if (c->bad || strlen(path) >= sizeof watched_path)
    return runtime_fail(answer, EPROTO, "malformed request");
  if (watched >= 0) close(watched);
  snprintf(watched_path, sizeof watched_path, "%s", path);
  const char *name = strrchr(path, '/');
  is_v1 = name && strcmp(name, "/memory.oom_control") == 0;
  kills = value_of(path, "oom_kill");
  watched = oom_events(path);
  if (watched < 0) return runtime_fail(answer, -watched, path);
  if (!is_v1) {
    char events[PATH_MAX];
    neighbour(events, "cgroup.events");
    inotify_add_watch(watched, events, IN_MODIFY);
  }
  runtime_succeed(answer);
}

int runtime_watched(void) { return watched; }

int runtime_event(void) {
  char sink[4096];
  ssize_t n = read(watched, sink, sizeof sink);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  char events[PATH_MAX];
  neighbour(events, "cgroup.events");
  bool gone = access(watched_path, F_OK) || (!is_v1 && value_of(events, "populated") == 0);
  uint64_t now = gone ? kills : value_of(watched_path, "oom_kill");
  // A kill may be counted only after it was told of: v1 tells of being out of memory.
  bool happened = is_v1 ? !gone : now > kills;
  kills = now;
  if (gone) {
    close(watched);
    watched = -1;
  }
  return gone ? EVENT_GONE : happened ? EVENT_OOM : 0;
}

// Watches a container's cgroup for OOM kills: cgroup v1 through an eventfd on memory.oom_control,
// v2 through inotify on memory.events. Both files count kills, and the count is what is believed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "monitor.h"

static struct source watcher = {.fd = -1};
static int counter = -1;  // the open file that holds the count
static uint64_t kills;

// An event that came before the kill it tells of was counted.
static bool rung, is_v1;

// What was heard when the cgroup was gone: one of it may be the removal.
static uint64_t unclear;
#define REMOVAL_MS_MAX 2000

static bool read_kills(uint64_t *count) {
  char text[1024];
  ssize_t n = counter < 0 ? -1 : pread(counter, text, sizeof text - 1, 0);
  if (n <= 0) return false;
  text[n] = 0;
  for (char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, "oom_kill ", 9) != 0) continue;
    *count = strtoull(line + 9, NULL, 10);
    return true;
  }
  return false;
}

// v1 tells of an event before it kills. It tells of the removal, too, once, when nothing can be
// read any more.
static void hear_v1(void) {
  uint64_t times, now;
  if (!is_v1 || watcher.fd < 0 || read(watcher.fd, &times, sizeof times) != sizeof times) return;
  bool exists = read_kills(&now);
  if (!exists) unclear += times;
  if (exists || unclear > 1) rung = true;
}

void oom_check(void) {
  hear_v1();
  uint64_t now;
  // Another runtime removes the cgroup when its program ends, and the count with it.
  if (!read_kills(&now)) now = kills + rung;
  if (now <= kills) return;
  rung = false;
  kills = now;
  monitor.oom_killed = true;
  broadcast_oom();
}

// The removal is told a grace period after it, so what is heard first, of a container that has just
// ended, is the kill, unless this process has had no processor for as long: the second tells.
void oom_settle(void) {
  oom_check();
  struct pollfd next = {.fd = watcher.fd, .events = POLLIN};
  if (unclear == 1 && !rung && !monitor.oom_killed && poll(&next, 1, REMOVAL_MS_MAX) == 1)
    oom_check();
}

static void on_event(struct source *s, uint32_t events) {
  char sink[4096];
  // An event without a reading comes when the cgroup is removed.
  bool over = !is_v1 && read(s->fd, sink, sizeof sink) <= 0;
  if (over || (events & (EPOLLHUP | EPOLLERR))) return forget_source(s);
  oom_check();
}

static int watch_v1(const char *path) {
  AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -errno;
  char control[PATH_MAX], text[64], copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  int n = snprintf(control, sizeof control, "%s/cgroup.event_control", dirname(copy));
  if (n < 0 || (size_t)n >= sizeof control) return -ENAMETOOLONG;
  AUTO_CLOSE int fd = open(control, O_WRONLY | O_CLOEXEC);
  int event = fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -errno;
  int length = snprintf(text, sizeof text, "%d %d", event, file);
  if (write(fd, text, (size_t)length) < 0) {
    close(event);
    return -errno;
  }
  return event;
}

static bool names_v1(const char *path) {
  const char *name = strrchr(path, '/');
  return name && strcmp(name, "/memory.oom_control") == 0;
}

int oom_events(const char *path) {
  if (names_v1(path)) return watch_v1(path);
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd < 0) return -errno;
  if (inotify_add_watch(fd, path, IN_MODIFY) >= 0) return fd;
  int error = -errno;
  close(fd);
  return error;
}

int oom_watch(const char *path) {
  counter = open(path, O_RDONLY | O_CLOEXEC);
  if (counter < 0) return -errno;
  // The cgroup is the container's own and new: what it counts already is the container's.
  kills = 0;
  is_v1 = names_v1(path);
  oom_check();
  int fd = oom_events(path);
  if (fd < 0) return fd;
  watcher = (struct source){on_event, fd, 0};
  watch_source(&watcher, EPOLLIN);
  return 0;
}

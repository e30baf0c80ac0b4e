// Watches a container's cgroup for OOM kills: cgroup v1 through an eventfd on memory.oom_control,
// v2 through inotify on memory.events. Both files count kills, and the count is what is believed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
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

static uint64_t count_kills(void) {
  char text[1024];
  ssize_t n = counter < 0 ? -1 : pread(counter, text, sizeof text - 1, 0);
  if (n <= 0) return kills;
  text[n] = 0;
  for (char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, "oom_kill ", 9) == 0) return strtoull(line + 9, NULL, 10);
  }
  return kills;
}

void oom_check(void) {
  uint64_t now = count_kills();
  if (now <= kills) return;
  kills = now;
  monitor.oom_killed = true;
  broadcast_oom();
}

static void on_event(struct source *s, uint32_t events) {
  char sink[4096];
  // An event without a reading comes when the cgroup is removed.
  if (read(s->fd, sink, sizeof sink) <= 0 || (events & (EPOLLHUP | EPOLLERR)))
    return forget_source(s);
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

int oom_events(const char *path) {
  const char *name = strrchr(path, '/');
  if (name && strcmp(name, "/memory.oom_control") == 0) return watch_v1(path);
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
  oom_check();
  int fd = oom_events(path);
  if (fd < 0) return fd;
  watcher = (struct source){on_event, fd, 0};
  watch_source(&watcher, EPOLLIN);
  return 0;
}

// The first move of a process into a cgroup after an idle moment waits 7–22 ms for a grace period
// of the kernel's RCU, with all of cgroupfs locked. So a standby executor makes cgroups and enters
// them while nobody waits; a plan takes them over by renaming them (cgroup v1 can; v2 has
// CLONE_INTO_CGROUP, which needs no move), and the container is born inside.
#define _GNU_SOURCE
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define PARENTS_MAX 24
#define PATH_BYTES_MAX 512
#define QUIET_MS 60  // a burst of starts comes first: what is warm needs no pool

static char *parents[PARENTS_MAX];
static uint32_t parent_count;
static bool inside[PARENTS_MAX];

static void standby_path(char *path, const char *parent, pid_t executor) {
  snprintf(path, PATH_BYTES_MAX, "%s/.standby-%d", parent, (int)executor);
}

int pool_configure(const uint8_t *payload, size_t length) {
  struct cursor c = {payload, payload + length, false};
  uint32_t count = take_u32(&c);
  if (c.bad || count > PARENTS_MAX) return -EPROTO;
  for (uint32_t i = 0; i < parent_count; i++) free(parents[i]);
  parent_count = 0;
  for (uint32_t i = 0; i < count; i++) {
    const char *parent = take_str(&c, NULL);
    if (c.bad || strlen(parent) > PATH_BYTES_MAX - 64) return -EPROTO;
    parents[parent_count] = strdup(parent);
    if (!parents[parent_count]) return -ENOMEM;
    parent_count++;
  }
  return 0;
}

static int enter(const char *folder) {
  char path[PATH_BYTES_MAX];
  int n = snprintf(path, sizeof path, "%s/cgroup.procs", folder);
  if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
  AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  return write(fd, "0", 1) == 1 ? 0 : -errno;
}

void pool_prepare(int plan) {
  if (parent_count == 0) return;
  struct pollfd request = {.fd = plan, .events = POLLIN};
  if (poll(&request, 1, QUIET_MS) != 0) return;
  for (uint32_t i = 0; i < parent_count; i++) {
    char path[PATH_BYTES_MAX];
    standby_path(path, parents[i], getpid());
    // Where one fails, the plan makes that cgroup itself.
    if (mkdir(path, 0755) == 0) inside[i] = enter(path) == 0;
  }
}

void pool_discard(pid_t executor) {
  for (uint32_t i = 0; i < parent_count; i++) {
    char path[PATH_BYTES_MAX];
    standby_path(path, parents[i], executor);
    rmdir(path);
  }
}

static bool take_prepared(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return false;
  size_t length = (size_t)(slash - path);
  for (uint32_t i = 0; i < parent_count; i++) {
    if (!inside[i] || strlen(parents[i]) != length || memcmp(parents[i], path, length)) continue;
    char prepared[PATH_BYTES_MAX];
    standby_path(prepared, parents[i], getpid());
    if (rename(prepared, path)) return false;
    inside[i] = false;
    return true;
  }
  return false;
}

int op_enter_cgroups(struct run *r, const struct op *o) {
  if (executor.monitor < 0) return run_fail(r, -EINVAL, "only an executor enters cgroups");
  const struct field *paths = &o->fields[A_ENTER_CGROUPS_PATHS];
  const char *at = paths->ptr;
  for (uint32_t i = 0; i < paths->count; i++) {
    const char *path = next_str(&at, NULL);
    if (take_prepared(path)) continue;
    if (mkdir(path, 0755) && errno != EEXIST) return run_fail(r, -errno, "mkdir %s", path);
    int error = enter(path);
    if (error) return run_fail(r, error, "enter cgroup %s", path);
  }
  return 0;
}

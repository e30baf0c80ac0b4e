// Operations on cgroups that are more than a write to a file: killing everything in one, removing
// one with what was made in it, and the device filter of cgroup v2.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

#define KILL_ROUNDS_MAX 200
#define ATTACHED_MAX 64
#define CGROUP_DEPTH_MAX 256

// Signals every process of one v1 cgroup; the number of processes seen, or a negative errno.
static int signal_folder(int folder, int signal) {
  int fd = openat(folder, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  FILE *file = fdopen(fd, "re");
  if (!file) {
    close(fd);
    return -ENOMEM;
  }
  int count = 0, pid;
  while (fscanf(file, "%d", &pid) == 1) {
    if (pid <= 0 || pid == getpid()) continue;
    count++;
    kill(pid, signal);
  }
  fclose(file);
  return count;
}

// Opens the first folder in `folder` at or after `*entries`' place; -1 when there is no more.
static int next_child(DIR *entries, int folder, char name[NAME_MAX + 1]) {
  struct dirent *entry;
  while ((entry = readdir(entries))) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    int child = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) continue;
    if (name) snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
    return child;
  }
  return -1;
}

static DIR *list_folder(int folder) {
  int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy < 0 ? NULL : fdopendir(copy);
  if (!entries && copy >= 0) close(copy);
  return entries;
}

static int thaw_folder(int folder, int unused) {
  (void)unused;
  AUTO_CLOSE int fd = openat(folder, "freezer.state", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, "THAWED", 6) < 0) return -errno;
  return 0;
}

// Visits a cgroup and those in it; the sum of what `visit` returns, or its failure at the top.
static int visit_tree(int folder, int (*visit)(int folder, int signal), int signal, int depth) {
  int total = visit(folder, signal);
  DIR *entries = total < 0 || depth > CGROUP_DEPTH_MAX ? NULL : list_folder(folder);
  if (!entries) return total;
  for (int child; (child = next_child(entries, folder, NULL)) >= 0; close(child)) {
    int count = visit_tree(child, visit, signal, depth + 1);
    if (count > 0) total += count;
  }
  closedir(entries);
  return total;
}

static void thaw_tree(const char *path) {
  if (!*path) return;
  AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) visit_tree(folder, thaw_folder, 0, 0);
}

int op_kill_cgroup(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_KILL_CGROUP_PATH].ptr;
  int signal = (int)f[A_KILL_CGROUP_SIGNAL].num;
  if (signal == 0) signal = SIGKILL;
  AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    if (errno == ENOENT && f[A_KILL_CGROUP_MISSING_OK].num) return 0;
    return run_fail(r, -errno, "%s", path);
  }
  if (signal == SIGKILL) {
    AUTO_CLOSE int all = openat(folder, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (all >= 0) {
      if (write(all, "1", 1) != 1) return run_fail(r, -errno, "%s", path);
      thaw_tree(f[A_KILL_CGROUP_FREEZER].ptr);
      return 0;
    }
  }
  // What forks faster than it is listed is listed again; a frozen process dies when it thaws.
  for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
    int count = visit_tree(folder, signal_folder, signal, 0);
    if (count < 0) return run_fail(r, count, "%s", path);
    if (count == 0 || signal != SIGKILL) return 0;
    thaw_tree(f[A_KILL_CGROUP_FREEZER].ptr);
    if (run_interrupt_errno) return -run_interrupt_errno;
    struct timespec pause = {0, round < 20 ? 500000 : 10000000};
    nanosleep(&pause, NULL);
  }
  return run_fail(r, -EBUSY, "%s still has processes", path);
}

// Removes the first cgroup on the way down that holds no other: 1; 0 when only `folder` is left.
static int remove_leaf(int folder) {
  int parent = -1, at = dup(folder);
  char name[NAME_MAX + 1], child_name[NAME_MAX + 1] = "";
  while (at >= 0) {
    DIR *entries = list_folder(at);
    int child = entries ? next_child(entries, at, child_name) : -1;
    if (entries) closedir(entries);
    if (child < 0) break;
    if (parent >= 0) close(parent);
    parent = at;
    at = child;
    memcpy(name, child_name, sizeof name);
  }
  if (at >= 0) close(at);
  if (parent < 0) return 0;
  int result = unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT ? -errno : 1;
  close(parent);
  return result;
}

int op_remove_cgroup(struct run *r, const struct op *o) {
  const char *path = o->fields[A_REMOVE_CGROUP_PATH].ptr;
  int64_t left_us = o->fields[A_REMOVE_CGROUP_RETRY_MS].num * 1000, step_us = 200;
  for (;;) {
    int error = rmdir(path) ? -errno : 0;
    if (error == 0 || error == -ENOENT) return 0;
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int removed = folder < 0 ? -errno : remove_leaf(folder);
    // Whoever has the right to make cgroups there may be faster than we are.
    if (removed > 0 && !run_interrupt_errno) continue;
    if (removed < 0) error = removed;
    // Its last process is exiting.
    if (error != -EBUSY || left_us <= 0 || run_interrupt_errno)
      return run_fail(r, error, "%s", path);
    struct timespec pause = {0, step_us * 1000};
    nanosleep(&pause, NULL);
    left_us -= step_us;
    if (step_us < 50000) step_us *= 2;
  }
}

int op_empty_cgroups(struct run *r, const struct op *o) {
  const struct field *paths = &o->fields[A_EMPTY_CGROUPS_PATHS];
  const char *at = paths->ptr;
  for (uint32_t i = 0; i < paths->count; i++) {
    const char *path = next_str(&at, NULL);
    AUTO_CLOSE int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT) continue;
    int count = folder < 0 ? -errno : visit_tree(folder, signal_folder, 0, 0);
    if (count < 0) return run_fail(r, count, "%s", path);
    if (count > 0)
      return run_fail(r, -EBUSY, "container's cgroup is not empty: %d process(es) found", count);
  }
  return 0;
}

int op_check_at_most(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_CHECK_AT_MOST_PATH].ptr;
  char text[32] = "";
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) return run_fail(r, -errno, "%s", path);
  long long number = strtoll(text, NULL, 10), max = f[A_CHECK_AT_MOST_MAX].num;
  if (number <= max) return 0;
  const char *what = f[A_CHECK_AT_MOST_WHAT].ptr;
  return run_fail(r, -EBUSY, "%s: %lld is more than %lld", what, number, max);
}

static int enter_cgroup(const char *folder) {
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/cgroup.procs", folder);
  if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
  AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write(fd, "0", 1) == 1 ? 0 : -errno;
}

// The cgroup of a process in the unified hierarchy, beneath `mount`, into `path`.
static int cgroup_of(int pid, const char *mount, char path[PATH_MAX]) {
  char name[64], line[PATH_MAX];
  snprintf(name, sizeof name, "/proc/%d/cgroup", pid);
  FILE *file = fopen(name, "re");
  if (!file) return -errno;
  int found = -ENOENT;
  while (found < 0 && fgets(line, sizeof line, file)) {
    if (strncmp(line, "0::", 3) != 0) continue;
    line[strcspn(line, "\n")] = 0;
    int n = snprintf(path, PATH_MAX, "%s%s", mount, line + 3);
    found = n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
  }
  fclose(file);
  return found;
}

int op_join_cgroup(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_JOIN_CGROUP_PATH].ptr;
  int error = enter_cgroup(path), pid = (int)f[A_JOIN_CGROUP_PID].num;
  if (error == -EBUSY && pid > 0) {
    char below[PATH_MAX];
    size_t length = strlen(path);
    error = cgroup_of(pid, f[A_JOIN_CGROUP_MOUNT].ptr, below);
    if (error == 0) {
      int beneath = strncmp(below, path, length) == 0 && below[length] == '/';
      error = beneath ? enter_cgroup(below) : -EBUSY;
    }
  }
  return error ? run_fail(r, error, "%s", path) : 0;
}

static long bpf(int command, union bpf_attr *attr) {
  return syscall(SYS_bpf, command, attr, sizeof *attr);
}

// Detaches what was attached before, after the new program is in place: there is no moment
// without a filter.
static void detach_old(int cgroup, const uint32_t *ids, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    union bpf_attr get = {.prog_id = ids[i]};
    long program = bpf(BPF_PROG_GET_FD_BY_ID, &get);
    if (program < 0) continue;
    union bpf_attr detach = {.target_fd = (uint32_t)cgroup,
                             .attach_bpf_fd = (uint32_t)program,
                             .attach_type = BPF_CGROUP_DEVICE};
    bpf(BPF_PROG_DETACH, &detach);
    close((int)program);
  }
}

int op_bpf_cgroup_device(struct run *r, const struct op *o) {
  const struct field *program = &o->fields[A_BPF_CGROUP_DEVICE_PROGRAM];
  int cgroup = run_fd(r, &o->fields[A_BPF_CGROUP_DEVICE_CGROUP]);
  if (cgroup < 0) return -EBADF;
  if (program->len == 0 || program->len % sizeof(struct bpf_insn)) return -EINVAL;
  struct bpf_insn *code = malloc(program->len);  // the plan's bytes are not aligned
  if (!code) return -ENOMEM;
  memcpy(code, program->ptr, program->len);
  static char verifier[4096];
  union bpf_attr load = {
      .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
      .insn_cnt = program->len / (uint32_t)sizeof *code,
      .insns = (uint64_t)(uintptr_t)code,
      .license = (uint64_t)(uintptr_t) "Apache-2.0",
  };
  AUTO_CLOSE int loaded = (int)bpf(BPF_PROG_LOAD, &load);
  if (loaded < 0) {
    int error = -errno;
    load.log_buf = (uint64_t)(uintptr_t)verifier;
    load.log_size = sizeof verifier;
    load.log_level = 1;
    bpf(BPF_PROG_LOAD, &load);
    free(code);
    return run_fail(r, error, "device filter: %.200s", verifier);
  }
  free(code);
  uint32_t ids[ATTACHED_MAX];
  union bpf_attr query = {.query = {.target_fd = (uint32_t)cgroup,
                                    .attach_type = BPF_CGROUP_DEVICE,
                                    .prog_ids = (uint64_t)(uintptr_t)ids,
                                    .prog_cnt = ATTACHED_MAX}};
  uint32_t old = bpf(BPF_PROG_QUERY, &query) == 0 ? query.query.prog_cnt : 0;
  union bpf_attr attach = {.target_fd = (uint32_t)cgroup,
                           .attach_bpf_fd = (uint32_t)loaded,
                           .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
  if (bpf(BPF_PROG_ATTACH, &attach)) return run_fail(r, -errno, "attaching the device filter");
  detach_old(cgroup, ids, old);
  return 0;
}

// Operations on cgroups that are more than a write to a file: killing everything in one, and the
// device filter of cgroup v2.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#define CGROUP_DEPTH_MAX 32

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

static int signal_tree(int folder, int signal, int depth) {
  int total = signal_folder(folder, signal);
  if (total < 0 || depth > CGROUP_DEPTH_MAX) return total;
  int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *entries = copy < 0 ? NULL : fdopendir(copy);
  if (!entries) return total;
  struct dirent *entry;
  while ((entry = readdir(entries))) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    int child = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int count = child < 0 ? 0 : signal_tree(child, signal, depth + 1);
    if (count > 0) total += count;
    if (child >= 0) close(child);
  }
  closedir(entries);
  return total;
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
    if (all >= 0) return write(all, "1", 1) == 1 ? 0 : run_fail(r, -errno, "%s", path);
  }
  // What forks faster than it is listed is listed again; a frozen process dies when it thaws.
  for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
    int count = signal_tree(folder, signal, 0);
    if (count < 0) return run_fail(r, count, "%s", path);
    if (count == 0 || signal != SIGKILL) return 0;
    if (run_interrupt_errno) return -run_interrupt_errno;
    struct timespec pause = {0, round < 20 ? 500000 : 10000000};
    nanosleep(&pause, NULL);
  }
  return run_fail(r, -EBUSY, "%s still has processes", path);
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

// Processes that are born in namespaces of others, a user namespace among them. Whoever joins one
// can never come back, so a process of its own joins and clones; the executor goes on outside.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "namespace.h"
#include "operations.gen.h"

#define MAP_BYTES_MAX 65536

// What the process between tells; its memory is not ours, this page is.
struct told {
  int error, at, pidfd;
  long pid;
};

static const char *namespace_name(int64_t flag) {
  switch (flag) {
    case CLONE_NEWNS: return "mount";
    case CLONE_NEWUTS: return "uts";
    case CLONE_NEWIPC: return "ipc";
    case CLONE_NEWUSER: return "user";
    case CLONE_NEWPID: return "pid";
    case CLONE_NEWNET: return "network";
    case CLONE_NEWCGROUP: return "cgroup";
    default: return "time";
  }
}

static int64_t number_at(const struct field *list, uint32_t index) {
  int64_t value;
  memcpy(&value, (const char *)list->ptr + (size_t)index * sizeof value, sizeof value);
  return value;
}

static int join_all(struct run *r, const struct field *join, struct told *told) {
  for (uint32_t i = 0; i + 1 < join->count; i += 2) {
    struct field slot = {.kind = F_SLOT, .num = number_at(join, i)};
    told->at = (int)i;
    int fd = slot.num < 0 || slot.num >= SLOTS ? -EBADF : run_fd(r, &slot);
    if (fd < 0) return fd;
    if (setns(fd, (int)number_at(join, i + 1))) return -errno;
    prctl(PR_SET_DUMPABLE, 0);
  }
  return 0;
}

// The process between: it joins, clones, and ends. In the clone, returns 0.
static long join_and_clone(struct run *r, const struct field *join, struct clone_args *args,
                           struct told *told) {
  told->error = join_all(r, join, told);
  if (!told->error) {
    told->at = -1;
    long pid = syscall(SYS_clone3, args, sizeof *args);
    if (pid == 0) return 0;
    told->pid = pid;
    if (pid < 0) told->error = -errno;
  }
  _exit(0);
}

static void await_end(int pidfd) {
  struct pollfd end = {.fd = pidfd, .events = POLLIN};
  while (poll(&end, 1, -1) < 0 && errno == EINTR) continue;
}

long clone_inside(struct run *r, const struct field *join, struct clone_args *args,
                  pid_t *between) {
  struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                           -1, 0);
  if (told == MAP_FAILED) return -errno;
  int ended = -1;
  // Its parent is ours, and so is that of the clone. Descriptors are shared: the pidfd is for us.
  struct clone_args first = {.flags = CLONE_PARENT | CLONE_FILES | CLONE_PIDFD,
                             .pidfd = (uint64_t)(uintptr_t)&ended};
  long pid = syscall(SYS_clone3, &first, sizeof first);
  if (pid == 0) {
    args->pidfd = (uint64_t)(uintptr_t)&told->pidfd;
    return join_and_clone(r, join, args, told);
  }
  int error = pid < 0 ? -errno : 0;
  if (!error) {
    *between = (pid_t)pid;
    await_end(ended);
    close(ended);
    error = told->error;
    if (!error) memcpy((void *)(uintptr_t)args->pidfd, &told->pidfd, sizeof(int));
  }
  long made = error ? error : told->pid ? told->pid : -ECHILD;
  if (error && told->at >= 0)
    run_fail(r, error, "joining the %s namespace",
             namespace_name(number_at(join, (uint32_t)told->at + 1)));
  munmap(told, sizeof *told);
  return made;
}

static int report_map(struct run *r, pid_t pid, const char *file) {
  char path[64], chunk[4096];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  for (size_t total = 0; total < MAP_BYTES_MAX;) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0) return -errno;
    if (n == 0) return run_result(r, "", 1);
    int error = run_result(r, chunk, (size_t)n);
    if (error) return error;
    total += (size_t)n;
  }
  return -E2BIG;
}

int op_userns_maps(struct run *r, const struct op *o) {
  int userns = run_fd(r, &o->fields[A_USERNS_MAPS_SLOT]);
  if (userns < 0) return -EBADF;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return -errno;
  // The map is read by us, who are outside: its numbers are then ours.
  pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    int error = setns(userns, CLONE_NEWUSER) ? errno : 0;
    if (write(pair[1], &error, sizeof error) < 0 || error) _exit(1);
    // Until we have closed our end, however we end.
    while (read(pair[1], &error, sizeof error) < 0 && errno == EINTR) continue;
    _exit(0);
  }
  int error = pid < 0 ? errno : 0;
  close(pair[1]);
  if (!error && read_exact(pair[0], &error, sizeof error)) error = ECHILD;
  int result = error ? run_fail(r, -error, "joining the user namespace") : 0;
  if (!result) result = report_map(r, pid, "uid_map");
  if (!result) result = report_map(r, pid, "gid_map");
  close(pair[0]);
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return result;
}

// What a process sets for itself before it becomes the container's program: namespaces,
// credentials, capabilities, limits, scheduling, seccomp.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"
#include "paths.h"

int op_setns(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_SETNS_SLOT]);
  if (fd < 0) return -EBADF;
  if (setns(fd, (int)o->fields[A_SETNS_FLAGS].num)) return -errno;
  prctl(PR_SET_DUMPABLE, 0);
  (void)r;
  return 0;
}

int op_unshare(struct run *r, const struct op *o) {
  (void)r;
  return unshare((int)o->fields[A_UNSHARE_FLAGS].num) ? -errno : 0;
}

int op_setsid(struct run *r, const struct op *o) {
  (void)r;
  (void)o;
  return setsid() < 0 ? -errno : 0;
}

int op_hostname(struct run *r, const struct op *o) {
  const struct field *name = &o->fields[A_HOSTNAME_NAME];
  return sethostname(name->ptr, name->len) ? run_fail(r, -errno, "%s", name->ptr) : 0;
}

int op_domainname(struct run *r, const struct op *o) {
  const struct field *name = &o->fields[A_DOMAINNAME_NAME];
  return setdomainname(name->ptr, name->len) ? run_fail(r, -errno, "%s", name->ptr) : 0;
}

int op_prctl(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  (void)r;
  int result = prctl((int)f[A_PRCTL_OPTION].num, (unsigned long)f[A_PRCTL_ARG2].num,
                     (unsigned long)f[A_PRCTL_ARG3].num, (unsigned long)f[A_PRCTL_ARG4].num,
                     (unsigned long)f[A_PRCTL_ARG5].num);
  return result < 0 ? -errno : 0;
}

static int64_t next_int(const char **at) {
  int64_t value;
  memcpy(&value, *at, sizeof value);
  *at += sizeof value;
  return value;
}

// Cut to 32 bits a number would be somebody else's, perhaps root's; the last one means "as before".
static bool is_id(int64_t value) { return value >= 0 && value < UINT32_MAX; }

// The raw system calls: glibc's wrappers would do nothing else in a process of one thread.
int op_setgroups(struct run *r, const struct op *o) {
  const struct field *f = &o->fields[A_SETGROUPS_GIDS];
  if (f->count > NGROUPS_MAX) return -EINVAL;
  gid_t *gids = calloc((size_t)f->count + 1, sizeof *gids);
  if (!gids) return -ENOMEM;
  const char *at = f->ptr;
  bool valid = true;
  for (uint32_t i = 0; i < f->count; i++) {
    int64_t gid = next_int(&at);
    valid &= is_id(gid);
    gids[i] = (gid_t)gid;
  }
  int error = !valid ? -EINVAL : syscall(SYS_setgroups, (size_t)f->count, gids) ? -errno : 0;
  free(gids);
  return error ? run_fail(r, error, "additional groups") : 0;
}

int op_setgid(struct run *r, const struct op *o) {
  int64_t id = o->fields[A_SETGID_GID].num;
  gid_t gid = (gid_t)id;
  if (!is_id(id)) return run_fail(r, -EINVAL, "gid %lld", (long long)id);
  if (syscall(SYS_setresgid, gid, gid, gid)) return run_fail(r, -errno, "gid %u", gid);
  prctl(PR_SET_DUMPABLE, 0);
  return 0;
}

int op_setuid(struct run *r, const struct op *o) {
  int64_t id = o->fields[A_SETUID_UID].num;
  uid_t uid = (uid_t)id;
  if (!is_id(id)) return run_fail(r, -EINVAL, "uid %lld", (long long)id);
  if (syscall(SYS_setresuid, uid, uid, uid)) return run_fail(r, -errno, "uid %u", uid);
  prctl(PR_SET_DUMPABLE, 0);
  return 0;
}

int op_cap_bounding(struct run *r, const struct op *o) {
  uint64_t keep = (uint64_t)o->fields[A_CAP_BOUNDING_KEEP].num;
  for (unsigned long cap = 0; cap < 64; cap++) {
    if (keep >> cap & 1) continue;
    int present = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (present < 0) break;  // past the kernel's last capability
    if (present && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
      return run_fail(r, -errno, "capability %lu", cap);
  }
  return 0;
}

int op_capset(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  (void)r;
  uint64_t effective = (uint64_t)f[A_CAPSET_EFFECTIVE].num;
  uint64_t permitted = (uint64_t)f[A_CAPSET_PERMITTED].num;
  uint64_t inheritable = (uint64_t)f[A_CAPSET_INHERITABLE].num;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
  };
  return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int op_cap_ambient(struct run *r, const struct op *o) {
  uint64_t raise = (uint64_t)o->fields[A_CAP_AMBIENT_RAISE].num;
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) return -errno;
  for (unsigned long cap = 0; cap < 64; cap++) {
    if (!(raise >> cap & 1)) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
      return run_fail(r, -errno, "capability %lu", cap);
  }
  return 0;
}

// The kernel's numbers of getrlimit(2), which say nothing to whoever wrote a configuration.
static const char *const rlimit_names[] = {
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
    "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
};

static int rlimit_failed(struct run *r, int resource, const struct rlimit *wanted) {
  int error = -errno;
  const char *name = resource >= 0 && resource < (int)(sizeof rlimit_names / sizeof *rlimit_names)
                         ? rlimit_names[resource]
                         : "?";
  const char *why =
      error == -EPERM ? " (its own hard limit is lower, without CAP_SYS_RESOURCE)" : "";
  return run_fail(r, error, "error setting rlimit type %d: RLIMIT_%s to soft %llu, hard %llu%s",
                  resource, name, (unsigned long long)wanted->rlim_cur,
                  (unsigned long long)wanted->rlim_max, why);
}

int op_rlimit(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  int resource = (int)f[A_RLIMIT_RESOURCE].num;
  struct rlimit wanted = {(rlim_t)f[A_RLIMIT_SOFT].num, (rlim_t)f[A_RLIMIT_HARD].num};
  if (prlimit(0, resource, &wanted, NULL) == 0) return 0;
  if (errno != EPERM || !f[A_RLIMIT_CLAMP].num) return rlimit_failed(r, resource, &wanted);
  struct rlimit now;
  if (prlimit(0, resource, NULL, &now)) return -errno;
  wanted.rlim_max = now.rlim_max;
  if (wanted.rlim_cur > now.rlim_max) wanted.rlim_cur = now.rlim_max;
  return prlimit(0, resource, &wanted, NULL) ? rlimit_failed(r, resource, &wanted) : 0;
}

int op_personality(struct run *r, const struct op *o) {
  (void)r;
  return personality((unsigned long)o->fields[A_PERSONALITY_VALUE].num) < 0 ? -errno : 0;
}

int op_memory_policy(struct run *r, const struct op *o) {
  const struct field *nodes = &o->fields[A_MEMORY_POLICY_NODES];
  unsigned long mask[16] = {0};
  if (nodes->len > sizeof mask) return run_fail(r, -EINVAL, "too many memory nodes");
  if (nodes->len) memcpy(mask, nodes->ptr, nodes->len);
  // The kernel takes one bit less than it is told of.
  unsigned long bits = nodes->len ? nodes->len * 8 + 1 : 0;
  long mode = (long)o->fields[A_MEMORY_POLICY_MODE].num;
  return syscall(SYS_set_mempolicy, mode, nodes->len ? mask : NULL, bits) ? -errno : 0;
}

struct scheduler_attr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

int op_scheduler(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  struct scheduler_attr attr = {
      .size = sizeof attr,
      .policy = (uint32_t)f[A_SCHEDULER_POLICY].num,
      .flags = (uint64_t)f[A_SCHEDULER_FLAGS].num,
      .nice = (int32_t)f[A_SCHEDULER_NICE].num,
      .priority = (uint32_t)f[A_SCHEDULER_PRIORITY].num,
      .runtime = (uint64_t)f[A_SCHEDULER_RUNTIME].num,
      .deadline = (uint64_t)f[A_SCHEDULER_DEADLINE].num,
      .period = (uint64_t)f[A_SCHEDULER_PERIOD].num,
  };
  int error = syscall(SYS_sched_setattr, 0, &attr, 0) ? -errno : 0;
  return error ? run_fail(r, error, "sched_setattr: %s", strerror(-error)) : 0;
}

int op_io_priority(struct run *r, const struct op *o) {
  (void)r;
  int value = (int)(o->fields[A_IO_PRIORITY_CLASS].num << 13 |
                    o->fields[A_IO_PRIORITY_PRIORITY].num);
  return syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, value) ? -errno : 0;
}

int op_affinity(struct run *r, const struct op *o) {
  const struct field *mask = &o->fields[A_AFFINITY_MASK];
  (void)r;
  long result = syscall(SYS_sched_setaffinity, 0, (size_t)mask->len, mask->ptr);
  return result < 0 ? -errno : 0;
}

int op_chdir(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  const char *path = f[A_CHDIR_PATH].ptr;
  int result = chdir(path);
  if (result && errno == ENOENT && f[A_CHDIR_CREATE].num) {
    struct new_folder how = {0755, (uid_t)f[A_CHDIR_UID].num, (gid_t)f[A_CHDIR_GID].num};
    AUTO_CLOSE int fd = make_folders(AT_FDCWD, path, &how);
    if (fd < 0) return run_fail(r, fd, "chdir to cwd (\"%s\")", path);
    result = chdir(path);
  }
  if (result) return run_fail(r, -errno, "chdir to cwd (\"%s\")", path);
  // CVE-2024-21626: a folder outside the root, reached through a leaked descriptor, is refused.
  char here[PATH_MAX];
  long length = syscall(SYS_getcwd, here, sizeof here);
  if (length < 0 || here[0] != '/')
    return run_fail(r, -ENOENT, "the working directory is outside the container's root");
  return 0;
}

int op_keyring(struct run *r, const struct op *o) {
  const char *name = o->fields[A_KEYRING_NAME].ptr;
  (void)r;
  long result = syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, name, 0, 0, 0);
  // A kernel without keys, or one whose quota is used up for this user, isolates as it did before.
  if (result < 0 && (errno == ENOSYS || errno == EDQUOT)) return 0;
  return result < 0 ? -errno : 0;
}

int op_pidfd_open(struct run *r, const struct op *o) {
  pid_t pid = (pid_t)o->fields[A_PIDFD_OPEN_PID].num;
  uint64_t ticks = (uint64_t)o->fields[A_PIDFD_OPEN_START_TICKS].num;
  int fd = pidfd_open(pid, 0);
  if (fd < 0) return -errno;
  if (ticks && start_ticks(pid) != ticks) {  // another's by now, or none's
    close(fd);
    return -ESRCH;
  }
  return run_store(r, &o->fields[A_PIDFD_OPEN_TO], fd);
}

int op_kill(struct run *r, const struct op *o) {
  int64_t slot = o->fields[A_KILL_SLOT].num;
  int signal = (int)o->fields[A_KILL_SIGNAL].num;
  if (slot < 0 || r->slot[slot] < 0) return run_fail(r, -ESRCH, "slot %d is empty", (int)slot);
  int result = run_slot_is_fd(slot) ? pidfd_send_signal((int)r->slot[slot], signal, NULL, 0)
                                    : kill((pid_t)r->slot[slot], signal);
  return result ? -errno : 0;
}

static int write_map(pid_t pid, const char *file, const char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int op_make_userns(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  // A child that only holds the namespace until it has maps and a descriptor.
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid < 0) return -errno;
  if (pid == 0) {
    pause();
    _exit(0);
  }
  int error = write_map((pid_t)pid, "uid_map", f[A_MAKE_USERNS_UID_MAP].ptr);
  if (error) run_fail(r, error, "uid_map");
  if (!error && (error = write_map((pid_t)pid, "gid_map", f[A_MAKE_USERNS_GID_MAP].ptr)))
    run_fail(r, error, "gid_map");
  if (!error) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    error = fd < 0 ? -errno : run_store(r, &f[A_MAKE_USERNS_TO], fd);
  }
  kill((pid_t)pid, SIGKILL);
  syscall(SYS_wait4, pid, NULL, 0, NULL);
  return error;
}

// As whom this process works on files: under other ids than its own, or inside the namespaces of
// a container.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

// A change of the file system's uid would take the capabilities over files with it.
int op_file_ids(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  uid_t uid = (uid_t)f[A_FILE_IDS_UID].num;
  gid_t gid = (gid_t)f[A_FILE_IDS_GID].num;
  int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (bits < 0) return -errno;
  unsigned long without = (unsigned long)bits & ~(unsigned long)SECBIT_NO_SETUID_FIXUP;
  if (prctl(PR_SET_SECUREBITS, without | SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    return run_fail(r, -errno, "keeping the capabilities over files");
  setfsgid(gid);
  setfsuid(uid);
  // Both return what was before; asked again with an id that is none, what is.
  if (setfsuid((uid_t)-1) != (int)uid || setfsgid((gid_t)-1) != (int)gid)
    return run_fail(r, -EPERM, "ids %u:%u", uid, gid);
  prctl(PR_SET_DUMPABLE, 0);
  return prctl(PR_SET_SECUREBITS, without, 0, 0, 0) ? -errno : 0;
}

// Field 22 of /proc/<pid>/stat, counted behind the name, which may hold anything.
static int read_start(int proc, unsigned long long *ticks) {
  AUTO_CLOSE int fd = openat(proc, "stat", O_RDONLY | O_CLOEXEC);
  char text[1024];
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n < 0) return -errno;
  text[n] = 0;
  const char *at = strrchr(text, ')');
  for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' ');
  return at && sscanf(at, "%llu", ticks) == 1 ? 0 : -EIO;
}

// Whoever enters keeps its outer ids, which mean nobody there, until it takes root's.
static int enter_userns(struct run *r, int users) {
  if (setns(users, CLONE_NEWUSER)) return run_fail(r, -errno, "user namespace");
  if (syscall(SYS_setgroups, (size_t)0, NULL) || syscall(SYS_setresgid, 0, 0, 0) ||
      syscall(SYS_setresuid, 0, 0, 0))
    return run_fail(r, -errno, "root of the user namespace");
  prctl(PR_SET_DUMPABLE, 0);
  return 0;
}

// The folder in /proc belongs to one process, whoever has its pid afterwards.
int op_enter_process(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  char path[32];
  snprintf(path, sizeof path, "/proc/%d", (int)f[A_ENTER_PROCESS_PID].num);
  AUTO_CLOSE int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return run_fail(r, errno == ENOENT ? -ESRCH : -errno, "the process has ended");
  AUTO_CLOSE int space = openat(proc, "ns/mnt", O_RDONLY | O_CLOEXEC);
  int root = space < 0 ? -1 : openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int error = root < 0 ? (errno == ENOENT ? -ESRCH : -errno)
                       : run_store(r, &f[A_ENTER_PROCESS_TO], root);
  unsigned long long ticks;
  if (error == 0) error = read_start(proc, &ticks);
  if (error == -ENOENT) error = -ESRCH;
  if (error == 0 && ticks != (unsigned long long)f[A_ENTER_PROCESS_START_TICKS].num) error = -ESRCH;
  if (error) return run_fail(r, error, "the process has ended");
  AUTO_CLOSE int users = -1;
  if (f[A_ENTER_PROCESS_USERNS].num && (users = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC)) < 0)
    return run_fail(r, -errno, "user namespace");
  if (setns(space, CLONE_NEWNS)) return run_fail(r, -errno, "mount namespace");
  return users < 0 ? 0 : enter_userns(r, users);
}

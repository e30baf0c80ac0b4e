// The birth of a process: clone, the barriers between the two halves of a plan, the hand-over of
// slots, and execve. What runs after clone in the child is the container half.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exec.h"
#include "namespace.h"
#include "operations.gen.h"

#define EXECUTABLE_UMASK 022
// A plan has 64 slots, and those that it was started with.
#define DESCRIPTORS_OF_PLANS_MAX 1024

static _Noreturn void run_container(struct run *r, int peer) {
  // Above all the parent's end of this socket: holding it, we would never see the parent die.
  int keep[SLOTS + 1];
  size_t count = 0;
  keep[count++] = peer;
  for (int i = 0; i < SLOTS; i++)
    if (run_slot_is_fd(i) && r->slot[i] >= 0) keep[count++] = (int)r->slot[i];
  close_others(keep, count);
  executor.container = true;
  executor.peer = peer;
  executor.monitor = -1;
  executor.points = 0;
  executor.queued = 0;
  if (peer_wait(-3)) _exit(1);
  for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_DUMPABLE, 0);
  r->results = NULL;
  int error = run_half(r, executor.plan, HALF_CONTAINER);
  if (!error) error = run_fail(r, -ENOEXEC, "the container half ended without execve");
  peer_fail(r->index, -error, r->text);
  _exit(1);
}

int op_clone(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  if (executor.container || executor.monitor < 0 || executor.peer >= 0)
    return run_fail(r, -EINVAL, "clone is for the host half, once, beneath a monitor");
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) return -errno;
  int pidfd = -1;
  struct clone_args args = {
      .flags = (uint64_t)f[A_CLONE_FLAGS].num | CLONE_PARENT | CLONE_PIDFD,
      .pidfd = (uint64_t)(uintptr_t)&pidfd,
  };
  if (f[A_CLONE_CGROUP].num != NO_SLOT) {
    int cgroup = run_fd(r, &f[A_CLONE_CGROUP]);
    if (cgroup < 0) return cgroup;
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)cgroup;
  }
  pid_t between = 0;
  long pid;
  if (f[A_CLONE_JOIN].count > 0) {
    pid = clone_inside(r, &f[A_CLONE_JOIN], &args, &between);
  } else {
    pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) pid = -errno;
  }
  if (pid == 0) run_container(r, pair[1]);
  int error = pid < 0 ? (int)pid : 0;
  uint32_t ended = (uint32_t)between;
  if (between > 0) send_frame(executor.monitor, 0, M_REAP, &ended, sizeof ended);
  close(pair[1]);
  if (error) {
    close(pair[0]);
    return error;
  }
  executor.peer = pair[0];
  executor.child = (pid_t)pid;
  // The child does nothing before the monitor knows of it: whatever fails now, it is found.
  uint32_t number = (uint32_t)pid;
  error = send_frame(executor.monitor, 0, M_STARTED, &number, sizeof number);
  if (error) return error;
  run_store_number(r, &f[A_CLONE_PID], pid);
  run_store(r, &f[A_CLONE_PIDFD], pidfd);
  return peer_send(P_GO, 0, NULL, -1);
}

int op_signal_peer(struct run *r, const struct op *o) {
  (void)r;
  return peer_send(P_POINT, (uint32_t)o->fields[A_SIGNAL_PEER_POINT].num, NULL, -1);
}

int op_await_peer(struct run *r, const struct op *o) {
  int64_t point = o->fields[A_AWAIT_PEER_POINT].num;
  if (point < 0 || point > 63) return -EINVAL;
  int error = peer_wait((int)point);
  if (error) return run_fail(r, error, "the other half ended before barrier %d", (int)point);
  return 0;
}

int op_send_slot(struct run *r, const struct op *o) {
  int64_t slot = o->fields[A_SEND_SLOT_SLOT].num;
  if (slot < 0) return -EBADF;
  if (run_slot_is_fd(slot)) return peer_send(P_SLOT, 0, NULL, (int)r->slot[slot]);
  if (r->slot[slot] < 0) return run_fail(r, -EBADF, "slot %d is empty", (int)slot);
  return peer_send(P_NUMBER, (uint32_t)r->slot[slot], NULL, -1);
}

int op_receive_slot(struct run *r, const struct op *o) {
  int error = peer_wait(-1);
  if (error) return run_fail(r, error, "the other half ended before it sent a slot");
  const struct field *to = &o->fields[A_RECEIVE_SLOT_TO];
  error = executor.queue[0].is_fd ? run_store(r, to, executor.queue[0].fd)
                                  : run_store_number(r, to, executor.queue[0].number);
  memmove(executor.queue, executor.queue + 1, --executor.queued * sizeof *executor.queue);
  return error;
}

int op_export(struct run *r, const struct op *o) {
  int fd = run_fd(r, &o->fields[A_EXPORT_SLOT]);
  if (fd < 0) return fd == AT_FDCWD ? -EBADF : fd;
  const char *as = o->fields[A_EXPORT_AS].ptr;
  if (executor.container) return peer_send(P_EXPORT, 0, as, fd);
  if (executor.monitor < 0) return run_fail(r, -EINVAL, "there is no monitor to export to");
  return send_frame_fd(executor.monitor, 0, M_FD, as, strlen(as) + 1, fd);
}

int op_umask(struct run *r, const struct op *o) {
  (void)r;
  umask((mode_t)o->fields[A_UMASK_MODE].num);
  executor.umask_set = true;
  return 0;
}

int op_close_from(struct run *r, const struct op *o) {
  (void)r;
  unsigned from = (unsigned)o->fields[A_CLOSE_FROM_FD].num;
  if (from < 3) return -EINVAL;
  // Descriptors before `from` were handed over on purpose; whatever else is open is ours.
  if (close_range(from, ~0u, CLOSE_RANGE_CLOEXEC)) return -errno;
  executor.sealed = true;
  return 0;
}

void executor_seal(void) {
  if (!executor.container || executor.silent) return;
  executor.silent = true;
  if (!executor.sealed) close_range(3 + preserved_descriptors, ~0u, CLOSE_RANGE_CLOEXEC);
  if (!executor.umask_set) umask(EXECUTABLE_UMASK);
  peer_send(P_SILENT, 0, NULL, -1);
}

static const char *path_of(char **env) {
  for (; *env; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

#define NOT_FOUND 0

static void replace_program(const char *file, char **argv, char **env) { execve(file, argv, env); }

// In the place of execve: leaves errno as it would, EINPROGRESS where it would succeed.
static void look_at_program(const char *file, char **argv, char **env) {
  (void)argv;
  (void)env;
  if (faccessat(AT_FDCWD, file, X_OK, AT_EACCESS) == 0) errno = EINPROGRESS;
}

typedef void execute_function(const char *file, char **argv, char **env);

// As execvp(3): EACCES is remembered, what is missing is passed over. An errno, or NOT_FOUND.
static int search_and_execute(const char *name, char **argv, char **env,
                              execute_function *execute) {
  int worst = NOT_FOUND;
  const char *at = path_of(env);
  for (;;) {
    const char *end = strchrnul(at, ':');
    char file[PATH_MAX];
    size_t folder = (size_t)(end - at);
    if (folder + strlen(name) + 2 <= sizeof file) {
      memcpy(file, at, folder);
      file[folder] = '/';
      strcpy(file + folder + (folder > 0 || at != end), name);
      if (folder == 0) strcpy(file, name);
      struct stat st;
      if (stat(file, &st) == 0 && S_ISDIR(st.st_mode)) {
        worst = EACCES;
      } else {
        execute(file, argv, env);
        if (errno == EACCES) worst = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR) return errno;
        else if (stat(file, &st) == 0) return errno;  // its interpreter is what is missing
      }
    }
    if (!*end) return worst;
    at = end + 1;
  }
}

static int execute_named(struct run *r, char **argv, char **env, execute_function *execute) {
  const char *name = argv[0];
  int error;
  struct stat st;
  if (!*name) {
    return run_fail(r, -ENOENT, "exec: \"\": executable file not found in $PATH");
  } else if (!strchr(name, '/')) {
    error = search_and_execute(name, argv, env, execute);
    if (error == NOT_FOUND)
      return run_fail(r, -ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
  } else if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
    return run_fail(r, -EACCES, "exec: \"%s\": is a directory", name);
  } else {
    execute(name, argv, env);
    error = errno;
    if (error == ENOENT && stat(name, &st))
      return run_fail(r, -ENOENT, "exec: \"%s\": stat %s: no such file or directory", name, name);
  }
  if (error == EINPROGRESS) return 0;
  if (error == ENOENT) return run_fail(r, -ENOENT, "exec %s: no such file or directory", name);
  if (error == EACCES) return run_fail(r, -EACCES, "exec: \"%s\": permission denied", name);
  if (error == ENOEXEC) return run_fail(r, -ENOEXEC, "exec %s: exec format error", name);
  return run_fail(r, -error, "exec %s: %s", name, strerror(error));
}

int op_execve(struct run *r, const struct op *o) {
  char **argv = run_vector(&o->fields[A_EXECVE_ARGV]);
  char **env = run_vector(&o->fields[A_EXECVE_ENV]);
  if (!argv || !env) return -ENOMEM;
  if (!argv[0]) return run_fail(r, -EINVAL, "args must not be empty");
  executor_seal();
  return execute_named(r, argv, env, replace_program);
}

// What execve would close. By close(2) alone: filters that take close_range away leave that.
static void close_as_execve(void) {
  for (int fd = 3; fd < DESCRIPTORS_OF_PLANS_MAX; fd++) close(fd);
}

int op_say_and_exit(struct run *r, const struct op *o) {
  (void)r;
  if (!executor.container) return -EINVAL;
  executor_seal();
  // Whoever is in the container may stop its terminal: what waits to be written must hold nothing.
  close_as_execve();
  const struct field *text = &o->fields[A_SAY_AND_EXIT_TEXT];
  signal(SIGPIPE, SIG_IGN);
  for (size_t done = 0, length = strlen(text->ptr); done < length;) {
    ssize_t n = write(2, text->ptr + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  _exit((int)o->fields[A_SAY_AND_EXIT_CODE].num);
}

int op_check_program(struct run *r, const struct op *o) {
  char **argv = run_vector(&o->fields[A_CHECK_PROGRAM_ARGV]);
  char **env = run_vector(&o->fields[A_CHECK_PROGRAM_ENV]);
  if (!argv || !env) return -ENOMEM;
  if (!argv[0]) return run_fail(r, -EINVAL, "args must not be empty");
  int error = execute_named(r, argv, env, look_at_program);
  free(argv);
  free(env);
  return error;
}

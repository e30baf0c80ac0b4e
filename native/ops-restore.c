// Runs a program that brings processes back (CRIU) and then stands in for them: this process stays
// the monitor's child, waits for the one that was brought back, passes signals on to it and ends as
// it ends. The program's children are found by the pid that it writes to a file.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "operations.gen.h"

static int wait_for(struct run *r, pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -errno;
    if (!run_interrupt_errno) continue;
    kill(pid, SIGKILL);
    return -run_interrupt_errno;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return run_fail(r, -ENOENT, "the program was not found");
  return run_fail(r, -ECHILD, "the program ended with status %d", status);
}

static pid_t read_pid(const char *path) {
  char text[32] = "";
  AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return -1;
  return (pid_t)strtol(text, NULL, 10);
}

static _Noreturn void end_as(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  int signal_number = WTERMSIG(status);
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(signal_number, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal_number);
  raise(signal_number);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  _exit(128 + signal_number);
}

static _Noreturn void stand_in(pid_t root, const sigset_t *all) {
  // Above all the ends of its pipes: its output ends when it ends.
  close_range(0, ~0u, 0);
  set_title("gantry-restored", "");
  for (;;) {
    for (int status;;) {
      pid_t pid = waitpid(-1, &status, WNOHANG);
      if (pid == root) end_as(status);
      if (pid < 0) _exit(1);
      if (pid == 0) break;
    }
    int number = sigwaitinfo(all, NULL);
    if (number > 0 && number != SIGCHLD) kill(root, number);
  }
}

int op_restore(struct run *r, const struct op *o) {
  const struct field *f = o->fields;
  char **argv = run_vector(&f[A_RESTORE_ARGV]), **env = run_vector(&f[A_RESTORE_ENV]);
  if (!argv || !env || !argv[0]) return -ENOMEM;
  if (!executor.container) return run_fail(r, -EINVAL, "restore is for the container half");
  // What the program leaves behind becomes a child of this process.
  bool leave = f[A_RESTORE_LEAVE].num;
  if (!leave && prctl(PR_SET_CHILD_SUBREAPER, 1)) return -errno;
  sigset_t all, before;
  sigfillset(&all);
  pid_t pid = fork();
  if (pid < 0) return -errno;
  if (pid == 0) {
    close(executor.peer);
    prctl(PR_SET_DUMPABLE, 1);
    environ = env;
    execvp(argv[0], argv);
    _exit(127);
  }
  int error = wait_for(r, pid);
  if (error) return error;
  pid_t root = read_pid(f[A_RESTORE_PID_FILE].ptr);
  if (root <= 0) return run_fail(r, -ESRCH, "the program named no process");
  sigprocmask(SIG_BLOCK, &all, &before);
  executor_seal();
  close(executor.peer);
  if (leave) _exit(0);
  stand_in(root, &all);
}

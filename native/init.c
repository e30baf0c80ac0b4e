// gantry-init: PID 1 of a container that was created with --init. Starts one program, forwards
// every signal to it, reaps whatever is orphaned, and ends as the program ended.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what, int code) {
  dprintf(2, "gantry-init: %s: %s\n", what, strerror(errno));
  return code;
}

int main(int argc, char **argv) {
  int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (argc <= first) {
    dprintf(2, "usage: gantry-init -- program [arguments]\n");
    return 2;
  }
  sigset_t all, old;
  sigfillset(&all);
  // What a program's own fault raises is not to be forwarded.
  static const int faults[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
  sigprocmask(SIG_SETMASK, &all, &old);
  signal(SIGTTIN, SIG_IGN);
  signal(SIGTTOU, SIG_IGN);
  if (getpid() != 1) prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t child = fork();
  if (child < 0) return fail("fork", 1);
  if (child == 0) {
    // The program leads the foreground group of the terminal, if there is one.
    setpgid(0, 0);
    tcsetpgrp(0, getpgrp());
    signal(SIGTTIN, SIG_DFL);
    signal(SIGTTOU, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    execvp(argv[first], argv + first);
    int code = errno == ENOENT ? 127 : 126;
    _exit(fail(argv[first], code));
  }
  for (;;) {
    int signal = sigwaitinfo(&all, NULL);
    if (signal < 0) continue;
    if (signal != SIGCHLD) {
      kill(child, signal);
      continue;
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
      if (pid != child) continue;
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}

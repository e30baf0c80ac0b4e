// What a process is given, seen from inside: namespaces, capabilities, the filter, limits and
// keyrings. Prints rows of facts and judges nothing: those of two engines are compared elsewhere.
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

const char *error_name(int error) {
  if (error == -1) return "died";
  if (error == -2) return "SIGSYS";
  return error == 0 ? "ok" : strerrorname_np(error);
}

int attempt(long (*call)(const long *), const long *arguments) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return errno;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    alarm(2);
    int error = call(arguments) < 0 ? errno : 0;
    if (write(ends[1], &error, sizeof error) < 0) _exit(1);
    _exit(0);
  }
  close(ends[1]);
  int error = -1, status = 0;
  if (read(ends[0], &error, sizeof error) != sizeof error) error = -1;
  close(ends[0]);
  if (child > 0) waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? -2 : error;
}

static void print_link(const char *group, const char *key, const char *path) {
  char link[256] = "";
  if (readlink(path, link, sizeof link - 1) > 0) ROW(group, key, "%s", link);
}

static void namespaces(void) {
  static const char *names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
    print_link("namespace", names[i], path);
  }
}

/** Lines of /proc/self/status as they are. */
static void status(void) {
  static const char *wanted[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
                                 "Seccomp", "Uid", "Gid", "Groups"};
  FILE *file = fopen("/proc/self/status", "re");
  char line[512];
  while (file && fgets(line, sizeof line, file)) {
    char *value = strchr(line, ':');
    if (!value) continue;
    *value++ = 0;
    value += strspn(value, " \t");
    value[strcspn(value, "\n")] = 0;
    for (char *tab = value; (tab = strchr(tab, '\t')); *tab = ' ') {
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      if (strcmp(line, wanted[i])) continue;
      ROW(strncmp(line, "Cap", 3) ? "process" : "capabilities", line, "%s", value);
    }
  }
  if (file) fclose(file);
}

static void first_line(const char *group, const char *key, const char *path) {
  char line[512] = "";
  FILE *file = fopen(path, "re");
  if (!file) return;
  if (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    for (char *tab = line; (tab = strchr(tab, '\t')); *tab = ' ') {
    }
    ROW(group, key, "%s", line);
  }
  fclose(file);
}

static void limits(void) {
  static const struct { const char *name; int resource; } all[] = {
      {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},       {"data", RLIMIT_DATA},
      {"fsize", RLIMIT_FSIZE},   {"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE},
      {"nproc", RLIMIT_NPROC},   {"rtprio", RLIMIT_RTPRIO}, {"stack", RLIMIT_STACK},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct rlimit limit;
    if (getrlimit(all[i].resource, &limit) < 0) continue;
    ROW("limit", all[i].name, "%lld %lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
  }
}

static long keyctl_call(const long *a) { return syscall(SYS_keyctl, a[0], a[1], a[2], a[3]); }
static long add_key_call(const long *a) {
  return syscall(SYS_add_key, "user", "gantry-probe", "x", 1, a[0]);
}

static void keyrings(void) {
  long session[] = {KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0};
  long user[] = {KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0, 0};
  long place[] = {KEY_SPEC_PROCESS_KEYRING};
  ROW("keyring", "session", "%s", error_name(attempt(keyctl_call, session)));
  ROW("keyring", "of the user", "%s", error_name(attempt(keyctl_call, user)));
  ROW("keyring", "add a key", "%s", error_name(attempt(add_key_call, place)));
}

/** Descriptors beyond the three that a program is given. */
static void descriptors(void) {
  int count = 0;
  for (int fd = 3; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  ROW("process", "further descriptors", "%d", count);
}

static long unshare_call(const long *a) { return unshare((int)a[0]); }

static void new_namespaces(void) {
  static const struct { const char *name; int flag; } all[] = {
      {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},   {"net", CLONE_NEWNET},
      {"pid", CLONE_NEWPID},   {"ipc", CLONE_NEWIPC},  {"uts", CLONE_NEWUTS},
      {"time", 0x80},          {"cgroup", CLONE_NEWCGROUP},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    long flag[] = {all[i].flag};
    ROW("unshare", all[i].name, "%s", error_name(attempt(unshare_call, flag)));
  }
}

int main(void) {
  namespaces();
  status();
  first_line("process", "AppArmor", "/proc/self/attr/current");
  first_line("process", "uid map", "/proc/self/uid_map");
  first_line("process", "oom score", "/proc/self/oom_score_adj");
  ROW("process", "dumpable", "%d", prctl(PR_GET_DUMPABLE));
  ROW("process", "pid", "%d", getpid());
  descriptors();
  limits();
  keyrings();
  new_namespaces();
  probe_sockets();
  probe_system_calls();
  probe_files();
  probe_devices();
  return 0;
}

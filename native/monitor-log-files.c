// The files of a log: <path>.000001, .000002 … are its generations, the newest is being written and
// (json-file) has <path> as a second name. A name is never given to another file, so that readers,
// cursors and the daemon's compression need no lock against a rotation.
#include "monitor-log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define DIGITS_MIN 6
#define TEXT_SEARCH_BYTES (1 << 20)
#define OPEN_FLAGS (O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW)

int generation_name(char *name, size_t size, const char *path, uint32_t generation) {
  int n = snprintf(name, size, "%s.%06u", path, generation);
  return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

// The number in `base`.NNNNNN or `base`.NNNNNN.zst; 0 for any other name.
static uint32_t number_in(const char *name, const char *base) {
  size_t length = strlen(base);
  if (strncmp(name, base, length) || name[length] != '.') return 0;
  const char *digits = name + length + 1;
  char *end;
  if (*digits < '0' || *digits > '9') return 0;
  unsigned long number = strtoul(digits, &end, 10);
  if (end - digits < DIGITS_MIN || number >= UINT32_MAX) return 0;
  return *end == 0 || strcmp(end, ".zst") == 0 ? (uint32_t)number : 0;
}

static int find_generations(const char *path, uint32_t *newest, uint32_t *oldest) {
  char folder[PATH_MAX];
  const char *slash = strrchr(path, '/');
  if (!slash || (size_t)(slash - path) >= sizeof folder) return -EINVAL;
  memcpy(folder, path, (size_t)(slash - path));
  folder[slash - path] = 0;
  DIR *dir = opendir(*folder ? folder : "/");
  if (!dir) return -errno;
  *newest = 0;
  *oldest = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    uint32_t number = number_in(entry->d_name, slash + 1);
    if (number > *newest) *newest = number;
    if (number > 0 && (*oldest == 0 || number < *oldest)) *oldest = number;
  }
  closedir(dir);
  return 0;
}

// Gives the file the second name `path`, in one step.
static int name_current(const char *path, const char *file) {
  char temporary[PATH_MAX];
  int n = snprintf(temporary, sizeof temporary, "%s.next", path);
  if (n < 0 || (size_t)n >= sizeof temporary) return -ENAMETOOLONG;
  unlink(temporary);
  if (link(file, temporary) || rename(temporary, path)) return -errno;
  unlink(temporary);  // a rename between two names of one file does nothing
  return 0;
}

int next_open(const char *path, uint32_t generation, bool link_current) {
  char file[PATH_MAX];
  int error = generation_name(file, sizeof file, path, generation);
  if (error) return error;
  int fd = open(file, OPEN_FLAGS | O_CREAT | O_EXCL, 0640);
  if (fd < 0) return -errno;
  if (link_current && (error = name_current(path, file))) {
    unlink(file);
    close(fd);
    return error;
  }
  return fd;
}

// Opens the newest generation, or makes the first one. A log of before there were generations is
// the first of them.
int current_open(const char *path, uint32_t *generation, uint32_t *oldest, bool link_current) {
  char file[PATH_MAX];
  int error = find_generations(path, generation, oldest);
  if (error) return error;
  if (*generation == 0) {
    *generation = *oldest = 1;
    if ((error = generation_name(file, sizeof file, path, 1))) return error;
    if (!link_current || link(path, file)) return next_open(path, 1, link_current);
  }
  if ((error = generation_name(file, sizeof file, path, *generation))) return error;
  int fd = open(file, OPEN_FLAGS);
  if (fd < 0) return next_open(path, ++*generation, link_current);  // the newest is compressed
  if (link_current && (error = name_current(path, file))) {
    close(fd);
    return error;
  }
  return fd;
}

void remove_generations(const char *path, uint32_t *oldest, uint32_t before) {
  char file[PATH_MAX];
  for (; *oldest < before; ++*oldest) {
    if (generation_name(file, sizeof file - 4, path, *oldest)) return;
    unlink(file);
    strcat(file, ".zst");
    unlink(file);
  }
}

// Where whole records end, from the start on: a file that was torn, or could be.
static int64_t end_of_records(const char *data, int64_t size) {
  if (size < LOG_MAGIC_BYTES || memcmp(data, LOG_MAGIC, LOG_MAGIC_BYTES)) return 0;
  int64_t at = LOG_MAGIC_BYTES;
  for (;;) {
    size_t length = entry_length(LOG_BINARY, data + at, (size_t)(size - at));
    if (length == 0) return at;
    at += (int64_t)length;
  }
}

// Of the last newline in the file's last part; the entries before a torn one.
static int64_t end_of_lines(int fd, int64_t size) {
  int64_t start = size > TEXT_SEARCH_BYTES ? size - TEXT_SEARCH_BYTES : 0;
  size_t length = (size_t)(size - start);
  char *text = malloc(length + 1);
  int64_t end = size;
  if (text && pread(fd, text, length, start) == (ssize_t)length) {
    const char *newline = memrchr(text, '\n', length);
    if (newline) end = start + (newline + 1 - text);
    else if (start == 0) end = 0;
  }
  free(text);
  return end;
}

// A monitor that was killed, or a full disk, may have left half an entry: it is cut off. Returns
// the size of the file.
int64_t repair_tail(int fd, enum log_format format, int64_t size) {
  int64_t end = size;
  char last;
  if (size == 0) return 0;
  if (format == LOG_JSON) {
    if (pread(fd, &last, 1, size - 1) == 1 && last != '\n') end = end_of_lines(fd, size);
  } else {
    char *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) {
      end = end_of_records(data, size);
      munmap(data, (size_t)size);
    }
  }
  if (end < size && ftruncate(fd, end) == 0) return end;
  return size;
}

static uint64_t count_entries(int fd, enum log_format format, size_t at) {
  struct stat st;
  if (fstat(fd, &st) || st.st_size == 0) return 0;
  size_t size = (size_t)st.st_size;
  if (format == LOG_BINARY && at < LOG_MAGIC_BYTES) at = LOG_MAGIC_BYTES;
  char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return 0;
  uint64_t count = 0;
  while (at < size) {
    size_t length = entry_length(format, data + at, size - at);
    if (length == 0) break;
    at += length;
    count++;
  }
  munmap(data, size);
  return count;
}

// Removes a generation and returns how many entries from `offset` on went with it. None, if the
// daemon holds the file by another name: it ships them. Once the name is gone nobody can hold it.
uint64_t drop_generation(const char *path, uint32_t generation, enum log_format format,
                         int64_t offset) {
  char file[PATH_MAX];
  struct stat st;
  if (generation_name(file, sizeof file, path, generation)) return 0;
  AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || unlink(file) || fstat(fd, &st) || st.st_nlink > 0) return 0;
  return count_entries(fd, format, (size_t)offset);
}

static int read_small(const char *path, const char *ending, char *text, size_t size) {
  char file[PATH_MAX];
  int n = snprintf(file, sizeof file, "%s%s", path, ending);
  if (n < 0 || (size_t)n >= sizeof file) return -ENAMETOOLONG;
  AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  ssize_t got = read(fd, text, size - 1);
  if (got < 0) return -errno;
  text[got] = 0;
  return 0;
}

uint64_t read_count(const char *path, const char *ending) {
  char text[32];
  return read_small(path, ending, text, sizeof text) ? 0 : strtoull(text, NULL, 10);
}

void write_count(const char *path, const char *ending, uint64_t count) {
  char file[PATH_MAX], temporary[PATH_MAX + 8], text[32];
  int n = snprintf(file, sizeof file, "%s%s", path, ending);
  if (n < 0 || (size_t)n >= sizeof file) return;
  snprintf(temporary, sizeof temporary, "%s.tmp", file);
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return;
  int length = snprintf(text, sizeof text, "%llu\n", (unsigned long long)count);
  int error = write_fully(fd, text, (size_t)length);
  close(fd);
  if (error || rename(temporary, file)) unlink(temporary);
}

// "GENERATION:OFFSET", written by the daemon: all before it has reached the remote side.
int read_shipped(const char *path, uint32_t *generation, int64_t *offset) {
  char text[64], *end;
  int error = read_small(path, ".shipped", text, sizeof text);
  if (error) return error;
  *generation = (uint32_t)strtoul(text, &end, 10);
  if (*end != ':') return -EINVAL;
  *offset = strtoll(end + 1, NULL, 10);
  return 0;
}

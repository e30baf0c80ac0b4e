// Where entries go: appends them to the current file, rotates, keeps as many files as it was told.
// A full disk costs entries, never half of one, and is counted in <path>.dropped. With a spool,
// what has not been shipped is kept as well.
#include "monitor-log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define SPOOL_EVENTS (IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE)

static struct {
  struct log_policy policy;
  int fd;
  int64_t bytes;
  uint32_t generation, oldest;
  uint64_t dropped, reported;
  int watch;
  atomic_bool full, rotated;
} store = {.fd = -1, .watch = -1};

size_t entry_length(enum log_format format, const char *data, size_t length) {
  if (format == LOG_JSON) {
    const char *newline = memchr(data, '\n', length);
    return newline ? (size_t)(newline + 1 - data) : 0;
  }
  uint32_t text, whole;
  if (length < LOG_RECORD_HEAD + LOG_RECORD_TAIL) return 0;
  memcpy(&text, data, sizeof text);
  size_t total = (size_t)text + LOG_RECORD_HEAD + LOG_RECORD_TAIL;
  if (total > length) return 0;
  memcpy(&whole, data + total - LOG_RECORD_TAIL, sizeof whole);
  return whole == total ? total : 0;
}

static bool links_current(void) { return store.policy.format == LOG_JSON; }

static void begin_file(int fd, int64_t bytes) {
  store.fd = fd;
  store.bytes = bytes;
  if (store.policy.format == LOG_BINARY && bytes == 0 &&
      write_fully(fd, LOG_MAGIC, LOG_MAGIC_BYTES) == 0)
    store.bytes = LOG_MAGIC_BYTES;
}

static int watch_spool(const char *path) {
  char folder[PATH_MAX];
  const char *slash = strrchr(path, '/');
  if (!slash || (size_t)(slash - path) >= sizeof folder) return -EINVAL;
  memcpy(folder, path, (size_t)(slash - path));
  folder[slash - path] = 0;
  store.watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (store.watch < 0) return -errno;
  return inotify_add_watch(store.watch, folder, SPOOL_EVENTS) < 0 ? -errno : 0;
}

int store_open(const struct log_policy *policy) {
  store.policy = *policy;
  int fd = current_open(policy->path, &store.generation, &store.oldest, links_current());
  if (fd < 0) return fd;
  struct stat st;
  int64_t size = fstat(fd, &st) ? 0 : repair_tail(fd, policy->format, st.st_size);
  begin_file(fd, size);
  store.dropped = store.reported = read_count(policy->path, ".dropped");
  return policy->spool_bytes > 0 ? watch_spool(policy->path) : 0;
}

// What is not shipped yet, in bytes, and the generation and place in it that are being shipped.
static int64_t unshipped(uint32_t *shipping, int64_t *offset) {
  char file[PATH_MAX];
  int64_t sum = 0;
  struct stat st;
  *offset = 0;
  if (read_shipped(store.policy.path, shipping, offset)) *shipping = store.oldest;
  if (*shipping < store.oldest) *shipping = store.oldest, *offset = 0;
  for (uint32_t g = *shipping; g <= store.generation; g++) {
    if (generation_name(file, sizeof file, store.policy.path, g) == 0 && stat(file, &st) == 0)
      sum += st.st_size;
  }
  return sum - *offset;
}

// Makes room in the spool, by dropping what is oldest, or says that there is none.
static bool spool_has_room(uint32_t *shipping) {
  const struct log_policy *policy = &store.policy;
  int64_t offset;
  while (unshipped(shipping, &offset) >= policy->spool_bytes) {
    if (policy->blocking) return false;
    if (*shipping >= store.generation) return true;
    store.dropped += drop_generation(policy->path, *shipping, policy->format, offset);
    remove_generations(policy->path, &store.oldest, *shipping + 1);
  }
  return true;
}

static void rotate(void) {
  const struct log_policy *policy = &store.policy;
  uint32_t shipping = UINT32_MAX;
  if (policy->spool_bytes > 0 && !spool_has_room(&shipping)) {
    store.full = true;  // meanwhile the current file takes what was read already
    return;
  }
  int fd = next_open(policy->path, store.generation + 1, links_current());
  if (fd < 0) return;  // the old descriptor still takes the output
  close(store.fd);
  store.generation++;
  store.rotated = true;
  begin_file(fd, 0);
  if (store.generation < policy->max_files) return;
  uint32_t before = store.generation + 1 - policy->max_files;
  remove_generations(policy->path, &store.oldest, before < shipping ? before : shipping);
}

void store_count_dropped(uint64_t entries) { store.dropped += entries; }

static void count_range(const char *data, size_t length) {
  while (length > 0) {
    size_t n = entry_length(store.policy.format, data, length);
    if (n == 0) return;
    store.dropped++;
    data += n;
    length -= n;
  }
}

// Writes as much as there is room for; what was cut in two is cut off, and counted with the rest.
static void append(const char *data, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = write(store.fd, data + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  if (done == length) {
    store.bytes += (int64_t)length;
    return;
  }
  size_t whole = 0;
  for (size_t n = 1; n > 0; whole += n)
    n = entry_length(store.policy.format, data + whole, done - whole);
  struct stat st;
  if (whole == done || ftruncate(store.fd, store.bytes + (int64_t)whole) == 0)
    store.bytes += (int64_t)whole;
  else if (fstat(store.fd, &st) == 0)
    store.bytes = st.st_size;
  count_range(data + whole, length - whole);
}

void store_write(const char *data, size_t length) {
  const struct log_policy *policy = &store.policy;
  while (length > 0) {
    size_t take = length;
    if (policy->max_bytes > 0) {
      if (store.bytes >= policy->max_bytes) rotate();
      int64_t room = policy->max_bytes - store.bytes;
      // The entry that passes the limit is the last one of its file.
      if (room > 0 && (int64_t)length > room)
        for (take = 0; take < (size_t)room;)
          take += entry_length(policy->format, data + take, length - take);
    }
    append(data, take);
    data += take;
    length -= take;
  }
  if (store.dropped == store.reported) return;
  write_count(policy->path, ".dropped", store.dropped);
  store.reported = store.dropped;
}

bool store_has_rotated(void) { return atomic_exchange(&store.rotated, false); }

int store_spool_watch(void) { return store.watch; }

void store_spool_drain(void) {
  char events[4096];
  while (store.watch >= 0 && read(store.watch, events, sizeof events) > 0) {
  }
}

bool store_spool_full(void) {
  uint32_t shipping;
  if (store.full) store.full = !spool_has_room(&shipping);
  return store.full;
}

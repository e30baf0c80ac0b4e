// mode=non-blocking: a ring of entries between the monitor's loop and a thread that writes them. A
// disk that stands still costs entries (the newest, counted), never the container's time. The
// thread touches the store and the ring, nothing else; forks of the monitor do not use either.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monitor-log.h"

#define STACK_BYTES (128u << 10)

// Entries lie whole in the ring: where the rest is too short for one, `wrap` says where it ends.
static struct {
  pthread_mutex_t lock;
  pthread_cond_t filled, emptied;
  char *data;
  size_t size, head, tail, wrap;  // read from head on, written at tail
  bool busy;
  uint64_t dropped;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static bool is_empty(void) { return ring.head == ring.tail && !ring.wrap; }

// Free bytes in one piece at `*at`, given that a full ring never has head == tail without wrap.
static bool room_for(size_t length, size_t *at) {
  if (is_empty()) ring.head = ring.tail = 0;
  *at = ring.tail;
  if (ring.wrap) return ring.head - ring.tail >= length;
  if (ring.size - ring.tail >= length) return true;
  *at = 0;
  return ring.head >= length;
}

static void *write_queue(void *unused) {
  (void)unused;
  pthread_mutex_lock(&ring.lock);
  for (;;) {
    while (is_empty() && ring.dropped == 0) pthread_cond_wait(&ring.filled, &ring.lock);
    size_t from = ring.head, to = ring.wrap ? ring.wrap : ring.tail;
    uint64_t dropped = ring.dropped;
    ring.dropped = 0;
    ring.busy = true;
    pthread_mutex_unlock(&ring.lock);
    if (dropped > 0) store_count_dropped(dropped);
    store_write(ring.data + from, to - from);
    pthread_mutex_lock(&ring.lock);
    ring.busy = false;
    if (from != to) ring.head = to == ring.wrap ? 0 : to;
    if (from != to && to == ring.wrap) ring.wrap = 0;
    pthread_cond_signal(&ring.emptied);
  }
  return NULL;
}

int queue_start(size_t bytes) {
  ring.size = bytes;
  ring.data = malloc(bytes);
  if (!ring.data) return -ENOMEM;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&ring.emptied, &monotonic);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // The page that guards it is a part of it, and has 64 KiB on some machines of arm64.
  pthread_attr_setstacksize(&attributes, STACK_BYTES + (size_t)sysconf(_SC_PAGESIZE));
  pthread_t thread;
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  int error = pthread_create(&thread, &attributes, write_queue, NULL);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  if (!error) pthread_detach(thread);
  return -error;
}

// Whole entries; false when there is no room for them.
bool queue_put(const char *data, size_t length) {
  size_t at;
  pthread_mutex_lock(&ring.lock);
  bool room = room_for(length, &at);
  if (room) {
    if (at == 0 && ring.tail > 0) ring.wrap = ring.tail;
    memcpy(ring.data + at, data, length);
    ring.tail = at + length;
    pthread_cond_signal(&ring.filled);
  }
  pthread_mutex_unlock(&ring.lock);
  return room;
}

void queue_dropped(uint64_t entries) {
  pthread_mutex_lock(&ring.lock);
  ring.dropped += entries;
  pthread_cond_signal(&ring.filled);
  pthread_mutex_unlock(&ring.lock);
}

void queue_flush(int64_t most_ms) {
  if (!ring.data) return;
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += most_ms / 1000;
  pthread_mutex_lock(&ring.lock);
  while (!is_empty() || ring.busy || ring.dropped > 0)
    if (pthread_cond_timedwait(&ring.emptied, &ring.lock, &until) == ETIMEDOUT) break;
  pthread_mutex_unlock(&ring.lock);
}

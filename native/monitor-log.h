// The local log of a container, in three parts: monitor-log.c cuts output into entries and encodes
// them, monitor-log-queue.c is the ring between it and a slow disk (mode=non-blocking),
// monitor-log-store.c owns the files. Only whole entries pass from one part to the next.
#ifndef GANTRY_MONITOR_LOG_H
#define GANTRY_MONITOR_LOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MAGIC "GLOG1\n\0\0"  // first bytes of a file of binary records
#define LOG_MAGIC_BYTES 8
#define LOG_RECORD_HEAD 16  // u32 text length, u8 flags, u8 0, u16 ordinal, i64 time
#define LOG_RECORD_TAIL 4   // u32 length of the whole record: for reading backwards
#define LOG_FLAG_PART 4     // beside the stream's number (1, 2): the line is in parts
#define LOG_FLAG_LAST 8     // the line ends here

enum log_format { LOG_JSON = 0, LOG_BINARY = 1 };

// What the daemon asks for; a file is <path>.NNNNNN, the one with the highest number is current.
struct log_policy {
  char *path;
  enum log_format format;
  int64_t max_bytes;    // 0: never rotated
  uint32_t max_files;
  int64_t spool_bytes;  // > 0: of a remote driver: what is not shipped is kept, up to so much
  bool blocking;        // over it, the container waits; otherwise the oldest file goes
  int64_t queue_bytes;  // > 0: entries pass through a ring of this size, and are dropped if full
};

// monitor-log-store.c: used by one thread, after store_open.
int store_open(const struct log_policy *policy);
// Appends whole entries; rotates between them as needed. What cannot be written is counted.
void store_write(const char *data, size_t length);
void store_count_dropped(uint64_t entries);
// Length of the entry that begins at `data`; 0 when there is not a whole one.
size_t entry_length(enum log_format format, const char *data, size_t length);
// True once after each rotation.
bool store_has_rotated(void);
// The descriptor (inotify) that becomes readable when a full spool may have room again, or -1.
int store_spool_watch(void);
void store_spool_drain(void);
// True while the container has to wait for room.
bool store_spool_full(void);

// monitor-log-files.c
int current_open(const char *path, uint32_t *generation, uint32_t *oldest, bool link_current);
int next_open(const char *path, uint32_t generation, bool link_current);
void remove_generations(const char *path, uint32_t *oldest, uint32_t before);
int generation_name(char *name, size_t size, const char *path, uint32_t generation);
int64_t repair_tail(int fd, enum log_format format, int64_t size);
uint64_t drop_generation(const char *path, uint32_t generation, enum log_format format,
                         int64_t offset);
uint64_t read_count(const char *path, const char *ending);
void write_count(const char *path, const char *ending, uint64_t count);
int read_shipped(const char *path, uint32_t *generation, int64_t *offset);

// monitor-log-queue.c
int queue_start(size_t bytes);
bool queue_put(const char *data, size_t length);
void queue_dropped(uint64_t entries);
// Waits until everything is written, at most so long.
void queue_flush(int64_t most_ms);

#endif

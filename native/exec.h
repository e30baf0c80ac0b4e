// Running decoded operations: exec.c (one half, its slots and results) and executor.c (the two
// halves of a plan, and who reports what to whom). Private to the native core.
#ifndef GANTRY_EXEC_H
#define GANTRY_EXEC_H
#include "wire.h"

struct results {
  struct out data;    // u32 count is written in front when it is sent
  uint32_t count;
  size_t open;        // offset of the length of the current entry, or 0
  uint32_t open_index;
};

void run_init(struct run *r, struct results *results);
// Stores a number (pid, interface index): unlike a descriptor it is never closed or passed.
int run_store_number(struct run *r, const struct field *f, int64_t value);
bool run_slot_is_fd(int64_t slot);
// Marks what a child inherited as its own without closing anything.
uint64_t run_fd_mask(void);
// Set asynchronously (a deadline, a cancellation): the next operation fails with it.
extern volatile int run_interrupt_errno;

// Runs a half in order; 0, or the negative errno of the operation r->index.
int run_half(struct run *r, const struct plan *plan, enum half half);
// Runs teardown operations, each whatever became of the others; appends (u32 index, i32 errno) of
// the failed ones.
void run_teardown(const struct plan *plan, struct out *failed);

// Frames between an executor and its monitor (with the frame header of the wire).
enum monitor_message {
  M_CONFIG = 200,    // u32 deadline ms, then the monitor config or the exec header
  M_TEARDOWN = 201,  // u32 count, operations
  M_FD = 202,        // str name, with a descriptor
  M_STARTED = 203,   // u32 pid of the clone
  M_COMMIT = 204,    // the process runs its own program now
  M_FAILED = 205,    // u8 half, u32 index, i32 errno, str text
  M_REAP = 207,      // u32 pid of a child that has ended
  M_ACK = 206,       // monitor → executor: u64 start ticks, u32 monitor pid
};

struct executor {
  int monitor;        // socket to the monitor, or -1
  int peer;           // socket between the two halves, or -1
  bool container;     // this process runs the container half
  pid_t child;        // what clone made
  const struct plan *plan;
  uint64_t points;    // barriers that the peer has signalled
  struct { int fd; bool is_fd; int64_t number; } queue[16];  // slots that the peer has sent
  uint32_t queued;
  bool umask_set, sealed, silent;  // container half: see ops-process.c
  int agent;          // host half: the connection to a seccomp agent, or -1; see ops-seccomp.c
  uint8_t fail_half;
  uint32_t fail_index;
  int fail_errno;
  char fail_text[256];
};
extern struct executor executor;

// Reads what the peer says until `point` was signalled (or, with -1, until a slot came; with -2
// until it has closed its end). 0 or a negative errno; the peer's failure is kept in `executor`.
int peer_wait(int point);
int peer_fail(uint32_t index, int error, const char *text);
// The container half speaks to `fd` from now on, no more to the half that made it.
void peer_replace(int fd);
int peer_send(uint8_t type, uint32_t number, const char *text, int fd);
enum peer_message { P_GO = 1, P_POINT, P_SLOT, P_NUMBER, P_EXPORT, P_SILENT, P_FAIL, P_FILTER };

// The container half is about to load a filter whose listener goes to the agent; `text` says where
// in its memory it will say so.
int hand_listener(const char *text);

// From here on the container half can no longer be expected to speak (seccomp, execve).
void executor_seal(void);

// Reads one RUN frame from `fd`, runs it, answers. Does not return.
_Noreturn void worker_main(int fd);
// Reads a CREATE frame (or, with exec, the rest of an EXEC frame: `left` bytes, request `id`) from
// `fd`, and speaks with the monitor over `monitor`. Does not return.
_Noreturn void executor_main(int fd, int monitor, bool exec, uint32_t id, uint32_t left);
// What every process that is about to hold a plan does: keeps only `a` and `b`, is non-dumpable.
void isolate_process(int a, int b);
// Descriptors from 3 on that belong to the container (--preserve-fds).
extern unsigned preserved_descriptors;
// Closes every descriptor but those, the standard streams and `keep` (sorted here).
void close_others(int *keep, size_t count);

// When a process started, in clock ticks (/proc/PID/stat field 22); 0 when it is gone.
uint64_t start_ticks(pid_t pid);

#endif

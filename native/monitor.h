// The monitor of one container, in a file a role: monitor.c (loop, processes, exits),
// monitor-job.c (a create or exec under way, teardown), monitor-conn.c (its socket),
// monitor-io.c (streams and attached clients), monitor-log*.c, monitor-oom.c.
#ifndef GANTRY_MONITOR_H
#define GANTRY_MONITOR_H
#include "monitor-log.h"
#include "wire.h"

#define CLIENT_QUEUE_BYTES_MAX (64u << 10)  // above it, the container's output waits
#define DRAIN_MS 2000        // how long output may outlive the process (docker's limit)
#define LINGER_MS 10000      // how long a slow client may read after the end
#define JOB_GRACE_MS 2000    // beyond an executor's own deadline
#define MEET_MS 3000         // how long a monitor that nobody has ever connected to waits for it
#define KILL_WAIT_MS 2000    // how long a killed half may take to die
#define TEARDOWN_MS 30000
#define CLIENTS_MAX 1024
#define STREAM_CHUNK_BYTES 16384   // docker's parts of a long line; input of clients
#define OUTPUT_CHUNK_BYTES 262144  // read from the container at once, and its pipe's size
#define OWN_CGROUPS_MAX 16

// Anything that epoll watches. One event is taken at a time, so a handler may free others.
struct source {
  void (*handle)(struct source *s, uint32_t events);
  int fd;
  uint32_t events;  // as registered; 0: not registered
};

struct process;

struct stream {
  struct source source;  // fd -1: absent or at its end
  struct process *process;
  uint8_t number;        // 1 stdout, 2 stderr
  char *tail;            // an incomplete line, at most STREAM_CHUNK_BYTES
  uint32_t tail_length;
  uint16_t ordinal;      // so many parts of this line were logged before, at this time:
  int64_t partial_seconds;
  uint32_t partial_nanoseconds;
};

struct client {
  struct source source;
  struct client *next;
  struct process *process;
  uint8_t mask;          // stdin 1, stdout 2, stderr 4
  bool read_end;         // nothing more comes from it
  uint8_t *queue;
  uint32_t queue_start, queue_length, queue_capacity;
};

struct process {
  struct process *next;
  char *id;              // "" is init
  bool exec, terminal, stdin_once, open_stdin;
  pid_t pid;
  uint64_t ticks;
  struct source exit;    // pidfd
  struct source stdin;   // write end of its pipe, or a duplicate of the pty
  struct stream out[2];  // with a terminal, out[0] is the pty
  int tty;               // the pty for resizing (out[0]'s descriptor), or -1
  uint8_t *pending;      // stdin that the pipe did not take yet
  uint32_t pending_start, pending_length;
  bool stdin_ending;     // close once pending is written
  struct client *clients;
  bool started, hold, exited, reported;
  uint32_t hold_ms;
  int64_t hold_until, drain_until;  // hold_until counts from the start of the program
  int status_code, status_signal;
  int64_t exit_seconds;
  uint32_t exit_nanoseconds;
  uint8_t *teardown;     // an exec's own, run after its end
  uint32_t teardown_length, teardown_count;
};

// A create or an exec between fork of its executor and commit.
struct job {
  struct job *next;
  struct source executor;  // socket
  struct source exit;      // pidfd of the executor
  struct process *process;
  int reply;               // where FAIL goes
  pid_t pid;               // of the executor
  uint32_t id;
  bool exec, configured, committed, failed;
  uint8_t fail_half;
  uint32_t fail_index;
  int fail_errno;
  char fail_text[256];
  int64_t deadline;
  struct source teardown;  // pidfd of the teardown process
};

struct monitor {
  char *id, *socket_path, *exit_path, *oom_path;
  char *own_cgroups[OWN_CGROUPS_MAX];  // cgroup.procs files
  struct source listen, control;
  struct process *processes;  // init is among them
  struct process *init;
  struct job *jobs;
  bool running, oom_killed, ending, met;
  int64_t ending_since;
  struct source teardown;
  uint32_t connections;
};
extern struct monitor monitor;

// monitor.c
_Noreturn void monitor_main(int plan, int control);
int64_t monotonic_ms(void);
void watch_source(struct source *s, uint32_t events);
void forget_source(struct source *s);
struct process *find_process(const char *id);
void settle(struct process *p);
_Noreturn void monitor_end(void);

// monitor-job.c
int start_exec(int conn, const char *id, bool terminal, bool open_stdin, uint32_t hold_ms,
               uint32_t request, uint32_t left);
void start_create(int plan, int control);
void fail_job(struct job *job, uint8_t half, uint32_t index, int error, const char *text);
pid_t run_teardown_process(const uint8_t *ops, uint32_t length, uint32_t count, int reply,
                           uint32_t id, const struct job *failure);

// monitor-conn.c
int listen_on(const char *path);
void broadcast_exit(struct process *p);
void broadcast_oom(void);
void broadcast_log(void);

// monitor-io.c
int add_stream(struct process *p, const char *name, int fd);
void start_streams(struct process *p);
void adjust_streams(struct process *p);
void drain_streams(struct process *p);
bool streams_ended(const struct process *p);
bool clients_flushed(const struct process *p);
struct client *add_client(int fd, struct process *p, uint8_t mask);
void close_process_io(struct process *p);

// monitor-log.c. `room` is called when output may be read again after log_is_full.
int log_open(const struct log_policy *policy, char *attrs, void (*room)(void));
void log_output(struct stream *s, const char *data, size_t length);
void log_end(struct stream *s);
bool log_is_full(void);
// True once after each rotation.
bool log_has_rotated(void);
// Gives a slow disk some time: before an exit is reported, and before the end.
void log_settle(bool ending);

// monitor-oom.c
// A descriptor that is readable when memory ran out; also when the cgroup is removed.
int oom_events(const char *path);
int oom_watch(const char *path);
void oom_check(void);
// The same when init has ended: what is still on its way is waited for.
void oom_settle(void);

#endif

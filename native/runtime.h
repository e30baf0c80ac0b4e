// gantry-runtime: runtime.c relays between the caller and TypeScript, runtime-native.c runs plans,
// runtime-lock.c and runtime-notify.c have what lasts as long as a command.
#ifndef GANTRY_RUNTIME_H
#define GANTRY_RUNTIME_H
#include "wire.h"

// What a NATIVE frame asks for, by its first byte. A "socket" is a path; "" is none.
enum runtime_request {
  R_RUN = 1,     // plan: runs its host half in a process of its own
  R_CREATE = 2,  // u32 preserved descriptors, u8 CREATE_*, str console socket ("": the terminal is
                 // kept for R_WAIT), str pidfd socket, str what it is told, plan
  R_WAIT = 3,    // u32 pid, u8 whether the kept terminal is relayed: until that child has ended
  R_LOCK = 4,    // str folder, u32 ms: until nobody else works on it; ENOENT when it is removed
  R_UNLOCK = 5,
  R_WATCH = 6,   // str memory.oom_control or memory.events: EVENT frames from now on
  R_LISTEN = 7,  // str path: a socket for what a container's program tells its service manager
  R_NOTIFY = 8,  // str manager's socket, u32 pid whose end ends it, u32 MAINPID (0: this process),
                 // u8 whether to go on meanwhile: hands on that it is ready
};
enum { CREATE_SUBREAPER = 1 };
enum runtime_event { EVENT_OOM = 1, EVENT_GONE = 2 };

// Runs a request and appends the answer: u8 T_OK or T_FAIL and the payload of such a frame.
// R_WAIT: T_OK, u32 exit code (128 + signal).
void runtime_native(uint8_t *request, uint32_t length, struct out *answer);
// Appends a failure that no operation of a plan has met.
void runtime_fail(struct out *answer, int error, const char *text);
// Appends success without results.
void runtime_succeed(struct out *answer);

// Signals from now on go to the process that R_WAIT waits for.
void runtime_keep_signals(void);

void runtime_lock(struct cursor *c, struct out *answer);
void runtime_unlock(void);
void runtime_watch(struct cursor *c, struct out *answer);
// The watch's descriptor, or -1; what has happened there (enum runtime_event, 0: nothing).
int runtime_watched(void);
int runtime_event(void);

void runtime_listen(struct cursor *c, struct out *answer);
void runtime_notify(struct cursor *c, struct out *answer);

// Connects to a unix socket and sends `text` with a descriptor (SCM_RIGHTS). 0 or a negative errno.
int runtime_hand(const char *path, const char *text, int fd);

#endif

// The warm process of a user and build, and the frames that are spoken with it: u8 type, u32
// little-endian length, payload; see src/cli/warm/protocol.ts, which must agree.
//
// Its socket lies in a 0700 folder of the user's own. Its name contains a hash of the program's
// files (paths, times, sizes), so a changed program never meets an old process. It is bound before
// Node starts: who calls meanwhile waits for that one Node.
#ifndef GANTRY_WARM_H
#define GANTRY_WARM_H
#include <limits.h>
#include <stdint.h>

enum {
  WARM_HELLO = 1,
  WARM_STDIN_DATA,
  WARM_STDIN_END,
  WARM_WINDOW,
  WARM_SIGNAL,
  WARM_NATIVE_ANSWER,
  WARM_NATIVE_EVENT,
};
enum {
  WARM_ACCEPT = 16,
  WARM_DECLINE,
  WARM_STDOUT_DATA,
  WARM_STDERR_DATA,
  WARM_EXIT,
  WARM_STDIN_WANTED,
  WARM_RAW,
  WARM_CATCH,
  WARM_NATIVE,
};
#define WARM_FRAME_BYTES_MAX (16u << 20)

struct warm_program {
  const char *name;      // of its files: native/build/NAME.inputs, NAME-<build>.cjs
  const char *entry;     // its sources, beneath the root
  const char *resident;  // those of its warm process
  int waits;             // the call that starts the warm process is its first: one Node, not two
};

extern char warm_root[PATH_MAX];
// The hash of its files, once warm_identify has been called.
extern uint64_t warm_build_id;
// The folder of the program, from /proc/self/exe. 0 or -1.
int warm_find_root(void);
void warm_path(char *out, const char *format, ...);
// Computes the build from the list of its files. 0, or -1 where there is none.
int warm_identify(const struct warm_program *program);
const char *warm_node(void);
// The bundle of exactly these sources where there is one that is whole, else the sources.
const char *warm_bundle(const struct warm_program *program, const char *sources);
void warm_environment(void);
// A socket to the warm process, which has accepted this call. -1 where there is none (one is
// started for the next call, or for this one where the program waits) or it declined.
int warm_call(const struct warm_program *program, int argc, char **argv);
int warm_hello(int sock, int argc, char **argv, const char *token);
int warm_send(int sock, uint8_t type, const void *data, uint32_t length);
void warm_send_window(int sock);

#define WARM_GO_ON (-1)
#define WARM_LOST (-2)

// What a program does beside relaying (warm-relay.c).
struct warm_caller {
  // Called before every wait: signals that came meanwhile.
  void (*between)(void);
  // A frame that is not for the standard streams: WARM_GO_ON, WARM_LOST or an exit code.
  int (*frame)(uint8_t type, uint8_t *body, uint32_t length);
  // A descriptor that is waited for too, or -1; what is done when it can be read.
  int (*watched)(void);
  void (*event)(void);
};
// Serves a call that was accepted. The exit code, or WARM_LOST where the other end has gone.
int warm_relay(int sock, const struct warm_caller *program);

#endif

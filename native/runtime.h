// gantry-runtime: runtime.c relays between the caller and TypeScript, runtime-native.c runs plans.
#ifndef GANTRY_RUNTIME_H
#define GANTRY_RUNTIME_H
#include "wire.h"

// What a NATIVE frame asks for, by its first byte.
enum runtime_request {
  R_RUN = 1,     // plan: runs its host half in a process of its own
  R_CREATE = 2,  // u32 preserved descriptors, str console socket ("": kept for R_WAIT), plan
  R_WAIT = 3,    // u32 pid, u8 whether the kept terminal is relayed: until that child has ended
};
// Runs a request and appends the answer: u8 T_OK or T_FAIL and the payload of such a frame.
// R_WAIT: T_OK, u32 exit code (128 + signal).
void runtime_native(uint8_t *request, uint32_t length, struct out *answer);

// Signals from now on go to the process that R_WAIT waits for.
void runtime_keep_signals(void);

#endif

// The wire: frames, a bounds-checked cursor, a growing buffer, and the decoding of a plan. See
// WIRE.md. Everything here treats its input as hostile: it came from outside this process.
#ifndef GANTRY_WIRE_H
#define GANTRY_WIRE_H
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ops.h"

#define FRAME_BYTES_MAX (16u << 20)
#define WIRE_VERSION 1
#define PLAN_MAGIC 0x314c5047u  // "GPL1"
#define PLAN_OPS_MAX 16384u

enum frame_type {
  T_RUN = 1,
  T_CREATE = 2,
  T_CANCEL = 3,
  T_POOL = 4,
  T_OK = 16,
  T_FAIL = 17,
  T_CONTROL = 32,
  T_ATTACH = 33,
  T_EXEC = 34,
  T_RELEASE = 35,
  T_KILL = 36,
  T_RESIZE = 37,
  T_HELLO = 48,
  T_EXIT = 49,
  T_OOM = 50,
  T_LOG = 51,
};

enum half { HALF_HOST = 0, HALF_CONTAINER = 1, HALF_TEARDOWN = 2, HALF_PROTOCOL = 3 };

struct frame_header {
  uint32_t length;  // of what follows the header
  uint32_t id;
  uint16_t type;
  uint16_t version;
};

// Reads from memory; a read past the end sets `bad` and yields zeroes.
struct cursor {
  const uint8_t *at, *end;
  bool bad;
};
uint8_t take_u8(struct cursor *c);
uint16_t take_u16(struct cursor *c);
uint32_t take_u32(struct cursor *c);
int64_t take_i64(struct cursor *c);
const uint8_t *take_bytes(struct cursor *c, size_t length);
// u32 length, bytes, NUL; the bytes hold no other NUL. Never returns NULL ("" when bad).
const char *take_str(struct cursor *c, uint32_t *length);

// Grows as it is written to; `bad` when memory ran out.
struct out {
  uint8_t *data;
  size_t length, capacity;
  bool bad;
};
void put_bytes(struct out *o, const void *data, size_t length);
void put_u8(struct out *o, uint8_t value);
void put_u32(struct out *o, uint32_t value);
void put_i64(struct out *o, int64_t value);
void put_str(struct out *o, const char *text);
void out_free(struct out *o);

// 0, or a negative errno. read_exact: -EPIPE at an end of file.
int read_exact(int fd, void *data, size_t length);
int write_fully(int fd, const void *data, size_t length);
// One sendmsg, with a descriptor unless that is -1. The bytes sent, or a negative errno.
ssize_t send_parts(int fd, struct iovec *parts, size_t count, int pass);
int send_frame(int fd, uint32_t id, uint16_t type, const void *payload, size_t length);
// The same with a descriptor attached to the header (SCM_RIGHTS); -1 for none.
int send_frame_fd(int fd, uint32_t id, uint16_t type, const void *payload, size_t length, int pass);
// Reads a header and the descriptor that came with it (or -1).
int receive_header_fd(int fd, struct frame_header *header, int *pass);
// Reads a header and its payload into fresh memory (to be freed).
int receive_frame(int fd, struct frame_header *header, uint8_t **payload);

// Names this process in ps (main.c); `id` may be "".
void set_title(const char *role, const char *id);

struct plan {
  uint32_t deadline_ms;
  uint32_t fail_half;  // HALF_PROTOCOL: nothing is made to fail
  uint32_t fail_index;
  int32_t fail_errno;
  struct op *ops[3];  // by half
  uint32_t count[3];
  const uint8_t *teardown;  // its encoding, within the input
  size_t teardown_length;
  void *arena;
};

// Decodes a plan; strings and bytes stay in the input. 0 or -EPROTO, -E2BIG, -ENOMEM.
int plan_decode(struct plan *plan, const uint8_t *data, size_t length);
// Decodes `count` operations that stand alone (a teardown that was handed on).
int ops_decode(struct plan *plan, enum half half, uint32_t count, const uint8_t *data,
               size_t length);
void plan_free(struct plan *plan);

#endif

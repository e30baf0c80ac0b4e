// The one interface between the executor (exec.c), the wire (wire.c) and the operations, which live
// in a file a role: ops-file.c, ops-mount.c, ops-process.c, ops-stdio.c, ops-net.c, archive*.c.
//
// Error convention: every function returns 0 (or a non-negative value) or a negative errno; nobody
// prints; run_fail() adds text for people and returns the code, so `return run_fail(r, -EIO, …)`.
#ifndef GANTRY_OPS_H
#define GANTRY_OPS_H
#include <stddef.h>
#include <stdint.h>

#define SLOTS 64
#define NO_SLOT (-1)

enum field_kind { F_SLOT = 1, F_INT, F_STR, F_BYTES, F_STRS, F_INTS, F_FLAG, F_PATCHES };

// One decoded field. Strings and bytes point into the plan's buffer (strings end with NUL).
struct field {
  uint8_t kind;
  int64_t num;      // F_SLOT, F_INT, F_FLAG
  const char *ptr;  // F_STR, F_BYTES: content; F_STRS, F_INTS, F_PATCHES: encoded elements
  uint32_t len;     // F_STR, F_BYTES: bytes
  uint32_t count;   // F_STRS, F_INTS, F_PATCHES: elements
};

struct op {
  uint16_t code;
  uint16_t count;              // always the number of fields that the table has for this code
  const struct field *fields;  // in the order of the table in operations.ts
};

// What a half of a plan runs with. Slots hold descriptors, pids or numbers; -1 is empty.
struct run {
  int64_t slot[SLOTS];
  char text[256];          // why the last operation failed, for people
  uint32_t index;          // of the operation being run
  struct results *results; // private to exec.c
};

typedef int op_function(struct run *r, const struct op *o);

int run_fail(struct run *r, int negative_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Appends to the result of the operation being run.
int run_result(struct run *r, const void *data, size_t length);
// The descriptor in a slot field, or -EBADF; AT_FDCWD where the field is absent (root).
int run_fd(struct run *r, const struct field *f);
// Stores a descriptor in a slot field; what was there is closed.
int run_store(struct run *r, const struct field *f, int64_t value);
// Opens `path` beneath the root field (RESOLVE_IN_ROOT) or, without one, as it is.
int run_open(struct run *r, const struct field *root, const char *path, int flags, unsigned mode);
// Opens the parent folder of `path` (O_PATH) under the same rule and sets *name to its last part.
int run_open_parent(struct run *r, const struct field *root, const char *path, const char **name);
// The strings of an F_STRS as execve takes them, to be freed; NULL when memory ran out.
char **run_vector(const struct field *f);
// Iterates F_STRS: call with *cursor = f->ptr, count times.
const char *next_str(const char **cursor, uint32_t *length);

// Closes a descriptor when its variable leaves the scope: `AUTO_CLOSE int fd = …`.
void auto_close(int *fd);
#define AUTO_CLOSE __attribute__((cleanup(auto_close)))

#endif

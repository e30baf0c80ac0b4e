// Runs one half of a plan: slots, results, and the loop that calls one function per operation.
#define _GNU_SOURCE
#define GANTRY_OP_TABLE
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operations.gen.h"

volatile int run_interrupt_errno;
static uint64_t held_fds;  // slots that hold descriptors

const struct op_info *op_lookup(uint16_t code);
const struct op_info *op_lookup(uint16_t code) {
  if (code > OP_CODE_MAX || !op_table[code].name) return NULL;
  return &op_table[code];
}

void auto_close(int *fd) {
  int saved = errno;
  if (*fd >= 0) close(*fd);
  errno = saved;
}

void run_init(struct run *r, struct results *results) {
  memset(r, 0, sizeof *r);
  for (int i = 0; i < SLOTS; i++) r->slot[i] = -1;
  r->results = results;
  held_fds = 0;
}

int run_fail(struct run *r, int negative_errno, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(r->text, sizeof r->text, format, list);
  va_end(list);
  return negative_errno;
}

int run_result(struct run *r, const void *data, size_t length) {
  struct results *results = r->results;
  if (!results) return 0;
  if (!results->open || results->open_index != r->index) {
    put_u32(&results->data, r->index);
    put_u32(&results->data, 0);
    results->open = results->data.length;
    results->open_index = r->index;
    results->count++;
  }
  if (results->data.length + length > FRAME_BYTES_MAX - 64) return -E2BIG;
  put_bytes(&results->data, data, length);
  if (results->data.bad) return -ENOMEM;
  uint32_t total = (uint32_t)(results->data.length - results->open);
  memcpy(results->data.data + results->open - 4, &total, 4);
  return 0;
}

bool run_slot_is_fd(int64_t slot) { return slot >= 0 && slot < SLOTS && (held_fds >> slot & 1); }
uint64_t run_fd_mask(void) { return held_fds; }

int run_fd(struct run *r, const struct field *f) {
  if (f->num == NO_SLOT) return AT_FDCWD;
  if (!run_slot_is_fd(f->num) || r->slot[f->num] < 0)
    return run_fail(r, -EBADF, "slot %d holds no descriptor", (int)f->num);
  return (int)r->slot[f->num];
}

static void drop(struct run *r, int64_t slot) {
  if (run_slot_is_fd(slot) && r->slot[slot] >= 0) close((int)r->slot[slot]);
  r->slot[slot] = -1;
  held_fds &= ~(1ull << slot);
}

int run_store(struct run *r, const struct field *f, int64_t value) {
  if (f->num == NO_SLOT) {
    if (value >= 0) close((int)value);
    return 0;
  }
  drop(r, f->num);
  r->slot[f->num] = value;
  if (value >= 0) held_fds |= 1ull << f->num;
  return 0;
}

int run_store_number(struct run *r, const struct field *f, int64_t value) {
  if (f->num == NO_SLOT) return 0;
  drop(r, f->num);
  r->slot[f->num] = value;
  return 0;
}

const char *next_str(const char **cursor, uint32_t *length) {
  uint32_t n;
  memcpy(&n, *cursor, sizeof n);
  const char *text = *cursor + sizeof n;
  *cursor = text + n + 1;
  if (length) *length = n;
  return text;
}

char **run_vector(const struct field *f) {
  char **vector = calloc((size_t)f->count + 1, sizeof *vector);
  const char *at = f->ptr;
  for (uint32_t i = 0; vector && i < f->count; i++)
    vector[i] = (char *)(uintptr_t)next_str(&at, NULL);
  return vector;
}

int run_half(struct run *r, const struct plan *plan, enum half half) {
  for (uint32_t i = 0; i < plan->count[half]; i++) {
    const struct op *o = &plan->ops[half][i];
    r->index = i;
    r->text[0] = 0;
    if (run_interrupt_errno) return -run_interrupt_errno;
    if (plan->fail_half == (uint32_t)half && plan->fail_index == i)
      return run_fail(r, plan->fail_errno ? -plan->fail_errno : -EIO, "made to fail by failAt");
    op_function *run = op_table[o->code].run;
    if (!run) return run_fail(r, -ENOSYS, "%s is not built in", op_table[o->code].name);
    int result = run(r, o);
    if (result < 0 && run_interrupt_errno) return -run_interrupt_errno;
    if (result < 0) return result;
  }
  return 0;
}

void run_teardown(const struct plan *plan, struct out *failed) {
  struct run r;
  run_init(&r, NULL);
  for (uint32_t i = 0; i < plan->count[HALF_TEARDOWN]; i++) {
    const struct op *o = &plan->ops[HALF_TEARDOWN][i];
    r.index = i;
    op_function *run = op_table[o->code].run;
    int result = -ENOSYS;
    if (plan->fail_half == HALF_TEARDOWN && plan->fail_index == i) {
      result = plan->fail_errno ? -plan->fail_errno : -EIO;
    } else if (run) {
      result = run(&r, o);
    }
    if (result >= 0 || !failed) continue;
    put_u32(failed, i);
    put_u32(failed, (uint32_t)-result);
  }
}

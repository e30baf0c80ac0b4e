// Frames and plans: bounds-checked reading of bytes that came from another process, and the
// building of answers. No operation is run here; see exec.c.
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "operations.gen.h"

extern const struct op_info *op_lookup(uint16_t code);

const uint8_t *take_bytes(struct cursor *c, size_t length) {
  if (c->bad || (size_t)(c->end - c->at) < length) {
    c->bad = true;
    return NULL;
  }
  const uint8_t *at = c->at;
  c->at += length;
  return at;
}

uint8_t take_u8(struct cursor *c) {
  const uint8_t *at = take_bytes(c, 1);
  return at ? *at : 0;
}

uint16_t take_u16(struct cursor *c) {
  uint16_t value = 0;
  const uint8_t *at = take_bytes(c, sizeof value);
  if (at) memcpy(&value, at, sizeof value);
  return value;
}

uint32_t take_u32(struct cursor *c) {
  uint32_t value = 0;
  const uint8_t *at = take_bytes(c, sizeof value);
  if (at) memcpy(&value, at, sizeof value);
  return value;
}

int64_t take_i64(struct cursor *c) {
  int64_t value = 0;
  const uint8_t *at = take_bytes(c, sizeof value);
  if (at) memcpy(&value, at, sizeof value);
  return value;
}

const char *take_str(struct cursor *c, uint32_t *length) {
  uint32_t n = take_u32(c);
  const uint8_t *at = take_bytes(c, (size_t)n + 1);
  if (length) *length = 0;
  if (!at) return "";
  if (at[n] != 0 || memchr(at, 0, n)) {
    c->bad = true;
    return "";
  }
  if (length) *length = n;
  return (const char *)at;
}

void put_bytes(struct out *o, const void *data, size_t length) {
  if (o->bad || length == 0) return;
  if (o->length + length > o->capacity) {
    size_t capacity = o->capacity ? o->capacity * 2 : 256;
    while (capacity < o->length + length) capacity *= 2;
    uint8_t *grown = realloc(o->data, capacity);
    if (!grown) {
      o->bad = true;
      return;
    }
    o->data = grown;
    o->capacity = capacity;
  }
  memcpy(o->data + o->length, data, length);
  o->length += length;
}

void put_u8(struct out *o, uint8_t value) { put_bytes(o, &value, sizeof value); }
void put_u32(struct out *o, uint32_t value) { put_bytes(o, &value, sizeof value); }
void put_i64(struct out *o, int64_t value) { put_bytes(o, &value, sizeof value); }

void put_str(struct out *o, const char *text) {
  size_t length = strlen(text);
  put_u32(o, (uint32_t)length);
  put_bytes(o, text, length + 1);
}

void out_free(struct out *o) {
  free(o->data);
  *o = (struct out){0};
}

int read_exact(int fd, void *data, size_t length) {
  uint8_t *at = data;
  while (length > 0) {
    ssize_t n = read(fd, at, length);
    if (n == 0) return -EPIPE;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = fd, .events = POLLIN};
      poll(&p, 1, -1);
      continue;
    }
    if (n < 0) return -errno;
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

int write_fully(int fd, const void *data, size_t length) {
  const uint8_t *at = data;
  while (length > 0) {
    ssize_t n = write(fd, at, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = fd, .events = POLLOUT};
      poll(&p, 1, -1);
      continue;
    }
    if (n < 0) return -errno;
    at += n;
    length -= (size_t)n;
  }
  return 0;
}

ssize_t send_parts(int fd, struct iovec *parts, size_t count, int pass) {
  struct msghdr m = {.msg_iov = parts, .msg_iovlen = count};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  if (pass >= 0) {
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pass, sizeof pass);
  }
  ssize_t n;
  do n = sendmsg(fd, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

int send_frame_fd(int fd, uint32_t id, uint16_t type, const void *payload, size_t length,
                  int pass) {
  struct frame_header h = {(uint32_t)length, id, type, WIRE_VERSION};
  struct iovec parts[2] = {{&h, sizeof h}, {(void *)payload, length}};
  ssize_t n;
  while ((n = send_parts(fd, parts, 2, pass)) == -EAGAIN) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    poll(&p, 1, -1);
  }
  if (n < 0) return (int)n;
  size_t sent = (size_t)n;
  if (sent < sizeof h) {
    int error = write_fully(fd, (char *)&h + sent, sizeof h - sent);
    if (error) return error;
    sent = sizeof h;
  }
  return write_fully(fd, (const char *)payload + (sent - sizeof h), length - (sent - sizeof h));
}

int send_frame(int fd, uint32_t id, uint16_t type, const void *payload, size_t length) {
  return send_frame_fd(fd, id, type, payload, length, -1);
}

int receive_header_fd(int fd, struct frame_header *header, int *pass) {
  struct iovec part = {header, sizeof *header};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr m = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = control.bytes,
                     .msg_controllen = sizeof control.bytes};
  *pass = -1;
  ssize_t n;
  do n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  if (n == 0) return -EPIPE;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
      c->cmsg_len >= CMSG_LEN(sizeof(int)))
    memcpy(pass, CMSG_DATA(c), sizeof *pass);
  return read_exact(fd, (char *)header + n, sizeof *header - (size_t)n);
}

int receive_frame(int fd, struct frame_header *header, uint8_t **payload) {
  *payload = NULL;
  int error = read_exact(fd, header, sizeof *header);
  if (error) return error;
  if (header->length > FRAME_BYTES_MAX) return -EMSGSIZE;
  *payload = malloc((size_t)header->length + 1);
  if (!*payload) return -ENOMEM;
  return read_exact(fd, *payload, header->length);
}

static void take_elements(struct cursor *c, struct field *f) {
  f->count = take_u32(c);
  f->ptr = (const char *)c->at;
  for (uint32_t i = 0; i < f->count && !c->bad; i++) {
    if (f->kind == F_STRS) {
      take_str(c, NULL);
    } else if (f->kind == F_INTS) {
      take_bytes(c, 8);
    } else {
      take_u32(c);
      int32_t slot = (int32_t)take_u32(c);
      uint8_t width = take_u8(c);
      if (slot < 0 || slot >= SLOTS) c->bad = true;
      if (width != 1 && width != 2 && width != 4 && width != 8) c->bad = true;
    }
  }
  f->len = (uint32_t)((const char *)c->at - f->ptr);
}

static void take_field(struct cursor *c, uint8_t kind, struct field *f) {
  f->kind = take_u8(c);
  if (f->kind != kind) {
    c->bad = true;
    return;
  }
  switch (kind) {
    case F_SLOT:
      f->num = (int32_t)take_u32(c);
      if (f->num < NO_SLOT || f->num >= SLOTS) c->bad = true;
      break;
    case F_INT:
      f->num = take_i64(c);
      break;
    case F_FLAG:
      f->num = take_u8(c);
      if (f->num > 1) c->bad = true;
      break;
    case F_STR:
      f->ptr = take_str(c, &f->len);
      break;
    case F_BYTES:
      f->len = take_u32(c);
      f->ptr = (const char *)take_bytes(c, f->len);
      break;
    default:
      take_elements(c, f);
  }
}

static void take_op(struct cursor *c, struct op *o, struct field *fields) {
  o->code = take_u16(c);
  o->count = take_u16(c);
  uint32_t length = take_u32(c);
  const uint8_t *body = take_bytes(c, length);
  const struct op_info *info = op_lookup(o->code);
  if (!body || !info || info->count != o->count) {
    c->bad = true;
    return;
  }
  o->fields = fields;
  struct cursor inner = {body, body + length, false};
  for (uint16_t i = 0; i < o->count; i++) take_field(&inner, info->kind[i], &fields[i]);
  if (inner.bad || inner.at != inner.end) c->bad = true;
}

static int make_arena(struct plan *plan, size_t ops, struct field **fields) {
  size_t op_bytes = ops * sizeof(struct op);
  uint8_t *arena = calloc(1, op_bytes + ops * OP_FIELDS_MAX * sizeof(struct field) + 1);
  if (!arena) return -ENOMEM;
  plan->arena = arena;
  *fields = (struct field *)(arena + op_bytes);
  return 0;
}

int plan_decode(struct plan *plan, const uint8_t *data, size_t length) {
  struct cursor c = {data, data + length, false};
  *plan = (struct plan){0};
  if (take_u32(&c) != PLAN_MAGIC) return -EPROTO;
  plan->deadline_ms = take_u32(&c);
  plan->fail_half = take_u32(&c);
  plan->fail_index = take_u32(&c);
  plan->fail_errno = (int32_t)take_u32(&c);
  size_t total = 0;
  for (int half = 0; half < 3; half++) {
    plan->count[half] = take_u32(&c);
    if (plan->count[half] > PLAN_OPS_MAX) return -E2BIG;
    total += plan->count[half];
  }
  if (c.bad || total > (size_t)(c.end - c.at) / 8) return -EPROTO;
  struct field *fields;
  int error = make_arena(plan, total, &fields);
  if (error) return error;
  struct op *ops = plan->arena;
  for (int half = 0; half < 3; half++) {
    plan->ops[half] = ops;
    if (half == HALF_TEARDOWN) plan->teardown = c.at;
    for (uint32_t i = 0; i < plan->count[half] && !c.bad; i++, fields += OP_FIELDS_MAX)
      take_op(&c, ops++, fields);
  }
  plan->teardown_length = (size_t)(c.end - plan->teardown);
  if (!c.bad && c.at == c.end) return 0;
  plan_free(plan);
  return -EPROTO;
}

int ops_decode(struct plan *plan, enum half half, uint32_t count, const uint8_t *data,
               size_t length) {
  struct cursor c = {data, data + length, false};
  *plan = (struct plan){.fail_half = HALF_PROTOCOL};
  if (count > PLAN_OPS_MAX || count > length / 8) return -EPROTO;
  struct field *fields;
  int error = make_arena(plan, count, &fields);
  if (error) return error;
  struct op *ops = plan->ops[half] = plan->arena;
  plan->count[half] = count;
  for (uint32_t i = 0; i < count && !c.bad; i++, fields += OP_FIELDS_MAX)
    take_op(&c, &ops[i], fields);
  if (!c.bad && c.at == c.end) return 0;
  plan_free(plan);
  return -EPROTO;
}

void plan_free(struct plan *plan) {
  free(plan->arena);
  plan->arena = NULL;
}

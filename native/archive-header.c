// What stands before a file in a tar: a ustar header, with a pax header in front where something
// does not fit: long or non-ASCII names, large numbers, fractions of a second, extended attributes.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "archive.h"

#define OCTAL_MAX_7 07777777
#define OCTAL_MAX_11 077777777777

static int add_text(struct text *t, const void *data, size_t n) {
  if (t->used + n > t->room) {
    size_t room = (t->used + n) * 2;
    char *grown = realloc(t->data, room);
    if (grown == NULL) return -ENOMEM;
    t->data = grown;
    t->room = room;
  }
  memcpy(t->data + t->used, data, n);
  t->used += n;
  return 0;
}

// "LENGTH KEY=VALUE\n", where LENGTH counts its own digits.
static int add_record(struct text *t, const char *key, const void *value, size_t n) {
  size_t rest = strlen(key) + n + 3, length = rest + 1;
  char digits[24];
  while ((size_t)snprintf(digits, sizeof digits, "%zu", length) + rest != length) {
    length = rest + strlen(digits);
  }
  int error = add_text(t, digits, strlen(digits));
  if (error == 0) error = add_text(t, " ", 1);
  if (error == 0) error = add_text(t, key, strlen(key));
  if (error == 0) error = add_text(t, "=", 1);
  if (error == 0) error = add_text(t, value, n);
  return error < 0 ? error : add_text(t, "\n", 1);
}

static int add_number(struct text *t, const char *key, uint64_t value) {
  char text[24];
  int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  return add_record(t, key, text, (size_t)n);
}

static void put_octal(unsigned char *field, int digits, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%0*llo", digits, (unsigned long long)value);
  memcpy(field, text, (size_t)digits);
}

static bool ascii(const char *text) {
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text >= 0x80) return false;
  }
  return true;
}

// Where to cut a name into ustar's prefix (155) and name (100), or -1.
static int cut_name(const char *name, size_t n) {
  if (n <= 100) return 0;
  if (n > 256) return -1;
  size_t at = n - 101 > 155 ? 156 : n - 1 < 156 ? n - 1 : 155;
  for (; at > 0; at--) {
    if (name[at] == '/' && n - at - 1 <= 100 && n - at - 1 > 0 && at <= 155) return (int)at;
  }
  return -1;
}

static void put_name(unsigned char *h, const char *name) {
  size_t n = strlen(name);
  int at = cut_name(name, n);
  if (at > 0) {
    memcpy(h + 345, name, (size_t)at);
    name += at + 1;
    n -= (size_t)at + 1;
  }
  memcpy(h, name, n < 100 ? n : 100);
}

static void finish_header(unsigned char *h) {
  memcpy(h + 257, "ustar\00000", 8);
  memset(h + 148, ' ', 8);
  unsigned sum = 0;
  for (int i = 0; i < BLOCK; i++) sum += h[i];
  snprintf((char *)h + 148, 8, "%06o", sum);
}

void tar_pax_header(unsigned char *h, const char *name, uint64_t bytes) {
  char text[101];
  const char *base = strrchr(name, '/');
  const char *last = base == NULL || base[1] == '\0' ? name : base + 1;
  snprintf(text, sizeof text, "PaxHeaders.0/%.80s", last);
  if (!ascii(text)) snprintf(text, sizeof text, "PaxHeaders.0/entry");
  put_name(h, text);
  put_octal(h + 100, 7, 0);
  put_octal(h + 108, 7, 0);
  put_octal(h + 116, 7, 0);
  put_octal(h + 124, 11, bytes);
  put_octal(h + 136, 11, 0);
  h[156] = 'x';
  finish_header(h);
}

static int add_time(struct text *t, const struct stat *st) {
  char text[48];
  int64_t seconds = st->st_mtim.tv_sec;
  long nanoseconds = st->st_mtim.tv_nsec;
  const char *sign = "";
  if (seconds < 0) {  // -1.5 is -2 s and half a second
    sign = "-";
    seconds = -seconds - (nanoseconds > 0);
    nanoseconds = nanoseconds > 0 ? 1000000000 - nanoseconds : 0;
  }
  int n = snprintf(text, sizeof text, "%s%lld.%09ld", sign, (long long)seconds, nanoseconds);
  while (text[n - 1] == '0') n--;
  if (text[n - 1] == '.') n--;
  return add_record(t, "mtime", text, (size_t)n);
}

static int add_xattrs(struct text *t, const struct item *i, int fd) {
  const char *name = fd < 0 ? i->file : NULL;
  if (fd < 0) fd = i->parent;
  char *list = NULL;
  ssize_t n = list_xattrs(fd, name, &list);
  int error = n < 0 ? (int)n : 0;
  for (ssize_t at = 0; error == 0 && at < n; at += (ssize_t)strlen(list + at) + 1) {
    const char *key = list + at;
    if (!xattr_travels(key)) continue;
    char *value = NULL, record[300];
    ssize_t length = get_xattr(fd, name, key, &value);
    snprintf(record, sizeof record, "SCHILY.xattr.%s", key);
    if (length >= 0) error = add_record(t, record, value, (size_t)length);
    else if (length != -ENODATA) error = (int)length;
    free(value);
  }
  free(list);
  return error;
}

int tar_pax_name(struct text *t, const char *name) {
  size_t n = strlen(name);
  return cut_name(name, n) < 0 || !ascii(name) ? add_record(t, "path", name, n) : 0;
}

int tar_pax_text(struct text *t, const struct item *i, const char *name, int fd) {
  const struct stat *st = &i->st;
  t->used = 0;
  int error = tar_pax_name(t, name);
  if (error == 0 && i->link != NULL && (strlen(i->link) > 100 || !ascii(i->link))) {
    error = add_record(t, "linkpath", i->link, strlen(i->link));
  }
  if (error == 0 && st->st_uid > OCTAL_MAX_7) error = add_number(t, "uid", st->st_uid);
  if (error == 0 && st->st_gid > OCTAL_MAX_7) error = add_number(t, "gid", st->st_gid);
  if (error == 0 && i->size > OCTAL_MAX_11) error = add_number(t, "size", i->size);
  if (error == 0 && (st->st_mtim.tv_nsec != 0 || st->st_mtim.tv_sec < 0 ||
                     st->st_mtim.tv_sec > OCTAL_MAX_11)) {
    error = add_time(t, st);
  }
  return error < 0 || i->type == '1' ? error : add_xattrs(t, i, fd);
}

static uint64_t fit(uint64_t value, uint64_t max) {
  return value > max ? 0 : value;
}

void tar_header(unsigned char *h, const struct item *i, const char *name) {
  const struct stat *st = &i->st;
  put_name(h, name);
  put_octal(h + 100, 7, st->st_mode & 07777);
  put_octal(h + 108, 7, fit(st->st_uid, OCTAL_MAX_7));
  put_octal(h + 116, 7, fit(st->st_gid, OCTAL_MAX_7));
  put_octal(h + 124, 11, fit(i->size, OCTAL_MAX_11));
  put_octal(h + 136, 11, fit((uint64_t)st->st_mtim.tv_sec, OCTAL_MAX_11));
  h[156] = (unsigned char)i->type;
  if (i->link != NULL) memcpy(h + 157, i->link, strnlen(i->link, 100));
  if (i->type == '3' || i->type == '4') {
    put_octal(h + 329, 7, major(st->st_rdev));
    put_octal(h + 337, 7, minor(st->st_rdev));
  }
  finish_header(h);
}

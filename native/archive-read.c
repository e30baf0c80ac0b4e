// Reads tar headers: v7, ustar, star, GNU (long names, base-256 numbers, sparse) and pax (records,
// sub-second times, xattrs, sparse 0.0, 0.1 and 1.0). Nothing of the file system is touched here.
// Wording of errors follows Go's archive/tar where clients see it.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"

#define EXTENSIONS_MAX 16  // headers before one entry

// What pax records and GNU long-name entries say about the entry that follows them.
struct pending {
  char *name, *link, *pax;
  size_t pax_bytes;
  const char *sparse_name, *sparse_map;
  bool has_size, has_real_size, has_uid, has_gid, has_mtime;
  bool sparse_v1, sparse_v0;
  uint64_t size, real_size;
  int64_t uid, gid;
  struct timespec mtime;
};

void entry_free(struct entry *e) {
  free(e->name);
  free(e->link);
  free(e->extents);
  free(e->xattrs);
  free(e->pax);
  *e = (struct entry){0};
}

int tar_bad(struct run *r, const char *what) {
  return run_fail(r, -EBADMSG, "archive/tar: %s", what);
}

int tar_cut(struct run *r, int error) {
  if (error == -EPIPE || error == -ENODATA) return run_fail(r, -EBADMSG, "unexpected EOF");
  return run_fail(r, error, "read archive");
}

// A number field: octal text, or base-256 when the first bit is set. Returns false when invalid.
static bool parse_number(const unsigned char *field, size_t n, int64_t *out) {
  if (field[0] & 0x80) {
    bool negative = field[0] & 0x40;
    uint64_t value = negative ? UINT64_MAX : 0;
    for (size_t i = 0; i < n; i++) {
      unsigned char byte = i == 0 && !negative ? field[0] & 0x7f : field[i];
      uint64_t lost = value >> 55;
      if (lost != 0 && lost != 0x1ff) return false;
      value = value << 8 | byte;
    }
    *out = (int64_t)value;
    return negative == (*out < 0);
  }
  uint64_t value = 0;
  size_t i = 0;
  while (i < n && (field[i] == ' ' || field[i] == '\0')) i++;
  for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) {
    if (value >> 60) return false;
    value = value << 3 | (uint64_t)(field[i] - '0');
  }
  *out = (int64_t)value;
  return i == n || field[i] == ' ' || field[i] == '\0';
}

static bool checksum_matches(const unsigned char *block) {
  int64_t stored;
  if (!parse_number(block + 148, 8, &stored)) return false;
  int64_t plain = 0, with_sign = 0;
  for (int i = 0; i < BLOCK; i++) {
    unsigned char byte = i >= 148 && i < 156 ? ' ' : block[i];
    plain += byte;
    with_sign += (signed char)byte;
  }
  return stored == plain || stored == with_sign;
}

static bool all_zero(const unsigned char *block) {
  return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

static bool parse_unsigned(const char *text, uint64_t *out) {
  if (!isdigit((unsigned char)*text)) return false;
  char *end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return *end == '\0' && errno == 0 && *out <= INT64_MAX;
}

// "123.456" or "-1.5" with up to nine digits kept.
static bool parse_time(const char *text, struct timespec *out) {
  char *end;
  errno = 0;
  bool negative = *text == '-';
  int64_t seconds = strtoll(text, &end, 10);
  if (end == text || errno != 0) return false;
  long nanoseconds = 0;
  if (*end == '.') {
    end++;
    for (long scale = 100000000; isdigit((unsigned char)*end); end++, scale /= 10) {
      nanoseconds += (*end - '0') * scale;
    }
  }
  if (*end != '\0') return false;
  if (negative && nanoseconds > 0) {
    seconds -= 1;
    nanoseconds = 1000000000 - nanoseconds;
  }
  *out = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
  return true;
}

static int add_xattr(struct entry *e, const char *name, const char *value, size_t length) {
  size_t n = e->xattr_count;
  if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
    struct xattr *grown = realloc(e->xattrs, (n == 0 ? 4 : n * 2) * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    e->xattrs = grown;
  }
  e->xattrs[e->xattr_count++] = (struct xattr){.name = name, .value = value, .length = length};
  return 0;
}

static int replace_text(char **slot, const char *text) {
  free(*slot);
  *slot = strdup(text);
  return *slot == NULL ? -ENOMEM : 0;
}

static int sparse_v00(struct pending *p, struct entry *e, const char *key, const char *value) {
  uint64_t number;
  if (!parse_unsigned(value, &number)) return -EBADMSG;
  p->sparse_v0 = true;
  if (strcmp(key, "offset") == 0) return tar_sparse_append(e, number, 0);
  if (e->extent_count == 0) return -EBADMSG;
  struct extent *last = &e->extents[e->extent_count - 1];
  if (number > INT64_MAX - last->offset) return -EBADMSG;
  last->length = number;
  return 0;
}

static int sparse_record(struct pending *p, struct entry *e, const char *key, const char *value) {
  if (strcmp(key, "name") == 0) p->sparse_name = value;
  else if (strcmp(key, "map") == 0) p->sparse_map = value;
  else if (strcmp(key, "major") == 0) p->sparse_v1 = strcmp(value, "1") == 0;
  else if (strcmp(key, "realsize") == 0 || strcmp(key, "size") == 0) {
    p->has_real_size = true;
    if (!parse_unsigned(value, &p->real_size)) return -EBADMSG;
  } else if (strcmp(key, "offset") == 0 || strcmp(key, "numbytes") == 0) {
    return sparse_v00(p, e, key, value);
  }
  return 0;
}

static int pax_record(struct pending *p, struct entry *e, const char *key, const char *value,
                      size_t length) {
  if (strncmp(key, "SCHILY.xattr.", 13) == 0) return add_xattr(e, key + 13, value, length);
  if (strlen(value) != length) return -EBADMSG;
  if (strcmp(key, "path") == 0) return replace_text(&p->name, value);
  if (strcmp(key, "linkpath") == 0) return replace_text(&p->link, value);
  if (strncmp(key, "GNU.sparse.", 11) == 0) return sparse_record(p, e, key + 11, value);
  uint64_t number = 0;
  if (strcmp(key, "mtime") == 0) {
    p->has_mtime = true;
    return parse_time(value, &p->mtime) ? 0 : -EBADMSG;
  }
  bool size = strcmp(key, "size") == 0, uid = strcmp(key, "uid") == 0;
  if (!size && !uid && strcmp(key, "gid") != 0) return 0;
  if (*value == '\0') return 0;  // an empty value unsets the record
  if (!parse_unsigned(value, &number)) return -EBADMSG;
  if (size) p->has_size = true, p->size = number;
  else if (uid) p->has_uid = true, p->uid = (int64_t)number;
  else p->has_gid = true, p->gid = (int64_t)number;
  return 0;
}

// "LENGTH KEY=VALUE\n" …; the text is cut into strings in place.
static int parse_pax(struct pending *p, struct entry *e) {
  char *at = p->pax, *end = p->pax + p->pax_bytes;
  while (at < end) {
    char *space;
    if (!isdigit((unsigned char)*at)) return -EBADMSG;
    unsigned long length = strtoul(at, &space, 10);
    if (*space != ' ' || length > (size_t)(end - at) || length < (size_t)(space - at) + 3) {
      return -EBADMSG;
    }
    char *last = at + length - 1, *key = space + 1;
    char *equals = memchr(key, '=', (size_t)(last - key));
    if (*last != '\n' || equals == NULL || equals == key) return -EBADMSG;
    *equals = '\0';
    *last = '\0';
    if (strlen(key) != (size_t)(equals - key)) return -EBADMSG;
    int error = pax_record(p, e, key, equals + 1, (size_t)(last - equals - 1));
    if (error < 0) return error;
    at += length;
  }
  return 0;
}

// Reads the content of a pax header or a long name: text with a NUL after it, then the padding.
static int read_text(struct run *r, struct source *s, int64_t size, char **text) {
  if (size < 0 || size > PAX_BYTES_MAX) return tar_bad(r, "header field too long");
  free(*text);
  *text = malloc((size_t)size + 1);
  if (*text == NULL) return -ENOMEM;
  int error = size == 0 ? 0 : source_read(s, *text, (size_t)size);
  if (error == 0) error = source_skip(s, (uint64_t)-size % BLOCK);
  (*text)[error < 0 ? 0 : size] = '\0';
  return error < 0 ? tar_cut(r, error) : 0;
}

static char *field_text(const unsigned char *field, size_t n) {
  return strndup((const char *)field, n);
}

static int header_name(struct entry *e, struct pending *p, const unsigned char *h) {
  bool posix = memcmp(h + 257, "ustar\0", 6) == 0;
  size_t prefix = !posix ? 0 : memcmp(h + 508, "tar\0", 4) == 0 ? 131 : 155;
  if (p->sparse_name != NULL) return replace_text(&e->name, p->sparse_name);
  if (p->name != NULL) {
    e->name = p->name;
    p->name = NULL;
    return 0;
  }
  char *name = field_text(h, 100);
  if (name == NULL) return -ENOMEM;
  if (prefix == 0 || h[345] == '\0') {
    e->name = name;
    return 0;
  }
  size_t head = strnlen((const char *)h + 345, prefix);
  e->name = malloc(head + strlen(name) + 2);
  if (e->name != NULL) {
    memcpy(e->name, h + 345, head);
    e->name[head] = '/';
    strcpy(e->name + head + 1, name);
  }
  free(name);
  return e->name == NULL ? -ENOMEM : 0;
}

static int header_numbers(struct entry *e, const unsigned char *h, int64_t *size) {
  int64_t mode, mtime, major = 0, minor = 0;
  if (!parse_number(h + 100, 8, &mode) || !parse_number(h + 108, 8, &e->uid) ||
      !parse_number(h + 116, 8, &e->gid) || !parse_number(h + 124, 12, size) ||
      !parse_number(h + 136, 12, &mtime)) {
    return -EBADMSG;
  }
  if (memcmp(h + 257, "ustar", 5) == 0 && (h[156] == '3' || h[156] == '4') &&
      (!parse_number(h + 329, 8, &major) || !parse_number(h + 337, 8, &minor))) {
    return -EBADMSG;
  }
  if (*size < 0 || major < 0 || minor < 0 || major > 0xfffff || minor > 0xfffff) return -EBADMSG;
  e->mode = (mode_t)mode & 07777;
  e->mtime = (struct timespec){.tv_sec = mtime};
  e->major = (uint32_t)major;
  e->minor = (uint32_t)minor;
  return 0;
}

// The sparse map of a GNU 'S' header: four extents in it, 21 in each block that follows.
static int gnu_sparse(struct run *r, struct source *s, struct entry *e, const unsigned char *h) {
  int64_t real;
  if (!parse_number(h + 483, 12, &real) || real < 0) return tar_bad(r, "invalid sparse file");
  e->sparse = true;
  e->size = (uint64_t)real;
  unsigned char block[BLOCK];
  const unsigned char *at = h + 386;
  int count = 4;
  bool more = h[482] != 0;
  for (;;) {
    for (int i = 0; i < count && at[24 * i] != '\0'; i++) {
      int64_t offset, length;
      if (!parse_number(at + 24 * i, 12, &offset) || !parse_number(at + 24 * i + 12, 12, &length) ||
          offset < 0 || length < 0 ||
          tar_sparse_append(e, (uint64_t)offset, (uint64_t)length) < 0) {
        return tar_bad(r, "invalid sparse file");
      }
    }
    if (!more) return 0;
    int error = source_read(s, block, BLOCK);
    if (error < 0) return tar_cut(r, error);
    at = block;
    count = 21;
    more = block[504] != 0;
  }
}

static int finish_sparse(struct run *r, struct source *s, struct entry *e, struct pending *p) {
  if (p->sparse_v1 || p->sparse_map != NULL || p->sparse_v0) {
    if (!p->has_real_size) return tar_bad(r, "invalid sparse file");
    e->sparse = true;
    e->size = p->real_size;
  }
  if (p->sparse_v1) {
    int error = tar_read_sparse_map(r, s, e);
    if (error < 0) return error;
  } else if (p->sparse_map != NULL) {
    e->extent_count = 0;
    if (tar_sparse_text(e, p->sparse_map) < 0) return tar_bad(r, "invalid sparse file");
  }
  return e->sparse ? tar_check_sparse(r, e) : 0;
}

static char entry_type(char flag, const char *name) {
  size_t n = strlen(name);
  if (flag == '\0' || flag == '0' || flag == '7') return n > 0 && name[n - 1] == '/' ? '5' : '0';
  if (flag == 'S') return '0';
  if (flag == 'D') return '5';
  return flag;
}

// Turns header and pending records into the entry.
static int finish_entry(struct run *r, struct source *s, struct entry *e, struct pending *p,
                        const unsigned char *h, int64_t size) {
  int error = header_name(e, p, h);
  if (error < 0) return error;
  e->link = p->link != NULL ? p->link : field_text(h + 157, 100);
  p->link = NULL;
  if (e->link == NULL) return -ENOMEM;
  if (p->has_uid) e->uid = p->uid;
  if (p->has_gid) e->gid = p->gid;
  if (p->has_mtime) e->mtime = p->mtime;
  if (p->has_size) size = (int64_t)p->size;
  e->type = entry_type((char)h[156], e->name);
  if (strchr("0123456", e->type) == NULL) {
    return run_fail(r, -EBADMSG, "unhandled tar header type %d: %.120s", h[156], e->name);
  }
  if (e->uid < 0 || e->uid > UINT32_MAX - 1 || e->gid < 0 || e->gid > UINT32_MAX - 1) {
    return run_fail(r, -EBADMSG, "archive/tar: invalid owner of %.160s", e->name);
  }
  // Links, devices and folders carry no content, whatever their size says.
  bool content = e->type == '0' || h[156] == 'D';
  e->stored = content ? (uint64_t)size : 0;
  e->padding = (uint64_t)-(int64_t)e->stored % BLOCK;
  e->size = e->stored;
  e->pax = p->pax;
  p->pax = NULL;
  if (h[156] == 'S') {
    error = gnu_sparse(r, s, e, h);
    if (error < 0) return error;
  }
  return e->type == '0' ? finish_sparse(r, s, e, p) : 0;
}

// Handles headers that speak of the next one. Returns 1 when it was one, else 0.
static int extension(struct run *r, struct source *s, struct entry *e, struct pending *p, char flag,
                     int64_t size) {
  int error;
  switch (flag) {
    case 'L': error = read_text(r, s, size, &p->name); break;
    case 'K': error = read_text(r, s, size, &p->link); break;
    case 'x':
      error = read_text(r, s, size, &p->pax);
      p->pax_bytes = (size_t)size;
      e->xattr_count = e->extent_count = 0;
      p->sparse_name = p->sparse_map = NULL;
      if (error == 0 && parse_pax(p, e) < 0) error = tar_bad(r, "invalid tar header");
      break;
    case 'g':  // a global pax header speaks of defaults that nobody's layers use
    case 'V':  // a volume label
      if (size > PAX_BYTES_MAX) return tar_bad(r, "header field too long");
      error = source_skip(s, ((uint64_t)size + BLOCK - 1) / BLOCK * BLOCK);
      if (error < 0) error = tar_cut(r, error);
      break;
    default: return 0;
  }
  return error < 0 ? error : 1;
}

static int next_header(struct run *r, struct source *s, unsigned char *h, bool inside) {
  int error = source_read(s, h, BLOCK);
  if (error == -ENODATA && !inside) return 0;
  if (error < 0) return tar_cut(r, error);
  if (all_zero(h)) {
    error = source_read(s, h, BLOCK);
    if (error == -ENODATA) return 0;
    if (error < 0) return tar_cut(r, error);
    return all_zero(h) ? 0 : tar_bad(r, "invalid tar header");
  }
  return checksum_matches(h) ? 1 : tar_bad(r, "invalid tar header");
}

int tar_next(struct run *r, struct source *s, struct entry *e) {
  struct pending p = {0};
  *e = (struct entry){0};
  unsigned char h[BLOCK];
  int64_t size = 0;
  int result, extensions = 0;
  for (;;) {
    result = next_header(r, s, h, extensions > 0);
    if (result == 0 && extensions > 0) result = tar_bad(r, "header without an entry");
    if (result <= 0) break;
    if (header_numbers(e, h, &size) < 0) {
      result = tar_bad(r, "invalid tar header");
      break;
    }
    result = extension(r, s, e, &p, (char)h[156], size);
    if (result == 0) {
      result = finish_entry(r, s, e, &p, h, size);
      if (result == 0) result = 1;
      break;
    }
    if (result == 1 && ++extensions > EXTENSIONS_MAX) result = tar_bad(r, "too many headers");
    if (result < 0) break;
  }
  free(p.name);
  free(p.link);
  free(p.pax);
  if (result <= 0) entry_free(e);
  return result;
}

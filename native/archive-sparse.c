// The maps of sparse files in tars: which ranges have content, in order and within the file. All of
// it comes from the archive, so every number is checked.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "archive.h"

#define SPARSE_MAP_BLOCKS_MAX 65536

int tar_sparse_append(struct entry *e, uint64_t offset, uint64_t length) {
  if (e->extent_count >= EXTENTS_MAX) return -E2BIG;
  size_t n = e->extent_count;
  if (n == 0 || (n >= 16 && (n & (n - 1)) == 0)) {
    struct extent *grown = realloc(e->extents, (n == 0 ? 16 : n * 2) * sizeof *grown);
    if (grown == NULL) return -ENOMEM;
    e->extents = grown;
  }
  uint64_t floor = n == 0 ? 0 : e->extents[n - 1].offset + e->extents[n - 1].length;
  if (offset > INT64_MAX || length > INT64_MAX - offset || offset < floor) return -EBADMSG;
  e->extents[e->extent_count++] = (struct extent){.offset = offset, .length = length};
  return 0;
}

int tar_sparse_text(struct entry *e, const char *map) {
  while (*map != '\0') {
    char *end;
    uint64_t offset = strtoull(map, &end, 10);
    if (end == map || *end != ',') return -EBADMSG;
    map = end + 1;
    uint64_t length = strtoull(map, &end, 10);
    if (end == map || (*end != ',' && *end != '\0')) return -EBADMSG;
    map = *end == ',' ? end + 1 : end;
    int error = tar_sparse_append(e, offset, length);
    if (error < 0) return error;
  }
  return 0;
}

// Reads one decimal line of a pax 1.0 map; *used counts the bytes taken of `block`.
static int map_number(struct source *s, char *block, size_t *used, uint64_t *blocks,
                      uint64_t *number) {
  *number = 0;
  for (int digits = 0;; digits++) {
    if (*used == BLOCK) {
      if (++*blocks > SPARSE_MAP_BLOCKS_MAX) return -E2BIG;
      int error = source_read(s, block, BLOCK);
      if (error < 0) return error;
      *used = 0;
    }
    char c = block[(*used)++];
    if (c == '\n' && digits > 0) return 0;
    if (!isdigit((unsigned char)c) || digits > 18) return -EBADMSG;
    *number = *number * 10 + (uint64_t)(c - '0');
  }
}

int tar_read_sparse_map(struct run *r, struct source *s, struct entry *e) {
  char block[BLOCK];
  size_t used = BLOCK;
  uint64_t blocks = 0, count, offset, length;
  int error = map_number(s, block, &used, &blocks, &count);
  if (error == 0 && count > EXTENTS_MAX) error = -EBADMSG;
  for (uint64_t i = 0; error == 0 && i < count; i++) {
    error = map_number(s, block, &used, &blocks, &offset);
    if (error == 0) error = map_number(s, block, &used, &blocks, &length);
    if (error == 0) error = tar_sparse_append(e, offset, length);
  }
  if (error == -EPIPE || error == -ENODATA) return tar_cut(r, error);
  if (error < 0 || blocks * BLOCK > e->stored) return tar_bad(r, "invalid sparse file");
  e->stored -= blocks * BLOCK;
  return 0;
}

int tar_check_sparse(struct run *r, struct entry *e) {
  uint64_t sum = 0;
  for (size_t i = 0; i < e->extent_count; i++) {
    sum += e->extents[i].length;
    if (e->extents[i].offset + e->extents[i].length > e->size || sum > e->stored) {
      return tar_bad(r, "invalid sparse file");
    }
  }
  return sum == e->stored ? 0 : tar_bad(r, "invalid sparse file");
}

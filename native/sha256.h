// The digest of bytes that go by (sha256.c).
#ifndef GANTRY_SHA256_H
#define GANTRY_SHA256_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sha256 {
  uint32_t state[8];
  uint64_t bytes;
  unsigned char block[64];
  bool quick;
};

void sha256_begin(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *data, size_t n);
void sha256_end(struct sha256 *h, unsigned char digest[32]);

#endif

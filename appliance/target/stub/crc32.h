/* CRC-32 as zlib's crc32() computes it (ISO 3309, reflected), four bytes at a time. */
#ifndef CRC32_H
#define CRC32_H

#include <stdint.h>

struct crc32 {
    uint32_t table[4][256];
};

void crc32_prepare(struct crc32 *crc);

/* Of `bytes` (a multiple of 4) from `words`, continuing from `start`. */
uint32_t crc32_of(const struct crc32 *crc, uint32_t start, const uint32_t *words, uint32_t bytes);

#endif

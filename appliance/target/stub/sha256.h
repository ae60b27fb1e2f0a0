/* SHA-256 (FIPS 180-4) over memory that the core can address. */
#ifndef SHA256_H
#define SHA256_H

#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint32_t total; /* bytes so far; a stub never hashes 512 MiB */
    uint8_t tail[64];
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, uint32_t length);
void sha256_finish(struct sha256 *hash, uint8_t digest[32]);

#endif

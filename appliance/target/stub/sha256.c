#include "sha256.h"

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, uint32_t n)
{
    return (x >> n) | (x << (32u - n));
}

static inline uint32_t big_endian(uint32_t x)
{
    return __builtin_bswap32(x);
}

#define SUM0(x) (rotate(x, 2) ^ rotate(x, 13) ^ rotate(x, 22))
#define SUM1(x) (rotate(x, 6) ^ rotate(x, 11) ^ rotate(x, 25))
#define SIGMA0(x) (rotate(x, 7) ^ rotate(x, 18) ^ ((x) >> 3))
#define SIGMA1(x) (rotate(x, 17) ^ rotate(x, 19) ^ ((x) >> 10))
#define CHOOSE(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJORITY(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))

/* One round with the working variables renamed instead of moved; `word` is W[t]. */
#define ROUND(a, b, c, d, e, f, g, h, t, word)                                  \
    do {                                                                        \
        uint32_t t1 = h + SUM1(e) + CHOOSE(e, f, g) + k[t] + (word);            \
        d += t1;                                                                \
        h = t1 + SUM0(a) + MAJORITY(a, b, c);                                   \
    } while (0)

#define LOAD(t) (w[t] = big_endian(block[t]))
#define EXPAND(t) (w[t] += SIGMA1(w[((t) + 14) & 15]) + w[((t) + 9) & 15] + SIGMA0(w[((t) + 1) & 15]))

#define EIGHT(t, W)                         \
    ROUND(a, b, c, d, e, f, g, h, t + 0, W(t + 0)); \
    ROUND(h, a, b, c, d, e, f, g, t + 1, W(t + 1)); \
    ROUND(g, h, a, b, c, d, e, f, t + 2, W(t + 2)); \
    ROUND(f, g, h, a, b, c, d, e, t + 3, W(t + 3)); \
    ROUND(e, f, g, h, a, b, c, d, t + 4, W(t + 4)); \
    ROUND(d, e, f, g, h, a, b, c, t + 5, W(t + 5)); \
    ROUND(c, d, e, f, g, h, a, b, t + 6, W(t + 6)); \
    ROUND(b, c, d, e, f, g, h, a, t + 7, W(t + 7))

/* Words at any address: LDR may be unaligned, LDRD and LDM may not (ARMv7-M A3.2.1), and the type tells the compiler. */
typedef uint32_t any_word __attribute__((aligned(1), may_alias));

static void compress(uint32_t state[8], const any_word *block)
{
    uint32_t w[16];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    const uint32_t *k = K;

    EIGHT(0, LOAD);
    EIGHT(8, LOAD);
    for (k = K + 16; k < K + 64; k += 16) {
        EIGHT(0, EXPAND);
        EIGHT(8, EXPAND);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void sha256_start(struct sha256 *hash)
{
    static const uint32_t initial[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    for (uint32_t i = 0; i < 8u; i++)
        hash->state[i] = initial[i];
    hash->total = 0;
}

void sha256_add(struct sha256 *hash, const void *data, uint32_t length)
{
    const uint8_t *bytes = data;
    uint32_t filled = hash->total % 64u;

    hash->total += length;
    while (length && filled) {
        hash->tail[filled] = *bytes++;
        length--;
        filled = (filled + 1u) % 64u;
        if (!filled)
            compress(hash->state, (const any_word *)(const void *)hash->tail);
    }
    for (; length >= 64u; bytes += 64, length -= 64u)
        compress(hash->state, (const any_word *)(const void *)bytes);
    while (length--)
        hash->tail[filled++] = *bytes++;
}

void sha256_finish(struct sha256 *hash, uint8_t digest[32])
{
    static const uint8_t padding[64] = {0x80};
    uint32_t bits = hash->total * 8u;
    uint32_t used = hash->total % 64u;
    uint8_t length[8] = {0, 0, 0, (uint8_t)(hash->total >> 29),
                         (uint8_t)(bits >> 24), (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};

    sha256_add(hash, padding, used < 56u ? 56u - used : 120u - used);
    sha256_add(hash, length, sizeof length);
    for (uint32_t i = 0; i < 32u; i++)
        digest[i] = (uint8_t)(hash->state[i / 4u] >> (24u - 8u * (i % 4u)));
}

#include "crc32.h"

#define POLYNOMIAL 0xEDB88320u

void crc32_prepare(struct crc32 *crc)
{
    for (uint32_t byte = 0; byte < 256u; byte++) {
        uint32_t value = byte;
        for (uint32_t bit = 0; bit < 8u; bit++)
            value = value >> 1 ^ (value & 1u ? POLYNOMIAL : 0u);
        crc->table[0][byte] = value;
    }
    for (uint32_t byte = 0; byte < 256u; byte++)
        for (uint32_t n = 1; n < 4u; n++) {
            uint32_t before = crc->table[n - 1][byte];
            crc->table[n][byte] = before >> 8 ^ crc->table[0][before & 0xFFu];
        }
}

uint32_t crc32_of(const struct crc32 *crc, uint32_t start, const uint32_t *words, uint32_t bytes)
{
    uint32_t value = ~start;

    for (uint32_t i = 0; i < bytes / 4u; i++) {
        value ^= words[i];
        value = crc->table[3][value & 0xFFu] ^ crc->table[2][value >> 8 & 0xFFu] ^
                crc->table[1][value >> 16 & 0xFFu] ^ crc->table[0][value >> 24];
    }
    return ~value;
}

/* What a compiler may call even in a freestanding program (GCC manual, "Language Standards Supported by GCC"). Linked in
 * only where it does. */
#include <stddef.h>

void *memset(void *to, int byte, size_t length);
void *memcpy(void *restrict to, const void *restrict from, size_t length);

void *memset(void *to, int byte, size_t length)
{
    unsigned char *bytes = to;

    while (length--)
        *bytes++ = (unsigned char)byte;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    unsigned char *bytes = to;
    const unsigned char *source = from;

    while (length--)
        *bytes++ = *source++;
    return to;
}

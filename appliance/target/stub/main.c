/* The measuring stub: what is in the flash, as the silicon itself reads it.
 *
 * - It runs from RAM with interrupts off, at the addresses it is linked for, and ends on a breakpoint.
 * - It reads its request from the mailbox, writes nothing but the mailbox's result and its own stack and .bss, and
 *   leaves the clock tree and the flash interface as it found them.
 * - RESULT_MAGIC is there only when everything else is done.
 */
#include "family.h"
#include "sha256.h"
#include "stub.h"

extern struct mailbox mailbox;

static int all_ones(const uint32_t *words)
{
    return (words[0] & words[1] & words[2] & words[3] & words[4] & words[5] & words[6] & words[7]) == 0xFFFFFFFFu;
}

/* The first address in the range that does not read 0xFF, or its end. */
static uint32_t first_written(uint32_t start, uint32_t length)
{
    uint32_t address = start, end = start + length;

    for (;;) {
        if (address % 32u == 0)
            while (end - address >= 32u && all_ones((const uint32_t *)address))
                address += 32u;
        if (address == end || *(const volatile uint8_t *)address != 0xFFu)
            return address;
        address++;
    }
}

/* The watchdog's shortest default is 512 ms; a slice takes 0.2 s even at the 16 MHz after reset. */
#define SLICE 65536u

static void hash_range(struct range range, uint8_t digest[32])
{
    struct sha256 hash;

    sha256_start(&hash);
    while (range.length) {
        uint32_t now = range.length < SLICE ? range.length : SLICE;
        sha256_add(&hash, (const void *)range.start, now);
        range.start += now;
        range.length -= now;
        watchdog_feed();
    }
    sha256_finish(&hash, digest);
}

static void measure(const struct range *range, union answer *answer)
{
    for (uint32_t i = 0; i < 8u; i++)
        answer->words[i] = 0;
    if (range->kind == RANGE_HASH) {
        hash_range(*range, answer->digest);
    } else {
        uint32_t stop = first_written(range->start, range->length);
        answer->words[0] = stop == range->start + range->length;
        answer->words[1] = stop;
        watchdog_feed();
    }
}

static int request_is_sound(const struct request *request)
{
    if (request->magic != REQUEST_MAGIC || request->count > MAX_RANGES)
        return 0;
    for (uint32_t i = 0; i < request->count; i++) {
        const struct range *range = &request->ranges[i];
        if (range->kind != RANGE_HASH && range->kind != RANGE_ERASED)
            return 0;
        if (range->start + range->length < range->start)
            return 0;
    }
    return 1;
}

__attribute__((used)) static void run(void)
{
    const struct request *request = &mailbox.request;
    struct result *result = &mailbox.result;
    struct clock_saved saved;
    struct sha256 seal;

    result->magic = 0;
    if (!request_is_sound(request)) {
        result->status = STATUS_BAD_REQUEST;
        result->magic = RESULT_MAGIC;
        return;
    }
    result->clock = clock_raise(&saved) ? CLOCK_RAISED : CLOCK_AS_FOUND;
    for (uint32_t i = 0; i < request->count; i++)
        measure(&request->ranges[i], &result->answers[i]);
    sha256_start(&seal);
    sha256_add(&seal, request->nonce, sizeof request->nonce);
    sha256_add(&seal, request->ranges, request->count * sizeof request->ranges[0]);
    sha256_add(&seal, &result->clock, sizeof result->clock);
    sha256_add(&seal, result->answers, request->count * sizeof result->answers[0]);
    sha256_finish(&seal, result->seal);
    clock_restore(&saved);
    result->count = request->count;
    result->status = STATUS_DONE;
    result->magic = RESULT_MAGIC;
}

__attribute__((naked, section(".entry"), used)) void entry(void)
{
    __asm__ volatile("cpsid i\n"
                     "bl run\n"
                     "bkpt 0\n");
}

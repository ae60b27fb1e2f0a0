/* What the SWD core needs of a set of pins: one table of functions.
 *
 * One clock cycle, SWCLK resting low: the host puts its bit on SWDIO or leaves it released; the host samples SWDIO;
 * SWCLK rises, and only then the target changes what it drives; SWCLK falls. So the sample of a cycle shows what the
 * target put out at the rising edge before it (ADIv5.2 B4.1). Bits travel LSB first.
 *
 * A function returns 0 or a negative errno. The table is called by one thread at a time, without Python's lock.
 * Foreign pins (a virtual target) are handed over in a PyCapsule named SWD_PINS_CAPSULE that points to the table.
 */
#ifndef PROOFLINE_SWD_PINS_V1_H
#define PROOFLINE_SWD_PINS_V1_H

#include <stdint.h>

#define SWD_PINS_CAPSULE "proofline.swd.pins.v1"
#define SWD_PINS_VERSION 1u

enum { SWD_LINE_NRESET = 0, SWD_LINE_POWER = 1, SWD_LINES = 2 };

struct swd_pins_v1 {
    uint32_t version; /* SWD_PINS_VERSION */
    uint32_t size;    /* sizeof(struct swd_pins_v1) */
    void *ctx;
    /* count (1..64) cycles; drive: the host puts out on the line, else the line is released. *in gets the level of
     * each cycle, whoever drove it; in may be NULL. */
    int (*exchange)(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in);
    int (*set_clock)(void *ctx, uint32_t hz);
    int (*drive_pins)(void *ctx, int driven);                   /* take SWCLK and SWDIO, or let them float */
    int (*set_line)(void *ctx, uint32_t line, int level);       /* nRESET: 0 pulls low, 1 lets go; power: 1 is on */
    int (*get_line)(void *ctx, uint32_t line, int *level);      /* as it is on the wire */
    int (*wait)(void *ctx, uint64_t ns);                        /* let the target's time pass */
    void (*close)(void *ctx);                                   /* releases everything; may be NULL */
};

#endif

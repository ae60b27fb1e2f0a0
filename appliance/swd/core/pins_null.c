/* Pins that are an ordinary page of memory: every edge is a store, every sample a load, and an imaginary target answers
 * OK with zeros. What is left is the core's own work; it is measured as SWCLK cycles a second. */
#include <errno.h>
#include <stdlib.h>

#include "edges.h"
#include "pins.h"

struct null_pins {
    volatile uint32_t set, clear, level; /* laid out like a GPIO block's registers */
    int lines[SWD_LINES];
};

enum { SWCLK = 1u << 0, SWDIO = 1u << 1, ACKNOWLEDGE_AT = 1, SHORT_RUN = 8 };

static inline void put(struct null_pins *pins, unsigned bit)
{
    if (bit)
        pins->set = SWDIO;
    else
        pins->clear = SWDIO;
}

static inline void low(struct null_pins *pins)
{
    pins->clear = SWCLK;
}

static inline unsigned sample(struct null_pins *pins)
{
    return pins->level >> 1 & 1u;
}

static inline void high(struct null_pins *pins)
{
    pins->set = SWCLK;
}

SWD_DEFINE_EDGE_RUN(run, struct null_pins, put, sample, high, low)

static int exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    uint64_t seen = run(ctx, count, out, drive);

    if (!drive && count <= SHORT_RUN) /* a run that holds an acknowledgement */
        seen |= UINT64_C(1) << ACKNOWLEDGE_AT;
    if (in)
        *in = drive ? out : seen;
    return 0;
}

static int set_clock(void *ctx, uint32_t hz)
{
    (void)ctx, (void)hz;
    return 0;
}

static int drive_pins(void *ctx, int driven)
{
    (void)ctx, (void)driven;
    return 0;
}

static int set_line(void *ctx, uint32_t line, int level)
{
    ((struct null_pins *)ctx)->lines[line] = level;
    return 0;
}

static int get_line(void *ctx, uint32_t line, int *level)
{
    *level = ((struct null_pins *)ctx)->lines[line];
    return 0;
}

static int wait_ns(void *ctx, uint64_t ns)
{
    (void)ctx, (void)ns;
    return 0;
}

int swd_pins_null(struct swd_pins_v1 *pins)
{
    struct null_pins *null = calloc(1, sizeof *null);

    if (!null)
        return -ENOMEM;
    null->lines[SWD_LINE_NRESET] = null->lines[SWD_LINE_POWER] = 1;
    *pins = (struct swd_pins_v1){SWD_PINS_VERSION, sizeof *pins, null,     exchange, set_clock,
                                 drive_pins,       set_line,     get_line, wait_ns,  free};
    return 0;
}

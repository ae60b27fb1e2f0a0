#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

struct clock_saved {
    uint32_t apb1enr, acr, cr, pllcfgr, cfgr, pwr_cr, raised;
};

/* 1 when the core now runs at its measuring speed, 0 when the clock was left as found; the flash caches are fresh
 * either way. */
int clock_raise(struct clock_saved *saved);
void clock_restore(const struct clock_saved *saved);

#endif

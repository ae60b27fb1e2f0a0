/* What differs from family to family: the clock tree, the flash interface and the watchdog. */
#ifndef FAMILY_H
#define FAMILY_H

#include <stdint.h>

struct clock_saved {
    uint32_t apb1enr, acr, cr, pllcfgr, cfgr, pwr_cr, raised;
};

/* 1 when the core now runs at its measuring speed, 0 when the clock was left as found; the flash caches are fresh
 * either way. */
int clock_raise(struct clock_saved *saved);
void clock_restore(const struct clock_saved *saved);

/* A part whose option bytes start the watchdog by themselves must not be reset in the middle; it is never started
 * here. */
void watchdog_feed(void);

#endif

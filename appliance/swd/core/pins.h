/* The back ends of this package. Each fills a table of pins_v1.h; on failure the table stays untouched. */
#ifndef PROOFLINE_SWD_PINS_H
#define PROOFLINE_SWD_PINS_H

#include "pins_v1.h"

enum swd_pull { PULL_NONE = 0, PULL_UP = 1, PULL_DOWN = 2 };

/* Line numbers as the back end counts them; -1 where nothing is connected. */
struct swd_pin_numbers {
    int swclk, swdio, nreset, power;
    int power_active_low;
    int swdio_pull, nreset_pull; /* enum swd_pull */
};

/* Every function: 0 or a negative errno. */
int swd_pins_null(struct swd_pins_v1 *pins);
int swd_pins_socket(struct swd_pins_v1 *pins, const char *path);
int swd_pins_chip(struct swd_pins_v1 *pins, const char *path, const struct swd_pin_numbers *numbers);

enum swd_gpiomem_family { FAMILY_BCM2835 = 0, FAMILY_BCM2711 = 1 };
int swd_pins_gpiomem(struct swd_pins_v1 *pins, const char *path, enum swd_gpiomem_family family,
                     const struct swd_pin_numbers *numbers);

int swd_sleep_ns(uint64_t ns); /* real time, for back ends with real targets */

#endif

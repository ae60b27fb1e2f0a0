/* Lines of a GPIO character device (Linux uAPI v2): works on every board that has a driver, at some system calls a cycle.
 *
 * SWCLK and SWDIO are one line request, so that one call moves both; the falling edge of a cycle travels with the data of
 * the next. nRESET is an open-drain line, target power a push-pull one, each a request of its own. The kernel gives all
 * of them back when the process ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "pins.h"

/* The layout the kernel has promised to keep; a header that says otherwise is not the uAPI this was written for. */
_Static_assert(sizeof(struct gpio_v2_line_values) == 16, "gpio_v2_line_values");
_Static_assert(sizeof(struct gpio_v2_line_attribute) == 16, "gpio_v2_line_attribute");
_Static_assert(sizeof(struct gpio_v2_line_config_attribute) == 24, "gpio_v2_line_config_attribute");
_Static_assert(sizeof(struct gpio_v2_line_config) == 272, "gpio_v2_line_config");
_Static_assert(sizeof(struct gpio_v2_line_request) == 592, "gpio_v2_line_request");
_Static_assert(offsetof(struct gpio_v2_line_request, config) == 288, "gpio_v2_line_request.config");
_Static_assert(offsetof(struct gpio_v2_line_request, num_lines) == 560, "gpio_v2_line_request.num_lines");
_Static_assert(offsetof(struct gpio_v2_line_request, fd) == 588, "gpio_v2_line_request.fd");
_Static_assert(GPIO_V2_GET_LINE_IOCTL == 0xC250B407u, "GPIO_V2_GET_LINE_IOCTL");
_Static_assert(GPIO_V2_LINE_SET_CONFIG_IOCTL == 0xC110B40Du, "GPIO_V2_LINE_SET_CONFIG_IOCTL");
_Static_assert(GPIO_V2_LINE_GET_VALUES_IOCTL == 0xC010B40Eu, "GPIO_V2_LINE_GET_VALUES_IOCTL");
_Static_assert(GPIO_V2_LINE_SET_VALUES_IOCTL == 0xC010B40Fu, "GPIO_V2_LINE_SET_VALUES_IOCTL");

enum { SWCLK = 1u << 0, SWDIO = 1u << 1 }; /* bits of the wire's request */

struct chip_pins {
    int chip, wire, lines[SWD_LINES];
    int driving, swdio_pull;
    uint64_t half_ns;
};

static uint64_t bias(int pull)
{
    return pull == PULL_UP     ? GPIO_V2_LINE_FLAG_BIAS_PULL_UP
           : pull == PULL_DOWN ? GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN
                               : GPIO_V2_LINE_FLAG_BIAS_DISABLED;
}

static void attribute(struct gpio_v2_line_config *config, uint32_t id, uint64_t value, uint64_t mask)
{
    struct gpio_v2_line_config_attribute *next = &config->attrs[config->num_attrs++];

    next->attr.id = id;
    next->attr.values = value; /* flags and values share their place */
    next->mask = mask;
}

static struct gpio_v2_line_config wire_config(const struct chip_pins *pins, int clocked, int driving, unsigned first)
{
    struct gpio_v2_line_config config = {.flags = clocked ? GPIO_V2_LINE_FLAG_OUTPUT
                                                          : GPIO_V2_LINE_FLAG_INPUT | bias(PULL_DOWN)};

    attribute(&config, GPIO_V2_LINE_ATTR_ID_FLAGS,
              driving ? GPIO_V2_LINE_FLAG_OUTPUT : GPIO_V2_LINE_FLAG_INPUT | bias(pins->swdio_pull), SWDIO);
    if (clocked) /* the first bit is there before the line drives; SWCLK stays low */
        attribute(&config, GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, driving && first ? SWDIO : 0, SWCLK | SWDIO);
    return config;
}

static int request_lines(int chip, const uint32_t *offsets, uint32_t count, const char *consumer,
                         const struct gpio_v2_line_config *config)
{
    struct gpio_v2_line_request wanted = {.config = *config, .num_lines = count};

    memcpy(wanted.offsets, offsets, count * sizeof *offsets);
    strcpy(wanted.consumer, consumer);
    return ioctl(chip, GPIO_V2_GET_LINE_IOCTL, &wanted) < 0 ? -errno : wanted.fd;
}

static int set_values(int fd, uint64_t bits, uint64_t mask)
{
    struct gpio_v2_line_values values = {bits, mask};

    return ioctl(fd, GPIO_V2_LINE_SET_VALUES_IOCTL, &values) < 0 ? -errno : 0;
}

static int get_values(int fd, uint64_t mask, uint64_t *bits)
{
    struct gpio_v2_line_values values = {0, mask};

    if (ioctl(fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values) < 0)
        return -errno;
    *bits = values.bits;
    return 0;
}

static int configure(struct chip_pins *pins, int clocked, int driving, unsigned first)
{
    struct gpio_v2_line_config config = wire_config(pins, clocked, driving, first);

    if (ioctl(pins->wire, GPIO_V2_LINE_SET_CONFIG_IOCTL, &config) < 0)
        return -errno;
    pins->driving = driving;
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The rest of half a period; system calls alone are mostly longer than that. */
static void half_period(const struct chip_pins *pins, uint64_t since)
{
    if (pins->half_ns)
        while (now_ns() - since < pins->half_ns)
            ;
}

static int exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    struct chip_pins *pins = ctx;
    uint64_t seen = 0, level = 0, start;
    int result = 0;

    if ((drive != 0) != pins->driving)
        result = configure(pins, 1, drive != 0, (unsigned)out & 1u);
    for (uint32_t cycle = 0; cycle < count && result == 0; cycle++) {
        start = now_ns();
        result = set_values(pins->wire, out >> cycle & 1 ? SWDIO : 0, drive ? SWCLK | SWDIO : SWCLK);
        half_period(pins, start);
        if (result == 0 && (!drive || in)) {
            result = get_values(pins->wire, SWDIO, &level);
            seen |= (uint64_t)((level & SWDIO) != 0) << cycle;
        }
        start = now_ns();
        if (result == 0)
            result = set_values(pins->wire, SWCLK, SWCLK);
        half_period(pins, start);
    }
    if (result == 0)
        result = set_values(pins->wire, 0, SWCLK);
    if (in)
        *in = seen;
    return result;
}

static int set_clock(void *ctx, uint32_t hz)
{
    ((struct chip_pins *)ctx)->half_ns = 500000000u / hz;
    return 0;
}

static int drive_pins(void *ctx, int driven)
{
    return configure(ctx, driven, driven, 1);
}

static int set_line(void *ctx, uint32_t line, int level)
{
    struct chip_pins *pins = ctx;

    return pins->lines[line] < 0 ? -ENODEV : set_values(pins->lines[line], level != 0, 1);
}

static int get_line(void *ctx, uint32_t line, int *level)
{
    struct chip_pins *pins = ctx;
    uint64_t bits = 0;
    int result = pins->lines[line] < 0 ? -ENODEV : get_values(pins->lines[line], 1, &bits);

    *level = bits & 1;
    return result;
}

static int wait_ns(void *ctx, uint64_t ns)
{
    (void)ctx;
    return swd_sleep_ns(ns);
}

static void close_chip(void *ctx)
{
    struct chip_pins *pins = ctx;
    int fds[] = {pins->wire, pins->lines[SWD_LINE_NRESET], pins->lines[SWD_LINE_POWER], pins->chip};

    for (size_t each = 0; each < sizeof fds / sizeof *fds; each++)
        if (fds[each] >= 0)
            close(fds[each]);
    free(pins);
}

static int request_line(struct chip_pins *pins, uint32_t line, int number, const struct swd_pin_numbers *numbers)
{
    struct gpio_v2_line_config config = {.flags = GPIO_V2_LINE_FLAG_OUTPUT};
    uint32_t offset = (uint32_t)number;

    if (line == SWD_LINE_NRESET)
        config.flags |= GPIO_V2_LINE_FLAG_OPEN_DRAIN | bias(numbers->nreset_pull);
    else if (numbers->power_active_low)
        config.flags |= GPIO_V2_LINE_FLAG_ACTIVE_LOW;
    /* nRESET let go; power on, because a board on the bench that loses power when we start would be a surprise */
    attribute(&config, GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, 1, 1);
    return request_lines(pins->chip, &offset, 1, line == SWD_LINE_NRESET ? "proofline-nreset" : "proofline-power",
                         &config);
}

int swd_pins_chip(struct swd_pins_v1 *table, const char *path, const struct swd_pin_numbers *numbers)
{
    const uint32_t wire[] = {(uint32_t)numbers->swclk, (uint32_t)numbers->swdio};
    struct chip_pins *pins = calloc(1, sizeof *pins);
    struct gpio_v2_line_config released;
    int result = 0;

    if (!pins)
        return -ENOMEM;
    pins->wire = pins->lines[SWD_LINE_NRESET] = pins->lines[SWD_LINE_POWER] = -1;
    pins->swdio_pull = numbers->swdio_pull;
    pins->chip = open(path, O_RDWR | O_CLOEXEC);
    if (pins->chip < 0)
        result = -errno;
    if (result >= 0) {
        released = wire_config(pins, 0, 0, 0);
        result = pins->wire = request_lines(pins->chip, wire, 2, "proofline-swd", &released);
    }
    if (result >= 0 && numbers->nreset >= 0)
        result = pins->lines[SWD_LINE_NRESET] = request_line(pins, SWD_LINE_NRESET, numbers->nreset, numbers);
    if (result >= 0 && numbers->power >= 0)
        result = pins->lines[SWD_LINE_POWER] = request_line(pins, SWD_LINE_POWER, numbers->power, numbers);
    if (result < 0) {
        close_chip(pins);
        return result;
    }
    *table = (struct swd_pins_v1){SWD_PINS_VERSION, sizeof *table, pins,     exchange, set_clock,
                                  drive_pins,       set_line,      get_line, wait_ns,  close_chip};
    return 0;
}

/* A GPIO character device for a process that was started with this library preloaded: the kernel's uAPI v2, as far as
 * one chip's line requests go, with its checks. There is no gpio-sim in the kernels this is tested on.
 *
 * Opening FAKE_CHIP gives the chip. A rising edge of line FAKE_SWCLK is told on descriptor FAKE_TELL as one byte, what the
 * host drives on line FAKE_SWDIO (0, 1 or z), and answered on FAKE_HEAR by what the target drives from then on. Every
 * change of another line is told as two bytes: its letter (its number counted from A) and its level (0, 1 or z).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REQUESTS = 8, LINES = 64 };

static struct {
    int fd;
    unsigned count;
    unsigned lines[GPIO_V2_LINES_MAX];
} requests[REQUESTS];

static struct {
    unsigned long long flags;
    int value, requested;
} lines[LINES];

static int chip = -1;
static char target = 'z';

static int number(const char *name)
{
    const char *text = getenv(name);

    return text ? atoi(text) : -1;
}

static char level(unsigned line) /* what the host makes of a line: 0, 1, or z where it does not drive */
{
    int value = lines[line].value ^ ((lines[line].flags & GPIO_V2_LINE_FLAG_ACTIVE_LOW) != 0);

    if (!(lines[line].flags & GPIO_V2_LINE_FLAG_OUTPUT))
        return 'z';
    if (value && lines[line].flags & GPIO_V2_LINE_FLAG_OPEN_DRAIN)
        return 'z';
    return value ? '1' : '0';
}

static void tell(const char *bytes, size_t count)
{
    if (write(number("FAKE_TELL"), bytes, count) != (ssize_t)count)
        abort();
}

static void assign(unsigned line, unsigned long long flags, int value)
{
    char before = level(line), after;

    lines[line].flags = flags;
    lines[line].value = value;
    after = level(line);
    if (before == after)
        return;
    if ((int)line == number("FAKE_SWCLK")) {
        char host = level((unsigned)number("FAKE_SWDIO"));
        if (before == '0' && after == '1') {
            tell(&host, 1);
            if (read(number("FAKE_HEAR"), &target, 1) != 1)
                abort();
        }
    } else if ((int)line != number("FAKE_SWDIO")) {
        char change[2] = {(char)('A' + line), after};
        tell(change, sizeof change);
    }
}

static int flags_are_wrong(unsigned long long flags) /* gpio_v2_line_flags_validate in the kernel */
{
    const unsigned long long direction = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_OUTPUT;
    const unsigned long long drive = GPIO_V2_LINE_FLAG_OPEN_DRAIN | GPIO_V2_LINE_FLAG_OPEN_SOURCE;
    const unsigned long long bias =
        GPIO_V2_LINE_FLAG_BIAS_DISABLED | GPIO_V2_LINE_FLAG_BIAS_PULL_UP | GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN;

    return flags & ~(direction | drive | bias | GPIO_V2_LINE_FLAG_ACTIVE_LOW) || (flags & direction) == direction ||
           (flags & drive && !(flags & GPIO_V2_LINE_FLAG_OUTPUT)) || (flags & drive) == drive ||
           (flags & bias && !(flags & direction)) || (flags & bias & ((flags & bias) - 1));
}

static int configure(unsigned count, const unsigned *numbers, const struct gpio_v2_line_config *config)
{
    static const __u32 zeros[5];

    if (config->num_attrs > GPIO_V2_LINE_NUM_ATTRS_MAX || memcmp(config->padding, zeros, sizeof zeros))
        return EINVAL;
    for (unsigned index = 0; index < count; index++) {
        unsigned long long flags = config->flags, value = 0, mask = 1ull << index;
        int flagged = 0, valued = 0;
        for (unsigned each = 0; each < config->num_attrs; each++) {
            const struct gpio_v2_line_config_attribute *attribute = &config->attrs[each];
            if (attribute->attr.padding)
                return EINVAL;
            if (!(attribute->mask & mask))
                continue;
            if (attribute->attr.id == GPIO_V2_LINE_ATTR_ID_FLAGS && !flagged++)
                flags = attribute->attr.flags;
            else if (attribute->attr.id == GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES && !valued++)
                value = attribute->attr.values & mask;
        }
        if (flags_are_wrong(flags))
            return EINVAL;
        assign(numbers[index], flags, value != 0);
    }
    return 0;
}

static int get_line(struct gpio_v2_line_request *wanted)
{
    unsigned slot = 0;
    int wrong;

    while (slot < REQUESTS && requests[slot].fd)
        slot++;
    if (!wanted->num_lines || wanted->num_lines > GPIO_V2_LINES_MAX || slot == REQUESTS)
        return EINVAL;
    for (unsigned index = 0; index < wanted->num_lines; index++) {
        if (wanted->offsets[index] >= LINES)
            return EINVAL;
        if (lines[wanted->offsets[index]].requested++)
            return EBUSY;
    }
    wrong = configure(wanted->num_lines, wanted->offsets, &wanted->config);
    if (wrong)
        return wrong;
    wanted->fd = requests[slot].fd = dup(chip);
    requests[slot].count = wanted->num_lines;
    memcpy(requests[slot].lines, wanted->offsets, sizeof wanted->offsets);
    return 0;
}

static int values(unsigned slot, unsigned long command, struct gpio_v2_line_values *wanted)
{
    unsigned long long seen = 0;

    for (unsigned index = 0; index < requests[slot].count; index++) {
        unsigned line = requests[slot].lines[index];
        unsigned long long mask = 1ull << index;
        if (!(wanted->mask & mask))
            continue;
        if (command == GPIO_V2_LINE_SET_VALUES_IOCTL) {
            if (!(lines[line].flags & GPIO_V2_LINE_FLAG_OUTPUT))
                return EPERM;
            /* data before clock where one call moves both: the falling edge does not matter, a rising one would */
            assign(line, lines[line].flags, (wanted->bits & mask) != 0);
        } else {
            char shown = level(line);
            if (shown == 'z')
                shown = (int)line == number("FAKE_SWDIO") && target != 'z' ? target : '1';
            if ((shown == '1') != ((lines[line].flags & GPIO_V2_LINE_FLAG_ACTIVE_LOW) != 0))
                seen |= mask;
        }
    }
    if (command == GPIO_V2_LINE_GET_VALUES_IOCTL)
        wanted->bits = seen;
    return 0;
}

static int answer(int wrong)
{
    errno = wrong;
    return wrong ? -1 : 0;
}

int ioctl(int fd, unsigned long command, ...)
{
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    void *argument;

    va_start(rest, command);
    argument = va_arg(rest, void *);
    va_end(rest);
    if (chip >= 0 && fd == chip && command == GPIO_V2_GET_LINE_IOCTL)
        return answer(get_line(argument));
    for (unsigned slot = 0; slot < REQUESTS; slot++) {
        if (!requests[slot].fd || requests[slot].fd != fd)
            continue;
        if (command == GPIO_V2_LINE_SET_CONFIG_IOCTL)
            return answer(configure(requests[slot].count, requests[slot].lines, argument));
        return answer(values(slot, command, argument));
    }
    return real(fd, command, argument);
}

static int opened(const char *name, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    const char *fake = getenv("FAKE_CHIP");

    if (fake && !strcmp(fake, path))
        return chip = real("/dev/null", O_RDWR | O_CLOEXEC);
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open64", path, flags, mode);
}

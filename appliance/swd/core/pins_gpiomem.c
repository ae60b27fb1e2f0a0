/* Memory-mapped GPIO of BCM2835 (Pi 1 to 3) and BCM2711 (Pi 4) through /dev/gpiomem.
 *
 * Registers: BCM2835 ARM Peripherals 6.1, BCM2711 ARM Peripherals 5.2. Set and clear registers make single stores atomic;
 * function select is read-modify-write for ten pins at once, so it is done under a lock that all sets of pins in this
 * process share. Nothing can be shared with the kernel: another driver must not change a direction in the same ten
 * while the wire is in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "edges.h"
#include "pins.h"

enum { SELECT = 0x00 / 4, SET = 0x1C / 4, CLEAR = 0x28 / 4, LEVEL = 0x34 / 4 };
enum { PULL_2835 = 0x94 / 4, PULL_CLOCK_2835 = 0x98 / 4, PULL_2711 = 0xE4 / 4 };
enum { BLOCK_BYTES = 4096, INPUT = 0, OUTPUT = 1, PULL_SETTLE_NS = 10000 };

struct gpiomem_pins {
    volatile uint32_t *registers;
    uint32_t swclk, swdio; /* masks */
    uint32_t spin;         /* turns of the delay loop in half a period */
    int driving;           /* SWDIO is an output */
    int attached;
    double spin_ns, edge_ns;
    struct swd_pin_numbers numbers;
    enum swd_gpiomem_family family;
};

/* The one thing in the core that is not one set of pins' own, because the hardware's registers are not either. */
static pthread_mutex_t select_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void barrier(void)
{
#if defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
    __asm__ volatile("dsb sy" ::: "memory"); /* the store has reached the pin's block before time is counted */
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void delay(uint32_t turns)
{
    for (; turns; turns--)
        __asm__ volatile("" ::: "memory");
}

static inline void put(struct gpiomem_pins *pins, unsigned bit)
{
    pins->registers[bit ? SET : CLEAR] = pins->swdio;
}

static inline void low(struct gpiomem_pins *pins)
{
    pins->registers[CLEAR] = pins->swclk;
    barrier();
    delay(pins->spin);
}

static inline unsigned sample(struct gpiomem_pins *pins)
{
    unsigned level = (pins->registers[LEVEL] & pins->swdio) != 0;

    barrier();
    return level;
}

static inline void high(struct gpiomem_pins *pins)
{
    pins->registers[SET] = pins->swclk;
    barrier();
    delay(pins->spin);
}

static inline unsigned unsampled(struct gpiomem_pins *pins)
{
    (void)pins;
    return 0;
}

SWD_DEFINE_EDGE_RUN(run_sampled, struct gpiomem_pins, put, sample, high, low)
SWD_DEFINE_EDGE_RUN(run_unsampled, struct gpiomem_pins, put, unsampled, high, low)

static void select_function(struct gpiomem_pins *pins, int pin, uint32_t function)
{
    volatile uint32_t *select = &pins->registers[SELECT + pin / 10];
    unsigned shift = (unsigned)(pin % 10) * 3;

    pthread_mutex_lock(&select_lock);
    *select = (*select & ~(UINT32_C(7) << shift)) | function << shift;
    barrier();
    pthread_mutex_unlock(&select_lock);
}

static int exchange(void *ctx, uint32_t count, uint64_t out, int drive, uint64_t *in)
{
    struct gpiomem_pins *pins = ctx;
    uint64_t seen;

    if (drive && !pins->driving)
        put(pins, (unsigned)out & 1u); /* the first bit is there before the pin drives */
    if ((drive != 0) != pins->driving)
        select_function(pins, pins->numbers.swdio, drive ? OUTPUT : INPUT);
    pins->driving = drive != 0;
    seen = drive && !in ? run_unsampled(pins, count, out, drive) : run_sampled(pins, count, out, drive);
    pins->registers[CLEAR] = pins->swclk; /* SWCLK rests low, where the target's pull holds it */
    barrier();
    if (in)
        *in = seen;
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Shortest of some runs: what the loop costs when nobody interrupts it. Stores of 0 to the set register do nothing. */
static void calibrate(struct gpiomem_pins *pins)
{
    enum { RUNS = 5, TURNS = 20000, EDGES = 2000 };
    uint64_t spin = UINT64_MAX, edges = UINT64_MAX;

    for (int run = 0; run < RUNS; run++) {
        uint64_t start = now_ns(), middle, end;
        delay(TURNS);
        middle = now_ns();
        for (int edge = 0; edge < EDGES; edge++) {
            pins->registers[SET] = 0;
            barrier();
        }
        end = now_ns();
        spin = middle - start < spin ? middle - start : spin;
        edges = end - middle < edges ? end - middle : edges;
    }
    pins->spin_ns = (double)(spin ? spin : 1) / TURNS;
    pins->edge_ns = (double)edges / EDGES;
}

static int set_clock(void *ctx, uint32_t hz)
{
    struct gpiomem_pins *pins = ctx;
    double rest = 0.5e9 / hz - pins->edge_ns;

    pins->spin = rest > 0 ? (uint32_t)(rest / pins->spin_ns + 0.999) : 0;
    return 0;
}

static int drive_pins(void *ctx, int driven)
{
    struct gpiomem_pins *pins = ctx;

    if (driven && !pins->attached) {
        pins->registers[CLEAR] = pins->swclk;
        put(pins, 1);
        barrier();
    }
    select_function(pins, pins->numbers.swdio, driven ? OUTPUT : INPUT);
    select_function(pins, pins->numbers.swclk, driven ? OUTPUT : INPUT);
    pins->driving = pins->attached = driven != 0;
    return 0;
}

static int pin_of(const struct gpiomem_pins *pins, uint32_t line)
{
    return line == SWD_LINE_NRESET ? pins->numbers.nreset : pins->numbers.power;
}

static int set_line(void *ctx, uint32_t line, int level)
{
    struct gpiomem_pins *pins = ctx;
    int pin = pin_of(pins, line);

    if (pin < 0)
        return -ENODEV;
    if (line == SWD_LINE_NRESET) { /* open drain: the latch is always 0, only the direction changes */
        pins->registers[CLEAR] = UINT32_C(1) << pin;
        barrier();
        select_function(pins, pin, level ? INPUT : OUTPUT);
    } else {
        pins->registers[(level != 0) != pins->numbers.power_active_low ? SET : CLEAR] = UINT32_C(1) << pin;
        barrier();
        select_function(pins, pin, OUTPUT);
    }
    return 0;
}

static int get_line(void *ctx, uint32_t line, int *level)
{
    struct gpiomem_pins *pins = ctx;
    int pin = pin_of(pins, line);

    if (pin < 0)
        return -ENODEV;
    *level = (pins->registers[LEVEL] >> pin & 1u) != 0;
    barrier();
    if (line == SWD_LINE_POWER)
        *level ^= pins->numbers.power_active_low;
    return 0;
}

static int wait_ns(void *ctx, uint64_t ns)
{
    (void)ctx;
    return swd_sleep_ns(ns);
}

static void set_pull(struct gpiomem_pins *pins, int pin, enum swd_pull pull)
{
    volatile uint32_t *registers = pins->registers;

    pthread_mutex_lock(&select_lock);
    if (pins->family == FAMILY_BCM2711) { /* two bits a pin: 0 none, 1 up, 2 down (5.2, GPIO_PUP_PDN_CNTRL_REGn) */
        unsigned shift = (unsigned)(pin % 16) * 2;
        volatile uint32_t *control = &registers[PULL_2711 + pin / 16];
        *control = (*control & ~(UINT32_C(3) << shift)) | (uint32_t)pull << shift;
    } else { /* 0 none, 1 down, 2 up; clocked in with 150 cycles before and after (6.1, GPPUDCLKn) */
        registers[PULL_2835] = pull == PULL_UP ? 2 : pull == PULL_DOWN ? 1 : 0;
        barrier();
        swd_sleep_ns(PULL_SETTLE_NS);
        registers[PULL_CLOCK_2835] = UINT32_C(1) << pin;
        barrier();
        swd_sleep_ns(PULL_SETTLE_NS);
        registers[PULL_2835] = 0;
        registers[PULL_CLOCK_2835] = 0;
    }
    barrier();
    pthread_mutex_unlock(&select_lock);
}

/* Releases the wire and nRESET. Target power stays as it is: losing a debugger must not cut a board off. */
static void close_gpiomem(void *ctx)
{
    struct gpiomem_pins *pins = ctx;

    drive_pins(pins, 0);
    if (pins->numbers.nreset >= 0)
        set_line(pins, SWD_LINE_NRESET, 1);
    munmap((void *)(uintptr_t)pins->registers, BLOCK_BYTES);
    free(pins);
}

int swd_pins_gpiomem(struct swd_pins_v1 *table, const char *path, enum swd_gpiomem_family family,
                     const struct swd_pin_numbers *numbers)
{
    struct gpiomem_pins *pins = calloc(1, sizeof *pins);
    void *mapped;
    int fd, failed;

    if (!pins)
        return -ENOMEM;
    fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        failed = -errno;
        free(pins);
        return failed;
    }
    mapped = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    failed = mapped == MAP_FAILED ? -errno : 0;
    close(fd);
    if (failed) {
        free(pins);
        return failed;
    }
    pins->registers = mapped;
    pins->family = family;
    pins->numbers = *numbers;
    pins->swclk = UINT32_C(1) << numbers->swclk;
    pins->swdio = UINT32_C(1) << numbers->swdio;
    calibrate(pins);
    set_pull(pins, numbers->swclk, PULL_DOWN);
    set_pull(pins, numbers->swdio, (enum swd_pull)numbers->swdio_pull);
    if (numbers->nreset >= 0)
        set_pull(pins, numbers->nreset, (enum swd_pull)numbers->nreset_pull);
    if (numbers->nreset >= 0)
        set_line(pins, SWD_LINE_NRESET, 1);
    if (numbers->power >= 0) /* on: a board on the bench that loses power when we start would be a surprise */
        set_line(pins, SWD_LINE_POWER, 1);
    *table = (struct swd_pins_v1){SWD_PINS_VERSION, sizeof *table, pins,     exchange, set_clock,
                                  drive_pins,       set_line,      get_line, wait_ns,  close_gpiomem};
    return 0;
}

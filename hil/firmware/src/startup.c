/* Vector table and reset handler: from the core's reset state to main() with .data and .bss as C expects. */
#include <stdint.h>

extern uint32_t image_stack_top[];
extern uint32_t image_data_source[], image_data_start[], image_data_end[];
extern uint32_t image_bss_start[], image_bss_end[];

int main(void);
void systick_handler(void);

static void halt_here(void)
{
    for (;;)
        __asm__ volatile("wfi");
}

void reset_handler(void)
{
    const uint32_t *source = image_data_source;
    for (uint32_t *word = image_data_start; word < image_data_end; word++)
        *word = *source++;
    for (uint32_t *word = image_bss_start; word < image_bss_end; word++)
        *word = 0;
    main();
    halt_here();
}

typedef void (*vector)(void);

/* ARMv7-M B1.5.3: the system exceptions; no peripheral interrupt is ever enabled. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector system[15];
} vectors = {
    .stack = image_stack_top,
    .system = {
        reset_handler,  /* 1 reset */
        halt_here,      /* 2 NMI */
        halt_here,      /* 3 hard fault */
        halt_here,      /* 4 memory management */
        halt_here,      /* 5 bus fault */
        halt_here,      /* 6 usage fault */
        0, 0, 0, 0,     /* 7 to 10 reserved */
        halt_here,      /* 11 SVCall */
        halt_here,      /* 12 debug monitor */
        0,              /* 13 reserved */
        halt_here,      /* 14 PendSV */
        systick_handler /* 15 SysTick */
    },
};

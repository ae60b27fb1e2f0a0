/* STM32F412: 100 MHz from the internal oscillator while a stub works, and everything as it was afterwards. */
#include "family.h"
#include "stm32f412.h"

/* A clock that does not come ready is left as it was found: slower, and the result says so. */
#define PATIENCE 100000u

static int wait_for(volatile uint32_t *reg, uint32_t mask, uint32_t value)
{
    for (uint32_t i = 0; i < PATIENCE; i++)
        if ((*reg & mask) == value)
            return 1;
    return 0;
}

/* RM0402 3.4.2: the ART caches may be reset only while disabled. Whatever they hold from before the flash was
 * programmed must not be what gets measured. */
static void flash_access(uint32_t acr)
{
    uint32_t latency = acr & ACR_LATENCY_MASK;
    FLASH_ACR = latency;
    FLASH_ACR = latency | ACR_ICRST | ACR_DCRST;
    FLASH_ACR = latency;
    FLASH_ACR = acr & ~(ACR_ICRST | ACR_DCRST);
    wait_for(&FLASH_ACR, ACR_LATENCY_MASK, latency);
}

int clock_raise(struct clock_saved *saved)
{
    saved->apb1enr = RCC_APB1ENR;
    RCC_APB1ENR = saved->apb1enr | PWREN;
    (void)RCC_APB1ENR;
    saved->acr = FLASH_ACR;
    saved->cr = RCC_CR;
    saved->pllcfgr = RCC_PLLCFGR;
    saved->cfgr = RCC_CFGR;
    saved->pwr_cr = PWR_CR;
    saved->raised = 0;

    /* Only from the state after reset: somebody else's PLL or oscillator is not ours to retune. */
    if ((saved->cfgr & (SW_MASK | SWS_MASK)) || (saved->cr & PLLON) || !(saved->cr & HSIRDY)) {
        flash_access((saved->acr & ACR_LATENCY_MASK) | ACR_PRFTEN | ACR_DCEN);
        return 0;
    }
    /* RM0402 5.1.3: VOS may change only while the PLL is off; 6.2.3: HSI 16 MHz / 8 * 100 / 2. */
    PWR_CR = saved->pwr_cr | PWR_VOS;
    RCC_PLLCFGR = 8u | (100u << 6) | (0u << 16) | (4u << 24) | (2u << 28);
    RCC_CR = saved->cr | PLLON;
    if (!wait_for(&RCC_CR, PLLRDY, PLLRDY) || !wait_for(&PWR_CSR, PWR_VOSRDY, PWR_VOSRDY)) {
        flash_access((saved->acr & ACR_LATENCY_MASK) | ACR_PRFTEN | ACR_DCEN);
        saved->raised = 1;
        clock_restore(saved);
        return 0;
    }
    /* RM0402 3.4.1: more wait states before the faster clock. */
    flash_access(ACR_LATENCY_3 | ACR_PRFTEN | ACR_ICEN | ACR_DCEN);
    RCC_CFGR = (saved->cfgr & ~SW_MASK) | PPRE1_DIV2 | SW_PLL;
    wait_for(&RCC_CFGR, SWS_MASK, SWS_PLL);
    saved->raised = 1;
    return 1;
}

/* RM0402 3.4.1: the slower clock before fewer wait states. */
void clock_restore(const struct clock_saved *saved)
{
    if (saved->raised) {
        RCC_CFGR = (saved->cfgr & ~SW_MASK) | PPRE1_DIV2;
        wait_for(&RCC_CFGR, SWS_MASK, 0);
        RCC_CFGR = saved->cfgr;
        RCC_CR = saved->cr;
        wait_for(&RCC_CR, PLLRDY, 0);
        RCC_PLLCFGR = saved->pllcfgr;
        PWR_CR = saved->pwr_cr;
    }
    flash_access(saved->acr);
    RCC_APB1ENR = saved->apb1enr;
}

/* RM0402 20.4.1: without effect while the watchdog does not run. */
void watchdog_feed(void)
{
    IWDG_KR = 0xAAAAu;
}

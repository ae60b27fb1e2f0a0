/* STM32F412: the flash interface (RM0402 3.5). */
#include "family.h"
#include "flash.h"
#include "stm32f412.h"

#define PATIENCE 100000u
#define WORDS_A_FEED 1024u /* 0.1 s at the data sheet's longest 100 us a word */

static uint32_t settled(void)
{
    uint32_t sr;

    do
        sr = FLASH_SR;
    while (sr & SR_BSY);
    return sr & SR_ERRORS;
}

/* RM0402 3.5.3: an erase takes up to 4 s, longer than a watchdog's patience. */
static uint32_t settled_slowly(void)
{
    while (FLASH_SR & SR_BSY)
        watchdog_feed();
    return FLASH_SR & SR_ERRORS;
}

int flash_open(void)
{
    for (uint32_t i = 0; FLASH_SR & SR_BSY; i++)
        if (i == PATIENCE)
            return 0;
    /* What is read back after programming is to be the array's word, not the data cache's. */
    FLASH_ACR &= ~ACR_DCEN;
    FLASH_SR = SR_ERRORS | SR_EOP;
    /* RM0402 3.5.1: a key to an interface that is open would close it until the next reset. */
    if (FLASH_CR & CR_LOCK) {
        FLASH_KEYR = KEY1;
        FLASH_KEYR = KEY2;
    }
    return !(FLASH_CR & CR_LOCK) && !(FLASH_SR & SR_ERRORS);
}

void flash_close(void)
{
    FLASH_CR = CR_LOCK;
}

int flash_erase(uint32_t sector, enum parallelism parallelism, struct flash_fault *fault)
{
    uint32_t cr = (uint32_t)parallelism << CR_PSIZE_SHIFT | sector << CR_SNB_SHIFT | CR_SER;

    FLASH_CR = cr;
    FLASH_CR = cr | CR_STRT;
    __asm__ volatile("dsb" ::: "memory"); /* RM0402 3.8.4: BSY is there from the clock after STRT */
    fault->sr = settled_slowly();
    FLASH_CR = 0;
    return !fault->sr;
}

static inline void store(uint32_t address, uint32_t word, uint32_t byte, enum parallelism parallelism)
{
    if (parallelism == X32)
        *(volatile uint32_t *)address = word;
    else if (parallelism == X16)
        *(volatile uint16_t *)(address + byte) = (uint16_t)(word >> 8u * byte);
    else
        *(volatile uint8_t *)(address + byte) = (uint8_t)(word >> 8u * byte);
    /* The write buffer must have let go of it before BSY can tell anything. */
    __asm__ volatile("dsb" ::: "memory");
}

static inline int program(uint32_t address, const uint32_t *words, uint32_t count, enum parallelism parallelism,
                          struct flash_fault *fault)
{
    for (uint32_t i = 0; i < count; i++, address += 4u) {
        for (uint32_t byte = 0; byte < 4u; byte += 1u << parallelism) {
            store(address, words[i], byte, parallelism);
            fault->sr = settled();
            if (fault->sr)
                break;
        }
        fault->found = *(const volatile uint32_t *)address;
        if (fault->sr || fault->found != words[i]) {
            fault->address = address;
            fault->wanted = words[i];
            return 0;
        }
        if (i % WORDS_A_FEED == 0)
            watchdog_feed();
    }
    return 1;
}

int flash_program(uint32_t address, const uint32_t *words, uint32_t count, enum parallelism parallelism,
                  struct flash_fault *fault)
{
    int good;

    FLASH_CR = (uint32_t)parallelism << CR_PSIZE_SHIFT | CR_PG;
    if (parallelism == X32)
        good = program(address, words, count, X32, fault);
    else if (parallelism == X16)
        good = program(address, words, count, X16, fault);
    else
        good = program(address, words, count, X8, fault);
    FLASH_CR = 0;
    return good;
}

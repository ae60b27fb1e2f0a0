/* The board's demonstration firmware: says who it is on USART3, then blinks LD1.
 *
 * One banner line after every reset, 115200 8N1 on PD8 (the ST-Link's virtual COM port of a NUCLEO-F412ZG):
 *     PROOFLINE version=1.0.0 size=small build=<40 hex> uid=<24 hex>\r\n
 * "build" is the GNU build id of the linked image, "uid" the silicon's unique id in address order.
 */
#include <stdint.h>

#include "stm32f412.h"

#define CORE_HZ 100000000u
#define APB1_HZ (CORE_HZ / 2u)
#define BAUD 115200u
#define LED_PIN 0u /* LD1 on PB0, UM1974 6.5 */

/* The ELF note that ld --build-id writes: three sizes, "GNU\0", 20 bytes of SHA-1. */
struct build_id_note {
    uint32_t name_size, digest_size, type;
    uint8_t name[4], digest[20];
};
extern const struct build_id_note image_build_id;

static uint32_t milliseconds;

/* HSI 16 MHz / 8 * 100 / 2 = 100 MHz. The order is RM0402 3.4.1 (wait states before the clock), 5.1.3 (VOS while the
 * PLL is off) and 6.2.3. */
static void clock_setup(void)
{
    RCC_APB1ENR |= RCC_APB1ENR_PWREN;
    (void)RCC_APB1ENR;
    RCC_CR |= RCC_CR_HSION;
    while (!(RCC_CR & RCC_CR_HSIRDY))
        ;
    PWR_CR |= PWR_CR_VOS_SCALE1;
    RCC_PLLCFGR = 8u | (100u << 6) | (0u << 16) | (4u << 24) | (2u << 28);
    RCC_CR |= RCC_CR_PLLON;
    while (!(RCC_CR & RCC_CR_PLLRDY))
        ;
    while (!(PWR_CSR & PWR_CSR_VOSRDY))
        ;
    FLASH_ACR = FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN | 3u;
    while ((FLASH_ACR & FLASH_ACR_LATENCY_MASK) != 3u)
        ;
    RCC_CFGR = (RCC_CFGR & ~RCC_CFGR_SW_MASK) | RCC_CFGR_PPRE1_DIV2 | RCC_CFGR_SW_PLL;
    while ((RCC_CFGR & RCC_CFGR_SWS_MASK) != RCC_CFGR_SWS_PLL)
        ;
}

static void pins_setup(void)
{
    RCC_AHB1ENR |= RCC_AHB1ENR_GPIOBEN | RCC_AHB1ENR_GPIODEN;
    (void)RCC_AHB1ENR;
    GPIO_MODER(GPIOB_BASE) = (GPIO_MODER(GPIOB_BASE) & ~(3u << (2u * LED_PIN))) | (1u << (2u * LED_PIN));
    /* PD8 and PD9 to alternate function 7, USART3 (data sheet, table of alternate functions). */
    GPIO_AFRH(GPIOD_BASE) = (GPIO_AFRH(GPIOD_BASE) & ~0xFFu) | 0x77u;
    GPIO_MODER(GPIOD_BASE) = (GPIO_MODER(GPIOD_BASE) & ~(0xFu << 16)) | (0xAu << 16);
}

static void uart_setup(void)
{
    RCC_APB1ENR |= RCC_APB1ENR_USART3EN;
    (void)RCC_APB1ENR;
    USART3_BRR = (APB1_HZ + BAUD / 2u) / BAUD;
    USART3_CR1 = USART_CR1_UE | USART_CR1_TE | USART_CR1_RE;
}

static void put(char character)
{
    while (!(USART3_SR & USART_SR_TXE))
        ;
    USART3_DR = (uint8_t)character;
}

static void put_text(const char *text)
{
    while (*text)
        put(*text++);
}

static void put_hex(uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    put(digits[byte >> 4]);
    put(digits[byte & 15u]);
}

static void banner(void)
{
    put_text("PROOFLINE version=" FIRMWARE_VERSION " size=" FIRMWARE_SIZE " build=");
    for (uint32_t i = 0; i < sizeof image_build_id.digest; i++)
        put_hex(image_build_id.digest[i]);
    put_text(" uid=");
    for (uint32_t i = 0; i < UID_WORDS; i++) {
        uint32_t word = REG(UID_BASE + 4u * i);
        for (uint32_t shift = 0; shift < 32u; shift += 8u)
            put_hex((uint8_t)(word >> shift));
    }
    put_text("\r\n");
    while (!(USART3_SR & USART_SR_TC))
        ;
}

void systick_handler(void)
{
    milliseconds++;
    uint32_t phase = milliseconds % (2u * BLINK_MS);
    if (phase == 0u)
        GPIO_BSRR(GPIOB_BASE) = 1u << LED_PIN;
    else if (phase == BLINK_MS)
        GPIO_BSRR(GPIOB_BASE) = 1u << (LED_PIN + 16u);
}

int main(void)
{
    clock_setup();
    pins_setup();
    uart_setup();
    banner();
    SYST_RVR = CORE_HZ / 1000u - 1u;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_CLKSOURCE_CORE | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
    for (;;)
        __asm__ volatile("wfi");
}

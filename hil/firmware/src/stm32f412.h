/* The registers that the firmware uses, by their names in RM0402 (STM32F412 reference manual). */
#ifndef STM32F412_H
#define STM32F412_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

/* RM0402 3.8: embedded flash interface. */
#define FLASH_ACR REG(0x40023C00u)
#define FLASH_ACR_LATENCY_MASK 0xFu
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)

/* RM0402 5.4: power controller. */
#define PWR_CR REG(0x40007000u)
#define PWR_CR_VOS_SCALE1 (3u << 14)
#define PWR_CSR REG(0x40007004u)
#define PWR_CSR_VOSRDY (1u << 14)

/* RM0402 6.3: reset and clock control. */
#define RCC_CR REG(0x40023800u)
#define RCC_CR_HSION (1u << 0)
#define RCC_CR_HSIRDY (1u << 1)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_PLLCFGR REG(0x40023804u)
#define RCC_CFGR REG(0x40023808u)
#define RCC_CFGR_SW_MASK 3u
#define RCC_CFGR_SW_PLL 2u
#define RCC_CFGR_SWS_MASK (3u << 2)
#define RCC_CFGR_SWS_PLL (2u << 2)
#define RCC_CFGR_PPRE1_DIV2 (4u << 10)
#define RCC_AHB1ENR REG(0x40023830u)
#define RCC_AHB1ENR_GPIOBEN (1u << 1)
#define RCC_AHB1ENR_GPIODEN (1u << 3)
#define RCC_APB1ENR REG(0x40023840u)
#define RCC_APB1ENR_USART3EN (1u << 18)
#define RCC_APB1ENR_PWREN (1u << 28)

/* RM0402 7.4: general-purpose I/O. */
#define GPIOB_BASE 0x40020400u
#define GPIOD_BASE 0x40020C00u
#define GPIO_MODER(base) REG((base) + 0x00u)
#define GPIO_BSRR(base) REG((base) + 0x18u)
#define GPIO_AFRH(base) REG((base) + 0x24u)

/* RM0402 25.6: USART. */
#define USART3_SR REG(0x40004800u)
#define USART_SR_TC (1u << 6)
#define USART_SR_TXE (1u << 7)
#define USART3_DR REG(0x40004804u)
#define USART3_BRR REG(0x40004808u)
#define USART3_CR1 REG(0x4000480Cu)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_UE (1u << 13)

/* RM0402 31.2: unique device ID, 96 bits. */
#define UID_BASE 0x1FFF7A10u
#define UID_WORDS 3u

/* ARMv7-M B3.3: SysTick. */
#define SYST_CSR REG(0xE000E010u)
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_TICKINT (1u << 1)
#define SYST_CSR_CLKSOURCE_CORE (1u << 2)
#define SYST_RVR REG(0xE000E014u)
#define SYST_CVR REG(0xE000E018u)

#endif

/* STM32F412: the registers that the stubs touch (RM0402 3.8, 5.4, 6.3, 20.4). */
#ifndef STM32F412_H
#define STM32F412_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define FLASH_ACR REG(0x40023C00u)
#define FLASH_KEYR REG(0x40023C04u)
#define FLASH_SR REG(0x40023C0Cu)
#define FLASH_CR REG(0x40023C10u)
#define PWR_CR REG(0x40007000u)
#define PWR_CSR REG(0x40007004u)
#define RCC_CR REG(0x40023800u)
#define RCC_PLLCFGR REG(0x40023804u)
#define RCC_CFGR REG(0x40023808u)
#define RCC_APB1ENR REG(0x40023840u)
#define IWDG_KR REG(0x40003000u)

#define ACR_LATENCY_3 3u
#define ACR_PRFTEN (1u << 8)
#define ACR_ICEN (1u << 9)
#define ACR_DCEN (1u << 10)
#define ACR_ICRST (1u << 11)
#define ACR_DCRST (1u << 12)
#define ACR_LATENCY_MASK 0xFu
#define KEY1 0x45670123u
#define KEY2 0xCDEF89ABu
#define SR_BSY (1u << 16)
#define SR_EOP (1u << 0)
#define SR_ERRORS 0x1F2u /* RDERR, PGSERR, PGPERR, PGAERR, WRPERR, OPERR */
#define CR_PG (1u << 0)
#define CR_SER (1u << 1)
#define CR_SNB_SHIFT 3u
#define CR_PSIZE_SHIFT 8u
#define CR_STRT (1u << 16)
#define CR_LOCK (1u << 31)
#define PWR_VOS (3u << 14)
#define PWR_VOSRDY (1u << 14)
#define HSION (1u << 0)
#define HSIRDY (1u << 1)
#define PLLON (1u << 24)
#define PLLRDY (1u << 25)
#define SW_MASK 3u
#define SW_PLL 2u
#define SWS_MASK (3u << 2)
#define SWS_PLL (2u << 2)
#define PPRE1_DIV2 (4u << 10)
#define PWREN (1u << 28)

#endif

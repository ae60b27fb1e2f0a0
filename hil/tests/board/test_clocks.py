"""The clock tree, its rules, and what depends on it (RM0402 3.4.1, 5.4, 6.3; data sheet, operating conditions)."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import ACR, FLASH, Debugger, assemble, burn, vectors
from hil.virtual_nucleo.board import Board

RCC, PWR = 0x40023800, 0x40007000
RCC_CR, PLLCFGR, CFGR, CSR = RCC, RCC + 4, RCC + 8, RCC + 0x74
AT_100_MHZ = 8 | 100 << 6 | 0 << 16 | 4 << 24
AT_84_MHZ = 8 | 84 << 6 | 0 << 16 | 4 << 24


def start_pll(debugger: Debugger, setting: int, *, vos: int = 3) -> None:
    debugger.write(PWR, vos << 14)
    debugger.write(PLLCFGR, setting)
    debugger.write(RCC_CR, 1 | 1 << 24)
    debugger.port.idle(10**9)
    assert debugger.read(RCC_CR) >> 25 & 1


def test_starts_on_the_internal_oscillator(board: Board, debugger: Debugger) -> None:
    assert board.soc.clocks.hclk_hz == 16_000_000
    assert debugger.read(RCC_CR) & 3 == 3
    assert debugger.read(CFGR) & 0xC == 0


def test_pll_needs_time_to_lock(debugger: Debugger) -> None:
    debugger.write(PLLCFGR, AT_100_MHZ)
    debugger.write(RCC_CR, 1 | 1 << 24)
    assert not debugger.read(RCC_CR) >> 25 & 1
    debugger.port.idle(200 * 10**6)
    assert debugger.read(RCC_CR) >> 25 & 1


def test_a_source_that_is_not_ready_is_not_taken(board: Board, debugger: Debugger) -> None:
    debugger.write(CFGR, 2)
    assert debugger.read(CFGR) & 0xC == 0
    assert board.soc.clocks.hclk_hz == 16_000_000


def test_pll_cannot_be_changed_while_it_runs(debugger: Debugger) -> None:
    start_pll(debugger, AT_84_MHZ)
    debugger.write(PLLCFGR, AT_100_MHZ)
    assert debugger.read(PLLCFGR) == AT_84_MHZ


def test_external_clock_needs_bypass_because_no_crystal_is_fitted(debugger: Debugger) -> None:
    debugger.write(RCC_CR, 1 | 1 << 16)
    debugger.port.idle(10**11)
    assert not debugger.read(RCC_CR) >> 17 & 1
    debugger.write(RCC_CR, 1 | 1 << 18)
    debugger.write(RCC_CR, 1 | 1 << 18 | 1 << 16)
    debugger.port.idle(10**11)
    assert debugger.read(RCC_CR) >> 17 & 1
    debugger.write(CFGR, 1)
    assert debugger.board.soc.clocks.hclk_hz == 8_000_000


def test_the_oscillator_in_use_cannot_be_stopped(debugger: Debugger) -> None:
    debugger.write(RCC_CR, 0)
    assert debugger.read(RCC_CR) & 3 == 3


@pytest.mark.parametrize(
    ("setting", "vos", "wait_states", "works"),
    [
        (AT_100_MHZ, 3, 3, True),
        (AT_100_MHZ, 3, 2, False),
        (AT_100_MHZ, 3, 0, False),
        (AT_100_MHZ, 2, 3, False),
        (AT_84_MHZ, 2, 2, True),
        (AT_84_MHZ, 3, 2, True),
        (AT_84_MHZ, 2, 1, False),
        (AT_84_MHZ, 1, 2, False),
    ],
)
def test_too_few_wait_states_or_volts_break_flash(
    debugger: Debugger, setting: int, vos: int, wait_states: int, *, works: bool
) -> None:
    start_pll(debugger, setting, vos=vos)
    debugger.write(ACR, wait_states)
    debugger.write(CFGR, 2 | 4 << 10)
    burn(debugger.board, assemble("movs r0, #77\n bkpt 0", FLASH))
    debugger.write(0xE000EDFC, 1 << 10)
    result = debugger.run(assemble("movs r0, #0\n ldr r1, =0x08000001\n bx r1"))
    assert (result == 77) is works
    assert debugger.faults(FLASH) is not works


def test_firmware_that_forgets_wait_states_locks_up(board: Board) -> None:
    code = assemble(
        f"""
        ldr r0, ={PWR}
        movw r1, #0xC000
        str r1, [r0]
        ldr r0, ={RCC}
        ldr r1, ={AT_100_MHZ}
        str r1, [r0, #4]
        ldr r1, =0x01000001
        str r1, [r0]
    1:  ldr r1, [r0]
        lsls r1, r1, #6
        bpl 1b
        movs r1, #2
        str r1, [r0, #8]
    2:  b 2b
        """,
        FLASH + 0x100,
    )
    board.power_off()
    burn(board, vectors(FLASH + 0x100, FLASH + 0x100, FLASH + 0x100) + code)
    board.power_on()
    board.run_ms(5)
    assert board.soc.core.lockup


def test_voltage_scale_cannot_change_while_the_pll_runs(debugger: Debugger) -> None:
    start_pll(debugger, AT_84_MHZ, vos=2)
    debugger.write(PWR, 3 << 14)
    assert debugger.read(PWR) >> 14 & 3 == 2


def test_reset_causes_are_told_and_cleared(board: Board, debugger: Debugger) -> None:
    # RM0402 6.3.21
    assert debugger.read(CSR) & 1 << 27, "power-on"
    debugger.write(CSR, 1 << 24)
    assert debugger.read(CSR) >> 25 == 0
    board.press_reset()
    assert debugger.read(CSR) >> 25 == 1 << 1, "the pin"
    debugger.write(CSR, 1 << 24)
    debugger.write(0xE000ED0C, 0x05FA0004)
    assert debugger.read(CSR) >> 28 & 1, "software"


@pytest.mark.parametrize(("brr", "over8", "baud"), [(0x8B, 0, 115107), (0x683, 0, 9598), (0x21, 1, 941176)])
def test_baud_rate_follows_the_clock_tree(board: Board, debugger: Debugger, brr: int, over8: int, baud: int) -> None:
    # RM0402 25.4.4 at 16 MHz
    debugger.write(0x40004808, brr)
    debugger.write(0x4000480C, 1 << 13 | 1 << 3 | over8 << 15)
    debugger.write(0x40004804, 0x55)
    board.run_ms(2)
    (character,) = board.soc.usart3.sent
    assert (character.data, character.baud) == (0x55, baud)


def test_a_wrong_baud_rate_is_noise_to_the_other_end(board: Board, debugger: Debugger) -> None:
    debugger.write(0x40004808, 0x8B)
    debugger.write(0x4000480C, 1 << 13 | 1 << 3)
    debugger.write(0x40004804, ord("A"))
    board.run_ms(1)
    assert board.uart_output(baud=115200) == b"A"
    assert board.uart_output(baud=9600) == b"\xff"


def test_a_silent_transmitter_sends_nothing(board: Board, debugger: Debugger) -> None:
    debugger.write(0x40004808, 0x8B)
    debugger.write(0x40004804, ord("A"))
    board.run_ms(1)
    assert board.uart_output() == b""


def test_random_numbers_need_a_48_mhz_clock(debugger: Debugger) -> None:
    debugger.write(RCC + 0x34, 1 << 6)
    debugger.write(0x50060800, 4)
    assert debugger.read(0x50060804) & 1 << 1, "CECS"
    start_pll(debugger, AT_84_MHZ)
    debugger.port.idle(10**9)
    assert debugger.read(0x50060804) & 1
    first = debugger.read(0x50060808)
    debugger.port.idle(10**9)
    assert debugger.read(0x50060808) != first

"""Who answers where (RM0402 2.2, 2.3, 33; PM0214 2.2), for the debugger and for code alike."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import FLASH, SRAM, UID, Debugger, assemble, burn
from hil.virtual_nucleo.board import Board

NOTHING_THERE = [
    0x00100000,
    0x08100000,
    0x10000000,  # no CCM on this part
    0x1FFEFFFC,
    0x1FFFC010,
    0x20040000,
    0x40008000,
    0x40027000,
    0x50060C00,
    0x60000000,
    0x80000000,
    0xA0001000,
    0xC0000000,
    0xE0100000,
    0xFFFFFFFC,
]


@pytest.mark.parametrize("address", NOTHING_THERE)
def test_reading_where_nothing_answers_is_a_bus_error(debugger: Debugger, address: int) -> None:
    assert debugger.faults(address)
    assert debugger.faults(address, write=1)


@pytest.mark.parametrize("address", NOTHING_THERE)
def test_code_meets_the_same_bus_errors(debugger: Debugger, address: int) -> None:
    debugger.write(0xE000EDFC, 1 << 10)  # catch HardFault
    debugger.run(assemble("ldr r1, [r0]\n bkpt 0"), address)
    assert debugger.read(0xE000ED28) >> 8 == 0x82, "PRECISERR and BFARVALID"
    assert debugger.read(0xE000ED38) == address
    assert debugger.register(15) == SRAM, "a precise fault names its instruction"


def test_unique_id_and_flash_size(debugger: Debugger) -> None:
    words = [debugger.read(0x1FFF7A10 + 4 * index) for index in range(3)]
    assert b"".join(word.to_bytes(4, "little") for word in words) == UID
    assert debugger.read(0x1FFF7A22, 2) == 1024


def test_device_id(debugger: Debugger) -> None:
    assert debugger.read(0xE0042000) & 0xFFF == 0x441  # RM0402 30.6.1


def test_core_id(debugger: Debugger) -> None:
    assert debugger.read(0xE000ED00) == 0x410FC241


def test_identity_cannot_be_written(debugger: Debugger) -> None:
    assert debugger.faults(0x1FFF7A10, write=0)
    assert debugger.read(0x1FFF7A10) == int.from_bytes(UID[:4], "little")


def test_two_boards_have_two_identities() -> None:
    other = Board(bytes(12))
    other.power_on()
    debugger = Debugger(other)
    debugger.connect()
    assert debugger.read(0x1FFF7A10) == 0


def test_option_bytes_as_shipped(debugger: Debugger) -> None:
    # RM0402 table 7: RDP level 0 above user bits, all sectors unprotected
    assert debugger.read(0x1FFFC000, 2) == 0xAAEF
    assert debugger.read(0x1FFFC008, 2) == 0x7FFF


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_code_reads_any_alignment(debugger: Debugger, size: int, offset: int) -> None:
    debugger.load(SRAM + 0x100, bytes(range(0x10, 0x20)))
    load = {1: "ldrb", 2: "ldrh", 4: "ldr"}[size]
    value = debugger.run(assemble(f"{load} r0, [r0]\n bkpt 0"), SRAM + 0x100 + offset)
    assert value == int.from_bytes(bytes(range(0x10 + offset, 0x10 + offset + size)), "little")


def test_bit_band_alias_of_memory(debugger: Debugger) -> None:
    # PM0214 2.2.5
    debugger.write(SRAM + 0x200, 0)
    debugger.write(0x22000000 + 0x200 * 32 + 5 * 4, 1)
    assert debugger.read(SRAM + 0x200) == 1 << 5
    assert debugger.read(0x22000000 + 0x200 * 32 + 5 * 4) == 1
    assert debugger.read(0x22000000 + 0x200 * 32 + 6 * 4) == 0


def test_bit_band_alias_of_a_peripheral_register_from_code(debugger: Debugger) -> None:
    # RCC_AHB1ENR.GPIOBEN
    alias = 0x42000000 + 0x23830 * 32 + 1 * 4
    debugger.run(assemble("movs r1, #1\n str r1, [r0]\n bkpt 0"), alias)
    assert debugger.read(0x40023830) == 2


def test_address_zero_shows_flash_and_can_show_memory(debugger: Debugger) -> None:
    burn(debugger.board, b"\x78\x56\x34\x12")
    assert debugger.read(0) == 0x12345678
    debugger.write(SRAM, 0xCAFEBABE)
    debugger.write(0x40013800, 3)  # SYSCFG_MEMRMP (RM0402 8.2.1)
    assert debugger.read(0) == 0xCAFEBABE
    assert debugger.run(assemble("movs r0, #0\n ldr r0, [r0]\n bkpt 0", SRAM + 0x400), at=SRAM + 0x400) == 0xCAFEBABE


def test_a_peripheral_without_its_clock_reads_as_zero(debugger: Debugger) -> None:
    assert debugger.read(0x40020000) == 0
    debugger.write(0x40023830, 1)
    assert debugger.read(0x40020000) == 0xA8000000  # GPIOA_MODER after reset (RM0402 7.4.1)


def test_byte_writes_reach_a_register_in_their_lane(debugger: Debugger) -> None:
    debugger.write(0x40023830, 2)
    debugger.write(0x40020414 + 1, 0x80, size=1)
    assert debugger.read(0x40020414) == 0x8000


def test_memory_is_not_what_it_was_after_a_power_cycle(board: Board, debugger: Debugger) -> None:
    debugger.write(SRAM + 0x40, 0x600DF00D)
    board.power_off()
    board.power_on()
    debugger.connect()
    assert debugger.read(SRAM + 0x40) != 0x600DF00D


def test_reset_leaves_memory_alone(board: Board, debugger: Debugger) -> None:
    debugger.write(SRAM + 0x40, 0x600DF00D)
    board.press_reset()
    assert debugger.read(SRAM + 0x40) == 0x600DF00D


def test_flash_reads_back_through_both_windows(debugger: Debugger) -> None:
    burn(debugger.board, bytes(range(16)), 0xFFFF0)
    assert debugger.read(FLASH + 0xFFFFC) == 0x0F0E0D0C
    assert debugger.read(0xFFFFC) == 0x0F0E0D0C

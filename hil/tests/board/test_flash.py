"""The flash interface, register by register (RM0402 chapter 3; data sheet, "Flash memory programming")."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import (
    ACR,
    CR,
    FLASH,
    KEYR,
    OPTCR,
    OPTKEYR,
    SR,
    SRAM,
    Debugger,
    assemble,
    burn,
)
from hil.virtual_nucleo.board import Board

EOP, OPERR, WRPERR, PGAERR, PGPERR, PGSERR, BSY = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 16
LOCK = 1 << 31


def test_control_register_is_locked_after_reset_and_ignores_writes(debugger: Debugger) -> None:
    assert debugger.read(CR) == LOCK  # RM0402 3.8.5
    debugger.write(CR, 1)
    assert debugger.read(CR) == LOCK


def test_two_keys_unlock_it(debugger: Debugger) -> None:
    debugger.write(KEYR, 0x45670123)
    debugger.write(KEYR, 0xCDEF89AB)
    assert debugger.read(CR) == 0


@pytest.mark.parametrize(
    "keys",
    [(0x12345678,), (0xCDEF89AB,), (0x45670123, 0x45670123), (0x45670123, 0), (0x45670123, 0xCDEF89AA)],
    ids=lambda keys: "-".join(f"{key:x}" for key in keys),
)
def test_a_wrong_key_is_a_bus_error_and_locks_until_reset(debugger: Debugger, keys: tuple[int, ...]) -> None:
    # RM0402 3.5.1
    for key in keys[:-1]:
        debugger.write(KEYR, key)
    assert debugger.faults(KEYR, write=keys[-1])
    assert debugger.faults(KEYR, write=0x45670123)
    assert debugger.faults(KEYR, write=0xCDEF89AB)
    assert debugger.read(CR) & LOCK
    debugger.board.press_reset()
    debugger.unlock()


def test_lock_bit_locks_again(debugger: Debugger) -> None:
    debugger.unlock()
    debugger.write(CR, LOCK)
    debugger.write(CR, 1)
    assert debugger.read(CR) == LOCK
    debugger.unlock()


def test_key_registers_read_as_zero(debugger: Debugger) -> None:
    assert debugger.read(KEYR) == debugger.read(OPTKEYR) == 0


@pytest.mark.parametrize(
    ("size", "psize", "value"), [(1, 0, 0xA5), (2, 1, 0xA55A), (4, 2, 0xA55A1234)], ids=["x8", "x16", "x32"]
)
def test_programming_with_matching_parallelism(debugger: Debugger, size: int, psize: int, value: int) -> None:
    debugger.unlock()
    assert debugger.program(FLASH + 0x20, value, size, psize) == 0
    assert debugger.read(FLASH + 0x20, size) == value
    assert debugger.board.flash[0x20 + size] == 0xFF


@pytest.mark.parametrize(("size", "psize"), [(1, 1), (1, 2), (2, 0), (2, 2), (4, 0), (4, 1), (4, 3), (1, 3), (2, 3)])
def test_wrong_parallelism_is_pgperr_and_programs_nothing(debugger: Debugger, size: int, psize: int) -> None:
    # RM0402 3.5.4, 3.8.4
    debugger.unlock()
    assert debugger.program(FLASH, 0x12345678 & (1 << 8 * size) - 1, size, psize) == PGPERR
    assert debugger.board.flash[:16] == b"\xff" * 16


def test_programming_without_pg_is_pgserr(debugger: Debugger) -> None:
    debugger.unlock()
    debugger.write(CR, 2 << 8)
    debugger.write(FLASH, 0)
    assert debugger.read(SR) == PGSERR
    assert debugger.board.flash[:4] == b"\xff" * 4


def test_programming_while_locked_is_pgserr(debugger: Debugger) -> None:
    debugger.write(FLASH, 0)
    assert debugger.read(SR) == PGSERR


@pytest.mark.parametrize("also", [1 << 1, 1 << 2])
def test_pg_together_with_an_erase_bit_is_pgserr(debugger: Debugger, also: int) -> None:
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 | also)
    debugger.write(FLASH, 0)
    assert debugger.read(SR) == PGSERR


def test_a_double_word_across_a_row_is_pgaerr(board: Board) -> None:
    # RM0402 3.8.4: the data does not lie within one 128-bit row
    board.soc.flash.write32(0x04, 0x45670123)
    board.soc.flash.write32(0x04, 0xCDEF89AB)
    board.soc.flash.write32(0x10, 3 << 8 | 1)
    board.soc.flash.program(FLASH + 12, 8, 0)
    assert board.soc.flash.read32(0x0C) == PGAERR


def test_programming_only_clears_bits(debugger: Debugger) -> None:
    # RM0402 3.5.4: ones become zeros without an erase; the other way needs one
    debugger.unlock()
    assert debugger.program(FLASH, 0xFFFF0F0F) == 0
    assert debugger.program(FLASH, 0x0F0FFFFF) == 0
    assert debugger.read(FLASH) == 0x0F0F0F0F
    assert debugger.program(FLASH, 0xFFFFFFFF) == 0
    assert debugger.read(FLASH) == 0x0F0F0F0F


def test_status_flags_are_cleared_by_writing_one(debugger: Debugger) -> None:
    debugger.write(FLASH, 0)
    debugger.write(SR, 0)
    assert debugger.read(SR) == PGSERR
    debugger.write(SR, PGPERR | PGAERR | WRPERR)
    assert debugger.read(SR) == PGSERR
    debugger.write(SR, PGSERR)
    assert debugger.read(SR) == 0


def test_end_of_operation_flag_needs_its_interrupt_enabled(debugger: Debugger) -> None:
    # RM0402 3.8.4
    debugger.unlock()
    assert debugger.program(FLASH, 0) == 0
    debugger.write(CR, 2 << 8 | 1 | 1 << 24)
    debugger.write(FLASH + 4, 0)
    assert debugger.wait_flash() == EOP
    debugger.write(SR, EOP)
    assert debugger.read(SR) == 0


def test_operation_error_flag_needs_its_interrupt_enabled(debugger: Debugger) -> None:
    debugger.unlock()
    debugger.write(CR, 1 << 8 | 1 | 1 << 25)
    debugger.write(FLASH, 0)
    assert debugger.read(SR) == PGPERR | OPERR


@pytest.mark.parametrize(
    ("sector", "start", "size", "milliseconds"),
    [
        (0, 0, 0x4000, 250),
        (3, 0xC000, 0x4000, 250),
        (4, 0x10000, 0x10000, 550),
        (5, 0x20000, 0x20000, 1000),
        (11, 0xE0000, 0x20000, 1000),
    ],
)
def test_sector_erase_takes_its_time_and_its_sector(
    debugger: Debugger, sector: int, start: int, size: int, milliseconds: int
) -> None:
    board = debugger.board
    burn(board, bytes(0x100000))
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 1 | sector << 3 | 1 << 16)
    began = board.soc.time.now
    assert debugger.read(SR) == BSY
    debugger.port.idle((milliseconds - 1) * 10**9)
    assert debugger.read(SR) == BSY
    debugger.port.idle(10**9)
    assert debugger.read(SR) == 0
    assert board.soc.time.now - began >= milliseconds * 10**9
    flash = board.flash
    assert flash[start : start + size] == b"\xff" * size
    assert not any(flash[:start])
    assert not any(flash[start + size :])


@pytest.mark.parametrize(("psize", "milliseconds"), [(0, 400), (1, 300), (2, 250)])
def test_narrow_parallelism_erases_slower(debugger: Debugger, psize: int, milliseconds: int) -> None:
    debugger.unlock()
    debugger.write(CR, psize << 8 | 1 << 1 | 1 << 16)
    assert abs(debugger.board.soc.flash.busy_until - debugger.board.soc.time.now - milliseconds * 10**9) < 10**9


def test_mass_erase(debugger: Debugger) -> None:
    burn(debugger.board, bytes(0x100000))
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 2)
    debugger.write(CR, 2 << 8 | 1 << 2 | 1 << 16)
    debugger.port.idle(7_900 * 10**9)
    assert debugger.read(SR) == BSY
    assert debugger.wait_flash() == 0
    assert debugger.board.flash == b"\xff" * 0x100000


@pytest.mark.parametrize("bits", [0, 1 << 1 | 1 << 2, 1 << 1 | 12 << 3, 1 << 1 | 15 << 3])
def test_start_without_one_valid_kind_is_an_error(debugger: Debugger, bits: int) -> None:
    burn(debugger.board, bytes(0x100000))
    debugger.unlock()
    debugger.write(CR, 2 << 8 | bits | 1 << 16)
    assert debugger.read(SR) == PGSERR
    assert not any(debugger.board.flash)


def test_reading_flash_waits_for_the_operation(debugger: Debugger) -> None:
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    ends = debugger.board.soc.flash.busy_until
    assert debugger.read(FLASH) == 0xFFFFFFFF
    assert debugger.board.soc.time.now >= ends


def test_polling_code_sees_busy_then_not_and_loses_the_time(debugger: Debugger) -> None:
    code = assemble(
        """
        ldr r1, =0x40023c00
        ldr r2, =0x45670123
        str r2, [r1, #4]
        ldr r2, =0xcdef89ab
        str r2, [r1, #4]
        movw r2, #0x201
        str r2, [r1, #0x10]
        ldr r2, =0x08000000
        movs r0, #0
        str r0, [r2]
    1:  ldr r3, [r1, #0xc]
        lsls r3, r3, #15
        it mi
        addmi r0, #1
        bmi 1b
        bkpt 0
        """
    )
    debugger.halt()
    before = debugger.board.soc.time.now
    busy_polls = debugger.run(code)
    assert busy_polls >= 1
    assert debugger.board.soc.time.now - before >= 16 * 10**6
    assert debugger.board.flash[:4] == bytes(4)


def test_code_in_flash_stands_still_while_flash_works(board: Board) -> None:
    # RM0402 3.5: instruction fetches wait for the array
    code = assemble(
        """
        .word 0x20010000, start + 1
        .space 0x100
        start:
        ldr r1, =0x40023c00
        ldr r2, =0x45670123
        str r2, [r1, #4]
        ldr r2, =0xcdef89ab
        str r2, [r1, #4]
        ldr r2, =0x10222
        ldr r3, =0x20000000
        str r2, [r1, #0x10]
        ldr r0, [r1, #0xc]
        str r0, [r3]
        b .
        """,
        FLASH,
    )
    board.power_off()
    burn(board, code)
    board.power_on()
    board.run_ms(200)
    assert board.soc.flash.busy or board.soc.time.now >= 250 * 10**9
    board.run_ms(300)
    assert board.soc.sram[:4] == bytes(4), "the poll after the erase saw it done"
    assert board.soc.flash.erase_count[4] == 1


def test_wait_state_register_reads_back(debugger: Debugger) -> None:
    debugger.write(ACR, 0x703)
    assert debugger.read(ACR) == 0x703


def test_one_time_programmable_area(debugger: Debugger) -> None:
    # RM0402 3.7: 32-byte blocks, each closed for ever by its lock byte
    debugger.unlock()
    assert debugger.program(0x1FFF7800, 0x12345678) == 0
    assert debugger.read(0x1FFF7800) == 0x12345678
    assert debugger.program(0x1FFF7A00, 0x00, 1, 0) == 0
    assert debugger.program(0x1FFF7804, 0, 4, 2) == WRPERR
    assert debugger.read(0x1FFF7804) == 0xFFFFFFFF
    debugger.write(SR, WRPERR)
    assert debugger.program(0x1FFF7820, 0, 4, 2) == 0, "the next block is still open"
    debugger.board.power_off()
    debugger.board.power_on()
    debugger.connect()
    assert debugger.read(0x1FFF7800) == 0x12345678


# -- option bytes ------------------------------------------------------------------------------------------------


def open_options(debugger: Debugger) -> None:
    debugger.write(OPTKEYR, 0x08192A3B)
    debugger.write(OPTKEYR, 0x4C5D6E7F)
    assert not debugger.read(OPTCR) & 1


def test_option_register_is_locked_after_reset(debugger: Debugger) -> None:
    assert debugger.read(OPTCR) == 0x0FFFAAED  # RM0402 3.8.6
    debugger.write(OPTCR, 0)
    assert debugger.read(OPTCR) == 0x0FFFAAED


def test_wrong_option_key_locks_until_reset(debugger: Debugger) -> None:
    assert debugger.faults(OPTKEYR, write=0x4C5D6E7F)
    assert debugger.faults(OPTKEYR, write=0x08192A3B)
    debugger.board.press_reset()
    open_options(debugger)


def test_write_protected_sectors_refuse_both_ways(debugger: Debugger) -> None:
    # RM0402 3.6.4
    open_options(debugger)
    debugger.write(OPTCR, 0x0FFDAAEC)
    debugger.write(OPTCR, 0x0FFDAAEE)
    assert debugger.wait_flash() == 0
    debugger.unlock()
    assert debugger.erase_sector(1) == WRPERR
    debugger.write(SR, WRPERR)
    assert debugger.program(FLASH + 0x4000, 0) == WRPERR
    debugger.write(SR, WRPERR)
    assert debugger.program(FLASH, 0) == 0
    debugger.write(CR, 2 << 8 | 1 << 2 | 1 << 16)
    assert debugger.wait_flash() == WRPERR, "a mass erase needs every sector open"
    assert debugger.read(FLASH) == 0


def test_options_without_start_change_nothing(debugger: Debugger) -> None:
    open_options(debugger)
    debugger.write(OPTCR, 0x0FFD00EC)
    assert debugger.board.options.level == 0
    debugger.board.press_reset()
    assert debugger.read(OPTCR) == 0x0FFFAAED


def test_fresh_sram_program_runs_before_and_after_flash_changed_under_it(debugger: Debugger) -> None:
    burn(debugger.board, assemble("movs r0, #1\n bkpt 0", FLASH))
    call = assemble("ldr r1, =0x08000001\n bx r1")
    assert debugger.run(call) == 1
    burn(debugger.board, assemble("movs r0, #2\n bkpt 0", FLASH))
    assert debugger.run(call, at=SRAM) == 2

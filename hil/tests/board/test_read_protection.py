"""Read-out protection (RM0402 3.6.3, table 9): what each level lets whom do."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.tests.board.tools import (
    CR,
    FLASH,
    OPTCR,
    OPTKEYR,
    SR,
    SRAM,
    UID,
    Debugger,
    Refused,
    assemble,
    burn,
    vectors,
)
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import Ack

COUNTER = vectors(FLASH + 0x100) + assemble(
    "ldr r1, =0x20000100\n movs r0, #0\n 1: adds r0, #1\n str r0, [r1]\n b 1b", FLASH + 0x100
)
"""Firmware that counts in SRAM."""


def set_level(debugger: Debugger, rdp: int) -> None:
    if debugger.read(OPTCR) & 1:
        debugger.write(OPTKEYR, 0x08192A3B)
        debugger.write(OPTKEYR, 0x4C5D6E7F)
    value = 0x0FFF00EC | rdp << 8
    debugger.write(OPTCR, value)
    debugger.write(OPTCR, value | 2)
    debugger.wait_flash()


@pytest.fixture
def locked(board: Board, debugger: Debugger) -> Debugger:
    """A debugger on a board at level 1 that counts in its firmware."""
    burn(board, COUNTER)
    set_level(debugger, 0x55)
    return debugger


def counter(board: Board) -> int:
    return int.from_bytes(board.soc.sram[0x100:0x104], "little")


def reattach(board: Board) -> Debugger:
    board.power_off()
    board.power_on()
    debugger = Debugger(board)
    debugger.connect()
    debugger.halt()
    return debugger


@pytest.mark.parametrize("rdp", [0x00, 0x55, 0xAB, 0xFF])
def test_anything_but_the_two_values_is_level_one(board: Board, debugger: Debugger, rdp: int) -> None:
    set_level(debugger, rdp)
    assert board.options.level == 1


def test_level_one_answers_a_debugger_with_bus_errors(locked: Debugger) -> None:
    assert locked.faults(FLASH)
    assert locked.faults(FLASH + 0xFFFFC)
    assert locked.faults(0), "nor through the window at zero"
    assert not locked.faults(SRAM), "memory stays open"
    assert locked.read(0x1FFF7A10) == int.from_bytes(UID[:4], "little"), "so does identity"


def test_level_one_answers_code_in_memory_with_a_fault_too(locked: Debugger) -> None:
    locked.write(0xE000EDFC, 1 << 10)
    locked.run(assemble("ldr r0, =0x08000000\n ldr r0, [r0]\n bkpt 0"))
    assert locked.read(0xE000ED38) == FLASH


def test_level_one_refuses_erase_and_program_under_a_debugger(locked: Debugger) -> None:
    locked.unlock()
    assert locked.erase_sector(0) & 1 << 4
    locked.write(SR, 0xF2)
    locked.write(CR, 2 << 8 | 1)
    assert locked.faults(FLASH + 0x8000, write=0)
    assert locked.board.flash[: len(COUNTER)] == COUNTER


def test_level_one_does_not_stop_the_firmware_without_a_debugger(locked: Debugger) -> None:
    board = locked.board
    board.power_off()
    board.power_on()
    before = counter(board)
    board.run_ms(1)
    assert counter(board) > before + 100 or counter(board) < before
    assert not board.soc.core.lockup


def test_level_one_stops_the_firmware_when_a_debugger_comes(locked: Debugger) -> None:
    debugger = reattach(locked.board)
    debugger.resume()
    debugger.board.run_ms(1)
    assert debugger.board.soc.core.lockup or debugger.read(0xE000ED2C)


def test_intrusion_is_remembered_until_power_goes(locked: Debugger) -> None:
    board = locked.board
    board.press_reset()
    assert locked.faults(FLASH)
    locked.write(0xE000EDF0, 0xA05F0000)
    locked.dp_write(0x4, 0)  # debug power down: the device has still seen us
    board.press_reset()
    board.run_ms(1)
    assert board.soc.core.lockup
    board.power_off()
    board.power_on()
    board.run_ms(1)
    assert not board.soc.core.lockup


def test_leaving_level_one_erases_everything(locked: Debugger) -> None:
    board = locked.board
    began = board.soc.time.now
    set_level(locked, 0xAA)
    assert board.options.level == 0
    assert board.flash == b"\xff" * 0x100000
    assert board.soc.time.now - began >= 8 * 10**12, "and takes as long as a mass erase"
    assert locked.read(FLASH) == 0xFFFFFFFF


def test_level_one_survives_power_and_process(tmp_path: Path) -> None:
    first = Board(UID, path=tmp_path / "a.flash")
    first.power_on()
    debugger = Debugger(first)
    debugger.connect()
    debugger.halt()
    set_level(debugger, 0x00)
    first.close()
    again = Board(UID, path=tmp_path / "a.flash")
    again.power_on()
    assert again.options.level == 1


def test_power_lost_while_leaving_level_one_shows_nothing_old(locked: Debugger) -> None:
    board = locked.board
    locked.write(OPTCR, 0x0FFFAAEE)
    locked.port.idle(4 * 10**12)
    board.power_off()
    assert board.flash[: len(COUNTER)] != COUNTER
    board.power_on()
    assert board.options.level == 1, "and stays locked until the erase is through"
    again = Debugger(board)
    again.connect()
    assert again.faults(FLASH)


def test_level_two_ends_debugging_at_the_next_reset(board: Board, debugger: Debugger) -> None:
    burn(board, COUNTER)
    set_level(debugger, 0xCC)
    assert debugger.dp_read(0) == 0x2BA01477
    board.power_off()
    board.power_on()
    with pytest.raises(Refused) as refused:
        Debugger(board).connect()
    assert refused.value.ack is Ack.NONE
    before = counter(board)
    board.run_ms(1)
    assert counter(board) != before, "the firmware runs"


def test_level_two_is_for_ever(board: Board, debugger: Debugger) -> None:
    set_level(debugger, 0xCC)
    board.power_off()
    board.power_on()
    flash = board.soc.flash
    flash.write32(0x08, 0x08192A3B)
    flash.write32(0x08, 0x4C5D6E7F)
    flash.write32(0x14, 0x0FFFAAEE)
    board.run_ms(500)
    board.press_reset()
    assert board.options.level == 2

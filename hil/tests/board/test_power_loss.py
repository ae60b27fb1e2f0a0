"""Power cut at the worst moment: what is left in the cells is neither the old nor the new (RM0402 3.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.tests.board.tools import CR, FLASH, SRAM, UID, Debugger, Refused, assemble, burn
from hil.virtual_nucleo.board import Board

PATTERN = bytes(range(256)) * 64


def cut_during_erase(board: Board, fraction: float) -> bytes:
    """Start erasing sector 0 over ``PATTERN``, cut the power after *fraction* of the time; returns the sector."""
    debugger = Debugger(board)
    debugger.connect()
    debugger.halt()
    burn(board, PATTERN)
    burn(board, PATTERN, 0x4000)
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    debugger.port.idle(int(250 * 10**9 * fraction))
    board.power_off()
    assert board.flash[0x4000:0x8000] == PATTERN, "the neighbour is untouched"
    return board.flash[:0x4000]


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 0.99])
def test_erase_cut_short_leaves_neither_old_nor_erased(board: Board, fraction: float) -> None:
    left = cut_during_erase(board, fraction)
    assert left not in {PATTERN, b"\xff" * 0x4000}


def test_erase_that_ended_is_not_harmed(board: Board) -> None:
    assert cut_during_erase(board, 1.01) == b"\xff" * 0x4000


def test_what_is_left_is_the_same_in_every_run() -> None:
    results = []
    for _ in range(2):
        board = Board(UID)
        board.power_on()
        results.append(cut_during_erase(board, 0.5))
    assert results[0] == results[1]


def test_reset_during_an_erase_is_a_cut_too(board: Board, debugger: Debugger) -> None:
    # RM0402 3.5.3: a reset aborts the operation, contents are not protected
    burn(board, PATTERN)
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    board.press_reset()
    assert board.flash[:0x4000] not in {PATTERN, b"\xff" * 0x4000}


def test_programming_cut_short_leaves_the_word_in_doubt(board: Board, debugger: Debugger) -> None:
    seen = set()
    for index in range(8):
        debugger.unlock()
        debugger.write(CR, 2 << 8 | 1)
        debugger.ap_write(0x0, 0x23000002)
        debugger.ap_write(0x4, FLASH + 4 * index)
        board.port.transfer(ap=True, read=False, address=0xC, value=0)
        board.power_off()
        seen.add(board.flash[4 * index : 4 * index + 4])
        board.power_on()
        debugger.connect()
        debugger.halt()
    assert len(seen) > 1
    assert seen != {bytes(4)}


def test_mass_erase_cut_short(board: Board, debugger: Debugger) -> None:
    burn(board, PATTERN, 0xE0000)
    debugger.unlock()
    debugger.write(CR, 2 << 8 | 1 << 2 | 1 << 16)
    debugger.port.idle(4_000 * 10**9)
    board.power_off()
    assert board.flash[0xE0000:0xE4000] not in {PATTERN, b"\xff" * 0x4000}


def test_supply_that_goes_by_itself_in_the_middle_of_an_erase(board: Board, debugger: Debugger) -> None:
    burn(board, PATTERN)
    debugger.unlock()
    board.power_off_after(100_000)
    debugger.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    with pytest.raises(Refused):
        debugger.wait_flash()
    assert board.flash[:0x4000] not in {PATTERN, b"\xff" * 0x4000}
    board.power_on()
    debugger.connect()
    debugger.halt()
    debugger.unlock()
    assert debugger.erase_sector(0) == 0
    assert board.flash[:0x4000] == b"\xff" * 0x4000


def test_supply_that_goes_by_itself_while_code_runs(board: Board, debugger: Debugger) -> None:
    debugger.load(SRAM, assemble("b ."))
    debugger.set_register(15, SRAM)
    debugger.set_register(16, 1 << 24)
    debugger.resume()
    board.power_off_after(1_000)
    before = board.soc.time.now
    board.run_ms(5)
    assert not board.soc.powered
    assert board.soc.time.now - before == 5 * 10**9
    with pytest.raises(Refused):
        debugger.dp_read(0)


def test_flash_outlives_the_board_object(tmp_path: Path) -> None:
    first = Board(UID, path=tmp_path / "a.flash")
    first.power_on()
    burn(first, PATTERN)
    first.power_off()
    first.close()
    assert Board(UID, path=tmp_path / "a.flash").flash[:0x4000] == PATTERN

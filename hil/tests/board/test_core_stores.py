"""What the core's own stores leave in flash: the cells decide, not the store (RM0402 3.5.4, 3.8.4)."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import CR, FLASH, KEYR, SR, Debugger, assemble
from hil.virtual_nucleo.board import Board

_PROGRAM = f"""
ldr r1, ={FLASH + 0x20000:#x}
ldr r2, ={CR & ~0xFFF | 0xC00:#x}
ldr r3, =0x12345678
ldr r4, ={{cr:#x}}
str r4, [r2, #0x10]
str r3, [r1]
dsb
1: ldr r4, [r2, #0xC]
lsls r5, r4, #15
bmi 1b
ldr r0, [r1]
bkpt 0
"""


@pytest.mark.parametrize(
    ("cells", "cr", "errors"),
    [
        (0xFFFFFFFF, 0x201, 0),
        (0x00FF0FF0, 0x201, 0),
        (0xFFFFFFFF, 0x200, 0x80),
        (0xFFFFFFFF, 0x101, 0x40),
    ],
    ids=["erased", "zeros-stay", "not-programming", "wrong-size"],
)
def test_cores_store_gives_what_the_cells_take(
    board: Board, debugger: Debugger, cells: int, cr: int, errors: int
) -> None:
    board.array.main[0x20000:0x20004] = cells.to_bytes(4, "little")
    debugger.write(KEYR, 0x45670123)
    debugger.write(KEYR, 0xCDEF89AB)
    seen = debugger.run(assemble(_PROGRAM.format(cr=cr)))
    assert debugger.read(SR) == errors
    expected = cells if errors else cells & 0x12345678
    assert seen == expected
    assert int.from_bytes(board.flash[0x20000:0x20004], "little") == expected


def test_store_into_a_closed_sector_changes_nothing(board: Board, debugger: Debugger) -> None:
    board.options.program(board.options.stored & ~(1 << 16 + 5))
    debugger.write(KEYR, 0x45670123)
    debugger.write(KEYR, 0xCDEF89AB)
    assert debugger.run(assemble(_PROGRAM.format(cr=0x201))) == 0xFFFFFFFF
    assert debugger.read(SR) == 0x10
    assert board.flash[0x20000:0x20004] == b"\xff" * 4

"""A bench with something wrong with its boards: `python -m tests.station.faulty_bench FAULT ...` (then as the server).

- `other-part`: chips of the same family with another device id (0x413: STM32F405 and the like).
- `weak-cell`: a flash cell that loses one bit as soon as it was programmed.
- `brown-out`: the supply goes as soon as the first cells were programmed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from hil.virtual_nucleo import peripherals, requests, server
from hil.virtual_nucleo.bench import Bench
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.swd_port import SwdPort

CELL = 0x123
"""Offset in flash of a cell that every image programs."""


class SpoiltBench(Bench):
    """Every board that is put in is spoilt once, when its cell was programmed."""

    def __init__(self, drawer: Path, spoil: Callable[[Board], None]) -> None:
        super().__init__(drawer)
        self._spoil = spoil
        self._whole = False

    def insert(self, uid: str, *, power: bool = True) -> Board:
        self._whole = True
        return super().insert(uid, power=power)

    def look(self) -> None:
        """What happens to the board between two accesses."""
        if self.occupied and self._whole and self.board.array.main[CELL] != 0xFF:
            self._whole = False
            self._spoil(self.board)


def other_part() -> None:
    peripherals.DBGMCU_IDCODE = 0x1000_6413


def weak_cell(board: Board) -> None:
    board.array.main[CELL] ^= 0x10


def spoil_with(spoil: Callable[[Board], None]) -> None:
    benches: list[SpoiltBench] = []
    execute = requests.execute

    def make(drawer: Path) -> SpoiltBench:
        benches.append(SpoiltBench(drawer, spoil))
        return benches[-1]

    def execute_and_look(port: SwdPort, request: bytes) -> bytes:
        reply = execute(port, request)
        benches[0].look()
        return reply

    setattr(server, "Bench", make)  # noqa: B010  # the server makes its bench by this name
    requests.execute = execute_and_look


FAULTS: dict[str, Callable[[], None]] = {
    "other-part": other_part,
    "weak-cell": lambda: spoil_with(weak_cell),
    "brown-out": lambda: spoil_with(Board.power_off),
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    server.main()

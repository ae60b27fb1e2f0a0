"""A bench: boards in a drawer, a fixture that takes one of them, and a probe wired to the fixture.

* The drawer is a directory: one file of flash (and one of option bytes) a board, named by UID. What was programmed
  survives removal and the end of the process.
* A board in the fixture has power unless it was cut; removing it cuts its power first.
* Each board has its own virtual time, which begins when it is put in.
"""

from __future__ import annotations

import re
from pathlib import Path

from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.faults import NoSuchBoard, SlotError
from hil.virtual_nucleo.swd_port import SwdPort
from hil.virtual_nucleo.wire import Wire

_UID = re.compile(r"[0-9a-f]{24}")


class Bench:
    """One fixture and its drawer. ``port`` is the connector of the probe, ``wire`` its very wires."""

    def __init__(self, drawer: Path) -> None:
        self._drawer = drawer
        drawer.mkdir(parents=True, exist_ok=True)
        self.port = SwdPort(None)
        self.wire = Wire()
        self._board: Board | None = None

    @property
    def board(self) -> Board:
        """The board in the fixture. :raises SlotError: when there is none."""
        if self._board is None:
            raise SlotError("the fixture is empty")
        return self._board

    @property
    def occupied(self) -> bool:
        """Whether a board is in the fixture."""
        return self._board is not None

    def known(self) -> list[str]:
        """UIDs of the boards in the drawer (the one in the fixture included)."""
        return sorted(path.stem for path in self._drawer.glob("*.flash"))

    def insert(self, uid: str, *, power: bool = True) -> Board:
        """Put the board *uid* (24 hex digits; made if new) in the fixture and switch it on."""
        uid = uid.lower()
        if not _UID.fullmatch(uid):
            raise NoSuchBoard(f"a UID has 24 hexadecimal digits, not {uid!r}")
        if self._board is not None:
            raise SlotError("there is already a board in the fixture")
        self._board = board = Board(bytes.fromhex(uid), path=self._drawer / f"{uid}.flash", port=self.port)
        self.port.plug(board.soc)
        self.wire.plug(board.soc)
        if power:
            board.power_on()
        return board

    def remove(self) -> str:
        """Take the board out, power and all; returns its UID."""
        board = self.board
        board.power_off()
        self.port.plug(None)
        self.wire.plug(None)
        board.close()
        self._board = None
        return board.uid.hex()

"""Boards and debuggers for the board's tests."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import UID, Debugger
from hil.virtual_nucleo.board import Board


@pytest.fixture
def board() -> Board:
    """A new board with power."""
    made = Board(UID)
    made.power_on()
    return made


@pytest.fixture
def debugger(board: Board) -> Debugger:
    """A debugger connected to it, debug powered up, core halted."""
    made = Debugger(board)
    made.connect()
    made.halt()
    return made

"""Boards on wires, and hosts on them."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import UID
from hil.tests.wire.host import Host
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.wire import Wire


@pytest.fixture
def board() -> Board:
    """A new board with power."""
    made = Board(UID)
    made.power_on()
    return made


@pytest.fixture
def wire(board: Board) -> Wire:
    """Its wires."""
    return Wire(board.soc)


@pytest.fixture
def pins(wire: Wire) -> Host:
    """A host that has said nothing yet."""
    return Host(wire)


@pytest.fixture
def host(pins: Host) -> Host:
    """A host that has connected and halted the core."""
    pins.connect()
    pins.halt()
    return pins

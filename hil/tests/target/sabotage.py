"""A wire in this process that can be cut, and can lie, at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.target.boards import profile_for
from appliance.target.session import Target, open_target_on
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.probe import LocalLink, VirtualNucleoProbe

PROFILE = profile_for("stm32f412xg")
UID = bytes.fromhex("3d0034001751363330373834")
SWCLK_HZ = 4_000_000


class Wire(LocalLink):
    """`before` sees the number and the bytes of each request, and gives back what goes over the wire."""

    def __init__(self, board: Board) -> None:
        super().__init__(board.port)
        self.alive = True
        self.requests = 0
        self.before: Callable[[int, bytes], bytes] = lambda _number, data: data

    def request(self, data: bytes) -> bytes:
        self.requests += 1
        data = self.before(self.requests, data)
        if not self.alive:
            raise ConnectionResetError("the probe was pulled")
        return super().request(data)


_FIXED = {b"W": 6, b"R": 2, b"r": 4, b"C": 5, b"N": 2, b"n": 1, b"I": 5}
"""Lengths of the operations in a request (`hil.virtual_nucleo.requests`) that have a fixed one."""


def block_writes(request: bytes) -> Iterator[tuple[int, int]]:
    """Where the words of each block write lie in a request, as (start, end)."""
    at = 0
    while at < len(request):
        verb = request[at : at + 1]
        if verb == b"w":
            end = at + 4 + 4 * int.from_bytes(request[at + 2 : at + 4], "little")
            yield at + 4, end
            at = end
        elif verb == b"S":
            at += 3 + (int.from_bytes(request[at + 1 : at + 3], "little") + 7) // 8
        else:
            at += _FIXED[verb]


def fresh_board(uid: bytes = UID) -> Board:
    """A board as it comes from the factory, powered."""
    board = Board(uid)
    board.power_on()
    return board


@contextmanager
def opened(board: Board, wire: Wire | None = None) -> Iterator[Target]:
    """The target on `board`, as the line opens it."""
    probe = VirtualNucleoProbe(wire or Wire(board), "local")
    with open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ) as target:
        yield target

"""Clients that reach a wire through a stream socket: the SWD core's socket back end, OpenOCD's remote_bitbang.

* One client has the wire, whichever door it came through; another one is closed before it hears a word.
* A client that goes, however it goes, lets go of SWCLK, SWDIO and NRST; the supply stays as it is.
* Requests are served in C as long as they keep coming (``_wire_doors.c``). A silence longer than ``IDLE_NS`` is a
  client that sleeps: the board's time goes on by as much, at most ``IDLE_LIMIT_NS`` at once, so that a foreign client's
  polls find the flash ready when it expects that. Shorter silences are the socket's own and cost the board nothing.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from hil.virtual_nucleo._wire import Door
from hil.virtual_nucleo.wire import NRESET, Wire

IDLE_NS = 500_000
IDLE_LIMIT_NS = 1_000_000_000
_LINGER_US = 200
_BUDGET_US = 20_000


class WireClient:
    """A connected client; *bitbang* tells which language it speaks."""

    def __init__(self, wire: Wire, connection: socket.socket, *, bitbang: bool) -> None:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self._wire = wire
        self._door = Door(wire.slave, connection.fileno(), bitbang)
        self._served_ns = time.monotonic_ns()

    def serve(self) -> bool:
        """Serve what has arrived and, for a moment, what follows; False when the client has gone or must go."""
        silence = time.monotonic_ns() - self._served_ns
        if silence > IDLE_NS:
            self._wire.wait(min(silence, IDLE_LIMIT_NS))
        going = self._door.pump(_LINGER_US, _BUDGET_US)
        self._served_ns = time.monotonic_ns()
        return going

    def close(self) -> None:
        """The client has gone."""
        self.connection.close()
        self._wire.set_line(NRESET, 1)


def listen(address: str) -> socket.socket:
    """A listening socket at *address*: a port number on the loopback interface, or a path."""
    if address.isdecimal():
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(address)))
    else:
        Path(address).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(address)
    listener.listen(8)
    return listener

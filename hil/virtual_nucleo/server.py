"""The bench as a process: ``python -m hil.virtual_nucleo.server --socket P --control C --drawer D``.

* The probe door (``--socket``) greets with the bench's name. An empty frame takes the probe (answer 1, or 0 while
  another client has it); then requests (``requests.py``) are answered. A client that vanishes frees the probe.
* The wire door (``--wire``) is the same connector as SWCLK, SWDIO, NRST and supply, for the SWD core's socket back end;
  the bitbang door (``--bitbang``, a path or a port of the loopback interface) is it for OpenOCD's remote_bitbang. One
  client at a time has the wire; while it is silent, the board's time goes on (``wire_doors.py``).
* The control door (``--control``) is a person's hands: one JSON object a line in, one out
  (``{"ok": true, ...}`` or ``{"ok": false, "code": ..., "error": ...}``); ``control.py`` lists the verbs.
* ``--mode`` and ``--gid`` set the probe and wire doors' permissions; the control door is always the owner's alone.
* One thread: an access at one door is complete before the other is looked at, so runs repeat.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hil.virtual_nucleo import control, requests
from hil.virtual_nucleo.bench import Bench
from hil.virtual_nucleo.faults import DoorError
from hil.virtual_nucleo.link import MAX_FRAME
from hil.virtual_nucleo.wire_doors import WireClient, listen

_MAX_LINE = 1 << 16


@dataclass
class _Client:
    connection: socket.socket
    handle: Callable[[_Client], None]
    received: bytearray = field(default_factory=bytearray)
    dismissed: bool = False


def _gone(connection: socket.socket) -> bool:
    """Whether the other end has closed, which may be known before the selector says so."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Server:
    """Serves *bench* at both doors until told to stop."""

    def __init__(
        self,
        bench: Bench,
        *,
        name: str,
        probe_door: Path,
        control_door: Path,
        wire_door: Path | None = None,
        bitbang_door: str | None = None,
    ) -> None:
        self._bench = bench
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._doors: list[Path] = []
        self._stopping = False
        self._holder: _Client | None = None
        self._wire_client: WireClient | None = None
        self._listen(os.fspath(probe_door), self._accept_probe)
        self._listen(os.fspath(control_door), self._accept_control)
        if wire_door is not None:
            self._listen(os.fspath(wire_door), lambda listener: self._accept_wire(listener, bitbang=False))
        if bitbang_door is not None:
            self._listen(bitbang_door, lambda listener: self._accept_wire(listener, bitbang=True))
        control_door.chmod(0o600)

    def _listen(self, address: str, accept: Callable[[socket.socket], None]) -> None:
        listener = listen(address)
        if listener.family == socket.AF_UNIX:
            self._doors.append(Path(address))
        self._selector.register(listener, selectors.EVENT_READ, lambda: accept(listener))

    def serve(self) -> None:
        """Serve until the control door says stop."""
        while not self._stopping:
            for key, _ in self._selector.select():
                key.data()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        for door in self._doors:
            door.unlink(missing_ok=True)
        if self._bench.occupied:
            self._bench.remove()

    # -- doors -------------------------------------------------------------------------------------------------

    def _accept_probe(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        greeting = self._name.encode()
        with contextlib.suppress(OSError):
            connection.sendall(struct.pack("<I", len(greeting)) + greeting)
            self._admit(_Client(connection, self._probe_input))

    def _take_probe(self, client: _Client) -> bytes:
        holder = self._holder
        if holder is not None and holder is not client and not _gone(holder.connection):
            return b"\x00"
        if holder is not None and holder is not client:
            self._dismiss(holder)
        self._holder = client
        return b"\x01"

    def _accept_wire(self, listener: socket.socket, *, bitbang: bool) -> None:
        connection, _ = listener.accept()
        if self._wire_client is not None:
            self._serve_wire(self._wire_client)
        if self._wire_client is not None:
            connection.close()
            return
        self._wire_client = client = WireClient(self._bench.wire, connection, bitbang=bitbang)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._serve_wire(client))

    def _serve_wire(self, client: WireClient) -> None:
        if client is self._wire_client and not client.serve():
            self._wire_client = None
            self._selector.unregister(client.connection)
            client.close()

    def _accept_control(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        self._admit(_Client(connection, self._control_input))

    def _admit(self, client: _Client) -> None:
        self._selector.register(client.connection, selectors.EVENT_READ, lambda: self._ready(client))

    def _ready(self, client: _Client) -> None:
        if client.dismissed:
            return
        try:
            part = client.connection.recv(1 << 18)
            if not part:
                raise DoorError("closed")
            client.received += part
            client.handle(client)
        except (OSError, DoorError):
            self._dismiss(client)

    def _dismiss(self, client: _Client) -> None:
        client.dismissed = True
        self._selector.unregister(client.connection)
        client.connection.close()
        if client is self._holder:
            self._holder = None
            self._bench.port.reset_pin(False)  # a probe without a host lets NRST go

    def _probe_input(self, client: _Client) -> None:
        received = client.received
        while len(received) >= 4:
            (length,) = struct.unpack_from("<I", received)
            if length > MAX_FRAME:
                raise DoorError(f"frame of {length} bytes")
            if len(received) < 4 + length:
                return
            request = bytes(received[4 : 4 + length])
            del received[: 4 + length]
            if not request:
                reply = self._take_probe(client)
            elif client is self._holder:
                reply = requests.execute(self._bench.port, request)
            else:
                raise DoorError("the probe was not taken")
            client.connection.sendall(struct.pack("<I", len(reply)) + reply)

    def _control_input(self, client: _Client) -> None:
        received = client.received
        while (end := received.find(b"\n")) >= 0:
            line = bytes(received[:end])
            del received[: end + 1]
            self._bench.wire.settle()
            reply, stop = control.answer(self._bench, line)
            self._stopping = self._stopping or stop
            client.connection.sendall(reply + b"\n")
        if len(received) > _MAX_LINE:
            raise DoorError("line too long")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m hil.virtual_nucleo.server", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="probe door")
    parser.add_argument("--control", type=Path, required=True, help="control door")
    parser.add_argument("--wire", type=Path, help="wire door")
    parser.add_argument("--bitbang", metavar="PATH|PORT", help="OpenOCD remote_bitbang door")
    parser.add_argument("--drawer", type=Path, required=True, help="directory that keeps the boards")
    parser.add_argument("--name", default="bench", help="the probe's unique id for pyOCD")
    parser.add_argument(
        "--mode", type=lambda text: int(text, 8), default=0o600, help="probe and wire doors' mode, octal"
    )
    parser.add_argument("--gid", type=int, help="probe and wire doors' group")
    parser.add_argument("--insert", metavar="UID", help="a board to begin with")
    arguments = parser.parse_args()
    bench = Bench(arguments.drawer)
    os.umask(0o077)
    server = Server(
        bench,
        name=arguments.name,
        probe_door=arguments.socket,
        control_door=arguments.control,
        wire_door=arguments.wire,
        bitbang_door=arguments.bitbang,
    )
    for door in filter(None, (arguments.socket, arguments.wire)):
        if arguments.gid is not None:
            os.chown(door, -1, arguments.gid)
        door.chmod(arguments.mode)
    if arguments.insert:
        bench.insert(arguments.insert)
    print("bench ready", flush=True)
    server.serve()


if __name__ == "__main__":
    main()

"""A small NTP server that can be told, while it runs, to lie, to be unsure or to fall silent.

- It answers NTPv3/v4 client packets (RFC 5905, 7.3) on one loopback UDP port with this machine's time plus `offset_ms`.
- Its state is changed through a Unix stream socket: one JSON object a line in (any subset of `State`'s fields), the
  whole state as one JSON line back; a bad line changes nothing and answers `{"error": ...}`.
- It never touches any clock. It belongs to the bench: nothing of the product imports it.

    python -m hil.local_station.ntp_server --port 12300 --control /run/x/ntp.ctl
    python -m hil.local_station.ntp_server --control /run/x/ntp.ctl --set '{"offset_ms": 30000}'
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

NTP_EPOCH_S = 2_208_988_800
_PACKET = struct.Struct(">BBbb II4s QQQQ")
_MAX_LINE = 1024


@dataclasses.dataclass(frozen=True)
class State:
    """What the server tells its clients.

    `offset_ms` is added to the true time (a lie), `root_dispersion_ms` and `root_delay_ms` are its own claim of how
    wrong it may be; `silent` drops every request; `stratum` and `leap` go out as they are (leap 3: unsynchronised).
    """

    offset_ms: int = 0
    root_dispersion_ms: int = 1
    root_delay_ms: int = 0
    stratum: int = 2
    leap: int = 0
    silent: bool = False

    def changed(self, wanted: Mapping[str, Any]) -> State:
        """This state with the wanted fields; ValueError for an unknown field or a value of the wrong type."""
        known = {field.name: type(field.default) for field in dataclasses.fields(self)}
        for name, value in wanted.items():
            if name not in known or type(value) is not known[name]:
                raise ValueError(f"no such setting: {name}={value!r}")
        return dataclasses.replace(self, **wanted)


def answer(state: State, request: bytes, received_ns: int, sent_ns: int) -> bytes | None:
    """The reply to one client packet, or None for silence and for anything that is not a client's question."""
    if state.silent or len(request) < _PACKET.size:
        return None
    version, mode = request[0] >> 3 & 7, request[0] & 7
    if mode != 3 or version not in {3, 4}:
        return None
    poll = struct.unpack_from(">b", request, 2)[0]
    lie_ns = state.offset_ms * 1_000_000
    return _PACKET.pack(
        state.leap << 6 | version << 3 | 4,
        state.stratum,
        poll,
        -20,
        state.root_delay_ms * 65536 // 1000,
        state.root_dispersion_ms * 65536 // 1000,
        b"LOCL",
        _timestamp(received_ns + lie_ns - 1_000_000_000),
        struct.unpack_from(">Q", request, 40)[0],
        _timestamp(received_ns + lie_ns),
        _timestamp(sent_ns + lie_ns),
    )


def serve(port: int, control: Path) -> None:
    """Answer on `127.0.0.1:port` and on the control socket until SIGTERM or SIGINT."""
    stop_reader, stop_writer = socket.socketpair()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stop_writer.send(b"x")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    control.unlink(missing_ok=True)
    state = State()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ntp,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door,
        selectors.DefaultSelector() as selector,
    ):
        ntp.bind(("127.0.0.1", port))
        door.bind(os.fspath(control))
        control.chmod(0o600)
        door.listen()
        for ready in (ntp, door, stop_reader):
            selector.register(ready, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is stop_reader:
                    control.unlink(missing_ok=True)
                    return
                if key.fileobj is ntp:
                    _one_question(ntp, state)
                else:
                    state = _one_order(door, state)


def tell(control: Path, **wanted: int | bool) -> dict[str, Any]:  # one value type a setting
    """Change a running server's state; returns its whole new state. ValueError when it says no."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(5)
        door.connect(os.fspath(control))
        door.sendall(json.dumps(wanted).encode() + b"\n")
        reply: dict[str, Any] = json.loads(_line(door))
    if "error" in reply:
        raise ValueError(reply["error"])
    return reply


def _one_question(ntp: socket.socket, state: State) -> None:
    request, client = ntp.recvfrom(2048)
    received_ns = time.time_ns()
    reply = answer(state, request, received_ns, time.time_ns())
    if reply is not None:
        with contextlib.suppress(OSError):  # a client that has left is no fault of ours
            ntp.sendto(reply, client)


def _one_order(door: socket.socket, state: State) -> State:
    connection, _address = door.accept()
    with connection:
        connection.settimeout(2)
        try:
            wanted = json.loads(_line(connection))
            if not isinstance(wanted, dict):
                raise ValueError("not an object")  # noqa: TRY004  # one kind of refusal for every bad line
            state = state.changed(wanted)
            reply = dataclasses.asdict(state)
        except (ValueError, OSError) as refusal:
            reply = {"error": str(refusal)}
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps(reply).encode() + b"\n")
    return state


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_LINE:
        more = connection.recv(_MAX_LINE)
        if not more:
            break
        data += more
    return data


def _timestamp(utc_ns: int) -> int:
    """An NTP timestamp: seconds since 1900 in the upper 32 bits, fraction in the lower (era 0, RFC 5905 6)."""
    seconds, rest_ns = divmod(utc_ns, 1_000_000_000)
    return ((seconds + NTP_EPOCH_S) % 2**32 << 32) | (rest_ns << 32) // 1_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description="An NTP server for the bench that lies when it is told to.")
    parser.add_argument("--control", type=Path, required=True)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--port", type=int)
    action.add_argument("--set", type=json.loads, metavar="JSON", help="change a running server and print its state")
    arguments = parser.parse_args()
    if arguments.port is None:
        print(json.dumps(tell(arguments.control, **arguments.set)))
    else:
        serve(arguments.port, arguments.control)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The client's end of a bench's probe door: a Unix stream socket with length-prefixed messages.

A connection begins with the server's greeting (its name, as text). An empty frame takes the probe and is answered with
one byte, 1 or 0 (another client has it). Then each request gets one reply. A frame is its length as an unsigned
little-endian 32-bit number, then that many bytes.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from hil.virtual_nucleo.faults import DoorError

MAX_FRAME = 1 << 21


def send_frame(connection: socket.socket, data: bytes) -> None:
    """Send one frame."""
    connection.sendall(struct.pack("<I", len(data)) + data)


def receive_frame(connection: socket.socket) -> bytes | None:
    """Receive one frame; None at the end of the stream. :raises DoorError: when it is cut short or too long."""
    head = _receive(connection, 4)
    if not head:
        return None
    if len(head) < 4:
        raise DoorError("stream ends inside a frame")
    (length,) = struct.unpack("<I", head)
    if length > MAX_FRAME:
        raise DoorError(f"frame of {length} bytes")
    data = _receive(connection, length)
    if len(data) != length:
        raise DoorError("stream ends inside a frame")
    return data


def _receive(connection: socket.socket, count: int) -> bytes:
    out = bytearray()
    while len(out) < count:
        part = connection.recv(min(count - len(out), 1 << 16))
        if not part:
            break
        out += part
    return bytes(out)


class BenchLink:
    """Requests to the bench whose probe door is at *path*."""

    def __init__(self, path: str, *, timeout_s: float = 60.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._connection: socket.socket | None = None

    def open(self) -> None:
        """Connect. :raises OSError: when nobody is there, or another client has the probe."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            connection.connect(self._path)
            receive_frame(connection)
            send_frame(connection, b"")
            taken = receive_frame(connection)
        except DoorError as error:
            connection.close()
            raise ConnectionResetError(str(error)) from error
        except OSError:
            connection.close()
            raise
        if taken != b"\x01":
            connection.close()
            raise ConnectionRefusedError("the probe is in use by another client")
        self._connection = connection

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, data: bytes) -> bytes:
        """One round trip. :raises OSError: when the bench is gone."""
        if self._connection is None:
            raise ConnectionResetError("not connected")
        try:
            send_frame(self._connection, data)
            reply = receive_frame(self._connection)
        except DoorError as error:
            raise ConnectionResetError(str(error)) from error
        if not reply:
            raise ConnectionResetError("the bench closed the door")
        return reply


def bench_name(path: str) -> str | None:
    """The name of the bench behind the door at *path*, without taking its probe; None when nobody answers."""
    with contextlib.suppress(OSError, DoorError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5.0)
        connection.connect(path)
        greeting = receive_frame(connection)
        if greeting:
            return greeting.decode("ascii", "replace")
    return None

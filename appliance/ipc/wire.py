"""Varlink messages on a Unix stream socket: one JSON object, one NUL byte.

- A message longer than the limit, nested deeper than the limit, with a key twice, or that is not one JSON object
  is refused; nothing is read beyond the limit.
- Numbers are integers or finite floats; NaN and Infinity are not JSON (RFC 8259 section 6).
"""

from __future__ import annotations

import json
import socket
from typing import Any

from appliance.ipc.errors import BadMessage, MessageTooLarge

MAX_MESSAGE = 4 * 1024 * 1024
_MAX_DEPTH = 32
_CHUNK = 65536


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of one message, NUL included."""
    data = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(data) > MAX_MESSAGE:
        raise MessageTooLarge(limit=MAX_MESSAGE)
    return data + b"\0"


def decode(data: bytes) -> dict[str, Any]:
    """The message in `data` (without its NUL), or BadMessage."""
    if _too_deep(data):
        raise BadMessage(why=f"nested deeper than {_MAX_DEPTH}")
    try:
        message = json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise BadMessage(why=str(error)) from None
    if not isinstance(message, dict):
        raise BadMessage(why="not an object")
    return message


class Stream:
    """Messages from and to one connected socket. Not for use by two threads at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        self._connection.sendall(encode(message))

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end of the stream. An end in the middle of a message is BadMessage."""
        searched = 0
        while (end := self._buffer.find(b"\0", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_MESSAGE:
                raise MessageTooLarge(limit=MAX_MESSAGE)
            chunk = self._connection.recv(_CHUNK)
            if not chunk:
                if self._buffer:
                    raise BadMessage(why="the stream ended in the middle of a message")
                return None
            self._buffer += chunk
        data = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return decode(data)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _too_deep(data: bytes) -> bool:
    """Whether brackets outside strings nest too deep: json.loads would recurse before anybody could look."""
    depth = 0
    in_string = escaped = False
    if data.count(b"[") + data.count(b"{") <= _MAX_DEPTH:
        return False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > _MAX_DEPTH:
                return True
        elif byte in b"]}":
            depth -= 1
    return False

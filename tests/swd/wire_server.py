"""The reference target behind the socket door, one client at a time."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.swd.reference_target import ReferenceTarget

_REQUEST = struct.Struct("<BBBBQ")
_MAGIC = 0x31504C5057445300


@contextmanager
def serving(target: ReferenceTarget, path: Path, *, cut_after: int | None = None) -> Iterator[Path]:
    """Serves `target` at `path`; a connection is cut after that many requests."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_accept, args=(listener, target, cut_after))
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, target: ReferenceTarget, cut_after: int | None) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, client.makefile("rb") as stream:
            served = 0
            while served != cut_after and len(data := stream.read(_REQUEST.size)) == _REQUEST.size:
                reply = _perform(target, *_REQUEST.unpack(data))
                served += 1
                if reply is not None:
                    client.sendall(struct.pack("<Q", reply))
        target.lines[0] = 1
        target.driven = False


def _perform(target: ReferenceTarget, operation: int, count: int, flags: int, zero: int, argument: int) -> int | None:
    assert zero == 0
    if operation == 1:
        seen = target.exchange(count, argument, bool(flags & 1))
        return seen if flags & 2 else None
    if operation == 4:
        return target.get_line(count)
    if operation == 5:
        target.wait(argument)
        return 0
    if operation == 7:
        return _MAGIC if argument == _MAGIC else 0
    if operation == 2:
        target.set_clock(argument)
    elif operation == 3:
        target.set_line(count, argument)
    else:
        assert operation == 6
        target.drive_pins(bool(argument))
    return None

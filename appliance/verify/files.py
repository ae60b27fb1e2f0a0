"""The files that a verification was pointed at: bounded, regular, and nothing else.

This is the only place in the room that touches a disk.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from appliance.verify.errors import InputTooLarge, InputUnreadable


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes, or `PL-VRF-070` or `-071`."""
    try:
        # O_NONBLOCK: a FIFO must not hold the reader.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputUnreadable(path=str(path), why="it is not a regular file")
            content = file.read(limit + 1)
    except OSError as error:
        raise InputUnreadable(path=str(path), why=errno.errorcode.get(error.errno or 0, "error")) from None
    if len(content) > limit:
        raise InputTooLarge(path=str(path), limit=limit)
    return content


class LogDirectory:
    """A published log in a directory (`log.Storage`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, path: str, limit: int) -> bytes | None:
        place = self._path / path
        return read_file(place, limit) if place.exists() else None

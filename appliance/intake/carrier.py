"""A carrier's files, copied into private space before anybody looks at what they say.

- Only directories and regular files, opened without following links and without waiting (a FIFO cannot hold us); only
  names that a repository has; at most `MAX_ENTRIES` of them, `MAX_FILE` bytes each, `MAX_TOTAL` bytes in all.
- Every file is read once. What is verified afterwards, and staged, is the copy: a carrier that answers differently the
  second time gains nothing.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.intake.errors import (
    CarrierEntryRefused,
    CarrierFilesTooMany,
    CarrierNameUnexpected,
    CarrierTooLarge,
    CarrierUnreadable,
)

MAX_ENTRIES: Final = 20_000
MAX_FILE: Final = 1 << 26
MAX_TOTAL: Final = 1 << 29
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,160}"
_EXPECTED: Final = re.compile(
    rf"metadata(/(timestamp\.json|[1-9][0-9]{{0,9}}\.(root|snapshot|targets)\.json))?"
    rf"|approvals(/[1-9][0-9]{{0,9}}(/{_NAME}\.json)?)?"
    rf"|targets(/{_NAME}){{0,4}}",
    re.ASCII,
)


def copy(carrier: str, private: Path) -> None:
    """Copy a carrier into the empty directory `private`, or refuse (`PL-INT-001` to `-005`)."""
    if not carrier.startswith("/") or "\0" in carrier or len(carrier) > 4_096:
        raise CarrierUnreadable(path=repr(carrier)[:200], why="it is not an absolute path")
    _Copy(private).run(carrier)


class _Copy:
    def __init__(self, private: Path) -> None:
        self._private = private
        self._entries = 0
        self._bytes = 0

    def run(self, carrier: str) -> None:
        with _opened(carrier, os.O_DIRECTORY, "", None) as top:
            self._folder(top, "")

    def _folder(self, folder: int, path: str) -> None:
        try:
            names = self._names(folder)
        except OSError as error:
            raise CarrierUnreadable(path=path or ".", why=_why(error)) from None
        for name in names:
            inner = f"{path}/{name}" if path else name
            if not _EXPECTED.fullmatch(inner):
                raise CarrierNameUnexpected(path=repr(inner)[:200])
            with _opened(name, 0, inner, folder) as entry:
                mode = os.fstat(entry).st_mode
                if stat.S_ISDIR(mode):
                    (self._private / inner).mkdir(mode=0o700)
                    self._folder(entry, inner)
                elif stat.S_ISREG(mode):
                    self._file(entry, inner)
                else:
                    raise CarrierEntryRefused(path=inner, found="a special file")

    def _names(self, folder: int) -> list[str]:
        """The entries, bounded while they are being listed: a directory without end is cut off."""
        names: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._entries += 1
                if self._entries > MAX_ENTRIES:
                    raise CarrierFilesTooMany(limit=MAX_ENTRIES)
                names.append(entry.name)
        return sorted(names)

    def _file(self, entry: int, path: str) -> None:
        size = 0
        with (self._private / path).open("xb") as private:
            while piece := _read(entry, path):
                size += len(piece)
                self._bytes += len(piece)
                if size > MAX_FILE:
                    raise CarrierTooLarge(path=path, limit=MAX_FILE)
                if self._bytes > MAX_TOTAL:
                    raise CarrierTooLarge(path=path, limit=MAX_TOTAL)
                private.write(piece)


def _read(entry: int, path: str) -> bytes:
    try:
        return os.read(entry, 1 << 20)
    except OSError as error:
        raise CarrierUnreadable(path=path, why=_why(error)) from None


@contextmanager
def _opened(name: str, flags: int, path: str, folder: int | None) -> Iterator[int]:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CarrierEntryRefused(path=path or name, found="a symbolic link") from None
        if error.errno == errno.ENXIO:
            raise CarrierEntryRefused(path=path or name, found="a special file") from None
        raise CarrierUnreadable(path=path or name, why=_why(error)) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown error")

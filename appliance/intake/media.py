"""What carriers lie on: a folder, or a stick's file system. Only names and bytes come from here.

- A `Medium` lists a folder's entries and reads a file; it interprets nothing. What it says is bounded by whoever asks.
- `Folder` is a directory of this machine: no link is followed below it, every file is opened without waiting (a FIFO
  cannot hold us) and must be regular when it is opened, whatever it was when it was listed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from appliance.intake.errors import CarrierEntryRefused, CarrierFilesTooMany, CarrierUnreadable

Read = Callable[[int], bytes]
"""The next bytes of a file, at most as many as asked for; none at its end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder."""

    name: str
    is_folder: bool


class Medium(Protocol):
    """Where a carrier's files are. Paths have no leading slash; `""` is the carrier itself."""

    def entries(self, path: str, limit: int) -> list[Entry]:
        """What a folder holds, sorted by name; CarrierFilesTooMany beyond `limit`."""

    def reading(self, path: str) -> AbstractContextManager[Read]:
        """A regular file, opened for reading: `with medium.reading(path) as read: read(4096)`."""


class Folder:
    """A directory as a medium; `path` is absolute."""

    def __init__(self, path: str) -> None:
        if not path.startswith("/") or "\0" in path or len(path) > 4_096:
            raise CarrierUnreadable(path=repr(path)[:200], why="it is not an absolute path")
        self._path = path

    def entries(self, path: str, limit: int) -> list[Entry]:
        found: list[Entry] = []
        with self._opened(path, os.O_DIRECTORY) as folder:
            try:
                with os.scandir(folder) as listed:
                    for one in listed:  # bounded while it is being listed: a directory without end is cut off
                        if len(found) >= limit:
                            raise CarrierFilesTooMany(limit=limit)
                        found.append(Entry(one.name, one.is_dir(follow_symlinks=False)))
            except OSError as error:
                raise CarrierUnreadable(path=path or ".", why=_why(error)) from None
        return sorted(found, key=lambda one: one.name)

    @contextmanager
    def reading(self, path: str) -> Iterator[Read]:
        with self._opened(path, 0) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise CarrierEntryRefused(path=path, found="a special file")

            def read(size: int) -> bytes:
                try:
                    return os.read(file, size)
                except OSError as error:
                    raise CarrierUnreadable(path=path, why=_why(error)) from None

            yield read

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        """The entry at `path`, reached from the top without following any link."""
        with ExitStack() as opened:
            here: int | None = None
            names = [self._path, *(path.split("/") if path else [])]
            for name in names:
                last = name is names[-1]
                try:
                    here = os.open(name, _FLAGS | (flags if last else os.O_DIRECTORY), dir_fd=here)
                except OSError as error:
                    if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(name, here)):
                        raise CarrierEntryRefused(path=path or name, found="a symbolic link") from None
                    if error.errno == errno.ENXIO:
                        raise CarrierEntryRefused(path=path or name, found="a special file") from None
                    raise CarrierUnreadable(path=path or name, why=_why(error)) from None
                opened.callback(os.close, here)
            assert here is not None
            yield here


_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _is_link(name: str, folder: int | None) -> bool:
    """O_DIRECTORY with O_NOFOLLOW says ENOTDIR of a link, not ELOOP."""
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _why(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "unknown error")

"""The thin shell around what is written: a disk or a file, held alone from opening to closing.

- `zero` guarantees zeros: the kernel has the device make them where it can, and writes them where it cannot
  (BLKZEROOUT). `discard` guarantees nothing; it is a favour to the card.
- `forget` drops what memory knows of the medium, so that the next reading is of the medium.
- Its errors are WriteFailed and ReadBackFailed, with the place; where flushing fails, that of the last writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from appliance.card.device import Device
from appliance.card.errors import (
    CardInputUnreadable,
    DeviceDenied,
    DeviceInUse,
    DeviceReadOnly,
    ReadBackFailed,
    WriteFailed,
)

_BLKRRPART, _BLKFLSBUF, _BLKDISCARD, _BLKZEROOUT = 0x125F, 0x1261, 0x1277, 0x127F


class Medium:
    """A device that is open for writing and for nobody else. `DeviceInUse`, `DeviceDenied`, `DeviceReadOnly`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._at = 0
        name = os.fspath(device.path)
        try:
            # on a disk, O_EXCL fails while anybody has it or a part of it, and keeps everybody out afterwards
            self._file = os.open(device.path, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if device.block else 0))
            if not device.block:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError:
            raise DeviceDenied(path=name) from None
        except BlockingIOError:
            raise DeviceInUse(path=name, why="another program has locked it") from None
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceInUse(path=name, why="the kernel says so") from None
            if error.errno == errno.EROFS:
                raise DeviceReadOnly(path=name) from None
            raise CardInputUnreadable(path=name, why=error.strerror or "error") from None

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end."""
        parts = []
        try:
            while length and (part := os.pread(self._file, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
        except OSError as error:
            raise ReadBackFailed(at=offset, why=error.strerror or "error") from None
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        with self._writing(offset):
            while view:
                done = os.pwrite(self._file, view, offset)
                view, offset = view[done:], offset + done

    def zero(self, offset: int, length: int) -> None:
        """Zeros, whatever was there."""
        if self.device.block:
            with self._writing(offset):
                fcntl.ioctl(self._file, _BLKZEROOUT, struct.pack("=QQ", offset, length))
        elif any(self.read(offset, length)):
            self.write(offset, bytes(length))  # only then: a file's holes stay holes

    def flush(self) -> None:
        with self._writing(self._at):
            os.fsync(self._file)

    def clear(self) -> None:
        """Make the medium as new where that costs nothing: a file is emptied, a disk is told that nothing is needed."""
        if self.device.block:
            try:
                fcntl.ioctl(self._file, _BLKDISCARD, struct.pack("=QQ", 0, self.device.size))
            except OSError:
                return  # most card readers cannot; what must be zero is zeroed in any case
        else:
            with self._writing(0):
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, self.device.size)

    def forget(self) -> None:
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        if self.device.block and os.geteuid() == 0:
            fcntl.ioctl(self._file, _BLKFLSBUF, 0)

    def announce(self) -> None:
        """Let the kernel know of the new partitions; it may not (they are found when the card is next plugged in)."""
        if self.device.block:
            try:
                fcntl.ioctl(self._file, _BLKRRPART, 0)
            except OSError:
                return

    @contextlib.contextmanager
    def _writing(self, offset: int) -> Iterator[None]:
        self._at = offset
        try:
            yield
        except OSError as error:
            raise WriteFailed(at=offset, why=error.strerror or "error") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

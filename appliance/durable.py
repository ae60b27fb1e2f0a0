"""Every write that must survive a power cut goes through here.

- `write_atomic` replaces a file so that a reader, now or after a power cut, sees the old bytes or the new ones.
- `Journal` is an append-only file of checksummed records: what `append` returned for is there after a power cut; a
  record that was being written when the power went is dropped whole.
- A record that is damaged *before* the end of a journal is not a torn tail: it is refused by name, nothing is cut off.
- Calls go to the `os` module by name at the moment of the call, so that a harness can watch and cut every one.

Sources: ext4 and POSIX semantics as in "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): a file's
data is durable after fsync(file), its name after fsync(directory).
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import ProoflineError

_HEADER = struct.Struct("<4sII")
_MAGIC = b"PLj1"
MAX_RECORD = 16 * 1024 * 1024


class DurableError(ProoflineError):
    """Something is wrong with what was stored, or with storing."""


class JournalDamaged(DurableError):
    code = "PL-DUR-001"
    operator = "The station's records are damaged. Stop working and call the line engineer."
    engineer = "{path}: the record at byte {offset} is damaged, and good records follow it."
    action = "Keep the file: it is evidence. Replace the storage, then restore from the exported log."


class JournalInUse(DurableError):
    code = "PL-DUR-002"
    operator = "Part of the station is running twice. Call the line engineer."
    engineer = "{path} is held by another process."
    action = "Find the second instance of the service."


class StorageFailed(DurableError):
    code = "PL-DUR-003"
    operator = "The station cannot store its records. Stop working and call the line engineer."
    engineer = "{path}: {why}."
    action = "Check free space and the health of the storage."


class RecordTooLarge(DurableError):
    code = "PL-DUR-004"
    operator = "The station cannot store this record. Call the line engineer."
    engineer = "A record of {size} bytes; at most {limit} are stored."
    action = "This is a defect of the station: report it with the journal."


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_dir(path: Path, mode: int = 0o700) -> None:
    """Make a directory, durably; one that is there stays as it is."""
    try:
        os.mkdir(path, mode)  # noqa: PTH102 -- through `os`, see the module's promise
    except FileExistsError:
        return
    fsync_dir(path.parent)


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` with `data`: all of it or nothing, durable on return. StorageFailed where that is not possible."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # the umask must not decide who may read it
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 -- likewise
        fsync_dir(path.parent)
    except OSError as error:
        raise StorageFailed(path=path.name, why=str(error)) from error


class Journal:
    """An append-only file of records, held by one process at a time.

    A record on disk: magic, length and CRC-32 (little endian, 4 bytes each), then the bytes. After a write failed the
    file is cut back to its last good end; where even that fails, every later append is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped_bytes = 0
        fresh = not path.exists()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageFailed(path=path.name, why=str(error)) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalInUse(path=path.name) from error
        try:
            if fresh:
                fsync_dir(path.parent)
            self.records, self._end = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._broken = False

    def append(self, record: bytes) -> None:
        """Add a record; durable on return."""
        self.append_many([record])

    def append_many(self, records: Iterable[bytes]) -> None:
        """Add records with one fsync; durable on return. After a power cut a prefix of them may be there."""
        self.append_buffered(b"".join(frame(record) for record in records))
        self.sync()

    def append_buffered(self, framed: bytes) -> None:
        """Add framed bytes (see `frame`) without making them durable; `sync` does that."""
        if self._broken:
            raise StorageFailed(path=self.path.name, why="an earlier write could not be undone")
        try:
            _write_all(self._descriptor, framed)
        except OSError as error:
            self._cut_back(error)
        self._end += len(framed)

    def sync(self) -> None:
        """Make all that was appended durable. A failed fsync is final: the kernel may have dropped the pages."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._broken = True
            raise StorageFailed(path=self.path.name, why=str(error)) from error

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole journal, atomically and durably."""
        framed = b"".join(frame(record) for record in records)
        write_atomic(self.path, framed)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._end = len(framed)
        self._broken = False

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> tuple[list[bytes], int]:
        data = _read_all(self._descriptor)
        records: list[bytes] = []
        offset = 0
        while (record := _record_at(data, offset)) is not None:
            records.append(record)
            offset += _HEADER.size + len(record)
        if offset < len(data):
            if _has_record(data, offset + 1):
                raise JournalDamaged(path=self.path.name, offset=offset)
            self.dropped_bytes = len(data) - offset
            os.ftruncate(self._descriptor, offset)
            os.fsync(self._descriptor)
        return records, offset

    def _cut_back(self, cause: OSError) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            self._broken = True
        raise StorageFailed(path=self.path.name, why=str(cause)) from cause


def frame(record: bytes) -> bytes:
    """A record as `append_buffered` takes it."""
    if len(record) > MAX_RECORD:
        raise RecordTooLarge(size=len(record), limit=MAX_RECORD)
    return _HEADER.pack(_MAGIC, len(record), zlib.crc32(record)) + record


def _record_at(data: bytes, offset: int) -> bytes | None:
    """The whole, undamaged record at an offset, or None."""
    if offset + _HEADER.size > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, offset)
    start = offset + _HEADER.size
    if magic != _MAGIC or length > MAX_RECORD or start + length > len(data):
        return None
    record = data[start : start + length]
    return record if zlib.crc32(record) == checksum else None


def _has_record(data: bytes, offset: int) -> bool:
    while (offset := data.find(_MAGIC, offset)) >= 0:
        if _record_at(data, offset) is not None:
            return True
        offset += 1
    return False


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = bytearray()
    while len(data) < size:
        chunk = os.pread(descriptor, size - len(data), len(data))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

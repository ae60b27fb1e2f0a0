"""Every write that must survive a power cut goes through here.

- `write_atomic` replaces a file so that a reader, now or after a power cut, sees the old bytes or the new ones.
- `Journal` is an append-only file of checksummed records: what `append` returned for is there after a power cut; a
  record that was being written when the power went is dropped whole.
- A record that is damaged *after* it was made durable is not a torn tail: it is refused by name, nothing is cut off.
  Each record says up to where the journal was durable when it was written, so that pages of one unsynced batch that
  reached the disk in the wrong order are told from damage.
- What a journal shows when it is opened is durable: a record that a killed process wrote and never synced is synced
  before anybody relies on it.
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

_HEADER = struct.Struct("<4sIIQ")
_MAGIC = b"PLj2"
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


def write_pieces(path: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    """Replace `path` as `write_atomic` does, with content that is never in memory as a whole. Where `pieces` raises,
    nothing is replaced and nothing is left behind."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # the umask must not decide who may read it
            for piece in pieces:
                _write_all(descriptor, piece)
            os.fsync(descriptor)
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108 -- through `os`, see the module's promise
            raise
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 -- likewise
        fsync_dir(path.parent)
    except OSError as error:
        raise StorageFailed(path=path.name, why=str(error)) from error


class Journal:
    """An append-only file of records, held by one process at a time.

    A record on disk: magic, length and CRC-32 (little endian, 4 bytes each), how many bytes of the journal were durable
    when it was written (8 bytes), then the bytes; the CRC covers the last two. After a write failed the file is cut
    back to its last good end; where even that fails, every later append is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped_bytes = 0
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
            self.records, self._end = self._read()
            os.fsync(self._descriptor)
            fsync_dir(path.parent)  # whoever made the file may have been killed before it did this
        except BaseException:
            os.close(self._descriptor)
            raise
        self._durable_end = self._end
        self._broken = False

    def append(self, record: bytes) -> None:
        """Add a record; durable on return."""
        self.append_many([record])

    def append_many(self, records: Iterable[bytes]) -> None:
        """Add records with one fsync; durable on return. After a power cut a prefix of them may be there."""
        self.append_buffered(*records)
        self.sync()

    def append_buffered(self, *records: bytes) -> None:
        """Add records with one write, without making them durable; `sync` does that."""
        if self._broken:
            raise StorageFailed(path=self.path.name, why="an earlier write could not be undone")
        framed = b"".join([_frame(record, self._durable_end) for record in records])
        try:
            _write_all(self._descriptor, framed)
        except OSError as error:
            self._cut_back(error)
        self._end += len(framed)

    def sync(self) -> None:
        """Make all that was appended durable. A failed fsync is final: the kernel may have dropped the pages."""
        try:
            end = self._end
            os.fdatasync(self._descriptor)
            self._durable_end = end
        except OSError as error:
            self._broken = True
            raise StorageFailed(path=self.path.name, why=str(error)) from error

    def rewrite(self, records: Iterable[bytes]) -> None:
        """Replace the whole journal, atomically and durably."""
        framed = b""
        for record in records:
            framed += _frame(record, len(framed))  # the file gets its name after it became durable as a whole
        write_atomic(self.path, framed)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._end = self._durable_end = len(framed)
        self._broken = False

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> tuple[list[bytes], int]:
        data = _read_all(self._descriptor)
        records, offset = _records(data)
        if offset < len(data):
            if _was_durable(data, offset):
                raise JournalDamaged(path=self.path.name, offset=offset)
            self.dropped_bytes = len(data) - offset
            os.ftruncate(self._descriptor, offset)
        return records, offset

    def _cut_back(self, cause: OSError) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            self._broken = True
        raise StorageFailed(path=self.path.name, why=str(cause)) from cause


def read_journal(path: Path) -> list[bytes]:
    """The records of a journal that nobody writes to any more; a torn tail is damage here: JournalDamaged."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = _read_all(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageFailed(path=path.name, why=str(error)) from error
    records, end = _records(data)
    if end < len(data):
        raise JournalDamaged(path=path.name, offset=end)
    return records


def _frame(record: bytes, durable_end: int) -> bytes:
    if len(record) > MAX_RECORD:
        raise RecordTooLarge(size=len(record), limit=MAX_RECORD)
    return _HEADER.pack(_MAGIC, len(record), _checksum(durable_end, record), durable_end) + record


def _checksum(durable_end: int, record: bytes) -> int:
    return zlib.crc32(record, zlib.crc32(durable_end.to_bytes(8, "little")))


def _parse(data: bytes, offset: int) -> tuple[int, bytes] | None:
    """What the whole, undamaged record at an offset says was durable, and its bytes; or None."""
    if offset + _HEADER.size > len(data):
        return None
    magic, length, checksum, durable_end = _HEADER.unpack_from(data, offset)
    start = offset + _HEADER.size
    if magic != _MAGIC or length > MAX_RECORD or start + length > len(data):
        return None
    record = data[start : start + length]
    return (durable_end, record) if _checksum(durable_end, record) == checksum else None


def _records(data: bytes) -> tuple[list[bytes], int]:
    """The good records from the start, and where they end."""
    records: list[bytes] = []
    offset = 0
    while (found := _parse(data, offset)) is not None:
        records.append(found[1])
        offset += _HEADER.size + len(found[1])
    return records, offset


def _was_durable(data: bytes, offset: int) -> bool:
    """Whether a later record testifies that what stood at an offset had been made durable."""
    at = offset + 1
    while (at := data.find(_MAGIC, at)) >= 0:
        found = _parse(data, at)
        if found is not None and offset < found[0] <= at:
            return True
        at += 1
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

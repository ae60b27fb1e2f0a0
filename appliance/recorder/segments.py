"""The durable truth: the log's entries, and the checkpoints signed over them, in order.

- Segment n holds entries 256 n to 256 n + 255 (what a tile and an entry bundle hold), and the checkpoints that were
  stored while it was the last one. Only the last segment is written to; the one before it is complete and durable
  before the next is begun.
- `append` is one write and one fsync; what it returned for is there after a power cut. What it refused is not there:
  a batch whose fsync failed is cut off before anything else is stored.
- After a crash the last segment may lose records that nobody was told about, and nothing else.

One thread at a time calls `append`; anybody may read.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from appliance import durable
from appliance.recorder.errors import LogDamaged, LogUnwritable

WIDTH = 256
_ENTRY, _CHECKPOINT = b"E", b"C"
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint of the first `size` entries: the signed note, byte for byte."""

    size: int
    note: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """What one segment holds."""

    entries: tuple[bytes, ...]
    checkpoints: tuple[Signed, ...]


@dataclass(slots=True)
class _Tail:
    """The segment that is written to. Readers take the whole object, so that a new one never shows half made."""

    number: int
    journal: durable.Journal
    records: list[bytes]
    entries: list[bytes]


class Segments:
    """The segments in a directory. `size` entries are durable; `checkpoint` is the last one stored."""

    def __init__(self, directory: Path) -> None:
        durable.make_dir(directory)
        durable.fsync_dir(directory.parent)  # whoever made it may have been killed before it did this
        self._directory = directory
        self._reading = Lock()
        self._kept: OrderedDict[int, Segment] = OrderedDict()
        self._broken = False
        self.checkpoint: Signed | None = None
        number = max(_numbers(directory), default=0)
        journal = durable.Journal(self._path(number))
        try:
            entries = list(_segment(journal.records, journal.path).entries)
            if len(entries) > WIDTH:
                raise LogDamaged(path=journal.path.name, why=f"it holds {len(entries)} entries")
        except BaseException:
            journal.close()
            raise
        self._tail = _Tail(number, journal, journal.records, entries)

    @property
    def size(self) -> int:
        tail = self._tail
        return tail.number * WIDTH + len(tail.entries)

    def load(self) -> Iterator[tuple[int, Segment]]:
        """Every segment from the first, read from the disk; once, before anything is appended."""
        for number in range(self._tail.number + 1):
            segment = self._read(number) if number < self._tail.number else self.segment(number)
            for one in segment.checkpoints:
                if self.checkpoint is not None and one.size < self.checkpoint.size:
                    why = f"a checkpoint of {one.size} follows one of {self.checkpoint.size}"
                    raise LogDamaged(path=self._path(number).name, why=why)
                self.checkpoint = one
            yield number, segment
        if self.checkpoint is not None and self.checkpoint.size > self.size:
            raise LogDamaged(path="log", why=f"{self.size} entries under a checkpoint of {self.checkpoint.size}")

    def room(self) -> int:
        """How many entries the next `append` takes."""
        return WIDTH - len(self._tail.entries) % WIDTH

    def append(self, entries: Sequence[bytes], checkpoints: Sequence[Signed]) -> None:
        """Store checkpoints and entries, at most `room()`; durable on return. LogUnwritable: none of them is."""
        records = [_CHECKPOINT + one.size.to_bytes(8, "big") + one.note for one in checkpoints]
        records += [_ENTRY + one for one in entries]
        try:
            if self._broken:
                self._tail.journal.rewrite(self._tail.records)
                self._broken = False
            if entries and len(self._tail.entries) == WIDTH:
                self._begin_next()
            try:
                self._tail.journal.append_many(records)
            except BaseException:
                # Whatever the file holds now, the next append starts by replacing it with what was durable before.
                self._broken = True
                raise
        except (durable.DurableError, OSError) as error:
            raise LogUnwritable(why=str(error)) from error
        self._tail.records += records
        self._tail.entries += entries
        if checkpoints:
            self.checkpoint = checkpoints[-1]

    def segment(self, number: int) -> Segment:
        """What a segment holds; the last one as it is now."""
        tail = self._tail
        if number == tail.number:
            return _segment(tuple(tail.records), tail.journal.path)
        with self._reading:
            found = self._kept.get(number)
            if found is None:
                found = self._kept[number] = self._read(number)
            self._kept.move_to_end(number)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found

    def entry(self, index: int) -> bytes:
        """The entry at an index below `size`."""
        number, at = divmod(index, WIDTH)
        tail = self._tail
        return tail.entries[at] if number == tail.number else self.segment(number).entries[at]

    def checkpoints_from(self, number: int) -> Iterator[Signed]:
        """The checkpoints stored in segment `number` and after, in order."""
        for one in range(number, self._tail.number + 1):
            yield from self.segment(one).checkpoints

    def free_bytes(self) -> int:
        """What the file system still has for us."""
        facts = os.statvfs(self._directory)
        return facts.f_bavail * facts.f_frsize

    def close(self) -> None:
        self._tail.journal.close()

    def _begin_next(self) -> None:
        journal = durable.Journal(self._path(self._tail.number + 1))
        if journal.records:
            journal.close()
            raise LogDamaged(path=journal.path.name, why="a segment that was not begun holds records")
        self._tail.journal.close()
        self._tail = _Tail(self._tail.number + 1, journal, [], [])

    def _read(self, number: int) -> Segment:
        path = self._path(number)
        segment = _segment(durable.read_journal(path), path)
        if len(segment.entries) != WIDTH:
            raise LogDamaged(path=path.name, why=f"it holds {len(segment.entries)} entries, and others follow it")
        return segment

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.log"


def entries_of(directory: Path) -> Iterator[bytes]:
    """Every entry that lies in a directory of segments, in order, for a reader that is not the recorder."""
    numbers = _numbers(directory)
    for number in numbers:
        path = directory / f"{number:08d}.log"
        segment = _segment(durable.read_journal(path), path)
        if len(segment.entries) != WIDTH and number != numbers[-1]:
            raise LogDamaged(path=path.name, why=f"it holds {len(segment.entries)} entries, and others follow it")
        yield from segment.entries


def _numbers(directory: Path) -> list[int]:
    found = sorted(int(path.stem) for path in directory.glob("*.log") if path.stem.isdecimal())
    if found != list(range(len(found))):
        missing = min(set(range(found[-1])) - set(found), default=0)
        raise LogDamaged(path=f"{missing:08d}.log", why="it is missing, and later ones are there")
    return found


def _segment(records: Sequence[bytes], path: Path) -> Segment:
    entries: list[bytes] = []
    checkpoints: list[Signed] = []
    for record in records:
        kind, body = record[:1], record[1:]
        if kind == _ENTRY:
            entries.append(body)
        elif kind == _CHECKPOINT and len(body) > 8:
            checkpoints.append(Signed(int.from_bytes(body[:8], "big"), body[8:]))
        else:
            raise LogDamaged(path=path.name, why=f"it holds a record of the unknown kind {kind!r}")
    return Segment(tuple(entries), tuple(checkpoints))

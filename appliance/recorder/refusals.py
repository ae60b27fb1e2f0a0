"""The refusal journal: what was refused while nothing could be signed, chained by hashes, until it is in the log.

- A record is durable when `add` returns, and linked to all before it: `head_n = SHA-256(head_(n-1) || record)`.
- It leaves the journal when, and only when, the batch that holds it is durable in the log: the log's own count says
  which records those are, so a crash between the two neither loses a record nor commits it twice.
- The journal is bounded: at most `LIMIT` records wait. Past that, nothing more is refused silently: `add` refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import statement, strict_json, tables
from appliance.evidence.errors import EvidenceError
from appliance.recorder.errors import (
    LogUnwritable,
    RefusalFieldWrong,
    RefusalJournalDiffers,
    RefusalJournalFull,
)
from appliance.recorder.registry import JournalState

LIMIT = 4096
_BATCH_RECORDS = 512
_BATCH_BYTES = 40_000  # leaves room for station, clock and keys in an entry of 65,535 bytes of base64


@dataclass(frozen=True, slots=True)
class Pending:
    """Records to be signed as one batch: `first` to `last`, chained from `previous` to `head`."""

    first: int
    last: int
    previous: str
    head: str
    records: tuple[bytes, ...]


class RefusalJournal:
    """The journal in a file. Threads may share it."""

    def __init__(self, path: Path, committed: JournalState) -> None:
        self._lock = Lock()
        self._journal = durable.Journal(path)
        try:
            self._base, self._previous, self._records = _read(self._journal.records)
            self._journal.records = []
            self._heads = _heads(self._previous, self._records)
            self._reconcile(committed)
        except BaseException:
            self._journal.close()
            raise
        self._broken = False

    @property
    def count(self) -> int:
        """How many records there ever were."""
        return self._base + len(self._records)

    @property
    def waiting(self) -> int:
        """How many are not in the log."""
        return len(self._records)

    def presses(self) -> frozenset[str]:
        """The presses that waiting records name."""
        with self._lock:
            named = {strict_json.decode(one)["press"] for one in self._records}  # type: ignore[index]  # our own record
        return frozenset(one for one in named if one is not None)

    def add(self, record: Mapping[str, Any]) -> int:
        """Add a record (without its number); durable on return. Its number."""
        with self._lock:
            if len(self._records) >= LIMIT:
                raise RefusalJournalFull(waiting=len(self._records), limit=LIMIT)
            numbered = {**record, "n": self.count}
            try:
                line = strict_json.encode(numbered)
                tables.JOURNAL_RECORD.read(line)  # a record that no batch may hold would block all after it
            except EvidenceError as error:
                raise RefusalFieldWrong(why=str(error)) from error
            try:
                if self._broken:
                    self._rewrite()
                self._broken = True
                self._journal.append(line)
                self._broken = False
            except (durable.DurableError, OSError) as error:
                raise LogUnwritable(why=f"refusal journal: {error}") from error
            self._heads.append(statement.chain(self._head, [numbered]))
            self._records.append(line)
            return self.count - 1

    def next_batch(self) -> Pending | None:
        """The oldest waiting records that fit one entry; None when there are none."""
        with self._lock:
            size = taken = 0
            for line in self._records[:_BATCH_RECORDS]:
                size += len(line) + 1
                if size > _BATCH_BYTES:
                    break
                taken += 1
            if not taken:
                return None
            records = tuple(self._records[:taken])
            return Pending(self._base, self._base + taken - 1, self._previous, self._heads[taken - 1], records)

    def forget(self, committed: JournalState) -> None:
        """Drop the records that are durable in the log."""
        with self._lock:
            try:
                self._reconcile(committed)
            except (durable.DurableError, OSError):
                # They are in the log; the file is cut at the next opportunity.
                self._broken = True

    def close(self) -> None:
        self._journal.close()

    @property
    def _head(self) -> str:
        return self._heads[-1] if self._heads else self._previous

    def _reconcile(self, committed: JournalState) -> None:
        if committed.count < self._base:
            raise RefusalJournalDiffers(n=committed.count, why="the log has lost records that were committed")
        done = min(committed.count - self._base, len(self._records))
        if done == committed.count - self._base:
            head = self._heads[done - 1] if done else self._previous
            if head != committed.head:
                raise RefusalJournalDiffers(n=committed.count, why="the chains differ")
        if committed.count == self._base:
            return
        self._base, self._previous = committed.count, committed.head
        del self._records[:done]
        self._heads = _heads(self._previous, self._records)
        self._rewrite()

    def _rewrite(self) -> None:
        base = strict_json.encode({"base": self._base, "head": self._previous})
        self._journal.rewrite([base, *self._records])


def _read(records: list[bytes]) -> tuple[int, str, list[bytes]]:
    """Number of the first record, the head before it, and the records as stored."""
    if not records:
        return 0, statement.FIRST_HEAD, []
    try:
        first: Any = strict_json.decode(records[0])
        if first.keys() == {"base", "head"}:
            return int(first["base"]), str(first["head"]), records[1:]
    except (ProoflineError, AttributeError) as error:
        raise RefusalJournalDiffers(n=0, why=str(error)) from error
    return 0, statement.FIRST_HEAD, list(records)


def end_of(records: list[bytes]) -> tuple[int, str]:
    """How many refusals there ever were, and the head of their chain, by what the journal holds."""
    base, previous, waiting = _read(records)
    return base + len(waiting), _heads(previous, waiting)[-1] if waiting else previous


def _heads(previous: str, records: list[bytes]) -> list[str]:
    heads: list[str] = []
    for line in records:
        previous = statement.chain(previous, [strict_json.decode(line)])  # type: ignore[list-item]  # our own record
        heads.append(previous)
    return heads

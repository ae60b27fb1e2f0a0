"""The log's writing end: entries go in from many threads, and share the disk's and the signer's latency.

    log = EntryLog(state, published, signer)
    appended = log.append(entry)                 # durable and covered by a signed checkpoint on return
    log.show(appended.index)                     # and to be seen in the published log

- `stage` gives an entry its index; `settle` returns when it is durable; `cover` when a signed checkpoint over it is
  durable; `show` when it is published. Whoever waits first does the work for all who wait (leader and followers): one
  fsync for all entries staged by then, one signature for all entries durable by then, one publication of all that is
  covered by then. A checkpoint is stored with the next entries.
- An entry that could not be made durable is not in the log, and neither is anything staged after it: their `undo`
  functions are called, latest first, before anybody can stage again. So whoever decides under `deciding()` what may
  be staged decides on a log that is as it seems.
- The signer's last tree must be a prefix of this one. The signer decides for itself by the consistency proof; if it
  has signed more than there is, the log was rolled back and nothing is covered any more.
- A signer that is silent, or a process killed at any point, leaves entries that are durable and not covered: `keep`,
  run beside the rest, covers and publishes what is left. The published view is mended when the log is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, RLock
from time import monotonic
from typing import Protocol

from appliance.errors import ProoflineError
from appliance.evidence import merkle, tiles
from appliance.recorder.errors import (
    EntryTooLarge,
    LogBehindSigner,
    LogForked,
    LogUnwritable,
    NotYetCheckpointed,
)
from appliance.recorder.segments import WIDTH, Segments, Signed
from appliance.recorder.tree import Tree
from appliance.recorder.view import Appended, View

log = logging.getLogger("proofline.recorder")


class CheckpointSigner(Protocol):
    """Signs trees; each must continue the one before. Refuses with a ProoflineError, also when it is silent."""

    def last(self) -> tuple[int, bytes | None]:
        """Size and root of the last tree signed; (0, None) before the first."""
        ...

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> bytes:
        """The checkpoint of that tree as a signed note, already checked."""
        ...


@dataclass(slots=True, eq=False)
class Staged:
    """An entry, or a checkpoint, on its way to the disk."""

    index: int
    entry: bytes
    press: str | None
    undo: Callable[[], None]
    covering: bool
    checkpoint: Signed | None = None
    done: bool = False
    error: ProoflineError | None = None


@dataclass(slots=True, eq=False)
class _Attempt:
    """One try to have a tree signed; those who wait for it share its outcome."""

    size: int
    done: bool = False
    error: ProoflineError | None = None


Visit = Callable[[int, Sequence[bytes], bytes | None], Sequence[str | None]]
"""Called for each stored segment in order: index of its first entry, entries, subtree hash when it is complete. Gives
for each entry the press whose manifest it is, or None."""


class EntryLog:
    """The log in `state` (its own directory) and its published view. Threads may share it."""

    def __init__(self, state: Path, published: Path, signer: CheckpointSigner, *, visit: Visit = lambda *_: ()) -> None:
        self._signer = signer
        self._lock = RLock()
        # Who waits for what: many threads wait, and each waking costs more than what it waits for.
        self._written, self._covering, self._shown, self._gathered = (Condition(self._lock) for _ in range(4))
        self._tree = Tree()
        self._segments = Segments(state / "log")
        self._view = View(published, state / "published", self._segments, self._tree)
        try:
            for number, segment in self._segments.load():
                for entry in segment.entries:
                    self._tree.append(merkle.leaf_hash(entry))
                whole = self._tree.node(8, number) if len(segment.entries) == WIDTH else None
                first = number * WIDTH
                for index, press in enumerate(visit(first, segment.entries, whole), first):
                    if press is not None:
                        self._view.name(index, press)
        except BaseException:
            self._segments.close()
            raise
        self._size = self._segments.size
        self._staged: list[Staged] = []
        self._next = self._size
        self._writing = False
        self._to_cover, self._last_signing_s = 0, 0.0
        self._attempt: _Attempt | None = None
        self._signed: tuple[int, bytes | None] | None = None
        self._covered = self._segments.checkpoint.size if self._segments.checkpoint is not None else 0
        self._wanted = 0
        self._publishing = False
        self.write_fault: LogUnwritable | None = None
        """Why the log could not be written; None since it could."""
        self.cover_fault: ProoflineError | None = None
        """Why the last try to have a tree signed failed; None when it did not."""
        self._view.mend()

    @property
    def size(self) -> int:
        """Durable entries."""
        return self._size

    @property
    def covered(self) -> int:
        """Entries under the last durable checkpoint."""
        return self._covered

    @property
    def published(self) -> int:
        """Entries in the published log."""
        return self._view.size

    @property
    def publish_fault(self) -> LogUnwritable | None:
        """Why the published view is behind; None when it is not."""
        return self._view.fault

    @property
    def next_index(self) -> int:
        """The index that the next `stage` gives; stands still while `deciding()` is held."""
        return self._next

    @property
    def root(self) -> bytes:
        """The root of the durable entries."""
        return self._tree.root(self._size)

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """While it is held nothing is staged or undone by others."""
        with self._lock:
            yield

    def stage(
        self,
        entry: bytes,
        *,
        press: str | None = None,
        undo: Callable[[], None] = lambda: None,
        covering: bool = False,
    ) -> Staged:
        """Put an entry in line. `press`: it is this press's manifest, whose proof is to be published. `covering`:
        nobody hears that it is durable before it is covered."""
        if not 0 < len(entry) <= tiles.MAX_ENTRY_BYTES:
            raise EntryTooLarge(size=len(entry), limit=tiles.MAX_ENTRY_BYTES)
        with self._lock:
            staged = Staged(self._next, entry, press, undo, covering)
            self._next += 1
            self._staged.append(staged)
            if not covering:
                self._gathered.notify()
            return staged

    def settle(self, staged: Staged) -> None:
        """Return when what was staged is durable; LogUnwritable when it never will be."""
        while True:
            with self._lock:
                while not staged.done and self._writing:
                    self._written.wait()
                if staged.done:
                    break
            self._lead(self._write)
        if staged.error is not None:
            raise staged.error

    def wait_durable(self, index: int) -> None:
        """Return when an entry that somebody staged is durable; LogUnwritable when it was given up."""
        with self._lock:
            staged = next((one for one in self._staged if one.index == index), None)
        if staged is not None:
            self.settle(staged)
        elif index >= self._size:
            raise self.write_fault or LogUnwritable(why=f"entry {index} is not there")

    def cover(self, index: int) -> None:
        """Return when a durable checkpoint covers a durable entry; NotYetCheckpointed otherwise."""
        with self._lock:
            self._wanted = max(self._wanted, index + 1)
        while True:
            with self._lock:
                if index < self._covered:
                    return
                attempt = self._attempt
                if attempt is None:
                    attempt = self._attempt = _Attempt(self._size)
                    leading = True
                else:
                    leading = False
                    while not attempt.done:
                        self._covering.wait()
            if leading:
                self._try(attempt)
            if attempt.error is not None and index < attempt.size:
                raise NotYetCheckpointed(index=index, why=str(attempt.error)) from attempt.error

    def show(self, index: int) -> None:
        """Return when a covered entry is published, or cannot be for now (`publish_fault` says why)."""
        while not self._publish_once(lambda: index < self._view.size or self._view.fault is not None):
            pass

    def _publish_once(self, enough: Callable[[], bool]) -> bool:
        """Wait for whoever publishes; then, unless that is enough, publish. Whether it was enough."""
        with self._lock:
            while self._publishing:
                self._shown.wait()
            if enough():
                return True
            self._publishing = True
        try:
            self._view.publish()
        finally:
            with self._lock:
                self._publishing = False
                self._shown.notify_all()
        return False

    def append(self, entry: bytes, *, press: str | None = None) -> Appended:
        """Stage, settle and cover one entry."""
        staged = self.stage(entry, press=press, covering=True)
        self.settle(staged)
        self.cover(staged.index)
        return self.appended(staged.index)

    def appended(self, index: int) -> Appended:
        """Where a covered entry is, and its proof."""
        return self._view.appended(index)

    def entry(self, index: int) -> bytes:
        """A durable entry's bytes."""
        return self._segments.entry(index)

    def want(self, size: int) -> None:
        """Say that the first `size` entries should be covered, by `catch_up` if by nobody else."""
        with self._lock:
            self._wanted = max(self._wanted, min(size, self._size))

    def catch_up(self) -> None:
        """Do what is left undone: cover entries that wait for it, mend and settle the published view."""
        if self.write_fault is not None:
            self._lead(self._write)
        if self._wanted > self._covered:
            self.cover(self._wanted - 1)
        if self._view.size < self._covered or self._view.fault is not None:
            self._publish_once(lambda: False)
        self._view.settle()

    def keep(
        self,
        stop: Event,
        *,
        chores: Callable[[], None] = lambda: None,
        rest_s: float = 0.1,
        lag_s: float = 30.0,
        retry_s: float = 2.0,
    ) -> None:
        """`catch_up`, and the caller's `chores`, until `stop`; failures are tried again every `retry_s`.

        File system journals make publishing and fsync wait for each other: while entries come in as fast as the disk
        takes them publishing waits for a pause, at most `lag_s`. Who waits in `show` does not wait for that.
        """
        last, since = -1, monotonic()
        while not stop.wait(rest_s):
            now, last = last, self._next
            if now != last and monotonic() - since < lag_s:
                continue
            since = monotonic()
            try:
                self.catch_up()
                chores()
            except ProoflineError as error:
                log.info("%s", error)
                stop.wait(retry_s)
                continue
            if self.write_fault is not None or self.publish_fault is not None:
                stop.wait(retry_s)

    def free_bytes(self) -> int:
        """Of the fuller of the two file systems."""
        return min(self._segments.free_bytes(), self._view.free_bytes())

    def close(self) -> None:
        """Let go of the files; nothing may be under way."""
        self._segments.close()

    # -- the disk ------------------------------------------------------------------------------------------------

    def _lead(self, work: Callable[[], None]) -> None:
        """Do the writing for everybody; return at once where somebody else does it."""
        with self._lock:
            if self._writing:
                return
            self._writing = True
        try:
            work()
        finally:
            with self._lock:
                self._writing = False
                self._written.notify_all()

    def _write(self) -> None:
        with self._lock:
            self._gather()
            batch = _up_to(self._staged, self._segments.room())
        entries = [one.entry for one in batch if one.checkpoint is None]
        try:
            self._segments.append(entries, [one.checkpoint for one in batch if one.checkpoint is not None])
        except LogUnwritable as error:
            self._give_up(error)
            return
        with self._lock:
            for one in batch:
                one.done = True
                if one.covering:
                    self._to_cover = one.index + 1
                if one.checkpoint is None:
                    self._tree.append(merkle.leaf_hash(one.entry))
                    if one.press is not None:
                        self._view.name(one.index, one.press)
            del self._staged[: len(batch)]
            self._size = self._segments.size
            self.write_fault = None

    def _gather(self) -> None:
        """Do not spend a sync on entries that wait for a signature when one is being made that needs a sync, too.

        At most twice as long as the last signature took, and 20 ms; never while somebody waits for durability alone.
        """
        end = monotonic() + min(2 * self._last_signing_s, 0.02)
        while self._to_cover > self._covered and all(one.covering for one in self._staged):
            left = end - monotonic()
            if left <= 0:
                return
            self._gathered.wait(left)

    def _give_up(self, error: LogUnwritable) -> None:
        """Nothing that is staged will be there: later ones were decided on earlier ones."""
        with self._lock:
            for one in reversed(self._staged):
                one.error, one.done = error, True
                one.undo()
            self._staged.clear()
            self._next = self._size
            self.write_fault = error

    # -- the signer ----------------------------------------------------------------------------------------------

    def _try(self, attempt: _Attempt) -> None:
        try:
            self._checkpoint(attempt.size)
            self.cover_fault = None
        except ProoflineError as error:
            attempt.error = self.cover_fault = error
        finally:
            with self._lock:
                attempt.done, self._attempt = True, None
                self._covering.notify_all()
                self._gathered.notify()

    def _checkpoint(self, size: int) -> None:
        started = monotonic()
        known, self._signed = self._signed, None  # until it has answered nobody knows what it signed last
        old, root = known if known is not None else self.ask_signer()
        self.check_signed(old, root)
        note = self._signer.sign(size, self._tree.root(size), self._tree.consistency(old, size))
        self._signed = size, self._tree.root(size)
        stored = Staged(-1, b"", None, lambda: None, covering=False, checkpoint=Signed(size, note))
        with self._lock:
            self._last_signing_s = monotonic() - started
            self._staged.append(stored)
            self._gathered.notify()
        self.settle(stored)
        self._view.signed(Signed(size, note))
        with self._lock:
            self._covered = size

    def ask_signer(self) -> tuple[int, bytes | None]:
        """Size and root of the tree that the signer signed last."""
        return self._signer.last()

    def check_signed(self, size: int, root: bytes | None) -> None:
        """Refuse a signer that has signed more than, or something else than, what is here."""
        fault: ProoflineError | None = None
        if size > self._size:
            fault = LogBehindSigner(size=self._size, signed=size)
        elif root is not None and self._tree.root(size) != root:
            fault = LogForked(size=size)
        if fault is not None:
            self.cover_fault = fault
            raise fault


def _up_to(staged: Sequence[Staged], room: int) -> list[Staged]:
    """The first of those staged: no more entries than there is room for."""
    batch: list[Staged] = []
    for one in staged:
        if one.checkpoint is None:
            if room == 0:
                break
            room -= 1
        batch.append(one)
    return batch

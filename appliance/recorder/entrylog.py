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
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event
from time import monotonic
from typing import Protocol

from appliance.errors import ProoflineError
from appliance.evidence import merkle, proof, tiles
from appliance.recorder.errors import (
    EntryTooLarge,
    LogBehindSigner,
    LogForked,
    LogUnwritable,
    NotYetCheckpointed,
)
from appliance.recorder.published import Published
from appliance.recorder.segments import WIDTH, Segments, Signed
from appliance.recorder.tree import Tree

log = logging.getLogger("proofline.recorder")


class CheckpointSigner(Protocol):
    """Signs trees; each must continue the one before. Refuses with a ProoflineError, also when it is silent."""

    def last(self) -> tuple[int, bytes | None]:
        """Size and root of the last tree signed; (0, None) before the first."""
        ...

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> bytes:
        """The checkpoint of that tree as a signed note, already checked."""
        ...


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry is: its index, and the first checkpoint over it with the proof (a tlog-proof file)."""

    index: int
    size: int
    proof: bytes


@dataclass(slots=True, eq=False)
class Staged:
    """An entry, or a checkpoint, on its way to the disk."""

    index: int
    entry: bytes
    press: str | None
    undo: Callable[[], None]
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
        self._changed = Condition()
        self._tree = Tree()
        self._presses: list[tuple[int, str]] = []
        self._segments = Segments(state / "log")
        try:
            for number, segment in self._segments.load():
                for entry in segment.entries:
                    self._tree.append(merkle.leaf_hash(entry))
                whole = self._tree.node(8, number) if len(segment.entries) == WIDTH else None
                first = number * WIDTH
                names = visit(first, segment.entries, whole)
                self._presses += [(first + at, press) for at, press in enumerate(names) if press is not None]
        except BaseException:
            self._segments.close()
            raise
        self._size = self._segments.size
        self._staged: list[Staged] = []
        self._next = self._size
        self._writing = False
        self._last_batch, self._last_write_s = 1, 0.0
        self._attempt: _Attempt | None = None
        self._signed: tuple[int, bytes | None] | None = None
        self._covered = self._segments.checkpoint.size if self._segments.checkpoint is not None else 0
        self._wanted = 0
        self._view = Published(published, state / "published")
        self._published_size = 0
        self._publishing = False
        self._recent: deque[Signed] = deque(maxlen=64)
        self.write_fault: LogUnwritable | None = None
        """Why the log could not be written; None since it could."""
        self.publish_fault: LogUnwritable | None = None
        """Why the published view is behind; None when it is not."""
        self.cover_fault: ProoflineError | None = None
        """Why the last try to have a tree signed failed; None when it did not."""
        self._mend()

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
        return self._published_size

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
        with self._changed:
            yield

    def stage(self, entry: bytes, *, press: str | None = None, undo: Callable[[], None] = lambda: None) -> Staged:
        """Put an entry in line. `press`: it is this press's manifest, whose proof is to be published."""
        if not 0 < len(entry) <= tiles.MAX_ENTRY_BYTES:
            raise EntryTooLarge(size=len(entry), limit=tiles.MAX_ENTRY_BYTES)
        with self._changed:
            staged = Staged(self._next, entry, press, undo)
            self._next += 1
            self._staged.append(staged)
            if len(self._staged) == self._last_batch:
                self._changed.notify_all()
            return staged

    def settle(self, staged: Staged) -> None:
        """Return when what was staged is durable; LogUnwritable when it never will be."""
        while True:
            with self._changed:
                while not staged.done and self._writing:
                    self._changed.wait()
                if staged.done:
                    break
            self._lead(self._write)
        if staged.error is not None:
            raise staged.error

    def wait_durable(self, index: int) -> None:
        """Return when an entry that somebody staged is durable; LogUnwritable when it was given up."""
        with self._changed:
            staged = next((one for one in self._staged if one.index == index), None)
        if staged is not None:
            self.settle(staged)
        elif index >= self._size:
            raise self.write_fault or LogUnwritable(why=f"entry {index} is not there")

    def cover(self, index: int) -> None:
        """Return when a durable checkpoint covers a durable entry; NotYetCheckpointed otherwise."""
        with self._changed:
            self._wanted = max(self._wanted, index + 1)
        while True:
            with self._changed:
                if index < self._covered:
                    return
                attempt = self._attempt
                if attempt is None:
                    attempt = self._attempt = _Attempt(self._size)
                    leading = True
                else:
                    leading = False
                    while not attempt.done:
                        self._changed.wait()
            if leading:
                self._try(attempt)
            if attempt.error is not None and index < attempt.size:
                raise NotYetCheckpointed(index=index, why=str(attempt.error)) from attempt.error

    def show(self, index: int) -> None:
        """Return when a covered entry is published, or cannot be for now (`publish_fault` says why)."""
        while True:
            with self._changed:
                while self._publishing:
                    self._changed.wait()
                if index < self._published_size or self.publish_fault is not None:
                    return
                self._publishing = True
            self._publish()

    def append(self, entry: bytes, *, press: str | None = None) -> Appended:
        """Stage, settle and cover one entry."""
        staged = self.stage(entry, press=press)
        self.settle(staged)
        self.cover(staged.index)
        return self.appended(staged.index)

    def appended(self, index: int) -> Appended:
        """Where a covered entry is, and its proof."""
        signed = self._first_over(index)
        return Appended(index, signed.size, self._proof(index, signed))

    def entry(self, index: int) -> bytes:
        """A durable entry's bytes."""
        return self._segments.entry(index)

    def want(self, size: int) -> None:
        """Say that the first `size` entries should be covered, by `catch_up` if by nobody else."""
        with self._changed:
            self._wanted = max(self._wanted, min(size, self._size))

    def catch_up(self) -> None:
        """Do what is left undone: cover entries that wait for it, mend and settle the published view."""
        if self.write_fault is not None:
            self._lead(self._write)
        if self._wanted > self._covered:
            self.cover(self._wanted - 1)
        if self._published_size < self._covered:
            self.publish_fault = None
            self.show(self._covered - 1)
        complete = self._published_size // WIDTH * WIDTH
        if complete > self._view.settled:
            self._view.settle(complete)

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
        with self._changed:
            if self._writing:
                return
            self._writing = True
        try:
            work()
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _write(self) -> None:
        with self._changed:
            self._gather()
            batch = _up_to(self._staged, self._segments.room())
        started = monotonic()
        entries = [one.entry for one in batch if one.checkpoint is None]
        try:
            self._segments.append(entries, [one.checkpoint for one in batch if one.checkpoint is not None])
        except LogUnwritable as error:
            self._give_up(error)
            return
        with self._changed:
            for one in batch:
                one.done = True
                if one.checkpoint is None:
                    self._tree.append(merkle.leaf_hash(one.entry))
                    if one.press is not None:
                        self._presses.append((one.index, one.press))
            self._last_batch, self._last_write_s = len(batch), monotonic() - started
            del self._staged[: len(batch)]
            self._size = self._segments.size
            self.write_fault = None

    def _gather(self) -> None:
        """Where many came together last time, let them come together again: at most the time of one write."""
        end = monotonic() + self._last_write_s
        while len(self._staged) < self._last_batch and (left := end - monotonic()) > 0:
            self._changed.wait(left)

    def _give_up(self, error: LogUnwritable) -> None:
        """Nothing that is staged will be there: later ones were decided on earlier ones."""
        with self._changed:
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
            with self._changed:
                attempt.done, self._attempt = True, None
                self._changed.notify_all()

    def _checkpoint(self, size: int) -> None:
        known, self._signed = self._signed, None  # until it has answered nobody knows what it signed last
        old, root = known if known is not None else self.ask_signer()
        self.check_signed(old, root)
        note = self._signer.sign(size, self._tree.root(size), self._tree.consistency(old, size))
        self._signed = size, self._tree.root(size)
        stored = Staged(-1, b"", None, lambda: None, checkpoint=Signed(size, note))
        with self._changed:
            self._staged.append(stored)
        self.settle(stored)
        self._recent.append(Signed(size, note))
        with self._changed:
            self._covered = size
            self._changed.notify_all()

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

    # -- the published view ----------------------------------------------------------------------------------------

    def bundle(self, index: int, width: int) -> bytes:
        """The entry bundle `index` as the published log has it."""
        return tiles.encode_bundle(self._segments.segment(index).entries[:width])

    def tile(self, level: int, index: int, width: int) -> bytes:
        """A hash tile's content."""
        return self._tree.tile(level, index, width)

    def _publish(self) -> None:
        """Publish up to the last checkpoint. A failure is remembered, not raised: the truth is safe."""
        old, signed = self._published_size, self._segments.checkpoint
        assert signed is not None
        low, high = (bisect_left(self._presses, (size, "")) for size in (old, signed.size))
        units = ((press, self.entry(index), self.appended(index).proof) for index, press in self._presses[low:high])
        fault = None
        try:
            self._view.publish(old, signed.size, signed.note, self, units)
        except OSError as error:
            fault = LogUnwritable(why=f"published view: {error}")
        finally:
            with self._changed:
                self._publishing, self.publish_fault = False, fault
                self._published_size = old if fault is not None else signed.size
                self._changed.notify_all()

    def _mend(self) -> None:
        signed = self._segments.checkpoint
        try:
            self._view.mend(self._covered, signed.note if signed is not None else None, self)
            covered = ((index, press) for index, press in self._presses if index < self._covered)
            for index, press in self._view.missing_units(covered):
                self._view.place_unit(press, self.entry(index), self._proof(index, self._first_over(index)))
        except OSError as error:
            self.publish_fault = LogUnwritable(why=f"published view: {error}")
            return
        self._published_size = self._covered

    def _first_over(self, index: int) -> Signed:
        recent = tuple(self._recent)
        at = bisect_right(recent, index, key=lambda one: one.size)
        if 0 < at < len(recent):
            return recent[at]
        return next(one for one in self._segments.checkpoints_from(index // WIDTH) if one.size > index)

    def _proof(self, index: int, signed: Signed) -> bytes:
        return proof.encode(proof.Proof(index, self._tree.inclusion(index, signed.size), signed.note))


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

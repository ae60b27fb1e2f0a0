"""What can be shown of the log: proofs, and the published view of everything under the last checkpoint.

- A unit's proof names the first checkpoint over its entry, so it is the same however often it is made again.
- A failure to publish is remembered in `fault`, never raised: the truth is safe, and the view is mended later.
- One thread at a time publishes or mends; anybody may ask for proofs of covered entries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.evidence import proof, tiles
from appliance.recorder.errors import LogUnwritable
from appliance.recorder.published import Published
from appliance.recorder.segments import WIDTH, Segments, Signed
from appliance.recorder.tree import Tree


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry is: its index, and the first checkpoint over it with the proof (a tlog-proof file)."""

    index: int
    size: int
    proof: bytes


class View:
    """The view of `segments` and their `tree` in a directory; `mark` is a file in the recorder's own state."""

    def __init__(self, directory: Path, mark: Path, segments: Segments, tree: Tree) -> None:
        self._published = Published(directory, mark)
        self._segments, self._tree = segments, tree
        self._presses: list[tuple[int, str]] = []
        self._recent: deque[Signed] = deque(maxlen=64)
        self.size = 0
        """Entries in the published log."""
        self.fault: LogUnwritable | None = None
        """Why the published view is behind; None when it is not."""

    def name(self, index: int, press: str) -> None:
        """Say that an entry is the manifest of a press. In order of index."""
        self._presses.append((index, press))

    def signed(self, signed: Signed) -> None:
        """Say that a checkpoint was stored."""
        self._recent.append(signed)

    def appended(self, index: int) -> Appended:
        """Where a covered entry is, and its proof."""
        signed = self._first_over(index)
        return Appended(index, signed.size, self._proof(index, signed))

    def publish(self) -> None:
        """Publish up to the last checkpoint; after a failure, mend first."""
        if self.fault is not None:
            self.mend()
            return
        signed = self._segments.checkpoint
        assert signed is not None
        low, high = (bisect_left(self._presses, (size, "")) for size in (self.size, signed.size))
        units = ((press, *self._files(index)) for index, press in self._presses[low:high])
        try:
            self._published.publish(self.size, signed.size, signed.note, self, units)
        except OSError as error:
            self.fault = LogUnwritable(why=f"published view: {error}")
            return
        self.size = signed.size

    def mend(self) -> None:
        """Make everything that is published what it should be."""
        signed = self._segments.checkpoint
        size, note = (signed.size, signed.note) if signed is not None else (0, None)
        try:
            self._published.mend(size, note, self)
            covered = self._presses[: bisect_left(self._presses, (size, ""))]
            self._mend_units(self._published.missing_units(iter(covered)))
        except OSError as error:
            self.fault = LogUnwritable(why=f"published view: {error}")
            return
        self.size, self.fault = size, None

    def settle(self) -> None:
        """Make durable what is published of complete segments, if that is not so yet."""
        complete = self.size // WIDTH * WIDTH
        if complete > self._published.settled:
            self._published.settle(complete)

    def free_bytes(self) -> int:
        return self._published.free_bytes()

    def bundle(self, index: int, width: int) -> bytes:
        """An entry bundle's content."""
        return tiles.encode_bundle(self._segments.segment(index).entries[:width])

    def tile(self, level: int, index: int, width: int) -> bytes:
        """A hash tile's content."""
        return self._tree.tile(level, index, width)

    def _mend_units(self, units: Iterator[tuple[int, str]]) -> None:
        """Make the files of units again, in order: their checkpoints are read once, however many there are."""
        checkpoints: Iterator[Signed] | None = None
        over = Signed(0, b"")
        for index, press in units:
            if checkpoints is None:
                checkpoints = self._segments.checkpoints_from(index // WIDTH)
            while over.size <= index:
                over = next(checkpoints)
            self._published.place_unit(press, self._segments.entry(index), self._proof(index, over))

    def _proof(self, index: int, signed: Signed) -> bytes:
        return proof.encode(proof.Proof(index, self._tree.inclusion(index, signed.size), signed.note))

    def _files(self, index: int) -> tuple[bytes, bytes]:
        return self._segments.entry(index), self.appended(index).proof

    def _first_over(self, index: int) -> Signed:
        recent = tuple(self._recent)
        at = bisect_right(recent, index, key=lambda one: one.size)
        if 0 < at < len(recent):
            return recent[at]
        return next(one for one in self._segments.checkpoints_from(index // WIDTH) if one.size > index)

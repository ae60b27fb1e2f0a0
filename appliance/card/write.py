"""Writes a card so that it is whole, or can be seen not to be.

- The image is the build record's before the first byte of the card changes, and it is hashed again while it is copied.
- The card's two partition tables go first and come last. In between it has none: no firmware, kernel or boot script
  takes it for a card, and no second copy of an old table brings the old one back.
- Everything between is written, zeros included, and so is the beginning of where the state partition will be: what a
  used card had there (another station's state, by its label) is gone and is never adopted.
- Everything is flushed, dropped from memory, read back and compared *before* the table is written; the table is read
  back after. So a card with a good table is a card that was read back equal.
- The table is the image's, fitted to the card's size: its second copy stands at the card's end, and none in the middle.

Power may go, or the card be pulled, at any instruction: before the last sector is written there is no table (its first
sector says so), and writing anew begins from the beginning.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.card import gpt
from appliance.card.errors import (
    ArtefactWrong,
    CardInputUnreadable,
    ImageChanged,
    LayoutForeign,
    ReadBackDiffers,
)
from appliance.card.gpt import Partition
from appliance.card.layout import FIRST_MIB, MIB, SECTOR, SITE, STATES, end_mib, places
from appliance.card.medium import Medium
from appliance.card.progress import Progress
from appliance.card.record import DISK, BuildRecord

WIPED_MIB = 64
"""From where the state partition starts: more than any superblock or LUKS header needs."""
_STEP_MIB = 4
_FLUSH_MIB = 32
_ZEROS = bytes(MIB)


@dataclass(frozen=True)
class Written:
    """`digest` of the image, in hex; `data`: bytes that are not zero, by the MiB; `end` of what was read back."""

    digest: str
    data: int
    end: int


def write_card(image: Path, record: BuildRecord, site: bytes, medium: Medium, progress: Progress) -> Written:
    """Write `image` and the site partition's content to a medium that may be written. Refusals of this room."""
    try:
        with image.open("rb") as file:
            digest = _digest(file, progress)
            if digest != record.artefacts[DISK]:
                raise ArtefactWrong(name=image.name, found=digest, expected=record.artefacts[DISK])
            _check_image(file)
            medium.clear()
            for offset in (0, medium.device.size - MIB):
                medium.zero(offset, MIB)
            medium.flush()
            head, blocks, after = _copy(file, site, medium, progress)
    except OSError as error:
        raise CardInputUnreadable(path=os.fspath(image), why=error.strerror or "error") from None
    if after != digest:
        raise ImageChanged(name=image.name, found=digest, now=after)
    _compare(medium, blocks, progress)
    _put_tables(medium, head)
    medium.announce()
    data = sum(one is not None for one in blocks) * MIB
    return Written(digest, data, (FIRST_MIB + len(blocks)) * MIB)


def check_layout(found: Sequence[Partition]) -> None:
    """These partitions are a station's; one for its state may follow. LayoutForeign."""
    expected = [Partition(name, kind, start * MIB, mib * MIB) for name, kind, start, mib in places()]
    for wanted, one in zip(expected, found, strict=False):
        if wanted != one:
            raise LayoutForeign(why=f"{one.name!r} at {one.start}, {one.size} bytes, where {wanted.name!r} should be")
    if [one.name for one in found[len(expected) :]] not in ([], *([one] for one in STATES)):
        raise LayoutForeign(why=f"{len(found)} partitions, not {len(expected)} and perhaps one for the state")
    if len(found) < len(expected):
        raise LayoutForeign(why=f"{len(found)} partitions, not {len(expected)}")


def _digest(file: BinaryIO, progress: Progress) -> str:
    size = os.fstat(file.fileno()).st_size
    progress.begin("checking the image", size)
    hashed, done = hashlib.sha256(), 0
    while block := file.read(_STEP_MIB * MIB):
        hashed.update(block)
        done += len(block)
        progress.reach(done)
    return hashed.hexdigest()


def _check_image(file: BinaryIO) -> None:
    """The image is a station's card, so that what is fitted and put in goes where it should."""
    size = os.fstat(file.fileno()).st_size
    check_layout(gpt.parse(lambda offset, length: os.pread(file.fileno(), length, offset), size))
    if size != (end_mib() + 1) * MIB:
        raise LayoutForeign(why=f"the image has {size} bytes, not one MiB behind the last partition")


def _copy(file: BinaryIO, site: bytes, medium: Medium, progress: Progress) -> tuple[bytes, list[bytes | None], str]:
    """Write all but the tables. The image's first MiB; for each MiB behind it the digest of what was written, None for
    zeros; and the image's SHA-256 as it was read for this."""
    file.seek(0)
    head = file.read(FIRST_MIB * MIB)
    hashed = hashlib.sha256(head)
    last = end_mib() + WIPED_MIB
    progress.begin("writing", (last - FIRST_MIB) * MIB)
    digests: list[bytes | None] = []
    runs = _Runs(medium)
    for number in range(FIRST_MIB, last):
        block = file.read(MIB) if number <= end_mib() else _ZEROS
        hashed.update(block if number <= end_mib() else b"")
        block = _replaced(number, block, site)
        empty = block == _ZEROS
        digests.append(None if empty else hashlib.sha256(block).digest())
        runs.add(number, None if empty else block)
        progress.reach((number - FIRST_MIB) * MIB)
    runs.end()
    medium.flush()
    progress.reach((last - FIRST_MIB) * MIB)
    return head, digests, hashed.hexdigest()


def _replaced(number: int, block: bytes, site: bytes) -> bytes:
    """The MiB as it is on the card: with the site's files, and without the image's own second table."""
    if number >= end_mib():
        return _ZEROS
    start, mib = next((start, mib) for name, _kind, start, mib in places() if name == SITE)
    if start <= number < start + mib:
        return site[(number - start) * MIB : (number - start + 1) * MIB].ljust(MIB, b"\0")
    return block


class _Runs:
    """Collects neighbouring MiB of a kind, so that a medium gets few and large orders."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._blocks: list[bytes | None] = []
        self._end = 0
        self._unflushed = 0

    def add(self, number: int, block: bytes | None) -> None:
        """The next MiB; None for zeros."""
        most = _STEP_MIB if block is not None else _FLUSH_MIB
        if self._blocks and ((self._blocks[-1] is None) != (block is None) or len(self._blocks) == most):
            self.end()
        self._blocks.append(block)
        self._end = number + 1

    def end(self) -> None:
        """Give away what was collected."""
        start = (self._end - len(self._blocks)) * MIB
        data = b"".join(block for block in self._blocks if block is not None)
        if data:
            self._medium.write(start, data)
        elif self._blocks:
            self._medium.zero(start, len(self._blocks) * MIB)
        self._blocks = []
        # now and then, so that the progress is that of the card and not of this machine's memory
        self._unflushed += len(data)
        if self._unflushed >= _FLUSH_MIB * MIB:
            self._unflushed = 0
            self._medium.flush()


def _compare(medium: Medium, blocks: Sequence[bytes | None], progress: Progress) -> None:
    """Everything that was written, read from the medium. ReadBackFailed, ReadBackDiffers."""
    progress.begin("reading back", len(blocks) * MIB)
    medium.forget()
    for index, expected in enumerate(blocks):
        at = (FIRST_MIB + index) * MIB
        found = medium.read(at, MIB)
        if (found != _ZEROS) if expected is None else (hashlib.sha256(found).digest() != expected):
            raise ReadBackDiffers(at=at, end=at + MIB)
        progress.reach((index + 1) * MIB)


def _put_tables(medium: Medium, head: bytes) -> None:
    """The second copy, then the first, then the sector that makes them count; each on the card before the next."""
    first, second = gpt.fitted(head, medium.device.size)
    end = medium.device.size - len(second)
    for offset, data in ((end, second), (SECTOR, first[SECTOR:]), (0, first[:SECTOR])):
        medium.write(offset, data)
        medium.flush()
    medium.forget()
    for offset, data in ((0, first), (end, second)):
        if medium.read(offset, len(data)) != data:
            raise ReadBackDiffers(at=offset, end=offset + len(data))

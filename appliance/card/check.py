"""What is on a card or beside an image, compared with the build record and said in words.

- Every finding is told, good or not; nothing stops at the first.
- A card that was in a station is one, too: its state partition may be there, its slot state has moved on, and the slot
  that holds this build is found by what is in it.
- Reads only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from appliance.card import gpt, site
from appliance.card.errors import (
    ArtefactMissing,
    ArtefactWrong,
    CardError,
    CardInputUnreadable,
    NoSlotState,
    SlotForeign,
)
from appliance.card.layout import MIB, SITE, SLOT_FILES, SLOTS, STATES, places
from appliance.card.record import DISK, BuildRecord, file_digest
from appliance.card.write import check_layout
from appliance.errors import ProoflineError
from appliance.update import slotstate
from appliance.update.errors import SlotStateDamaged

Finding = tuple[str, str] | ProoflineError
"""(what, how it is), or why it is not good."""
_CHUNK = 4 * MIB


def folder(path: Path, record: BuildRecord) -> Iterator[Finding]:
    """Every shipped file, then the image as a card."""
    yield "build", f"version {record.version}"
    for name, expected in sorted(record.artefacts.items()):
        yield _shipped(path / name, name, expected)
    if (path / DISK).is_file():
        yield from card(path / DISK, record)


def image(path: Path, record: BuildRecord) -> Iterator[Finding]:
    """One image file, as it was built."""
    yield _shipped(path, DISK, record.artefacts[DISK])
    yield from card(path, record)


def card(path: Path, record: BuildRecord | None) -> Iterator[Finding]:
    """A card's table, slots, slot state and site. CardInputUnreadable."""
    try:
        with path.open("rb") as file:
            descriptor = file.fileno()
            size = os.lseek(descriptor, 0, os.SEEK_END)
            yield from _card(lambda offset, length: _read(descriptor, offset, length), size, record)
    except OSError as error:
        raise CardInputUnreadable(path=os.fspath(path), why=error.strerror or "error") from None


def _card(read: gpt.Read, size: int, record: BuildRecord | None) -> Iterator[Finding]:
    try:
        found = gpt.parse(read, size)
        check_layout(found)
    except CardError as refusal:
        yield refusal
        return
    yield "table", f"both copies good, {len(found)} partitions"
    at = {name: (start * MIB, mib * MIB) for name, _kind, start, mib in places()}
    if record is not None:
        yield _slots(read, at, record)
    yield _slot_state(read, at[SLOTS][0])
    try:
        here = site.read_partition(read(*at[SITE]))
    except ProoflineError as refusal:
        yield refusal
    else:
        if here is None:
            yield "site", "empty: a station with this card is not enrolled"
        else:
            yield from here.words()
    state = next((one for one in found if one.name in STATES), None)
    if state is None:
        yield "state", "none yet; the station makes it at its first start"
    else:
        yield "state", f"{state.name}, {state.size} bytes: this card was in a station"


def _shipped(path: Path, name: str, expected: str) -> Finding:
    try:
        found = file_digest(path)
    except OSError as error:
        return ArtefactMissing(name=name, why=error.strerror or "error")
    if found != expected:
        return ArtefactWrong(name=name, found=found, expected=expected)
    return name, f"{found}  {path.stat().st_size} bytes"


def _slots(read: gpt.Read, at: dict[str, tuple[int, int]], record: BuildRecord) -> Finding:
    """Which slots hold this build, byte for byte."""
    holding, wrong = [], ""
    for slot in slotstate.SLOTS:
        for part, name in SLOT_FILES.items():
            size = record.sizes.get(name)
            if size is None or name not in record.artefacts:
                return SlotForeign(why=f"the build record does not say how large {name} is")
            start, room = at[f"proofline-{part}-{slot}"]
            if size > room or _digest(read, start, size) != record.artefacts[name]:
                wrong += f"; {name} differs in slot {slot}"
                break
        else:
            holding.append(slot)
    if not holding:
        return SlotForeign(why=f"version {record.version}{wrong}")
    return "slots", f"version {record.version} is in slot {' and '.join(holding)}, byte for byte"


def _slot_state(read: gpt.Read, start: int) -> Finding:
    good: list[slotstate.State] = []
    why = []
    for place in slotstate.PLACES:
        copy = read(start + place, slotstate.COPY)
        try:
            good.append(slotstate.decode(copy))
        except SlotStateDamaged as damage:
            why.append("never written" if not any(copy) else damage.engineer_sentence())
    if not good:
        return NoSlotState(why="; ".join(why))
    newest = max(good, key=lambda one: one.seq)
    slots = [
        f"{slot}: {newest.left[slot]} attempts left{', found good' if newest.good[slot] else ''}"
        for slot in newest.order
    ]
    second = "both copies good" if not why else f"one copy good, the other: {why[0]}"
    return "slot state", f"number {newest.seq}, {second}; " + "; ".join(slots)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)


def _digest(read: gpt.Read, start: int, size: int) -> str:
    hashed = hashlib.sha256()
    while size > 0 and (block := read(start, min(size, _CHUNK))):
        hashed.update(block)
        start, size = start + len(block), size - len(block)
    return hashed.hexdigest()

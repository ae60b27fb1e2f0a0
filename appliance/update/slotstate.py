"""Which slot starts next, and how often it may still try: the state that the boot script and the station share.

- Two copies, each one 4 KiB environment as U-Boot's `env import -c` reads it (CRC-32 first), 512 KiB apart in the
  partition `proofline-slots`. The newer good one counts. Only the other is ever written, whole and flushed, so a power
  cut at any moment leaves one good copy: image/boot/boot.cmd keeps the same rule.
- The boot script counts an attempt before it makes it. `commit` gives a slot that was found good its attempts back:
  more than one on trial has, for what ends its boots is likelier a hand on the plug than the image.
- `begin` takes the other slot out of every order of events before its first byte changes, and only when the slot that
  runs was found good; `arm` gives it its attempts and the first place, once all of it is written and flushed.

Pure but for `read`, `write` and `running`. Who acts on it is `appliance.update.slots`, as root.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.update.errors import SlotInUse, SlotNotKept, SlotStateDamaged, SlotUnknown

ATTEMPTS = 3
"""Of a slot on trial."""
ATTEMPTS_GOOD = 9
"""Of a slot that was found good."""
COPY = 4096
PLACES = (0, 512 * 1024)
DEVICE = Path("/dev/disk/by-partlabel/proofline-slots")
SLOTS = ("a", "b")
_IMAGE = Path("/usr/lib/proofline/image.json")
_FIELDS = ("s_a", "s_b", "s_ga", "s_gb", "s_last", "s_order", "s_seq")


@dataclass(frozen=True, slots=True)
class State:
    """`order`: slots in order of preference; `left`: attempts; `good`: whether a boot of it was ever found good."""

    seq: int
    order: tuple[str, ...]
    left: Mapping[str, int]
    good: Mapping[str, bool]
    last: str


def fresh(slot: str) -> State:
    """The state of a card on which only `slot` holds an image, and nothing was tried yet."""
    left = {one: ATTEMPTS if one == slot else 0 for one in SLOTS}
    order = (slot, *(one for one in SLOTS if one != slot))
    return State(1, order, left, dict.fromkeys(SLOTS, False), slot)


def encode(state: State) -> bytes:
    """One copy, 4096 bytes."""
    values = {
        "s_seq": f"{state.seq:x}",
        "s_order": " ".join(state.order),
        "s_last": state.last,
        **{f"s_{slot}": f"{state.left[slot]:x}" for slot in SLOTS},
        **{f"s_g{slot}": str(int(state.good[slot])) for slot in SLOTS},
    }
    text = b"".join(f"{name}={value}".encode("ascii") + b"\0" for name, value in sorted(values.items())) + b"\0"
    text = text.ljust(COPY - 4, b"\0")
    return struct.pack("<I", zlib.crc32(text)) + text


def decode(copy: bytes) -> State:
    """What a copy says, or SlotStateDamaged."""
    if len(copy) != COPY or zlib.crc32(copy[4:]) != int.from_bytes(copy[:4], "little"):
        raise SlotStateDamaged(why="the checksum does not fit")
    try:
        lines = copy[4:].split(b"\0\0", 1)[0].decode("ascii").split("\0")
        values = dict(line.split("=", 1) for line in lines)
        if values.keys() != set(_FIELDS):
            raise SlotStateDamaged(why="other fields than there should be")
        order = tuple(values["s_order"].split(" "))
        if sorted(order) != sorted(SLOTS) or values["s_last"] not in SLOTS:
            raise SlotStateDamaged(why="not the slots a and b")
        return State(
            int(values["s_seq"], 16),
            order,
            {slot: int(values[f"s_{slot}"], 16) for slot in SLOTS},
            {slot: values[f"s_g{slot}"] == "1" for slot in SLOTS},
            values["s_last"],
        )
    except ValueError as error:
        raise SlotStateDamaged(why=str(error)) from error


def commit(state: State, slot: str) -> State:
    """The slot was found good: it has all its attempts and is the first choice."""
    return replace(
        state,
        seq=state.seq + 1,
        order=(slot, *(one for one in state.order if one != slot)),
        left={**state.left, slot: ATTEMPTS_GOOD},
        good={**state.good, slot: True},
    )


def begin(state: State, slot: str, running: str) -> State:
    """`slot` is about to be written: it cannot be started, whatever it held. SlotInUse, SlotNotKept."""
    if slot == running:
        raise SlotInUse(slot=slot)
    if not state.good[running]:
        raise SlotNotKept(slot=running)
    return replace(state, seq=state.seq + 1, left={**state.left, slot: 0}, good={**state.good, slot: False})


def arm(state: State, slot: str, running: str) -> State:
    """`slot` is written: it is tried next, as often as any on trial. SlotInUse."""
    if slot == running:
        raise SlotInUse(slot=slot)
    return replace(
        state,
        seq=state.seq + 1,
        order=(slot, *(one for one in state.order if one != slot)),
        left={**state.left, slot: ATTEMPTS},
        good={**state.good, slot: False},
    )


def primary(state: State) -> str | None:
    """The slot that the boot script would take next."""
    return next((slot for slot in state.order if state.left[slot]), None)


def read(device: Path) -> tuple[State | None, int]:
    """The newer good copy, and which place the next one goes to."""
    found: list[tuple[State, int]] = []
    with device.open("rb") as file:
        for place in PLACES:
            file.seek(place)
            try:
                found.append((decode(file.read(COPY)), place))
            except SlotStateDamaged:
                continue  # the other copy is there for this
    if not found:
        return None, PLACES[0]
    newest, place = max(found, key=lambda one: one[0].seq)
    return newest, PLACES[1] if place == PLACES[0] else PLACES[0]


def write(device: Path, state: State, place: int) -> None:
    """Put one copy down, and return when it is on the medium."""
    descriptor = os.open(device, os.O_WRONLY)
    try:
        os.pwrite(descriptor, encode(state), place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def running(image: Path = _IMAGE) -> str:
    """The slot that runs, as the first program of this boot found it. SlotUnknown."""
    try:
        slot = str(json.loads(image.read_bytes())["slot"]).lower()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SlotUnknown(why=f"{image}: {error}") from error
    if slot not in SLOTS:
        raise SlotUnknown(why=f"{image} names slot {slot!r}")
    return slot

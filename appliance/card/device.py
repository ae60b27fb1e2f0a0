"""What a path is that somebody wants to write a card image to, and whether that may be done.

- A whole disk that nothing uses, or a regular file of a card's size (for an emulated station). Nothing else.
- In use is never overruled: mounted, swap, or held by another layer (LVM, RAID, encryption). The kernel is asked, too,
  when the device is opened (O_EXCL), so that what this does not know of, and what comes later, is refused as well.
- A device that does not say that it is removable, and one that holds a station's evidence, is written only when
  somebody has typed its name: model, serial number, size.

Facts come from sysfs and /proc; `sysfs` is a parameter so that every kind of machine can be shown to it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.card.errors import (
    CardInputUnreadable,
    DeviceInUse,
    DeviceIsPartition,
    DeviceReadOnly,
    DeviceTooSmall,
    DeviceUnfit,
    NotConfirmed,
)
from appliance.card.layout import MIB, SECTOR, SMALLEST_STATE_MIB, STATES, end_mib

SYSFS = Path("/sys")
NEEDED = (end_mib() + SMALLEST_STATE_MIB) * MIB


@dataclass(frozen=True)
class Device:
    """`size` in bytes. `removable`: so the kernel says, or a new empty file. `inside`: names of its partitions."""

    path: Path
    block: bool
    size: int
    model: str
    serial: str
    removable: bool
    inside: tuple[str, ...] = ()

    @property
    def phrase(self) -> str:
        """What a person types who means this device and no other."""
        return " ".join(filter(None, (self.model or self.path.name, self.serial, str(self.size))))

    def words(self) -> str:
        size = f"{self.size} bytes ({self.size / 1e9:.1f} GB)"
        if not self.block:
            return f"{self.path}: {'an empty' if self.removable else 'a'} file of {size}"
        serial = f", serial {self.serial}" if self.serial else ""
        kind = "removable" if self.removable else "not removable"
        return f"{self.path}: {self.model or 'no model'}{serial}, {size}, {kind}"


def look(path: Path, sysfs: Path = SYSFS, proc: Path = Path("/proc")) -> Device:
    """The device at `path`, fit to be written and used by nobody. CardInputUnreadable, `PL-CRD-020` to `-024`."""
    try:
        about = path.stat()
    except OSError as error:
        raise CardInputUnreadable(path=os.fspath(path), why=error.strerror or "error") from None
    if stat.S_ISREG(about.st_mode):
        device = Device(path, False, about.st_size, "", "", removable=about.st_blocks == 0)
    elif stat.S_ISBLK(about.st_mode):
        device = describe(path, about.st_rdev, sysfs)
        for why in in_use(device, about.st_rdev, sysfs, proc):
            raise DeviceInUse(path=os.fspath(path), why=why)
    else:
        raise DeviceUnfit(path=os.fspath(path), why="it is neither a disk nor a file")
    if device.size < NEEDED:
        raise DeviceTooSmall(path=os.fspath(path), size=device.size, needed=NEEDED)
    if device.size % SECTOR:
        raise DeviceUnfit(path=os.fspath(path), why=f"its size is no multiple of {SECTOR} bytes")
    return device


def describe(path: Path, number: int, sysfs: Path = SYSFS) -> Device:
    """A block device as sysfs shows it. `PL-CRD-020`, `-021`, `-023`."""
    try:
        place = (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)
        if (place / "partition").exists():
            raise DeviceIsPartition(path=os.fspath(path), whole=f"/dev/{place.parent.name}")
        if _text(place / "ro") != "0":
            raise DeviceReadOnly(path=os.fspath(path))
        if (block := _text(place / "queue/logical_block_size")) != str(SECTOR):
            raise DeviceUnfit(
                path=os.fspath(path), why=f"it has blocks of {block} bytes; the image is made for {SECTOR}"
            )
        size = int(_text(place / "size")) * SECTOR
    except (OSError, ValueError) as error:
        raise DeviceUnfit(path=os.fspath(path), why=f"sysfs does not know it: {error}") from None
    hardware = place / "device"
    model = _text(hardware / "model")
    words = (_text(hardware / "vendor"), model) if model else (_text(hardware / "name"),)
    # a card in a slot of its own is not "removable" to the kernel; that it is an SD card, and no soldered chip, it says
    removable = _text(place / "removable") == "1" or _text(hardware / "type") == "SD"
    inside = tuple(sorted(one.parent.name for one in place.glob("*/partition")))
    return Device(path, True, size, _clean(" ".join(filter(None, words))), _serial(place), removable, inside)


def in_use(device: Device, number: int, sysfs: Path = SYSFS, proc: Path = Path("/proc")) -> Iterator[str]:
    """Why this disk must not be touched, where it is used in any way."""
    place = (sysfs / "dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    parts = {_text(folder / "dev"): folder for folder in (place, *(place / name for name in device.inside))}
    for folder in parts.values():
        for holder in sorted((folder / "holders").glob("*")):
            yield f"/dev/{folder.name} is part of {holder.name}"
    for line in (proc / "self/mountinfo").read_text("utf-8", "replace").splitlines():
        fields = line.split(" ")
        # btrfs and others have numbers of their own, and name the device behind the hyphen
        named = fields[fields.index("-") + 2] if "-" in fields else ""
        if fields[2] in parts or named in {f"/dev/{folder.name}" for folder in parts.values()}:
            yield f"{named} is mounted at {fields[4]}"
    for line in (proc / "swaps").read_text("utf-8", "replace").splitlines()[1:]:
        if line.split(" ")[0].split("\t")[0] in {f"/dev/{folder.name}" for folder in parts.values()}:
            yield f"{line.split()[0]} is swap space"


def confirm(device: Device, there: Sequence[str], typed: str | None) -> None:
    """Whether this device may be overwritten; `there`: the names of the partitions on it. NotConfirmed."""
    if typed is not None and typed.strip() != device.phrase:
        raise NotConfirmed(why=f"{typed.strip()!r} is not this device", phrase=device.phrase)
    if typed is None and not device.removable:
        raise NotConfirmed(why=f"{device.path} is not a removable card", phrase=device.phrase)
    if typed is None and set(STATES) & set(there):
        raise NotConfirmed(why=f"{device.path} is a station's card, with its evidence", phrase=device.phrase)


def _serial(place: Path) -> str:
    """The disk's own serial number, or that of the USB device that it is."""
    for name in ("device/serial", "serial"):
        if text := _text(place / name):
            return _clean(text)
    for folder in place.parents:
        if (folder / "idVendor").exists():
            return _clean(_text(folder / "serial"))
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _clean(text: str) -> str:
    """What may be shown and typed: printable ASCII, single spaces."""
    return " ".join(re.sub(r"[^!-~]+", " ", text).split())

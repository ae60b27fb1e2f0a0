"""What may be plugged in where. Pure: a device, its place and the board's map go in; what to let in, or why not.

- A place is a controller and a chain of ports below its root hub. A port that the map does not name is closed.
- At the board's own places (a hub or a network chip that is soldered on) exactly that chip is let in, whole.
- At the intake port one thing is let in: a stick. It has one interface, mass storage as every stick has it (class 08,
  SCSI, bulk-only), in every configuration; anything beside it refuses the device as a whole. Alternate settings of that
  interface may speak UAS as well; they are storage.
- Descriptors can be forged: that is why the place counts as much as they do, and why a stick is only bytes to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from appliance.usbgate.descriptors import Device, Kind
from appliance.usbgate.errors import MoreThanAStick, NotAStick, NotOurOwn, PortClosed

BULK_ONLY = Kind(0x08, 0x06, 0x50)
UAS = Kind(0x08, 0x06, 0x62)


@dataclass(frozen=True, slots=True)
class Place:
    """`controller`: the device that the root hub belongs to; `chain`: ports from there, as `1` or `1.3`."""

    controller: str
    chain: str

    def __str__(self) -> str:
        return f"{self.controller} port {self.chain}"


@dataclass(frozen=True, slots=True)
class Board:
    """One board's map. `controller`: a pattern (fnmatch) for its name; `own`: chain -> (vendor, product)."""

    controller: str
    intake: str
    own: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is let in: `what` is `stick` or `own`; `interfaces`: numbers, each to be authorised by itself."""

    what: str
    interfaces: frozenset[int]


def decide(device: Device, place: Place, board: Board | None) -> Admitted:
    """What to let in of a device at its place. PortClosed, NotAStick, MoreThanAStick or NotOurOwn otherwise."""
    if board is None or not fnmatchcase(place.controller, board.controller):
        raise PortClosed(place=str(place), device=str(device))
    own = board.own.get(place.chain)
    if own is not None:
        if (device.vendor, device.product) != own:
            raise NotOurOwn(device=str(device), place=str(place), expected=f"{own[0]:04x}:{own[1]:04x}")
        return Admitted("own", frozenset(one.number for one in device.interfaces))
    if place.chain != board.intake:
        raise PortClosed(place=str(place), device=str(device))
    kinds = {one.kind for one in device.interfaces}
    found = ", ".join(sorted(str(kind) for kind in kinds)) or "none"
    if BULK_ONLY not in kinds:
        raise NotAStick(device=str(device), place=str(place), found=found)
    numbers = {one.number for one in device.interfaces}
    everywhere = all(
        any(one.kind == BULK_ONLY and one.alternate == 0 for one in configuration.interfaces)
        for configuration in device.configurations
    )
    if kinds - {BULK_ONLY, UAS} or len(numbers) != 1 or not everywhere or device.kind.cls not in (0x00, 0x08):
        raise MoreThanAStick(device=str(device), place=str(place), found=found)
    return Admitted("stick", frozenset(numbers))

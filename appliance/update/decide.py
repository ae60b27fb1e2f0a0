"""Which image a station wants, and whether it may have it. Pure: what is known goes in, one decision comes out.

- Wanted is the highest version that names this station, for its own board; nothing else is considered. So a step back
  is possible, when an older image is the highest that is promoted, and only down to the floor.
- The same root hash is the same image, whatever it is called: what runs is never installed again.
- Nothing is decided while the boot that runs was not found good: the other slot may be what saves the station.
- An image that was given up is refused, for as long as its document is the same.
- An attempt that was cut off is made again; one that was armed and did not come up was given up.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.update.manifest import Manifest
from appliance.update.records import Attempt, Committed, History
from appliance.update.update_errors import (
    BundleOtherBoard,
    BundleOtherVersion,
    BundleTooLarge,
    ImageBelowFloor,
    ImageGivenUp,
    SlotGivenUp,
)
from appliance.verify.site_images import ImageRelease, Version


@dataclass(frozen=True, slots=True)
class Running:
    """What runs: as the first program of this boot wrote it down."""

    compatible: str
    version: Version
    verity: str
    slot: str
    boot_id: str

    @property
    def other(self) -> str:
        return "b" if self.slot == "a" else "a"


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is to be done, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Install:
    """This image is to be installed in the other slot."""

    image: ImageRelease


@dataclass(frozen=True, slots=True)
class Restart:
    """This image is installed already; the station restarts into it."""

    version: Version


def settle(history: History, running: Running) -> tuple[History, SlotGivenUp | None]:
    """What became of the last attempt, now that this boot runs; SlotGivenUp when it was armed and did not come up."""
    last = history.last()
    if last is None or last.boot_id == running.boot_id:
        return history, None
    if last.outcome not in {"started", "installed"}:
        return history, None
    if last.verity == running.verity:
        return history.close("kept"), None
    if last.outcome == "started":
        return history.close("cut_off"), None
    gave_up = SlotGivenUp(version=str(last.version), slot=last.slot, running=running.slot, now=str(running.version))
    return history.close("given_up", gave_up.code), gave_up


def decide(
    running: Running, wanted: ImageRelease | None, committed: Committed | None, history: History
) -> Idle | Install | Restart:
    """What to do. Refusals: ImageBelowFloor, ImageGivenUp."""
    if committed is None or committed.boot_id != running.boot_id:
        return Idle("this boot was not found good yet")
    last = history.last()
    if last is not None and last.boot_id == running.boot_id and last.outcome == "installed":
        return Restart(last.version)
    if wanted is None:
        return Idle("no image is promoted for this station")
    if wanted.verity == running.verity:
        return Idle(f"{running.version} runs, and is what is promoted")
    if wanted.version < committed.floor:
        raise ImageBelowFloor(version=str(wanted.version), floor=str(committed.floor))
    if (before := history.given_up(wanted.digest)) is not None:
        raise ImageGivenUp(version=str(wanted.version), digest=wanted.digest, slot=before.slot)
    return Install(wanted)


def fits(manifest: Manifest, image: ImageRelease, running: Running, rooms: dict[str, int]) -> None:
    """Whether a bundle is the image that was promoted, for this board and its slots; `rooms`: bytes of the other slot's
    partitions. BundleOtherBoard, BundleOtherVersion, BundleTooLarge."""
    if manifest.compatible != running.compatible:
        raise BundleOtherBoard(version=str(image.version), found=manifest.compatible, expected=running.compatible)
    if manifest.version != str(image.version):
        raise BundleOtherVersion(found=manifest.version, expected=str(image.version))
    for kind, size in manifest.sizes.items():
        if size > rooms[kind]:
            raise BundleTooLarge(kind=kind, version=str(image.version), size=size, room=rooms[kind])


def attempt(image: ImageRelease, running: Running) -> Attempt:
    """The record of an attempt that begins."""
    return Attempt(image.version, image.digest, image.verity, running.other, running.boot_id, "started")

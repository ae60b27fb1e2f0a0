"""`python3 -m appliance.update.slots VERB`: what the image's root units and RAUC do to the slot state.

  commit                  this boot is good: its slot has its attempts back; the floor rises with it
  fallback                this boot is not good, or not in time: restart, unless this slot was found good before
  get-primary             } RAUC's questions to a boot loader (RAUC manual, "Custom bootloader backend"), but for
  get-state SLOT          } get-current, which its handler answers itself
  set-state SLOT bad      } before the first byte of SLOT changes
  set-primary SLOT        } after the last one is flushed

- `set-primary` arms a slot only when its hash tree is that of the image which the updater meant to install: a bundle
  that was exchanged between the updater's look and RAUC's is never started.
- `commit` first keeps the slot, then raises the floor: power between the two leaves the floor for the next boot's
  commit. The floor is root's file; nobody else can lower it.
- Nothing here trusts what the updater wrote beyond that: it can raise a floor, and it can only have armed what RAUC
  accepted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import station
from appliance.errors import ProoflineError
from appliance.update import records, slotstate
from appliance.update.errors import SlotNotIntended, SlotUnknown
from appliance.verify.site_images import parse_version

_SUPERBLOCK = 32
"""A verity superblock begins with its magic, version and type; bytes 16 to 31 are its UUID."""


@dataclass(frozen=True)
class Places:
    """Where things are; another place in a test."""

    image: Path = Path("/usr/lib/proofline/image.json")
    partitions: Path = Path("/dev/disk/by-partlabel")
    updater: Path = Path("/var/lib/proofline/update")
    slots: Path = Path("/var/lib/proofline/slots")


def commit(places: Places) -> str:
    """Keep the slot that runs."""
    slot = slotstate.running(places.image)
    device = places.partitions / "proofline-slots"
    state, place = slotstate.read(device)
    slotstate.write(device, slotstate.commit(state or slotstate.fresh(slot), slot), place)
    now = _running(places, slot)
    kept = records.raised(records.load_committed(places.slots), now, records.load_intended(places.updater))
    records.save_committed(places.slots, kept)
    return f"slot {slot} is good: {kept.version}, floor {kept.floor}"


def fallback(places: Places, restart: Callable[[], None]) -> str:
    """Restart, unless this slot was found good before. The attempt is counted already."""
    slot = slotstate.running(places.image)
    state, _place = slotstate.read(places.partitions / "proofline-slots")
    if state is not None and state.good[slot]:
        if _found_good_now(places):
            return f"slot {slot} was found good in this boot: it stays"
        return f"slot {slot} was good before: it stays, and somebody should look at it"
    restart()
    return f"slot {slot} was never found good: restarting"


def _found_good_now(places: Places) -> bool:
    try:
        kept = records.load_committed(places.slots)
    except ProoflineError:
        return False
    return kept is not None and kept.boot_id == station.describe(places.image).boot_id


def get_primary(places: Places) -> str:
    found = slotstate.primary(_state(places)[0])
    if found is None:
        raise SlotUnknown(why="no slot has an attempt left")
    return found


def get_state(places: Places, slot: str) -> str:
    return "good" if _state(places)[0].left[slot] else "bad"


def set_bad(places: Places, slot: str) -> str:
    """The slot is about to be written."""
    state, place = _state(places)
    slotstate.write(
        places.partitions / "proofline-slots", slotstate.begin(state, slot, slotstate.running(places.image)), place
    )
    return f"slot {slot} cannot be started until it is written"


def set_primary(places: Places, slot: str) -> str:
    """The slot is written: it is next. SlotNotIntended where it holds something else than was meant."""
    state, place = _state(places)
    armed = slotstate.arm(state, slot, slotstate.running(places.image))
    intended = records.load_intended(places.updater)
    tree = places.partitions / f"proofline-hash-{slot}"
    with tree.open("rb") as file:
        found = file.read(_SUPERBLOCK)[16:].hex()
    expected = "" if intended is None else intended.verity.removeprefix("sha256:")[:32]
    if found != expected:
        raise SlotNotIntended(slot=slot, found=found, expected=expected or "no name")
    slotstate.write(places.partitions / "proofline-slots", armed, place)
    return f"slot {slot} is next"


def _state(places: Places) -> tuple[slotstate.State, int]:
    state, place = slotstate.read(places.partitions / "proofline-slots")
    return state or slotstate.fresh(slotstate.running(places.image)), place


def _running(places: Places, slot: str) -> records.Committed:
    facts = station.describe(places.image)
    image = facts.image or {}
    version = parse_version(str(image.get("version")))
    if version is None:
        raise SlotUnknown(why=f"{places.image} names version {image.get('version')!r}")
    return records.Committed(facts.boot_id, slot, version, str(image.get("verity")), records.NO_FLOOR)


def _restart() -> None:
    # and not "systemctl reboot", which asks logind first: there is none
    command = ["/usr/bin/systemctl", "--no-block", "--job-mode=replace-irreversibly", "start", "reboot.target"]
    subprocess.run(command, check=True)


def answer(words: list[str], places: Places, restart: Callable[[], None] = _restart) -> str:
    """What a verb comes to, in one line. ProoflineError, or ValueError for what is no verb."""
    match words:
        case ["commit"]:
            return commit(places)
        case ["fallback"]:
            return fallback(places, restart)
        case ["get-primary"]:
            return get_primary(places)
        case ["get-state", ("a" | "b") as slot]:
            return get_state(places, slot)
        case ["set-state", ("a" | "b") as slot, "bad"]:
            return set_bad(places, slot)
        case ["set-primary", ("a" | "b") as slot]:
            return set_primary(places, slot)
    raise ValueError(f"no verb: {' '.join(words)}")


def main() -> int:
    """Do it and say it."""
    try:
        sys.stdout.write(answer(sys.argv[1:], Places()) + "\n")
    except (ProoflineError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

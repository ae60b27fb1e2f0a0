"""A card as it was written, in a station that was never on: what a person sees, presses and reads afterwards."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from appliance.update.slotstate import ATTEMPTS_GOOD
from hil.virtual_station import shared
from hil.virtual_station.card import Card, lines
from hil.virtual_station.lamps import recognise
from hil.virtual_station.places import SCRATCH
from hil.virtual_station.station import VirtualStation

NOT_ENROLLED = b"PL-STA-003"
OUT = SCRATCH / "out"
WARNINGS = {
    r"GPT:": "the card is larger than the image that was written on it; the first boot's partition mends it",
    r"hrtimer: interrupt took": "the emulator was stopped by its own machine for a moment",
    r"pinctrl core: failed to create debugfs directory": "there is no debugfs (systemd/kernel-command-line)",
    r"pci-host-generic .*Memory resource size exceeds": "the emulator's PCI window is larger than 4 GiB",
    r"CONFIG_IMA_DISABLE_HTABLE is disabled": "how Debian's kernel is configured; nothing is measured twice here",
}
"""What may warn at a boot, and why it may."""


@dataclass
class Visit:
    """What one visit to a fresh station brought."""

    console: str
    pattern_before: str | None
    pattern_after: str | None
    journal: list[dict[str, Any]]
    card: Card


@pytest.fixture(scope="module")
def visit() -> Visit:
    """Come to a fresh station when it has booted, look, press, look, and pull the plug when its journal is written."""
    begun = shared.fresh()
    with VirtualStation("first", frozen=begun.frozen) as station:
        station.power_on()
        before = _look(station)
        station.press()
        after = _look(station)
        station.wait_journal("slot a is good", timeout_s=300)
        console = begun.console + station.console()
        station.power_cut()
    return Visit(console, before, after, station.card.journal(), station.card)


def _look(station: VirtualStation) -> str | None:
    burning = station.burning()
    return recognise(station.watch_lamps(12.0), burning, 12.0)


def _says(visit: Visit, text: str) -> list[str]:
    return [str(one["MESSAGE"]) for one in visit.journal if text in str(one.get("MESSAGE"))]


def test_it_says_on_the_console_why_it_is_not_ready(visit: Visit) -> None:
    assert "proofline: not ready: not_enrolled" in visit.console


def test_its_lamps_show_that_it_is_not_enrolled(visit: Visit) -> None:
    assert visit.pattern_before == "not_enrolled"


def test_a_press_is_refused_by_name_in_the_lamps_and_in_the_journal_of_refusals(visit: Visit) -> None:
    assert visit.pattern_after == "refused"
    kept = visit.card.state_files("/shared/var/lib/proofline/recorder") / "recorder" / "refusals.journal"
    assert kept.read_bytes().count(NOT_ENROLLED) == 1


def test_the_hardware_watchdog_is_armed(visit: Visit) -> None:
    assert _says(visit, "Using hardware watchdog 'i6300ESB timer'")
    assert _says(visit, "Watchdog running with a hardware timeout of 15s.")


def test_no_unit_failed(visit: Visit) -> None:
    failed = [one for one in visit.journal if "Failed with result" in str(one.get("MESSAGE"))]
    assert failed == [], lines(failed)


def test_nothing_in_the_journal_is_an_error(visit: Visit) -> None:
    errors = [one for one in visit.journal if int(one.get("PRIORITY", 6)) <= 3]
    assert errors == [], lines(errors)


def test_every_warning_in_the_journal_has_its_reason(visit: Visit) -> None:
    warnings = [one for one in visit.journal if one.get("PRIORITY") == "4"]
    unexplained = [one for one in warnings if not any(re.search(known, str(one["MESSAGE"])) for known in WARNINGS)]
    assert unexplained == [], lines(unexplained)


def test_the_root_is_verity_and_nothing_writes_to_a_slot(visit: Visit) -> None:
    about = json.loads((OUT / "verity.json").read_text("utf-8"))
    assert any(f"proofline.roothash={about['root_hash']}" in line for line in _says(visit, "Kernel command line"))
    assert _says(visit, "erofs: (device dm-0): mounted"), "the root is not what device-mapper verifies"
    assert _says(visit, "of the slot were read through verity")
    for partition, file in (("boot-a", "boot.vfat"), ("root-a", "root.erofs"), ("hash-a", "root.verity")):
        written = (OUT / file).read_bytes()
        offset, _size = visit.card.place(f"proofline-{partition}")
        with visit.card.disk.open("rb") as disk:
            disk.seek(offset)
            assert disk.read(len(written)) == written, f"{partition} is not what was written to the card"


def test_the_slot_is_kept_although_token_enrolment_and_time_are_missing(visit: Visit) -> None:
    state = visit.card.slot_state()
    assert state is not None
    assert (state.last, state.left["a"], state.good["a"]) == ("a", ATTEMPTS_GOOD, True)


def test_its_identity_was_made_on_the_device(visit: Visit) -> None:
    folder = visit.card.state_files("/shared/machine-id")
    machine_id = (folder / "machine-id").read_text("ascii").strip()
    assert re.fullmatch("[0-9a-f]{32}", machine_id)
    assert {one["_MACHINE_ID"] for one in visit.journal if "_MACHINE_ID" in one} == {machine_id}


def test_nothing_asks_for_a_login(visit: Visit) -> None:
    assert "login" not in visit.console.lower()
    assert not any("getty" in str(one.get("_COMM")) for one in visit.journal)

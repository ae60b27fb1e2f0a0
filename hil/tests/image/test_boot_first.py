"""A card as it was written, in a station that was never on: what a person sees, presses and reads afterwards."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from hil.virtual_station.card import Card, lines
from hil.virtual_station.lamps import recognise
from hil.virtual_station.places import SCRATCH
from hil.virtual_station.station import VirtualStation

NOT_ENROLLED = b"PL-STA-003"


@dataclass
class Visit:
    """What one visit to a fresh station brought."""

    marker: str
    console: str
    pattern_before: str | None
    pattern_after: str | None
    journal: list[dict[str, Any]]
    card: Card


@pytest.fixture(scope="module")
def visit() -> Visit:
    """Plug a fresh station in, look, press, look, wait until it found its slot good, and pull the plug."""
    with VirtualStation("first") as station:
        station.power_on()
        marker = station.wait_console(r"proofline: (station ready|not ready: .*)$", timeout_s=900)[0]
        before = _look(station)
        station.press()
        after = _look(station)
        card = station.card
        station.wait_journal("slot a is good", timeout_s=1200)
        console = station.console()
        station.power_cut()
    return Visit(marker, console, before, after, card.journal(), card)


def _look(station: VirtualStation) -> str | None:
    burning = station.burning()
    return recognise(station.watch_lamps(12.0), burning, 12.0)


def test_it_says_on_the_console_why_it_is_not_ready(visit: Visit) -> None:
    assert visit.marker.startswith("proofline: not ready: not_enrolled")


def test_its_lamps_show_that_it_is_not_enrolled(visit: Visit) -> None:
    assert visit.pattern_before == "not_enrolled"


def test_a_press_is_refused_by_name_in_the_lamps_and_in_the_journal_of_refusals(visit: Visit) -> None:
    assert visit.pattern_after == "refused"
    kept = visit.card.state_files("/shared/var/lib/proofline/recorder") / "recorder" / "refusals.journal"
    assert kept.read_bytes().count(NOT_ENROLLED) == 1


def test_no_unit_failed(visit: Visit) -> None:
    failed = [one for one in visit.journal if "Failed with result" in str(one.get("MESSAGE"))]
    assert failed == [], lines(failed)


def test_the_root_is_verity_and_the_slot_is_kept_once_it_was_found_good(visit: Visit) -> None:
    about = json.loads((SCRATCH / "out" / "verity.json").read_text("utf-8"))
    assert any(f"proofline.roothash={about['root_hash']}" in str(one.get("MESSAGE")) for one in visit.journal)
    state = visit.card.slot_state()
    assert state is not None
    assert (state.last, state.left["a"], state.good["a"]) == ("a", 3, True)


def test_its_identity_was_made_on_the_device(visit: Visit) -> None:
    folder = visit.card.state_files("/shared/machine-id")
    machine_id = (folder / "machine-id").read_text("ascii").strip()
    assert re.fullmatch("[0-9a-f]{32}", machine_id)
    assert {one["_MACHINE_ID"] for one in visit.journal if "_MACHINE_ID" in one} == {machine_id}


def test_nothing_asks_for_a_login(visit: Visit) -> None:
    assert "login" not in visit.console.lower()
    assert not any("getty" in str(one.get("_COMM")) for one in visit.journal)

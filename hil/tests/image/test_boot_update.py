"""Updates in the image, from a stick and from the site's web server: A to B and kept; a broken image comes back by
itself; what is not for this station, below its floor or not signed by its site is refused by name.

One station lives through all of it: it goes on from the shared enrolled one, and restarts by itself three times.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.station import parse_carrier
from appliance.update.slotstate import ATTEMPTS
from hil.virtual_station import shared
from hil.virtual_station.peril import SOAKING
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.sticks import Stick, make_stick
from hil.virtual_station.surroundings import WebServer
from hil.virtual_station.updates import BROKEN, UpdateDesk, wait_status

NEW, WORSE, OLD = "0.2.0", "0.3.0", "0.1.1"
FLOOR = "0.1.5"
STRANGE, OTHER_BOARD = "0.1.8", "0.1.9"


@dataclass
class Life:
    """What was seen of a station, by the name of the moment."""

    floor: dict[str, str] = field(default_factory=dict)
    order: dict[str, tuple[str, ...]] = field(default_factory=dict)
    console: dict[str, str] = field(default_factory=lambda: {"broken": ""})
    journal: str = ""
    recorded: bytes = b""
    history: list[dict[str, Any]] = field(default_factory=list)

    def look(self, moment: str, station: VirtualStation) -> None:
        place = station.card.state_files("/shared/var/lib/proofline/slots")
        self.floor[moment] = json.loads((place / "slots/committed.json").read_bytes())["floor"]
        state = station.card.slot_state()
        assert state is not None
        self.order[moment] = state.order
        self.console[moment] = station.console()


def insert(station: VirtualStation, stick: Stick, **until: str) -> None:
    """Put a stick in, wait for what the updater says of it, take it out."""
    station.plug(stick)
    wait_status(station, **until)
    station.unplug()


def cut_short(bundle: Path) -> None:
    """A bundle whose copy was not finished."""
    os.truncate(bundle, bundle.stat().st_size - 4096)


def change_a_bit(bundle: Path) -> None:
    """A bundle as long as it was, with one wrong bit in the middle."""
    with bundle.open("r+b") as file:
        file.seek(bundle.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.fixture(scope="module")
def life() -> Life:
    desk = UpdateDesk("update")
    begun = shared.enrolled().frozen
    seen = Life()
    carrier = desk.carrier(desk.hollow(STRANGE, signer=desk.stranger))
    strange = make_stick(carrier.with_suffix(".stick"), carrier)
    short, changed = desk.spoilt(carrier, "short", cut_short), desk.spoilt(carrier, "changed", change_a_bit)
    other = desk.release(desk.hollow(OTHER_BOARD, compatible="another-board"))
    newer = desk.release(desk.image(NEW, floor=FLOOR), instead_of=[STRANGE, OTHER_BOARD])
    worse = desk.carrier(desk.image(WORSE, floor=WORSE, words=BROKEN))
    older = desk.release(desk.hollow(OLD), instead_of=[WORSE, NEW])
    with VirtualStation("update", frozen=begun) as station:
        time = shared.go_on(station)
        for stick, code in ((short, "PL-INT-016"), (changed, "PL-INT-017")):
            station.plug(stick)
            station.wait_journal(code, timeout_s=300)
            station.unplug()
        insert(station, strange, refusal="PL-UPD-005")
        insert(station, other, refusal="PL-UPD-006")
        seen.look("refused", station)

        insert(station, newer, state="restarting", wanted=NEW)
        time.tell(offset_ms=0)
        station.wait_off(300)
        # a minute after it is up it asks for its carrier, and once an hour
        WebServer(station.network, worse)
        station.power_on()
        station.wait_kept("b")
        wait_status(station, floor=FLOOR)
        seen.look("updated", station)

        wait_status(station, state="restarting", wanted=WORSE)
        station.wait_off(300)
        state = station.card.slot_state()
        assert state is not None
        assert state.left["a"] == ATTEMPTS
        if not SOAKING:  # the last attempt shows what all of them would
            station.card.keep_slot_state(replace(state, left={**state.left, "a": 1}))
        for _attempt in range(ATTEMPTS if SOAKING else 1):
            station.power_on()
            station.wait_off(900)
            seen.console["broken"] += station.console()
        station.power_on()
        station.wait_kept("b")
        wait_status(station, refusal="PL-UPD-011")
        seen.look("back", station)

        insert(station, older, refusal="PL-UPD-010")
        station.wait_journal("PL-UPD-010", timeout_s=60)
        station.power_cut()
        seen.journal = "\n".join(str(one.get("MESSAGE")) for one in station.card.journal())
        folder = station.card.state_files("/shared/var/lib/proofline")
        seen.recorded = (folder / "proofline/recorder/refusals.journal").read_bytes()
        seen.history = json.loads((folder / "proofline/update/history.json").read_bytes())["attempts"]
    return seen


def test_the_image_that_the_sites_web_server_had_was_fetched_and_installed(life: Life) -> None:
    assert f"{parse_carrier(shared.CARRIER)}: a carrier is here" in life.journal
    assert [one["version"] for one in life.history if one["outcome"] != "refused"] == [NEW, WORSE]


def test_a_bundle_of_another_signer_or_another_board_changes_nothing(life: Life) -> None:
    assert life.order["refused"] == ("a", "b")
    assert life.floor["refused"] == "0.0.0"
    assert "PL-UPD-005" in life.journal
    assert "PL-UPD-006" in life.journal


def test_a_new_image_is_installed_started_and_kept(life: Life) -> None:
    assert "proofline: slot b; attempts left a=9 b=2" in life.console["updated"]
    assert life.order["updated"] == ("b", "a")


def test_the_floor_rises_when_the_image_was_found_good(life: Life) -> None:
    assert life.floor["updated"] == FLOOR


def test_an_image_that_is_not_good_is_left_for_the_one_before(life: Life) -> None:
    tries = re.findall(r"proofline: slot a; attempts left a=(\d)", life.console["broken"])
    assert tries == (["2", "1", "0"] if SOAKING else ["0"])
    assert "proofline: slot b;" in life.console["back"]
    assert life.order["back"][0] == "b"


def test_what_was_given_up_is_on_record_and_not_tried_again(life: Life) -> None:
    assert life.journal.count("PL-UPD-022") >= 1
    assert [one["outcome"] for one in life.history if one["version"] == WORSE] == ["given_up"]
    assert life.recorded.count(b"PL-UPD-022") == 1


def test_an_image_that_was_never_good_does_not_raise_the_floor(life: Life) -> None:
    assert life.floor["back"] == FLOOR


def test_nothing_below_the_floor_is_installed_even_when_it_is_promoted(life: Life) -> None:
    assert "PL-UPD-010" in life.journal
    assert not any(one["version"] == OLD for one in life.history)


REFUSED = ["PL-INT-016", "PL-INT-017", "PL-UPD-005", "PL-UPD-006", "PL-UPD-010", "PL-UPD-011", "PL-UPD-022"]


@pytest.mark.parametrize("code", REFUSED)
def test_each_refusal_is_in_the_recorders_journal_once(life: Life, code: str) -> None:
    assert life.recorded.count(f'"{code}"'.encode()) == 1


def test_no_unit_failed_but_what_is_broken_and_the_health_that_says_so(life: Life) -> None:
    failed = {line for line in life.journal.splitlines() if "Failed with result" in line}
    assert {line.partition(":")[0] for line in failed} == {"nftables.service", "proofline-health.service"}

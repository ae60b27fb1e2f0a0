"""Power cuts at random moments of an installation, from the bundle that is checked to the slot that is armed.

Whatever was being written: the station starts, says whether it is ready, finds a slot good and keeps it, its records
can be read, and what it had on record before is still there. Each cut draws the moment, and what the card loses. All
go on from one station, frozen when its bundle had come and nothing was installed yet.
"""

from __future__ import annotations

import random
import time

import pytest

from appliance.update import records
from hil.virtual_station import shared
from hil.virtual_station.medium import Moment
from hil.virtual_station.peril import Cut, cuts
from hil.virtual_station.places import STATIONS
from hil.virtual_station.station import Frozen, VirtualStation
from hil.virtual_station.updates import UpdateDesk, wait_status

WRITES = {"root-b": 90, "slots": 2, "state": 40, "boot-b": 60, "hash-b": 1}
"""About how many writes each of the card's partitions sees in an installation."""
REFUSED = b"PL-SIT-080"
"""What a press of the shared station's button comes to: nothing is released to it."""


def on_record(station: VirtualStation) -> bytes:
    """The recorder's journal of refusals, as it is on the card."""
    folder = station.card.state_files("/shared/var/lib/proofline/recorder")
    return (folder / "recorder/refusals.journal").read_bytes()


@pytest.fixture(scope="module")
def begun() -> Frozen:
    """A station with something on record that is about to install an image."""
    desk = UpdateDesk("cuts")
    stick = desk.release(desk.image("0.2.0"))
    enrolled = shared.enrolled().frozen
    with VirtualStation("cuts", frozen=enrolled) as station:
        shared.go_on(station)
        station.press()
        deadline = time.monotonic() + 300
        while REFUSED not in on_record(station):
            assert time.monotonic() < deadline
        station.plug(stick)
        wait_status(station, state="checking")
        station.unplug()
        return station.freeze(STATIONS / "cuts.begun")


def moment(station: VirtualStation, cut: Cut) -> tuple[str, Moment]:
    """Where and at which write the power goes. The first cuts take the partitions in turn."""
    names = list(WRITES)
    name = names[cut.number] if cut.number < len(names) else random.Random(cut.seed).choice(names)
    return name, cut.moment(WRITES[name], within=station.card.place(f"proofline-{name}"))


@pytest.mark.parametrize("cut", cuts(3), ids=str)
def test_a_cut_in_an_installation_leaves_a_station_that_starts_and_has_lost_nothing(begun: Frozen, cut: Cut) -> None:
    with VirtualStation(f"cut-{cut.number}", frozen=begun) as station:
        clock = shared.go_on(station)
        where, at = moment(station, cut)
        reached = station.power_cut_at(at, cut.loss, timeout_s=300)
        print(f"{cut}: {where}, write {at.writes}, {cut.loss}, reached: {reached}")
        clock.tell(offset_ms=0)
        station.power_on()
        station.wait_ready()
        tried = station.card.slot_state()
        assert tried is not None
        station.wait_kept(tried.last)
        station.power_cut()
        assert REFUSED in on_record(station)
        folder = station.card.state_files("/shared/var/lib/proofline") / "proofline"
        committed = records.load_committed(folder / "slots")
        assert committed is not None
        attempts = records.load_history(folder / "update").attempts
        assert {one.outcome for one in attempts} <= {"started", "cut_off", "installed", "kept"}

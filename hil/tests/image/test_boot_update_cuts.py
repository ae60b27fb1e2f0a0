"""Power cuts at random moments of an update, from the stick that is read to the slot that is armed.

Whatever was being written: the station starts, says whether it is ready, finds a slot good and keeps it, its records
can be read, and what it had on record before is still there. Each seed draws the moment, and what the card loses.
"""

from __future__ import annotations

import random

import pytest

from appliance.update import records
from hil.virtual_station import shared
from hil.virtual_station.medium import Moment
from hil.virtual_station.peril import Cut, cuts
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.sticks import Stick
from hil.virtual_station.surroundings import TimeServer
from hil.virtual_station.updates import UpdateDesk

WRITES = {"state": 300, "boot-b": 60, "root-b": 90, "hash-b": 1, "slots": 2}
"""About how many writes each of the card's partitions sees in an update."""
NEW = "0.2.0"


@pytest.fixture(scope="module")
def stick() -> Stick:
    desk = UpdateDesk("cuts")
    return desk.release(desk.image(NEW))


def moment(station: VirtualStation, cut: Cut) -> tuple[str, Moment]:
    """Where and at which write the power goes. The first cuts take the partitions in turn."""
    names = sorted(WRITES)
    name = names[cut.number] if cut.number < len(names) else random.Random(cut.seed).choice(names)
    return name, cut.moment(WRITES[name], within=station.card.place(f"proofline-{name}"))


@pytest.mark.parametrize("cut", cuts(), ids=str)
def test_a_cut_in_an_update_leaves_a_station_that_starts_and_has_lost_nothing(stick: Stick, cut: Cut) -> None:
    begun = shared.enrolled().frozen
    with VirtualStation(f"cut-{cut.number}", frozen=begun) as station:
        time = TimeServer(station.network)
        time.tell(offset_ms=-begun.lag_ms())
        station.power_on()
        station.press()
        station.wait_journal("PL-HSM-001", timeout_s=90)
        station.plug(stick)
        where, at = moment(station, cut)
        reached = station.power_cut_at(at, cut.loss, timeout_s=300)
        print(f"{cut}: {where}, write {at.writes}, {cut.loss}, reached: {reached}")
        station.unplug()
        time.tell(offset_ms=0)
        station.power_on()
        station.wait_ready()
        running = station.card.slot_state()
        assert running is not None
        station.wait_kept(running.last)
        station.power_cut()
        state = station.card.slot_state()
        assert state is not None
        assert state.good[state.order[0]] or state.left[state.order[0]]
        folder = station.card.state_files("/shared/var/lib/proofline") / "proofline"
        committed = records.load_committed(folder / "slots")
        assert committed is not None
        assert committed.slot == running.last
        attempts = records.load_history(folder / "update").attempts
        assert all(one.outcome in {"started", "cut_off", "installed", "kept"} for one in attempts)
        assert b"PL-HSM-001" in (folder / "recorder/refusals.journal").read_bytes()

"""The power goes while the boot script writes the slot state, and what it wrote is there, torn or lost.

Nothing but the boot script runs here; a boot takes seconds. `appliance.update` writes the same two copies by the same
rule (test_slot_state.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.update import slotstate
from hil.virtual_station.medium import Moment
from hil.virtual_station.peril import cuts
from hil.virtual_station.station import VirtualStation

STATED = r"proofline: slot (\w); attempts left a=(\d) b=(\d); state (\w+)"
KNOWN = slotstate.State(9, ("b", "a"), {"a": 3, "b": 2}, {"a": True, "b": False}, "b")


def test_a_cut_while_the_slot_state_is_written_leaves_the_one_before_or_the_one_after() -> None:
    after = replace(KNOWN, seq=10, left={"a": 3, "b": 1})
    with VirtualStation("script") as station:
        slots = station.card.place("proofline-slots")
        for cut in cuts(few=8, many=60):
            station.card.keep_slot_state(KNOWN)
            station.power_on()
            assert station.power_cut_at(Moment(1, within=slots), cut.loss, timeout_s=60), cut
            assert station.card.slot_state() in (KNOWN, after), (cut, cut.loss)
        left = station.card.slot_state()
        assert left is not None
        station.power_on()
        told = station.wait_console(STATED)
        station.power_cut()
        assert (told[1], int(told[4], 16)) == ("b", left.seq + 1)


@pytest.mark.parametrize("damaged", [0, 1])
def test_with_one_copy_damaged_it_goes_on_from_the_other(damaged: int) -> None:
    with VirtualStation(f"script-{damaged}") as station:
        station.card.keep_slot_state(KNOWN)
        station.card.flip("proofline-slots", slotstate.PLACES[damaged] + 100)
        station.power_on()
        told = station.wait_console(STATED)
        station.power_cut()
    assert (told[1], told[2], told[3], told[4]) == ("b", "3", "1", "a")


def test_when_no_slot_has_an_attempt_left_those_that_were_good_have_theirs_back() -> None:
    with VirtualStation("script-used-up") as station:
        station.card.keep_slot_state(replace(KNOWN, left={"a": 0, "b": 0}))
        station.power_on()
        told = station.wait_console(STATED)
        station.power_cut()
    assert (told[1], int(told[2]), int(told[3])) == ("a", slotstate.ATTEMPTS_GOOD - 1, 0)

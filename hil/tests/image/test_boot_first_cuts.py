"""Power cuts at random moments of the first boot: from the partition table to the slot that is found good.

Whatever was being written: the next boot ends in a station that is not enrolled, with a name of its own that it then
keeps, whose records can be read. Each seed draws the moment, and what the card loses. The second before systemd is cut
much more often, and with a TPM, in test_boot_state.py.
"""

from __future__ import annotations

import re

import pytest

from hil.virtual_station.peril import Cut, cuts
from hil.virtual_station.station import VirtualStation

WRITES = 400
"""About how many writes a first boot makes until it says whether it is ready."""


def machine_id(station: VirtualStation) -> str:
    files = station.card.state_files("/shared/machine-id")
    return (files / "machine-id").read_text("ascii").strip()


@pytest.mark.parametrize("cut", cuts(2), ids=str)
def test_a_cut_in_the_first_boot_leaves_a_station_that_starts_with_a_name_of_its_own(cut: Cut) -> None:
    with VirtualStation(f"first-cut-{cut.number}") as station:
        at = cut.moment(WRITES)
        station.power_on()
        reached = station.power_cut_at(at, cut.loss, timeout_s=240)
        print(f"{cut}: {at}, {cut.loss}, reached: {reached}")
        kept = machine_id(station) if "proofline-state" in station.card.partitions() else None
        station.power_on()
        assert station.wait_ready().startswith("proofline: not ready: not_enrolled")
        state = re.search(r"proofline: state: .*; id ([0-9a-f]{32})$", station.console(), re.MULTILINE)
        assert state is not None
        station.wait_kept("a")
        station.power_cut()
        name = machine_id(station)
        assert re.fullmatch("[0-9a-f]{32}", name)
        assert kept in (None, name)
        assert {one["_MACHINE_ID"] for one in station.card.journal() if "_MACHINE_ID" in one} == {name}

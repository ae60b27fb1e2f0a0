"""A reset, ordered on a stick: refused where it does not cover everything, then obeyed, with a power cut in the middle.

One enrolled station lives through all of it. It has no token, so its log is empty and the desk cannot prove an export;
that part is tests/reset. Here the order is composed from what lies on the card.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.recorder.heads import Heads, read_heads
from appliance.verify.site_resets import JournalHead, LogHead
from hil.release_desk import DemoSite
from hil.virtual_station import shared
from hil.virtual_station.loss import Loss
from hil.virtual_station.places import STATIONS
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.sticks import Stick, make_stick
from hil.virtual_station.surroundings import TimeServer

STATION = "bench-01"


@dataclass
class Life:
    """Ids and heads before and after, and what the consoles said."""

    states: list[str] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    consoles: list[str] = field(default_factory=list)
    heads_when_refused: list[Heads] = field(default_factory=list)
    journal: str = ""

    def look(self, station: VirtualStation) -> Heads:
        files = station.card.state_files("/shared")
        self.states.append((files / "shared/state-id").read_text("ascii").strip())
        self.machines.append((files / "shared/machine-id").read_text("ascii").strip())
        return read_heads(files / "shared/var/lib/proofline/recorder")


def ordered(site: DemoSite, folder: Path, state: str, heads: Heads, number: str) -> Stick:
    """A stick with the site's order for these heads; every key of the station is revoked."""
    now = datetime.now(UTC)
    with site.edit() as draft:
        station = draft.stations().station(STATION)
        assert station is not None
        if any(key.revoked is None for key in station.keys):
            draft.revoke_station(STATION, at=now, reason=number)
        draft.set_reset(
            STATION,
            order=number,
            state=state,
            log=LogHead(heads.size, heads.root),
            refusals=JournalHead(heads.count, heads.head),
            ticket="CHG-9",
            since=now - timedelta(hours=1),
            until=now + timedelta(hours=2),
        )
    site.approve_and_promote("CHG-9")
    carrier = folder / number
    site.desk.export(carrier)
    return make_stick(folder / f"{number}.stick", carrier)


@pytest.fixture(scope="module")
def life() -> Life:
    folder = STATIONS / "reset.desk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = shared.open_site(folder / "site")
    begun, seen = shared.enrolled().frozen, Life()
    # booted, not thawed: an order's window needs a clock that never was out
    with VirtualStation("reset", like=begun.card) as station:
        TimeServer(station.network)
        station.power_on()
        station.wait_ready()
        station.wait_kept("a")
        heads = seen.look(station)
        more = Heads(heads.size, heads.root, heads.count + 1, heads.head)
        station.plug(ordered(site, folder, seen.states[0], more, "RST-1"))
        station.wait_console("proofline: reset refused: PL-RST-012", timeout_s=300)
        station.unplug()
        seen.heads_when_refused.append(seen.look(station))

        right = ordered(site, folder, seen.states[0], heads, "RST-2")
        station.plug(right)
        station.wait_console("proofline: reset RST-2 is proven", timeout_s=300)
        station.wait_off(200)
        station.unplug()
        station.power_on()
        station.wait_console("proofline: state: wiping", timeout_s=200)
        station.power_cut(Loss("torn at 512", 1))
        station.power_on()
        station.wait_console("proofline: state: wiped", timeout_s=300)
        seen.consoles.append(station.wait_ready())
        seen.look(station)

        station.plug(right)
        station.wait_console("proofline: reset refused: PL-RST-001", timeout_s=300)
        seen.look(station)
        station.power_cut()
    return seen


def test_an_order_that_covers_another_number_of_refusals_changes_nothing(life: Life) -> None:
    assert life.states[1] == life.states[0]
    assert life.machines[1] == life.machines[0]


def test_a_reset_that_was_cut_in_the_middle_ends_in_a_new_state_of_its_own_name(life: Life) -> None:
    assert life.states[2] != life.states[0]
    assert life.machines[2] != life.machines[0]
    assert life.consoles[0].startswith("proofline: not ready")


def test_the_same_order_does_not_work_twice(life: Life) -> None:
    assert life.states[3] == life.states[2]

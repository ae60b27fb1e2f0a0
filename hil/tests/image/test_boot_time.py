"""A clock that is wrong at power-on, and what is missing around the station: nothing of it costs a slot or a journal.

Both stations boot for the first time, from a card with a site: their slot has not been found good before, so anything
that counted against the image would bring them back to the boot script instead of being kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from hil.virtual_station import shared
from hil.virtual_station.card import Card, lines
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.surroundings import TimeServer

UNSURE = "PL-CLK-003"
LATER = 2098
"""A year that no file and no line of the journal may bear, whatever the clock said at power-on."""


@dataclass
class Story:
    """What came of it: what the station said, its journal at the end, and its card."""

    marker: str
    journal: list[dict[str, Any]]
    card: Card

    def says(self, text: str) -> bool:
        return any(text in str(one.get("MESSAGE")) for one in self.journal)

    def years(self) -> set[int]:
        return {datetime.fromtimestamp(int(one["__REALTIME_TIMESTAMP"]) / 1e6, UTC).year for one in self.journal}


@pytest.fixture(scope="module")
def long_ago() -> Story:
    """1970, and a time server that is silent until the slot was kept; then power comes again with a good clock."""
    with VirtualStation("long-ago") as station:
        station.card.put("proofline-site", shared.site_card())
        server = TimeServer(station.network)
        server.tell(silent=True)
        station.power_on(rtc="1970-01-01")
        marker = station.wait_ready()
        station.wait_kept("a")
        station.wait_journal(UNSURE, timeout_s=300)
        server.tell(silent=False)
        station.wait_journal("proofline.clock: Synchronized", timeout_s=300)
        station.power_cut()
        station.power_on()
        station.wait_kept("a")
        station.power_cut()
        return Story(marker, station.card.journal(), station.card)


@pytest.fixture(scope="module")
def far_ahead() -> Story:
    """2099, and no network at all."""
    with VirtualStation("far-ahead") as station:
        station.card.put("proofline-site", shared.site_card())
        station.power_on(rtc="2099-01-01", network=False)
        marker = station.wait_ready()
        station.wait_kept("a")
        station.wait_journal("slot a is good", timeout_s=300)
        station.power_cut()
        return Story(marker, station.card.journal(), station.card)


@pytest.fixture(params=["long_ago", "far_ahead"])
def story(request: pytest.FixtureRequest) -> Story:
    """Each of the two."""
    told: Story = request.getfixturevalue(request.param)
    return told


def test_it_comes_up_and_says_which_gates_are_closed(story: Story) -> None:
    assert "not ready: gate_" in story.marker
    assert story.says(UNSURE)


def test_the_slot_is_kept(story: Story) -> None:
    state = story.card.slot_state()
    assert state is not None
    assert (state.last, state.good["a"]) == ("a", True)
    failed = [one for one in story.journal if "Failed with result" in str(one.get("MESSAGE"))]
    assert failed == [], lines(failed)


def test_neither_journal_nor_files_bear_the_wrong_year(story: Story) -> None:
    assert not story.years() & {1970, *range(LATER, 2101)}, story.years()
    kept = story.card.state_files("/shared/var/lib/proofline")
    wrong = [str(path) for path in kept.rglob("*") if not 1971 < _year(path.stat().st_mtime) < LATER]
    assert wrong == []


def test_it_becomes_sure_of_the_time_by_itself_once_a_server_answers(long_ago: Story) -> None:
    assert long_ago.says("proofline.clock: Synchronized")


def test_the_journal_keeps_the_boot_before(long_ago: Story) -> None:
    boots = list(dict.fromkeys(one["_BOOT_ID"] for one in long_ago.journal if "_BOOT_ID" in one))
    assert len(boots) == 2
    before = [str(one.get("MESSAGE")) for one in long_ago.journal if one.get("_BOOT_ID") == boots[0]]
    for said in (UNSURE, "proofline.clock: Synchronized", "slot a is good"):
        assert any(said in line for line in before), said


def _year(seconds: float) -> int:
    return datetime.fromtimestamp(seconds, UTC).year

"""The one way in, in the image: a stick at the intake port is read and judged by itself; whatever else is plugged in,
or plugged in elsewhere, is refused by name.

One station goes on from the shared enrolled one and lives through all of it; nothing here boots.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from hil.virtual_station import shared
from hil.virtual_station.card import lines
from hil.virtual_station.places import STATIONS
from hil.virtual_station.station import VirtualStation
from hil.virtual_station.sticks import make_stick

_HERE = STATIONS / "entry-sticks"


@dataclass
class Seen:
    """What the station's journal holds at the end, and the recorder's journal of refusals."""

    journal: str
    recorded: bytes


@pytest.fixture(scope="module")
def seen(carrier: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    shutil.rmtree(_HERE, ignore_errors=True)
    good = make_stick(_HERE / "good", carrier.parent)
    other = tmp_path_factory.mktemp("other")
    (other / "holiday.txt").write_text("sun")
    nothing = make_stick(_HERE / "nothing", other, layout="bare")
    altered = tmp_path_factory.mktemp("altered")
    shutil.copytree(carrier, altered / "proofline")
    snapshot = next((altered / "proofline" / "metadata").glob("*.snapshot.json"))
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    begun = shared.enrolled().frozen
    with VirtualStation("entry", frozen=begun) as station:
        shared.go_on(station)
        for stick, port, told in (
            (None, "1", "PL-USB-011"),
            (good, "2", "PL-USB-010"),
            (nothing, "1", "PL-STK-030"),
            (make_stick(_HERE / "altered", altered), "1", "carrier from stick refused: PL-SIT-"),
            (good, "1", "carrier from stick: targets"),
        ):
            station.plug(stick, port=port)
            station.wait_journal(told, timeout_s=300)
            station.unplug(port)
        station.power_cut()
        kept = station.card.state_files("/shared/var/lib/proofline/recorder") / "recorder"
        recorded = b"".join(place.read_bytes() for place in sorted(kept.rglob("*")) if place.is_file())
        return Seen(lines(station.card.journal()), recorded)


def test_a_keyboard_at_the_intake_port_stays_refused(seen: Seen) -> None:
    assert "PL-USB-011" in seen.journal
    assert "is let in as own" not in seen.journal


def test_a_stick_at_another_port_stays_refused(seen: Seen) -> None:
    assert "PL-USB-010: Nothing is allowed at" in seen.journal


def test_a_stick_at_the_intake_port_is_let_in_and_read_each_time(seen: Seen) -> None:
    assert seen.journal.count("is let in as stick") == 3
    assert seen.journal.count("a stick is plugged in: reading it") == 3
    assert seen.journal.count("carrier from stick: targets") == 1


def test_what_is_refused_is_on_record(seen: Seen) -> None:
    assert b"PL-STK-030" in seen.recorded
    assert b"PL-SIT-022" in seen.recorded


def test_no_bus_is_called_unguarded(seen: Seen) -> None:
    assert "PL-USB-020" not in seen.journal


def test_nothing_of_a_stick_is_mounted(seen: Seen) -> None:
    assert "FAT-fs" not in seen.journal

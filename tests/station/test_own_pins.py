"""A station without a probe: the board hangs on the gateway's own pins, and the site says which."""

from __future__ import annotations

import json
from pathlib import Path

from appliance.evidence import envelope, statement
from hil.local_station.bench_station import LocalStation
from hil.local_station.office import WorkOrder
from tests.station.boards import fresh_uid


def test_a_unit_over_the_stations_own_pins_passes_and_says_so(folder: Path) -> None:
    with LocalStation.make(folder / "pins", [WorkOrder("WO-1", 10)], own_pins=True) as station:
        station.sign_in()
        station.choose("WO-1")
        station.insert(fresh_uid())
        outcome = station.press_and_wait()
        assert (outcome.verdict, outcome.pattern) == ("pass", "pass")
        manifest = (station.evidence / "log" / "proofs" / f"{outcome.press}.manifest.json").read_bytes()
        payload = envelope.decode(manifest, {statement.STATEMENT_PAYLOAD}).payload
        assert json.loads(payload)["predicate"]["station"]["probe"] == {"kind": "gpioswd", "id": "fixture-1"}
        assert "1.0.0" in station.fixture.ask(do="uart", run_ms=80, baud=115200)["text"]
        station.fixture.ask(do="remove")
        empty = station.press_and_wait()
        assert empty.verdict == "aborted"
        assert empty.pattern != "pass"


def test_a_gang_on_pins_of_its_own_has_a_proof_for_each_board(folder: Path) -> None:
    with LocalStation.make(folder / "gang", [WorkOrder("WO-1", 10)], benches=2, own_pins=True) as station:
        station.sign_in()
        station.choose("WO-1")
        for position in range(2):
            station.insert(fresh_uid(), position)
        assert station.press_and_wait().pattern == "pass"
        assert [one.verdict for one in station.gang()] == ["pass", "pass"]

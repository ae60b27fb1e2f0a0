"""Four boards at once on a whole station: real services, four virtual benches, and one of them always in trouble."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import main
from appliance.evidence import envelope as envelopes
from appliance.evidence import statement
from appliance.evidence.label import derived_label
from hil.local_station.bench_station import LocalStation, Outcome
from hil.local_station.office import WorkOrder
from tests.station.boards import fresh_uid

N = 4
ALL = range(N)


@pytest.fixture(scope="module")
def station(folder: Path) -> Iterator[LocalStation]:
    orders = [WorkOrder("WO-1", 1000), WorkOrder("WO-2", 2)]
    with LocalStation.make(folder / "gang", orders, benches=N) as made:
        made.sign_in()
        made.choose("WO-1")
        yield made


def load(station: LocalStation) -> list[str]:
    """A fresh board at every position; their silicon ids."""
    uids = [fresh_uid() for _ in ALL]
    for position, uid in enumerate(uids):
        station.insert(uid, position)
    return uids


def press(station: LocalStation) -> tuple[str, list[Outcome]]:
    """One touch of the button: the sign for all, and what came of each position."""
    seen = station.press_and_wait()
    return seen.pattern, station.gang()


def verdicts(gang: list[Outcome]) -> list[str | None]:
    return [one.verdict for one in gang]


def predicate(station: LocalStation, press_id: str) -> dict[str, Any]:
    manifest = station.evidence / "log" / "proofs" / f"{press_id}.manifest.json"
    payload = envelopes.decode(manifest.read_bytes(), {statement.STATEMENT_PAYLOAD}).payload
    found: dict[str, Any] = json.loads(payload)["predicate"]
    return found


def flash(station: LocalStation, position: int) -> dict[str, Any]:
    """What really lies in a board's flash, asked of the board and not of the station."""
    return station.fixtures[position].ask(do="flash")


def test_four_boards_pass_at_once_each_with_its_own_proof(station: LocalStation) -> None:
    uids = load(station)
    pattern, gang = press(station)
    assert pattern == "pass"
    assert verdicts(gang) == ["pass"] * N
    found = [predicate(station, one.press) for one in gang]
    assert [one["device"]["uid"] for one in found] == uids
    assert [one["station"]["probe"] for one in found] == [
        {"kind": "vnucleo", "id": f"fixture-{position + 1}"} for position in ALL
    ]
    assert len({one["event"]["reservation"]["index"] for one in found}) == N
    assert len({flash(station, position)["sha256"] for position in ALL}) == 1
    assert not flash(station, 0)["erased"]
    lamps = station.hands.ask(do="lamps")["now"]
    assert [lamps[f"green {position + 1}"] for position in ALL] == [True] * N
    assert lamps["green"]


def dead(station: LocalStation, position: int) -> None:
    station.fixtures[position].ask(do="power", on=False)


def empty(station: LocalStation, position: int) -> None:
    station.remove(position)


def brown_out(station: LocalStation, position: int) -> None:
    station.swap_bench(position, "tests.station.faulty_bench", "brown-out")
    station.insert(fresh_uid(), position)


def used_before(station: LocalStation, position: int) -> None:
    """A board that passed when the first test ran."""
    station.insert(predicate(station, first_pass(station))["device"]["uid"], position)


def first_pass(station: LocalStation) -> str:
    proofs = (station.evidence / "log" / "proofs").glob("*.manifest.json")
    pressed = [path.name.partition(".")[0] for path in proofs]
    return next(one for one in pressed if predicate(station, one)["event"]["verdict"] == "pass")


def other_part(station: LocalStation, position: int) -> None:
    station.swap_bench(position, "tests.station.faulty_bench", "other-part")
    station.insert(fresh_uid(), position)


def weak_cell(station: LocalStation, position: int) -> None:
    station.swap_bench(position, "tests.station.faulty_bench", "weak-cell")
    station.insert(fresh_uid(), position)


BAD = [
    (dead, 0, "aborted", {"PL-TGT-041", "PL-TGT-042", "PL-TGT-044"}, "refused", True),
    (empty, 2, "aborted", {"PL-TGT-041", "PL-TGT-042", "PL-TGT-044"}, "refused", None),
    (brown_out, 1, "quarantined", {"PL-TGT-050"}, "attention", False),
    (used_before, 3, "refused", {"PL-REC-021"}, "stopped", None),
    (other_part, 1, "refused", {"PL-TGT-031"}, "refused", True),
    (weak_cell, 2, "fail", {"PL-LIN-010"}, "fail", False),
]


@pytest.mark.parametrize(("harm", "position", "verdict", "codes", "pattern", "blank"), BAD)
def test_a_bad_board_harms_only_itself(
    station: LocalStation,
    harm: Any,
    position: int,
    verdict: str,
    codes: set[str],
    pattern: str,
    blank: bool | None,
) -> None:
    load(station)
    harm(station, position)
    try:
        shown, gang = press(station)
        assert gang[position].verdict == verdict
        assert gang[position].code in codes
        others = [one for at, one in enumerate(gang) if at != position]
        assert verdicts(others) == ["pass"] * (N - 1)
        assert shown == pattern
        assert f"Position {position + 1}:" in station.look()["text"]
        assert [one.pattern == "pass" for one in gang] == [at != position for at in ALL]
        if blank is not None:
            assert flash(station, position)["erased"] is blank
    finally:
        if harm in {brown_out, other_part, weak_cell}:
            station.swap_bench(position, "hil.virtual_nucleo.server")
        if station.look()["stopped"]:
            station.acknowledge()


def test_one_silicon_id_twice_in_one_gang_stops_the_line(station: LocalStation) -> None:
    uids = load(station)
    station.insert(uids[0], 3)
    shown, gang = press(station)
    assert shown == "stopped"
    assert verdicts(gang[1:3]) == ["pass", "pass"]
    # Which of the two came first is chance; the other one was not touched, and has its trace.
    twins = [gang[0], gang[3]]
    passed = [one for one in twins if one.verdict == "pass"]
    other = next(one for one in twins if one.verdict != "pass")
    assert len(passed) == 1
    assert other.journalled or other.code in {"PL-REC-021", "PL-REC-022"}
    assert sum(flash(station, position)["erased"] for position in (0, 3)) == 1
    station.acknowledge()


def test_of_a_gang_no_more_pass_than_the_order_has_left(station: LocalStation) -> None:
    station.choose("WO-2")
    load(station)
    shown, gang = press(station)
    assert shown == "refused"
    assert sorted(map(str, verdicts(gang))) == ["pass", "pass", "refused", "refused"]
    assert {one.code for one in gang if one.verdict == "refused"} <= {"PL-SGN-042", "PL-REC-031"}
    assert [flash(station, at)["erased"] for at in ALL] == [one.verdict == "refused" for one in gang]
    station.choose("WO-1")


def test_scanned_labels_belong_to_their_positions(station: LocalStation) -> None:
    labels = [derived_label("FW", "stm32f412xg", uid) for uid in load(station)]
    swapped = [labels[0], labels[2], labels[1], labels[3]]
    for position, label in enumerate(swapped, 1):
        station.scan(label, lambda seen, position=position: f"Position {position}: label" in seen["text"])  # type: ignore[misc]
    shown, gang = press(station)
    assert shown == "stopped"
    assert verdicts(gang) == ["pass", "refused", "refused", "pass"]
    assert [one.code for one in gang] == [None, "PL-REC-041", "PL-REC-041", None]
    assert predicate(station, gang[3].press)["label"]["scanned"] == labels[3]
    station.acknowledge()


def test_a_line_killed_in_the_middle_recovers_each_on_its_own(station: LocalStation) -> None:
    # Small units are quick and the blow comes from outside: it may fall too late, so it is struck until one has fallen
    # in the middle. What has to hold then has to hold after every blow.
    gang: list[Outcome] = []
    for _ in range(12):
        gang = killed_while_working(station)
        assert len(gang) == N
        assert set(verdicts(gang)) <= {"pass", "aborted", "quarantined"}
        assert gang[3].verdict == "aborted"
        assert all(one.index is not None for one in gang)
        if "quarantined" in verdicts(gang):
            break
    assert "quarantined" in verdicts(gang)
    assert station.look()["pattern"] == "attention"
    station.wait_open()
    load(station)
    assert press(station)[0] == "pass"


def killed_while_working(station: LocalStation) -> list[Outcome]:
    """Three boards and an empty position, and the line killed as soon as a board is seen to be programmed."""
    load(station)
    station.remove(3)
    before, restarts = station.presses(), station.supervisor.restarts("line")
    station.press()
    deadline = time.monotonic() + 60
    while True:
        seen = station.look()
        working = {one["stage"] for one in seen["positions"] if not one["verdict"]}
        if {"program", "measure"} & working:
            station.supervisor.kill("line")
            station.supervisor.wait_restarted("line", restarts)
            break
        if seen["presses"] > before and seen["pattern"] not in {"running", "starting"}:
            break  # too late
        assert time.monotonic() < deadline
    station.wait_outcome(before)
    station.wait_open()
    return station.gang()


def test_the_whole_log_holds_for_a_station_of_four(station: LocalStation, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "log", os.fspath(station.evidence / "log"), "--site", os.fspath(station.carrier)]
    words += ["--root", os.fspath(station.folder / "site" / "root.json"), "--allow-development"]
    deadline = time.monotonic() + 30
    with station.client("recorder") as recorder:
        while (told := recorder.call("Describe"))["journal"] > told["journal_committed"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while main([*words, "--concurrent", str(N)]) != 0:
            assert time.monotonic() < deadline, capsys.readouterr().out  # it is being published
            time.sleep(0.5)
    assert main(words) == 1

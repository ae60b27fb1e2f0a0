"""Units through the line, with everything that can go wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.custody.errors import RangesWrong
from appliance.ipc import Caller
from appliance.line import peers, service
from appliance.line.peers import as_wire
from appliance.panel.errors import PassUnproven
from appliance.target.errors import ImplausibleUid
from tests.line.world import IMAGE, UIDS, Crash, World

LINE = Caller(UIDS["line"], 1, "line")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_RETRY_S", 0)
    monkeypatch.setattr(service, "_POLL_MS", 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    found.live()
    yield found
    found.close()


def check(world: World, press: str) -> str:
    """The promises that hold for every press, however it went; the verdict that the panel has."""
    ended = world.book.find(press)
    assert ended is not None
    assert ended.verdict is not None, "a press without an end"
    assert world.finishes(press) == 1
    manifest = world.recorder.manifests.get(press)
    refused = [one for one in world.recorder.journal if one["press"] == press and one["kind"] == "refusal"]
    assert (manifest is not None) + len(refused) == 1, "a press with no end in the evidence, or with two"
    if ended.verdict == "pass":
        assert manifest is not None
        assert manifest["verdict"] == "pass"
        assert manifest["content"] == IMAGE.segments[0].data.hex()
    if manifest is not None:
        assert ended.verdict == manifest["verdict"]
    assert world.flashed.count(press) <= 1
    assert press not in world.flashed or press in world.recorder.reservations
    assert world.units is not None
    assert world.units.unit is None
    assert world.units.owed == ()
    return ended.verdict


def test_a_good_board_passes_and_is_green(world: World) -> None:
    press = world.press()
    world.live()
    assert check(world, press) == "pass"
    assert world.pattern() == "pass"
    assert world.flashed == [press]


def test_a_board_that_measures_otherwise_fails(world: World) -> None:
    world.bad_flash = True
    press = world.press()
    world.live()
    assert check(world, press) == "fail"
    assert world.recorder.manifests[press]["code"] == "PL-LIN-010"
    assert world.pattern() == "fail"


def test_the_same_board_twice_stops_the_line_until_acknowledged_and_across_restarts(world: World) -> None:
    world.press()
    world.live()
    second = world.press()
    world.live()
    assert check(world, second) == "refused"
    assert world.recorder.manifests[second]["code"] == "PL-REC-021"
    assert [r["kind"] for r in world.recorder.journal] == ["line_stop"]
    assert world.pattern() == "stopped"
    world.line = None  # the line is started again; the panel remembers
    world.live()
    third = world.press()
    world.live()
    assert check(world, third) == "refused"
    assert world.recorder.manifests[third]["code"] == "PL-LIN-001"
    assert world.pattern() == "stopped"
    world.book.restart("lea")
    world.recorder.manifests.clear()
    fourth = world.press()
    world.live()
    assert check(world, fourth) == "pass"


@pytest.mark.parametrize(("event", "code"), [("return", "PL-LIN-004"), ("scrap", "PL-LIN-005")])
def test_return_and_scrap_identify_and_record_only(world: World, event: str, code: str) -> None:
    press = world.press(event)
    world.live()
    assert check(world, press) == "refused"
    assert world.flashed == []
    assert press in world.recorder.reservations
    assert world.recorder.manifests[press]["code"] == code


def test_a_closed_signing_gate_ends_in_the_refusal_journal_and_is_committed_when_it_opens(world: World) -> None:
    world.shut_signer(questions=3)
    press = world.press()
    world.live()
    assert check(world, press) == "refused"
    assert world.recorder.manifests == {}
    assert world.recorder.journal[0]["refusal"]["code"] == "PL-SGN-020"
    assert world.flashed == []
    world.live(3)
    assert world.recorder.committed == 1


def test_a_closed_gate_that_leaves_signing_open_ends_in_a_refused_manifest(world: World) -> None:
    world.recorder.closed = [{**as_wire(ImplausibleUid(uid="0", reason="x")), "code": "PL-REC-031"}]
    press = world.press()
    world.live()
    assert check(world, press) == "refused"
    assert world.recorder.manifests[press]["code"] == "PL-REC-031"
    assert world.recorder.journal == []


def test_a_manifest_whose_append_was_not_answered_is_the_only_end(world: World) -> None:
    world.recorder.closed = [{**as_wire(ImplausibleUid(uid="0", reason="x")), "code": "PL-REC-031"}]

    def lose_answers() -> None:
        # The recorder dies after the entry is durable: no answer, and nobody to ask what became of it.
        at = len(world.points)
        world.faults |= {at + 1: "lost", at + 2: "away"}

    world.once["recorder.Append"] = lose_answers
    press = world.press()
    world.live(2)
    assert check(world, press) == "refused"
    assert press in world.recorder.manifests
    assert "recorder.JournalRefusal" in world.points


def test_a_reserved_unit_waits_for_its_manifest(world: World) -> None:
    world.once["signer.SignManifest"] = lambda: world.shut_signer(questions=40)
    press = world.press()
    world.live()
    assert check(world, press) == "pass"
    assert world.recorder.journal == []
    assert world.points.count("signer.SignManifest") > 3


def test_a_stop_is_journalled_also_where_the_unit_itself_could_only_be_journalled(world: World) -> None:
    world.press()
    world.live()
    world.once["recorder.Reserve"] = lambda: world.shut_signer(questions=6)
    press = world.press()
    world.live()
    assert check(world, press) == "refused"
    assert press not in world.recorder.manifests
    assert [record["kind"] for record in world.recorder.journal] == ["refusal", "line_stop"]
    assert world.pattern() == "stopped"


@pytest.mark.parametrize("always", [False, True])
def test_a_pass_that_the_signer_will_not_vouch_for_is_quarantined(
    world: World, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    sign = world.signer.sign_manifest

    def picky(caller: Any, press: str, observations: dict[str, Any]) -> dict[str, Any]:
        if always or observations["verdict"] == "pass":
            raise RangesWrong(why="planned")
        return sign(caller, press=press, observations=observations)

    monkeypatch.setattr(world.signer, "sign_manifest", picky)
    world.rewire()
    world.live()
    press = world.press()
    world.live()
    assert check(world, press) == "quarantined"
    assert world.pattern() == "attention"
    if always:
        assert world.recorder.journal[0]["refusal"]["code"] == "PL-LIN-011"
    else:
        assert world.recorder.manifests[press]["code"] == "PL-LIN-011"


def test_the_panel_shows_a_fault_and_no_green_when_the_line_lies(world: World) -> None:
    press = world.press()
    with pytest.raises(PassUnproven):
        world.panel.finish(LINE, press=press, verdict="pass", refusal=None, stop=False, recovered=False)
    assert world.pattern() == "fault"
    assert world.book.unfinished is not None
    world.live()
    assert check(world, press) == "pass"
    assert world.pattern() == "pass"


def test_a_press_from_before_the_line_started_is_not_begun(tmp_path: Path) -> None:
    world = World(tmp_path)
    press = world.press()
    world.live()
    assert check(world, press) == "aborted"
    assert world.flashed == []
    assert world.pattern() == "attention"
    world.close()


def points_of_a_good_unit(folder: Any) -> list[str]:
    world = World(folder)
    world.live()
    start = len(world.points)
    world.press()
    world.live()
    world.close()
    return ["" for _ in range(start)] + world.points[start:]


def test_a_crash_at_every_point_of_a_unit_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    names = points_of_a_good_unit(tmp_path / "good")
    seen: dict[str, str] = {}
    for at, name in enumerate(names):
        if not name:
            continue
        folder = tmp_path / str(at)
        folder.mkdir()
        world = World(folder, {at: "crash"})
        world.live()
        press = world.press()
        world.live(2)
        assert world.crashes == 1
        seen[name] = check(world, press)
        world.close()
    # Where the verdict of a crash is worth a line of its own:
    for name, verdict in {
        "panel.NextPress done": "aborted",
        "signer.Gates": "aborted",
        "board.identify": "aborted",
        "recorder.Reserve": "aborted",
        "recorder.Reserve done": "quarantined",
        "board.before-program": "quarantined",
        "board.in-program": "quarantined",
        "board.measure": "quarantined",
        "board.run": "quarantined",
        "signer.SignManifest": "pass",
        "signer.SignManifest done": "pass",
        "recorder.Append": "pass",
        "recorder.Append done": "pass",
        "panel.Finish": "pass",
        "panel.Finish done": "pass",
    }.items():
        assert seen[name] == verdict, name


@pytest.mark.parametrize("fault", ["away", "lost", "refuse", "closed"])
def test_any_single_fault_at_any_point_ends_in_one_end(tmp_path: Path, fault: str) -> None:
    (tmp_path / "good").mkdir()
    for at, name in enumerate(points_of_a_good_unit(tmp_path / "good")):
        if not name:
            continue
        folder = tmp_path / str(at)
        folder.mkdir()
        world = World(folder, {at: fault})
        world.live()
        press = world.press()
        world.live(4)
        assert world.crashes == 0
        check(world, press)
        world.close()


@settings(max_examples=150)
@given(
    faults=st.dictionaries(
        st.integers(4, 70), st.sampled_from(["crash", "away", "lost", "refuse", "closed"]), max_size=12
    ),
    bad_flash=st.booleans(),
    events=st.lists(st.sampled_from(["provision", "provision", "rework", "scrap"]), min_size=1, max_size=3),
)
def test_whatever_goes_wrong_and_however_often_the_promises_hold(
    tmp_path_factory: pytest.TempPathFactory, faults: dict[int, str], bad_flash: bool, events: list[str]
) -> None:
    world = World(tmp_path_factory.mktemp("world"), faults)
    world.bad_flash = bad_flash
    world.live()
    presses = []
    for event in events:
        press = world.press(event)
        presses.append(press)
        while world.book.unfinished is not None:
            world.live()
        if world.book.stopped_by is not None:
            world.book.restart("lea")
    world.faults.clear()
    world.shut_signer(0)
    world.live(4)
    for press in presses:
        check(world, press)
    world.close()


def test_a_defect_is_not_caught(world: World) -> None:
    def broken(order: str, event: str) -> Any:
        raise ZeroDivisionError

    assert world.line is not None
    world.line._shop = replace(world.line._shop, planner=broken)
    world.press()
    with pytest.raises(ZeroDivisionError):
        world.line._turn()
    world.line = None
    world.live()
    assert world.pattern() == "attention"


def test_crashes_are_of_this_test_only() -> None:
    assert not issubclass(Crash, Exception)

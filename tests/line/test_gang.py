"""A gang of boards through the line: each ends on its own, whatever becomes of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.ipc import Caller, Client
from appliance.line import peers, pulse, service
from appliance.line.crew import Once, together
from appliance.line.errors import PositionUnknown
from appliance.panel.errors import PassUnproven
from appliance.recorder.errors import DeviceDuplicate, DeviceReserved, OrderExhausted
from tests.line.gang_world import ALONE, GangWorld
from tests.line.stand_ins import until
from tests.line.test_units import LINE, check
from tests.line.world import World

N = 4


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_RETRY_S", 0)
    monkeypatch.setattr(service, "_POLL_MS", 0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GangWorld]:
    found = GangWorld(tmp_path)
    found.live()
    yield found
    found.close()


def verdicts(world: GangWorld, gang: list[str]) -> list[str]:
    return [check(world, press) for press in gang]


def positions(world: GangWorld) -> list[str]:
    """What the lamps at the positions show."""
    return [one["pattern"] for one in world.panel.describe(Caller(0, 0, "ops"))["positions"]]


def text(world: GangWorld) -> str:
    return str(world.panel.describe(Caller(0, 0, "ops"))["text"])


def test_four_good_boards_pass_together_and_only_then_it_is_green(world: GangWorld) -> None:
    gang = world.act()
    assert world.pattern() == "running"
    assert positions(world) == ["dark"] * N
    world.live()
    assert verdicts(world, gang) == ["pass"] * N
    assert world.pattern() == "pass"
    assert positions(world) == ["pass"] * N
    assert sorted(world.flashed) == sorted(gang)
    assert {world.recorder.manifests[press]["device"]["uid"] for press in gang} == set(world.uids)


def test_an_empty_position_aborts_by_itself_and_leaves_its_own_trace(world: GangWorld) -> None:
    world.empty = {2}
    gang = world.act()
    world.live()
    assert verdicts(world, gang) == ["pass", "pass", "aborted", "pass"]
    assert gang[2] in world.recorder.manifests
    assert world.pattern() == "refused"
    assert positions(world) == ["pass", "pass", "refused", "pass"]
    assert "Position 3: NOT DONE" in text(world)
    assert "Passed: 1, 2, 4." in text(world)


def test_the_worst_position_is_shown_for_all(world: GangWorld) -> None:
    world.bad, world.empty = {1}, {0}
    gang = world.act()
    world.live()
    assert verdicts(world, gang) == ["aborted", "fail", "pass", "pass"]
    assert world.pattern() == "fail"
    assert positions(world) == ["refused", "fail", "pass", "pass"]


def test_a_supply_cut_while_one_is_programmed_quarantines_that_one(tmp_path: Path) -> None:
    world = GangWorld(tmp_path)
    world.live()
    world.act()
    world.live()
    at = world.passed[1].index("board.in-program")
    world.close()
    (tmp_path / "again").mkdir()
    world = GangWorld(tmp_path / "again", plan={(1, at): "away"})
    world.live()
    gang = world.act()
    world.live()
    assert verdicts(world, gang) == ["pass", "quarantined", "pass", "pass"]
    assert world.pattern() == "attention"
    assert positions(world) == ["pass", "attention", "pass", "pass"]
    world.close()


def test_a_duplicate_stops_the_line_after_its_gang_and_harms_nobody_else(world: GangWorld) -> None:
    first = world.act()
    world.live()
    assert verdicts(world, first) == ["pass"] * N
    world.uids = [world.uids[0], *(f"ff{uid[2:]}" for uid in world.uids[1:])]
    second = world.act()
    world.live()
    assert verdicts(world, second) == ["refused", "pass", "pass", "pass"]
    assert world.recorder.manifests[second[0]]["code"] == DeviceDuplicate.code
    assert world.book.stopped_by == second[0]
    assert [record["kind"] for record in world.recorder.journal] == ["line_stop"]
    assert world.pattern() == "stopped"
    assert positions(world) == ["refused", "pass", "pass", "pass"]
    third = world.act()
    world.live()
    assert verdicts(world, third) == ["refused"] * N
    assert {world.recorder.manifests[press]["code"] for press in third} == {"PL-LIN-001"}
    world.book.restart("lea")
    world.uids = [f"ee{uid[2:]}" for uid in world.uids]
    assert verdicts(world, live(world)) == ["pass"] * N


def live(world: GangWorld) -> list[str]:
    gang = world.act()
    world.live()
    return gang


def test_one_silicon_id_at_two_positions_stops_the_line_and_one_of_them_is_left_alone(world: GangWorld) -> None:
    world.uids[3] = world.uids[1]
    reserve = world.recorder.reserve

    def as_the_real_one(caller: Any, press: str, device: dict[str, Any]) -> dict[str, Any]:
        with lock:
            for other, held in world.recorder.reservations.items():
                if held == device and other not in world.recorder.manifests:
                    raise DeviceReserved(**device, press=other)
            return reserve(caller, press=press, device=device)

    lock = threading.Lock()
    world.recorder.reserve = as_the_real_one  # type: ignore[method-assign]
    world.rewire()
    world.live()
    gang = live(world)
    found = verdicts(world, gang)
    assert (found[0], found[2]) == ("pass", "pass")
    assert sorted((found[1], found[3])) == ["pass", "refused"]
    assert world.pattern() == "stopped"
    assert len(world.flashed) == 3


def test_a_position_that_the_log_refuses_harms_only_itself(world: GangWorld) -> None:
    """An order with two units left and a gang of four."""
    reserve, lock = world.recorder.reserve, threading.Lock()

    def two_left(caller: Any, press: str, device: dict[str, Any]) -> dict[str, Any]:
        with lock:
            if len(world.recorder.reservations) >= 2:
                raise OrderExhausted(order="WO-1", quantity=2, passed=0, open=2)
            return reserve(caller, press=press, device=device)

    world.recorder.reserve = two_left  # type: ignore[method-assign]
    world.rewire()
    world.live()
    gang = live(world)
    assert sorted(verdicts(world, gang)) == ["pass", "pass", "refused", "refused"]
    assert len(world.flashed) == 2
    assert world.book.stopped_by is None


def test_a_fault_of_one_press_is_not_taken_back_by_the_end_of_another(world: GangWorld) -> None:
    gang = world.act()
    with pytest.raises(PassUnproven):
        world.panel.finish(LINE, press=gang[1], verdict="pass", refusal=None, stop=False, recovered=False)
    assert world.pattern() == "fault"
    world.recorder.manifests[gang[0]] = {"verdict": "pass", "code": None}
    world.panel.finish(LINE, press=gang[0], verdict="pass", refusal=None, stop=False, recovered=False)
    assert world.pattern() == "fault"


def test_reserved_positions_wait_together_while_nothing_can_be_signed(world: GangWorld) -> None:
    def all_reserved_then_shut() -> None:
        until(lambda: len(world.recorder.reservations) == N, "all reservations")
        world.shut_signer(questions=60)

    world.once["signer.SignManifest"] = all_reserved_then_shut
    gang = live(world)
    assert verdicts(world, gang) == ["pass"] * N
    assert world.recorder.journal == []


def test_a_defect_in_one_lets_the_others_end_first(world: GangWorld) -> None:
    assert world.line is not None
    bench = world.line._shop.bench

    def broken(plan: Any, cancel: Any) -> Any:
        if plan.probe == "virtual:2":
            raise ZeroDivisionError
        return bench(plan, cancel)

    world.line._shop = replace(world.line._shop, bench=broken)
    gang = world.act()
    with pytest.raises(ZeroDivisionError):
        world.line._turn()
    ended = [known.verdict for press in gang if (known := world.book.find(press)) is not None]
    assert ended == ["pass", "pass", None, "pass"]
    world.line = None
    world.live()
    assert verdicts(world, gang) == ["pass", "pass", "aborted", "pass"]
    assert world.pattern() == "attention"


def test_a_gang_from_before_the_line_started_is_not_begun(tmp_path: Path) -> None:
    world = GangWorld(tmp_path)
    gang = world.act()
    world.live()
    assert verdicts(world, gang) == ["aborted"] * N
    assert world.flashed == []
    assert world.pattern() == "attention"
    world.close()


def test_a_panel_that_was_started_again_shows_no_green_for_what_it_did_not_see(world: GangWorld) -> None:
    gang = world.act()
    world.recorder.manifests[gang[0]] = {"verdict": "pass", "code": None}
    world.panel.finish(LINE, press=gang[0], verdict="pass", refusal=None, stop=False, recovered=False)
    world.panel._ends.clear()  # as a fresh process has it
    for press in gang[1:]:
        world.recorder.manifests[press] = {"verdict": "pass", "code": None}
        world.panel.finish(LINE, press=press, verdict="pass", refusal=None, stop=False, recovered=False)
    assert world.pattern() == "attention"


def points_of_a_good_gang(folder: Path) -> dict[int, list[str]]:
    """Place -> the points there, once the line is idle ("" for those before)."""
    world = GangWorld(folder)
    world.live()
    before = {place: len(points) for place, points in world.passed.items()}
    world.act()
    world.live()
    world.close()
    return {
        place: [""] * before.get(place, 0) + points[before.get(place, 0) :] for place, points in world.passed.items()
    }


def test_a_crash_at_every_point_of_one_is_resolved_once_for_each(tmp_path: Path) -> None:
    """The line's process dies at every point that one position's thread comes to; the others are wherever they are."""
    (tmp_path / "good").mkdir()
    points = points_of_a_good_gang(tmp_path / "good")
    assert set(points) == {ALONE, 0, 1, 2, 3}
    for at, name in enumerate(points[1]):
        folder = tmp_path / str(at)
        folder.mkdir()
        world = GangWorld(folder, plan={(1, at): "crash"})
        world.live()
        gang = world.act()
        world.live(2)
        assert world.crashes == 1, name
        for press in gang:
            assert check(world, press) in {"pass", "aborted", "quarantined"}, name
        assert world.pattern() in {"attention", "pass"}, name
        world.close()


@pytest.mark.parametrize("fault", ["away", "lost", "refuse"])
def test_any_single_fault_of_one_position_leaves_the_others_green(tmp_path: Path, fault: str) -> None:
    (tmp_path / "good").mkdir()
    for at, name in enumerate(points_of_a_good_gang(tmp_path / "good")[2]):
        folder = tmp_path / str(at)
        folder.mkdir()
        world = GangWorld(folder, plan={(2, at): fault})
        world.live()
        gang = world.act()
        world.live(3)
        assert world.crashes == 0
        found = verdicts(world, gang)
        assert found[:2] + found[3:] == ["pass"] * 3, name
        world.close()


@settings(max_examples=60)
@given(
    plan=st.dictionaries(
        st.tuples(st.integers(-1, 3), st.integers(2, 40)),
        st.sampled_from(["crash", "away", "lost", "refuse", "closed"]),
        max_size=10,
    ),
    bad=st.sets(st.integers(0, 3)),
    empty=st.sets(st.integers(0, 3)),
    events=st.lists(st.sampled_from(["provision", "provision", "rework", "scrap"]), min_size=1, max_size=2),
)
def test_whatever_goes_wrong_and_wherever_the_promises_hold_for_each(
    tmp_path_factory: pytest.TempPathFactory,
    plan: dict[tuple[int, int], str],
    bad: set[int],
    empty: set[int],
    events: list[str],
) -> None:
    world = GangWorld(tmp_path_factory.mktemp("world"), plan=plan)
    world.bad, world.empty = bad, empty
    world.live()
    presses: list[str] = []
    for event in events:
        presses += world.act(event)
        while world.book.unfinished is not None:
            world.live()
        if world.book.stopped_by is not None:
            world.book.restart("lea")
    world.plan.clear()
    world.shut_signer(0)
    world.live(4)
    for press in presses:
        check(world, press)
    world.close()


def test_a_fixture_that_was_set_up_anew_refuses_by_name(tmp_path: Path) -> None:
    single = World(tmp_path)._plan("WO-1", "provision")
    assert single.at(None) is single
    gang = replace(single, gang=("a:1", "b:2"))
    assert [gang.at(position).probe_record() for position in (0, 1)] == [
        {"kind": "a", "id": "1"},
        {"kind": "b", "id": "2"},
    ]
    for plan, position in ((single, 0), (gang, None), (gang, 2)):
        with pytest.raises(PositionUnknown):
            plan.at(position)


def test_together_raises_when_the_last_has_ended() -> None:
    ended: list[int] = []
    gate = threading.Event()

    def work(at: int) -> None:
        if at == 0:
            gate.set()
            raise ZeroDivisionError
        gate.wait(10)
        ended.append(at)

    with pytest.raises(ZeroDivisionError):
        together([lambda at=at: work(at) for at in range(3)])  # type: ignore[misc]
    assert sorted(ended) == [1, 2]


def test_what_is_the_same_for_all_is_asked_once_refusals_too(tmp_path: Path) -> None:
    asked: list[str] = []
    plan = World(tmp_path)._plan("WO-1", "provision")

    def planner(order: str, event: str) -> Any:
        asked.append(f"{order} {event}")
        if order == "WO-2":
            raise PositionUnknown(position=0, positions=0)
        return plan

    once = Once(planner)
    assert once("WO-1", "provision") is once("WO-1", "provision") is plan
    for _ in range(2):
        with pytest.raises(ProoflineError):
            once("WO-2", "provision")
    assert asked == ["WO-1 provision", "WO-2 provision"]


def test_one_silent_worker_stops_the_heartbeat_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr(pulse, "monotonic_ms", lambda: now[0])
    beats = pulse.Pulse(cast("Client", None))
    beats.at("a", "program")
    beats.at("b", "program")
    now[0] = pulse.HUNG_MS - 1
    beats.at("b", "measure")
    assert beats.alive()
    now[0] += 1
    assert not beats.alive()
    beats.end("a")
    assert beats.alive()
    assert [beat.press for beat in beats.now()] == ["b"]
    beats.end("b")
    assert beats.now()[0].press is None
    assert beats.alive()

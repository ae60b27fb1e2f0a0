"""A gang killed at every file effect of line and panel, and on every disk a power cut could leave (see test_crash)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.line import journal as journal_module
from appliance.line import peers, service
from appliance.panel import press as press_module
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.line.gang_world import GangWorld
from tests.line.test_units import check as check_unit
from tests.line.world import IMAGE

N = 2


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_RETRY_S", 0)
    monkeypatch.setattr(service, "_POLL_MS", 0)
    monkeypatch.setattr(journal_module, "COMPACT_AT", 9)
    monkeypatch.setattr(press_module, "COMPACT_AT", 7)


def day(root: Path) -> None:
    """A gang with an empty position; the same boards again (the line stops); an acknowledgement, and a last gang."""
    world = GangWorld(root, N)
    world.listener = lambda fact: mark(json.dumps(fact))
    world.live()
    world.empty = {1}
    world.act()
    world.live()
    world.empty = set()
    world.act()
    world.live()
    world.book.restart("lea")
    world.uids = [f"ff{uid[2:]}" for uid in world.uids]
    world.act()
    world.live()


def check(case: Case) -> None:
    """Started without a hand: a gang is there whole or not at all, and each of its presses keeps every promise."""
    world = GangWorld(case.root, N)
    facts = [json.loads(one) for one in case.marks]
    for fact in facts:
        match fact:
            case {"pressed": press}:
                known = world.book.find(press)
                assert known is not None, case.why
                assert known.position is not None, case.why
                world._position_of[press] = known.position
            case {"reserved": press, "device": device}:
                world.recorder.reservations[press] = device
            case {"signed": press, "envelope": envelope}:
                world.signer.signed[press] = envelope
            case {"logged": press, "manifest": manifest}:
                world.recorder.manifests[press] = manifest
            case {"journalled": record}:
                world.recorder.journal.append(record)
            case {"flashed": press}:
                world.flashed.append(press)
                world._contents[world._position_of[press]] = b""
            case {"programmed": press}:
                world._contents[world._position_of[press]] = IMAGE.segments[0].data
    assert len(world.book.act) in {0, N}, case.why
    world.live(3)
    try:
        for fact in facts:
            if "pressed" in fact:
                check_unit(world, fact["pressed"])
            if "finished" in fact:
                known = world.book.find(fact["finished"])
                assert known is not None, case.why
                assert known.verdict == fact["verdict"], case.why
        assert world.book.gang == (), case.why
        assert world.units is not None
        assert world.units.open == (), case.why
    finally:
        world.close()


@pytest.mark.slow
def test_a_gang_killed_at_every_file_effect(tmp_path: Path) -> None:
    cases = 0
    for case in killed_everywhere(day, tmp_path):
        check(case)
        cases += 1
    assert cases > 100


def test_a_gang_replayed_onto_every_disk_that_a_power_cut_could_leave(tmp_path: Path) -> None:
    cases = 0
    for case in replayed_everywhere(day, tmp_path):
        check(case)
        cases += 1
    assert cases > 50

"""The line and the panel's press journal killed at every file effect, and on every disk a power cut could leave.

The stand-ins' own word is durable when it is given (it is kept in the marks); the journals are what is being cut.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.line import journal as journal_module
from appliance.line import peers, service
from appliance.panel import press as press_module
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.line.test_units import check as check_unit
from tests.line.world import IMAGE, World


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_RETRY_S", 0)
    monkeypatch.setattr(service, "_POLL_MS", 0)
    monkeypatch.setattr(journal_module, "COMPACT_AT", 9)
    monkeypatch.setattr(press_module, "COMPACT_AT", 7)


def day(root: Path) -> None:
    """A good unit, the same board again (the line stops), a closed gate, a rework."""
    world = World(root)
    world.listener = lambda fact: mark(json.dumps(fact))
    world.live()
    world.press()
    world.live()
    world.press()
    world.live()
    world.book.restart("lea")
    world.shut_signer(questions=3)
    world.press("rework")
    world.live(3)
    world.press("rework")
    world.live()


def check(case: Case) -> None:
    """Started without a hand, every press that anybody heard of has one end, one trace and at most one programming."""
    world = World(case.root)
    facts = [json.loads(one) for one in case.marks]
    for fact in facts:
        match fact:
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
                world.content = b""
            case {"programmed": _}:
                world.content = IMAGE.segments[0].data
    world.live(3)
    try:
        for fact in facts:
            if "pressed" in fact:
                assert world.book.find(fact["pressed"]) is not None, case.why
                check_unit(world, fact["pressed"])
            if "finished" in fact:
                known = world.book.find(fact["finished"])
                assert known is not None, case.why
                assert known.verdict == fact["verdict"], case.why
        assert world.book.unfinished is None, case.why
    finally:
        world.close()


@pytest.mark.slow
def test_killed_at_every_file_effect(tmp_path: Path) -> None:
    cases = 0
    for case in killed_everywhere(day, tmp_path):
        check(case)
        cases += 1
    assert cases > 100


def test_replayed_onto_every_disk_that_a_power_cut_could_leave(tmp_path: Path) -> None:
    cases = 0
    for case in replayed_everywhere(day, tmp_path):
        check(case)
        cases += 1
    assert cases > 50

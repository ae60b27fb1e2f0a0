"""The line's journal: intents in order, debts across restarts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance import durable
from appliance.line import journal as journal_module
from appliance.line.errors import LineJournalWrong
from appliance.line.journal import Owed, UnitJournal

P, Q = "a" * 32, "b" * 32
DEVICE = {"part": "p", "uid": "00"}
PROBE = {"kind": "k", "id": "i"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "units.journal"


def test_the_furthest_intent_is_found_again(path: Path) -> None:
    steps: list[tuple[str, Callable[[UnitJournal], None]]] = [
        ("taken", lambda j: j.taken(P)),
        ("reserve", lambda j: j.reserve(P, DEVICE, PROBE)),
        ("program", lambda j: j.program(P)),
        ("observed", lambda j: j.observed(P, {"verdict": "pass"}, stop=True)),
    ]
    for furthest, step in steps:
        with durable.Journal(path) as journal:
            step(UnitJournal(journal))
        with durable.Journal(path) as journal:
            unit = UnitJournal(journal).unit
            assert unit is not None
            assert (unit.press, unit.furthest) == (P, furthest)
    with durable.Journal(path) as journal:
        units = UnitJournal(journal)
        assert units.unit is not None
        assert (units.unit.device, units.unit.probe, units.unit.stop) == (DEVICE, PROBE, True)
        units.done(P)
        units.taken(Q)
    with durable.Journal(path) as journal:
        units = UnitJournal(journal)
        assert units.unit is not None
        assert (units.unit.press, units.units) == (Q, 1)


@pytest.mark.parametrize(
    "acts",
    [
        lambda j: (j.taken(P), j.taken(Q)),
        lambda j: (j.taken(P), j.program(P)),
        lambda j: (j.taken(P), j.reserve(P, DEVICE, PROBE), j.program(P), j.program(P)),
        lambda j: (j.taken(P), j.reserve(Q, DEVICE, PROBE)),
        lambda j: j.observed(P, {}, stop=False),
        lambda j: j.done(P),
    ],
)
def test_intents_out_of_order_are_a_defect(path: Path, acts: Any) -> None:
    with durable.Journal(path) as journal, pytest.raises(ValueError, match=r"unit|once"):
        acts(UnitJournal(journal))


@pytest.mark.parametrize("record", [b"x", b"[]", b"{}", b'{"at":"done","press":"p"}', b'{"at":"later"}'])
def test_a_journal_that_makes_no_sense_is_refused_by_name(path: Path, record: bytes) -> None:
    with durable.Journal(path) as journal:
        journal.append(record)
    with durable.Journal(path) as journal, pytest.raises(LineJournalWrong):
        UnitJournal(journal)


def test_compaction_keeps_count_and_debts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_AT", 10)
    owed = Owed("refusal", Q, {"code": "PL-LIN-001"})
    with durable.Journal(path) as journal:
        units = UnitJournal(journal)
        units.owe(owed)
        for _ in range(40):
            units.taken(P)
            units.done(P)
    with durable.Journal(path) as journal:
        units = UnitJournal(journal)
        assert (units.units, units.owed, units.unit) == (40, (owed,), None)
        assert len(journal.records) <= 12
        units.paid(owed)
        assert units.owed == ()


def test_debts_are_bounded_by_taking_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_OWED", 3)
    with durable.Journal(path) as journal:
        units = UnitJournal(journal)
        for n in range(3):
            assert not units.full
            units.owe(Owed("refusal", f"{n:032x}", {}))
        assert units.full

"""The cycle's table: which step may follow which, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.line.cycle import Cycle, Kind, OutOfOrder, Stage, route_of
from appliance.line.errors import EvidenceRefused, FlashNotAsApproved

WHY = FlashNotAsApproved(why="planned")
NO = EvidenceRefused(service="signer", why="planned")


def both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


def at(stage: Stage, event: str = "provision") -> Cycle:
    """A cycle that came as far as `stage`."""
    cycle = Cycle()
    steps: tuple[tuple[Stage, Callable[[], None]], ...] = (
        (Stage.READY, lambda: cycle.begin(route_of(event))),
        (Stage.IDENTIFY, cycle.identified),
        (Stage.RESERVE, lambda: both(cycle.reserving, cycle.reserved)),
        (Stage.PROGRAM, lambda: both(cycle.touching, cycle.programmed)),
        (Stage.MEASURE, cycle.measured),
        (Stage.SIGN, cycle.signed),
        (Stage.APPEND, lambda: cycle.appended("pass")),
        (Stage.FINISH, cycle.finished),
    )
    for reached, step in steps:
        if cycle.stage is stage:
            return cycle
        assert cycle.stage is reached
        step()
    assert cycle.stage is stage
    return cycle


def test_a_good_unit_is_green_only_once_it_is_logged() -> None:
    for stage in (Stage.READY, Stage.RESERVE, Stage.MEASURE, Stage.SIGN, Stage.APPEND):
        assert not at(stage).green
    assert at(Stage.FINISH).green
    assert at(Stage.DONE).verdict == "pass"


@pytest.mark.parametrize(
    ("stage", "touched", "kind", "verdict"),
    [
        (Stage.READY, False, Kind.POLICY, "refused"),
        (Stage.IDENTIFY, False, Kind.LINK, "aborted"),
        (Stage.IDENTIFY, False, Kind.POLICY, "refused"),
        (Stage.RESERVE, False, Kind.POLICY, "refused"),
        (Stage.RESERVE, False, Kind.LINK, "aborted"),
        (Stage.PROGRAM, False, Kind.POLICY, "refused"),
        (Stage.PROGRAM, True, Kind.LINK, "aborted"),
        (Stage.PROGRAM, True, Kind.POLICY, "refused"),
        (Stage.PROGRAM, True, Kind.FAILED, "fail"),
        (Stage.PROGRAM, True, Kind.UNCERTAIN, "quarantined"),
        (Stage.MEASURE, True, Kind.FAILED, "fail"),
        (Stage.MEASURE, True, Kind.LINK, "quarantined"),
        (Stage.MEASURE, True, Kind.POLICY, "quarantined"),
        (Stage.MEASURE, True, Kind.UNCERTAIN, "quarantined"),
    ],
)
def test_a_failure_gives_the_verdict_of_how_far_it_came(stage: Stage, touched: bool, kind: Kind, verdict: str) -> None:
    cycle = at(stage)
    if touched and stage is Stage.PROGRAM:
        cycle.touching()
    cycle.fail(kind, WHY)
    assert (cycle.verdict, cycle.stage, cycle.refusal, cycle.green) == (verdict, Stage.SIGN, WHY, False)
    cycle.signed()
    cycle.appended(verdict)
    assert not cycle.green


VERBS: dict[str, Callable[[Cycle], None]] = {
    "begin": lambda c: c.begin(route_of("provision")),
    "identified": Cycle.identified,
    "reserving": Cycle.reserving,
    "not_reserved": Cycle.not_reserved,
    "reserved": Cycle.reserved,
    "touching": Cycle.touching,
    "programmed": Cycle.programmed,
    "measured": Cycle.measured,
    "fail": lambda c: c.fail(Kind.LINK, WHY),
    "uncertain": lambda c: c.fail(Kind.UNCERTAIN, WHY),
    "signed": Cycle.signed,
    "appended": lambda c: c.appended(c.verdict or "pass"),
    "unsigned": Cycle.unsigned,
    "evidence_refused": lambda c: c.evidence_refused(NO),
    "journalled": Cycle.journalled,
    "finished": Cycle.finished,
}
ALLOWED = {
    Stage.READY: {"begin", "fail", "uncertain"},
    Stage.IDENTIFY: {"identified", "fail", "uncertain"},
    Stage.RESERVE: {"reserving", "not_reserved", "fail", "uncertain"},  # `reserved` only after `reserving`
    Stage.PROGRAM: {"touching", "fail", "uncertain"},  # `programmed` only after `touching`
    Stage.MEASURE: {"measured", "fail", "uncertain"},
    Stage.SIGN: {"signed", "appended", "evidence_refused"},  # `unsigned` only without a reservation
    Stage.APPEND: {"appended", "evidence_refused"},
    Stage.FINISH: {"finished"},
    Stage.DONE: set(),
}


@pytest.mark.parametrize("stage", ALLOWED)
@pytest.mark.parametrize("verb", VERBS)
def test_no_step_out_of_order(stage: Stage, verb: str) -> None:
    cycle = at(stage)
    if verb in ALLOWED[stage]:
        VERBS[verb](cycle)
    else:
        with pytest.raises(OutOfOrder):
            VERBS[verb](cycle)


def test_flash_is_touched_once_and_only_under_a_reservation() -> None:
    cycle = at(Stage.PROGRAM)
    cycle.touching()
    with pytest.raises(OutOfOrder):
        cycle.touching()


def test_a_unit_without_a_reservation_may_end_in_the_refusal_journal() -> None:
    cycle = at(Stage.READY)
    cycle.fail(Kind.POLICY, WHY)
    cycle.unsigned()
    cycle.journalled()
    cycle.finished()
    assert (cycle.stage, cycle.verdict, cycle.green) == (Stage.DONE, "refused", False)


def test_refused_evidence_turns_a_pass_into_quarantine_and_then_ends() -> None:
    cycle = at(Stage.SIGN)
    cycle.evidence_refused(NO)
    assert (cycle.stage, cycle.verdict, cycle.refusal) == (Stage.SIGN, "quarantined", NO)
    cycle.evidence_refused(NO)
    assert cycle.stage is Stage.JOURNAL
    appended = at(Stage.APPEND)
    appended.evidence_refused(NO)
    assert (appended.stage, appended.verdict) == (Stage.JOURNAL, "quarantined")


@pytest.mark.parametrize("event", ["return", "scrap"])
def test_return_and_scrap_never_touch_the_flash(event: str) -> None:
    assert Stage.PROGRAM not in route_of(event)
    cycle = at(Stage.RESERVE, event)
    cycle.reserving()
    cycle.reserved()
    assert cycle.stage is Stage.SIGN
    with pytest.raises(OutOfOrder):
        cycle.touching()
    with pytest.raises(OutOfOrder):
        cycle.signed()  # there is no verdict: nothing was measured
    cycle.recorded(WHY)
    assert (cycle.verdict, cycle.refusal) == ("refused", WHY)
    with pytest.raises(OutOfOrder):
        cycle.recorded(WHY)


@given(st.lists(st.sampled_from(sorted(VERBS)), max_size=40))
def test_whatever_is_said_to_it_the_rules_hold(verbs: list[str]) -> None:
    cycle = Cycle()
    touched = finished = appended = 0
    for verb in verbs:
        before = cycle.stage
        try:
            VERBS[verb](cycle)
        except OutOfOrder:
            assert cycle.stage is before
            continue
        touched += verb == "touching"
        finished += verb == "finished"
        appended += verb == "appended"
    assert touched <= 1
    assert finished <= 1
    assert not cycle.green or appended == 1
    assert not touched or cycle.may_be_reserved
    assert cycle.stage is not Stage.DONE or cycle.verdict is not None

"""Badges, orders, events, labels: what a scan and a press may do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.panel import errors
from appliance.panel.session import Session, Site, Time, current, pressed, scanned
from appliance.verify.site_documents import Operator, Order, Roster
from appliance.verify.site_times import Interval, Window


def at(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


ALWAYS = Window(at(1), at(28))


def person(name: str, *roles: str, valid: Window = ALWAYS) -> Operator:
    return Operator(name, name.title(), sha256(f"badge-{name}".encode()).hexdigest(), roles, valid)


def order(name: str, *stations: str) -> Order:
    return Order(name, "demo", "1.0.0", 10, stations, "CHG-1", ALWAYS)


OLGA, LEA, RITA = person("olga", "operator"), person("lea", "lead"), person("rita", "operator", "rework")
GONE = person("gone", "operator", valid=Window(at(1), at(5)))
SITE = Site(
    "bench-01",
    Roster((OLGA, LEA, RITA, GONE)),
    {"WO-1": order("WO-1", "bench-01"), "WO-2": order("WO-2", "bench-02")},
    {"demo": ("provision", "rework")},
    session_ms=60_000,
)
NOW = Time(Interval(at(10), at(10)))


def scan(session: Session, *texts: str, time: Time = NOW, now_ms: int = 0) -> Session:
    for text in texts:
        session = scanned(session, SITE, text, time=time, now_ms=now_ms, stopped_by=None).session
    return session


def test_a_badge_and_an_order_make_a_press_possible() -> None:
    session = scan(Session(), "badge-olga", "ORDER:WO-1", "FW-0123")
    draft, after = pressed(session, SITE, 10)
    assert (draft.operator, draft.order, draft.event, draft.label) == ("olga", "WO-1", "provision", "FW-0123")
    assert (after.label, after.event, after.order) == (None, "provision", "WO-1")


def test_the_bare_order_id_is_an_order_and_anything_else_a_label() -> None:
    assert scan(Session(), "badge-olga", "WO-1").order == "WO-1"
    assert scan(Session(), "badge-olga", "WO-1", "WO-9").label == "WO-9"


def test_an_event_holds_for_one_press() -> None:
    draft, after = pressed(scan(Session(), "badge-rita", "WO-1", "EVENT:rework"), SITE, 0)
    assert (draft.event, after.event) == ("rework", "provision")


def test_choosing_an_order_forgets_event_and_label() -> None:
    session = scan(Session(), "badge-rita", "WO-1", "EVENT:rework", "L1", "WO-1")
    assert (session.event, session.label) == ("provision", None)


@pytest.mark.parametrize(
    ("texts", "time", "refusal"),
    [
        (["badge-nobody"], NOW, errors.BadgeUnknown),
        (["ORDER:WO-1"], NOW, errors.BadgeUnknown),
        (["badge-gone"], NOW, errors.BadgeNotValid),
        (["badge-olga"], Time(Interval(at(10), at(28))), errors.BadgeNotValid),
        (["badge-olga"], Time(Interval(datetime(2026, 10, 31, tzinfo=UTC), at(2))), errors.BadgeNotValid),
        (["badge-olga"], Time(None, "Unknown"), errors.BadgeTimeUnknown),
        (["badge-olga", "ORDER:WO-9"], NOW, errors.OrderUnknown),
        (["badge-olga", "WO-2"], NOW, errors.OrderNotForHere),
        (["badge-olga", "EVENT:rework"], NOW, errors.NoOrder),
        (["badge-olga", "WO-1", "EVENT:rework"], NOW, errors.RoleMissing),
        (["badge-rita", "WO-1", "EVENT:scrap"], NOW, errors.EventNotPossible),
        (["badge-rita", "WO-1", "EVENT:"], NOW, errors.EventNotPossible),
        ([""], NOW, errors.ScanUnreadable),
        (["x" * 129], NOW, errors.ScanUnreadable),
        (["badge-olga\x00"], NOW, errors.ScanUnreadable),
        (["badge-olga", "\ufffd"], NOW, errors.ScanUnreadable),
        (["badge-olga", 'FW-"1'], NOW, errors.ScanUnreadable),
        (["badge-olga", "Ä" * 10], NOW, errors.ScanUnreadable),
    ],
)
def test_a_scan_that_is_refused_by_name(texts: list[str], time: Time, refusal: type[ProoflineError]) -> None:
    session = scan(Session(), *texts[:-1])
    with pytest.raises(refusal):
        scanned(session, SITE, texts[-1], time=time, now_ms=0, stopped_by=None)


@pytest.mark.parametrize(
    ("texts", "refusal"),
    [
        ([], errors.NotSignedIn),
        (["badge-olga"], errors.NoOrder),
        (["badge-olga", "WO-1", "SESSION:end"], errors.NotSignedIn),
        (["badge-olga", "WO-1", "badge-rita"], errors.NoOrder),
        (["badge-lea", "WO-1"], errors.RoleMissing),
    ],
)
def test_a_press_that_is_refused_by_name(texts: list[str], refusal: type[ProoflineError]) -> None:
    with pytest.raises(refusal):
        pressed(scan(Session(), *texts), SITE, 0)


def test_an_idle_session_ends_and_activity_keeps_it() -> None:
    session = scan(Session(), "badge-olga", "WO-1")
    assert current(session, SITE, 59_999).person is OLGA
    assert current(session, SITE, 60_000) == Session()
    _, after = pressed(session, SITE, 59_999)
    assert current(after, SITE, 119_998).person is OLGA
    with pytest.raises(errors.NotSignedIn):
        pressed(session, SITE, 60_000)


def test_a_session_ends_when_the_roster_changes_its_holder() -> None:
    session = scan(Session(), "badge-rita", "WO-1")
    changed = replace(SITE, roster=Roster((replace(RITA, roles=("operator",)),)))
    with pytest.raises(errors.NotSignedIn):
        pressed(session, changed, 0)


def test_a_session_forgets_an_order_that_is_gone() -> None:
    session = scan(Session(), "badge-olga", "WO-1")
    with pytest.raises(errors.NoOrder):
        pressed(session, replace(SITE, orders={}), 0)


def test_a_stopped_line_hears_a_lead_alone() -> None:
    before = scan(Session(), "badge-olga", "WO-1")
    for text in ("badge-olga", "badge-gone", "WO-1", "FW-1", "SESSION:end"):
        with pytest.raises(errors.NotAnAcknowledgement):
            scanned(before, SITE, text, time=NOW, now_ms=0, stopped_by="ab" * 16)
    heard = scanned(before, SITE, "badge-lea", time=NOW, now_ms=0, stopped_by="ab" * 16)
    assert (heard.acknowledged_by, heard.session) == ("lea", before)
    with pytest.raises(errors.BadgeTimeUnknown):
        scanned(before, SITE, "badge-lea", time=Time(None, "Unknown"), now_ms=0, stopped_by="ab" * 16)


SCANS = st.one_of(
    st.text(max_size=140),
    st.sampled_from(["badge-olga", "badge-lea", "badge-rita", "WO-1", "ORDER:WO-1", "EVENT:rework", "SESSION:end"]),
)


@given(st.lists(SCANS, max_size=12), st.booleans())
def test_whatever_is_scanned_only_our_refusals_come_out(texts: list[str], stopped: bool) -> None:
    session = Session()
    for text in texts:
        try:
            session = scanned(
                session, SITE, text, time=NOW, now_ms=0, stopped_by="ab" * 16 if stopped else None
            ).session
        except ProoflineError:
            pass
    try:
        draft, _ = pressed(session, SITE, 0)
    except ProoflineError:
        return
    assert not stopped
    assert draft.order == "WO-1"
    assert draft.event == "provision" or draft.operator == "rita"

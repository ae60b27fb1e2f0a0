"""The operator's session: what scans and presses mean. Pure; time, roster and orders are handed in.

- A scan is, in this order: a badge of the roster (SHA-256 of the whole scanned text), a command (`ORDER:<id>`,
  `EVENT:<kind>`, `SESSION:end`), the bare id of a known order, and otherwise a unit's label.
- A badge signs in only while the *whole* clock interval lies inside its validity; without a clock nobody signs in.
- A session ends after the site's idle time, when another badge is scanned, by `SESSION:end`, or when the roster no
  longer holds the person as they signed in.
- An order must be in the staged site and name this station. Choosing one resets the event to `provision`.
- In a gang fixture scanned labels belong to the positions in their order; `LABELS:skip` leaves one out (an empty
  position), `LABELS:clear` begins again. A label is scanned for one position only.
- Events other than `provision` need the role `rework`, and hold for one press, as a scanned label does.
- While the line is stopped the only scan that counts is a lead's badge. It acknowledges, and signs nobody in.
- A press needs a session, an order and the event's role; without, it is refused with its own code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from appliance.panel.errors import (
    BadgeNotValid,
    BadgeTimeUnknown,
    BadgeUnknown,
    EventNotPossible,
    LabelScannedTwice,
    LabelsComplete,
    NoOrder,
    NotAnAcknowledgement,
    NotSignedIn,
    OrderNotForHere,
    OrderUnknown,
    RoleMissing,
    ScanUnreadable,
)
from appliance.verify.site_documents import Operator, Order, Roster
from appliance.verify.site_times import Interval, format_time

MAX_SCAN = 128
_LABEL = re.compile(r"[ !#-\[\]-~]{1,64}")
PROVISION = "provision"
_ROLE_OF_EVENT = {PROVISION: "operator"}
_ROLE_OF_OTHER_EVENTS = "rework"


@dataclass(frozen=True, slots=True)
class Site:
    """What the verified, staged site says to the panel. `events`: what each SKU's profile allows."""

    station: str
    roster: Roster
    orders: Mapping[str, Order]
    events: Mapping[str, tuple[str, ...]]
    session_ms: int
    positions: int | None = None
    """Of a gang fixture; None is a single one."""


@dataclass(frozen=True, slots=True)
class Time:
    """Bounds of true time, or why there are none."""

    bounds: Interval | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """Who works on what. `seen_ms` is the last activity (monotonic). `label`: of a single fixture's next unit;
    `labels`: of a gang fixture's positions so far."""

    person: Operator | None = None
    order: str | None = None
    event: str = PROVISION
    label: str | None = None
    seen_ms: int = 0
    labels: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What a scan did: the session after it, a sentence, and the lead who acknowledged a stopped line, if one did."""

    session: Session
    text: str
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a press asks for. `labels`: one for each position of a gang fixture, and empty for a single one."""

    operator: str
    order: str
    event: str
    label: str | None
    labels: tuple[str | None, ...] = ()


def current(session: Session, site: Site, now_ms: int) -> Session:
    """The session as it stands now: ended by idle time, by a changed roster, without an order that is gone."""
    if session.person is None:
        return session
    if now_ms - session.seen_ms >= site.session_ms or session.person not in site.roster.operators:
        return Session()
    if session.order is not None and session.order not in site.orders:
        return replace(session, order=None, event=PROVISION)
    return session


def scanned(session: Session, site: Site, text: str, *, time: Time, now_ms: int, stopped_by: str | None) -> Heard:
    """What a scan means, or a refusal that leaves the session as it was. `stopped_by`: the press that stopped the
    line."""
    if not 0 < len(text) <= MAX_SCAN or not text.isprintable() or "\ufffd" in text:
        raise ScanUnreadable(limit=MAX_SCAN, why=f"{len(text)} characters")
    person = site.roster.by_badge(text)
    if stopped_by is not None:
        if person is None or "lead" not in person.roles:
            raise NotAnAcknowledgement(press=stopped_by)
        _check_validity(person, time)
        return Heard(session, f"{person.name} acknowledged. The line works again.", person.id)
    if person is not None:
        _check_validity(person, time)
        return Heard(Session(person, seen_ms=now_ms), f"Signed in: {person.name}.")
    session = current(session, site, now_ms)
    person = session.person
    if person is None:
        raise BadgeUnknown(digest=sha256(text.encode()).hexdigest())
    session = replace(session, seen_ms=now_ms)
    command, colon, value = text.partition(":")
    if colon and command == "ORDER":
        return _order(session, site, value)
    if colon and command == "EVENT":
        return _event(session, person, site, value)
    if text == "SESSION:end":
        return Heard(Session(), "Signed out.")
    if text in site.orders:
        return _order(session, site, text)
    if site.positions is not None and colon and command == "LABELS":
        return _labels(session, site.positions, value)
    if not _LABEL.fullmatch(text):
        raise ScanUnreadable(limit=64, why="no manifest could hold this label")
    if site.positions is not None:
        return _placed(session, site.positions, text)
    return Heard(replace(session, label=text), f"Label {text}.")


def pressed(session: Session, site: Site, now_ms: int) -> tuple[Draft, Session]:
    """What the press asks for and the session after it; NotSignedIn, NoOrder or RoleMissing."""
    was = session.person
    session = current(session, site, now_ms)
    if session.person is None:
        raise NotSignedIn(why="nobody has signed in" if was is None else f"the session of {was.id} has ended")
    if session.order is None:
        raise NoOrder(operator_id=session.person.id, why="none was chosen in this session")
    _check_role(session.person, session.event)
    if site.positions is None:
        draft = Draft(session.person.id, session.order, session.event, session.label)
    else:
        labels = (*session.labels, *[None] * site.positions)[: site.positions]
        draft = Draft(session.person.id, session.order, session.event, None, labels)
    return draft, replace(session, event=PROVISION, label=None, labels=(), seen_ms=now_ms)


def _check_validity(person: Operator, time: Time) -> None:
    if time.bounds is None:
        raise BadgeTimeUnknown(why=time.why)
    if not person.valid.surely_holds(time.bounds):
        raise BadgeNotValid(
            operator_id=person.id,
            valid_from=format_time(person.valid.since),
            valid_until=format_time(person.valid.until),
            earliest=format_time(time.bounds.earliest),
            latest=format_time(time.bounds.latest),
        )


def _order(session: Session, site: Site, wanted: str) -> Heard:
    order = site.orders.get(wanted)
    if order is None:
        raise OrderUnknown(order=wanted)
    if site.station not in order.stations:
        raise OrderNotForHere(order=wanted, station=site.station)
    return Heard(replace(session, order=wanted, event=PROVISION, label=None, labels=()), f"Order {wanted}.")


def _labels(session: Session, positions: int, wanted: str) -> Heard:
    """What a command about the gang's labels does."""
    if wanted == "clear":
        return Heard(replace(session, labels=()), "Labels cleared. Scan again from position 1.")
    if wanted == "skip":
        return _placed(session, positions, None)
    raise ScanUnreadable(limit=64, why="no command about labels is of this name")


def _placed(session: Session, positions: int, label: str | None) -> Heard:
    """The next position gets this label, or none."""
    position = len(session.labels) + 1
    if position > positions:
        raise LabelsComplete(positions=positions)
    if label is not None and label in session.labels:
        raise LabelScannedTwice(label=label, position=session.labels.index(label) + 1)
    said = "no label" if label is None else f"label {label}"
    left = positions - position
    return Heard(
        replace(session, labels=(*session.labels, label)), f"Position {position}: {said}. {left or 'None'} to go."
    )


def _event(session: Session, person: Operator, site: Site, wanted: str) -> Heard:
    if session.order is None:
        raise NoOrder(operator_id=person.id, why="an event is chosen within an order")
    allowed = site.events.get(site.orders[session.order].sku, ())
    if wanted not in allowed:
        raise EventNotPossible(event=wanted, allowed=", ".join(allowed))
    _check_role(person, wanted)
    return Heard(replace(session, event=wanted), f"Next press: {wanted}.")


def _check_role(person: Operator, event: str) -> None:
    role = _ROLE_OF_EVENT.get(event, _ROLE_OF_OTHER_EVENTS)
    if role not in person.roles:
        raise RoleMissing(operator_id=person.id, role=role, event=event)

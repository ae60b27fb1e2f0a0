"""Whether this station may sign now, and whether this press may end in a pass. Pure.

- *Signing gates* (enrolment, clock, floors) close everything: not even a refusal is signed behind them.
- *Permits* (site's expiry, order, quantity, product, event, operator) close a pass; the refusal that they cause is
  still signed, so that every press leaves a trace.
- Every function returns all that is closed, the first to be mended first; a gate that needs the time is not asked
  while the time is unknown.
- A limit counts only where the whole interval lies on the right side of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256

from appliance.custody.errors import (
    ClockBehind,
    ClockTooWide,
    EventNotAllowed,
    OperatorNotValid,
    OperatorRoleMissing,
    OperatorUnknown,
    OrderForOtherStation,
    OrderFull,
    OrderNotOpen,
    ProductNotAllowed,
    SiteExpired,
    StationKeyNotValid,
    StationKeyRevoked,
    StationKeyUnlisted,
    StationNotEnrolled,
)
from appliance.custody.sources import Press, Tally, Time
from appliance.errors import ProoflineError
from appliance.verify.site import SiteTrust
from appliance.verify.site_documents import Order, Profile, Release, Roster, Settings
from appliance.verify.site_errors import TargetUnknown
from appliance.verify.site_stations import Station
from appliance.verify.site_times import Interval, Window, format_time, parse_time

Closed = list[ProoflineError]
_ROLE_OF_PROVISION = "operator"
_ROLE_OF_OTHER_EVENTS = "rework"


def station_of(trust: SiteTrust, name: str, site: str) -> Station:
    """This station's line in the approved list. Raises StationNotEnrolled."""
    try:
        found = trust.stations().station(name)
    except TargetUnknown:
        found = None
    if found is None or found.site != site:
        raise StationNotEnrolled(station=name, site=site)
    return found


def enrolment(station: Station, keys: Mapping[str, bytes], at: Interval | None) -> Closed:
    """What keeps this station's keys (purpose -> DER SPKI) from being believed."""
    closed: Closed = []
    for purpose, public in keys.items():
        if purpose not in {"manifest", "checkpoint"}:
            continue
        listed = next((key for key in station.keys_for(purpose) if key.public == public), None)
        if listed is None:
            closed.append(
                StationKeyUnlisted(purpose=purpose, key=f"sha256:{sha256(public).hexdigest()}", station=station.id)
            )
        elif listed.revoked is not None:
            closed.append(StationKeyRevoked(purpose=purpose, key=listed.digest, reason=listed.revoked.reason))
        elif at is not None and not listed.valid.surely_holds(at):
            closed.append(StationKeyNotValid(purpose=purpose, key=listed.digest, **_window(listed.valid, at)))
    return closed


def clock(time: Time, settings: Settings, floors: Iterable[tuple[datetime, str]]) -> Closed:
    """What keeps this time from being put into a document. `floors`: (certainly past, why)."""
    closed: Closed = []
    limit_us = settings.clock_max_width_ms * 1000
    if time.width_us > limit_us:
        closed.append(ClockTooWide(width_us=time.width_us, limit_us=limit_us))
    closed.extend(
        ClockBehind(latest=format_time(time.at.latest), floor=format_time(floor), what=what)
        for floor, what in floors
        if time.at.latest < floor
    )
    return closed


def lifted(at: Interval, floors: Iterable[tuple[datetime, str]]) -> Interval:
    """The interval, never earlier than a floor (`clock` has refused one that lies wholly before)."""
    return Interval(max([at.earliest, *(floor for floor, _what in floors)]), at.latest)


def built_floor(release: Release) -> tuple[datetime, str]:
    """A release cannot be programmed before it was built."""
    built = parse_time(release.built_at)
    assert built is not None, "the site's parser has checked it"
    return built, f"the release {release.sku} {release.version} was built then"


def site(trust: SiteTrust, at: Interval) -> Closed:
    """What the site's own expiry dates say."""
    expiry = trust.expiry(at)
    if expiry.status == "valid":
        return []
    return [SiteExpired(roles=", ".join(expiry.roles), status=expiry.status, until=format_time(expiry.until))]


def order(press: Press, wanted: Order, profile: Profile, station: Station, at: Interval) -> Closed:
    """What keeps the press's order and kind of work from this station and moment."""
    closed: Closed = []
    if station.id not in wanted.stations:
        closed.append(OrderForOtherStation(order=wanted.id, stations=", ".join(wanted.stations), station=station.id))
    if not station.may_make(wanted.sku):
        closed.append(ProductNotAllowed(station=station.id, sku=wanted.sku))
    if not wanted.open.surely_holds(at):
        closed.append(OrderNotOpen(order=wanted.id, **_window(wanted.open, at)))
    if press.event not in profile.events:
        closed.append(EventNotAllowed(sku=wanted.sku, event=press.event))
    return closed


def quantity(press: Press, wanted: Order, tally: Tally) -> Closed:
    """Whether one more unit fits the order; rework does not use it up."""
    if press.event != "provision":
        return []
    if max(tally.passed + tally.open, tally.signed) < wanted.quantity:
        return []
    passed = max(tally.passed, tally.signed)
    return [OrderFull(order=wanted.id, quantity=wanted.quantity, passed=passed, open=tally.open)]


def operator(press: Press, roster: Roster, at: Interval) -> Closed:
    """Whether the person at the panel may do this."""
    person = roster.operator(press.operator)
    if person is None:
        return [OperatorUnknown(person=press.operator)]
    closed: Closed = []
    if not person.valid.surely_holds(at):
        closed.append(OperatorNotValid(person=person.id, **_window(person.valid, at)))
    role = _ROLE_OF_PROVISION if press.event == "provision" else _ROLE_OF_OTHER_EVENTS
    if role not in person.roles:
        closed.append(OperatorRoleMissing(person=person.id, role=role, event=press.event))
    return closed


def _window(window: Window, at: Interval) -> dict[str, str]:
    return {
        "since": format_time(window.since),
        "until": format_time(window.until),
        "earliest": format_time(at.earliest),
        "latest": format_time(at.latest),
    }

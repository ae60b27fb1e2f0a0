"""Comparing what a manifest says of its release, order, approvals and operator with what the site lists.

- What the site lists must agree: the release's digest and ranges, the operator's time on the roster, and, where the
  manifest used this very version of the targets, who approved, the station's products, and the order's product,
  quantity, ticket, stations and window. Orders and products are amended from version to version; releases are not.
- Windows and stations are compared for units whose flash was touched: a press may have been refused for just that.
- What it does not list (an order that was withdrawn, a release of years ago) is returned as a note: a site's
  word moves on, and a record does not become false by that.
- A manifest that used a newer word of the site than the one given gets a note, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.verify.errors import (
    ApprovalsContradicted,
    OperatorContradicted,
    OrderOfSiteContradicted,
    ProductNotAllowed,
    ReleaseContradicted,
)
from appliance.verify.site import SiteTrust
from appliance.verify.site_stations import Station
from appliance.verify.site_times import Interval, format_time

_TOUCHED = frozenset({"pass", "fail", "quarantined"})

Document = Mapping[str, Any]
Note = tuple[str, str]
"""What was not compared (one of `COMPARED`), and why, in words."""
COMPARED = ("work order", "release", "approvals", "operator")


def check_listed(trust: SiteTrust, station: Station, predicate: Document, at: Interval) -> tuple[Note, ...]:
    """Notes on what the site no longer lists, or a `PL-VRF-031` to `-035` refusal."""
    notes: list[Note] = []
    order, release = predicate["order"], predicate["release"]
    touched = predicate["event"]["verdict"] in _TOUCHED
    if order is not None and release is not None:
        used = release["metadata"]["targets"]
        if used == trust.versions.targets:
            if touched and not station.may_make(order["sku"]):
                raise ProductNotAllowed(station=station.id, sku=order["sku"])
            _check_order(trust, station, order, at if touched else None)
            _check_approvals(trust, release)
        else:
            word = "newer" if used > trust.versions.targets else "older"
            why = f"the station used a {word} word of the site (targets {used}) than the one given"
            notes += [("work order", why), ("approvals", why)]
        notes += _release(trust, release, predicate["measurement"])
    notes += _operator(trust, predicate["operator"]["id"], at if touched else None)
    return tuple(notes)


def _check_order(trust: SiteTrust, station: Station, order: Document, at: Interval | None) -> None:
    if f"orders/{order['id']}.json" not in trust.targets:
        raise OrderOfSiteContradicted(order=order["id"], why="there is none")
    listed = trust.order(order["id"])
    for field, found, expected in (
        ("product", order["sku"], listed.sku),
        ("quantity", order["quantity"], listed.quantity),
        ("ticket", order["ticket"], listed.ticket),
    ):
        if found != expected:
            raise OrderOfSiteContradicted(order=order["id"], why=f"{field} {found}, not {expected}")
    if at is not None and station.id not in listed.stations:
        raise OrderOfSiteContradicted(order=order["id"], why=f"it is not for {station.id}")
    if at is not None and not listed.open.may_hold(at):
        raise OrderOfSiteContradicted(order=order["id"], why="it was not open then")


def _release(trust: SiteTrust, release: Document, measurement: Document | None) -> list[Note]:
    sku, version = release["sku"], release["version"]
    if f"releases/{sku}/{version}.json" not in trust.targets:
        return [("release", f"the site no longer lists {sku} {version}")]
    listed = trust.release(sku, version)
    if release["digest"] != listed.digest:
        raise ReleaseContradicted(sku=sku, version=version, why=f"its digest is {listed.digest}")
    if measurement is not None:
        expected = {(one.start, one.length, one.sha256) for one in listed.ranges}
        found = {(one["start"], one["length"], one["expected"]) for one in measurement["ranges"]}
        if found != expected:
            raise ReleaseContradicted(sku=sku, version=version, why="other ranges or digests are approved")
    return []


def _check_approvals(trust: SiteTrust, release: Document) -> None:
    found = {(one["person"], one["key"], one["ticket"]) for one in release["approvals"]}
    if found != {(one.person, one.key, one.ticket) for one in trust.approvals}:
        raise ApprovalsContradicted(version=trust.versions.targets)


def _operator(trust: SiteTrust, operator_id: str, at: Interval | None) -> list[Note]:
    operator = trust.roster().operator(operator_id) if "roster.json" in trust.targets else None
    if operator is None:
        return [("operator", f"{operator_id} is not on the site's roster")]
    if at is not None and not operator.valid.may_hold(at):
        raise OperatorContradicted(
            operator=operator_id,
            since=format_time(operator.valid.since),
            until=format_time(operator.valid.until),
            earliest=format_time(at.earliest),
        )
    return []

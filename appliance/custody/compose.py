"""The manifest and the batch of refusals, composed from verified sources and checked against them. Pure.

- The line's word is taken for verdict, refusal, device, measurement, stages and probe, and for nothing else; and
  those must agree with what was reserved and with what was approved.
- A measurement accounts for every byte of the part's flash exactly once, in the ranges of the release and no others.
- A pass equals the release in every range, leaves nothing unerased, and is on the product's part.
- What happened to flash (`pass`, `fail`, `quarantined`) has an open reservation of this press, order, event, device.
- `appliance.evidence.statement` checks the finished document once more, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.custody.errors import (
    FlashNotCovered,
    LabelMismatch,
    ObservationsTooMany,
    PartWrong,
    RangesWrong,
    ReservationClosed,
    ReservationContradicted,
    ReservationMissing,
    VerdictContradicted,
)
from appliance.custody.sources import History, Observations, Press, Reservation, Time
from appliance.evidence import statement
from appliance.evidence.label import derived_label
from appliance.station import Site, StationFacts
from appliance.target.boards import BoardProfile
from appliance.verify.site import SiteTrust
from appliance.verify.site_documents import Order, Profile, Release
from appliance.verify.site_times import Interval, format_time

_TOUCHED = frozenset({"pass", "fail", "quarantined"})
_MAX_STAGES = 64
_MAX_SPANS = 64
_METHODS = {"on_target_sha256": "on-target-sha256", "read_back": "read-back"}


@dataclass(frozen=True)
class Work:
    """What the press's order stands for; all None where it is not approved (any more)."""

    order: Order | None
    release: Release | None
    profile: Profile | None
    board: BoardProfile | None


@dataclass(frozen=True)
class Station:
    """The station as documents name it. `key`: the manifest key's line in `keys`."""

    site: Site
    facts: StationFacts
    key: Mapping[str, str]

    def record(self, probe: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "id": self.site.station,
            "site": self.site.site,
            "kind": self.facts.kind,
            "image": self.facts.image,
            "anchor": f"sha256:{self.site.anchor}",
            "boot_id": self.facts.boot_id,
            "probe": None if probe is None else {"kind": probe["kind"], "id": probe["id"]},
        }


def manifest(
    press: Press,
    seen: Observations,
    *,
    work: Work,
    trust: SiteTrust,
    station: Station,
    time: Time,
    at: Interval,
    reservation: Reservation | None,
    history: History | None,
) -> bytes:
    """The payload to sign. `at`: the time's interval above all floors; `history`: the device's, where one was seen and
    not reserved. Raises a SignerError, or an EvidenceError for a field out of form."""
    check(press, seen, work, reservation)
    order, release = work.order, work.release
    chain = reservation or history or History(0, None)
    return statement.build_manifest(
        {
            "event": {
                "kind": press.event,
                "sequence": chain.sequence,
                "previous": chain.previous,
                "verdict": seen.verdict,
                "refusal": _refusal(seen),
                "press": press.press,
                "press_digest": press.digest,
                "reservation": reservation and {"index": reservation.index, "digest": reservation.digest},
            },
            "device": seen.device and dict(seen.device),
            "label": _label(press, seen, work),
            "order": order and {"id": order.id, "sku": order.sku, "quantity": order.quantity, "ticket": order.ticket},
            "release": release
            and {
                "sku": release.sku,
                "version": release.version,
                "digest": release.digest,
                "metadata": trust.versions.as_record(),
                "approvals": [approval.as_record() for approval in trust.approvals],
            },
            "measurement": _measurement(seen, release),
            "identity": None,
            "lock": None,
            "station": station.record(seen.probe),
            "operator": {"id": press.operator, "method": press.method},
            "clock": _clock(time, at),
            "keys": [dict(station.key)],
            "stages": [dict(stage) for stage in seen.stages],
        }
    )


def refusals(
    records: Sequence[Mapping[str, Any]],
    first: int,
    previous: str,
    head: str,
    *,
    station: Station,
    time: Time,
    at: Interval,
) -> bytes:
    """The payload to sign for a batch of journalled refusals."""
    return statement.build_refusals(
        {
            "station": station.record(None),
            "clock": _clock(time, at),
            "keys": [dict(station.key)],
            "journal": {
                "first": first,
                "last": first + len(records) - 1,
                "previous": previous,
                "head": head,
            },
            "records": [dict(record) for record in records],
        }
    )


def check(press: Press, seen: Observations, work: Work, reservation: Reservation | None) -> None:
    """Refuse observations that contradict themselves, the reservation or the release."""
    _check_form(seen)
    _check_reservation(press, seen, reservation)
    if seen.verdict != "refused" and (work.order is None or work.release is None):
        raise VerdictContradicted(verdict=seen.verdict, why="the press's order or its release is not approved")
    if seen.measurement is not None:
        _check_measurement(seen, work)
    if seen.verdict == "pass":
        _check_pass(press, seen, work)


def _check_form(seen: Observations) -> None:
    verdict = seen.verdict
    if (verdict == "pass") != (seen.refusal is None):
        why = "it names a refusal" if verdict == "pass" else "no refusal says why"
        raise VerdictContradicted(verdict=verdict, why=why)
    if seen.measurement is not None and seen.device is None:
        raise VerdictContradicted(verdict=verdict, why="something was measured, but no device was read")
    if verdict == "pass" and seen.measurement is None:
        raise VerdictContradicted(verdict=verdict, why="nothing was measured")
    counted = {"stages": (seen.stages, _MAX_STAGES)}
    if seen.measurement is not None:
        counted |= {name: (seen.measurement[name], _MAX_SPANS) for name in ("ranges", "erased", "unerased")}
    for what, (items, limit) in counted.items():
        if len(items) > limit:
            raise ObservationsTooMany(what=what, count=len(items), limit=limit)


def _check_reservation(press: Press, seen: Observations, reservation: Reservation | None) -> None:
    if reservation is None:
        if seen.verdict in _TOUCHED:
            raise ReservationMissing(press=press.press, verdict=seen.verdict)
        return
    if not reservation.open:
        raise ReservationClosed(press=press.press)
    device = seen.device or {}
    claims = (
        ("press", reservation.press, press.press),
        ("order", reservation.order, press.order),
        ("event", reservation.event, press.event),
        ("device part", reservation.part, device.get("part", "none")),
        ("device uid", reservation.uid, device.get("uid", "none")),
    )
    for field, reserved, claimed in claims:
        if reserved != claimed:
            raise ReservationContradicted(press=press.press, field=field, reserved=reserved, claimed=claimed)


def _check_measurement(seen: Observations, work: Work) -> None:
    release, board, measured = work.release, work.board, seen.measurement
    assert measured is not None
    if release is None or board is None:
        raise VerdictContradicted(verdict=seen.verdict, why="something was measured without an approved release")
    wanted = [(one.name, one.start, one.length) for one in sorted(release.ranges, key=lambda one: one.start)]
    found = [(one["name"], one["start"], one["length"]) for one in measured["ranges"]]
    if found != wanted:
        odd = next(
            (f"{name} at {start:#x}" for name, start, _ in found if (name, start, _) not in wanted), "one is missing"
        )
        raise RangesWrong(why=f"names, starts and lengths differ ({odd})")
    spans = [(start, length) for _, start, length in found]
    spans += [(one["start"], one["length"]) for name in ("erased", "unerased") for one in measured[name]]
    address = board.flash_start
    for start, length in sorted(spans):
        if start != address or length <= 0:
            raise FlashNotCovered(why=f"{address:#x} is followed by a span of {length} bytes at {start:#x}")
        address += length
    if address != board.flash_end:
        raise FlashNotCovered(why=f"it ends at {address:#x}, the flash at {board.flash_end:#x}")


def _check_pass(press: Press, seen: Observations, work: Work) -> None:
    device, measured, release, profile, board = seen.device, seen.measurement, work.release, work.profile, work.board
    assert device is not None
    assert measured is not None
    assert release is not None
    assert profile is not None
    assert board is not None
    if device["part"] != profile.part:
        raise PartWrong(found=device["part"], expected=profile.part, sku=profile.sku)
    if device["flash_kib"] * 1024 != board.flash_length:
        raise PartWrong(found=f"part with {device['flash_kib']} KiB", expected=profile.part, sku=profile.sku)
    expected = {one.start: one.sha256 for one in release.ranges}
    for one in measured["ranges"]:
        if one["sha256"] != expected[one["start"]]:
            raise RangesWrong(why=f"{one['name']} has another digest")
    if measured["unerased"]:
        raise FlashNotCovered(why=f"{measured['unerased'][0]['start']:#x} is neither the image's nor erased")
    label = _label(press, seen, work)
    text, scanned = label["text"], label["scanned"]
    if text is None:
        raise LabelMismatch(scanned="not scanned", expected="a label of its own")
    if profile.label.mode == "preprinted" and not text.startswith(f"{profile.label.prefix}-"):
        raise LabelMismatch(scanned=text, expected=f"one that starts with {profile.label.prefix}-")
    if scanned is not None and scanned != text:
        raise LabelMismatch(scanned=scanned, expected=text)


def _label(press: Press, seen: Observations, work: Work) -> dict[str, str | None]:
    profile, device = work.profile, seen.device
    if profile is None:
        return {"mode": "derived", "text": None, "scanned": press.label}
    text = press.label
    if profile.label.mode == "derived":
        text = None if device is None else derived_label(profile.label.prefix, device["part"], device["uid"])
    return {"mode": profile.label.mode, "text": text, "scanned": press.label}


def _refusal(seen: Observations) -> dict[str, str] | None:
    if seen.refusal is None:
        return None
    return {"code": seen.refusal["code"], "engineer": statement.sentence(seen.refusal["engineer"])}


def _measurement(seen: Observations, release: Release | None) -> dict[str, Any] | None:
    if seen.measurement is None or release is None:
        return None
    expected = {one.start: one.sha256 for one in release.ranges}
    spans = {
        name: sorted(
            ({"start": one["start"], "length": one["length"]} for one in seen.measurement[name]),
            key=lambda span: span["start"],
        )
        for name in ("erased", "unerased")
    }
    ranges = [dict(one) | {"expected": expected[one["start"]]} for one in seen.measurement["ranges"]]
    return {"method": _METHODS[seen.measurement["method"]], "ranges": ranges, **spans}


def _clock(time: Time, at: Interval) -> dict[str, Any]:
    return {
        "status": time.status,
        "earliest": format_time(at.earliest),
        "latest": format_time(at.latest),
        "sources": list(time.sources),
    }

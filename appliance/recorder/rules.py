"""What may go into the log. Pure: decisions on the registry, the verified site and the panel's press record.

Reserving a device for a press:

- The press is one the panel knows, is not finished and has no manifest; its record has the digest it is known by.
- The order is staged, for this station and a product it may make, and has a unit left for a device that never passed.
- The unique id is plausible and the device of the product's part; no other press has it reserved.
- A device that is not new needs an event of its own, which the profile allows, by an operator who may rework. One that
  passed is a duplicate, one that failed or was quarantined goes to rework, one that was scrapped goes nowhere. An
  attempt that had no effect leaves a device as new as it was.
- A derived label is computed here; a preprinted one is scanned, has the product's prefix and is on no other device.

Appending a manifest: it is this station's, the press's first, and names exactly what was reserved (or nothing, where
nothing was); it continues its device's history where the log has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.evidence.label import canonical_digest, derived_label
from appliance.recorder.errors import (
    DeviceDuplicate,
    DeviceImplausible,
    DeviceNeedsRework,
    DeviceReserved,
    DeviceScrapped,
    DeviceUnknown,
    EventNotAllowed,
    EventNotForOperator,
    LabelMismatch,
    LabelMissing,
    LabelPrefixWrong,
    LabelTaken,
    ManifestForeign,
    OrderExhausted,
    OrderNotForStation,
    OrderUnknown,
    PartWrong,
    PressContradicted,
    PressFinished,
    PressHasManifest,
    PressUnknown,
    PressUsed,
    ProductNotForStation,
    ReservationContradicted,
    SequenceBroken,
)
from appliance.recorder.facts import Concluded, Device, Reserved
from appliance.recorder.registry import Registry
from appliance.verify.site import SiteTrust
from appliance.verify.site_documents import Order, Profile
from appliance.verify.site_errors import SiteError
from appliance.verify.site_stations import Station

_UID = re.compile(r"(?:[0-9a-f]{2}){4,32}")
_STM32_UID_BYTES = 12  # RM0402 31.1: 96 bits
_RECORD_FIELDS = ("press", "order", "event", "label", "operator", "boot_id", "monotonic_ms")


@dataclass(frozen=True, slots=True)
class Press:
    """A press as the panel recorded it."""

    press: str
    order: str
    event: str
    label: str | None
    operator: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a press is to make: the order and the product's profile, both verified."""

    order: Order
    profile: Profile


def read_press(press: str, record: Mapping[str, Any] | None) -> Press:
    """The panel's answer for a press, checked against its own digest."""
    if record is None:
        raise PressUnknown(press=press)
    document = {"schema": 1} | {name: record.get(name) for name in _RECORD_FIELDS}
    if record.get("position") is not None:  # only a gang's presses have one
        document["position"] = record["position"]
    if record["press"] != press or canonical_digest(document) != record["digest"]:
        raise PressContradicted(press=press)
    if record["finished"]:
        raise PressFinished(press=press)
    return Press(press, record["order"], record["event"], record.get("label"), record["operator"]["id"])


def job_of(trust: SiteTrust, station: Station, order_id: str) -> Job:
    """The order of a press and its product, where this station may make it."""
    try:
        order = trust.order(order_id)
        profile = trust.profile(order.sku)
    except SiteError as error:
        raise OrderUnknown(order=order_id, why=str(error)) from error
    if station.id not in order.stations:
        raise OrderNotForStation(order=order.id, station=station.id)
    if not station.may_make(order.sku):
        raise ProductNotForStation(station=station.id, sku=order.sku)
    return Job(order, profile)


def check_quantity(registry: Registry, order: Order) -> None:
    """Refuse where no unit of the order is left."""
    used = registry.order(order.id)
    if used.passed + used.open >= order.quantity:
        raise OrderExhausted(order=order.id, quantity=order.quantity, passed=used.passed, open=used.open)


def reserve(registry: Registry, trust: SiteTrust, job: Job, press: Press, device: Device) -> str:
    """The label of the device that may be reserved for the press now, or a refusal."""
    part, uid = device
    _check_plausible(part, uid)
    if part != job.profile.part:
        raise PartWrong(found=part, expected=job.profile.part, sku=job.profile.sku)
    state = registry.device(device)
    if state.open is not None:
        raise DeviceReserved(part=part, uid=uid, press=state.open)
    _check_event(registry, trust, job, press, device)
    label = _label(registry, job.profile, press, device)
    if not state.passed:
        check_quantity(registry, job.order)
    return label


def check_unused(registry: Registry, press: str) -> None:
    """Refuse a press that has a manifest, and one that has a reservation already."""
    state = registry.press(press)
    if state.manifest is not None:
        raise PressUsed(press=press, why=f"its manifest is entry {state.manifest}")
    if state.reserved is not None:
        raise PressUsed(press=press, why=f"it has the device {state.reserved.uid} reserved")


def check_manifest(registry: Registry, station: str, fact: Concluded) -> None:
    """Refuse a manifest that does not continue what the log says."""
    if fact.station != station:
        raise ManifestForeign(found=fact.station, station=station)
    press = registry.press(fact.press)
    if press.manifest is not None:
        raise PressHasManifest(press=fact.press, index=press.manifest)
    _check_reserved(press.reservation, press.reserved, fact)
    if fact.device is None:
        return
    state = registry.device(fact.device)
    if state.open not in {None, fact.press}:
        raise DeviceReserved(part=fact.part, uid=fact.uid, press=state.open)
    if (fact.sequence, fact.previous) != (state.sequence, state.previous):
        raise SequenceBroken(
            found=f"{fact.sequence} after {fact.previous}", expected=f"{state.sequence} after {state.previous}"
        )


def _check_reserved(index: int | None, reserved: Reserved | None, fact: Concluded) -> None:
    if reserved is None:
        if fact.reservation is not None:
            raise ReservationContradicted(press=fact.press, why="it names a reservation, and there is none")
        return
    if (fact.reservation, fact.reservation_digest) != (index, reserved.digest):
        raise ReservationContradicted(press=fact.press, why=f"it does not name the reservation at entry {index}")
    for name in ("device", "order", "event", "label"):
        found, expected = getattr(fact, name), getattr(reserved, name)
        if name in {"order", "label"} and found is None and fact.verdict != "pass":
            continue  # the order was withdrawn meanwhile; what was reserved is in the reservation
        if found != expected:
            raise ReservationContradicted(press=fact.press, why=f"its {name} is {found}; {expected} was reserved")


def _check_plausible(part: str, uid: str) -> None:
    if not _UID.fullmatch(uid):
        raise DeviceImplausible(part=part, uid=uid, why="it is not 4 to 32 bytes in lower-case hex")
    raw = bytes.fromhex(uid)
    if part.startswith("stm32") and len(raw) != _STM32_UID_BYTES:
        raise DeviceImplausible(part=part, uid=uid, why=f"it has {len(raw)} bytes; this family has 12")
    # A bus that is stuck, and an unprogrammed id area, give the same word over and over.
    words = {raw[at : at + 4] for at in range(0, len(raw) - len(raw) % 4, 4)}
    if len(set(raw)) == 1 or (len(words) == 1 and len(raw) > 4):
        raise DeviceImplausible(part=part, uid=uid, why="it is one pattern repeated")


def _check_event(registry: Registry, trust: SiteTrust, job: Job, press: Press, device: Device) -> None:
    part, uid = device
    state = registry.device(device)
    if press.event not in job.profile.events:
        raise EventNotAllowed(event=press.event, sku=job.profile.sku)
    if state.event == "scrap" and state.verdict == "pass":
        raise DeviceScrapped(part=part, uid=uid)
    if press.event == "provision":
        if state.passed:
            raise DeviceDuplicate(part=part, uid=uid, press=state.press)
        if state.verdict is not None:
            raise DeviceNeedsRework(part=part, uid=uid, verdict=state.verdict)
        return
    if state.verdict is None:
        raise DeviceUnknown(part=part, uid=uid, event=press.event)
    operator = trust.roster().operator(press.operator)
    if operator is None or "rework" not in operator.roles:
        raise EventNotForOperator(event=press.event, operator=press.operator)


def _label(registry: Registry, profile: Profile, press: Press, device: Device) -> str:
    part, uid = device
    rule, scanned = profile.label, press.label
    if scanned is None and (rule.scan == "required" or rule.mode == "preprinted"):  # a label is known by its scan
        raise LabelMissing(sku=profile.sku)
    if rule.mode == "derived":
        expected = derived_label(rule.prefix, part, uid)
    else:
        assert scanned is not None
        if not scanned.startswith(f"{rule.prefix}-"):
            raise LabelPrefixWrong(scanned=scanned, prefix=f"{rule.prefix}-", sku=profile.sku)
        expected = registry.device(device).label or scanned
    if scanned is not None and scanned != expected:
        raise LabelMismatch(scanned=scanned, expected=expected, uid=uid)
    owner = registry.labels.get(expected, device)
    if owner != device:
        raise LabelTaken(scanned=expected, owner=owner[1], uid=uid)
    return expected

"""Recounting a whole log: not only that every entry is genuine, but that they make sense together.

    audit = Audit(verifier, checkpoint)                 # a checkpoint that the verifier trusts
    for index, entry in log.recount(storage, checkpoint.checkpoint):
        audit.add(index, entry)
    summary = audit.finish()

- Every entry is a reservation, a manifest or a batch of refusals of the log's own station; signed ones hold as
  `Verifier` says.
- A press has at most one reservation and one manifest. A manifest agrees with the reservation it names, which stands
  before it and was open (a unit that did not pass may have lost its order or label meanwhile). Reservations are closed
  by manifests (a quarantine counts): no more are open at once than the policy's `concurrent`.
- The events of a device are numbered 0, 1, 2, ... and each names its predecessor's entry by digest.
- A device passes as new (`provision`) once; the units that first passed under an order do not exceed its quantity.
- Clock intervals do not run backwards: no manifest was surely made before anything that was in the log when the one
  before it (with `concurrent` units at once: that many before it) went in, and no batch before anything that was there
  when the last batch went in. Between the two kinds the log's order is not the order of signing: the recorder
  commits a batch while the line carries a signed manifest to it, and after a crash a manifest may be appended late.
- The refusal journal's batches are one unbroken chain from record 0.

`recount` shows at its end that the entries are those the checkpoint signs; until then `finish` must not be called.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from appliance.evidence import envelope as envelopes
from appliance.evidence import statement
from appliance.evidence.label import device_digest
from appliance.verify.errors import (
    DeviceChainBroken,
    EntryOfOtherStation,
    OrderExceeded,
    PressTwice,
    RefusalsBroken,
    ReservationContradicted,
    ReservationLeftOpen,
    ReservationMissing,
    TimeRunsBackwards,
    UnitNewTwice,
)
from appliance.verify.listed import Note
from appliance.verify.site_times import format_time
from appliance.verify.verifier import Signed, SignedRefusals, TrustedCheckpoint, Verifier, check_checkpoint_age

_TYPES = frozenset({statement.STATEMENT_PAYLOAD, statement.RESERVATION_PAYLOAD})
_UNSIGNED = frozenset({statement.RESERVATION_PAYLOAD})
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a log amounts to. `verdicts` counts manifests; `refusals_head` is the head of all refusals' chain;
    `open_reservations` are the entries of those not closed."""

    entries: int
    reservations: int
    verdicts: Mapping[str, int]
    devices: int
    refusals: int
    refusals_head: str
    open_reservations: tuple[int, ...]
    earliest: datetime | None
    latest: datetime | None
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _Reservation:
    index: int
    digest: str
    document: statement.Document


@dataclass(slots=True)
class _Device:
    """Where a device's chain of events stands."""

    sequence: int = 0
    previous: str | None = None
    passed_at: int | None = None


@dataclass(slots=True)
class _Counts:
    reservations: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    notes: Counter[Note] = field(default_factory=Counter)


class Audit:
    """The state of a recount: feed it the entries in order."""

    def __init__(self, verifier: Verifier, against: TrustedCheckpoint) -> None:
        self._verifier = verifier
        self._against = against
        self._counts = _Counts()
        self._devices: dict[str, _Device] = {}
        self._reserved: dict[str, int] = {}
        self._concluded: dict[str, int] = {}
        self._open: dict[int, _Reservation] = {}
        self._orders: Counter[str] = Counter()
        self._journal = (0, statement.FIRST_HEAD)
        self._first: datetime | None = None
        self._floor = _LONG_AGO
        concurrent = verifier.policy.concurrent
        self._before: Mapping[bool, deque[datetime]] = {  # of manifests and of batches: the floor when one went in
            True: deque([_LONG_AGO] * concurrent, maxlen=concurrent),
            False: deque([_LONG_AGO], maxlen=1),
        }
        self._latest: datetime | None = None

    def add(self, index: int, entry: bytes) -> None:
        """Judge the next entry (`PL-EVD-…`, `PL-VRF-001` to `-049`)."""
        envelope = envelopes.decode(entry, _TYPES, unsigned_types=_UNSIGNED)
        if envelope.payload_type == statement.RESERVATION_PAYLOAD:
            self._reserve(index, entry, statement.parse_reservation(envelope.payload))
            return
        found = self._verifier.check_statement(entry, logged=True)
        predicate = found.manifest.predicate if isinstance(found, Signed) else found.refusals.predicate
        self._of_this_station(index, predicate["station"]["id"])
        self._in_time(index, found)
        if isinstance(found, Signed):
            self._conclude(index, found)
        else:
            self._continue_journal(index, found)

    def finish(self) -> Summary:
        """The summary, once `recount` has ended."""
        if self._latest is not None:
            check_checkpoint_age(self._against.key, self._floor)
        return Summary(
            entries=self._against.checkpoint.size,
            reservations=self._counts.reservations,
            verdicts=dict(self._counts.verdicts),
            devices=len(self._devices),
            refusals=self._journal[0],
            refusals_head=self._journal[1],
            open_reservations=tuple(self._open),
            earliest=self._first,
            latest=self._latest,
            notes=tuple(
                (what, f"{words} (entries: {count})") for (what, words), count in sorted(self._counts.notes.items())
            ),
        )

    def _of_this_station(self, index: int, station: str) -> None:
        if station != self._against.station:
            raise EntryOfOtherStation(index=index, found=station, station=self._against.station)

    def _in_time(self, index: int, found: Signed | SignedRefusals) -> None:
        earliest, latest = found.earliest, found.latest
        before = self._before[isinstance(found, Signed)]
        if latest < before[0]:
            raise TimeRunsBackwards(index=index, latest=format_time(latest), earliest=format_time(before[0]))
        self._floor = max(self._floor, earliest)
        before.append(self._floor)
        self._first = earliest if self._first is None else self._first
        self._latest = latest if self._latest is None else max(latest, self._latest)

    def _reserve(self, index: int, entry: bytes, document: statement.Document) -> None:
        self._of_this_station(index, document["station"])
        if len(self._open) >= self._verifier.policy.concurrent:
            raise ReservationLeftOpen(reservation=min(self._open))
        press = document["press"]
        if press in self._reserved:
            raise PressTwice(index=index, press=press, what="reservation", other=self._reserved[press])
        if press in self._concluded:
            raise PressTwice(index=index, press=press, what="manifest", other=self._concluded[press])
        digest = device_digest(document["device"]["part"], document["device"]["uid"])
        self._next_event(index, digest, document["sequence"], document["previous"])
        self._reserved[press] = index
        self._open[index] = _Reservation(index, f"sha256:{sha256(entry).hexdigest()}", document)
        self._counts.reservations += 1

    def _conclude(self, index: int, found: Signed) -> None:
        manifest = found.manifest
        event = manifest.predicate["event"]
        if manifest.press in self._concluded:
            raise PressTwice(index=index, press=manifest.press, what="manifest", other=self._concluded[manifest.press])
        self._concluded[manifest.press] = index
        self._close(index, manifest.predicate)
        if manifest.device is not None:
            device = self._next_event(index, manifest.device, manifest.sequence, manifest.previous)
            if manifest.verdict == "pass":
                self._count_pass(index, manifest, device)
            device.sequence, device.previous = manifest.sequence + 1, found.digest
        self._counts.verdicts[event["verdict"]] += 1
        self._counts.notes.update(found.notes)

    def _close(self, index: int, predicate: statement.Document) -> None:
        event, device = predicate["event"], predicate["device"]
        named = event["reservation"]
        if named is None:
            if event["press"] in self._reserved:
                raise ReservationContradicted(index=index, reservation=self._reserved[event["press"]], field="press")
            return
        held = self._open.pop(named["index"], None)
        if held is None:
            raise ReservationMissing(index=index, reservation=named["index"])
        order: Mapping[str, Any] = predicate["order"] or {}
        label = predicate["label"]["text"]
        for name, found, expected in (
            ("digest", named["digest"], held.digest),
            ("press", event["press"], held.document["press"]),
            ("event", event["kind"], held.document["event"]),
            ("order", order.get("id"), held.document["order"]),
            ("label", label, held.document["label"]),
            ("device", {"part": device["part"], "uid": device["uid"]}, held.document["device"]),
            ("sequence", event["sequence"], held.document["sequence"]),
        ):
            lost = name in {"order", "label"} and found is None and event["verdict"] != "pass"
            if found != expected and not lost:
                raise ReservationContradicted(index=index, reservation=held.index, field=name)

    def _next_event(self, index: int, digest: str, sequence: int, previous: str | None) -> _Device:
        device = self._devices.setdefault(digest, _Device())
        if (sequence, previous) != (device.sequence, device.previous):
            raise DeviceChainBroken(index=index, device=digest, found=sequence, expected=device.sequence)
        return device

    def _count_pass(self, index: int, manifest: statement.Manifest, device: _Device) -> None:
        if manifest.kind == "provision" and device.passed_at is not None:
            raise UnitNewTwice(index=index, device=manifest.subject, other=device.passed_at)
        if device.passed_at is None:
            order = manifest.predicate["order"]
            self._orders[order["id"]] += 1
            if self._orders[order["id"]] > order["quantity"]:
                raise OrderExceeded(
                    index=index, order=order["id"], quantity=order["quantity"], count=self._orders[order["id"]]
                )
        device.passed_at = index

    def _continue_journal(self, index: int, found: SignedRefusals) -> None:
        following, head = self._journal
        journal = found.refusals.predicate["journal"]
        if (journal["first"], journal["previous"]) != (following, head):
            raise RefusalsBroken(index=index, expected=following, found=journal["first"])
        self._journal = (journal["last"] + 1, journal["head"])

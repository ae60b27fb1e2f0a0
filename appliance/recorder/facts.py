"""What an entry of the log says to the registry, and no more.

- `read` accepts exactly what this log may hold: a reservation, a manifest, a batch of refusals.
- A fact has a compact form for the summaries (`pack`, `unpack`).
- A signature is not checked here: what is in the log was checked when it went in, or is covered by the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from appliance.evidence import envelope, statement

_TYPES = (statement.STATEMENT_PAYLOAD, statement.RESERVATION_PAYLOAD)

Device = tuple[str, str]
"""Part and unique id."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A device was reserved for a press."""

    digest: str
    press: str
    order: str
    event: str
    sequence: int
    previous: str | None
    part: str
    uid: str
    label: str | None

    @property
    def device(self) -> Device:
        return self.part, self.uid


@dataclass(frozen=True, slots=True)
class Concluded:
    """A press has its manifest. `reservation`: the entry that it names, None without one."""

    digest: str
    press: str
    order: str | None
    event: str
    sequence: int
    previous: str | None
    verdict: str
    code: str | None
    part: str | None
    uid: str | None
    label: str | None
    reservation: int | None
    reservation_digest: str | None
    station: str

    @property
    def device(self) -> Device | None:
        return None if self.part is None or self.uid is None else (self.part, self.uid)


@dataclass(frozen=True, slots=True)
class Batch:
    """Refusals `first` to `last` of the journal were committed; `presses` are those they name."""

    digest: str
    first: int
    last: int
    previous: str
    head: str
    presses: tuple[str, ...]
    station: str


Fact = Reserved | Concluded | Batch
_KINDS: dict[str, type[Fact]] = {"reserved": Reserved, "concluded": Concluded, "batch": Batch}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def digest_of(entry: bytes) -> str:
    """How other documents name an entry."""
    return f"sha256:{sha256(entry).hexdigest()}"


def read(entry: bytes) -> Fact:
    """The fact in an entry, or a `PL-EVD` refusal."""
    signed = envelope.decode(entry, _TYPES, unsigned_types=(statement.RESERVATION_PAYLOAD,))
    digest = digest_of(entry)
    if signed.payload_type == statement.RESERVATION_PAYLOAD:
        return reserved(statement.parse_reservation(signed.payload), digest)
    found = statement.parse(signed.payload)
    if isinstance(found, statement.Refusals):
        return batch(found, digest)
    return concluded(found, digest)


def reserved(document: statement.Document, digest: str) -> Reserved:
    """The fact in a reservation."""
    return Reserved(
        digest=digest,
        press=document["press"],
        order=document["order"],
        event=document["event"],
        sequence=document["sequence"],
        previous=document["previous"],
        part=document["device"]["part"],
        uid=document["device"]["uid"],
        label=document["label"],
    )


def concluded(manifest: statement.Manifest, digest: str) -> Concluded:
    """The fact in a manifest."""
    predicate = manifest.predicate
    event, device = predicate["event"], predicate["device"]
    reservation = event["reservation"]
    return Concluded(
        digest=digest,
        press=manifest.press,
        order=None if predicate["order"] is None else predicate["order"]["id"],
        event=manifest.kind,
        sequence=manifest.sequence,
        previous=manifest.previous,
        verdict=manifest.verdict,
        code=None if event["refusal"] is None else event["refusal"]["code"],
        part=None if device is None else device["part"],
        uid=None if device is None else device["uid"],
        label=predicate["label"]["text"],
        reservation=None if reservation is None else reservation["index"],
        reservation_digest=None if reservation is None else reservation["digest"],
        station=predicate["station"]["id"],
    )


def batch(refusals: statement.Refusals, digest: str) -> Batch:
    """The fact in a batch of refusals."""
    predicate = refusals.predicate
    return Batch(
        digest=digest,
        first=refusals.first,
        last=refusals.last,
        previous=predicate["journal"]["previous"],
        head=predicate["journal"]["head"],
        presses=tuple(sorted({one["press"] for one in predicate["records"] if one["press"] is not None})),
        station=predicate["station"]["id"],
    )


def pack(fact: Fact) -> list[Any]:
    """A fact as a JSON list."""
    return [_NAMES[type(fact)], *(getattr(fact, one.name) for one in fields(fact))]


def unpack(packed: Sequence[Any]) -> Fact:
    """The fact that `pack` packed; ValueError, TypeError or KeyError for anything else."""
    kind, *values = packed
    if kind == "batch":
        values[5] = tuple(values[5])
    return _KINDS[kind](*values)

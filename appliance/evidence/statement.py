"""The statements in the log: manifest, refusals, reservation. What each says, and that it does not contradict itself.

- Every field is checked by `tables`; unknown fields are refused; a payload is canonical JSON, so it has one spelling.
- The first subject is the device the predicate describes, or the press where no device was read; the second is the
  image as measured, and is there exactly when something was measured.
- A pass has a device, a reservation, an order, a release with approvals, a measurement whose every range is as
  expected, nothing unerased, and no refusal. Any other verdict names its refusal; `fail` and `quarantined` have the
  reservation that came before the flash was touched; without an order or a release nothing but `refused` is possible.
- Measured, erased and unerased ranges are each in address order and do not overlap; persons and keys of approvals
  are distinct; a device's first event has no predecessor and every later one has; the clock interval does not end
  before it begins; a derived label belongs to the device; an appliance names its image and nothing else has one.
- A batch of refusals is the hash chain that it says it is, from `first` to `last`.

`build_*` makes a payload to sign and refuses what `parse_*` would. A payload proves nothing before its signature, its
key's role and its place in the log are checked: that is `appliance.verify`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from appliance.evidence import schema, strict_json, tables
from appliance.evidence.errors import (
    ApprovalsNotDistinct,
    ClockIntervalReversed,
    FieldFormWrong,
    LabelContradicted,
    OrderContradicted,
    PredicateTypeWrong,
    RangesOutOfOrder,
    RefusalChainBroken,
    SequenceContradicted,
    StatementTypeWrong,
    StationContradicted,
    SubjectWrong,
    VerdictContradicted,
)
from appliance.evidence.label import derived_label, device_digest, image_digest

STATEMENT_PAYLOAD = "application/vnd.in-toto+json"
RESERVATION_PAYLOAD = "application/vnd.proofline.reservation+json"
FIRST_HEAD = "sha256:" + "00" * 32
"""The refusal journal's head before its first record."""

Document = Mapping[str, Any]
"""A checked JSON object: every field is what `tables` says."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One press's outcome. `predicate` is the whole document; the rest is what everybody asks of it."""

    predicate: Document
    subject: str
    """Hex digest of the first subject: the device's where one was read, else the press record's."""

    @property
    def verdict(self) -> str:
        return str(self.predicate["event"]["verdict"])

    @property
    def kind(self) -> str:
        return str(self.predicate["event"]["kind"])

    @property
    def press(self) -> str:
        return str(self.predicate["event"]["press"])

    @property
    def sequence(self) -> int:
        return int(self.predicate["event"]["sequence"])

    @property
    def previous(self) -> str | None:
        previous = self.predicate["event"]["previous"]
        return None if previous is None else str(previous)

    @property
    def device(self) -> str | None:
        """The device's digest in hex, None where no device was read."""
        return None if self.predicate["device"] is None else self.subject


@dataclass(frozen=True, slots=True)
class Refusals:
    """A batch of the refusal journal: records `first` to `last`, chained from `previous` to `head`."""

    predicate: Document

    @property
    def first(self) -> int:
        return int(self.predicate["journal"]["first"])

    @property
    def last(self) -> int:
        return int(self.predicate["journal"]["last"])


def parse(payload: bytes) -> Manifest | Refusals:
    """The statement in a `STATEMENT_PAYLOAD`, or a `PL-EVD-001` to `-009`, `-070` to `-086` refusal."""
    statement: Any = tables.MANIFEST_STATEMENT.glance(payload)
    if statement is None:
        statement = _statement_table(payload).read(payload)
    predicate, subjects = statement["predicate"], statement["subject"]
    if statement["predicateType"] == tables.MANIFEST_TYPE:
        _check_manifest(predicate)
        _check_subjects(subjects, _manifest_subjects(predicate))
        return Manifest(predicate, subjects[0]["digest"]["sha256"])
    _check_refusals(predicate)
    _check_subjects(subjects, _refusals_subjects(predicate))
    return Refusals(predicate)


def parse_manifest(payload: bytes) -> Manifest:
    """The manifest in a payload, and nothing else."""
    found = parse(payload)
    if not isinstance(found, Manifest):
        raise PredicateTypeWrong(found=tables.REFUSALS_TYPE, expected=tables.MANIFEST_TYPE)
    return found


def parse_reservation(payload: bytes) -> Document:
    """The reservation in a `RESERVATION_PAYLOAD`, or a refusal."""
    document: Any = tables.RESERVATION_DOCUMENT.read(payload)
    _check_sequence(document["sequence"], document["previous"])
    return dict(document)


def build_manifest(predicate: Document) -> bytes:
    """The payload to sign for this predicate; subjects are computed from it."""
    return _build(tables.MANIFEST_TYPE, predicate, _manifest_subjects)


def build_refusals(predicate: Document) -> bytes:
    """The payload to sign for a batch of refusals; the subject is the journal's head."""
    return _build(tables.REFUSALS_TYPE, predicate, _refusals_subjects)


def build_reservation(document: Document) -> bytes:
    """The payload of a reservation entry."""
    payload = strict_json.encode(document)
    parse_reservation(payload)
    return payload


def chain(previous: str, records: Iterable[Document]) -> str:
    """The journal's head after `records`: `head_n = SHA-256(head_(n-1) || canonical record)`, as `sha256:<hex>`."""
    head = bytes.fromhex(previous.removeprefix("sha256:"))
    for one in records:
        head = sha256(head + strict_json.encode(one)).digest()
    return f"sha256:{head.hex()}"


def sentence(words: str) -> str:
    """`words` as a refusal's engineer sentence may stand in a document: one line, at most 1000 characters."""
    return "".join(one if one.isprintable() else " " for one in words[:1000])


def _build(kind: str, predicate: Document, subjects_of: Callable[[Document], Sequence[tuple[str, str]]]) -> bytes:
    def spelled(subjects: Sequence[tuple[str, str]]) -> bytes:
        return strict_json.encode(
            {
                "_type": tables.STATEMENT_TYPE,
                "predicateType": kind,
                "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects],
                "predicate": predicate,
            }
        )

    # The subjects are computed from fields, so the fields are checked first, under a subject of the right form.
    _statement_table(draft := spelled([("press", "00" * 32)])).read(draft)
    payload = spelled(subjects_of(predicate))
    parse(payload)
    return payload


def _statement_table(payload: bytes) -> schema.Table:
    """The table that this payload's predicate type asks for."""
    statement = strict_json.decode(payload, max_bytes=tables.MAX_BYTES)
    kinds = {tables.MANIFEST_TYPE: tables.MANIFEST_STATEMENT, tables.REFUSALS_TYPE: tables.REFUSALS_STATEMENT}
    found = statement if type(statement) is dict else {}
    if found.get("_type") != tables.STATEMENT_TYPE:
        raise StatementTypeWrong(found=repr(found.get("_type"))[:120])
    kind = found.get("predicateType")
    if not isinstance(kind, str) or kind not in kinds:
        raise PredicateTypeWrong(found=repr(kind)[:120], expected=" or ".join(kinds))
    return kinds[kind]


def _manifest_subjects(predicate: Document) -> list[tuple[str, str]]:
    device, measurement, event = predicate["device"], predicate["measurement"], predicate["event"]
    if device is None:
        subjects = [("press", event["press_digest"].removeprefix("sha256:"))]
    else:
        subjects = [("device", device_digest(device["part"], device["uid"]))]
    if measurement is not None:
        digest = image_digest((one["start"], one["sha256"]) for one in measurement["ranges"])
        subjects.append(("image", digest))
    return subjects


def _refusals_subjects(predicate: Document) -> list[tuple[str, str]]:
    return [("journal", predicate["journal"]["head"].removeprefix("sha256:"))]


def _check_subjects(found: Sequence[Document], expected: Sequence[tuple[str, str]]) -> None:
    if len(found) != len(expected):
        raise SubjectWrong(at=min(len(found), len(expected)), why=f"{len(found)} subjects, not {len(expected)}")
    for at, (one, (name, digest)) in enumerate(zip(found, expected, strict=True)):
        if one["name"] != name:
            raise SubjectWrong(at=at, why=f"it is a {one['name']}, not a {name}")
        if one["digest"]["sha256"] != digest:
            raise SubjectWrong(at=at, why=f"the {name}'s digest is {digest}")


def _check_manifest(predicate: Document) -> None:
    event, device, measurement = predicate["event"], predicate["device"], predicate["measurement"]
    _check_sequence(event["sequence"], event["previous"])
    _check_clock(predicate["clock"])
    _check_station(predicate["station"])
    if measurement is not None:
        for name in ("ranges", "erased", "unerased"):
            _check_ranges(measurement[name], f"measurement.{name}")
    if device is None and (event["reservation"] is not None or event["previous"] is not None):
        raise VerdictContradicted(verdict=event["verdict"], why="no device was read, yet one is known")
    if device is not None:
        _check_label(predicate["label"], device, event["verdict"])
    _check_order(predicate)
    reasons = _against_pass(predicate) if event["verdict"] == "pass" else _against_others(predicate)
    if reasons:
        raise VerdictContradicted(verdict=event["verdict"], why=reasons)


def _against_pass(predicate: Document) -> str:
    event, measurement, release = predicate["event"], predicate["measurement"], predicate["release"]
    if event["refusal"] is not None:
        return "it names a refusal"
    if predicate["device"] is None or event["reservation"] is None:
        return "no device was read and reserved"
    if release is None or not release["approvals"]:
        return "no approved release is named"
    if measurement is None:
        return "nothing was measured"
    for one in measurement["ranges"]:
        if one["sha256"] != one["expected"]:
            return f"range {one['name']} was not measured as expected"
    if measurement["unerased"]:
        return "flash outside the image was not erased"
    return ""


def _against_others(predicate: Document) -> str:
    event = predicate["event"]
    if event["refusal"] is None:
        return "no refusal says why"
    if event["verdict"] in ("fail", "quarantined") and event["reservation"] is None:
        return "no reservation came before the flash was touched"
    return ""


def _check_order(predicate: Document) -> None:
    order, release = predicate["order"], predicate["release"]
    if (order is None or release is None) and predicate["event"]["verdict"] != "refused":
        raise OrderContradicted(why="one is missing, and the press was not refused")
    if order is None or release is None:
        return
    if order["sku"] != release["sku"]:
        raise OrderContradicted(why=f"the order is for {order['sku']}, the release for {release['sku']}")
    for what in ("person", "key"):
        if len({one[what] for one in release["approvals"]}) != len(release["approvals"]):
            raise ApprovalsNotDistinct(what=what)


def _check_sequence(sequence: int, previous: str | None) -> None:
    if (sequence == 0) != (previous is None):
        raise SequenceContradicted(sequence=sequence, why="only the first event has no predecessor")


def _check_clock(clock: Document) -> None:
    for name in ("earliest", "latest"):
        try:
            datetime.fromisoformat(clock[name])
        except ValueError:
            raise FieldFormWrong(
                where=f"predicate.clock.{name}", found=clock[name], expected="a day that the calendar has"
            ) from None
    if clock["latest"] < clock["earliest"]:
        raise ClockIntervalReversed(earliest=clock["earliest"], latest=clock["latest"])


def _check_station(station: Document) -> None:
    named = station["image"] is not None
    if (station["kind"] == "appliance") != named:
        raise StationContradicted(kind=station["kind"], why="names an image" if named else "names no image")


def _check_label(label: Document, device: Document, verdict: str) -> None:
    text, scanned = label["text"], label["scanned"]
    if label["mode"] == "derived" and text is not None:
        expected = derived_label(text.rpartition("-")[0], device["part"], device["uid"])
        if text != expected:
            raise LabelContradicted(why=f"{text} is on the unit; {expected} derives from it")
    if verdict == "pass" and text is not None and scanned is not None and text != scanned:
        raise LabelContradicted(why=f"{scanned} was scanned and {text} belongs to the unit, yet it passed")


def _check_ranges(ranges: Sequence[Document], where: str) -> None:
    end = 0
    for one in ranges:
        if one["start"] < end:
            raise RangesOutOfOrder(where=where)
        end = one["start"] + one["length"]
        if end > 1 << 32:
            raise RangesOutOfOrder(where=f"{where} (one ends outside the address space)")


def _check_refusals(predicate: Document) -> None:
    journal, records = predicate["journal"], predicate["records"]
    _check_clock(predicate["clock"])
    _check_station(predicate["station"])
    if (journal["first"] == 0) != (journal["previous"] == FIRST_HEAD):
        raise RefusalChainBroken(n=journal["first"], why="only record 0 follows the empty journal")
    for n, one in enumerate(records, journal["first"]):
        if one["n"] != n:
            raise RefusalChainBroken(n=n, why=f"record {one['n']} stands in its place")
    if journal["last"] != journal["first"] + len(records) - 1:
        raise RefusalChainBroken(n=journal["last"], why="the last record is another one")
    if chain(journal["previous"], records) != journal["head"]:
        raise RefusalChainBroken(n=journal["last"], why="the records do not lead to the head")

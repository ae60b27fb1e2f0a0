"""Manifests, refusals and reservations: what each field may be, and that none contradicts another."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.evidence import statement, strict_json, tables
from appliance.evidence.errors import EvidenceError
from appliance.evidence.label import derived_label, device_digest, image_digest
from tests.evidence import samples
from tests.evidence.formats import code_of
from tests.evidence.samples import Doc, spelled

Edit = Callable[[Doc], object]
GOOD = statement.build_manifest(samples.predicate())
REFUSED = statement.build_manifest(samples.refused())
REFUSALS = statement.build_refusals(samples.refusals())
RESERVATION = statement.build_reservation(samples.reservation())


def at(path: str, value: object) -> Edit:
    """An edit that puts `value` at `path` (dots between names, numbers for places in lists)."""

    def edit(document: Doc) -> None:
        *way, last = [int(one) if one.isdigit() else one for one in path.split(".")]
        place: Any = document
        for step in way:
            place = place[step]
        place[last] = value

    return edit


def without(path: str) -> Edit:
    def edit(document: Doc) -> None:
        *way, last = path.split(".")
        place: Any = document
        for step in way:
            place = place[step]
        del place[last]

    return edit


H = "sha256:" + "ab" * 32

BAD_FIELDS: list[tuple[str, Edit, str]] = [
    ("_type", at("_type", "https://in-toto.io/Statement/v0.1"), "PL-EVD-070"),
    ("_type missing", without("_type"), "PL-EVD-070"),
    ("predicateType", at("predicateType", "urn:proofline:manifest:v2"), "PL-EVD-071"),
    ("predicateType a list", at("predicateType", ["urn:proofline:manifest:v1"]), "PL-EVD-071"),
    ("refusals' type", at("predicateType", tables.REFUSALS_TYPE), "PL-EVD-072"),
    ("subject empty", at("subject", []), "PL-EVD-075"),
    ("subject digest short", at("subject.0.digest.sha256", "ab"), "PL-EVD-076"),
    ("subject digest of another kind", at("subject.0.digest", {"sha1": "ab" * 20}), "PL-EVD-072"),
    ("subject of another device", at("subject.0.digest.sha256", "ab" * 32), "PL-EVD-077"),
    ("subject a press", at("subject.0.name", "press"), "PL-EVD-077"),
    ("no image subject", lambda d: d["subject"].pop(), "PL-EVD-077"),
    ("another image", at("subject.1.digest.sha256", "ab" * 32), "PL-EVD-077"),
    ("subjects the other way round", lambda d: d["subject"].reverse(), "PL-EVD-077"),
    ("three subjects", lambda d: d["subject"].append(d["subject"][0]), "PL-EVD-075"),
    ("a field missing", without("predicate.stages"), "PL-EVD-072"),
    ("a field missing inside", without("predicate.event.press"), "PL-EVD-072"),
    ("a field too many", at("predicate.remark", "x"), "PL-EVD-073"),
    ("a field too many inside", at("predicate.station.owner", "x"), "PL-EVD-073"),
    ("predicate a list", at("predicate", []), "PL-EVD-074"),
    ("event.kind", at("predicate.event.kind", "repair"), "PL-EVD-076"),
    ("event.sequence negative", at("predicate.event.sequence", -1), "PL-EVD-075"),
    ("event.sequence true", at("predicate.event.sequence", True), "PL-EVD-074"),
    ("event.sequence huge", at("predicate.event.sequence", 10**12), "PL-EVD-075"),
    ("event.previous without event before", at("predicate.event.previous", H), "PL-EVD-080"),
    ("event.sequence without predecessor", at("predicate.event.sequence", 1), "PL-EVD-080"),
    ("event.verdict", at("predicate.event.verdict", "PASS"), "PL-EVD-076"),
    ("event.refusal of a pass", at("predicate.event.refusal", {"code": "PL-LIN-001", "engineer": ""}), "PL-EVD-078"),
    ("event.refusal code", at("predicate.event.refusal", {"code": "LIN-1", "engineer": ""}), "PL-EVD-076"),
    (
        "event.refusal with a line feed",
        at("predicate.event.refusal", {"code": "PL-LIN-001", "engineer": "a\nb"}),
        "PL-EVD-076",
    ),
    (
        "event.refusal endless",
        at("predicate.event.refusal", {"code": "PL-LIN-001", "engineer": "a" * 1001}),
        "PL-EVD-076",
    ),
    ("event.press in capitals", at("predicate.event.press", "AB" * 16), "PL-EVD-076"),
    ("event.press_digest bare", at("predicate.event.press_digest", "ab" * 32), "PL-EVD-076"),
    ("event.reservation missing", at("predicate.event.reservation", None), "PL-EVD-078"),
    ("event.reservation.index", at("predicate.event.reservation.index", -1), "PL-EVD-075"),
    ("event.reservation.digest", at("predicate.event.reservation.digest", "md5:00"), "PL-EVD-076"),
    ("a fail without refusal", at("predicate.event.verdict", "fail"), "PL-EVD-078"),
    ("device.part", at("predicate.device.part", "STM32"), "PL-EVD-076"),
    ("device.uid odd", at("predicate.device.uid", "abc"), "PL-EVD-076"),
    ("device.uid of another device", at("predicate.device.uid", "ab" * 12), "PL-EVD-081"),
    ("device.dpidr", at("predicate.device.dpidr", 0x2BA01477), "PL-EVD-074"),
    ("device.idcode", at("predicate.device.idcode", "30006441"), "PL-EVD-076"),
    ("device.rom", at("predicate.device.rom", "0x"), "PL-EVD-076"),
    ("device.rdp", at("predicate.device.rdp", 3), "PL-EVD-075"),
    ("device.flash_kib", at("predicate.device.flash_kib", 0), "PL-EVD-075"),
    ("a pass without a device", at("predicate.device", None), "PL-EVD-078"),
    ("label.mode", at("predicate.label.mode", "guessed"), "PL-EVD-076"),
    ("label.text of another device", at("predicate.label.text", "FW-0000000000"), "PL-EVD-081"),
    ("label.text not ASCII", at("predicate.label.text", "FW-\u202e"), "PL-EVD-076"),
    ("label.scanned another", at("predicate.label.scanned", "FW-0000000000"), "PL-EVD-081"),
    ("order.id a path", at("predicate.order.id", "../WO-1"), "PL-EVD-076"),
    ("order.sku of another release", at("predicate.order.sku", "other"), "PL-EVD-086"),
    ("order.quantity", at("predicate.order.quantity", 0), "PL-EVD-075"),
    ("order.ticket empty", at("predicate.order.ticket", ""), "PL-EVD-076"),
    ("no order", at("predicate.order", None), "PL-EVD-086"),
    ("release.version", at("predicate.release.version", "1.0 beta"), "PL-EVD-076"),
    ("release.digest", at("predicate.release.digest", "sha256:AB"), "PL-EVD-076"),
    ("release.metadata.targets", at("predicate.release.metadata.targets", 0), "PL-EVD-075"),
    ("release.metadata.mirror", at("predicate.release.metadata.mirror", 1), "PL-EVD-073"),
    ("no release", at("predicate.release", None), "PL-EVD-086"),
    ("no approvals", at("predicate.release.approvals", []), "PL-EVD-078"),
    ("one person twice", at("predicate.release.approvals.1.person", "ada"), "PL-EVD-085"),
    (
        "one key twice",
        lambda d: at("predicate.release.approvals.1.key", d["predicate"]["release"]["approvals"][0]["key"])(d),
        "PL-EVD-085",
    ),
    ("approval.ticket", at("predicate.release.approvals.0.ticket", 7), "PL-EVD-074"),
    ("measurement.method", at("predicate.measurement.method", "trust me"), "PL-EVD-076"),
    ("measurement.ranges empty", at("predicate.measurement.ranges", []), "PL-EVD-075"),
    ("range not as expected", at("predicate.measurement.ranges.0.expected", "ab" * 32), "PL-EVD-078"),
    ("range with a prefix", at("predicate.measurement.ranges.0.sha256", H), "PL-EVD-076"),
    ("range.length 0", at("predicate.measurement.ranges.0.length", 0), "PL-EVD-075"),
    ("range past the address space", at("predicate.measurement.ranges.0.start", 2**32), "PL-EVD-084"),
    (
        "ranges overlap",
        lambda d: d["predicate"]["measurement"]["ranges"].append(d["predicate"]["measurement"]["ranges"][0]),
        "PL-EVD-084",
    ),
    (
        "erased out of order",
        lambda d: d["predicate"]["measurement"]["erased"].append({"start": 0, "length": 1}),
        "PL-EVD-084",
    ),
    ("unerased", at("predicate.measurement.unerased", [{"start": 0, "length": 1}]), "PL-EVD-078"),
    ("65 spans", at("predicate.measurement.erased", [{"start": 2 * n, "length": 1} for n in range(65)]), "PL-EVD-075"),
    ("a pass without measurement", lambda d: (at("predicate.measurement", None)(d), d["subject"].pop()), "PL-EVD-078"),
    ("identity", at("predicate.identity", {}), "PL-EVD-074"),
    ("lock", at("predicate.lock", False), "PL-EVD-074"),
    ("station.id", at("predicate.station.id", "bench 01"), "PL-EVD-076"),
    ("station.kind", at("predicate.station.kind", "laptop"), "PL-EVD-076"),
    ("an appliance without image", at("predicate.station.image", None), "PL-EVD-082"),
    ("a development station with image", at("predicate.station.kind", "development"), "PL-EVD-082"),
    ("station.image.slot", at("predicate.station.image.slot", "C"), "PL-EVD-076"),
    ("station.anchor", at("predicate.station.anchor", None), "PL-EVD-074"),
    ("station.boot_id", at("predicate.station.boot_id", "0b"), "PL-EVD-076"),
    ("station.probe", at("predicate.station.probe", {"kind": "x"}), "PL-EVD-072"),
    ("operator.method", at("predicate.operator.method", "face"), "PL-EVD-076"),
    ("clock.status", at("predicate.clock.status", "Unknown"), "PL-EVD-076"),
    ("clock a point", at("predicate.clock.latest", "2026-11-22T12:00:01Z"), "PL-EVD-076"),
    ("clock with a zone", at("predicate.clock.latest", "2026-11-22T12:00:01.000000+00:00"), "PL-EVD-076"),
    ("clock on no day", at("predicate.clock.latest", "2026-02-30T12:00:01.000000Z"), "PL-EVD-076"),
    ("clock reversed", at("predicate.clock.earliest", "2027-01-01T00:00:00.000000Z"), "PL-EVD-079"),
    ("clock.sources", at("predicate.clock.sources", ["x"] * 17), "PL-EVD-075"),
    ("keys empty", at("predicate.keys", []), "PL-EVD-075"),
    ("keys.policy", at("predicate.keys.0.policy", "waived"), "PL-EVD-076"),
    ("keys.purpose", at("predicate.keys.0.purpose", "root"), "PL-EVD-076"),
    ("keys.cka_id", at("predicate.keys.0.cka_id", ""), "PL-EVD-076"),
    ("stages.us", at("predicate.stages.0.us", "12"), "PL-EVD-074"),
    ("65 stages", at("predicate.stages", [{"name": "x", "us": 1}] * 65), "PL-EVD-075"),
]


@pytest.mark.parametrize(("edit", "code"), [row[1:] for row in BAD_FIELDS], ids=[row[0] for row in BAD_FIELDS])
def test_bad_manifest(edit: Edit, code: str) -> None:
    assert code_of(lambda: statement.parse(spelled(GOOD, edit))) == code


BAD_REFUSALS: list[tuple[str, Edit, str]] = [
    ("subject", at("subject.0.digest.sha256", "ab" * 32), "PL-EVD-077"),
    ("a record changed", at("predicate.records.1.engineer", "other words"), "PL-EVD-083"),
    ("a record left out", lambda d: d["predicate"]["records"].pop(1), "PL-EVD-083"),
    ("records the other way round", lambda d: d["predicate"]["records"].reverse(), "PL-EVD-083"),
    ("no records", at("predicate.records", []), "PL-EVD-075"),
    ("last", at("predicate.journal.last", 7), "PL-EVD-083"),
    ("first", at("predicate.journal.first", 1), "PL-EVD-083"),
    ("head", at("predicate.journal.head", H), "PL-EVD-083"),
    ("previous", at("predicate.journal.previous", H), "PL-EVD-083"),
    ("record kind", at("predicate.records.0.kind", "remark"), "PL-EVD-076"),
    ("record code", at("predicate.records.0.code", ""), "PL-EVD-076"),
    ("record time", at("predicate.records.0.monotonic_ms", -1), "PL-EVD-075"),
    ("clock reversed", at("predicate.clock.earliest", "2027-01-01T00:00:00.000000Z"), "PL-EVD-079"),
    ("no image", at("predicate.station.image", None), "PL-EVD-082"),
    ("manifest's type", at("predicateType", tables.MANIFEST_TYPE), "PL-EVD-072"),
]


@pytest.mark.parametrize(("edit", "code"), [row[1:] for row in BAD_REFUSALS], ids=[row[0] for row in BAD_REFUSALS])
def test_bad_refusals(edit: Edit, code: str) -> None:
    assert isinstance(statement.parse(REFUSALS), statement.Refusals)
    assert code_of(lambda: statement.parse(spelled(REFUSALS, edit))) == code


BAD_RESERVATIONS: list[tuple[str, Edit, str]] = [
    ("schema", at("schema", 2), "PL-EVD-075"),
    ("station", at("station", ""), "PL-EVD-076"),
    ("press", at("press", "1"), "PL-EVD-076"),
    ("order", at("order", None), "PL-EVD-074"),
    ("event", at("event", "new"), "PL-EVD-076"),
    ("sequence", at("sequence", 1), "PL-EVD-080"),
    ("previous", at("previous", H), "PL-EVD-080"),
    ("device.uid", at("device.uid", "xyz"), "PL-EVD-076"),
    ("device.serial", at("device.serial", "1"), "PL-EVD-073"),
    ("label", at("label", "x" * 65), "PL-EVD-076"),
    ("boot_id", without("boot_id"), "PL-EVD-072"),
    ("monotonic_ms", at("monotonic_ms", 1 << 62), "PL-EVD-075"),
]


@pytest.mark.parametrize(
    ("edit", "code"), [row[1:] for row in BAD_RESERVATIONS], ids=[row[0] for row in BAD_RESERVATIONS]
)
def test_bad_reservation(edit: Edit, code: str) -> None:
    assert statement.parse_reservation(RESERVATION) == samples.reservation()
    assert code_of(lambda: statement.parse_reservation(spelled(RESERVATION, edit))) == code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (GOOD[:-1], "PL-EVD-003"),
        (GOOD + b"\n", "PL-EVD-009"),
        (GOOD.replace(b'"lock"', b'"lock":null,"lock"'), "PL-EVD-004"),
        (GOOD.replace(b'"sequence":0', b'"sequence":0.0'), "PL-EVD-005"),
        (GOOD.replace(b'"sequence":0', b'"sequence":' + b"9" * 5000), "PL-EVD-005"),
        (GOOD.replace(b'"olga"', b'"\\u006flga"'), "PL-EVD-009"),
        (GOOD.replace(b'"olga"', b'"\\ud800"'), "PL-EVD-007"),
        (GOOD.replace(b'"olga"', b'"\xff"'), "PL-EVD-002"),
        (b" " * 50_000, "PL-EVD-001"),
        (b"[" * 3000, "PL-EVD-006"),
        (b"[]", "PL-EVD-070"),
        (b"null", "PL-EVD-070"),
    ],
)
def test_bad_payload(payload: bytes, code: str) -> None:
    assert code_of(lambda: statement.parse(payload)) == code


def test_the_good_twins_say_what_they_should() -> None:
    passed = statement.parse_manifest(GOOD)
    digest = device_digest(samples.PART, samples.UID)
    assert (passed.verdict, passed.kind, passed.sequence, passed.previous) == ("pass", "provision", 0, None)
    assert passed.subject == passed.device == digest
    document: Any = strict_json.decode(GOOD)
    assert document["subject"][1]["digest"]["sha256"] == image_digest([(0x0800_0000, samples.FIRMWARE_SHA256)])
    refused = statement.parse_manifest(REFUSED)
    assert (refused.verdict, refused.device) == ("refused", None)
    assert f"sha256:{refused.subject}" == refused.predicate["event"]["press_digest"]
    batch = statement.parse(REFUSALS)
    assert isinstance(batch, statement.Refusals)
    assert (batch.first, batch.last) == (0, 2)
    assert code_of(lambda: statement.parse_manifest(REFUSALS)) == "PL-EVD-071"


def test_a_press_without_order_can_only_be_refused() -> None:
    found = samples.refused() | {"order": None, "release": None}
    statement.build_manifest(found)
    found["event"]["verdict"] = "aborted"
    assert code_of(lambda: statement.build_manifest(found)) == "PL-EVD-086"


def test_a_failed_unit_keeps_what_was_measured() -> None:
    found = samples.predicate()
    found["event"].update(verdict="fail", refusal={"code": "PL-TGT-001", "engineer": "wrong"})
    found["measurement"]["ranges"][0]["sha256"] = "ab" * 32
    found["measurement"]["unerased"] = [{"start": 0x0801_0000, "length": 4}]
    assert statement.parse_manifest(statement.build_manifest(found)).verdict == "fail"
    found["event"]["reservation"] = None
    assert code_of(lambda: statement.build_manifest(found)) == "PL-EVD-078"


def test_the_builder_refuses_what_is_no_document() -> None:
    found = samples.predicate()
    found["stages"][0]["us"] = 1.5
    assert code_of(lambda: statement.build_manifest(found)) == "PL-EVD-008"
    assert code_of(lambda: statement.build_manifest({})) == "PL-EVD-072"
    assert code_of(lambda: statement.build_refusals({"event": {}})) == "PL-EVD-072"
    assert code_of(lambda: statement.build_reservation({"schema": 1})) == "PL-EVD-072"


def test_a_refusals_words_are_made_fit() -> None:
    found = samples.refused()
    found["event"]["refusal"]["engineer"] = statement.sentence("a\nb\x00\u2028\ud800" + "x" * 2000)
    assert statement.parse_manifest(statement.build_manifest(found)).verdict == "refused"


def test_the_derived_label_is_fifty_bits_of_the_device() -> None:
    assert derived_label("FW", samples.PART, samples.UID).startswith("FW-")
    # Crockford's alphabet over the first 50 bits, most significant first.
    bits = f"{int(device_digest(samples.PART, samples.UID), 16):0256b}"[:50]
    tail = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[at : at + 5], 2)] for at in range(0, 50, 5))
    assert derived_label("FW", samples.PART, samples.UID) == f"FW-{tail}"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
    | st.sampled_from(["ab" * 32, H, "x\\y", 'x"y', "\x7f", [], {}, [None], 2**32, 10**9, 10**15])
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_glance_and_the_thorough_way_agree(data: st.DataObject) -> None:
    good, table = data.draw(
        st.sampled_from(
            [
                (GOOD, tables.MANIFEST_STATEMENT),
                (REFUSED, tables.MANIFEST_STATEMENT),
                (REFUSALS, tables.REFUSALS_STATEMENT),
                (RESERVATION, tables.RESERVATION_DOCUMENT),
            ]
        )
    )
    document: Any = strict_json.decode(good)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(document)))
        inner = document
        for step in place[:-1]:
            inner = inner[step]
        if data.draw(st.booleans()) or isinstance(inner, list):
            inner[place[-1]] = deepcopy(data.draw(SCALARS))
        else:
            del inner[place[-1]]
    payload = strict_json.encode(document)
    glanced = table.glance(payload)
    try:
        read = table.read(payload)
    except EvidenceError:
        assert glanced is None
    else:
        assert glanced == read == document


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_bent_payload_is_refused_or_canonical(start: int, patch: bytes, cut: int) -> None:
    payload = GOOD[:start] + patch + GOOD[start + cut :]
    try:
        statement.parse(payload)
    except EvidenceError:
        return
    assert strict_json.encode(strict_json.decode(payload)) == payload

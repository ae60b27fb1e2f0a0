"""The rules of reserving, as a table, and the registry that they look at."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.evidence.label import derived_label
from appliance.evidence.statement import FIRST_HEAD
from appliance.recorder import facts, rules
from appliance.recorder.facts import Batch, Concluded, Fact, Reserved
from appliance.recorder.registry import Registry
from appliance.verify.site import SiteTrust
from tests.recorder.desk import PART, UID, uid
from tests.release.forge import Forge, Memory

DIGEST = f"sha256:{'11' * 32}"
DERIVED = derived_label("FW", PART, UID)


def outcome(act: Callable[[], str]) -> str:
    """What it gives, or the code it refuses with."""
    try:
        return act()
    except ProoflineError as refusal:
        return refusal.code


def press_of(number: int) -> str:
    return f"{number:032x}"


def reserved(number: int, device: str = UID, label: str | None = DERIVED, **changes: Any) -> Reserved:
    given_ = {"order": "WO-1", "event": "provision", "sequence": 0, "previous": None, **changes}
    return Reserved(digest=DIGEST, press=press_of(number), part=PART, uid=device, label=label, **given_)


def concluded(number: int, verdict: str, device: str | None = UID, **changes: Any) -> Concluded:
    given_: dict[str, Any] = {
        "order": "WO-1",
        "event": "provision",
        "sequence": 0,
        "previous": None,
        "code": None if verdict == "pass" else "PL-LIN-001",
        "label": DERIVED,
        "reservation": 0,
        "reservation_digest": DIGEST,
        "station": "bench-01",
        **changes,
    }
    part = None if device is None else PART
    return Concluded(
        digest=f"sha256:{number:064x}", press=press_of(number), verdict=verdict, part=part, uid=device, **given_
    )


def registry_of(*history: Fact) -> Registry:
    found = Registry()
    for index, fact in enumerate(history):
        found.apply(index, fact)
    return found


def trust_of(**changes: Any) -> SiteTrust:
    """The forger's site; `changes` are (document, field path) edits: label="preprinted" and the like."""
    forge = Forge()
    product = forge.documents["products/demo.json"]
    product["label"] |= {name: value for name, value in changes.items() if name in {"mode", "prefix", "scan"}}
    product["events"] = changes.get("events", product["events"])
    operators = forge.documents["roster.json"]["operators"]
    operators.append({**operators[0], "id": "rita", "name": "Rita", "badge_sha256": "12" * 32, "roles": ["rework"]})
    forge.documents["orders/WO-1.json"] |= changes.get("order", {})
    station = forge.documents["stations.json"]["stations"][0]
    station["products"] = changes.get("products", station["products"])
    files = forge.files()
    return SiteTrust.verify(Memory(files), files["metadata/1.root.json"])


PROVISIONED = (reserved(1), concluded(1, "pass"))
FAILED = (reserved(1), concluded(1, "fail"))
SCRAPPED = (
    *PROVISIONED,
    reserved(2, event="scrap", sequence=1, previous=DIGEST),
    concluded(2, "pass", event="scrap", sequence=1, previous=DIGEST),
)
PREPRINTED = {"mode": "preprinted", "prefix": "FW", "scan": "required"}
PRINTED = (reserved(1, label="FW-7"), concluded(1, "pass", label="FW-7"))
OTHERS = (reserved(1, uid(9), "FW-7"), concluded(1, "pass", uid(9), label="FW-7"))
ABORTED = (reserved(1, uid(9), "FW-7"), concluded(1, "aborted", uid(9), label="FW-7"))

CASES: list[tuple[str, dict[str, Any], tuple[Fact, ...], dict[str, Any], str]] = [
    ("a new device", {}, (), {}, DERIVED),
    ("its own label scanned", {}, (), {"label": DERIVED}, DERIVED),
    ("a foreign label scanned", {}, (), {"label": "FW-0000000000"}, "PL-REC-041"),
    ("a scan required and missing", {"scan": "required"}, (), {}, "PL-REC-040"),
    ("a scan required and there", {"scan": "required"}, (), {"label": DERIVED}, DERIVED),
    ("a duplicate", {}, PROVISIONED, {}, "PL-REC-021"),
    ("a failed one again", {}, FAILED, {}, "PL-REC-023"),
    ("rework of a failed one", {}, FAILED, {"event": "rework", "operator": "rita"}, DERIVED),
    ("rework by who may not", {}, FAILED, {"event": "rework"}, "PL-REC-027"),
    ("rework by a lead who may not", {}, FAILED, {"event": "rework", "operator": "lea"}, "PL-REC-027"),
    ("rework by nobody", {}, FAILED, {"event": "rework", "operator": "nobody"}, "PL-REC-027"),
    ("rework of a new one", {}, (), {"event": "rework", "operator": "rita"}, "PL-REC-025"),
    ("reflash of a passed one", {}, PROVISIONED, {"event": "reflash", "operator": "rita"}, DERIVED),
    (
        "an event the profile has not",
        {"events": ["provision"]},
        PROVISIONED,
        {"event": "reflash", "operator": "rita"},
        "PL-REC-026",
    ),
    ("a scrapped one", {}, SCRAPPED, {"event": "rework", "operator": "rita"}, "PL-REC-024"),
    ("a preprinted label", PREPRINTED, (), {"label": "FW-7"}, "FW-7"),
    ("a preprinted label missing", PREPRINTED, (), {}, "PL-REC-040"),
    ("a preprinted label of another product", PREPRINTED, (), {"label": "FX-7"}, "PL-REC-042"),
    ("a prefix without its dash", PREPRINTED, (), {"label": "FWX-7"}, "PL-REC-042"),
    ("a preprinted label of another device", PREPRINTED, OTHERS, {"label": "FW-7"}, "PL-REC-043"),
    ("a preprinted label of an attempt without effect", PREPRINTED, ABORTED, {"label": "FW-7"}, "FW-7"),
    (
        "another label on a known device",
        PREPRINTED,
        PRINTED,
        {"event": "reflash", "operator": "rita", "label": "FW-8"},
        "PL-REC-041",
    ),
    ("an order for another station", {"order": {"stations": ["bench-02"]}}, (), {}, "PL-REC-032"),
    ("a product not for this station", {"products": ["other"]}, (), {}, "PL-REC-033"),
    ("an exhausted order", {"order": {"quantity": 1}}, OTHERS, {}, "PL-REC-031"),
    (
        "a passed device takes nothing of an exhausted order",
        {"order": {"quantity": 1}},
        PROVISIONED,
        {"event": "reflash", "operator": "rita"},
        DERIVED,
    ),
    (
        "a repaired device takes its share",
        {"order": {"quantity": 1}},
        (*FAILED, reserved(2, uid(9), "x"), concluded(2, "pass", uid(9))),
        {"event": "rework", "operator": "rita"},
        "PL-REC-031",
    ),
]


@pytest.mark.parametrize(
    ("site", "history", "press", "expected"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_a_device_is_reserved_with_its_label_or_refused_by_name(
    site: dict[str, Any], history: tuple[Fact, ...], press: dict[str, Any], expected: str
) -> None:
    trust = trust_of(**site)
    station = trust.stations().station("bench-01")
    assert station is not None
    asked = rules.Press(
        press_of(50), "WO-1", press.get("event", "provision"), press.get("label"), press.get("operator", "olga")
    )

    def answer() -> str:
        job = rules.job_of(trust, station, asked.order)
        return rules.reserve(registry_of(*history), trust, job, asked, (PART, UID))

    assert outcome(answer) == expected


OPEN = (reserved(1),)
MANIFESTS: list[tuple[str, tuple[Fact, ...], Concluded, str]] = [
    ("what was reserved", OPEN, concluded(1, "pass"), ""),
    ("another station's", OPEN, concluded(1, "pass", station="bench-02"), "PL-REC-052"),
    ("a second one", (*OPEN, concluded(1, "fail")), concluded(1, "pass"), "PL-REC-055"),
    ("no reservation named", OPEN, concluded(1, "fail", reservation=None, reservation_digest=None), "PL-REC-053"),
    ("another entry named", OPEN, concluded(1, "pass", reservation=3), "PL-REC-053"),
    ("another digest named", OPEN, concluded(1, "pass", reservation_digest=f"sha256:{'22' * 32}"), "PL-REC-053"),
    ("another device", OPEN, concluded(1, "pass", uid(2)), "PL-REC-053"),
    ("another order", OPEN, concluded(1, "pass", order="WO-2"), "PL-REC-053"),
    ("another event", OPEN, concluded(1, "pass", event="rework"), "PL-REC-053"),
    ("another label", OPEN, concluded(1, "pass", label="FW-1"), "PL-REC-053"),
    ("no label on a pass", OPEN, concluded(1, "pass", label=None), "PL-REC-053"),
    ("no label where the order is gone", OPEN, concluded(1, "quarantined", label=None, order=None), ""),
    ("another sequence", OPEN, concluded(1, "pass", sequence=1, previous=DIGEST), "PL-REC-054"),
    ("nothing was reserved", (), concluded(1, "pass"), "PL-REC-053"),
    ("a refusal without a device", (), concluded(1, "refused", None, reservation=None, label=None), ""),
    ("a refusal of a device under way", OPEN, concluded(2, "refused", reservation=None), "PL-REC-022"),
    ("a refusal that forgets the history", PROVISIONED, concluded(2, "refused", reservation=None), "PL-REC-054"),
]


@pytest.mark.parametrize(("history", "fact", "code"), [one[1:] for one in MANIFESTS], ids=[one[0] for one in MANIFESTS])
def test_a_manifest_continues_the_log_or_is_refused_by_name(
    history: tuple[Fact, ...], fact: Concluded, code: str
) -> None:
    def answer() -> str:
        rules.check_manifest(registry_of(*history), "bench-01", fact)
        return ""

    assert outcome(answer) == code


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Presses on a few devices, each reserved or not and concluded or not, with batches of refusals between them."""
    found: list[Fact] = []
    for number in range(draw(st.integers(1, 12))):
        device = uid(draw(st.integers(0, 3)))
        label = draw(st.sampled_from([None, "FW-1", "FW-2"]))
        if draw(st.booleans()):
            found.append(reserved(number, device, label))
        if draw(st.booleans()):
            verdict = draw(st.sampled_from(["pass", "fail", "refused", "aborted", "quarantined"]))
            found.append(concluded(number, verdict, draw(st.sampled_from([device, device, None])), label=label))
        if draw(st.booleans()):
            found.append(Batch(DIGEST, number, number, FIRST_HEAD, DIGEST, (press_of(number),), "bench-01"))
    return found


@given(histories(), st.integers(0, 12))
def test_what_did_not_reach_the_disk_is_taken_out_again(history: list[Fact], kept: int) -> None:
    registry = registry_of(*history[:kept])
    before = deepcopy(asdict(registry))
    undo = [registry.apply(index, fact) for index, fact in enumerate(history[kept:], kept)]
    for one in reversed(undo):
        one()
    assert asdict(registry) == before


@given(histories())
def test_a_fact_survives_its_summary(history: list[Fact]) -> None:
    assert [facts.unpack(facts.pack(one)) for one in history] == history

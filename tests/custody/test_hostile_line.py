"""Somebody who speaks as the line: what no words of theirs get signed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.evidence import base64_strict, envelope, statement
from tests.custody.bench import (
    IMAGE_END,
    RANGES,
    REFUSAL,
    REST,
    Bench,
    changed,
    manifest_of,
    passed,
    refused,
    reservation,
    site,
    verdict,
)

FAIL = {**passed(), "verdict": "fail", "refusal": REFUSAL}


def test_a_good_unit_is_signed_with_the_signers_own_sources(bench: Bench, keys: list[dict[str, str]]) -> None:
    press = bench.press()
    signed = bench.call("SignManifest", press=press, observations=passed())["envelope"]
    found = envelope.decode(signed.encode(), {statement.STATEMENT_PAYLOAD})
    public = load_der_public_key(base64_strict.decode(keys[0]["public"]) or b"")
    assert isinstance(public, EllipticCurvePublicKey)
    message = envelope.pae(found.payload_type, found.payload)
    public.verify(found.signatures[0].sig, message, ECDSA(SHA256()))
    predicate = manifest_of(signed)
    assert statement.parse_manifest(found.payload).verdict == "pass"
    assert predicate["operator"] == {"id": "olga", "method": "badge"}
    assert predicate["clock"]["earliest"] == "2026-11-22T12:00:00.000000Z"
    assert predicate["release"]["sku"] == "demo"
    assert {one["person"] for one in predicate["release"]["approvals"]} == {"ada", "bob"}
    assert predicate["order"] == {"id": "WO-1", "sku": "demo", "quantity": 10, "ticket": "CHG-2"}
    assert predicate["station"]["kind"] == "development"
    assert predicate["event"]["reservation"] == {"index": 7, "digest": f"sha256:{'11' * 32}"}
    assert predicate["measurement"]["ranges"][0]["expected"] == predicate["measurement"]["ranges"][0]["sha256"]
    assert predicate["keys"][0]["token_model"] == "SoftHSM v2"


def test_the_same_press_with_the_same_observations_is_the_same_envelope(bench: Bench) -> None:
    press = bench.press()
    first = bench.call("SignManifest", press=press, observations=passed())
    assert bench.call("SignManifest", press=press, observations=passed()) == first
    assert bench.sign(press, FAIL) == "PL-SGN-032"


def test_a_refused_press_leaves_a_trace_even_where_nothing_may_pass(bench: Bench) -> None:
    press = bench.press(reserved=False, order="WO-unknown", operator={"id": "nobody", "method": "badge"})
    signed = bench.call("SignManifest", press=press, observations=refused())["envelope"]
    predicate = manifest_of(signed)
    assert predicate["order"] is None
    assert predicate["event"]["refusal"] == {"code": "PL-LIN-001", "engineer": "Because."}


def test_an_unreserved_device_stands_in_its_own_chain(bench: Bench) -> None:
    bench.history = {"known": True, "sequence": 3, "previous": f"sha256:{'22' * 32}"}
    press = bench.press(reserved=False)
    seen = {**refused(), "device": passed()["device"]}
    event = manifest_of(bench.call("SignManifest", press=press, observations=seen)["envelope"])["event"]
    assert (event["sequence"], event["previous"]) == (3, f"sha256:{'22' * 32}")


def test_a_press_that_nobody_made_is_not_signed(bench: Bench) -> None:
    assert bench.sign("00" * 16, passed()) == "PL-SGN-030"


def test_a_finished_press_is_not_signed(bench: Bench) -> None:
    press = bench.press()
    bench.presses[press]["finished"] = True
    assert bench.sign(press, passed()) == "PL-SGN-031"


def test_a_press_record_that_was_altered_on_the_way_is_not_signed(bench: Bench) -> None:
    press = bench.press()
    bench.presses[press]["operator"] = {"id": "lea", "method": "badge"}
    assert bench.sign(press, passed()) == "PL-SGN-033"


@pytest.mark.parametrize("seen", [passed(), FAIL, {**FAIL, "verdict": "quarantined"}], ids=lambda one: one["verdict"])
def test_what_touched_flash_needs_a_reservation(bench: Bench, seen: dict[str, Any]) -> None:
    assert bench.sign(bench.press(reserved=False), seen) == "PL-SGN-050"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"open": False}, "PL-SGN-051"),
        ({"press": "11" * 16}, "PL-SGN-052"),
        ({"order": "WO-2"}, "PL-SGN-052"),
        ({"event": "rework"}, "PL-SGN-052"),
        ({"device": {"part": "stm32f412xg", "uid": "3200340011514d4c38363201"}}, "PL-SGN-052"),
        ({"device": {"part": "stm32f411xe", "uid": passed()["device"]["uid"]}}, "PL-SGN-052"),
    ],
)
@pytest.mark.parametrize("seen", [passed(), FAIL, refused()], ids=lambda one: one["verdict"])
def test_a_reservation_of_something_else_does_not_serve(
    bench: Bench, change: dict[str, Any], code: str, seen: dict[str, Any]
) -> None:
    press = bench.press()
    bench.reservations[press] = reservation(press) | change
    expected = "PL-SGN-052" if seen["device"] is None and code != "PL-SGN-051" else code
    assert bench.sign(press, seen) == expected


@pytest.mark.parametrize(
    ("way", "value", "code"),
    [
        ("refusal", REFUSAL, "PL-SGN-060"),
        ("measurement", None, "PL-SGN-060"),
        ("device", None, "PL-SGN-060"),
        ("device.flash_kib", 512, "PL-SGN-061"),
        ("device.dpidr", "wrong", "PL-EVD-076"),
        ("measurement.ranges", [], "PL-SGN-062"),
        ("measurement.ranges.0.sha256", "00" * 32, "PL-SGN-062"),
        ("measurement.ranges.0.name", "other", "PL-SGN-062"),
        ("measurement.ranges.0.start", RANGES[0]["start"] + 4, "PL-SGN-062"),
        ("measurement.ranges.0.length", RANGES[0]["length"] - 4, "PL-SGN-062"),
        ("measurement.ranges", passed()["measurement"]["ranges"] * 2, "PL-SGN-062"),
        ("measurement.erased", [], "PL-SGN-063"),
        ("measurement.erased.0.start", IMAGE_END + 4, "PL-SGN-063"),
        ("measurement.erased.0.length", REST["length"] - 4, "PL-SGN-063"),
        ("measurement.erased.0.length", REST["length"] + 4, "PL-SGN-063"),
        ("measurement.erased", [REST, REST], "PL-SGN-063"),
        ("measurement.unerased", [REST], "PL-SGN-063"),
        ("measurement.erased", [{"start": 0, "length": 1}] * 65, "PL-SGN-065"),
        ("stages", [{"name": "x", "us": 1}] * 65, "PL-SGN-065"),
        ("stages.0.us", -1, "PL-EVD-075"),
        ("probe.kind", "x" * 65, "PL-EVD-076"),
    ],
)
def test_a_pass_that_is_none_is_not_signed(bench: Bench, way: str, value: Any, code: str) -> None:
    assert bench.sign(bench.press(), changed(passed(), way, value)) == code


def test_unerased_flash_is_no_pass_even_where_it_is_admitted(bench: Bench) -> None:
    seen = changed(changed(passed(), "measurement.erased", []), "measurement.unerased", [REST])
    assert bench.sign(bench.press(), seen) == "PL-SGN-063"
    assert bench.sign(bench.press(), {**seen, "verdict": "fail", "refusal": REFUSAL}) == ""


def test_a_verdict_without_a_reason_is_not_signed(bench: Bench) -> None:
    for seen in (FAIL, refused()):
        assert bench.sign(bench.press(), {**seen, "refusal": None}) == "PL-SGN-060"


@pytest.mark.parametrize(
    ("press", "code"),
    [
        ({"order": "WO-2"}, "PL-SIT-029"),
        ({"operator": {"id": "mallory", "method": "badge"}}, "PL-SGN-045"),
        ({"event": "rework"}, "PL-SGN-047"),
        ({"label": "FW-0000000000"}, "PL-SGN-064"),
    ],
)
def test_a_press_that_may_not_pass_is_not_signed_as_a_pass(bench: Bench, press: dict[str, Any], code: str) -> None:
    made = bench.press(**press)
    bench.reservations[made] |= {name: press[name] for name in ("order", "event") if name in press}
    seen = passed()
    # Without an approved order nothing but a refusal can be said at all, whoever reserved what.
    expected = "PL-SGN-060" if code == "PL-SIT-029" else code
    assert bench.sign(made, seen) == expected
    if code != "PL-SGN-064":
        assert bench.closed(made) == [code]


@pytest.mark.parametrize(
    ("path", "way", "value", "code"),
    [
        ("orders/WO-1.json", "stations", ["bench-02"], "PL-SGN-040"),
        ("orders/WO-1.json", "opens", "2026-11-22T12:00:00.001000Z", "PL-SGN-041"),
        ("orders/WO-1.json", "closes", "2026-11-22T12:00:00.001000Z", "PL-SGN-041"),
        ("stations.json", "stations.0.products", ["other"], "PL-SGN-043"),
        ("products/demo.json", "events", ["rework"], "PL-SGN-044"),
        ("roster.json", "operators.0.until", "2026-11-22T12:00:00.000000Z", "PL-SGN-046"),
        ("roster.json", "operators.0.roles", ["lead"], "PL-SGN-047"),
    ],
)
def test_what_the_site_did_not_approve_does_not_pass_but_can_be_refused(
    bench: Bench, keys: list[dict[str, str]], path: str, way: str, value: Any, code: str
) -> None:
    bench.stage_changed(keys, path, way, value)
    press = bench.press()
    assert bench.sign(press, passed()) == code
    answer = bench.call("Gates", press=press)
    assert [refusal["code"] for refusal in answer["closed"]] == [code]
    assert answer["signing"] is True
    bench.reservations.pop(press)
    assert bench.sign(press, refused()) == ""


@pytest.mark.parametrize(
    ("path", "way", "value", "code"),
    [
        ("stations.json", "stations.0.id", "bench-09", "PL-SGN-010"),
        ("stations.json", "stations.0.site", "elsewhere", "PL-SGN-010"),
        ("stations.json", "stations.0.keys", [], "PL-SGN-011"),
        (
            "stations.json",
            "stations.0.keys.0.revoked",
            {"at": "2026-11-22T00:00:00.000000Z", "reason": "lost"},
            "PL-SGN-012",
        ),
        ("stations.json", "stations.0.keys.0.until", "2026-11-22T12:00:00.001000Z", "PL-SGN-013"),
        ("stations.json", "stations.0.keys.1.from", "2026-11-22T12:00:00.001000Z", "PL-SGN-013"),
        ("settings/bench-01.json", "clock.max_width_ms", 1, "PL-SGN-021"),
        ("releases/demo/1.0.0.json", "built_at", "2026-11-22T12:00:00.003000Z", "PL-SGN-022"),
    ],
)
def test_nothing_at_all_is_signed_by_a_station_that_is_not_believed(
    bench: Bench, keys: list[dict[str, str]], path: str, way: str, value: Any, code: str
) -> None:
    bench.stage_changed(keys, path, way, value)
    press = bench.press(reserved=False)
    assert bench.sign(press, refused()) == code
    answer = bench.call("Gates", press=press)
    assert answer["closed"][0]["code"] == code
    assert answer["signing"] is False


@pytest.mark.parametrize(
    ("time", "code"),
    [
        ({"status": "Unknown", "earliest": None, "latest": None}, "PL-SGN-020"),
        ({"status": "Disrupted"}, "PL-SGN-020"),
        ({"plausible": False}, "PL-SGN-020"),
        ({"earliest": "2026-11-22T13:00:00.000000Z"}, "PL-SGN-020"),
        ({"earliest": "now"}, "PL-SGN-020"),
        ({"width_us": 1_000_001}, "PL-SGN-021"),
        ({"refusal": {**REFUSAL, "code": "PL-CLK-007", "details": {"gap_us": 1}}}, "PL-CLK-007"),
    ],
)
def test_nothing_is_signed_without_a_certain_time(bench: Bench, time: dict[str, Any], code: str) -> None:
    bench.time = verdict(**time)
    assert bench.sign(bench.press(), passed()) == code
    assert bench.sign(bench.press(reserved=False), refused()) == code
    assert bench.closed()[0] == code


def test_time_does_not_go_back_behind_what_was_signed(bench: Bench) -> None:
    bench.time = verdict(earliest="2026-11-22T12:00:00.000500Z")
    assert bench.sign(bench.press(), passed()) == ""
    bench.time = verdict(earliest="2026-11-22T11:59:59.000000Z", latest="2026-11-22T12:00:00.000400Z")
    assert bench.sign(bench.press(), passed()) == "PL-SGN-022"
    bench.time = verdict()
    press = bench.press()
    signed = bench.call("SignManifest", press=press, observations=passed())["envelope"]
    assert manifest_of(signed)["clock"]["earliest"] == "2026-11-22T12:00:00.000500Z"


def test_a_full_order_passes_no_more_units(bench: Bench, keys: list[dict[str, str]]) -> None:
    bench.tally = {"passed": 9, "open": 1}
    assert bench.sign(bench.press(), passed()) == "", "the open one is this press's own"
    bench.tally = {"passed": 9, "open": 2}
    assert bench.sign(bench.press(), passed()) == "PL-SGN-042"
    bench.tally = {"passed": 10, "open": 0}
    press = bench.press(reserved=False)
    assert bench.closed(press) == ["PL-SGN-042"]
    # A recorder that forgets does not help either: the signer counts what it signed.
    forge_keys = keys
    bench.stage_changed(forge_keys, "orders/WO-1.json", "quantity", 1)
    bench.tally = {"passed": 0, "open": 1}
    assert bench.sign(bench.press(), passed()) == "PL-SGN-042"


def test_a_unit_under_way_when_its_order_is_withdrawn_ends_with_a_trace_but_never_passes(
    bench: Bench, keys: list[dict[str, str]]
) -> None:
    forge = site(keys)
    del forge.documents["orders/WO-1.json"]
    bench.stage(forge)
    bench.restage = True
    press = bench.press()
    assert bench.sign(press, passed()) == "PL-SGN-060"
    assert bench.closed(press) == ["PL-SIT-029"]
    predicate = manifest_of(bench.call("SignManifest", press=press, observations=FAIL)["envelope"])
    assert predicate["order"]["id"] == "WO-1"
    assert bench.sign(bench.press(reserved=False), FAIL) == "PL-SGN-050"


def test_no_certificate_is_issued(bench: Bench) -> None:
    assert bench.code("IssueDeviceCertificate", press=bench.press(), public="MFkw") == "PL-SGN-080"


def test_gates_are_open_where_everything_is_right(bench: Bench) -> None:
    assert bench.call("Gates", press=None) == {"open": True, "signing": True, "closed": []}
    assert bench.call("Gates", press=bench.press())["open"] is True


def test_an_expired_site_passes_nothing(bench: Bench) -> None:
    bench.time = verdict(earliest="2029-12-31T23:59:59.000000Z", latest="2030-01-01T00:00:01.000000Z")
    assert "PL-SGN-023" in bench.closed(bench.press()) or bench.closed()[0] == "PL-SGN-013"


def test_the_signer_counts_its_signatures(bench: Bench) -> None:
    before = bench.call("Describe")["signatures"]
    press = bench.press()
    bench.sign(press, passed())
    bench.sign(press, passed())
    bench.sign(press, FAIL)
    after = bench.call("Describe")
    assert after["signatures"] == before + 1
    assert after["enrolled"] is True
    assert after["origin"] == "demo.example/bench-01"
    assert [key["algorithm"] for key in after["keys"]] == ["ecdsa-p256-sha256", "ed25519"]

"""A unit's way through the recorder, with the real signer: reservation, manifest, proof, and who may not."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from appliance.evidence import checkpoint, proof
from appliance.evidence.label import derived_label
from appliance.evidence.log import recount
from tests.custody.bench import Hsm, changed, site
from tests.recorder.desk import PART, UID, Desk, uid


def test_a_passed_unit_has_a_proof_that_checks(desk: Desk) -> None:
    press, appended = desk.unit()
    envelope = (desk.published / f"proofs/{press}.manifest.json").read_bytes()
    document = (desk.published / f"proofs/{press}.tlog-proof").read_bytes()
    assert appended["proof"].encode() == document
    found = proof.parse(document)
    signed, _ = checkpoint.parse(found.checkpoint, desk.ask("Describe")["origin"])
    proof.check(found, envelope, signed)
    assert (appended["index"], appended["size"]) == (1, 2)
    assert [index for index, _ in recount(desk.files(), signed)] == [0, 1]
    assert desk.ask("PressOutcome", press=press) == {
        "verdict": "pass",
        "code": None,
        "index": 1,
        "digest": appended["digest"],
        "label": derived_label("FW", PART, UID),
        "journalled": False,
    }


def test_a_unit_costs_two_signatures(desk: Desk) -> None:
    desk.unit(uid(1))
    before = desk.call("Describe")["signatures"]
    desk.unit(uid(2))
    assert desk.call("Describe")["signatures"] - before == 2


def test_reserving_twice_gives_the_same_reservation_also_after_a_restart(desk: Desk) -> None:
    press = desk.pressed()
    first = desk.reserve(press)
    assert desk.reserve(press) == first
    desk.reopen()
    assert desk.reserve(press) == first
    assert desk.ask("DescribeReservation", press=press)["reservation"] == first
    assert desk.ask("Describe")["size"] == 1


def test_appending_twice_gives_the_same_entry_also_after_a_restart(desk: Desk) -> None:
    press = desk.pressed()
    desk.reserve(press)
    envelope = desk.sign_manifest(press, desk.observed())
    first = desk.ask("Append", envelope=envelope)
    assert desk.ask("Append", envelope=envelope) == first
    desk.reopen()
    assert desk.ask("Append", envelope=envelope) == first
    assert desk.ask("Describe")["size"] == 2


def test_a_press_is_for_one_device(desk: Desk) -> None:
    press = desk.pressed()
    desk.reserve(press)
    assert desk.answer("Reserve", press=press, device={"part": PART, "uid": uid(2)}) == "PL-REC-012"
    desk.ask("Append", envelope=desk.sign_manifest(press, desk.observed()))
    assert desk.answer("Reserve", press=press, device={"part": PART, "uid": UID}) == "PL-REC-012"
    assert [one["code"] for one in desk.ask("Gates", press=press)["closed"]] == ["PL-REC-012"]


@pytest.mark.parametrize(
    ("verdict", "again"),
    [("pass", "PL-REC-021"), ("fail", "PL-REC-023"), ("quarantined", "PL-REC-023"), ("refused", ""), ("aborted", "")],
)
def test_what_became_of_a_device_decides_whether_it_is_new(desk: Desk, verdict: str, again: str) -> None:
    desk.unit(verdict=verdict)
    assert desk.answer("Reserve", press=desk.pressed(), device={"part": PART, "uid": UID}) == again
    desk.reopen()
    assert desk.answer("Reserve", press=desk.pressed(), device={"part": PART, "uid": UID}) in {again, "PL-REC-022"}


def test_a_device_under_way_is_not_reserved_again(desk: Desk) -> None:
    desk.reserve(desk.pressed())
    assert desk.answer("Reserve", press=desk.pressed(), device={"part": PART, "uid": UID}) == "PL-REC-022"


def test_an_order_counts_what_passed_and_what_is_under_way(desk: Desk, keys: list[dict[str, str]]) -> None:
    forge = site(keys)
    forge.documents["orders/WO-1.json"] = changed(forge.documents["orders/WO-1.json"], "quantity", 2)
    desk.stage(forge)
    desk.unit(uid(1))
    desk.unit(uid(2), "fail")
    press = desk.pressed()
    desk.reserve(press, uid(3))
    assert desk.ask("DescribeOrder", order="WO-1") == {"passed": 1, "open": 1}
    late = desk.pressed()
    assert desk.answer("Reserve", press=late, device={"part": PART, "uid": uid(4)}) == "PL-REC-031"
    assert [one["code"] for one in desk.ask("Gates", press=late)["closed"]] == ["PL-REC-031"]
    assert desk.ask("Gates", press=press)["open"]
    desk.ask("Append", envelope=desk.sign_manifest(press, desk.observed("fail", uid(3))))
    assert desk.reserve(late, uid(4))["open"]


def test_many_at_once_do_not_overrun_an_order(desk: Desk, keys: list[dict[str, str]]) -> None:
    forge = site(keys)
    forge.documents["orders/WO-1.json"] = changed(forge.documents["orders/WO-1.json"], "quantity", 5)
    desk.stage(forge)
    presses = [desk.pressed() for _ in range(16)]

    def reserve(at: int) -> str:
        return desk.answer("Reserve", press=presses[at], device={"part": PART, "uid": uid(at)})

    with ThreadPoolExecutor(16) as pool:
        answers = sorted(pool.map(reserve, range(16)))
    assert answers == [""] * 5 + ["PL-REC-031"] * 11
    assert desk.ask("Describe")["size"] == 5


def test_many_presses_do_not_share_a_device(desk: Desk) -> None:
    presses = [desk.pressed() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = sorted(
            pool.map(lambda one: desk.answer("Reserve", press=one, device={"part": PART, "uid": UID}), presses)
        )
    assert answers == [""] + ["PL-REC-022"] * 11


def test_a_devices_events_form_a_chain(desk: Desk) -> None:
    _, first = desk.unit()
    press = desk.pressed()
    assert desk.answer("Reserve", press=press, device={"part": PART, "uid": UID}) == "PL-REC-021"
    second = desk.ask("Append", envelope=desk.sign_manifest(press, desk.observed("refused")))
    after = desk.ask("DescribeDevice", device={"part": PART, "uid": UID})
    assert (after["known"], after["sequence"], after["previous"]) == (True, 2, second["digest"])
    assert after["verdict"] == "pass", "a refusal has no effect on the device"
    assert first["digest"] != second["digest"]
    desk.reopen()
    assert desk.ask("DescribeDevice", device={"part": PART, "uid": UID}) == after


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ({"part": PART, "uid": "00" * 12}, "PL-REC-020"),
        ({"part": PART, "uid": "ff" * 12}, "PL-REC-020"),
        ({"part": PART, "uid": "deadbeef" * 3}, "PL-REC-020"),
        ({"part": PART, "uid": UID.upper()}, "PL-REC-020"),
        ({"part": PART, "uid": UID[:-2]}, "PL-REC-020"),
        ({"part": PART, "uid": "nonsense"}, "PL-REC-020"),
        ({"part": PART, "uid": ""}, "PL-REC-020"),
        ({"part": "stm32f429zi", "uid": UID}, "PL-REC-028"),
    ],
)
def test_an_implausible_or_wrong_device_is_refused(desk: Desk, device: dict[str, str], code: str) -> None:
    assert desk.answer("Reserve", press=desk.pressed(), device=device) == code
    assert desk.ask("Describe")["size"] == 0


@pytest.mark.parametrize(
    ("press", "code"),
    [
        ({"order": "WO-9"}, "PL-REC-030"),
        ({"event": "rework"}, "PL-REC-025"),
        ({"label": "FW-0000000000"}, "PL-REC-041"),
    ],
)
def test_a_press_for_what_may_not_be_is_refused(desk: Desk, press: dict[str, Any], code: str) -> None:
    assert desk.answer("Reserve", press=desk.pressed(**press), device={"part": PART, "uid": UID}) == code


def test_the_panels_word_is_checked(desk: Desk) -> None:
    device = {"part": PART, "uid": UID}
    assert desk.answer("Reserve", press="ab" * 16, device=device) == "PL-REC-010"
    finished, forged = desk.pressed(), desk.pressed()
    desk.presses[finished]["finished"] = True
    desk.presses[forged]["order"] = "WO-2"
    assert desk.answer("Reserve", press=finished, device=device) == "PL-REC-011"
    assert desk.answer("Reserve", press=forged, device=device) == "PL-REC-013"


def test_nobody_appends_what_the_signer_did_not_sign_or_the_log_does_not_continue(
    desk: Desk, hsm: Hsm, keys: list[dict[str, str]]
) -> None:
    press = desk.pressed()
    desk.reserve(press)
    envelope = desk.sign_manifest(press, desk.observed())
    assert desk.answer("Append", envelope=envelope[:-2]) == "PL-REC-056"
    assert desk.answer("Append", envelope="") == "PL-REC-056"
    at = envelope.index('"sig":"') + 20
    bent = envelope[:at] + ("A" if envelope[at] != "A" else "B") + envelope[at + 1 :]
    assert desk.answer("Append", envelope=bent) == "PL-REC-051"
    desk.ask("Append", envelope=envelope)
    # A log that has forgotten the reservation refuses the manifest that names it.
    desk.shut()
    shutil.rmtree(desk.folder / "recorder")
    (desk.folder / "recorder").mkdir()
    desk.open()
    assert desk.answer("Append", envelope=envelope) == "PL-REC-053"


def test_a_revoked_manifest_key_signs_nothing_more(desk: Desk, keys: list[dict[str, str]]) -> None:
    press = desk.pressed()
    desk.reserve(press)
    envelope = desk.sign_manifest(press, desk.observed())
    forge = site(keys)
    for one in forge.documents["stations.json"]["stations"][0]["keys"]:
        if one["purpose"] == "manifest":
            one["revoked"] = {"at": "2026-11-22T11:00:00.000000Z", "reason": "lost"}
    desk.stage(forge)
    assert desk.answer("Append", envelope=envelope) == "PL-REC-051"


def test_back_pressure_closes_the_gate_but_lets_a_unit_end(desk: Desk, keys: list[dict[str, str]]) -> None:
    forge = site(keys)
    settings = forge.documents["settings/bench-01.json"]
    forge.documents["settings/bench-01.json"] = changed(settings, "log.max_unexported_entries", 1)
    desk.stage(forge)
    press = desk.pressed()
    desk.reserve(press)
    assert [one["code"] for one in desk.ask("Gates")["closed"]] == ["PL-REC-003"]
    assert desk.answer("Reserve", press=desk.pressed(), device={"part": PART, "uid": uid(2)}) == "PL-REC-003"
    desk.ask("Append", envelope=desk.sign_manifest(press, desk.observed()))


def test_little_space_closes_the_gate(desk: Desk) -> None:
    desk.space_kib = 1 << 50
    desk.reopen()
    assert [one["code"] for one in desk.ask("Gates")["closed"]] == ["PL-REC-002"]


def test_a_rolled_back_log_is_told_from_a_young_one(desk: Desk) -> None:
    desk.unit(uid(1))
    copy = desk.folder / "copy"
    shutil.copytree(desk.folder / "recorder", copy)
    desk.unit(uid(2))
    desk.shut()
    shutil.rmtree(desk.folder / "recorder")
    copy.rename(desk.folder / "recorder")
    desk.open()
    press = desk.pressed()
    desk.reserve(press, uid(3))
    envelope = desk.sign_manifest(press, desk.observed("pass", uid(3)))
    assert desk.answer("Append", envelope=envelope) == "PL-REC-004"
    assert [one["code"] for one in desk.ask("Gates")["closed"]] in (["PL-REC-005"], ["PL-REC-006"])
    assert desk.ask("PressOutcome", press=press)["verdict"] is None

"""Somebody has taken over the line service. Against the real signer, recorder and panel: what can it get?

The line itself is stopped and a voice speaks under its uid. Of all these attempts one alone is answered with a
signature: a lie about the measurements of a unit that an operator started, and the threat model says so.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.evidence import envelope as envelopes
from appliance.evidence import statement
from appliance.release.desk import Desk
from hil.local_station.bench_station import LocalStation
from hil.local_station.office import SKU, STATION, VERSION
from hil.local_station.speak import Voice
from tests.station.boards import fresh_uid

FLASH, FLASH_SIZE = 0x0800_0000, 0x10_0000
REFUSAL = {"code": "PL-TGT-001", "operator": "No.", "engineer": "No.", "action": "None.", "details": {}}
Stand = tuple[LocalStation, Voice]


@pytest.fixture(scope="module")
def stand(station: LocalStation) -> Iterator[Stand]:
    station.stop("line")
    with Voice(station.supervisor, "line") as line:
        yield station, line


@pytest.fixture
def press(stand: Stand) -> Iterator[str]:
    """A press that the operator really made; finished at the end so that the next test can have one."""
    station, line = stand
    line.call("panel", "Progress", press=None, stage="idle", permille=0)
    made = station.press_and_look()
    yield made
    with contextlib.suppress(ProoflineError):  # where the test has finished it
        line.call("panel", "Finish", press=made, verdict="refused", refusal=REFUSAL, stop=False, recovered=False)


def device(uid: str) -> dict[str, Any]:
    ids = {"dpidr": "0x2ba01477", "idcode": "0x10006441", "rom": "0xe00ff003", "rdp": 0, "flash_kib": 1024}
    return {"part": "stm32f412xg", "uid": uid, **ids}


def passed(station: LocalStation, uid: str) -> dict[str, Any]:
    """What an honest line would say of a good unit."""
    release = Desk(station.folder / "office" / "desk").in_force()
    assert release is not None
    ranges = release.release(SKU, VERSION).ranges
    end = ranges[-1].start + ranges[-1].length
    assert len(ranges) == 1
    return {
        "verdict": "pass",
        "device": device(uid),
        "measurement": {
            "method": "on_target_sha256",
            "ranges": [
                {"name": one.name, "start": one.start, "length": one.length, "sha256": one.sha256} for one in ranges
            ],
            "erased": [{"start": end, "length": FLASH + FLASH_SIZE - end}],
            "unerased": [],
        },
        "probe": {"kind": "vnucleo", "id": "fixture-1"},
        "stages": [{"name": "identify", "us": 1}],
    }


def reserve(line: Voice, press: str, uid: str) -> dict[str, Any]:
    reply = line.call("recorder", "Reserve", press=press, device={"part": "stm32f412xg", "uid": uid})
    reservation: dict[str, Any] = reply["reservation"]
    return reservation


def code_of(line: Voice, service: str, verb: str, **parameters: object) -> str:
    with pytest.raises(ProoflineError) as refusal:
        line.call(service, verb, **parameters)
    return refusal.value.code


def predicate(envelope: str) -> dict[str, Any]:
    decoded = envelopes.decode(envelope.encode(), {statement.STATEMENT_PAYLOAD})
    document: dict[str, Any] = json.loads(decoded.payload)["predicate"]
    return document


def test_a_lie_about_measurements_is_all_it_gets(stand: Stand, press: str) -> None:
    station, line = stand
    uid = fresh_uid()
    reserve(line, press, uid)
    signed = line.call("signer", "SignManifest", press=press, observations=passed(station, uid))["envelope"]
    said = predicate(signed)
    assert said["event"]["press"] == press
    assert said["operator"] == {"id": "ola", "method": "badge"}
    assert said["station"]["id"] == STATION
    assert said["order"]["id"] == "WO-1"
    assert said["release"]["version"] == VERSION
    assert said["station"]["kind"] == "development"
    index = line.call("recorder", "Append", envelope=signed)["index"]
    assert line.call("recorder", "Append", envelope=signed)["index"] == index


def test_no_unit_that_nobody_started(stand: Stand) -> None:
    station, line = stand
    uid = fresh_uid()
    assert (
        code_of(line, "recorder", "Reserve", press="ab" * 16, device={"part": "stm32f412xg", "uid": uid})
        == "PL-REC-010"
    )
    assert code_of(line, "signer", "SignManifest", press="ab" * 16, observations=passed(station, uid)) == "PL-SGN-030"


def test_no_pass_without_a_reservation(stand: Stand, press: str) -> None:
    station, line = stand
    code = code_of(line, "signer", "SignManifest", press=press, observations=passed(station, fresh_uid()))
    assert code.startswith("PL-SGN-")


def test_no_pass_for_another_device_than_the_reserved_one(stand: Stand, press: str) -> None:
    station, line = stand
    reserve(line, press, fresh_uid())
    code = code_of(line, "signer", "SignManifest", press=press, observations=passed(station, fresh_uid()))
    assert code.startswith("PL-SGN-")


def test_one_press_reserves_one_device_and_signs_one_story(stand: Stand, press: str) -> None:
    station, line = stand
    uid = fresh_uid()
    first = reserve(line, press, uid)
    assert reserve(line, press, uid) == first
    assert (
        code_of(line, "recorder", "Reserve", press=press, device={"part": "stm32f412xg", "uid": fresh_uid()})
        == "PL-REC-012"
    )
    failed = {**passed(station, uid), "verdict": "fail", "refusal": REFUSAL}
    line.call("signer", "SignManifest", press=press, observations=failed)
    assert code_of(line, "signer", "SignManifest", press=press, observations=passed(station, uid)) == "PL-SGN-032"


@pytest.mark.parametrize(
    "extra",
    [
        {"operator": {"id": "mir", "method": "badge"}},
        {"release": {"sku": SKU, "version": "9.9.9"}},
        {"order": "WO-2"},
        {"clock": {"status": "Synchronized"}},
        {"station": {"id": "bench-02"}},
        {"event": {"sequence": 7}},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_nothing_but_observations_is_taken_from_the_line(stand: Stand, press: str, extra: dict[str, Any]) -> None:
    station, line = stand
    uid = fresh_uid()
    reserve(line, press, uid)
    with pytest.raises(ProoflineError) as refusal:
        line.call("signer", "SignManifest", press=press, observations={**passed(station, uid), **extra})
    assert refusal.value.code == "PL-IPC-007"


@pytest.mark.parametrize(
    "lie",
    [
        {"sha256": "ab" * 32},
        {"start": FLASH + 0x4000},
        {"length": 4},
        {"name": "other"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_no_pass_for_what_is_not_the_release(stand: Stand, press: str, lie: dict[str, Any]) -> None:
    station, line = stand
    uid = fresh_uid()
    reserve(line, press, uid)
    observations = passed(station, uid)
    observations["measurement"]["ranges"][0].update(lie)
    assert code_of(line, "signer", "SignManifest", press=press, observations=observations).startswith("PL-SGN-")


def test_no_pass_where_flash_is_not_erased_or_not_looked_at(stand: Stand, press: str) -> None:
    station, line = stand
    uid = fresh_uid()
    reserve(line, press, uid)
    observations = passed(station, uid)
    rest = observations["measurement"].pop("erased")
    lies: list[dict[str, Any]] = [{"erased": [], "unerased": rest}, {"erased": [], "unerased": []}]
    for told in lies:
        lie = {**observations, "measurement": {**observations["measurement"], **told}}
        assert code_of(line, "signer", "SignManifest", press=press, observations=lie).startswith("PL-SGN-")


def test_no_more_passes_than_the_order_allows(stand: Stand) -> None:
    station, line = stand
    station.choose("WO-2")
    try:
        for expected in (True, False):
            line.call("panel", "Progress", press=None, stage="idle", permille=0)
            press, uid = station.press_and_look(), fresh_uid()
            if expected:
                reserve(line, press, uid)
                signed = line.call("signer", "SignManifest", press=press, observations=passed(station, uid))["envelope"]
                line.call("recorder", "Append", envelope=signed)
                line.call("panel", "Finish", press=press, verdict="pass", stop=False, recovered=False)
            else:
                device_ = {"part": "stm32f412xg", "uid": uid}
                assert code_of(line, "recorder", "Reserve", press=press, device=device_) == "PL-REC-031"
                assert code_of(
                    line, "signer", "SignManifest", press=press, observations=passed(station, uid)
                ).startswith("PL-SGN-")
                line.call(
                    "panel", "Finish", press=press, verdict="refused", refusal=REFUSAL, stop=False, recovered=False
                )
    finally:
        station.choose("WO-1")


def test_no_green_without_a_proof(stand: Stand, press: str) -> None:
    station, line = stand
    with contextlib.suppress(ProoflineError):  # refused or shown as a fault: what counts is the lamp
        line.call("panel", "Finish", press=press, verdict="pass", stop=False, recovered=False)
    seen = station.look()
    assert seen["pattern"] != "pass"
    assert seen["lights"]["green"] == "off"


def test_the_log_takes_no_envelope_that_the_signer_did_not_make(stand: Stand, press: str) -> None:
    station, line = stand
    uid = fresh_uid()
    reserve(line, press, uid)
    signed = line.call("signer", "SignManifest", press=press, observations=passed(station, uid))["envelope"]
    decoded = envelopes.decode(signed.encode(), {statement.STATEMENT_PAYLOAD})
    changed = envelopes.Envelope(
        decoded.payload_type, decoded.payload.replace(b"bench-01", b"bench-02"), decoded.signatures
    )
    unsigned = envelopes.Envelope(decoded.payload_type, decoded.payload, ())
    foreign = envelopes.Envelope(
        decoded.payload_type,
        decoded.payload,
        (envelopes.Signature(b"\x30\x06\x02\x01\x01\x02\x01\x01", decoded.signatures[0].keyid),),
    )
    for forged in (changed, unsigned, foreign):
        assert code_of(line, "recorder", "Append", envelope=envelopes.encode(forged).decode()).startswith(
            ("PL-REC-", "PL-EVD-", "PL-VRF-")
        )
    assert code_of(line, "recorder", "Append", envelope=signed[:-1]).startswith(("PL-EVD-", "PL-REC-"))
    line.call("recorder", "Append", envelope=signed)


def test_the_signer_signs_no_tree_that_does_not_continue_the_last(stand: Stand) -> None:
    station, line = stand
    assert code_of(line, "signer", "SignCheckpoint", size=1, root="", consistency=[]) == "PL-IPC-003"
    with station.client("signer") as signer:
        before = signer.call("Describe")
    forged = base64.b64encode(hashlib.sha256(b"another history").digest()).decode()
    last, size = before["last_root"], before["last_size"]
    assert size > 0
    with Voice(station.supervisor, "recorder") as recorder:
        for attempt in (
            {"size": size, "root": forged, "consistency": []},
            {"size": size - 1, "root": last, "consistency": []},
            {"size": size + 1, "root": forged, "consistency": []},
            {"size": size + 1, "root": forged, "consistency": [forged] * 4},
            {"size": size + 1, "root": last, "consistency": []},
            {"size": 0, "root": forged, "consistency": []},
        ):
            assert code_of(recorder, "signer", "SignCheckpoint", **attempt).startswith(("PL-SGN-", "PL-EVD-"))
    with station.client("signer") as signer:
        after = signer.call("Describe")
    assert (after["last_size"], after["last_root"]) == (size, last)


def test_the_recorder_cannot_have_invented_refusals_signed(stand: Stand) -> None:
    station, _ = stand
    zeros = "sha256:" + "0" * 64
    with Voice(station.supervisor, "recorder") as recorder:
        invented = json.dumps({"n": 99}, separators=(",", ":"))
        for attempt in (
            {"first": 99, "previous": zeros, "head": zeros, "records": [invented]},
            {"first": 0, "previous": zeros, "head": zeros, "records": []},
        ):
            assert code_of(recorder, "signer", "SignRefusals", **attempt).startswith("PL-SGN-")

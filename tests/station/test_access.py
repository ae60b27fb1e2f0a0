"""Every verb of every service called as every uid: only the pairs in this table are answered."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.ipc import interface_of
from hil.local_station.bench_station import LocalStation
from hil.local_station.speak import Voice
from hil.local_station.supervisor import ROLES

PRESS = "0" * 32
DEVICE = {"part": "stm32f412xg", "uid": "ab" * 12}
STRANGER = "a uid that is no role"
CALLERS = (*ROLES, "ops", STRANGER)
EVERYBODY = frozenset({*ROLES, "ops"})

# service, verb, harmless arguments, who may. Written by hand from DESIGN section 2: not read from the services.
TABLE: list[tuple[str, str, dict[str, Any], frozenset[str]]] = [
    ("clock", "Read", {}, frozenset({"signer", "panel", "intake", "export", "health", "ops"})),
    ("signer", "Gates", {"press": None}, frozenset({"line", "panel", "recorder", "ops"})),
    (
        "signer",
        "SignManifest",
        {
            "press": PRESS,
            "observations": {"verdict": "refused", "probe": {"kind": "vnucleo", "id": "x"}, "stages": []},
        },
        frozenset({"line"}),
    ),
    (
        "signer",
        "SignRefusals",
        {"first": 0, "previous": "sha256:" + "0" * 64, "head": "sha256:" + "0" * 64, "records": []},
        frozenset({"recorder"}),
    ),
    ("signer", "SignCheckpoint", {"size": 0, "root": "", "consistency": []}, frozenset({"recorder"})),
    ("signer", "IssueDeviceCertificate", {"press": PRESS, "public": ""}, frozenset({"line"})),
    ("signer", "Describe", {}, frozenset({"line", "panel", "recorder", "export", "health", "ops"})),
    ("recorder", "Gates", {"press": None}, frozenset({"line", "panel"})),
    ("recorder", "Reserve", {"press": PRESS, "device": DEVICE}, frozenset({"line"})),
    ("recorder", "Append", {"envelope": "{}"}, frozenset({"line"})),
    (
        "recorder",
        "JournalRefusal",
        {"kind": "refusal", "press": PRESS},
        frozenset({"line", "panel", "intake", "update"}),
    ),
    ("recorder", "CommitRefusals", {}, frozenset({"line"})),
    ("recorder", "DescribeReservation", {"press": PRESS}, frozenset({"signer", "line", "panel"})),
    ("recorder", "DescribeOrder", {"order": "WO-1"}, frozenset({"signer", "line", "panel"})),
    ("recorder", "DescribeDevice", {"device": DEVICE}, frozenset({"signer", "line", "panel"})),
    ("recorder", "PressOutcome", {"press": PRESS}, frozenset({"line", "panel", "ops"})),
    ("recorder", "Describe", {}, EVERYBODY),
    ("panel", "NextPress", {"wait_ms": 0}, frozenset({"line"})),
    ("panel", "Progress", {"press": None, "stage": "idle", "permille": 0}, frozenset({"line"})),
    ("panel", "Finish", {"press": PRESS, "verdict": "refused", "stop": False, "recovered": False}, frozenset({"line"})),
    ("panel", "DescribePress", {"press": PRESS}, frozenset({"signer", "recorder"})),
    ("panel", "Describe", {}, EVERYBODY),
    ("line", "Describe", {}, EVERYBODY),
    ("intake", "Import", {"carrier": "/nowhere"}, frozenset({"ops"})),
    ("intake", "Describe", {}, frozenset({"ops", "health", "panel", "line", "signer"})),
]


def test_the_table_names_every_verb_there_is() -> None:
    services = {service for service, _, _, _ in TABLE}
    named = {(service, verb) for service, verb, _, _ in TABLE}
    assert named == {(service, verb) for service in services for verb in interface_of(service).methods}


@pytest.mark.parametrize("caller", CALLERS)
def test_only_the_listed_pairs_are_answered(station: LocalStation, caller: str) -> None:
    voice = Voice(station.supervisor, caller, uid=64998 if caller == STRANGER else None)
    with voice:
        for service, verb, arguments, allowed in TABLE:
            try:
                voice.call(service, verb, **arguments)
                code = None
            except ProoflineError as refusal:
                code = refusal.code
            if caller in allowed:
                assert code not in {"PL-IPC-003", "PL-IPC-004", "PL-IPC-007"}, f"{caller} may call {service}.{verb}"
            else:
                expected = "PL-IPC-004" if caller == STRANGER else "PL-IPC-003"
                assert code == expected, f"{caller} must not call {service}.{verb}: {code}"
    assert station.look()["pattern"] != "fault"


def test_private_state_is_closed_to_every_other_user(station: LocalStation) -> None:
    state = station.supervisor.directory / "state"
    modes = {path.name: path.stat() for path in state.iterdir()}
    assert len({one.st_uid for one in modes.values()}) == len(modes)
    assert all(one.st_mode & 0o077 == 0 for one in modes.values())
    assert (station.folder / "token").stat().st_mode & 0o077 == 0

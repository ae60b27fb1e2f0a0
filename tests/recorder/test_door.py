"""The door: who may call what, and the process as a supervisor starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.evidence.checkpoint import parse
from appliance.evidence.log import recount
from appliance.ipc import Service, interface_of
from appliance.recorder.facts import Concluded, read
from appliance.recorder.service import ACCESS
from tests.custody.bench import ROLES
from tests.recorder.desk import PART, Desk, uid
from tests.recorder.local_signer import Files

ARGUMENTS: dict[str, dict[str, object]] = {
    "Gates": {},
    "Reserve": {"press": "ab" * 16, "device": {"part": PART, "uid": uid(1)}},
    "Append": {"envelope": "{}"},
    "JournalRefusal": {"kind": "line_stop"},
    "CommitRefusals": {},
    "DescribeReservation": {"press": "ab" * 16},
    "DescribeOrder": {"order": "WO-1"},
    "DescribeDevice": {"device": {"part": PART, "uid": uid(1)}},
    "PressOutcome": {"press": "ab" * 16},
    "Describe": {},
}


def test_every_verb_answers_its_own_callers_and_nobody_else(desk: Desk) -> None:
    uids = {role: 7000 + number for number, role in enumerate(ROLES)}
    service = Service(interface_of("recorder"), desk.recorder, ACCESS, uids)
    for verb, arguments in ARGUMENTS.items():
        for role, caller in [*uids.items(), ("nobody", 6999)]:
            message = {"method": f"io.proofline.recorder.{verb}", "parameters": arguments}
            reply = service.handle(caller, 1, message)
            code = reply["parameters"].get("code", "") if "error" in reply else ""
            assert code.startswith("PL-IPC") is (role not in ACCESS[verb]), f"{verb} as {role}: {code}"


def test_the_writing_verbs_are_the_lines_alone() -> None:
    assert ACCESS["Reserve"] == ACCESS["Append"] == {"line"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_goes_on_where_it_was_stopped(desk: Desk, number: signal.Signals) -> None:
    """The recorder as its unit starts it: a unit is made, the process is stopped, another unit is made."""
    desk.shut()
    folder = desk.folder
    environment = {
        **os.environ,
        "PROOFLINE_RUN": f"{folder}/run",
        "PROOFLINE_SITE": f"{folder}/site",
        "PROOFLINE_STAGED": f"{folder}/staged",
        "PROOFLINE_LOG": f"{folder}/published",
        "PROOFLINE_PEERS": f"{folder}/peers.json",
        "STATE_DIRECTORY": f"{folder}/recorder",
    }

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "appliance.recorder"], env=environment)
        deadline = time.monotonic() + 20
        while desk.answer("Describe") and time.monotonic() < deadline:
            time.sleep(0.05)
        return process

    process = start()
    desk.unit(uid(1))
    process.send_signal(number)
    process.wait(10)
    process = start()
    try:
        desk.unit(uid(2))
        about = desk.ask("Describe")
    finally:
        process.terminate()
        process.wait(10)
    assert (about["size"], about["checkpointed"], about["units"]) == (4, 4, 2)
    desk.open()
    checkpoint, _ = parse((Path(folder) / "published/checkpoint").read_bytes(), about["origin"])
    found = [read(entry) for _, entry in recount(Files(folder / "published"), checkpoint)]
    assert [one.verdict for one in found if isinstance(one, Concluded)] == ["pass", "pass"]

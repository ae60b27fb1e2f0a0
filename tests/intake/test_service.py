"""Intake as the process it is: its socket, who may call what, the clock it asks, the journal it writes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from appliance.errors import from_record
from appliance.intake import errors
from appliance.intake.service import clock_interval
from appliance.ipc import Client, ServiceUnavailable
from appliance.ipc.errors import CallerNotAllowed, UnknownCaller
from appliance.verify.site_errors import DigestWrong
from appliance.verify.site_times import Interval
from tests.release.forge import Forge, write

ROOT = Path(__file__).parents[2]
OPS, INTAKE, STRANGER = 65_101, 65_102, 65_103


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users can reach (a test's own is its user's alone)."""
    with tempfile.TemporaryDirectory(prefix="intake-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


class Bench:
    """The intake service under its own uid where the test may do that (root), under ours otherwise."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = os.geteuid() == 0
        own = os.geteuid()
        peers = {"intake": INTAKE, "ops": OPS} if self.root else {"intake": own, "ops": own}
        self.files = Forge().files()
        for name in ("run", "site", "staged", "state", "log"):
            (place / name).mkdir()
        if self.root:
            for name in ("run", "staged", "state"):
                os.chown(place / name, INTAKE, INTAKE)
        (place / "site" / "root.json").write_bytes(self.files["metadata/1.root.json"])
        station = {"schema": 1, "station": "bench-01", "site": "demo"}
        (place / "site" / "station.json").write_text(json.dumps(station))
        (place / "peers.json").write_text(json.dumps(peers))
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PROOFLINE_RUN": str(place / "run"),
            "PROOFLINE_SITE": str(place / "site"),
            "PROOFLINE_STAGED": str(place / "staged"),
            "PROOFLINE_LOG": str(place / "log"),
            "PROOFLINE_PEERS": str(place / "peers.json"),
            "STATE_DIRECTORY": str(place / "state"),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, *words: str) -> None:
        uid = INTAKE if self.root else None
        process = subprocess.Popen([sys.executable, "-m", *words], env=self.environment, user=uid, group=uid, cwd=ROOT)
        self._running.append(process)
        socket = self.place / "run" / f"{role}.sock"
        while not socket.exists():
            assert process.poll() is None, "the service ended"
            time.sleep(0.02)

    def call(self, verb: str, uid: int | None = OPS, **arguments: object) -> dict[str, Any]:
        """Call the service as another user; its refusal is raised here."""
        script = (
            "import json,sys\nfrom pathlib import Path\nfrom appliance.errors import ProoflineError\n"
            "from appliance.ipc import Client\n"
            "client = Client('intake', Path(sys.argv[1]))\n"
            "try: print(json.dumps({'reply': client.call(sys.argv[2], **json.loads(sys.argv[3]))}))\n"
            "except ProoflineError as e: print(json.dumps({'refusal': e.as_record()}))\n"
        )
        socket = str(self.place / "run" / "intake.sock")
        done = subprocess.run(
            [sys.executable, "-c", script, socket, verb, json.dumps(arguments)],
            env=self.environment,
            user=uid if self.root else None,
            group=uid if self.root else None,
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        if "refusal" in answer:
            raise from_record(answer["refusal"])
        return cast("dict[str, Any]", answer["reply"])

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            assert process.wait(10) == 0


@pytest.fixture
def bench(place: Path) -> Iterator[Bench]:
    made = Bench(place)
    yield made
    made.stop()


def test_technician_imports_and_the_refused_carrier_is_on_record(bench: Bench) -> None:
    heard = bench.place / "run" / "heard"
    bench.start("recorder", "tests.intake.listener", str(heard))
    bench.start("intake", "appliance.intake")
    nothing = {
        "generation": None,
        "root": None,
        "targets": None,
        "expires": None,
        "wanted_image": None,
        "last_carrier": None,
    }
    assert bench.call("Describe") == nothing
    carrier = write(bench.files, bench.place / "carrier")
    firmware = next(carrier.rglob("*.demo.bin"))
    content = firmware.read_bytes()
    firmware.write_bytes(bytes(len(content)))
    with pytest.raises(DigestWrong):
        bench.call("Import", carrier=str(carrier))
    assert heard.read_text().split() == ["intake", "refusal", "PL-SIT-021"]
    refused = {"when": None, "from": "ops", "result": "PL-SIT-021"}
    assert bench.call("Describe") == {**nothing, "last_carrier": refused}
    firmware.write_bytes(content)
    reply = bench.call("Import", carrier=str(carrier))
    assert reply == {"generation": 1, "root": 1, "targets": 3, "unchanged": False}
    assert bench.call("Describe")["targets"] == 3


def test_a_recorder_that_is_silent_does_not_change_the_refusal(bench: Bench) -> None:
    bench.start("intake", "appliance.intake")
    with pytest.raises(errors.CarrierUnreadable):
        bench.call("Import", carrier="/no/such")


def test_nobody_else_imports(bench: Bench) -> None:
    # Where the test may not change users, our own is the service's and the technician is somebody else.
    (bench.place / "peers.json").write_text(json.dumps({"intake": INTAKE if bench.root else os.geteuid(), "ops": OPS}))
    bench.start("intake", "appliance.intake")
    for uid in (INTAKE, STRANGER):
        with pytest.raises((CallerNotAllowed, UnknownCaller)):
            bench.call("Import", uid, carrier="/")


class _Clock:
    """What a clock answers: a verdict, or nothing."""

    def __init__(self, verdict: dict[str, Any] | None) -> None:
        self._verdict = verdict

    def call(self, verb: str) -> dict[str, Any]:
        assert verb == "Read"
        if self._verdict is None:
            raise ServiceUnavailable(service="clock", why="silent")
        return {"verdict": self._verdict}


NOON, LATER = "2026-11-22T12:00:00.000000Z", "2026-11-22T12:00:01.000000Z"
KNOWN = Interval(
    datetime(2026, 11, 22, 12, tzinfo=UTC),
    datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ({"status": "Synchronized", "earliest": NOON, "latest": LATER}, KNOWN),
        ({"status": "FreeRunning", "earliest": NOON, "latest": LATER}, KNOWN),
        ({"status": "Disrupted", "earliest": NOON, "latest": LATER}, None),
        ({"status": "Unknown", "earliest": None, "latest": None}, None),
        ({"status": "Synchronized", "earliest": None, "latest": None}, None),
        ({"status": "Synchronized", "earliest": "noon", "latest": LATER}, None),
        (None, None),
    ],
)
def test_clock_gives_an_interval_or_nothing(verdict: dict[str, Any] | None, expected: Interval | None) -> None:
    assert clock_interval(cast("Client", _Clock(verdict))) == expected

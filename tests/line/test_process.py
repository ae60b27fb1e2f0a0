"""The real line process: what it holds, how it refuses, and what it makes of a press it finds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from appliance import durable
from appliance.ipc import Caller, Client
from appliance.ipc.errors import IpcError
from appliance.panel.config import Config
from appliance.panel.press import PressBook
from appliance.panel.service import Panel
from appliance.panel.session import Draft
from tests.line.stand_ins import CHECKOUT, Station, until
from tests.line.test_plan import documents
from tests.line.world import RecorderStandIn, SignerStandIn

REACH = """
import socket, sys
plain = socket.socket
class Watched(plain):
    def __init__(self, family=-1, *rest, **more):
        if family not in (socket.AF_UNIX,):
            raise SystemExit(f"a socket of family {family}")
        super().__init__(family, *rest, **more)
socket.socket = Watched
# As if they were not installed: securesystemslib would import python-pkcs11 for a signer class that nobody here uses.
for name in ("pkcs11", "ntplib", "gpiozero"):
    sys.modules[name] = None
import appliance.line.service, appliance.line.__main__
early = sorted(name for name in sys.modules if name == "pyocd")
import appliance.line.target_bench
held = early + sorted({"urllib3", "requests", "tuf.ngclient"} & set(sys.modules))
held += [line for line in open("/proc/self/maps") if "pkcs11" in line or "softhsm" in line]
ours = sorted({".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("appliance.")})
print(held, ours)
"""


def test_the_line_holds_nothing_that_it_may_not_have() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REACH], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    held, _, ours = done.stdout.partition("] [")
    assert held == "[", held
    for room in ("custody", "clock", "recorder", "panel", "release", "usbgate", "export"):
        assert f"'appliance.{room}'" not in ours


class Gates:
    """What the stand-ins ask of their world: whether the signer's gate is open."""

    event = "provision"
    content = b""
    open = True

    def say(self, **fact: object) -> None:
        del fact

    def signer_open(self) -> bool:
        return self.open


class Scene:
    def __init__(self, folder: Any) -> None:
        self.station = Station(folder, documents())
        self.gates: Any = Gates()
        self.recorder = RecorderStandIn(self.gates)
        self.station.serve("recorder", self.recorder)
        self.station.serve("signer", SignerStandIn(self.gates))
        self.journal = durable.Journal(folder / "presses.journal")
        self.book = PressBook(self.journal, "b" * 32, lambda: 0)
        self.panel = Panel(
            Config({}, folder, debounce_ms=50, heartbeat_ms=60_000, pass_ms=60_000),
            self.book,
            cast("Any", None),
            recorder=self.station.client("recorder"),
            signer=self.station.client("signer"),
            clock=cast("Client", None),
        )
        self.station.serve("panel", self.panel)
        self.line = self.station.client("line")

    def start(self) -> subprocess.Popen[bytes]:
        process = self.station.start("appliance.line")
        until(self.describe, "the line")
        return process

    def describe(self) -> dict[str, Any] | None:
        try:
            return self.line.call("Describe")
        except IpcError:
            return None

    def press(self) -> str:
        with self.panel._lock:
            press = self.book.open(Draft("olga", "WO-1", "provision", None)).press
            self.panel._lock.notify_all()
        return press

    def ended(self, press: str) -> str:
        def verdict() -> str | None:
            known = self.book.find(press)
            return None if known is None else known.verdict

        return str(until(verdict, "the end of the press", patience_s=60))

    def close(self) -> None:
        self.line.close()
        self.station.stop()
        self.journal.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.close()


def test_a_closed_gate_is_journalled_by_the_real_process_and_committed_when_it_opens(scene: Scene) -> None:
    process = scene.start()
    until(lambda: (d := scene.describe()) and d["state"] == "idle", "the line to be idle")
    scene.gates.open = False
    press = scene.press()
    assert scene.ended(press) == "refused"
    assert [record["refusal"]["code"] for record in scene.recorder.journal] == ["PL-SGN-020"]
    scene.gates.open = True
    until(lambda: scene.recorder.committed == 1, "the refusal to be committed")
    process.terminate()
    assert process.wait(30) == 0


def test_a_station_without_a_probe_aborts_by_name_with_a_manifest(scene: Scene) -> None:
    """The staged site's probe is not there: the real probe session says so, and the unit has its manifest."""
    scene.start()
    until(lambda: (d := scene.describe()) and d["state"] == "idle", "the line to be idle")
    press = scene.press()
    assert scene.ended(press) == "aborted"
    assert scene.recorder.manifests[press]["code"] == "PL-TGT-040"
    assert scene.recorder.reservations == {}


def test_a_press_that_waited_while_the_line_was_down_is_not_begun(scene: Scene) -> None:
    press = scene.press()
    scene.start()
    assert scene.ended(press) == "aborted"
    assert scene.recorder.manifests[press]["code"] == "PL-LIN-021"


def test_a_line_that_is_killed_while_its_evidence_waits_signs_the_same_after_its_restart(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = scene.recorder.append

    def slow(*args: Any, **kwargs: Any) -> Any:
        process.kill()
        process.wait()
        return sign(*args, **kwargs)

    # before the line's first connection, which it keeps
    monkeypatch.setattr(scene.recorder, "append", slow)
    scene.station.serve("recorder", scene.recorder)
    process = scene.start()
    until(lambda: (d := scene.describe()) and d["state"] == "idle", "the line to be idle")
    press = scene.press()
    until(lambda: process.poll() is not None, "the line to be killed in the middle of Append")
    first = until(lambda: scene.recorder.manifests.get(press), "the manifest")["envelope"]
    assert scene.book.unfinished is not None
    monkeypatch.undo()
    scene.station.serve("recorder", scene.recorder)
    scene.start()
    assert scene.ended(press) == "aborted"
    assert scene.recorder.manifests[press]["envelope"] == first
    assert scene.panel.describe(Caller(0, 0, "ops"))["pattern"] == "attention"

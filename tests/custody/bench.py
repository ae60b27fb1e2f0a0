"""A signer with a real SoftHSM token, beside stand-ins for the services that it asks.

The stand-ins answer over real sockets through the real interfaces; what they say is the test's to set. The clock stands
at one moment, so that documents with fixed dates stay what they are.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.errors import ProoflineError
from appliance.evidence.label import canonical_digest
from appliance.ipc import Caller, Client, Service, ServiceUnavailable, interface_of
from appliance.target.boards import profile_for
from tests.release.forge import Forge, good_documents, sha, write

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711"
ROLES = ("clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "ops")
BOARD = profile_for("stm32f412xg")
UID = "3200340011514d4c38363200"
DEVICE = {
    "part": "stm32f412xg",
    "uid": UID,
    "dpidr": "0x2ba01477",
    "idcode": "0x10006441",
    "rom": "0xe00ff003",
    "rdp": 0,
    "flash_kib": 1024,
}
RANGES: list[dict[str, Any]] = good_documents()["releases/demo/1.0.0.json"]["ranges"]
IMAGE_END = RANGES[-1]["start"] + RANGES[-1]["length"]
REST = {"start": IMAGE_END, "length": BOARD.flash_end - IMAGE_END}
"""The flash behind the forged release's one range."""
REFUSAL = {"code": "PL-LIN-001", "operator": "No.", "engineer": "Because.", "action": "Wait.", "details": {}}


@dataclass
class Hsm:
    """A SoftHSM of its own: a folder of tokens and the configuration that points to it."""

    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "tokens").mkdir(parents=True)
        (self.folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {self.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        (self.folder / "pin").write_text(f"{PIN}\n")
        (self.folder / "pin").chmod(0o600)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SOFTHSM2_CONF": f"{self.folder}/softhsm2.conf"}

    def token(self, label: str) -> None:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def config(self, label: str, **changes: Any) -> Path:
        document = {
            "schema": 1,
            "module": MODULE,
            "token": {"label": label},
            "pin_file": f"{self.folder}/pin",
            "keys": {"manifest": {"label": "manifest"}, "checkpoint": {"label": "checkpoint"}},
            **changes,
        }
        path = self.folder / f"token-{label}-{sha(json.dumps(document).encode())[:8]}.json"
        path.write_text(json.dumps(document))
        return path

    def provision(self, config: Path) -> list[dict[str, str]]:
        command = [sys.executable, "-m", "appliance.custody.provision", os.fspath(config)]
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True)
        keys: list[dict[str, str]] = json.loads(done.stdout)
        return keys

    def make(self, label: str, *keys: dict[str, Any]) -> None:
        asked = {"module": MODULE, "label": label, "pin": PIN, "keys": keys}
        command = [sys.executable, "-m", "tests.custody.make_keys"]
        subprocess.run(command, env=self.environment, input=json.dumps(asked).encode(), check=True)


def site(keys: list[dict[str, str]], **changes: Any) -> Forge:
    """The forged site with this station's real keys; `changes` are whole documents by path."""
    forge = Forge()
    day = {"from": "2026-01-01T00:00:00.000000Z", "until": "2030-01-01T00:00:00.000000Z"}
    station = forge.documents["stations.json"]["stations"][0]
    station["keys"] = [{**key, **day, "revoked": None} for key in keys]
    forge.documents |= changes
    return forge


def press_record(press: str, **changes: Any) -> dict[str, Any]:
    document = {
        "press": press,
        "order": "WO-1",
        "event": "provision",
        "label": None,
        "operator": {"id": "olga", "method": "badge"},
        "boot_id": "ab" * 16,
        "monotonic_ms": 1234,
        **changes,
    }
    return {**document, "digest": canonical_digest({"schema": 1, **document}), "finished": False}


def reservation(press: str, **changes: Any) -> dict[str, Any]:
    return {
        "index": 7,
        "digest": f"sha256:{'11' * 32}",
        "press": press,
        "order": "WO-1",
        "event": "provision",
        "sequence": 0,
        "previous": None,
        "device": {"part": "stm32f412xg", "uid": UID},
        "label": None,
        "open": True,
        **changes,
    }


def passed() -> dict[str, Any]:
    """The observations of a unit that is as it must be."""
    return {
        "verdict": "pass",
        "refusal": None,
        "device": dict(DEVICE),
        "measurement": {
            "method": "on_target_sha256",
            "ranges": deepcopy(RANGES),
            "erased": [dict(REST)],
            "unerased": [],
        },
        "probe": {"kind": "virtual", "id": "v-1"},
        "stages": [{"name": "identify", "us": 1200}],
    }


def refused() -> dict[str, Any]:
    return {**passed(), "verdict": "refused", "refusal": dict(REFUSAL), "device": None, "measurement": None}


def verdict(**changes: Any) -> dict[str, Any]:
    """What the clock says; 2026-11-22 noon, two milliseconds wide."""
    return {
        "status": "Synchronized",
        "earliest": "2026-11-22T12:00:00.000000Z",
        "latest": "2026-11-22T12:00:00.002000Z",
        "width_us": 2000,
        "sources": ["192.0.2.1 auth=none"],
        "plausible": True,
        "refusal": None,
        **changes,
    }


class Everything:
    """Handlers of every verb of an interface: those that a test has set answer, the others are not to be called."""

    def __init__(self, answers: dict[str, Callable[..., dict[str, Any]]]) -> None:
        self.answers = answers

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def handler(_caller: Caller, **arguments: Any) -> dict[str, Any]:
            return self.answers[name](**arguments)

        return handler


@dataclass
class Bench:
    """The signer's surroundings. Presses, reservations, tallies and the time are plain data to be changed."""

    folder: Path
    hsm: Hsm
    config: Path
    presses: dict[str, dict[str, Any]] = field(default_factory=dict)
    reservations: dict[str, dict[str, Any]] = field(default_factory=dict)
    tally: dict[str, int] = field(default_factory=lambda: {"passed": 0, "open": 0})
    history: dict[str, Any] = field(default_factory=lambda: {"known": False, "sequence": 0, "previous": None})
    time: dict[str, Any] = field(default_factory=verdict)
    process: subprocess.Popen[bytes] | None = None
    generation: int = 0
    restage: bool = False

    def __post_init__(self) -> None:
        for name in ("run", "site", "staged", "state", "log"):
            (self.folder / name).mkdir()
        (self.folder / "peers.json").write_text(json.dumps(dict.fromkeys(ROLES, os.getuid())))
        self._doors: list[socket.socket] = []
        self._serve("clock", read=lambda: {"verdict": self.time})
        self._serve("panel", describe_press=lambda press: {"press": self.presses.get(press)})
        self._serve(
            "recorder",
            describe_reservation=lambda press: {"reservation": self.reservations.get(press)},
            describe_order=lambda order: dict(self.tally),  # the interface's parameter
            describe_device=lambda device: dict(self.history),  # likewise
        )

    @staticmethod
    def defaults() -> dict[str, Any]:
        """Surroundings in which everything is as it should be."""
        return {
            "presses": {},
            "reservations": {},
            "tally": {"passed": 0, "open": 0},
            "history": {"known": False, "sequence": 0, "previous": None},
            "time": verdict(),
        }

    def stage_changed(self, keys: list[dict[str, str]], path: str, way: str, value: Any) -> None:
        """Stage the usual site with one field of one document replaced; the fixture puts it back."""
        forge = site(keys)
        forge.documents[path] = changed(forge.documents[path], way, value)
        self.stage(forge)
        self.restage = True

    def stage(self, forge: Forge) -> None:
        """Make this the station's site, or its next generation."""
        self.generation += 1
        files, root = forge.files(), self.folder / "site" / "root.json"
        if not root.exists():
            root.write_bytes(files["metadata/1.root.json"])
            about = {"schema": 1, "station": "bench-01", "site": "demo"}
            (self.folder / "site" / "station.json").write_text(json.dumps(about))
        files["metadata/1.root.json"] = root.read_bytes()
        write(files, self.folder / "staged" / f"gen-{self.generation}")
        fresh = self.folder / "staged" / "next"
        fresh.symlink_to(f"gen-{self.generation}")
        fresh.rename(self.folder / "staged" / "current")

    def start(self, module: str = "appliance.custody") -> None:
        """Start the signer and wait until it answers."""
        self.start_unheard(module)
        self.call("Describe")

    def start_unheard(self, module: str = "appliance.custody") -> None:
        """Start the signer and wait until it takes calls, allowed or not."""
        environment = {
            **self.hsm.environment,
            "PROOFLINE_TOKEN_CONFIG": os.fspath(self.config),
            "PROOFLINE_PEERS": f"{self.folder}/peers.json",
            "STATE_DIRECTORY": f"{self.folder}/state",
            "PROOFLINE_RUN": f"{self.folder}/run",
            "PROOFLINE_SITE": f"{self.folder}/site",
            "PROOFLINE_STAGED": f"{self.folder}/staged",
            "PROOFLINE_LOG": f"{self.folder}/log",
        }
        with (self.folder / "signer.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module], env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.code("Describe") != ServiceUnavailable.code:
                return
            assert self.process.poll() is None, (self.folder / "signer.log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.folder / "signer.log").read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)
        (self.folder / "run" / "signer.sock").unlink(missing_ok=True)
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.stop()
        for door in self._doors:
            door.close()

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        with Client("signer", self.folder / "run" / "signer.sock") as client:
            return client.call(verb, **arguments)

    def code(self, verb: str, **arguments: Any) -> str:
        """The code that a call is refused with; "" where it is not."""
        try:
            self.call(verb, **arguments)
        except ProoflineError as refusal:
            return refusal.code
        return ""

    def closed(self, press: str | None = None) -> list[str]:
        return [refusal["code"] for refusal in self.call("Gates", press=press)["closed"]]

    def press(self, *, reserved: bool = True, **changes: Any) -> str:
        """A press that the panel knows, reserved for the usual device."""
        press = os.urandom(16).hex()
        self.presses[press] = press_record(press, **changes)
        if reserved:
            self.reservations[press] = reservation(press)
        return press

    def sign(self, press: str, observations: dict[str, Any]) -> str:
        return self.code("SignManifest", press=press, observations=observations)

    def _serve(self, role: str, **answers: Callable[..., dict[str, Any]]) -> None:
        interface = interface_of(role)
        access = dict.fromkeys(interface.methods, frozenset(ROLES))
        service = Service(interface, Everything(answers), access, dict.fromkeys(ROLES, os.getuid()))
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(f"{self.folder}/run/{role}.sock")
        door.listen()
        self._doors.append(door)

        def accept() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                threading.Thread(target=service.converse, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()


def manifest_of(envelope: str) -> dict[str, Any]:
    """The predicate in an envelope."""
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    predicate: dict[str, Any] = statement["predicate"]
    return predicate


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A deep copy with one field replaced: `measurement.ranges.0.sha256`."""
    copy = deepcopy(document)
    at: Any = copy
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = value
    return copy


def remove_token(hsm: Hsm) -> Path:
    """Pull the token: its files go elsewhere. Returns where."""
    away = hsm.folder / "away"
    shutil.move(hsm.folder / "tokens", away)
    (hsm.folder / "tokens").mkdir()
    return away


def replace_token(hsm: Hsm, away: Path) -> None:
    (hsm.folder / "tokens").rmdir()
    shutil.move(away, hsm.folder / "tokens")

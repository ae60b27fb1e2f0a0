"""A recorder with the real signer (SoftHSM) beside it; clock and panel are stand-ins whose words are the test's to set.

The recorder runs in the test's process, behind its real door (`ipc.Service` on a socket): a test can stop it, open
it again on what it left, and look behind the door.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance import station
from appliance.errors import ProoflineError
from appliance.ipc import Client, Service, interface_of
from appliance.recorder.peers import OwnSite
from appliance.recorder.service import ACCESS, Recorder
from tests.custody.bench import ROLES, Bench, passed, press_record, refused
from tests.recorder.local_signer import Files

UID = "3200340011514d4c38363200"
PART = "stm32f412xg"


def uid(number: int) -> str:
    """The unique id of the bench's device `number`."""
    return f"{0x32003400 + number:08x}11514d4c38363200"


@dataclass
class Desk(Bench):
    """The signer's bench with the real recorder in it."""

    space_kib: int = 0
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        (self.folder / "recorder").mkdir()
        (self.folder / "published").mkdir()

    def _serve(self, role: str, **answers: Callable[..., dict[str, Any]]) -> None:
        if role != "recorder":  # the real one comes with `open`
            super()._serve(role, **answers)

    def open(self) -> Recorder:
        """Start the recorder on whatever it finds, and serve it."""
        site = station.load_site(self.folder / "site")
        self.recorder = Recorder(
            self.folder / "recorder",
            self.folder / "published",
            OwnSite(self.folder / "staged", site),
            Client("signer", self.folder / "run" / "signer.sock"),
            Client("panel", self.folder / "run" / "panel.sock"),
            boot_id=station.describe().boot_id,
            space_kib=self.space_kib,
        )
        service = Service(interface_of("recorder"), self.recorder, ACCESS, dict.fromkeys(ROLES, os.getuid()))
        path = self.folder / "run" / "recorder.sock"
        path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(os.fspath(path))
        door.listen()
        self._recorder_door, self._calls = door, list[socket.socket]()
        calls = self._calls

        def accept() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                calls.append(connection)
                threading.Thread(target=service.converse, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return self.recorder

    def shut(self) -> None:
        """Stop the recorder as a kill would: nothing is tidied up."""
        self._recorder_door.shutdown(socket.SHUT_RDWR)
        self._recorder_door.close()
        for one in self._calls:
            with suppress(OSError):  # its caller went away before
                one.shutdown(socket.SHUT_RDWR)
        self.recorder.close()

    def reopen(self) -> Recorder:
        self.shut()
        return self.open()

    # -- what a line does ------------------------------------------------------------------------------------------

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Call the recorder through its door."""
        with Client("recorder", self.folder / "run" / "recorder.sock") as client:
            return client.call(verb, **arguments)

    def answer(self, verb: str, **arguments: Any) -> str:
        """The code with which the recorder refuses; "" where it does not."""
        try:
            self.ask(verb, **arguments)
        except ProoflineError as refusal:
            return refusal.code
        return ""

    def pressed(self, **changes: Any) -> str:
        """The button is pressed."""
        press = os.urandom(16).hex()
        self.presses[press] = press_record(press, **changes)
        return press

    def reserve(self, press: str, of: str = UID, part: str = PART) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("Reserve", press=press, device={"part": part, "uid": of})["reservation"]
        return found

    def observed(self, verdict: str = "pass", of: str | None = UID) -> dict[str, Any]:
        """What the line saw of a device."""
        seen = passed()
        if of is not None:
            seen["device"]["uid"] = of
        if verdict != "pass":
            seen |= {"verdict": verdict, "refusal": refused()["refusal"], "measurement": None}
        if of is None:
            seen["device"] = None
        return seen

    def sign_manifest(self, press: str, observations: dict[str, Any]) -> str:
        envelope: str = self.call("SignManifest", press=press, observations=observations)["envelope"]
        return envelope

    def unit(self, of: str = UID, verdict: str = "pass", **changes: Any) -> tuple[str, dict[str, Any]]:
        """One unit from press to proof: the press, and what Append answered."""
        press = self.pressed(**changes)
        self.reserve(press, of)
        appended = self.ask("Append", envelope=self.sign_manifest(press, self.observed(verdict, of)))
        return press, appended

    def files(self) -> Files:
        return Files(self.folder / "published")

    @property
    def published(self) -> Path:
        return self.folder / "published"

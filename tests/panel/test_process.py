"""The real panel process, on mock pins, with a person's hands: what the lamps really do."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.ipc.errors import IpcError
from appliance.panel.errors import FinishedOtherwise, PassUnproven
from tests.line.stand_ins import ClockStandIn, Station, until
from tests.line.world import RecorderStandIn, SignerStandIn

PINS = {"button": 17, "red": 5, "blue": 6, "green": 13, "buzzer": 19}


class Calm:
    """What the stand-ins ask of their world: nothing goes wrong in it."""

    event = "provision"
    content = b""

    def signer_open(self) -> bool:
        return True

    def say(self, **fact: object) -> None:
        del fact


class Hands:
    """The control socket of the mock panel."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        until(lambda: self._connected(path), "the hands' socket")
        self._stream = self._socket.makefile("rwb")

    def _connected(self, path: Path) -> bool:
        try:
            self._socket.connect(os.fspath(path))
        except OSError:
            return False
        return True

    def do(self, **wish: object) -> dict[str, Any]:
        self._stream.write(json.dumps(wish).encode() + b"\n")
        self._stream.flush()
        answer = json.loads(self._stream.readline())
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Scene:
    """A station with stand-ins, the real panel, and hands."""

    def __init__(
        self, folder: Path, documents: dict[str, Any] | None = None, positions: list[dict[str, int]] | None = None
    ) -> None:
        """`documents`: the site's, where not the usual ones; `positions`: lamps of a gang fixture."""
        self.station = Station(folder, documents)
        self._pins: dict[str, Any] = PINS if positions is None else {**PINS, "positions": positions}
        world: Any = Calm()
        self.recorder = RecorderStandIn(world)
        self.station.serve("recorder", self.recorder)
        self.signer = SignerStandIn(world)
        self.station.serve("signer", self.signer)
        self.station.serve("clock", ClockStandIn())
        self._config = folder / "panel.json"
        self.panel = self.station.client("panel")
        self._beating = threading.Event()
        self._heart: threading.Thread | None = None

    def start(self, heartbeat_ms: int = 60_000) -> None:
        scanner = str(self.station.folder / "scanner")
        config = {"schema": 1, "pins": self._pins, "scanner": scanner, "heartbeat_ms": heartbeat_ms}
        self._config.write_text(json.dumps(config))
        hands = self.station.folder / "hands.sock"
        hands.unlink(missing_ok=True)
        self.process = self.station.start(
            "hil.local_station.mock_panel", PROOFLINE_PANEL_CONFIG=str(self._config), PROOFLINE_PANEL_HANDS=str(hands)
        )
        self.hands = Hands(hands)
        until(self.describe, "the panel")

    def describe(self) -> dict[str, Any] | None:
        try:
            return self.panel.call("Describe")
        except IpcError:
            return None

    def seen(self) -> dict[str, Any]:
        found = self.describe()
        assert found is not None
        return found

    def pattern(self, wanted: str) -> dict[str, Any]:
        found = until(lambda: (d := self.describe()) and d["pattern"] == wanted and d, f"pattern {wanted}")
        assert isinstance(found, dict)
        return found

    def lamps(self, **wanted: bool) -> dict[str, Any]:
        """What the pins do, once they are as wanted."""

        def there() -> dict[str, Any] | None:
            answer = self.hands.do(do="lamps")
            return answer if all(answer["now"][name] is on for name, on in wanted.items()) else None

        found = until(there, f"lamps {wanted}")
        assert isinstance(found, dict)
        return found

    def scan(self, text: str, heard: str) -> None:
        assert self.hands.do(do="scan", text=text) == {"ok": True}
        until(lambda: (d := self.describe()) and heard in d["text"], f"{text} to be heard")

    def sign_in(self) -> None:
        """Sign in and choose an order, while the line is heard."""
        self.beat()
        self.scan("B-1", "Signed in: Olga.")
        self.scan("WO-1", "Order WO-1.")
        until(lambda: self.beat() and (d := self.describe()) and d["pattern"] == "ready", "pattern ready")

    def beat(self) -> bool:
        self.panel.call("NextPress", wait_ms=0)
        return True

    def press(self) -> str:
        assert self.hands.do(do="press") == {"ok": True}
        found = until(lambda: self.panel.call("NextPress", wait_ms=1000).get("press"), "the press")
        return str(found["press"])

    def finish(self, press: str, verdict: str, *, stop: bool = False) -> None:
        refusal = None
        if verdict != "pass":
            refusal = {"code": "PL-LIN-010", "operator": "Why.", "engineer": "e", "action": "a", "details": {}}
        self.panel.call("Finish", press=press, verdict=verdict, refusal=refusal, stop=stop, recovered=False)

    def close(self) -> None:
        self.hands.close()
        self.panel.close()
        self.station.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.close()


@contextmanager
def starting(scene: Scene, role: str) -> Iterator[socket.socket]:
    """A service's door as systemd holds it while the service starts: one may knock, and nobody answers yet."""
    place = scene.station.folder / "run" / f"{role}.sock"
    place.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        held.bind(str(place))
        held.listen(16)
        yield held


def test_a_unit_as_a_person_sees_it(scene: Scene) -> None:
    scene.start()
    scene.pattern("starting")
    scene.panel.call("NextPress", wait_ms=0)
    scene.pattern("signed_out")
    scene.sign_in()
    scene.lamps(red=False, blue=True, green=False)

    press = scene.press()
    record = scene.panel.call("DescribePress", press=press)["press"]
    assert (record["order"], record["event"], record["operator"]) == (
        "WO-1",
        "provision",
        {"id": "olga", "method": "badge"},
    )
    scene.panel.call("Progress", press=press, stage="program", permille=500)
    assert "program 50 %" in scene.pattern("running")["text"]
    scene.lamps(blue=True)
    seen = [scene.lamps(blue=on)["since"] for on in (False, True, False)]
    assert not any(on for part in seen for name in ("red", "green") for _, on in part[name])

    # A press meanwhile is refused visibly, and journalled.
    scene.hands.do(do="press")
    until(lambda: "PL-PNL-003" in scene.seen()["text"], "the second press to be refused")
    assert scene.panel.call("NextPress", wait_ms=0)["press"]["press"] == press

    scene.finish(press, "fail")
    scene.pattern("fail")
    scene.lamps(red=True, blue=False, green=False)
    with pytest.raises(FinishedOtherwise):
        scene.finish(press, "aborted")
    until(lambda: [r["refusal"]["code"] for r in scene.recorder.journal] == ["PL-PNL-003"], "the journal record")


def test_green_needs_the_recorders_word_for_this_very_press(scene: Scene) -> None:
    scene.start()
    scene.sign_in()
    press = scene.press()
    with pytest.raises(PassUnproven):
        scene.finish(press, "pass")
    scene.pattern("fault")
    scene.recorder.manifests["0" * 32] = {"verdict": "pass", "code": None}  # of another press
    with pytest.raises(PassUnproven):
        scene.finish(press, "pass")
    scene.recorder.manifests[press] = {"verdict": "fail", "code": None}
    with pytest.raises(PassUnproven):
        scene.finish(press, "pass")
    scene.lamps(green=False)
    scene.recorder.manifests[press] = {"verdict": "pass", "code": None}
    scene.finish(press, "pass")
    scene.pattern("pass")
    scene.lamps(red=False, blue=False, green=True)


def test_presses_without_a_session_or_an_order_are_refused_and_journalled(scene: Scene) -> None:
    scene.start()
    scene.panel.call("NextPress", wait_ms=0)
    scene.hands.do(do="press")
    scene.pattern("refused")
    scene.scan("B-1", "Signed in: Olga.")
    scene.hands.do(do="press")
    until(lambda: len(scene.recorder.journal) == 2, "two journal records")
    assert [record["refusal"]["code"] for record in scene.recorder.journal] == ["PL-PNL-001", "PL-PNL-002"]
    assert [record["operator"] for record in scene.recorder.journal] == [None, "olga"]
    assert scene.panel.call("NextPress", wait_ms=0).get("press") is None
    assert scene.seen()["presses"] == 0


def test_a_killed_panel_hands_out_the_same_press_and_ends_it_once(scene: Scene) -> None:
    scene.start()
    scene.sign_in()
    press = scene.press()
    scene.process.kill()
    scene.process.wait()
    scene.hands.close()
    scene.start()
    assert scene.panel.call("NextPress", wait_ms=0)["press"]["press"] == press
    scene.finish(press, "fail")
    scene.finish(press, "fail")
    assert scene.panel.call("NextPress", wait_ms=0).get("press") is None
    assert scene.seen()["presses"] == 1
    assert scene.seen()["operator"] is None  # a session does not survive


def test_a_stopped_line_waits_for_a_lead_across_a_restart(scene: Scene) -> None:
    scene.start()
    scene.sign_in()
    press = scene.press()
    scene.finish(press, "refused", stop=True)
    scene.pattern("stopped")
    scene.process.kill()
    scene.process.wait()
    scene.hands.close()
    scene.start()
    assert scene.panel.call("NextPress", wait_ms=0)["stopped"] is True
    scene.scan("B-1", "PL-PNL-018")
    scene.pattern("stopped")
    scene.scan("B-2", "Lea acknowledged.")
    assert scene.panel.call("NextPress", wait_ms=0)["stopped"] is False
    restart = scene.recorder.journal[-1]
    assert (restart["kind"], restart["operator"], restart["press"]) == ("line_restart", "lea", press)


def test_a_silent_line_is_a_fault_that_the_panel_shows_by_itself(scene: Scene) -> None:
    scene.start(heartbeat_ms=1500)
    scene.sign_in()
    scene.pattern("fault")
    scene.lamps(red=True, blue=True, green=False)
    scene.hands.do(do="press")
    until(lambda: [r["refusal"]["code"] for r in scene.recorder.journal] == ["PL-PNL-023"], "the journal record")
    assert scene.panel.call("NextPress", wait_ms=0).get("press") is None
    scene.pattern("refused")


def test_a_line_that_was_never_heard_is_starting_and_not_at_fault(scene: Scene) -> None:
    scene.start(heartbeat_ms=500)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert scene.seen()["pattern"] == "starting"
    scene.beat()
    scene.pattern("signed_out")


def test_a_signer_that_is_still_starting_is_no_closed_gate(scene: Scene) -> None:
    with starting(scene, "signer") as held:
        scene.start()
        scene.beat()
        for _question in range(2):
            held.accept()[0].close()  # to the panel: the call broke (PL-IPC-002)
            assert scene.seen()["pattern"] == "starting"
    scene.station.serve("signer", scene.signer)
    scene.pattern("signed_out")


def test_a_station_without_a_site_says_so_while_everybody_else_is_still_starting(scene: Scene) -> None:
    for file in (scene.station.folder / "site").iterdir():
        file.unlink()
    with starting(scene, "signer"):
        scene.start()
        assert "PL-STA-003" in scene.pattern("not_enrolled")["text"]
        scene.hands.do(do="press")
        assert "PL-STA-003" in scene.pattern("refused")["text"]
    until(lambda: [r["refusal"]["code"] for r in scene.recorder.journal] == ["PL-STA-003"], "the journal record")


def test_hands_say_no_to_nonsense(scene: Scene) -> None:
    scene.start()
    for wish in ({"do": "fly"}, {}, {"do": "scan"}, {"do": "scan", "text": "a\nb"}, {"do": "press", "hold_ms": "long"}):
        assert scene.hands.do(**wish)["ok"] is False

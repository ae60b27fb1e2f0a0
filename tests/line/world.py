"""A small world around the line: the real panel and its press journal, stand-ins for signer, recorder and board.

Every call and every act on the board is a numbered *point*. A plan of faults says what goes wrong at which point:

- `away`   the service does not answer (nothing was done) · `lost` it did it, the answer is lost
- `refuse` it refuses · `closed` its gate closes for a few questions
- `crash`  the line's process dies there

The stand-ins keep the rules that the real ones keep: one manifest and one reservation a press, the same envelope for
the same observations, an answer only after it is durable.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from appliance import durable
from appliance.custody.errors import ClockUnusable, PressSignedOtherwise
from appliance.errors import ProoflineError, from_record
from appliance.ipc import Caller, Client
from appliance.ipc.client import interface_of
from appliance.ipc.errors import CallInterrupted, ServiceUnavailable
from appliance.ipc.service import Service
from appliance.line.cycle import route_of
from appliance.line.journal import UnitJournal
from appliance.line.peers import Peers
from appliance.line.plan import Plan
from appliance.line.pulse import Pulse
from appliance.line.service import Line
from appliance.line.unit import Shop
from appliance.panel.config import Config
from appliance.panel.press import PressBook
from appliance.panel.service import ACCESS as PANEL_ACCESS
from appliance.panel.service import Panel
from appliance.panel.session import Draft
from appliance.recorder.errors import DeviceDuplicate, LogUnwritable, NotYetCheckpointed, PressHasManifest, PressUsed
from appliance.target.boards import profile_for
from appliance.target.errors import FlashRejected, FlashUncertain, MeasurementInterrupted, TargetSilent
from appliance.target.image import Image, Segment

UIDS = {"line": 1001, "panel": 1002, "signer": 1003, "recorder": 1004}
UID_HEX = "00112233" + "44556677" + "8899aabb"
IMAGE = Image("stm32f412xg", (Segment(0x0800_0000, b"firmware" * 8),))
DEVICE = {
    "part": "stm32f412xg",
    "uid": UID_HEX,
    "dpidr": "0x2ba01477",
    "idcode": "0x30006441",
    "rom": "0x0000000000000441",
    "rdp": 0,
    "flash_kib": 1024,
}


class Crash(BaseException):
    """The line's process ends here."""


class Direct:
    """A `Client` without a socket: the same checks of caller, arguments and reply, and a fault at each end."""

    def __init__(self, world: World, role: str, caller: str, service: Service) -> None:
        self.role = role
        self._world = world
        self._uid = UIDS[caller]
        self._service = service
        self._faulty = caller == "line"

    def call(self, verb: str, /, **parameters: object) -> dict[str, Any]:
        if self._faulty:
            self._world.before_call(self.role, verb)
        interface = interface_of(self.role)
        message = {
            "method": f"{interface.name}.{verb}",
            "parameters": {name: value for name, value in parameters.items() if value is not None},
        }
        # Through JSON, as on the wire.
        reply = json.loads(json.dumps(self._service.handle(self._uid, 1, json.loads(json.dumps(message)))))
        if self._faulty:
            self._world.after_call(self.role, verb)
            if verb == "Finish" and "error" not in reply:
                self._world.say(finished=parameters["press"], verdict=parameters["verdict"])
        if "error" in reply:
            raise from_record(reply["parameters"])
        return interface.check_reply(verb, reply["parameters"])


class Around(Protocol):
    """What the stand-ins ask of the world they are in."""

    event: str
    content: bytes

    def say(self, **fact: object) -> None:
        """A fact that is durable from now on, wherever it is kept."""

    def signer_open(self) -> bool:
        """Whether the signer's gate is open now."""


class SignerStandIn:
    def __init__(self, world: Around) -> None:
        self._world = world
        self.signed: dict[str, str] = {}

    def gates(self, caller: Caller, press: str | None) -> dict[str, Any]:
        del caller, press
        refusals = [] if self._world.signer_open() else [ClockUnusable().as_record()]
        return {"open": not refusals, "signing": not refusals, "closed": refusals}

    def sign_manifest(self, caller: Caller, press: str, observations: dict[str, Any]) -> dict[str, Any]:
        del caller
        if not self._world.signer_open():
            raise ClockUnusable
        envelope = json.dumps({"press": press, "observations": observations}, sort_keys=True)
        if self.signed.setdefault(press, envelope) != envelope:
            raise PressSignedOtherwise(press=press)
        self._world.say(signed=press, envelope=envelope)
        return {"envelope": envelope}

    def __getattr__(self, name: str) -> Any:
        if name in {"sign_refusals", "sign_checkpoint", "issue_device_certificate", "describe"}:
            return None
        raise AttributeError(name)


class RecorderStandIn:
    def __init__(self, world: Around) -> None:
        self._world = world
        self.reservations: dict[str, dict[str, Any]] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.journal: list[dict[str, Any]] = []
        self.committed = 0
        self.closed: list[dict[str, Any]] = []

    def gates(self, caller: Caller, press: str | None) -> dict[str, Any]:
        del caller, press
        return {"open": not self.closed, "closed": self.closed}

    def reserve(self, caller: Caller, press: str, device: dict[str, Any]) -> dict[str, Any]:
        del caller
        if press in self.reservations:
            raise PressUsed(press=press, why="reserved")
        passed = any(m["verdict"] == "pass" and m["device"] == device for m in self.manifests.values())
        if passed and self._world.event == "provision":
            raise DeviceDuplicate(**device, press="?")
        self.reservations[press] = device
        self._world.say(reserved=press, device=device)
        return {"reservation": self._reservation(press)}

    def append(self, caller: Caller, envelope: str) -> dict[str, Any]:
        del caller
        manifest = json.loads(envelope)
        press, seen = manifest["press"], manifest["observations"]
        known = self.manifests.get(press)
        if known is not None and known["envelope"] != envelope:
            raise PressHasManifest(press=press, index=0)
        assert seen["verdict"] not in ("pass", "fail", "quarantined") or press in self.reservations
        assert (seen.get("refusal") is None) == (seen["verdict"] == "pass")
        device = seen.get("device")
        self.manifests[press] = {
            "verdict": seen["verdict"],
            "code": None if seen.get("refusal") is None else seen["refusal"]["code"],
            "envelope": envelope,
            "content": self._world.content.hex(),
            "device": None if device is None else {"part": device["part"], "uid": device["uid"]},
        }
        self._world.say(logged=press, manifest=self.manifests[press])
        if not self._world.signer_open():
            raise NotYetCheckpointed(index=0, why="the signer is away")
        return {"index": 0, "size": 1, "proof": "", "digest": "sha256:"}

    def journal_refusal(
        self, caller: Caller, kind: str, press: str | None, operator: str | None, refusal: dict[str, Any] | None
    ) -> dict[str, Any]:
        del caller
        if kind == "refusal" and press in self.manifests:
            raise PressHasManifest(press=press, index=0)
        self.journal.append({"kind": kind, "press": press, "operator": operator, "refusal": refusal})
        self._world.say(journalled=self.journal[-1])
        return {"n": len(self.journal) - 1}

    def commit_refusals(self, caller: Caller) -> dict[str, Any]:
        del caller
        count = len(self.journal) - self.committed
        self.committed = len(self.journal)
        return {"count": count}

    def describe_reservation(self, caller: Caller, press: str) -> dict[str, Any]:
        del caller
        return {"reservation": self._reservation(press) if press in self.reservations else None}

    def describe_order(self, caller: Caller, order: str) -> dict[str, Any]:
        del caller, order
        return {"passed": 0, "open": 0}

    def describe_device(self, caller: Caller, device: dict[str, Any]) -> dict[str, Any]:
        del caller
        verdicts = [m["verdict"] for m in self.manifests.values() if m["device"] == device]
        return {"known": bool(verdicts), "sequence": len(verdicts), "verdict": verdicts[-1] if verdicts else None}

    def press_outcome(self, caller: Caller, press: str) -> dict[str, Any]:
        del caller
        journalled = any(record["press"] == press for record in self.journal)
        known = self.manifests.get(press)
        if known is None or not self._world.signer_open():
            return {"verdict": None, "journalled": journalled}
        return {"verdict": known["verdict"], "code": known["code"], "index": 0, "journalled": journalled}

    def describe(self, caller: Caller) -> dict[str, Any]:
        del caller
        return {
            "origin": "o",
            "size": 0,
            "root": "",
            "checkpointed": 0,
            "journal": len(self.journal),
            "journal_committed": self.committed,
            "units": 0,
        }

    def _reservation(self, press: str) -> dict[str, Any]:
        return {
            "index": 0,
            "digest": "sha256:",
            "press": press,
            "order": "WO-1",
            "event": "provision",
            "sequence": 0,
            "device": self.reservations[press],
            "open": press not in self.manifests,
        }


class BoardStandIn:
    """A board whose flash holds the image only if it was programmed to the end."""

    def __init__(self, world: World) -> None:
        self._world = world

    def identify(self) -> dict[str, Any]:
        self._world.board_point("identify", TargetSilent(stage="identify", reason="planned"))
        return dict(DEVICE)

    def program(self, progress: Callable[[int, int], None], *, erase_all: bool) -> None:
        del erase_all
        self._world.board_point("before-program", TargetSilent(stage="blank check", reason="planned"))
        self._world.flashed.append(self._world.now)
        self._world.say(flashed=self._world.now)
        self._world.content = b""
        self._world.board_point("in-program", FlashUncertain(stage="program", cause="PL-TGT-041"))
        progress(1, 2)
        self._world.board_point("end-of-program", FlashRejected(stage="program", result=4))
        if not self._world.bad_flash:
            self._world.content = IMAGE.segments[0].data
            self._world.say(programmed=self._world.now)

    def measure(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        self._world.board_point("measure", MeasurementInterrupted(cause="PL-TGT-041", reason="planned"))
        right = self._world.content == IMAGE.segments[0].data
        one = IMAGE.ranges()[0]
        found = {
            "name": one.name,
            "start": one.start,
            "length": one.length,
            "sha256": one.sha256 if right else "0" * 64,
        }
        record = {"method": "on_target_sha256", "ranges": [found], "erased": [], "unerased": []}
        return record, () if right else (f"range {one.name} is another one",)

    def run(self) -> None:
        self._world.board_point("run", TargetSilent(stage="release", reason="planned"))


class World:
    """All of it. `press` starts a unit, `live` lets the line work (and die, and start again) until it is idle."""

    def __init__(self, folder: Path, faults: Mapping[int, str] | None = None) -> None:
        self.faults = dict(faults or {})
        self.points: list[str] = []
        self.flashed: list[str] = []
        self.content = b""
        self.bad_flash = False
        self.now = ""
        self.event = "provision"
        self.crashes = 0
        self.listener: Callable[[dict[str, object]], None] = lambda _fact: None
        self.once: dict[str, Callable[[], None]] = {}
        """What happens in the world just before the line first makes a call (`role.Verb`)."""
        self._signer_shut = 0
        self._folder = folder
        self.signer, self.recorder = SignerStandIn(self), RecorderStandIn(self)
        self.book_journal = durable.Journal(folder / "presses.journal")
        self.book = PressBook(self.book_journal, "b" * 32, lambda: 0)
        config = Config({}, Path("/none"), debounce_ms=50, heartbeat_ms=60_000, pass_ms=60_000)
        self.panel = Panel(
            config,
            self.book,
            cast("Any", None),
            recorder=self._direct("recorder", "panel", self._service("recorder", self.recorder)),
            signer=self._direct("signer", "panel", self._service("signer", self.signer)),
            clock=cast("Client", None),
        )
        self.rewire()
        self.journal: durable.Journal | None = None
        self.units: UnitJournal | None = None

    def rewire(self) -> None:
        """Fresh connections, and so a fresh line, to the stand-ins as they are now."""
        self._peers = Peers(
            self._direct("signer", "line", self._service("signer", self.signer)),
            self._direct("recorder", "line", self._service("recorder", self.recorder)),
            self._direct("panel", "line", Service(interface_of("panel"), self.panel, PANEL_ACCESS, UIDS)),
            threading.Event(),
        )
        self.line: Line | None = None

    def close(self) -> None:
        self.book_journal.close()
        if self.journal is not None:
            self.journal.close()

    def press(self, event: str = "provision") -> str:
        self.event = event
        self.now = self.book.open(Draft("olga", "WO-1", event, None)).press
        self.say(pressed=self.now)
        return self.now

    def say(self, **fact: object) -> None:
        """Facts that the stand-ins keep durably, for whoever listens."""
        self.listener(fact)

    def start(self) -> Line:
        """A fresh process of the line, on the journal that the last one left."""
        if self.journal is not None:
            self.journal.close()
        self.journal = durable.Journal(self._folder / "units.journal")
        self.units = UnitJournal(self.journal)
        pulse = Pulse(cast("Client", None))
        self.line = Line(Shop(self._peers, self.units, pulse, self._bench, self._plan))
        return self.line

    def live(self, turns: int = 1) -> None:
        """Let the line work through `turns` turns, starting it again whenever it dies."""
        while turns:
            try:
                if self.line is None:
                    self.start()._recover()
                assert self.line is not None
                self.line._turn()
                turns -= 1
            except Crash:
                self.crashes += 1
                self.line = None

    def pattern(self) -> str:
        return str(self.panel.describe(Caller(0, 0, "ops"))["pattern"])

    def finishes(self, press: str) -> int:
        found = [json.loads(record) for record in durable.read_journal(self._folder / "presses.journal")]
        return sum(record["at"] == "finish" and record["press"] == press for record in found)

    # Faults.

    def _point(self, name: str) -> str:
        fault = self.faults.get(len(self.points), "")
        self.points.append(name)
        if fault == "crash":
            raise Crash(name)
        if fault == "closed":
            self._signer_shut = 4
        return fault

    def before_call(self, role: str, verb: str) -> None:
        self.once.pop(f"{role}.{verb}", lambda: None)()
        fault = self._point(f"{role}.{verb}")
        if fault == "away":
            raise ServiceUnavailable(service=role, why="planned")
        if fault == "refuse" and role != "panel" and verb not in ("PressOutcome", "DescribeReservation"):
            raise LogUnwritable(why="planned")

    def after_call(self, role: str, verb: str) -> None:
        if self._point(f"{role}.{verb} done") in ("lost", "away", "refuse"):
            raise CallInterrupted(service=role, verb=verb, why="planned")

    def board_point(self, name: str, error: ProoflineError) -> None:
        if self._point(f"board.{name}") in ("away", "lost", "refuse"):
            raise error

    def signer_open(self) -> bool:
        self._signer_shut = max(0, self._signer_shut - 1)
        return self._signer_shut == 0

    def shut_signer(self, questions: int) -> None:
        """Close the signer's gate for so many questions."""
        self._signer_shut = questions + 1

    def _service(self, role: str, implementation: object) -> Service:
        methods = interface_of(role).methods
        return Service(interface_of(role), implementation, dict.fromkeys(methods, frozenset({"line", "panel"})), UIDS)

    def _direct(self, role: str, caller: str, service: Service) -> Client:
        return cast("Client", Direct(self, role, caller, service))

    def _plan(self, order: str, event: str) -> Plan:
        del order
        return Plan(route_of(event), "demo", profile_for("stm32f412xg"), 4_000_000, "virtual:0", IMAGE, IMAGE.ranges())

    @contextmanager
    def _bench(self, plan: Plan, cancel: threading.Event) -> Iterator[BoardStandIn]:
        del plan, cancel
        self.board_point("open", TargetSilent(stage="connect", reason="planned"))
        yield BoardStandIn(self)

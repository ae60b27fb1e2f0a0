"""A whole station on one machine: the product's services, real parts around them, and a person's hands.

    with LocalStation.make(folder, units=...) as station:
        station.sign_in("NIGHT-OLA"); station.choose("WO-1")
        outcome = station.press_with(board_uid)

- The services are the product's, unchanged, each under its own uid where we are root (see `supervisor`).
- Around them: a SoftHSM token, a real chronyd with a time server that can lie, a virtual NUCLEO-F412ZG on the fixture,
  a release desk with three approvers. Nothing of it is a mock; the button and the lamps are gpiozero's mock pins.
- `benches` more than one is a gang fixture: so many boards on so many probes, and two lamps more at each position.
- Every verb here is something that a person could do at a bench: insert, scan, press, look, pull the plug.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance import durable
from appliance.evidence import strict_json
from appliance.ipc import Client
from appliance.release.desk import Desk
from hil.local_station.daemons import Daemon, Lines, Time, listens
from hil.local_station.office import LEAD_BADGE, OPERATOR_BADGE, SITE, STATION, VERSION, Wish, WorkOrder, open_office
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import Supervisor, Unit, separate_users, uid_of
from hil.release_desk import MODULE, PIN, make_token, write_softhsm_conf

FIRMWARE = CHECKOUT / "hil" / "firmware" / "build"
PINS = {"button": 17, "red": 5, "blue": 6, "green": 13, "buzzer": 19}
POSITION_PINS = tuple({"red": red, "green": red + 1} for red in (2, 20, 22, 24, 26, 7, 9, 11))
"""Of a gang fixture's positions."""
SERVICES = {
    "clock": "appliance.clock",
    "intake": "appliance.intake",
    "panel": "hil.local_station.mock_panel",
    "recorder": "appliance.recorder",
    "signer": "appliance.custody",
    "line": "appliance.line",
}
_BUSY = frozenset({"running", "starting"})


@dataclass(frozen=True)
class Outcome:
    """What came of one press: the recorder's word, and what the person saw."""

    press: str
    verdict: str | None
    code: str | None
    index: int | None
    label: str | None
    journalled: bool
    pattern: str
    text: str


class LocalStation:
    """Everything below one folder; see the module's text. `site` is the release desk with its people."""

    def __init__(self, folder: Path, *, benches: int = 1, wrap: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start the station that `make` prepared in `folder`. `wrap`: role -> other command to run for it."""
        self.folder = folder
        self.evidence = folder / "evidence"
        self.carrier = folder / "stick"
        self._wrap = dict(wrap or {})
        self._count = benches
        self._benches: list[Daemon] = []
        self._open = ExitStack()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        folder = self.folder
        self.time = Time(folder / "time")
        self._open.callback(self.time.close)
        self.hands = Lines(folder / "hands" / "panel.sock")
        places = _bench_places(folder, self._count)
        self.fixtures = [Lines(place / "control.sock") for place in places]
        self.fixture = self.fixtures[0]
        self._places = places
        self._open.callback(self._close_benches)
        for number, place in enumerate(places, 1):
            self._benches.append(start_bench(place, f"fixture-{number}"))
        common = {
            "PYTHONPATH": os.fspath(CHECKOUT),
            "PROOFLINE_SITE": os.fspath(folder / "site"),
            "PROOFLINE_STAGED": os.fspath(folder / "staged"),
            "PROOFLINE_LOG": os.fspath(folder / "evidence" / "log"),
        }
        self.supervisor = Supervisor(folder / "services", common)
        self._open.callback(self.supervisor.close)
        for role in SERVICES:
            self.start(role)

    @classmethod
    def make(
        cls,
        folder: Path,
        orders: Sequence[WorkOrder],
        *,
        benches: int = 1,
        firmware: Path | None = None,
        scan: str = "optional",
        own_pins: bool = False,
        settings: Mapping[str, int] | None = None,
        wrap: Mapping[str, Sequence[str]] | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> LocalStation:
        """Set a site and a station up in an empty folder, bring the first release in, and wait until it can sign.

        `own_pins`: the boards hang on the station's own (virtual) pins, as the site's pin settings say, not on probes.
        """
        prepare(
            folder,
            orders,
            benches=benches,
            firmware=firmware,
            scan=scan,
            own_pins=own_pins,
            settings=settings,
            say=say,
        )
        say("starting the station's services, each under its own user")
        station = cls(folder, benches=benches, wrap=wrap)
        try:
            station.bring_in()
            station.wait_open()
        except BaseException:
            station.close()
            raise
        return station

    def start(self, role: str) -> None:
        """Start a service, or start it again."""
        environment = {
            "clock": {"PROOFLINE_CLOCK_CONFIG": os.fspath(self.time.config)},
            "signer": {
                "PROOFLINE_TOKEN_CONFIG": os.fspath(self.folder / "token" / "token.json"),
                "SOFTHSM2_CONF": os.fspath(self.folder / "token" / "softhsm2.conf"),
            },
            "panel": {
                "PROOFLINE_PANEL_CONFIG": os.fspath(self.folder / "hands" / "panel.json"),
                "PROOFLINE_PANEL_HANDS": os.fspath(self.folder / "hands" / "panel.sock"),
            },
            "line": {"PROOFLINE_BENCH": ":".join(os.fspath(place / "probe.sock") for place in self._places)},
        }.get(role, {})
        command = self._wrap.get(role, [sys.executable, "-m", SERVICES[role]])
        self.supervisor.start(Unit(role, command, environment))

    def stop(self, role: str) -> None:
        self.supervisor.stop(role)

    def replace(self, role: str, command: Sequence[str]) -> None:
        """From its next start on, run another command for a role."""
        self._wrap[role] = command

    def client(self, role: str) -> Client:
        """Speak to a service as the technician."""
        return Client(role, self.supervisor.run / f"{role}.sock")

    def bring_in(self) -> dict[str, Any]:
        """Carry what the desk has published to the station and have it imported."""
        shutil.rmtree(self.carrier, ignore_errors=True)
        Desk(self.folder / "office" / "desk").export(self.carrier)
        with self.client("intake") as intake:
            return intake.call("Import", carrier=os.fspath(self.carrier))

    def wait_open(self, *, timeout_s: float = 60.0) -> None:
        """Wait until the line is idle, and the panel shows no closed gate and no fault."""
        with self.client("line") as line:
            self._wait(lambda: line.call("Describe")["state"] != "starting", timeout_s)
        self.wait_pattern(
            lambda pattern: not pattern.startswith("gate_") and pattern not in {"fault", "starting"}, timeout_s
        )

    def wait_pattern(self, wanted: Callable[[str], bool], timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the lamps show something; what a person then sees."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self.look()
            if wanted(seen["pattern"]):
                return seen
            if time.monotonic() > deadline:
                raise TimeoutError(f"the panel still shows {seen}")
            time.sleep(0.05)

    def look(self) -> dict[str, Any]:
        """What a person in front of the station sees."""
        with self.client("panel") as panel:
            return panel.call("Describe")

    def scan(self, text: str, heard: Callable[[dict[str, Any]], bool]) -> None:
        """Hold a code before the scanner until the panel shows that it was heard."""
        self.hands.ask(do="scan", text=text)
        self._wait(lambda: heard(self.look()))

    def sign_in(self, badge: str = OPERATOR_BADGE) -> None:
        self.scan(badge, lambda seen: seen["operator"] is not None)

    def choose(self, order: str) -> None:
        self.scan(f"ORDER:{order}", lambda seen: seen["order"] == order)

    def acknowledge(self, badge: str = LEAD_BADGE) -> None:
        """A lead holds the badge before a stopped line."""
        self.scan(badge, lambda seen: not seen["stopped"])

    def insert(self, uid: str, position: int = 0) -> None:
        """Put a board on the fixture; whatever lay there is taken off."""
        self.remove(position)
        self.fixtures[position].ask(do="insert", uid=uid)

    def swap_bench(self, position: int, module: str, *words: str) -> None:
        """Put another virtual bench, started as this module, in a position's place."""
        self._benches[position].close()
        self._benches[position] = start_bench(self._places[position], f"fixture-{position + 1}", module, *words)

    def remove(self, position: int = 0) -> None:
        """Take off whatever lies on the fixture."""
        if self.fixtures[position].ask(do="boards")["inserted"] is not None:
            self.fixtures[position].ask(do="remove")

    def press(self) -> None:
        """Press the button, without waiting for anything."""
        self.hands.ask(do="press", hold_ms=120)

    def press_and_look(self) -> str:
        """Press, and wait only until the panel has made a press of it; its id."""
        before = self.presses()
        self.press()
        self._wait(lambda: self.presses() > before)
        return self.last_press()

    def press_and_wait(self, *, timeout_s: float = 120.0, watch: Callable[[str], None] = lambda _line: None) -> Outcome:
        """Press, wait until the unit's end is shown, and say what came of it. `watch` gets each new line of text."""
        before = self.presses()
        self.press()
        return self.wait_outcome(before, timeout_s=timeout_s, watch=watch)

    def wait_outcome(
        self, before: int, *, timeout_s: float = 120.0, watch: Callable[[str], None] = lambda _line: None
    ) -> Outcome:
        """Wait for the end of the press after the first `before` ones."""
        deadline = time.monotonic() + timeout_s
        shown = ""
        while True:
            seen = self.look()
            if seen["text"] != shown:
                shown = str(seen["text"])
                watch(shown)
            if seen["presses"] > before and seen["pattern"] not in _BUSY:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the panel still shows {seen}; line: {self.supervisor.journal('line')[-1500:]}")
            time.sleep(0.02)
        return self.outcome(self.last_press(), seen)

    def _wait(self, there: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not there():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the panel shows {self.look()}")
            time.sleep(0.02)

    def outcome(self, press: str, seen: Mapping[str, Any]) -> Outcome:
        with Client("recorder", self.supervisor.run / "recorder.sock") as recorder:
            told = recorder.call("PressOutcome", press=press)
        return Outcome(
            press=press,
            verdict=told["verdict"],
            code=told["code"],
            index=told["index"],
            label=told["label"],
            journalled=told["journalled"],
            pattern=seen["pattern"],
            text=seen["text"],
        )

    def gang(self) -> list[Outcome]:
        """What came of each press of the last act of the button, by position."""
        seen = self.look()
        return [self.outcome(one["press"], one) for one in seen["positions"]]

    def presses(self) -> int:
        return int(self.look()["presses"])

    def last_press(self) -> str:
        """The id of the newest press in the panel's journal."""
        return newest_press(self.supervisor.state("panel"))

    def close(self) -> None:
        self._open.close()

    def _close_benches(self) -> None:
        for bench in self._benches:
            bench.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def start_bench(place: Path, name: str, module: str = "hil.virtual_nucleo.server", *words: str) -> Daemon:
    """A virtual bench of this name, with its doors and its drawer in a directory of its own."""
    place.mkdir(exist_ok=True)
    group = ["--gid", str(uid_of("line"))] if separate_users() else []
    doors = ["--socket", os.fspath(place / "probe.sock"), "--control", os.fspath(place / "control.sock")]
    doors += ["--wire", os.fspath(place / "wire.sock")]
    boards = ["--drawer", os.fspath(place / "drawer"), "--name", name, "--mode", "0660", *group]
    bench = Daemon(place, "bench", [sys.executable, "-m", module, *words, *doors, *boards])
    bench.wait_for(lambda: listens(place / "control.sock"))
    return bench


def newest_press(state: Path) -> str:
    """The id of the newest press record in a panel's state directory; of a gang, the last position's."""
    records = [strict_json.decode(record) for record in durable.read_journal(state / "presses.journal")]
    acts = [record for record in records if isinstance(record, dict) and record["at"] in {"press", "gang"}]
    newest = acts[-1]["record"] if acts[-1]["at"] == "press" else acts[-1]["records"][-1]
    return str(newest["press"])


def prepare(
    folder: Path,
    orders: Sequence[WorkOrder],
    *,
    benches: int = 1,
    firmware: Path | None = None,
    scan: str = "optional",
    own_pins: bool = False,
    settings: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda _text: None,
) -> None:
    """The site, its first release, the station's token and site directory: everything before the first start."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for name, role in (("staged", "intake"), ("evidence", None), ("evidence/log", "recorder"), ("hands", "panel")):
        path = folder / name
        path.mkdir()
        path.chmod(0o755)
        if role and separate_users():
            os.chown(path, uid_of(role), uid_of(role))
    say("the station's token makes its keys; they never leave it")
    keys = _enrol_token(folder / "token")
    say("the site's root ceremony: three approvers with tokens of their own, of whom two must agree")
    say("two approvers sign the release, each alone, with a ticket; the desk promotes it")
    path = firmware or FIRMWARE / f"proofline-demo-{VERSION}-small.hex"
    wish = Wish(
        orders=tuple(orders),
        firmware=os.fspath(path),
        settings=dict(settings or {}),
        keys=tuple(keys),
        probes=tuple(f"{'gpioswd' if own_pins else 'vnucleo'}:fixture-{number}" for number in range(1, benches + 1)),
        pins=_pin_sets(folder, benches) if own_pins else (),
        scan=scan,
    )
    open_office(folder / "office", wish)
    place = folder / "site"
    place.mkdir()
    (place / "root.json").write_bytes(Desk(folder / "office" / "desk").pinned_root)
    (place / "station.json").write_text(json.dumps({"schema": 1, "station": STATION, "site": SITE}))
    panel: dict[str, Any] = {"schema": 1, "pins": PINS, "scanner": os.fspath(folder / "hands" / "scanner")}
    if benches > 1:
        panel["pins"] = {**PINS, "positions": POSITION_PINS[:benches]}
    (folder / "hands" / "panel.json").write_text(json.dumps(panel))


def _pin_sets(folder: Path, benches: int) -> tuple[dict[str, Any], ...]:
    """The pins of each fixture: a virtual wire."""
    return tuple(
        {"name": f"fixture-{number}", "backend": {"kind": "socket", "path": os.fspath(place / "wire.sock")}}
        for number, place in enumerate(_bench_places(folder, benches), 1)
    )


def _bench_places(folder: Path, count: int) -> list[Path]:
    return [folder / ("bench" if number == 1 else f"bench-{number}") for number in range(1, count + 1)]


def _enrol_token(place: Path) -> list[dict[str, str]]:
    """A token of the station's own and its keys, made by the signer's user; their public halves."""
    place.mkdir()
    conf = write_softhsm_conf(place)
    make_token(conf, STATION)
    (place / "pin").write_text(PIN)
    config = {
        "schema": 1,
        "module": MODULE,
        "token": {"label": STATION},
        "pin_file": os.fspath(place / "pin"),
        "keys": {"manifest": {"label": "manifest"}, "checkpoint": {"label": "checkpoint"}},
    }
    (place / "token.json").write_text(json.dumps(config))
    made = subprocess.run(
        [sys.executable, "-m", "appliance.custody.provision", os.fspath(place / "token.json")],
        env={**os.environ, "SOFTHSM2_CONF": os.fspath(conf)},
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    if separate_users():
        for path in (place, *place.rglob("*")):
            os.chown(path, uid_of("signer"), uid_of("signer"))
    place.chmod(0o700)
    keys: list[dict[str, str]] = json.loads(made.stdout)
    return keys

"""The panel as a service: hands and eyes of the station.

- A press is durable before the line hears of it; it is handed out until the line finishes it. In a gang fixture one
  touch of the button makes a press for each position; they end one by one, and are shown together.
- Green only for a press whose `pass` the recorder itself calls durable, asked at that moment. Otherwise the line is
  told no, and the panel shows a fault until the line says something that holds.
- Why a station has no site is known before anybody else is up, and is what a press is told first.
- A line that is silent for longer than the heartbeat allows is shown as a fault by the panel alone. A press is refused
  meanwhile: it must not start a board that is put in much later.
- Scans and presses are handled one after another, in the order in which they happened.
- A lead's acknowledgement is in the recorder's journal before the line is released.

Verbs: NextPress, Progress, Finish (line); DescribePress (signer, recorder); Describe (everybody).
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from appliance.errors import ProoflineError
from appliance.ipc import Caller, Client
from appliance.ipc.errors import IpcError
from appliance.panel.config import Config
from appliance.panel.errors import LineSilent, PassUnproven, PressUnknown, StillWorking
from appliance.panel.face import WAITING, Closed, Outcome, View, choose
from appliance.panel.gang import Place, combined, progress, signs
from appliance.panel.lights import LAMPS, Pattern, rhythm
from appliance.panel.press import Owed, Press, PressBook, new_id
from appliance.panel.session import Session, Site, Time, current, pressed, scanned
from appliance.station import monotonic_ms
from appliance.verify.site_times import Interval, parse_time

ACCESS: dict[str, frozenset[str]] = {
    "NextPress": frozenset({"line"}),
    "Progress": frozenset({"line"}),
    "Finish": frozenset({"line"}),
    "DescribePress": frozenset({"signer", "recorder"}),
    "Describe": frozenset(
        {"clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "update", "ops"}
    ),
}

MAX_WAIT_MS = 2_000
_MAX_HANDS = 64
_NOTICE_MS = 15_000
_WATCH_S = 0.25
_FOLLOW_S = 1.0
_STARTING_MS = 60_000
"""So long after the panel's own start whoever never answered is taken to be starting, too; then its gate is closed."""


class Lamps(Protocol):
    """What the panel shows with; `appliance.panel.pins.Pins` is one."""

    def show(self, pattern: Pattern, positions: Sequence[Pattern] = ()) -> None: ...

    def chirp(self) -> None: ...


class SiteSource(Protocol):
    """Where the verified, staged site comes from. `site` raises a ProoflineError while there is none."""

    def site(self) -> Site: ...


class Panel:
    """The panel's state and verbs. Its threads are `hands`, `watch` and `follow` (see `__main__`)."""

    def __init__(
        self,
        config: Config,
        book: PressBook,
        source: SiteSource,
        *,
        recorder: Client,
        signer: Client,
        clock: Client,
        unsited: ProoflineError | None = None,
    ) -> None:
        self.lamps: Lamps | None = None
        self._config = config
        self._book = book
        self._source = source
        self._recorder = recorder
        self._signer = signer
        self._clock = clock
        self._unsited = None if unsited is None else Closed(unsited.code, unsited.operator, unsited.action)
        self._hands: queue.Queue[str | None] = queue.Queue(_MAX_HANDS)
        self._lock = threading.Condition()
        self._session = Session()
        self._started_ms = self._heard_ms = monotonic_ms()
        self._ever_heard = False
        self._steps: dict[str, tuple[str, int]] = {}
        self._ends: dict[str, Outcome] = {}
        self._outcome: Outcome | None = None
        self._outcome_ms = 0
        self._signs: tuple[Pattern, ...] = ()
        self._faults: dict[str, str] = {}
        self._closed: tuple[Closed, ...] | None = None
        self._answered: set[str] = set()
        self._notice, self._notice_ms = "", 0

    # What the line and the others ask.

    def next_press(self, caller: Caller, wait_ms: int) -> dict[str, Any]:
        del caller
        deadline_ms = monotonic_ms() + min(max(wait_ms, 0), MAX_WAIT_MS)
        with self._lock:
            self._hear()
            while not (gang := self._book.gang):
                left_ms = deadline_ms - monotonic_ms()
                if left_ms <= 0:
                    break
                self._lock.wait(left_ms / 1000)
            self._hear()
            stopped = self._book.stopped_by is not None
        asked = [_asked(press) for press in gang]
        return {"press": asked[0] if asked else None, "gang": asked, "stopped": stopped}

    def progress(self, caller: Caller, press: str | None, stage: str, permille: int) -> dict[str, Any]:
        del caller
        with self._lock:
            self._hear()
            if any(working.press == press for working in self._book.gang):
                self._steps[str(press)] = stage[:40], min(max(permille, 0), 1000)
            self._show()
        return {}

    def finish(
        self, caller: Caller, *, press: str, verdict: str, refusal: dict[str, Any] | None, stop: bool, recovered: bool
    ) -> dict[str, Any]:
        del caller
        with self._lock:
            self._hear()
            known = self._book.find(press)
            if known is None:
                raise PressUnknown(press=press)
            if known.verdict is not None:
                self._book.finish(press, verdict, stop=stop)
                return {}
        if verdict == "pass":
            self._require_proof(press)
        with self._lock:
            if self._book.finish(press, verdict, stop=stop):
                text = "" if refusal is None else f"{refusal['operator']} ({refusal['code']})"
                if recovered:
                    text = f"{text} It was found unfinished after a restart; it ended as {verdict}.".strip()
                self._ends[press] = Outcome(verdict, text, recovered, ago_ms=0)
                if self._book.unfinished is None:
                    self._end(self._ends[press] if known.position is None else combined(self._outcomes()))
            self._faults.pop(press, None)
            self._show()
        return {}

    def describe_press(self, caller: Caller, press: str) -> dict[str, Any]:
        del caller
        with self._lock:
            known = self._book.find(press)
        if known is None:
            return {"press": None}
        record = known.document()
        del record["schema"]
        return {"press": {**record, "digest": known.digest(), "finished": known.verdict is not None}}

    def describe(self, caller: Caller) -> dict[str, Any]:
        del caller
        with self._lock:
            pattern, text = self._show()
            person = self._session.person
            return {
                "operator": None if person is None else person.id,
                "order": self._session.order,
                "pattern": pattern.name,
                "lights": {lamp: rhythm(getattr(pattern, lamp)) for lamp in LAMPS},
                "text": text,
                "stopped": self._book.stopped_by is not None,
                "presses": self._book.count,
                "positions": self._positions(),
            }

    # What a person does.

    def on_press(self) -> None:
        """The button was pressed. Returns at once; a press that finds 64 acts waiting is one that nobody can mean."""
        self._put(None)

    def on_scan(self, text: str) -> None:
        """The scanner read a line. Returns at once."""
        self._put(text)

    def hands(self, stopping: threading.Event) -> None:
        """Handle scans and presses in their order, until told to stop."""
        while not stopping.is_set():
            try:
                act = self._hands.get(timeout=0.5)
            except queue.Empty:
                continue
            if act is None:
                self._press()
            else:
                self._scan(act)

    def _put(self, act: str | None) -> None:
        try:
            self._hands.put_nowait(act)
        except queue.Full:
            self._chirp()

    def _press(self) -> None:
        now_ms = monotonic_ms()
        with self._lock:
            who = self._session.person
            try:
                if (last := self._book.unfinished) is not None:
                    raise StillWorking(unfinished=last.press)
                site = self._source.site()
                if self._silent(now_ms):
                    raise LineSilent(silent_ms=now_ms - self._heard_ms)
                draft, session = pressed(self._session, site, now_ms)
                if draft.labels:
                    self._book.open_gang(draft)
                else:
                    self._book.open(draft)
            except ProoflineError as refusal:
                self._book.owe(Owed(new_id(), None if who is None else who.id, refusal.as_record()))
                if self._book.unfinished is None:
                    self._end(Outcome("refused", f"{refusal.operator} ({refusal.code})", recovered=False, ago_ms=0))
                else:
                    self._say(f"{refusal.operator} ({refusal.code})")
                self._chirp()
            else:
                self._session = session
                self._outcome, self._notice = None, ""
                for about in (self._steps, self._ends, self._faults):
                    about.clear()
                self._lock.notify_all()
            self._show()

    def _scan(self, text: str) -> None:
        time = self._time()
        try:
            site = self._source.site()
            with self._lock:
                session, stopped_by = self._session, self._book.stopped_by
            heard = scanned(session, site, text, time=time, now_ms=monotonic_ms(), stopped_by=stopped_by)
            if heard.acknowledged_by is not None:
                self._recorder.call(
                    "JournalRefusal", kind="line_restart", press=stopped_by, operator=heard.acknowledged_by
                )
        except ProoflineError as refusal:
            with self._lock:
                self._say(f"{refusal.operator} ({refusal.code})")
                self._chirp()
                self._show()
            return
        with self._lock:
            if heard.acknowledged_by is not None:
                self._book.restart(heard.acknowledged_by)
            self._session, self._outcome = heard.session, None
            self._say(heard.text)
            self._show()

    # What the panel looks after by itself.

    def watch(self, stopping: threading.Event) -> None:
        """Keep what is shown true as time passes: heartbeat, notices, a pass that has been shown long enough."""
        while not stopping.wait(_WATCH_S):
            with self._lock:
                self._show()

    def follow(self, stopping: threading.Event) -> None:
        """Follow the gates and the session, and hand owed refusals to the recorder. Others may keep this waiting."""
        while not stopping.is_set():
            closed = self._ask_gates()
            self._pay()
            with self._lock:
                self._closed = closed if closed is not None else self._closed
            stopping.wait(_FOLLOW_S)

    def _ask_gates(self) -> tuple[Closed, ...] | None:
        """The gates that are closed; None as long as somebody who answers for one is still starting."""
        closed: list[Closed] = []
        starting = False
        for client in (self._signer, self._recorder):
            try:
                reply = client.call("Gates", press=None)
                closed += [Closed(one["code"], one["operator"], one["action"]) for one in reply["closed"]]
            except IpcError as error:
                early = monotonic_ms() - self._started_ms < _STARTING_MS
                starting = starting or (early and client.role not in self._answered)
                closed.append(Closed(error.code, error.operator, error.action, service=client.role))
            except ProoflineError as error:
                closed.append(Closed(error.code, error.operator, error.action))
                self._answered.add(client.role)
            else:
                self._answered.add(client.role)
        try:
            site = self._source.site()
        except ProoflineError as error:
            closed.append(Closed(error.code, error.operator, error.action))
        else:
            with self._lock:
                self._session = current(self._session, site, monotonic_ms())
        return None if starting else tuple(closed)

    def _pay(self) -> None:
        with self._lock:
            owed = self._book.owed
        for one in owed:
            try:
                if not self._recorder.call("PressOutcome", press=one.press)["journalled"]:
                    self._recorder.call(
                        "JournalRefusal", kind="refusal", press=one.press, operator=one.operator, refusal=one.refusal
                    )
            except ProoflineError:
                return  # it stays owed; the gates show what is the matter with the recorder
            with self._lock:
                self._book.paid(one.press)

    def _require_proof(self, press: str) -> None:
        try:
            outcome = self._recorder.call("PressOutcome", press=press)
            found = outcome["verdict"] or "nothing"
            proven = outcome["verdict"] == "pass" and outcome["index"] is not None
        except ProoflineError as error:
            found, proven = f"nothing: {error}", False
        if proven:
            return
        refusal = PassUnproven(press=press, verdict=found)
        with self._lock:
            self._faults[press] = f"{refusal.operator} ({refusal.code})"
            self._show()
        raise refusal

    def _time(self) -> Time:
        try:
            verdict = self._clock.call("Read")["verdict"]
        except ProoflineError as error:
            return Time(None, why=error.engineer_sentence())
        earliest, latest = parse_time(verdict.get("earliest") or ""), parse_time(verdict.get("latest") or "")
        if earliest is None or latest is None:
            return Time(None, why=f"its status is {verdict['status']}")
        return Time(Interval(earliest, latest))

    # Under the lock.

    def _hear(self) -> None:
        self._heard_ms = monotonic_ms()
        self._ever_heard = True

    def _silent(self, now_ms: int) -> bool:
        return not self._ever_heard or now_ms - self._heard_ms > self._config.heartbeat_ms

    def _end(self, outcome: Outcome) -> None:
        self._outcome, self._outcome_ms = outcome, monotonic_ms()
        self._notice = ""

    def _say(self, notice: str) -> None:
        self._notice, self._notice_ms = notice, monotonic_ms()

    def _chirp(self) -> None:
        if self.lamps is not None:
            self.lamps.chirp()

    def _show(self) -> tuple[Pattern, str]:
        now_ms = monotonic_ms()
        if now_ms - self._notice_ms > _NOTICE_MS:
            self._notice = ""
        outcome = self._outcome
        if outcome is not None:
            outcome = replace(outcome, ago_ms=now_ms - self._outcome_ms)
        steps = [self._steps.get(press.press, ("starting", 0)) for press in self._book.gang]
        waiting = all(stage == WAITING for stage, _permille in steps)
        stage, permille = next((step for step in steps if waiting or step[0] != WAITING), ("", 0))
        pattern, text = choose(
            View(
                heard=self._ever_heard or now_ms - self._started_ms > _STARTING_MS,
                silent=self._silent(now_ms),
                stopped=self._book.stopped_by is not None,
                fault=next(iter(self._faults.values()), ""),
                working=bool(steps),
                stage=stage,
                permille=permille,
                outcome=outcome,
                closed=self._closed or (),
                asked=self._closed is not None,
                unsited=self._unsited,
                signed_in=self._session.person is not None,
                order=self._session.order is not None,
                notice=self._notice,
                pass_ms=self._config.pass_ms,
                progress=progress(self._places()),
            )
        )
        self._signs = signs(outcome, shown=pattern, pass_ms=self._config.pass_ms)
        if self.lamps is not None:
            self.lamps.show(pattern, self._signs)
        return pattern, text

    def _places(self) -> list[Place]:
        """The positions of the gang that was worked on last; none where the fixture is a single one."""
        return [
            Place(*self._steps.get(press.press, ("starting", 0)), self._ended(press))
            for press in self._book.act
            if press.position is not None
        ]

    def _outcomes(self) -> list[Outcome]:
        return [outcome for place in self._places() if (outcome := place.outcome) is not None]

    def _ended(self, press: Press) -> Outcome | None:
        """How a press of the last act ended. One that ended before the panel was started has nobody who watched it."""
        if press.verdict is None:
            return None
        text = "It ended before the panel was started again."
        return self._ends.get(press.press, Outcome(press.verdict, text, recovered=True, ago_ms=0))

    def _positions(self) -> list[dict[str, Any]]:
        """The last act's positions as `Describe` tells them."""
        return [
            {
                "position": press.position,
                "press": press.press,
                "verdict": press.verdict,
                "stage": place.stage,
                "permille": place.permille,
                "pattern": self._signs[at].name if self._signs else "dark",
                "text": "" if place.outcome is None else place.outcome.text,
            }
            for at, (press, place) in enumerate(zip(self._book.act, self._places()))
        ]


def _asked(press: Press) -> dict[str, Any]:
    """What the line hears of a press."""
    return {
        "press": press.press,
        "order": press.order,
        "event": press.event,
        "label": press.label,
        "position": press.position,
    }

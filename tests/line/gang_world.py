"""The small world around the line with a gang fixture: N boards, each with a thread of the line to itself.

- A point is counted per thread (`unit-0`, `unit-1`, ... as `appliance.line.crew` names them), so a plan of faults says
  (place, number) whichever thread the machine runs first.
- A crash is one of the whole process: every other thread dies at its own next point.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from appliance.ipc import Caller
from appliance.line.plan import Plan
from appliance.panel.session import Draft
from appliance.target.errors import TargetSilent
from tests.line.world import DEVICE, BoardStandIn, Crash, World

ALONE = -1
"""The place of the line's own thread."""


class GangWorld(World):
    """`World`, with `positions` boards. `plan`: faults at (place, number of the point there)."""

    def __init__(self, folder: Path, positions: int = 4, plan: Mapping[tuple[int, int], str] | None = None) -> None:
        self.positions = positions
        self.plan = dict(plan or {})
        self.passed: dict[int, list[str]] = {}
        self.uids = [f"0011223344556677{position:08x}" for position in range(positions)]
        self.empty: set[int] = set()
        self.bad: set[int] = set()
        self.gang: list[str] = []
        self._here = threading.local()
        self._contents = [b""] * positions
        self._dead = False
        self._position_of: dict[str, int] = {}
        super().__init__(folder)
        append = self.recorder.append

        def placed(caller: Caller, envelope: str) -> dict[str, Any]:
            """What lies in the flash is asked of the press's own board, whichever thread brings the manifest."""
            self._here.position = self._position_of.get(json.loads(envelope)["press"], 0)
            return append(caller, envelope=envelope)

        self.recorder.append = placed  # type: ignore[method-assign]
        self.rewire()

    def act(self, event: str = "provision") -> list[str]:
        """The button: the presses that it made."""
        self.event = event
        draft = Draft("olga", "WO-1", event, None, (None,) * self.positions)
        self.gang = [press.press for press in self.book.open_gang(draft)]
        for position, press in enumerate(self.gang):
            self._position_of[press] = position
            self.say(pressed=press)
        return self.gang

    @property
    def position(self) -> int:
        """Whose board the thread that asks has."""
        return int(getattr(self._here, "position", 0))

    @property
    def now(self) -> str:
        return self.gang[self.position] if self.gang else ""

    @now.setter
    def now(self, press: str) -> None:
        del press

    @property
    def content(self) -> bytes:
        return self._contents[self.position]

    @content.setter
    def content(self, content: bytes) -> None:
        self._contents[self.position] = content

    @property
    def bad_flash(self) -> bool:
        return self.position in self.bad

    @bad_flash.setter
    def bad_flash(self, bad: bool) -> None:
        del bad

    def live(self, turns: int = 1) -> None:
        while turns:
            try:
                if self.line is None:
                    self._dead = False
                    self.start()._recover()
                assert self.line is not None
                self.line._turn()
                turns -= 1
            except Crash:
                self.crashes += 1
                self.line = None

    def _point(self, name: str) -> str:
        if self._dead:
            raise Crash(name)
        thread = threading.current_thread().name
        place = int(thread.removeprefix("unit-")) if thread.startswith("unit-") else ALONE
        here = self.passed.setdefault(place, [])
        fault = self.plan.get((place, len(here)), "")
        here.append(name)
        if fault == "crash":
            self._dead = True
            raise Crash(name)
        if fault == "closed":
            self._signer_shut = 4
        return fault

    def _plan(self, order: str, event: str) -> Plan:
        return replace(super()._plan(order, event), gang=tuple(f"virtual:{n}" for n in range(self.positions)))

    @contextmanager
    def _bench(self, plan: Plan, cancel: threading.Event) -> Iterator[BoardStandIn]:
        del cancel
        self._here.position = int(plan.probe.removeprefix("virtual:"))
        self.board_point("open", TargetSilent(stage="connect", reason="planned"))
        if self.position in self.empty:
            raise TargetSilent(stage="connect", reason="no board")
        yield _Placed(self, self.uids[self.position])


class _Placed(BoardStandIn):
    """A board with a unique id of its own."""

    def __init__(self, world: GangWorld, uid: str) -> None:
        super().__init__(world)
        self._uid = uid

    def identify(self) -> dict[str, Any]:
        return {**super().identify(), "part": DEVICE["part"], "uid": self._uid}

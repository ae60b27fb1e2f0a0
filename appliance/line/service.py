"""The line as a service: one press, or one gang of them, after another; each worked on once and brought to one end.

- It takes no orders: `panel.NextPress` is the only way to start anything, `Describe` the only verb.
- The presses of a gang are worked on at once, one thread each. The next act of the button is asked for when the last of
  them has ended; a stop that one of them caused counts from then on.
- At its start, unfinished presses are brought to their ends first (`recovery`), each on its own; one that was waiting
  when the line started is not begun, because nobody knows which board is in the fixture by now.
- When it is idle it hands over what it owes and has journalled refusals signed.
- SIGTERM cancels what the probe is doing and ends the process; the next start finds the journal.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from appliance.errors import ProoflineError
from appliance.ipc import Caller
from appliance.ipc.errors import IpcError
from appliance.line.conclude import Conclusion
from appliance.line.crew import Once, together
from appliance.line.cycle import Cycle
from appliance.line.journal import OpenUnit
from appliance.line.peers import Stopping
from appliance.line.recovery import Known, resolve
from appliance.line.unit import Shop, Unit

log = logging.getLogger("proofline.line")

ACCESS: dict[str, frozenset[str]] = {
    "Describe": frozenset(
        {"clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "update", "ops"}
    )
}

_POLL_MS = 1_000


class Line:
    """The loop and its one verb."""

    def __init__(self, shop: Shop, prepared: Callable[[], bool] = lambda: True) -> None:
        self._shop = shop
        self._prepared = prepared
        self._stopped = False
        self._asked = threading.Event()

    @property
    def up(self) -> threading.Event:
        """Set once the panel has answered for the first time."""
        return self._asked

    def describe(self, caller: Caller) -> dict[str, Any]:
        del caller
        beats = self._shop.pulse.now()
        first = beats[0]
        waiting = all(beat.press is None or beat.stage == "waiting" for beat in beats)
        state = first.stage if waiting else "working"
        if state == "idle" and not self._prepared():
            state = "preparing"
        return {
            "state": "stopped" if self._stopped else state,
            "press": first.press,
            "stage": first.stage,
            "permille": first.permille,
            "gang": [asdict(beat) for beat in beats if beat.press is not None],
            "units": self._shop.journal.units,
        }

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop."""
        try:
            self._recover()
            while not stopping.is_set():
                self._turn()
        except Stopping:
            return

    def _turn(self) -> None:
        shop = self._shop
        shop.pulse.at(None, "idle")
        if shop.journal.owed:
            shop.peers.pay(shop.journal)
        if shop.journal.full:
            shop.peers.pause()  # no press may be taken that could not be remembered
            return
        gang = self._ask(_POLL_MS)
        if not gang:
            shop.peers.commit()
            return
        shop.journal.taken(*(press["press"] for press in gang))
        shared = replace(shop, planner=Once(shop.planner))
        together([partial(self._work, shared, press) for press in gang])

    def _work(self, shop: Shop, press: dict[str, Any]) -> None:
        """One press, from its board to its end. Several threads may be here."""
        unit = Unit(shop, press, line_stopped=self._stopped)
        observations = unit.work()
        Conclusion(shop, unit.press, unit.cycle, observations, signing=unit.signing, recovered=False).run()
        log.info("press %s: %s%s", unit.press, unit.cycle.verdict, _why(unit.cycle))

    def _ask(self, wait_ms: int) -> list[dict[str, Any]]:
        """The presses to work on, if there are any."""
        try:
            reply = self._shop.peers.panel.call("NextPress", wait_ms=wait_ms)
        except IpcError:
            self._shop.peers.pause()
            return []
        self._asked.set()
        self._stopped = reply["stopped"]
        gang: list[dict[str, Any]] = reply["gang"] or []
        return gang

    def _recover(self) -> None:
        shop, waiting = self._shop, []
        if left := shop.journal.open:
            together([partial(self._resolve, unit) for unit in left])
        while not self._asked.is_set():
            waiting = [press["press"] for press in self._ask(0)]
        if waiting:
            shop.journal.taken(*waiting)
            together([partial(self._resolve, OpenUnit(press, "taken")) for press in waiting])

    def _resolve(self, unit: OpenUnit) -> None:
        shop = self._shop
        shop.pulse.at(unit.press, "recovering")
        outcome = shop.peers.outcome(unit.press)
        owed = any(one.press == unit.press and one.kind == "refusal" for one in shop.journal.owed)
        known = Known(
            logged=outcome["verdict"],
            journalled=outcome["journalled"] or owed,
            reserved=shop.peers.has_reservation(unit.press),
        )
        cycle, observations = resolve(unit, known)
        Conclusion(shop, unit.press, cycle, observations, signing=True, recovered=True).run()
        log.warning("press %s was found at %s: %s%s", unit.press, unit.furthest, cycle.verdict, _why(cycle))


def _why(cycle: Cycle) -> str:
    refusal: ProoflineError | None = cycle.refusal
    return "" if refusal is None else f" ({refusal})"

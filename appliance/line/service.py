"""The line as a service: one press after another, each worked on once and brought to one end.

- It takes no orders: `panel.NextPress` is the only way to start anything, `Describe` the only verb.
- At its start, an unfinished press is brought to its end first (`recovery`); a press that was waiting when the line
  started is not begun, because nobody knows which board is in the fixture by now.
- When it is idle it hands over what it owes and has journalled refusals signed.
- SIGTERM cancels what the probe is doing and ends the process; the next start finds the journal.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from appliance.errors import ProoflineError
from appliance.ipc import Caller
from appliance.ipc.errors import IpcError
from appliance.line.conclude import Conclusion
from appliance.line.cycle import Cycle
from appliance.line.journal import OpenUnit
from appliance.line.peers import Stopping
from appliance.line.recovery import Known, resolve
from appliance.line.unit import Shop, Unit

log = logging.getLogger("proofline.line")

ACCESS: dict[str, frozenset[str]] = {
    "Describe": frozenset(
        {"clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "ops"}
    )
}

_POLL_MS = 1_000


class Line:
    """The loop and its one verb."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._stopped = False
        self._asked = False

    def describe(self, caller: Caller) -> dict[str, Any]:
        del caller
        press, stage, permille = self._shop.pulse.now()
        state = stage if press is None or stage == "waiting" else "working"
        return {
            "state": "stopped" if self._stopped else state,
            "press": press,
            "stage": stage,
            "permille": permille,
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
        press = self._ask(_POLL_MS)
        if press is None:
            shop.peers.commit()
            return
        shop.journal.taken(press["press"])
        unit = Unit(shop, press, line_stopped=self._stopped)
        observations = unit.work()
        Conclusion(shop, unit.press, unit.cycle, observations, signing=unit.signing, recovered=False).run()
        log.info("press %s: %s%s", unit.press, unit.cycle.verdict, _why(unit.cycle))

    def _ask(self, wait_ms: int) -> dict[str, Any] | None:
        """The press to work on, if there is one."""
        try:
            reply = self._shop.peers.panel.call("NextPress", wait_ms=wait_ms)
        except IpcError:
            self._shop.peers.pause()
            return None
        self._asked = True
        self._stopped = reply["stopped"]
        press: dict[str, Any] | None = reply.get("press")
        return press

    def _recover(self) -> None:
        shop, waiting = self._shop, None
        if (unit := shop.journal.unit) is not None:
            self._resolve(unit)
        while not self._asked:
            waiting = self._ask(0)
        if waiting is not None:
            shop.journal.taken(waiting["press"])
            self._resolve(OpenUnit(waiting["press"], "taken"))

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

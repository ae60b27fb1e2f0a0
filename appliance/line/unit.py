"""Working on one unit, from the press to what was observed: the cycle's order, intent journalled before each effect.

- Nothing here decides a verdict (`cycle`), touches silicon (`bench`) or makes evidence (`conclude`).
- Every refusal, whichever room it comes from, ends the work and becomes the observation's refusal. Anything else is a
  defect: it is not caught, the process ends, and recovery finds the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import ProoflineError
from appliance.ipc.errors import CallInterrupted, ServiceUnavailable
from appliance.line.bench import Bench, Board, kind_of
from appliance.line.cycle import Cycle, Kind
from appliance.line.errors import FlashNotAsApproved, LineStopped, UnitReturned, UnitScrapped
from appliance.line.journal import UnitJournal
from appliance.line.peers import Peers, Stopping, as_wire
from appliance.line.plan import Plan
from appliance.line.pulse import Pulse
from appliance.line.recovery import NO_PROBE

STOPPING_CODES = frozenset({"PL-REC-021", "PL-REC-022", "PL-REC-041", "PL-REC-043"})
"""The recorder's refusals that stop the line: a device twice (passed before, or now at another position of the gang), a
label of another device, a label twice."""

_RECORDED: dict[str, type[ProoflineError]] = {"return": UnitReturned, "scrap": UnitScrapped}

Planner = Callable[[str, str], Plan]
"""(order, event) -> the verified plan, or a refusal."""


@dataclass
class Seen:
    """What was observed of one unit so far."""

    probe: dict[str, Any] = field(default_factory=lambda: dict(NO_PROBE))
    device: dict[str, Any] | None = None
    measurement: dict[str, Any] | None = None
    stages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Shop:
    """What every unit is worked on with."""

    peers: Peers
    journal: UnitJournal
    pulse: Pulse
    bench: Bench
    planner: Planner


class Unit:
    """One press, worked on once."""

    def __init__(self, shop: Shop, press: dict[str, Any], *, line_stopped: bool) -> None:
        self.press: str = press["press"]
        self.cycle = Cycle()
        self.signing = True
        self._shop = shop
        self._order: str = press["order"]
        self._event: str = press["event"]
        self._position: int | None = press.get("position")
        self._line_stopped = line_stopped
        self._seen = Seen()

    def work(self) -> dict[str, Any]:
        """Work up to the evidence; the observations. The cycle is at `sign` then."""
        try:
            self._work()
        except ProoflineError as error:
            if self._shop.peers.stopping.is_set():
                raise Stopping from error  # cancelled by us: the next start finds the journal
            self.cycle.fail(kind_of(error), error, stop=error.code in STOPPING_CODES)
        return self.observations()

    def observations(self) -> dict[str, Any]:
        """What the signer is told."""
        refusal = self.cycle.refusal
        return {
            "verdict": self.cycle.verdict,
            "refusal": None if refusal is None else as_wire(refusal),
            "device": self._seen.device,
            "measurement": self._seen.measurement,
            "probe": self._seen.probe,
            "stages": self._seen.stages,
        }

    def _work(self) -> None:
        with self._timed("gates"):
            gates = self._shop.peers.gates(self.press)
            self.signing = gates.signing
            if self._line_stopped:
                raise LineStopped
            if gates.closed:
                raise gates.closed[0]
        with self._timed("release"):
            plan = self._shop.planner(self._order, self._event).at(self._position)
        self.cycle.begin(plan.route)
        self._seen.probe = plan.probe_record()
        with ExitStack() as held:
            with self._timed("connect"):
                board = held.enter_context(self._shop.bench(plan, self._shop.peers.stopping))
            self._handle(board)

    def _handle(self, board: Board) -> None:
        cycle, seen = self.cycle, self._seen
        with self._timed("identify"):
            seen.device = board.identify()
        cycle.identified()
        device = {"part": seen.device["part"], "uid": seen.device["uid"]}
        with self._timed("reserve"):
            erase_all = self._knows_device_as_unfinished(device)
            self._reserve(device)
        if (recorded := _RECORDED.get(self._event)) is not None:
            cycle.recorded(recorded())
            return
        self._shop.journal.program(self.press)
        cycle.touching()
        with self._timed("program"):
            board.program(self._progress("program"), erase_all=erase_all)
        cycle.programmed()
        with self._timed("measure"):
            seen.measurement, deviations = board.measure()
        if deviations:
            cycle.fail(Kind.FAILED, FlashNotAsApproved(why="; ".join(deviations)))
            return
        with self._timed("release-board"):
            board.run()
        cycle.measured()

    def _knows_device_as_unfinished(self, device: dict[str, Any]) -> bool:
        """Whether a device's last event left a flash that may read blank without being so."""
        if self._event == "provision":
            return False
        found = self._shop.peers.recorder.call("DescribeDevice", device=device)
        return found["known"] and found.get("verdict") != "pass"

    def _reserve(self, device: dict[str, Any]) -> None:
        assert self._seen.device is not None
        self._shop.journal.reserve(self.press, self._seen.device, self._seen.probe)
        self.cycle.reserving()
        try:
            self._shop.peers.recorder.call("Reserve", press=self.press, device=device)
        except ServiceUnavailable:
            self.cycle.not_reserved()  # it was never asked
            raise
        except ProoflineError as error:
            self._shop.pulse.at(self.press, "waiting")
            if not self._shop.peers.has_reservation(self.press):
                self.cycle.not_reserved()
                raise
            if not isinstance(error, CallInterrupted):
                raise
        self.cycle.reserved()

    def _progress(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self._shop.pulse.at(self.press, stage, done * 1000 // max(total, 1))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self._shop.pulse.at(self.press, name)
        begun_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self._seen.stages.append({"name": name, "us": (time.monotonic_ns() - begun_ns) // 1000})

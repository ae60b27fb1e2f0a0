"""The unit's cycle: which step may follow which, and what verdict follows from how it went. No I/O.

    cycle = Cycle()
    cycle.begin(route_of("provision"))       # ready -> identify
    cycle.identified(); cycle.reserving(); cycle.reserved()
    cycle.touching(); cycle.programmed()
    cycle.measured()                         # as approved: -> sign, with the verdict `pass`
    cycle.signed(); cycle.appended("pass")   # -> finish; only now is `green` true
    cycle.finished()

- The order is ready, identify, reserve, program, (identity), measure, (lock, power-cycle, attest, prove lock), sign,
  append, finish. A route leaves out what the product or the event does not ask for; the order never changes.
- A route without a measurement (return, scrap) ends as `refused`, with a refusal that says what was recorded.
- A device is reserved before its flash is touched, and its flash is touched once under one reservation.
- Whatever fails leads to `sign`, with a verdict by how far it came: before the flash was touched `aborted` where board
  or probe did not answer and `refused` otherwise; after that `fail` where programming or measurement said no, and
  `quarantined` where nobody can say. While programming, the programmer itself may vouch that nothing was touched.
- A press for which a reservation may exist ends with a manifest in the log; the unit waits for it. Any other press may
  end in the refusal journal instead (`unsigned`).
- The log's verdict is the verdict. Green is a `pass` that the log holds, nothing else.
- Evidence that is refused although every gate is open turns a pass into `quarantined`, signed as such; where that is
  refused too, the refusal journal has the last word.
- Every cycle ends in exactly one `finish`. A step out of order is a defect (`OutOfOrder`), not a refusal.
"""

from __future__ import annotations

from enum import Enum

from appliance.errors import ProoflineError


class Stage(Enum):
    """Where a unit is. The values are shown to people and written into manifests."""

    READY = "ready"
    IDENTIFY = "identify"
    RESERVE = "reserve"
    PROGRAM = "program"
    IDENTITY = "identity"
    MEASURE = "measure"
    LOCK = "lock"
    POWER_CYCLE = "power-cycle"
    ATTEST = "attest"
    PROVE_LOCK = "prove-lock"
    SIGN = "sign"
    APPEND = "append"
    JOURNAL = "journal"
    FINISH = "finish"
    DONE = "done"


_EVIDENCE = frozenset({Stage.SIGN, Stage.APPEND, Stage.JOURNAL, Stage.FINISH, Stage.DONE})


class Kind(Enum):
    """What a failure says about the board: a rule said no; board or probe did not answer; the flash did not take it;
    nobody knows."""

    POLICY = "policy"
    LINK = "link"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


class OutOfOrder(RuntimeError):
    """A step that the cycle does not allow now: a defect of whoever drives it."""


Route = tuple[Stage, ...]

_FULL: Route = (Stage.IDENTIFY, Stage.RESERVE, Stage.PROGRAM, Stage.MEASURE, Stage.SIGN)
_RECORD_ONLY: Route = (Stage.IDENTIFY, Stage.RESERVE, Stage.SIGN)
_ROUTES: dict[str, Route] = {
    "provision": _FULL,
    "rework": _FULL,
    "reflash": _FULL,
    "return": _RECORD_ONLY,
    "scrap": _RECORD_ONLY,
}


def route_of(event: str) -> Route:
    """The steps of an event. KeyError for an event that no document may name."""
    return _ROUTES[event]


class Cycle:
    """One unit. Facts go in through the verbs, what is to be done next comes out of `stage`."""

    def __init__(self) -> None:
        self.stage = Stage.READY
        self.verdict: str | None = None
        self.refusal: ProoflineError | None = None
        self.stop = False
        self.may_be_reserved = False
        self.touched = False
        self._route: Route = ()
        self._logged = False
        self._downgraded = False

    @classmethod
    def resumed(cls, verdict: str, refusal: ProoflineError | None, *, stop: bool, reserved: bool) -> Cycle:
        """A cycle found unfinished, at the point where only its evidence is missing."""
        cycle = cls()
        cycle.stage = Stage.SIGN
        cycle.verdict, cycle.refusal, cycle.stop, cycle.may_be_reserved = verdict, refusal, stop, reserved
        cycle.touched = reserved
        return cycle

    @property
    def green(self) -> bool:
        """Whether there is a proof that this unit passed."""
        return self._logged and self.verdict == "pass"

    def begin(self, route: Route) -> None:
        """The gates are open and the release is verified."""
        self._at(Stage.READY)
        self._route = route
        self.stage = route[0]

    def identified(self) -> None:
        self._next(Stage.IDENTIFY)

    def reserving(self) -> None:
        """The recorder is about to be asked: from now on a reservation may exist."""
        self._at(Stage.RESERVE)
        self.may_be_reserved = True

    def not_reserved(self) -> None:
        """The recorder said that no reservation exists for this press."""
        self._at(Stage.RESERVE)
        self.may_be_reserved = False

    def reserved(self) -> None:
        if not self.may_be_reserved:
            raise OutOfOrder("reserved without having asked")
        self._next(Stage.RESERVE)

    def touching(self) -> None:
        """The flash is about to be changed. Once."""
        self._at(Stage.PROGRAM)
        if self.touched or not self.may_be_reserved:
            raise OutOfOrder("the flash is touched once, under a reservation")
        self.touched = True

    def programmed(self) -> None:
        if not self.touched:
            raise OutOfOrder("programmed without having said so before")
        self._next(Stage.PROGRAM)

    def measured(self) -> None:
        """Everything is as approved; at the end of the route that is a pass."""
        self._next(Stage.MEASURE)
        if self.stage is Stage.SIGN:
            self.verdict = "pass"

    def recorded(self, refusal: ProoflineError) -> None:
        """The route ends with the reservation: the device is known, nothing was measured, so nothing passed."""
        self._at(Stage.SIGN)
        if self.verdict is not None:
            raise OutOfOrder("there is a verdict already")
        self.verdict, self.refusal = "refused", refusal

    def fail(self, kind: Kind, refusal: ProoflineError, *, stop: bool = False) -> None:
        """It ends here; the verdict follows from how far it came."""
        if self.stage in _EVIDENCE:
            raise OutOfOrder(f"a failure at {self.stage.value}")
        vouched = self.stage is Stage.PROGRAM and kind in (Kind.POLICY, Kind.LINK)
        if self.touched and not vouched:
            self.verdict = "fail" if kind is Kind.FAILED else "quarantined"
        else:
            self.verdict = "aborted" if kind is Kind.LINK else "refused"
        self.refusal, self.stop = refusal, stop
        self.stage = Stage.SIGN

    def signed(self) -> None:
        self._at(Stage.SIGN)
        self._require_verdict()
        self.stage = Stage.APPEND

    def appended(self, verdict: str) -> None:
        """The log holds this press's manifest, durably, with this verdict."""
        if self.stage not in (Stage.SIGN, Stage.APPEND):
            raise OutOfOrder(f"appended at {self.stage.value}")
        self.verdict = verdict
        self._logged = True
        self.stage = Stage.FINISH

    def unsigned(self) -> None:
        """No manifest can be made now. Allowed only where no reservation can exist."""
        self._require_verdict()
        if self.stage not in (Stage.SIGN, Stage.APPEND) or self.may_be_reserved:
            raise OutOfOrder("a reserved unit waits for its manifest")
        self.stage = Stage.JOURNAL

    def evidence_refused(self, refusal: ProoflineError) -> None:
        """Every gate is open and the evidence was refused all the same."""
        if self.stage not in (Stage.SIGN, Stage.APPEND):
            raise OutOfOrder(f"evidence refused at {self.stage.value}")
        if self.verdict == "pass" and self.stage is Stage.SIGN and not self._downgraded:
            self._downgraded = True
            self.verdict, self.refusal = "quarantined", refusal
            return
        if self.verdict == "pass":
            self.verdict, self.refusal = "quarantined", refusal
        self.stage = Stage.JOURNAL

    def journalled(self) -> None:
        """The refusal journal has, or durably will have, this press."""
        self._at(Stage.JOURNAL)
        self.stage = Stage.FINISH

    def finished(self) -> None:
        self._at(Stage.FINISH)
        self._require_verdict()
        self.stage = Stage.DONE

    def _require_verdict(self) -> None:
        if self.verdict is None:
            raise OutOfOrder("there is no verdict yet")

    def _at(self, stage: Stage) -> None:
        if self.stage is not stage:
            raise OutOfOrder(f"{stage.value} was reported at {self.stage.value}")

    def _next(self, stage: Stage) -> None:
        self._at(stage)
        self.stage = self._route[self._route.index(stage) + 1]

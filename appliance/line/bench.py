"""All that the line ever does to a board, behind one small door; and what each failure there says about the board."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from appliance.errors import ProoflineError
from appliance.intake.pins import pin_set_of
from appliance.line.cycle import Kind
from appliance.line.plan import Plan
from appliance.swd.probe import GpioSwdProbe
from appliance.target.errors import FlashRejected, FlashUncertain, LinkError, MeasurementError
from appliance.target.program import Erase
from appliance.target.session import Target, open_target, open_target_on


class Board(Protocol):
    """A board in the fixture, held halted. Records are as the signer's interface has them."""

    def identify(self) -> dict[str, Any]:
        """The device record. Reads only."""

    def program(self, progress: Callable[[int, int], None], *, erase_all: bool) -> None:
        """Make the flash hold the plan's image and nothing else."""

    def measure(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The measurement record of all of the flash, and a sentence for each deviation from the plan's ranges."""

    def run(self) -> None:
        """Let the board run from reset, without a debugger."""


Bench = Callable[[Plan, threading.Event], AbstractContextManager[Board]]
"""Opens the board that a plan is for; the event cancels what is under way."""


class TargetBoard:
    """A `Board` through `appliance.target`."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target = target
        self._plan = plan

    def identify(self) -> dict[str, Any]:
        return self._target.identify().as_record()

    def program(self, progress: Callable[[int, int], None], *, erase_all: bool) -> None:
        self._target.program(self._plan.image, progress, Erase.ALL if erase_all else Erase.NEEDED)

    def measure(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        found = self._target.measure(self._plan.ranges)
        record = {
            "method": found.method.replace("-", "_"),
            "ranges": [
                {"name": one.name, "start": one.start, "length": one.length, "sha256": one.sha256}
                for one in found.ranges
            ],
            "erased": [{"start": one.start, "length": one.length} for one in found.erased],
            "unerased": [{"start": one.start, "length": one.length} for one in found.unerased],
        }
        return record, found.deviations(self._plan.ranges)

    def run(self) -> None:
        self._target.release(run=True)


@contextmanager
def target_bench(plan: Plan, cancel: threading.Event) -> Iterator[Board]:
    """The board behind the station's own pins or probe."""
    pin_set = pin_set_of(plan.pins, plan.probe)
    opened = (
        open_target(plan.probe, plan.board, swclk_hz=plan.swclk_hz, cancel=cancel)
        if pin_set is None
        else open_target_on(GpioSwdProbe(pin_set), plan.board, swclk_hz=plan.swclk_hz, cancel=cancel)
    )
    with opened as target:
        yield TargetBoard(target, plan)


def kind_of(error: ProoflineError) -> Kind:
    """What a refusal that ended the work says about the board."""
    if isinstance(error, FlashRejected):
        return Kind.FAILED
    if isinstance(error, FlashUncertain | MeasurementError):
        return Kind.UNCERTAIN
    return Kind.LINK if isinstance(error, LinkError) else Kind.POLICY

"""The line's bench on real boards: `appliance.target`, and pyOCD behind it.

Nothing at the line's start may import this: pyOCD takes longer to load than all the rest of the station together.
`appliance.line.warm` loads it once the station is up, or the first press does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from appliance.intake.pins import pin_set_of
from appliance.line.bench import Board
from appliance.line.plan import Plan
from appliance.swd.probe import GpioSwdProbe
from appliance.target.program import Erase
from appliance.target.session import Target, open_target, open_target_on


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

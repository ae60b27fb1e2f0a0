"""What the line needs for its first board and not for its start: loaded while nobody waits for it.

- The station is ready first: loading begins when the line has its first answer from the panel and has then been left
  alone for `QUIET_S`. A press that comes before loads it itself, and waits as long as it takes.
- Nothing fails later for it: a part that is missing ends the process, and until all is there the line says that it is
  preparing, which the health check waits for.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from appliance.line.bench import Board
from appliance.line.plan import Plan

QUIET_S = 5.0


def bench(plan: Plan, cancel: threading.Event) -> AbstractContextManager[Board]:
    """The station's own bench (`appliance.line.bench.Bench`), loaded by whoever is first."""
    from appliance.line.target_bench import target_bench

    return target_bench(plan, cancel)


class Warming:
    """Loads the bench in a thread of its own."""

    def __init__(self) -> None:
        self._done = threading.Event()

    def done(self) -> bool:
        """Whether everything is loaded that the first board needs."""
        return self._done.is_set()

    def run(self, up: threading.Event, stop: threading.Event) -> None:
        """Load once the line is up. Where a part is missing, the line is told to stop, and ends as a defect."""
        while not up.wait(0.5):
            if stop.is_set():
                return
        if stop.wait(QUIET_S):
            return
        try:
            import appliance.line.target_bench  # noqa: F401  # loading it is all
        except BaseException:
            stop.set()
            raise
        self._done.set()

"""Several boards at once: one thread each, and what they share.

- Every piece of work runs to its own end, whatever becomes of the others: a defect in one is raised only when the last
  has ended, so that it harms no board but its own.
- A single piece of work runs in the caller's thread.
- `Once` asks for what is the same for all of them one time: the first thread asks, the others wait for its answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from appliance.errors import ProoflineError
from appliance.line.plan import Plan


def together(works: Sequence[Callable[[], None]]) -> None:
    """Run all of them at once, each to its end; then raise what the first of them raised, if any did."""
    if len(works) == 1:
        works[0]()
        return
    raised: list[BaseException | None] = [None] * len(works)

    def run(at: int) -> None:
        try:
            works[at]()
        except BaseException as error:  # noqa: BLE001 -- raised below, in the thread that answers for the process
            raised[at] = error

    threads = [threading.Thread(target=run, args=(at,), name=f"unit-{at}") for at in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in raised:
        if error is not None:
            raise error


class Once:
    """A planner that makes one plan for each (order, event) and gives it, or its refusal, to whoever asks again."""

    def __init__(self, planner: Callable[[str, str], Plan]) -> None:
        self._planner = planner
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Plan | ProoflineError] = {}

    def __call__(self, order: str, event: str) -> Plan:
        with self._lock:
            if (order, event) not in self._made:
                try:
                    self._made[order, event] = self._planner(order, event)
                except ProoflineError as refusal:
                    self._made[order, event] = refusal
            made = self._made[order, event]
        if isinstance(made, ProoflineError):
            raise made
        return made

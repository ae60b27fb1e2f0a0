"""The line's heartbeat: the panel hears where the unit is, and that the line lives, while the work goes on elsewhere.

- The worker says what it does (`at`); a thread of its own tells the panel, on a change and every half second.
- A worker that has not said anything for `HUNG_MS` is taken for hung: the heartbeat stops, the panel shows the fault,
  and the watchdog is not fed any more.
"""

from __future__ import annotations

import threading

from appliance.errors import ProoflineError
from appliance.ipc import Client
from appliance.station import monotonic_ms

HUNG_MS = 120_000
_BEAT_S = 0.5
_LEAST_S = 0.05


class Pulse:
    """Where the worker is. Thread-safe."""

    def __init__(self, panel: Client) -> None:
        self._panel = panel
        self._changed = threading.Condition()
        self._press: str | None = None
        self._stage = "starting"
        self._permille = 0
        self._fresh = True
        self._said_ms = monotonic_ms()

    def at(self, press: str | None, stage: str, permille: int = 0) -> None:
        """The worker is here now."""
        with self._changed:
            self._said_ms = monotonic_ms()
            if (press, stage, permille) != (self._press, self._stage, self._permille):
                self._press, self._stage, self._permille = press, stage, permille
                self._fresh = True
                self._changed.notify()

    def now(self) -> tuple[str | None, str, int]:
        """Press, stage and permille."""
        with self._changed:
            return self._press, self._stage, self._permille

    def alive(self) -> bool:
        """Whether the worker was heard lately."""
        with self._changed:
            return monotonic_ms() - self._said_ms < HUNG_MS

    def run(self, stopping: threading.Event) -> None:
        """Tell the panel until told to stop."""
        while not stopping.is_set():
            with self._changed:
                if not self._fresh:
                    self._changed.wait(_BEAT_S)
                self._fresh = False
                press, stage, permille = self._press, self._stage, self._permille
            if self.alive():
                try:
                    self._panel.call("Progress", press=press, stage=stage, permille=permille)
                except ProoflineError:
                    pass  # the panel is being restarted; the next beat finds it
            stopping.wait(_LEAST_S)

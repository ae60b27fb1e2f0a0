"""The line's heartbeat: the panel hears where each unit is, and that the line lives, while the work goes on elsewhere.

- The workers say what they do (`at`) and when they are through (`end`); a thread of its own tells the panel, on a
  change and every half second.
- A worker that has not said anything for `HUNG_MS` is taken for hung, however busy the others are: the heartbeat stops,
  the panel shows the fault, and the watchdog is not fed any more. The other boards of its gang have ended by then.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from appliance.errors import ProoflineError
from appliance.ipc import Client
from appliance.station import monotonic_ms

HUNG_MS = 120_000
_BEAT_S = 0.5
_LEAST_S = 0.05


@dataclass(frozen=True, slots=True)
class Beat:
    """Where a worker is: a press or, between units, none."""

    press: str | None
    stage: str
    permille: int


class Pulse:
    """Where the workers are. Thread-safe."""

    def __init__(self, panel: Client) -> None:
        self._panel = panel
        self._changed = threading.Condition()
        self._idle = Beat(None, "starting", 0)
        self._idle_said_ms = monotonic_ms()
        self._working: dict[str, tuple[Beat, int]] = {}
        self._fresh: dict[str | None, Beat] = {None: self._idle}

    def at(self, press: str | None, stage: str, permille: int = 0) -> None:
        """A worker is here now; without a press, the line is between units."""
        beat = Beat(press, stage, permille)
        with self._changed:
            before = self._idle if press is None else self._working.get(press, (None, 0))[0]
            if press is None:
                self._idle, self._idle_said_ms = beat, monotonic_ms()
            else:
                self._working[press] = beat, monotonic_ms()
            if beat != before:
                self._fresh[press] = beat
                self._changed.notify()

    def end(self, press: str) -> None:
        """The worker of this press is through."""
        with self._changed:
            self._working.pop(press, None)
            self._fresh.pop(press, None)
            self._idle_said_ms = monotonic_ms()

    def now(self) -> tuple[Beat, ...]:
        """Where each worker is, in the order in which they began; between units, where the line itself is."""
        with self._changed:
            return tuple(beat for beat, _said_ms in self._working.values()) or (self._idle,)

    def alive(self) -> bool:
        """Whether every worker was heard lately; between units, the line itself."""
        with self._changed:
            said = [said_ms for _beat, said_ms in self._working.values()] or [self._idle_said_ms]
            return monotonic_ms() - min(said) < HUNG_MS

    def run(self, stopping: threading.Event) -> None:
        """Tell the panel until told to stop."""
        while not stopping.is_set():
            with self._changed:
                if not self._fresh:
                    self._changed.wait(_BEAT_S)
                beats = tuple(self._fresh.values()) or self.now()[:1]
                self._fresh.clear()
            for beat in beats:
                if not self.alive():
                    break
                try:
                    self._panel.call("Progress", press=beat.press, stage=beat.stage, permille=beat.permille)
                except ProoflineError:
                    pass  # the panel is being restarted; the next beat finds it
            stopping.wait(_LEAST_S * len(beats))

"""Button, lamps and buzzer through gpiozero: the smallest shell around `appliance.panel.lights`.

- Which pins these are is the configuration's word: lines of the chip that it names (`gpiochip`), or else pins of
  gpiozero's own factory (GPIOZERO_PIN_FACTORY).
- Whoever shows a pattern returns at once; one thread keeps the rhythm and writes a pin only when it changes.
- A press is reported once per closing of the contact, debounced by gpiozero; the callback must not block.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import gpiozero

from appliance.panel.config import POSITION_PINS, Config
from appliance.panel.lights import LAMPS, PATTERNS, POSITION_PATTERNS, SLOT_MS, Pattern, lit
from appliance.station import monotonic_ms

_CHIRP_MS = 150


class Pins:
    """The panel's hardware. `run` is the thread that keeps the rhythm."""

    def __init__(self, config: Config, on_press: Callable[[], None], factory: Any = None) -> None:
        self._outputs: dict[str, Any] = {lamp: gpiozero.LED(config.pins[lamp], pin_factory=factory) for lamp in LAMPS}
        for position, pins in enumerate(config.positions):
            self._outputs |= {
                at_position(lamp, position): gpiozero.LED(pins[lamp], pin_factory=factory) for lamp in POSITION_PINS
            }
        self._places = len(config.positions)
        self._outputs["buzzer"] = gpiozero.Buzzer(config.pins["buzzer"], pin_factory=factory)
        self._button: Any = gpiozero.Button(
            config.pins["button"],
            pull_up=config.pressed == "low",
            bounce_time=config.debounce_ms / 1000,
            pin_factory=factory,
        )
        self._button.when_pressed = on_press
        self._pattern = PATTERNS["starting"]
        self._since_ms = monotonic_ms()
        self._positions: tuple[Pattern, ...] = ()
        self._positions_since_ms = self._since_ms
        self._changed = threading.Condition()
        self._now: dict[str, bool] = {}
        self._chirp_ms = -_CHIRP_MS
        self._ended = False

    def chirp(self) -> None:
        """Sound the buzzer shortly, whatever is shown: something that was just done did not count."""
        with self._changed:
            self._chirp_ms = monotonic_ms()
            self._changed.notify()

    def show(self, pattern: Pattern, positions: Sequence[Pattern] = ()) -> None:
        """Show a pattern from its beginning, unless it is shown already; likewise those of the positions. Positions
        without a pattern are dark, patterns without lamps are not shown."""
        here = (*positions, *[POSITION_PATTERNS["dark"]] * self._places)[: self._places]
        with self._changed:
            if pattern is not self._pattern:
                self._pattern = pattern
                self._since_ms = monotonic_ms()
                self._changed.notify()
            if here != self._positions:
                self._positions = here
                self._positions_since_ms = monotonic_ms()
                self._changed.notify()

    def run(self, stopping: threading.Event) -> None:
        """Keep the rhythm until told to stop; then all lamps go dark."""
        with self._changed:
            while not (stopping.is_set() or self._ended):
                now_ms = monotonic_ms()
                elapsed_ms = now_ms - self._since_ms
                wanted = lit(self._pattern, elapsed_ms)
                for position, own in enumerate(self._positions):
                    burning = lit(own, now_ms - self._positions_since_ms)
                    wanted |= {at_position(lamp, position): burning[lamp] for lamp in POSITION_PINS}
                wanted["buzzer"] |= now_ms - self._chirp_ms < _CHIRP_MS
                self._write(wanted)
                self._changed.wait((SLOT_MS - elapsed_ms % SLOT_MS) / 1000)
        self.dark()

    def dark(self) -> None:
        """All lamps and the buzzer off, for good: nothing that was shown outlives the panel."""
        with self._changed:
            self._ended = True
            self._write(dict.fromkeys(self._outputs, False))

    def _write(self, wanted: dict[str, bool]) -> None:
        for name, on in wanted.items():
            if self._now.get(name) is not on:
                self._outputs[name].value = on
        self._now |= wanted


def at_position(lamp: str, position: int) -> str:
    """The name of a position's own lamp among the outputs."""
    return f"{lamp} {position + 1}"

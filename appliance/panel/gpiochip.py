"""gpiozero's pins on the kernel's GPIO character device, for any board: one chip, found by its label.

- gpiozero's own factories know Raspberry Pis by a revision that only the Pi's firmware tells (`linux,revision`); an
  image that brings its own device tree, or any other board, has none. This one knows lines of a chip and nothing else.
- A pin is the line of that number; it is requested by the process alone until it ends, so nobody else can drive it.
- Debouncing is the kernel's. Edges are told by `watch`, one thread for all pins, which fails where the chip does.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import gpiod
from gpiod.line import Bias, Direction, Edge, Value
from gpiozero import Factory, Pin
from gpiozero.pins import PinInfo

from appliance.panel.errors import ChipMissing

_CONSUMER = "proofline-panel"
_POLL_MS = 500
_BIAS = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "floating": Bias.AS_IS}
_EDGES = {"both": Edge.BOTH, "rising": Edge.RISING, "falling": Edge.FALLING}

Changed = Callable[[float, bool], None]


def find_chip(label: str, devices: Path = Path("/dev")) -> Path:
    """The character device of the chip with this label; ChipMissing where there is none."""
    seen: list[str] = []
    for path in sorted(devices.glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as chip:
                found = chip.get_info().label
        except OSError:
            continue
        if found == label:
            return path
        seen.append(found)
    raise ChipMissing(label=label, found=", ".join(seen) or "none")


class _Lines:
    """What gpiozero asks of a board: every number is a line, none is wired to anything by itself."""

    def find_pin(self, name: int | str) -> Iterator[tuple[None, PinInfo]]:
        number = int(name)
        yield None, PinInfo(number, str(number), frozenset({str(number)}), "", 1, 1, frozenset({"gpio"}))


class ChipFactory(Factory):  # type: ignore[misc]  # gpiozero ships no annotations
    """Pins of one chip. `watch` reports their edges."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.path = find_chip(label)
        self._pins: dict[str, ChipPin] = {}

    def pin(self, name: int | str) -> ChipPin:
        """The one pin of this number."""
        ((_, info),) = self.board_info.find_pin(name)
        return self._pins.setdefault(info.name, ChipPin(self.path, info))

    def ticks(self) -> float:
        return monotonic()

    def ticks_diff(self, later: float, earlier: float) -> float:
        return later - earlier

    def watch(self, stopping: threading.Event) -> None:
        """Call each pin's `when_changed` on its edges, until told to stop. OSError where a line is lost."""
        poller = select.poll()
        by_fd = {pin.fileno(): pin for pin in self._pins.values() if pin.when_changed is not None}
        for descriptor in by_fd:
            poller.register(descriptor, select.POLLIN)
        while not stopping.is_set():
            for descriptor, _events in poller.poll(_POLL_MS):
                by_fd[descriptor].tell(monotonic())

    def _get_board_info(self) -> _Lines:
        return _Lines()


class ChipPin(Pin):  # type: ignore[misc]  # gpiozero ships no annotations
    """One line. An input until gpiozero says otherwise."""

    def __init__(self, chip: Path, info: PinInfo) -> None:
        super().__init__()
        self._info = info
        self._offset: int = info.number
        self._function, self._pull, self._edges = "input", "floating", Edge.NONE
        self._bounce: float | None = None
        self._when_changed: Changed | None = None
        self._request = gpiod.request_lines(str(chip), {self._offset: self._settings()}, consumer=_CONSUMER)

    def fileno(self) -> int:
        return self._request.fileno()

    def tell(self, ticks: float) -> None:
        """Report the edges that the kernel has seen since the last time."""
        for event in self._request.read_edge_events():
            if self._when_changed is not None:
                self._when_changed(ticks, event.event_type is event.Type.RISING_EDGE)

    def output_with_state(self, state: Any) -> None:
        """An output that never shows anything but `state`."""
        self._function = "output"
        self._reconfigure(state=bool(state))

    def close(self) -> None:
        self._request.release()

    def _settings(self, *, state: bool = False) -> gpiod.LineSettings:
        if self._function == "output":
            return gpiod.LineSettings(direction=Direction.OUTPUT, output_value=Value(int(state)))
        watched = self._edges if self._when_changed is not None else Edge.NONE
        debounce = timedelta(seconds=self._bounce or 0) if watched is not Edge.NONE else timedelta()
        return gpiod.LineSettings(
            direction=Direction.INPUT, bias=_BIAS[self._pull], edge_detection=watched, debounce_period=debounce
        )

    def _reconfigure(self, *, state: bool = False) -> None:
        self._request.reconfigure_lines({self._offset: self._settings(state=state)})

    # gpiozero's properties.

    def _get_info(self) -> PinInfo:
        return self._info

    def _get_function(self) -> str:
        return self._function

    def _set_function(self, value: str) -> None:
        self._function = value
        self._reconfigure()

    def _get_state(self) -> bool:
        return bool(self._request.get_value(self._offset) is Value.ACTIVE)

    def _set_state(self, value: Any) -> None:
        self._request.set_value(self._offset, Value.ACTIVE if value else Value.INACTIVE)

    def _get_pull(self) -> str:
        return self._pull

    def _set_pull(self, value: str) -> None:
        self._pull = value
        self._reconfigure()

    def _get_bounce(self) -> float | None:
        return self._bounce

    def _set_bounce(self, value: float | None) -> None:
        self._bounce = value
        self._reconfigure()

    def _get_edges(self) -> str:
        return next((name for name, edge in _EDGES.items() if edge is self._edges), "none")

    def _set_edges(self, value: str) -> None:
        self._edges = _EDGES.get(value, Edge.NONE)
        self._reconfigure()

    def _get_when_changed(self) -> Changed | None:
        return self._when_changed

    def _set_when_changed(self, value: Changed | None) -> None:
        self._when_changed = value
        self._reconfigure()

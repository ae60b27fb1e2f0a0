"""The panel on the lines of a GPIO chip. The kernel's side is a stand-in that keeps what it is asked for; that a real
chip behaves so is seen on the emulated station, whose lines are driven and observed from outside."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gpiod
import pytest
from gpiod.line import Bias, Direction, Edge, Value

from appliance.panel import config, gpiochip
from appliance.panel.errors import ChipMissing, ConfigWrong
from appliance.panel.lights import PATTERNS
from appliance.panel.pins import Pins

SHARE = Path(__file__).parents[2] / "systemd" / "share" / "panel.json"
BOARDS = json.loads(SHARE.read_text())["boards"]
VIRT = ("linux,dummy-virt",)
PI4 = ("raspberrypi,4-model-b", "brcm,bcm2711")


class Line:
    """One requested line: its settings, its level from outside, and edges as the kernel would queue them."""

    def __init__(self, offset: int, settings: Any) -> None:
        self.offset = offset
        self.settings = settings
        self.level = Value.INACTIVE
        self.seen: list[Value] = []
        self._read, self._write = os.pipe()
        self.reconfigure_lines({offset: settings})

    def fileno(self) -> int:
        return self._read

    def reconfigure_lines(self, settings: dict[int, Any]) -> None:
        ((offset, self.settings),) = settings.items()
        assert offset == self.offset
        if self.settings.direction is Direction.OUTPUT:
            self.set_value(offset, self.settings.output_value)

    def set_value(self, _offset: int, value: Value) -> None:
        self.level = value
        self.seen.append(value)

    def get_value(self, _offset: int) -> Value:
        return self.level

    def drive(self, value: Value) -> None:
        """From outside."""
        self.level = value
        if self.settings.edge_detection is Edge.BOTH:
            os.write(self._write, b"r" if value is Value.ACTIVE else b"f")

    def read_edge_events(self) -> list[Any]:
        kinds = gpiod.EdgeEvent.Type
        return [
            SimpleNamespace(event_type=kinds.RISING_EDGE if kind == ord("r") else kinds.FALLING_EDGE, Type=kinds)
            for kind in os.read(self._read, 16)
        ]

    def release(self) -> None:
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        self._read = self._write = -1


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> dict[int, Line]:
    made: dict[int, Line] = {}

    def request(path: str, wanted: dict[int, Any], consumer: str) -> Line:
        assert (path, consumer) == ("/dev/gpiochip3", "proofline-panel")
        ((offset, settings),) = wanted.items()
        assert offset not in made, "a line is requested once"
        return made.setdefault(offset, Line(offset, settings))

    monkeypatch.setattr(gpiod, "request_lines", request)
    monkeypatch.setattr(gpiochip, "find_chip", lambda _label: Path("/dev/gpiochip3"))
    return made


def wait(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def at_least(presses: list[int], count: int) -> bool:
    return len(presses) >= count


@pytest.mark.parametrize(("names", "bias"), [(VIRT, Bias.PULL_DOWN), (PI4, Bias.PULL_UP)], ids=["virt", "pi4"])
def test_one_closing_of_the_contact_is_one_press(lines: dict[int, Line], names: tuple[str, ...], bias: Bias) -> None:
    settings = config.parse(SHARE.read_bytes(), "panel.json", names)
    factory = gpiochip.ChipFactory(str(settings.chip))
    presses: list[int] = []
    pins = Pins(settings, lambda: presses.append(1), factory)
    button = lines[int(settings.pins["button"])]
    assert (button.settings.direction, button.settings.bias) == (Direction.INPUT, bias)
    assert button.settings.debounce_period.total_seconds() == 0.05
    down, up = (Value.ACTIVE, Value.INACTIVE) if settings.pressed == "high" else (Value.INACTIVE, Value.ACTIVE)
    stopping = threading.Event()
    threads = [threading.Thread(target=work, args=(stopping,)) for work in (factory.watch, pins.run)]
    for thread in threads:
        thread.start()
    try:
        for count in (1, 2):
            button.drive(up)
            button.drive(down)
            wait(partial(at_least, presses, count))
            button.drive(up)
        pins.show(PATTERNS["pass"])
        green, red = lines[int(settings.pins["green"])], lines[int(settings.pins["red"])]
        wait(lambda: green.level is Value.ACTIVE)
        assert red.level is Value.INACTIVE
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert len(presses) == 2
    assert green.level is Value.INACTIVE, "dark at the end"
    assert green.seen.count(Value.ACTIVE) == 1


def test_the_first_listed_name_of_the_machine_counts() -> None:
    found = config.parse(SHARE.read_bytes(), "panel.json", PI4)
    assert (found.chip, found.pressed, found.pins["button"]) == ("pinctrl-bcm2711", "low", 17)
    found = config.parse(SHARE.read_bytes(), "panel.json", VIRT)
    assert (found.chip, found.pressed, found.pins["button"]) == ("9030000.pl061", "high", 0)


VIRT_BOARD = BOARDS["linux,dummy-virt"]


@pytest.mark.parametrize(
    ("boards", "why"),
    [
        (BOARDS, "none of"),
        ({}, "an entry a board"),
        ([], "an entry a board"),
        ({"acme": {**VIRT_BOARD, "chip": ""}}, "chip is not a label"),
        ({"acme": {**VIRT_BOARD, "pressed": "down"}}, "neither low nor high"),
        ({"acme": {**VIRT_BOARD, "colour": 1}}, "exactly chip"),
        ({"acme": {**VIRT_BOARD, "pins": {**VIRT_BOARD["pins"], "red": "GPIO5"}}}, "not different numbers"),
        ({"acme": {**VIRT_BOARD, "pins": {**VIRT_BOARD["pins"], "red": 0}}}, "not different numbers"),
        ({"acme": {**VIRT_BOARD, "pins": {**VIRT_BOARD["pins"], "red": -1}}}, "from 0 to"),
        ({"acme": {**VIRT_BOARD, "pins": {**VIRT_BOARD["pins"], "red": 1024}}}, "from 0 to"),
        ({"acme": VIRT_BOARD, "other": {}}, "exactly chip"),
    ],
)
def test_a_machine_that_is_not_listed_or_listed_wrongly_is_refused_by_name(boards: object, why: str) -> None:
    document = json.dumps({"schema": 1, "boards": boards, "scanner": "/dev/scanner"}).encode()
    with pytest.raises(ConfigWrong, match=why):
        config.parse(document, "panel.json", ("acme", "acme,board"))


def test_pins_and_boards_together_are_refused() -> None:
    document = {"schema": 1, "boards": BOARDS, "pins": VIRT_BOARD["pins"], "scanner": "/dev/scanner"}
    with pytest.raises(ConfigWrong, match="unknown field pins"):
        config.parse(json.dumps(document).encode(), "panel.json", VIRT)


def test_a_machine_without_the_chip_is_told_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "gpiochip0").write_bytes(b"")
    with pytest.raises(ChipMissing, match="pinctrl-bcm2711"):
        gpiochip.find_chip("pinctrl-bcm2711", tmp_path)


def test_the_names_of_a_machine_are_read_from_its_device_tree(tmp_path: Path) -> None:
    (tmp_path / "compatible").write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    assert config.machine(tmp_path / "compatible") == PI4
    assert config.machine(tmp_path / "none") == ()

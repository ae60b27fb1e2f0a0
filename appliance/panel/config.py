"""The panel's configuration: which pins, which scanner, how patient. Read once, refused by name when wrong.

`PROOFLINE_PANEL_CONFIG` names a JSON file:
`{"schema":1,"pins":{"button":17,"red":5,"blue":6,"green":13,"buzzer":19},"scanner":"/dev/scanner",
"debounce_ms":50,"heartbeat_ms":5000,"pass_ms":20000}`; the last three may be left out. Pins are gpiozero pin names
or numbers, all different. An image that runs on several boards has `boards` in place of `pins`:
`{"brcm,bcm2711":{"chip":"pinctrl-bcm2711","pressed":"low","pins":{...}}}`: the first entry of the machine's device tree
`compatible` that is listed counts; `chip` is the GPIO chip's label, pins are its line numbers, `pressed` the button's
level while it is pressed. Beside the five, `pins` may have `"positions":[{"red":20,"green":21},...]`: the lamps of a
gang fixture's positions, in their order. `heartbeat_ms`: silence of the line after which the panel shows a fault by
itself; `pass_ms`: how long a pass is shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.panel.errors import ConfigWrong
from appliance.verify.site_documents import MAX_GANG

PINS = ("button", "red", "blue", "green", "buzzer")
POSITION_PINS = ("red", "green")
_MAX_LINES = 1024
_DEFAULTS = {"debounce_ms": (50, 1, 1_000), "heartbeat_ms": (5_000, 500, 60_000), "pass_ms": (20_000, 1_000, 600_000)}


@dataclass(frozen=True, slots=True)
class Config:
    """See the module's description. `pins`: purpose -> gpiozero pin, or line of `chip` where one is named; `positions`:
    the same for each position of a gang fixture."""

    pins: Mapping[str, int | str]
    scanner: Path
    debounce_ms: int
    heartbeat_ms: int
    pass_ms: int
    chip: str | None = None
    pressed: str = "low"
    positions: tuple[Mapping[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Wiring:
    """What is connected where on one board."""

    chip: str | None
    pressed: str
    pins: Mapping[str, int | str]
    positions: tuple[Mapping[str, int | str], ...]


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the environment names, or ConfigWrong."""
    name = environ.get("PROOFLINE_PANEL_CONFIG", "")
    try:
        document = Path(name).read_bytes()[: strict_json.MAX_BYTES + 1]
    except OSError as error:
        raise ConfigWrong(path=name or "PROOFLINE_PANEL_CONFIG", why=str(error)) from error
    return parse(document, name, machine())


def machine(file: Path = Path("/sys/firmware/devicetree/base/compatible")) -> tuple[str, ...]:
    """What this machine's device tree calls it, the most exact name first; nothing where there is none."""
    try:
        return tuple(part for part in file.read_text("ascii", "replace").split("\0") if part)
    except OSError:
        return ()


def parse(document: bytes, name: str, machine: Sequence[str] = ()) -> Config:
    """The configuration in a document for a machine of these names, or ConfigWrong."""
    try:
        value = strict_json.decode(document)
    except EvidenceError as error:
        raise ConfigWrong(path=name, why=error.engineer_sentence()) from error
    if not isinstance(value, dict) or value.get("schema") != 1:
        raise ConfigWrong(path=name, why="not an object of schema 1")
    where = "boards" if "boards" in value else "pins"
    unknown = value.keys() - {"schema", where, "scanner", *_DEFAULTS}
    if unknown:
        raise ConfigWrong(path=name, why=f"unknown field {min(unknown)}")
    if where == "boards":
        wiring = _board(value["boards"], name, machine)
    else:
        wiring = _Wiring(None, "low", *_pins(value.get("pins"), name, (int, str)))
    scanner = value.get("scanner")
    if not isinstance(scanner, str) or not scanner.startswith("/") or "\0" in scanner:
        raise ConfigWrong(path=name, why="scanner is not an absolute path")
    numbers: dict[str, int] = {}
    for field, (default, least, most) in _DEFAULTS.items():
        number = value.get(field, default)
        if type(number) is not int or not least <= number <= most:
            raise ConfigWrong(path=name, why=f"{field} is not a number from {least} to {most}")
        numbers[field] = number
    return Config(
        pins=wiring.pins,
        scanner=Path(scanner),
        chip=wiring.chip,
        pressed=wiring.pressed,
        positions=wiring.positions,
        **numbers,
    )


def _board(boards: object, name: str, machine: Sequence[str]) -> _Wiring:
    if not isinstance(boards, dict) or not boards:
        raise ConfigWrong(path=name, why="boards is not an object with an entry a board")
    read = {board: _entry(entry, f"{name}, {board}") for board, entry in boards.items()}
    for board in machine:
        if board in read:
            return read[board]
    raise ConfigWrong(path=name, why=f"this machine ({', '.join(machine) or 'no name'}) is none of {', '.join(read)}")


def _entry(entry: object, name: str) -> _Wiring:
    if not isinstance(entry, dict) or entry.keys() != {"chip", "pressed", "pins"}:
        raise ConfigWrong(path=name, why="a board has exactly chip, pressed and pins")
    chip, pressed = entry["chip"], entry["pressed"]
    if not isinstance(chip, str) or not chip or pressed not in ("low", "high"):
        raise ConfigWrong(path=name, why="chip is not a label, or pressed is neither low nor high")
    return _Wiring(chip, pressed, *_pins(entry["pins"], name, (int,)))


def _pins(
    pins: object, name: str, kinds: tuple[type, ...]
) -> tuple[dict[str, int | str], tuple[Mapping[str, int | str], ...]]:
    """The panel's own pins, and those of the positions."""
    if not isinstance(pins, dict) or pins.keys() - {"positions"} != set(PINS):
        raise ConfigWrong(path=name, why=f"pins are not exactly {', '.join(PINS)}")
    own, positions = {purpose: pins[purpose] for purpose in PINS}, pins.get("positions", [])
    if not isinstance(positions, list) or len(positions) > MAX_GANG:
        raise ConfigWrong(path=name, why=f"positions is not a list of {MAX_GANG} at most")
    if not all(isinstance(one, dict) and one.keys() == set(POSITION_PINS) for one in positions):
        raise ConfigWrong(path=name, why=f"the pins of a position are not exactly {', '.join(POSITION_PINS)}")
    every = [pin for one in (own, *positions) for pin in one.values()]
    if not all(type(pin) in kinds for pin in every) or len({str(pin) for pin in every}) != len(every):
        raise ConfigWrong(path=name, why="pins are not different numbers or names")
    if any(type(pin) is int and not 0 <= pin < _MAX_LINES for pin in every):
        raise ConfigWrong(path=name, why=f"a pin is not from 0 to {_MAX_LINES - 1}")
    return own, tuple(positions)

"""The panel's configuration: which pins, which scanner, how patient. Read once, refused by name when wrong.

`PROOFLINE_PANEL_CONFIG` names a JSON file:
`{"schema":1,"pins":{"button":17,"red":5,"blue":6,"green":13,"buzzer":19},"scanner":"/dev/scanner",
"debounce_ms":50,"heartbeat_ms":5000,"pass_ms":20000}`; the last three may be left out. Pins are gpiozero pin names
or numbers, all different. `heartbeat_ms`: silence of the line after which the panel shows a fault by itself;
`pass_ms`: how long a pass is shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.panel.errors import ConfigWrong

PINS = ("button", "red", "blue", "green", "buzzer")
_DEFAULTS = {"debounce_ms": (50, 1, 1_000), "heartbeat_ms": (5_000, 500, 60_000), "pass_ms": (20_000, 1_000, 600_000)}


@dataclass(frozen=True, slots=True)
class Config:
    """See the module's description. `pins`: purpose -> gpiozero pin."""

    pins: Mapping[str, int | str]
    scanner: Path
    debounce_ms: int
    heartbeat_ms: int
    pass_ms: int


def load(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the environment names, or ConfigWrong."""
    name = environ.get("PROOFLINE_PANEL_CONFIG", "")
    try:
        document = Path(name).read_bytes()[: strict_json.MAX_BYTES + 1]
    except OSError as error:
        raise ConfigWrong(path=name or "PROOFLINE_PANEL_CONFIG", why=str(error)) from error
    return parse(document, name)


def parse(document: bytes, name: str) -> Config:
    """The configuration in a document, or ConfigWrong."""
    try:
        value = strict_json.decode(document)
    except EvidenceError as error:
        raise ConfigWrong(path=name, why=error.engineer_sentence()) from error
    if not isinstance(value, dict) or value.get("schema") != 1:
        raise ConfigWrong(path=name, why="not an object of schema 1")
    unknown = value.keys() - {"schema", "pins", "scanner", *_DEFAULTS}
    if unknown:
        raise ConfigWrong(path=name, why=f"unknown field {min(unknown)}")
    pins, scanner = value.get("pins"), value.get("scanner")
    if not isinstance(pins, dict) or pins.keys() != set(PINS):
        raise ConfigWrong(path=name, why=f"pins are not exactly {', '.join(PINS)}")
    if not all(type(pin) in (int, str) for pin in pins.values()) or len({str(pin) for pin in pins.values()}) != len(
        PINS
    ):
        raise ConfigWrong(path=name, why="pins are not different numbers or names")
    if not isinstance(scanner, str) or not scanner.startswith("/") or "\0" in scanner:
        raise ConfigWrong(path=name, why="scanner is not an absolute path")
    numbers: dict[str, int] = {}
    for field, (default, least, most) in _DEFAULTS.items():
        number = value.get(field, default)
        if type(number) is not int or not least <= number <= most:
            raise ConfigWrong(path=name, why=f"{field} is not a number from {least} to {most}")
        numbers[field] = number
    return Config(pins=pins, scanner=Path(scanner), **numbers)

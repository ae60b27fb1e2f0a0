"""Which pins a board hangs on: the strict reading of a station's pin settings.

- `{"schema": 1, "pin_sets": [...]}`; a set is `name`, `backend` and, where the back end has pins of its own, `pins`.
- Back ends: `{"kind": "gpiochip", "path": "/dev/gpiochip0"}` (character device, every board),
  `{"kind": "gpiomem", "path": "/dev/gpiomem", "soc": "bcm2835" | "bcm2711"}` and `{"kind": "socket", "path": ...}`
  (a virtual wire, which knows its own pins).
- `pins`: `swclk`, `swdio`, and where wired `nreset` (open drain), `power` with `power_active` (`high` or `low`),
  `swdio_pull` and `nreset_pull` (`none`, `up`, `down`; `up` unless said otherwise).
- `max_hz` bounds what a debugger may ask for; `wait_ms` how long WAIT is borne; `swo` is the serial device on SWO.
- An unknown field, a line used twice in one chip or a name used twice is refused by name; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, cast

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.swd.errors import (
    BackendUnknown,
    PinNumberWrong,
    PinSetMissing,
    PinSetNamedTwice,
    PinSettingsMalformed,
    PinSettingsUnreadable,
    PinUsedTwice,
    PowerNotSwitched,
)

Pull = Literal["none", "up", "down"]
Soc = Literal["bcm2835", "bcm2711"]

PULLS: tuple[Pull, ...] = ("none", "up", "down")
SOCS: tuple[Soc, ...] = ("bcm2835", "bcm2711")
MAX_HZ = 50_000_000
MAX_SETS = 64

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_LAST_LINE = {"gpiochip": 1023, "gpiomem": 27}
_SET_FIELDS = {"name", "backend", "pins", "max_hz", "wait_ms", "swo"}
_PIN_FIELDS = {"swclk", "swdio", "nreset", "power", "power_active", "swdio_pull", "nreset_pull"}


@dataclass(frozen=True, slots=True)
class Pins:
    """Line numbers as the back end counts them; None where nothing is wired."""

    swclk: int
    swdio: int
    nreset: int | None
    power: int | None
    power_active_low: bool
    swdio_pull: Pull
    nreset_pull: Pull


@dataclass(frozen=True, slots=True)
class GpioChip:
    path: str
    pins: Pins


@dataclass(frozen=True, slots=True)
class GpioMem:
    path: str
    soc: Soc
    pins: Pins


@dataclass(frozen=True, slots=True)
class WireSocket:
    path: str


@dataclass(frozen=True, slots=True)
class PinSet:
    """One board's place. `swo`: a serial device, or None."""

    name: str
    backend: GpioChip | GpioMem | WireSocket
    max_hz: int
    wait_ms: int
    swo: str | None

    @property
    def switches_power(self) -> bool:
        """Whether the station can take the target's supply away; a virtual wire always can."""
        return isinstance(self.backend, WireSocket) or self.backend.pins.power is not None

    def require_switched_power(self) -> None:
        """Refuses a set that cannot power-cycle its board: a profile with a lock needs that (DESIGN section 4)."""
        if not self.switches_power:
            raise PowerNotSwitched(name=self.name)


def load(path: str | Path) -> tuple[PinSet, ...]:
    """The sets in a settings file. Raises `PinSettingsError`."""
    try:
        with Path(path).open("rb") as file:
            document = file.read(strict_json.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PinSettingsUnreadable(path=str(path), why=str(error)) from error
    return parse(document)


def parse(document: bytes) -> tuple[PinSet, ...]:
    """The sets in a settings document. Raises `PinSettingsError`."""
    try:
        value = strict_json.decode(document)
    except EvidenceError as error:
        raise PinSettingsMalformed(field="document", why=error.engineer_sentence()) from error
    top = _fields(value, "document", {"schema", "pin_sets"}, {"schema", "pin_sets"})
    if type(top["schema"]) is not int or top["schema"] != 1:
        _wrong("schema", "is not 1")
    listed = top["pin_sets"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_SETS:
        _wrong("pin_sets", f"is not a list of 1 to {MAX_SETS} sets")
    sets = tuple(_pin_set(item) for item in listed)
    for index, each in enumerate(sets):
        if any(each.name == other.name for other in sets[:index]):
            raise PinSetNamedTwice(name=each.name)
    _no_line_twice(sets)
    return sets


def named(sets: Iterable[PinSet], name: str) -> PinSet:
    """The set of that name. Raises `PinSetMissing`."""
    for each in sets:
        if each.name == name:
            return each
    raise PinSetMissing(name=name)


def _pin_set(value: object) -> PinSet:
    fields = _fields(value, "a pin set", {"name", "backend"}, _SET_FIELDS)
    name = fields["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _wrong("name", "is not 1 to 63 lower-case letters, digits, dots and dashes")
    return PinSet(
        name=name,
        backend=_backend(name, fields["backend"], fields.get("pins")),
        max_hz=_number("max_hz", fields.get("max_hz", MAX_HZ), 1_000, MAX_HZ),
        wait_ms=_number("wait_ms", fields.get("wait_ms", 100), 1, 60_000),
        swo=None if fields.get("swo") is None else _path("swo", fields["swo"]),
    )


def _backend(name: str, value: object, pins: object) -> GpioChip | GpioMem | WireSocket:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "gpiochip":
        fields = _fields(value, "backend", {"kind", "path"}, {"kind", "path"})
        return GpioChip(_path("backend.path", fields["path"]), _pins(name, pins, _LAST_LINE["gpiochip"]))
    if kind == "gpiomem":
        fields = _fields(value, "backend", {"kind", "path", "soc"}, {"kind", "path", "soc"})
        soc = cast("Soc", _one_of("backend.soc", fields["soc"], SOCS))
        return GpioMem(_path("backend.path", fields["path"]), soc, _pins(name, pins, _LAST_LINE["gpiomem"]))
    if kind == "socket":
        fields = _fields(value, "backend", {"kind", "path"}, {"kind", "path"})
        if pins is not None:
            _wrong("pins", "are given for a virtual wire, which has its own")
        return WireSocket(_path("backend.path", fields["path"]))
    raise BackendUnknown(name=name, kind=repr(kind)[:40])


def _pins(name: str, value: object, last: int) -> Pins:
    fields = _fields(value, "pins", {"swclk", "swdio"}, _PIN_FIELDS)
    numbers: dict[str, int | None] = {}
    for pin in ("swclk", "swdio", "nreset", "power"):
        number = fields.get(pin)
        if number is None and pin in {"nreset", "power"}:
            numbers[pin] = None
        elif type(number) is int and 0 <= number <= last:
            numbers[pin] = number
        else:
            raise PinNumberWrong(name=name, pin=pin, number=repr(number)[:40], last=last)
    if numbers["power"] is None and "power_active" in fields:
        _wrong("power_active", "is given, but no power line is")
    return Pins(
        swclk=cast("int", numbers["swclk"]),
        swdio=cast("int", numbers["swdio"]),
        nreset=numbers["nreset"],
        power=numbers["power"],
        power_active_low=_one_of("power_active", fields.get("power_active", "high"), ("high", "low")) == "low",
        swdio_pull=cast("Pull", _one_of("swdio_pull", fields.get("swdio_pull", "up"), PULLS)),
        nreset_pull=cast("Pull", _one_of("nreset_pull", fields.get("nreset_pull", "up"), PULLS)),
    )


def _no_line_twice(sets: tuple[PinSet, ...]) -> None:
    used: dict[tuple[str, int | None], str] = {}
    for each in sets:
        backend = each.backend
        if isinstance(backend, WireSocket):
            wired: dict[str, int | None] = {"door": None}
        else:
            pins = backend.pins
            wired = {"swclk": pins.swclk, "swdio": pins.swdio, "nreset": pins.nreset, "power": pins.power}
            wired = {pin: number for pin, number in wired.items() if number is not None}
        for pin, number in wired.items():
            purpose = f"{each.name}.{pin}"
            first = used.setdefault((backend.path, number), purpose)
            if first != purpose:
                raise PinUsedTwice(
                    number=-1 if number is None else number, chip=backend.path, first=first, second=purpose
                )


def _fields(value: object, where: str, required: set[str], allowed: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        _wrong(where, "is not an object")
    if missing := required - value.keys():
        _wrong(f"{where}.{min(missing)}", "is missing")
    if unknown := value.keys() - allowed:
        _wrong(f"{where}.{min(unknown)[:40]}", "is unknown")
    return value


def _one_of(field: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        _wrong(field, f"is not one of {', '.join(choices)}")
    return value


def _number(field: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        _wrong(field, f"is not a whole number from {least} to {most}")
    return value


def _path(field: str, value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > 200:
        _wrong(field, "is not an absolute path of at most 200 characters")
    return value


def _wrong(field: str, why: str) -> NoReturn:
    raise PinSettingsMalformed(field=field, why=why)

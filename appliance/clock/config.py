"""The clock's configuration and its memory on disk.

- The configuration is strict: an unknown field, a missing one or a value out of range is `ClockConfigWrong`.
- The state holds the floor (UTC that is certainly past) and, for the same boot only, what earlier readings allow, so
  that starting the service anew does not make it forget what it knew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from appliance import durable
from appliance.clock.errors import ClockConfigWrong, ClockStateDamaged
from appliance.clock.interval import Interval
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,253}")
_ARGUMENT = re.compile(r"[A-Za-z0-9./:_-]{1,255}")
_DEFAULT_CRYSTAL_PPM = 100
_DEFAULT_EPOCH = "/usr/lib/clock-epoch"
_FIELDS = {"schema", "chronyc", "sample", "crystal_ppm", "epoch_file"}


@dataclass(frozen=True)
class SampleConfig:
    host: str
    port: int
    max_age_s: int


@dataclass(frozen=True)
class Config:
    """`chronyc`: its arguments that find the daemon; `epoch_file`: its modification time is a floor (the image's
    build time, clock-epoch as in systemd)."""

    chronyc: tuple[str, ...]
    sample: SampleConfig | None
    crystal_ppm: int
    epoch_file: Path


@dataclass(frozen=True)
class Kept:
    floor: int
    boot_id: str
    possible: Interval | None


def parse_config(document: bytes) -> Config:
    """The configuration in a JSON document: `{"schema": 1, "chronyc": [...], "sample": {host, port, max_age_s} or
    null}` and, where wanted, `crystal_ppm` and `epoch_file`."""
    try:
        value = strict_json.decode(document, max_bytes=16_384)
    except EvidenceError as error:
        _wrong("document", str(error))
    if not isinstance(value, dict) or value.get("schema") != 1:
        _wrong("schema", "must be 1")
    if unknown := value.keys() - _FIELDS:
        _wrong(min(unknown), "unknown")
    arguments = value.get("chronyc")
    if not isinstance(arguments, list) or not 1 <= len(arguments) <= 8:
        _wrong("chronyc", "must be a list of 1 to 8 arguments")
    for argument in arguments:
        if not isinstance(argument, str) or not _ARGUMENT.fullmatch(argument):
            _wrong("chronyc", f"not an argument: {argument!r}")
    epoch = value.get("epoch_file", _DEFAULT_EPOCH)
    if not isinstance(epoch, str) or not epoch.startswith("/"):
        _wrong("epoch_file", "must be an absolute path")
    return Config(
        chronyc=tuple(arguments),
        sample=_sample(value.get("sample")),
        crystal_ppm=_number("crystal_ppm", value.get("crystal_ppm", _DEFAULT_CRYSTAL_PPM), 1, 500),
        epoch_file=Path(epoch),
    )


def epoch_ns(path: Path) -> int:
    """The floor in a clock-epoch file's modification time; 0 where there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def load(path: Path) -> Kept | None:
    """What an earlier run of the service left; None where there was none."""
    try:
        document = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        value = strict_json.decode(document)
    except EvidenceError as error:
        raise ClockStateDamaged(why=str(error)) from None
    if (
        not isinstance(value, dict)
        or value.keys() != {"schema", "floor", "boot_id", "possible"}
        or value["schema"] != 1
    ):
        raise ClockStateDamaged(why="not of schema 1")
    floor, boot_id, possible = value["floor"], value["boot_id"], value["possible"]
    if type(floor) is not int or floor < 0 or not isinstance(boot_id, str):
        raise ClockStateDamaged(why="a field is of another type")
    if possible is None:
        return Kept(floor, boot_id, None)
    if not isinstance(possible, list) or len(possible) != 3 or any(type(number) is not int for number in possible):
        raise ClockStateDamaged(why="a field is of another type")
    return Kept(floor, boot_id, Interval(*possible))


def save(path: Path, kept: Kept) -> None:
    """Write it, durably."""
    possible = kept.possible and [kept.possible.earliest, kept.possible.latest, kept.possible.raw]
    document = {"schema": 1, "floor": kept.floor, "boot_id": kept.boot_id, "possible": possible}
    durable.write_atomic(path, strict_json.encode(document))


def _sample(value: object) -> SampleConfig | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"host", "port", "max_age_s"}:
        _wrong("sample", "must have host, port and max_age_s, or be null")
    host = value["host"]
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        _wrong("sample.host", "not a host name or address")
    return SampleConfig(
        host=host,
        port=_number("sample.port", value["port"], 1, 65_535),
        max_age_s=_number("sample.max_age_s", value["max_age_s"], 1, 86_400),
    )


def _number(field: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        _wrong(field, f"must be a whole number from {least} to {most}")
    return value


def _wrong(field: str, why: str) -> NoReturn:
    raise ClockConfigWrong(field=field, why=why)

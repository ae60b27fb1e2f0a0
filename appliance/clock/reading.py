"""What chronyd says, as chronyc's CSV reports (`chronyc -c`), read strictly.

- A report has the fields that chrony 4 prints, each of its own bounded form; anything else is `ChronyUnreadable`.
- Numbers become integers here (nanoseconds, parts per billion): nothing after this module sees a float.
- `system_ns` is what must be *added* to the system clock to get chronyd's estimate of true time: positive where
  the system clock is slow. That holds with `chronyd -x`, too, which keeps the correction but never applies it
  (docs/decisions/0010-bounded-time.md tells how this was found out).

Source: chrony 4, client.c, process_cmd_tracking and process_cmd_sources; chronyc(1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.clock.errors import ChronyUnreadable

MAX_REPORT = 16_384
_MAX_SOURCES = 64
_SECONDS = re.compile(r"(-?)([0-9]{1,12})\.([0-9]{9})")
_PPM = re.compile(r"(-?)([0-9]{1,9})\.([0-9]{3})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:%_\[\]-]{0,127}")
_LEAPS = {
    "Normal": "normal",
    "Insert second": "insert",
    "Delete second": "delete",
    "Not synchronised": "unsynchronised",
    "Not synchronized": "unsynchronised",
}
_AUTHENTICATION = {"-": "none", "SK": "symmetric", "NTS": "nts"}


@dataclass(frozen=True)
class Tracking:
    """`chronyc tracking`. `reference_ns`: UTC of the last measurement used, by chronyd's own estimate; `skew_ppb`:
    chronyd's bound on its error in frequency; `leap`: normal, insert, delete or unsynchronised."""

    stratum: int
    reference_ns: int
    system_ns: int
    skew_ppb: int
    root_delay_ns: int
    root_dispersion_ns: int
    leap: str


@dataclass(frozen=True)
class Source:
    """A line of `chronyc sources`. `selected`: chronyd follows it alone or with others; `reachable`: it answered
    one of the last eight questions."""

    name: str
    stratum: int
    selected: bool
    reachable: bool


@dataclass(frozen=True)
class Reading:
    tracking: Tracking
    sources: tuple[Source, ...]


def parse(report: str) -> Reading:
    """The reading in the output of `chronyc -c -n -m tracking sources`."""
    lines = _lines("tracking", report)
    if not lines:
        raise ChronyUnreadable(report="tracking", field="report", text="empty")
    if len(lines) - 1 > _MAX_SOURCES:
        raise ChronyUnreadable(report="sources", field="lines", text=f"more than {_MAX_SOURCES}")
    return Reading(_tracking(lines[0]), tuple(_source(line) for line in lines[1:]))


def parse_authentication(report: str) -> dict[str, str]:
    """Source name -> none, symmetric or nts, from the output of `chronyc -c -n authdata`."""
    found: dict[str, str] = {}
    for line in _lines("authdata", report)[:_MAX_SOURCES]:
        name, mode, *_rest = _fields("authdata", line, 10)
        if not _NAME.fullmatch(name) or mode not in _AUTHENTICATION:
            raise ChronyUnreadable(report="authdata", field="mode", text=line)
        found[name] = _AUTHENTICATION[mode]
    return found


def _tracking(line: str) -> Tracking:
    fields = _fields("tracking", line, 14)
    leap = _LEAPS.get(fields[13])
    if leap is None:
        raise ChronyUnreadable(report="tracking", field="leap", text=fields[13])
    return Tracking(
        stratum=_natural("tracking", "stratum", fields[2], 10, limit=255),
        reference_ns=_scaled("reference time", _SECONDS, fields[3], least=0),
        system_ns=_scaled("system time", _SECONDS, fields[4]),
        skew_ppb=_scaled("skew", _PPM, fields[9], least=0),
        root_delay_ns=_scaled("root delay", _SECONDS, fields[10]),
        root_dispersion_ns=_scaled("root dispersion", _SECONDS, fields[11], least=0),
        leap=leap,
    )


def _source(line: str) -> Source:
    mode, state, name, stratum, _poll, reach, *_rest = _fields("sources", line, 10)
    if mode not in {"^", "=", "#"} or state not in {"*", "+", "-", "?", "x", "~"}:
        raise ChronyUnreadable(report="sources", field="mode", text=line)
    if not _NAME.fullmatch(name):
        raise ChronyUnreadable(report="sources", field="name", text=name)
    return Source(
        name=name,
        stratum=_natural("sources", "stratum", stratum, 10, limit=255),
        selected=state in {"*", "+"},
        reachable=_natural("sources", "reach", reach, 8, limit=0o377) != 0,
    )


def _lines(report: str, text: str) -> list[str]:
    if len(text) > MAX_REPORT:
        raise ChronyUnreadable(report=report, field="report", text=f"more than {MAX_REPORT} characters")
    return text.removesuffix("\n").split("\n") if text else []


def _fields(report: str, line: str, count: int) -> list[str]:
    fields = line.split(",")
    if len(fields) != count:
        raise ChronyUnreadable(report=report, field=f"{count} fields", text=line)
    return fields


def _natural(report: str, field: str, text: str, base: int, *, limit: int) -> int:
    if re.fullmatch("[0-9]{1,3}" if base == 10 else "[0-7]{1,3}", text) and (value := int(text, base)) <= limit:
        return value
    raise ChronyUnreadable(report=report, field=field, text=text)


def _scaled(field: str, form: re.Pattern[str], text: str, *, least: int | None = None) -> int:
    """A decimal number with a fixed count of decimals, as an integer of its last decimal's unit."""
    match = form.fullmatch(text)
    if match is None or not text.isascii():
        raise ChronyUnreadable(report="tracking", field=field, text=text)
    sign, whole, rest = match.groups()
    value = int(whole + rest) * (-1 if sign else 1)
    if least is not None and value < least:
        raise ChronyUnreadable(report="tracking", field=field, text=text)
    return value

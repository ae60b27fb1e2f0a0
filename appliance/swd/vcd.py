"""Value change dumps (IEEE 1364-2005, 18): written for any waveform viewer, read from any logic analyser.

- Signals are single bits. On reading, `x` and `z` count as 1 (the wire has a pull-up), vectors of one bit as bits;
  wider ones and reals are passed over; times become picoseconds by the file's own timescale.
- Whatever is not a VCD is `CaptureMalformed` with its line.
- Files of any length: both ways work through them line by line and keep only the signals' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from appliance.swd.errors import CaptureMalformed, SignalMissing

MAX_SIGNALS = 1024
MAX_LINE = 65_536
_MAX_PS = 10**18  # eleven days

_UNITS_PS = {"s": 10**12, "ms": 10**9, "us": 10**6, "ns": 1000, "ps": 1}
_TIMESCALE = re.compile(r"(1|10|100) ?(s|ms|us|ns|ps)")
_LEVELS = {"0": 0, "1": 1, "x": 1, "X": 1, "z": 1, "Z": 1}
_TIME = re.compile(r"#[0-9]{1,24}")


@dataclass(frozen=True, slots=True)
class Change:
    """At `at_ps`, `signal` becomes `level`."""

    at_ps: int
    signal: str
    level: int


@dataclass(frozen=True, slots=True)
class Waveform:
    """Signals and their changes in order of time; the first change of a signal is its initial level. Changes that come
    from a file can be gone through once."""

    signals: tuple[str, ...]
    changes: Iterable[Change]


@dataclass(frozen=True, slots=True)
class Edge:
    """A rising edge of the clock: the data's level just before it."""

    at_ps: int
    level: int


def write(waveform: Waveform) -> Iterator[str]:
    """The waveform as the lines of a VCD, ends included; a waveform that was written reads back the same."""
    codes = {name: chr(33 + index) for index, name in enumerate(waveform.signals)}
    yield "$timescale 1 ps $end\n$scope module swd $end\n"
    for name, code in codes.items():
        yield f"$var wire 1 {code} {name} $end\n"
    yield "$upscope $end\n$enddefinitions $end\n"
    at = None
    for change in waveform.changes:
        if change.at_ps != at:
            at = change.at_ps
            yield f"#{at}\n"
        yield f"{change.level}{codes[change.signal]}\n"


def lines_of(file: TextIO) -> Iterator[str]:
    """A file's lines, none longer than can be read: a longer one comes in pieces, which `read` refuses."""
    return iter(lambda: file.readline(MAX_LINE), "")


def read(lines: Iterable[str]) -> Waveform:
    """The single-bit signals of a VCD. Raises `CaptureMalformed`, also while its changes are gone through."""
    items = _items(lines)
    names, scale = _declarations(items)
    return Waveform(tuple(dict.fromkeys(names.values())), _dump(items, names, scale))


def rising_edges(waveform: Waveform, clock: str, data: str) -> Iterator[Edge]:
    """The clock's rising edges with the data before them. Raises `SignalMissing`."""
    for name in (clock, data):
        if name not in waveform.signals:
            raise SignalMissing(name=name)
    high, level, settled, at = True, 1, 1, -1
    for change in waveform.changes:
        if change.at_ps != at:
            at, settled = change.at_ps, level
        if change.signal == data:
            level = change.level
        elif change.signal == clock:
            if change.level and not high:
                yield Edge(at, settled)
            high = bool(change.level)


def _items(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if len(line) >= MAX_LINE:
            raise CaptureMalformed(line=number, why=f"it is longer than {MAX_LINE} characters")
        for item in line.split():
            yield number, item


def _declarations(items: Iterator[tuple[int, str]]) -> tuple[dict[str, str], int]:
    names: dict[str, str] = {}
    scale = 1000  # IEEE 1364 leaves it open; nanoseconds are what writers mean
    for line, item in items:
        if not item.startswith("$"):
            raise CaptureMalformed(line=line, why=f"{item[:40]!r} stands where a declaration should")
        words = _until_end(items, line)
        if item == "$enddefinitions":
            return names, scale
        if item == "$timescale":
            found = _TIMESCALE.fullmatch(" ".join(words))
            if not found:
                raise CaptureMalformed(line=line, why="the timescale is not 1, 10 or 100 of s to ps")
            scale = int(found[1]) * _UNITS_PS[found[2]]
        elif item == "$var" and len(words) >= 4 and words[1] == "1":
            names[words[2]] = words[3]
        elif item == "$var" and len(words) < 4:
            raise CaptureMalformed(line=line, why="a variable has no type, width, code and name")
        if len(names) > MAX_SIGNALS:
            raise CaptureMalformed(line=line, why=f"it has more than {MAX_SIGNALS} signals")
    raise CaptureMalformed(line=0, why="it ends inside the declarations")


def _until_end(items: Iterator[tuple[int, str]], line: int) -> list[str]:
    words: list[str] = []
    for _, item in items:
        if item == "$end":
            return words
        if len(words) < 16:  # comments may be long; nothing else is
            words.append(item)
    raise CaptureMalformed(line=line, why="a declaration has no $end")


def _dump(items: Iterator[tuple[int, str]], names: dict[str, str], scale: int) -> Iterator[Change]:
    at = 0
    for line, item in items:
        first = item[0]
        if first == "#":
            if not _TIME.fullmatch(item) or not at <= int(item[1:]) * scale <= _MAX_PS:
                raise CaptureMalformed(line=line, why=f"the time {item[:40]} is none, or goes backwards")
            at = int(item[1:]) * scale
        elif first in _LEVELS:
            if item[1:] in names:
                yield Change(at, names[item[1:]], _LEVELS[first])
        elif first in "bBrR":
            code = next(items, (line, ""))[1]
            if code in names and item[1:] in _LEVELS:
                yield Change(at, names[code], _LEVELS[item[1:]])
        elif item == "$comment":
            _until_end(items, line)
        elif first != "$":  # $dumpvars and its kind only group the changes
            raise CaptureMalformed(line=line, why=f"{item[:40]!r} is no change of a value")

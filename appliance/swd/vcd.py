"""Value change dumps (IEEE 1364-2005, 18): written for any waveform viewer, read from any logic analyser.

- Signals are single bits. On reading, `x` and `z` count as 1 (the wire has a pull-up), vectors of one bit as bits;
  wider ones and reals are passed over; times become picoseconds by the file's own timescale.
- Whatever is not a VCD is `CaptureMalformed` with its line; sizes are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.swd.errors import CaptureMalformed, SignalMissing

MAX_BYTES = 256 * 1024 * 1024
MAX_SIGNALS = 1024
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
    """Signals and their changes in order of time; the first change of a signal is its initial level."""

    signals: tuple[str, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A rising edge of the clock: the data's level just before it."""

    at_ps: int
    level: int


def write(waveform: Waveform) -> str:
    """The waveform as a VCD text; a waveform that was written reads back the same."""
    codes = {name: chr(33 + index) for index, name in enumerate(waveform.signals)}
    lines = ["$timescale 1 ps $end", "$scope module swd $end"]
    lines += [f"$var wire 1 {code} {name} $end" for name, code in codes.items()]
    lines += ["$upscope $end", "$enddefinitions $end"]
    at = None
    for change in waveform.changes:
        if change.at_ps != at:
            at = change.at_ps
            lines.append(f"#{at}")
        lines.append(f"{change.level}{codes[change.signal]}")
    return "\n".join(lines) + "\n"


def read(text: str) -> Waveform:
    """The single-bit signals of a VCD. Raises `CaptureMalformed`."""
    if len(text) > MAX_BYTES:
        raise CaptureMalformed(line=1, why=f"it is longer than {MAX_BYTES} characters")
    tokens = _tokens(text)
    names, scale = _declarations(tokens)
    return Waveform(tuple(dict.fromkeys(names.values())), tuple(_dump(tokens, names, scale)))


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


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    number = 1
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        for item in text[start:end].split():
            yield number, item
        start, number = end + 1, number + 1


def _declarations(tokens: Iterator[tuple[int, str]]) -> tuple[dict[str, str], int]:
    names: dict[str, str] = {}
    scale = 1000  # IEEE 1364 leaves it open; nanoseconds are what writers mean
    for line, item in tokens:
        if not item.startswith("$"):
            raise CaptureMalformed(line=line, why=f"{item[:40]!r} stands where a declaration should")
        words = _until_end(tokens, line)
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


def _until_end(tokens: Iterator[tuple[int, str]], line: int) -> list[str]:
    words: list[str] = []
    for _, item in tokens:
        if item == "$end":
            return words
        if len(words) < 16:  # comments may be long; nothing else is
            words.append(item)
    raise CaptureMalformed(line=line, why="a declaration has no $end")


def _dump(tokens: Iterator[tuple[int, str]], names: dict[str, str], scale: int) -> Iterable[Change]:
    at = 0
    for line, item in tokens:
        first = item[0]
        if first == "#":
            if not _TIME.fullmatch(item) or not at <= int(item[1:]) * scale <= _MAX_PS:
                raise CaptureMalformed(line=line, why=f"the time {item[:40]} is none, or goes backwards")
            at = int(item[1:]) * scale
        elif first in _LEVELS:
            if item[1:] in names:
                yield Change(at, names[item[1:]], _LEVELS[first])
        elif first in "bBrR":
            code = next(tokens, (line, ""))[1]
            if code in names and item[1:] in _LEVELS:
                yield Change(at, names[code], _LEVELS[item[1:]])
        elif item == "$comment":
            _until_end(tokens, line)
        elif first != "$":  # $dumpvars and its kind only group the changes
            raise CaptureMalformed(line=line, why=f"{item[:40]!r} is no change of a value")

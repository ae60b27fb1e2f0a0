"""A recording of the pins as a waveform, the way a logic analyser on the wire would show it.

- Events come from `SwdPort.stop_recording`; each becomes edges of SWCLK, levels of SWDIO, nRESET and power.
- The time axis is nominal: cycles at the set SWCLK, and the waits that were asked for. Real pins are slower than
  nominal; a real logic analyser measures, this does not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.swd.errors import CaptureOverflowed
from appliance.swd.port import SwdPort
from appliance.swd.vcd import Change, Waveform

SIGNALS = ("swclk", "swdio", "host_drives", "nreset", "power")

_EVENT = struct.Struct("<cBB5xQQ")  # struct swd_recorded, core/wire.h
_PS_PER_S = 10**12
_PS_PER_NS = 1000
_LINES = ("nreset", "power")
_DEFAULT_HZ = 1_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """`count` cycles: driven `out` or released; `seen` are the levels sampled in them."""

    count: int
    driven: bool
    out: int
    seen: int


@dataclass(frozen=True, slots=True)
class Clock:
    hz: int


@dataclass(frozen=True, slots=True)
class Line:
    line: int
    level: int


@dataclass(frozen=True, slots=True)
class Wait:
    ns: int


@dataclass(frozen=True, slots=True)
class Taken:
    driven: bool


Event = Exchange | Clock | Line | Wait | Taken


def stop(port: SwdPort) -> list[Event]:
    """Ends a recording; its events. Raises `CaptureOverflowed` when some were lost."""
    data, overflowed = port.stop_recording()
    recorded = list(events(data))
    if overflowed:
        raise CaptureOverflowed(limit=len(recorded))
    return recorded


def events(data: bytes) -> Iterator[Event]:
    """The events in a recording's bytes."""
    for kind, count, drive, out, seen in _EVENT.iter_unpack(data):
        if kind == b"x":
            yield Exchange(count, bool(drive), out, seen)
        elif kind == b"c":
            yield Clock(out)
        elif kind == b"l":
            yield Line(count, out)
        elif kind == b"w":
            yield Wait(out)
        else:
            yield Taken(bool(out))


def waveform(recorded: Iterable[Event], *, hz: int = _DEFAULT_HZ) -> Waveform:
    """The edges of a recording that began at SWCLK `hz`; times in picoseconds. Its changes can be gone through once."""
    return Waveform(SIGNALS, _changes(recorded, hz))


def _changes(recorded: Iterable[Event], hz: int) -> Iterator[Change]:
    level = {"swclk": 0, "swdio": 1, "host_drives": 0, "nreset": 1, "power": 1}
    now = 0
    for name in SIGNALS:
        yield Change(0, name, level[name])

    def to(name: str, value: int) -> Iterator[Change]:
        if level[name] != value:
            level[name] = value
            yield Change(now, name, value)

    for event in recorded:
        if isinstance(event, Exchange):
            half = _PS_PER_S // (2 * hz)
            yield from to("host_drives", int(event.driven))
            for cycle in range(event.count):
                yield from to("swdio", event.seen >> cycle & 1)
                now += half
                yield from to("swclk", 1)
                now += half
                yield from to("swclk", 0)
        elif isinstance(event, Clock):
            hz = event.hz
        elif isinstance(event, Line):
            yield from to(_LINES[event.line], event.level)
        elif isinstance(event, Wait):
            now += event.ns * _PS_PER_NS
        else:
            yield from to("host_drives", int(event.driven))

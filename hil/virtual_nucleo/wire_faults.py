"""What can go wrong on a wire, as data: a plan of faults, and its performance on a wire (``wire.py``).

* A plan is plain data (``to_json``, ``from_json``) and the same plan goes wrong in the same way in every run;
  :func:`random_plan` draws one from a seed.
* Transfers are counted by their start bits, from 0 when the plan is attached; offsets are SWCLK cycles from the start
  bit (1 to 7 the rest of the request, 8 turnaround, 9 to 11 the acknowledgement, then data).
* Each fault is something that happens to silicon and wires, not to a protocol: what the target makes of it follows from
  its own rules. Only :class:`Waits` puts words in its mouth.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hil.virtual_nucleo.dp import CTRL_STAT, Ack
from hil.virtual_nucleo.faults import DoorError
from hil.virtual_nucleo.flash import PROGRAM_PS
from hil.virtual_nucleo.soc import Soc
from hil.virtual_nucleo.vtime import PS_PER_US
from hil.virtual_nucleo.wire_port import READ

if TYPE_CHECKING:
    from hil.virtual_nucleo.wire import Wire

_LOW, _HIGH, _FLIP, _EVENT = range(4)
"""``enum fault_kind`` of ``_wire.h``."""
_NEVER = (1 << 64) - 1
_MAX_FAULTS = 256
_LIMITS = {"offset": (1, 1 << 31), "level": (0, 1), "cycles": (1, 1 << 62), "count": (1, 1 << 31), "nth": (0, 1 << 31)}


@dataclass(frozen=True)
class Flip:
    """SWDIO has the wrong level for one cycle, for both ends."""

    transfer: int
    offset: int


@dataclass(frozen=True)
class Stuck:
    """SWDIO is stuck at *level* for so many *cycles*, whoever drives it."""

    transfer: int
    offset: int
    cycles: int
    level: int


@dataclass(frozen=True)
class LostAck:
    """The target acknowledges, and the host sees nothing (three bits high, turnaround of one cycle)."""

    transfer: int


@dataclass(frozen=True)
class Waits:
    """From this transfer on, the first *count* that may be answered with WAIT are."""

    transfer: int
    count: int


@dataclass(frozen=True)
class BusError:
    """At this transfer, the bus of the AP has had an error: STICKYERR is set, and FAULT the answer."""

    transfer: int


@dataclass(frozen=True)
class ResetHeld:
    """Somebody else pulls NRST low for so long."""

    transfer: int
    offset: int
    microseconds: int


@dataclass(frozen=True)
class PowerLost:
    """The supply goes in that cycle; it comes back after *back_us*, or stays away."""

    transfer: int
    offset: int
    back_us: int | None = None


@dataclass(frozen=True)
class PowerLostErasing:
    """The supply goes in the *nth* erase from now (from 0), after that part of its time."""

    nth: int
    fraction: float
    back_us: int | None = None


@dataclass(frozen=True)
class PowerLostProgramming:
    """The supply goes in the *nth* write to flash from now (from 0), after that part of its 16 us."""

    nth: int
    fraction: float
    back_us: int | None = None


Fault = Flip | Stuck | LostAck | Waits | BusError | ResetHeld | PowerLost | PowerLostErasing | PowerLostProgramming
_KINDS: dict[str, type[Fault]] = {
    "flip": Flip,
    "stuck": Stuck,
    "lost-ack": LostAck,
    "waits": Waits,
    "bus-error": BusError,
    "reset-held": ResetHeld,
    "power-lost": PowerLost,
    "power-lost-erasing": PowerLostErasing,
    "power-lost-programming": PowerLostProgramming,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True)
class FaultPlan:
    """Faults in any order. At most one thing happens on the line at a time: an overlapped one comes late."""

    faults: tuple[Fault, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """The plan as JSON data."""
        return [{"fault": _NAMES[type(fault)], **dataclasses.asdict(fault)} for fault in self.faults]


NO_FAULTS = FaultPlan(())


def from_json(data: object) -> FaultPlan:
    """The plan that *data* describes. :raises DoorError: when it describes none."""
    if not isinstance(data, list) or len(data) > _MAX_FAULTS:
        raise DoorError(f"a plan is a list of at most {_MAX_FAULTS} faults")
    return FaultPlan(tuple(_fault(entry) for entry in data))


def _fault(entry: object) -> Fault:
    if not isinstance(entry, dict) or entry.get("fault") not in _KINDS:
        raise DoorError(f"no such fault; there are {', '.join(_KINDS)}")
    kind = _KINDS[entry["fault"]]
    given = {name: value for name, value in entry.items() if name != "fault"}
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    if not given.keys() <= fields.keys():
        raise DoorError(f"{entry['fault']} has no {', '.join(sorted(given.keys() - fields.keys()))}")
    for name, default in fields.items():
        if name not in given and default is dataclasses.MISSING:
            raise DoorError(f"{entry['fault']} needs {name}")
        if name in given:
            _check(name, given[name])
    return kind(**given)


def _check(name: str, value: object) -> None:
    if name == "back_us" and value is None:
        return
    if name == "fraction":
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
            raise DoorError("fraction must be a number between 0 and 1")
        return
    low, high = _LIMITS.get(name, (0, 1 << 40))
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DoorError(f"{name} must be an integer from {low} to {high}")


def random_plan(seed: int, *, transfers: int, erases: int = 0, words: int = 0) -> FaultPlan:
    """One to three faults for a job that has so many transfers, erases and flash writes when nothing goes wrong."""
    source = random.Random(seed)
    draws: list[Callable[[], Fault]] = [
        lambda: Flip(source.randrange(transfers), source.randrange(1, 46)),
        lambda: Stuck(
            source.randrange(transfers), source.randrange(1, 46), 1 << source.randrange(12), source.randrange(2)
        ),
        lambda: LostAck(source.randrange(transfers)),
        lambda: Waits(source.randrange(transfers), 1 << source.randrange(9)),
        lambda: BusError(source.randrange(transfers)),
        lambda: ResetHeld(source.randrange(transfers), source.randrange(1, 46), 10 ** source.randrange(1, 5)),
        lambda: PowerLost(source.randrange(transfers), source.randrange(1, 46), source.choice((None, 100, 20_000))),
    ]
    if erases:
        draws.append(lambda: PowerLostErasing(source.randrange(erases), source.uniform(0.01, 0.99)))
    if words:
        draws.append(lambda: PowerLostProgramming(source.randrange(words), source.uniform(0.01, 0.99)))
    return FaultPlan(tuple(source.choice(draws)() for _ in range(source.choice((1, 1, 1, 2, 3)))))


class Performance:
    """A plan being carried out on a wire, until it is replaced or the board is unplugged."""

    def __init__(self, wire: Wire, plan: FaultPlan) -> None:
        self._wire = wire
        self.plan = plan
        self.holds_reset = False
        """Whether a fault pulls NRST low."""
        self._release_at: int | None = None
        self._back_at: int | None = None
        self._back_us: int | None = None
        self._cut_at: int | None = None
        self._erases = self._words = 0
        self._done: set[int] = set()
        self._waits = [[fault.transfer, fault.count] for fault in plan.faults if isinstance(fault, Waits)]
        self._errors = sorted(fault.transfer for fault in plan.faults if isinstance(fault, BusError))
        self._soc = (
            wire.soc if any(isinstance(f, PowerLostErasing | PowerLostProgramming) for f in plan.faults) else None
        )
        if self._soc is not None:
            self._plain_busy = self._soc.flash.on_busy
            self._soc.flash.on_busy = self._busy
        wire.slave.plan(tuple(self._line_faults()), self._next_watched())

    def end(self) -> None:
        """No more faults; what has happened has happened, but NRST is let go."""
        if self._soc is not None:
            self._soc.flash.on_busy = self._plain_busy
            if self._soc.power_cut_at == self._cut_at:
                self._soc.power_cut_at = None
            self._soc = None
        self._back_at = self._release_at = None
        if self.holds_reset:
            self.holds_reset = False
            self._wire.update_reset()

    @property
    def happened(self) -> tuple[Fault, ...]:
        """The faults that have come about so far."""
        begun = self._wire.slave.transfers
        return tuple(
            fault
            for index, fault in enumerate(self.plan.faults)
            if index in self._done
            or (isinstance(fault, Flip | Stuck | LostAck | Waits | BusError) and fault.transfer < begun)
        )

    def _line_faults(self) -> list[tuple[int, int, int, int, int]]:
        rows = []
        for index, fault in enumerate(self.plan.faults):
            if isinstance(fault, Flip):
                rows.append((fault.transfer, fault.offset, 1, _FLIP, index))
            elif isinstance(fault, Stuck):
                rows.append((fault.transfer, fault.offset, fault.cycles, fault.level, index))
            elif isinstance(fault, LostAck):
                rows.append((fault.transfer, 9, 3, _HIGH, index))
            elif isinstance(fault, ResetHeld | PowerLost):
                rows.append((fault.transfer, fault.offset, 1, _EVENT, index))
        return sorted(rows)

    # -- transfers ---------------------------------------------------------------------------------------------

    def _next_watched(self) -> int:
        return min([transfer for transfer, _ in self._waits] + self._errors, default=_NEVER)

    def on_transfer(self, transfer: int, request: int) -> Ack | None:
        """What the plan answers to a transfer, if anything."""
        soc = self._wire.soc
        if soc is None or soc.dp.after_line_reset or transfer < self._next_watched():
            return None
        if request in {0x0, READ, CTRL_STAT | READ}:
            return None  # these are never refused (ADIv5.2 B4.2.3, B4.2.4)
        if self._errors and transfer >= self._errors[0]:
            self._errors.pop(0)
            soc.dp.note_bus_error()
        ack = None
        for burst in self._waits:
            if transfer >= burst[0] and not soc.dp.sticky:
                burst[1] -= 1
                soc.dp.overrun()
                ack = Ack.WAIT
                break
        self._waits = [burst for burst in self._waits if burst[1] > 0]
        self._wire.slave.watch_transfer(self._next_watched())
        return ack

    def on_cycle(self, index: int) -> None:
        """The cycle of the plan's fault number *index* has come."""
        fault, soc = self.plan.faults[index], self._wire.soc
        if soc is None:
            return
        self._done.add(index)
        if isinstance(fault, ResetHeld):
            self.holds_reset = True
            self._release_at = soc.time.now + fault.microseconds * PS_PER_US
            self._wire.update_reset()
        elif isinstance(fault, PowerLost):
            self._back_us = fault.back_us
            soc.power_off()
        self._wire.look_ahead()

    # -- time and power ----------------------------------------------------------------------------------------

    @property
    def next_moment(self) -> int | None:
        """When something planned happens by itself."""
        return min((moment for moment in (self._release_at, self._back_at) if moment is not None), default=None)

    def time_passed(self) -> None:
        """Time has gone on."""
        soc = self._wire.soc
        if soc is None:
            return
        if self._release_at is not None and soc.time.now >= self._release_at:
            self._release_at = None
            self.holds_reset = False
            self._wire.update_reset()
        if self._back_at is not None and soc.time.now >= self._back_at:
            self._back_at = None
            soc.power_on()

    def power_changed(self, on: bool) -> None:
        """The supply has gone, as planned or otherwise, or is back."""
        soc = self._wire.soc
        if not on and soc is not None and self._back_us is not None:
            self._back_at = soc.time.now + self._back_us * PS_PER_US
            self._back_us = None

    def _busy(self) -> None:
        soc = self._soc
        assert soc is not None
        self._plain_busy()
        duration = soc.flash.busy_until - soc.time.now
        programming = duration <= PROGRAM_PS
        count = self._words if programming else self._erases
        for index, fault in enumerate(self.plan.faults):
            if isinstance(fault, PowerLostProgramming if programming else PowerLostErasing) and fault.nth == count:
                self._done.add(index)
                self._cut(soc, int(fault.fraction * duration), fault.back_us)
        if programming:
            self._words += 1
        else:
            self._erases += 1

    def _cut(self, soc: Soc, after_ps: int, back_us: int | None) -> None:
        self._back_us = back_us
        soc.power_cut_at = self._cut_at = soc.time.now + after_ps
        if soc.time.in_core:
            soc.core.stop_slice()  # so that the core does not run past it
        else:
            self._wire.look_ahead()

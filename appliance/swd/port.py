"""One target's wire: whole SWD operations with named refusals.

- A register is its address (bits 3:2) and whether it is an access port's; which AP and bank is SELECT's business.
- A WAITed access was not performed and is repeated within the budget; damaged read data is asked for again with RESEND,
  which performs nothing. Nothing else is repeated. `counters` shows how often either happened.
- `run` performs several accesses as one operation: AP reads stay posted between them, idle clocks come once, and how
  it ended is known (RDBUFF) before it returns.
- Writes to SELECT, CTRL/STAT and DLCR are noticed: turnaround and overrun detection follow what the target was told.
- Any thread may call; operations of one port queue up. `cancel` ends the running one between two transfers and refuses
  new ones until `resume`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self, TypeVar

from appliance.swd import _core, sequences
from appliance.swd.errors import (
    AcknowledgeGarbled,
    Cancelled,
    DataDamaged,
    LineHeldLow,
    LineMissing,
    LineStuck,
    NobodyAnswers,
    PinsLost,
    TargetFaulted,
    TargetWaiting,
    WireError,
)

AP, READ = 1, 2
ABORT = DPIDR = 0x0
CTRL_STAT = DLCR = 0x4
SELECT = RESEND = 0x8
RDBUFF = TARGETSEL = 0xC

Access = tuple[int, "int | bytes | bytearray | memoryview"]
"""(request, payload): request is `AP | READ | address`; a write's payload is a word or a block of little-endian words,
a read's the number of words."""

_T = TypeVar("_T")
_NRESET, _POWER = 0, 1
_DEFAULT_RECORD = 1 << 20


class Status(IntEnum):
    """How the core says that an operation ended (core/wire.h)."""

    WAITED = 1
    FAULTED = 2
    SILENT = 3
    HELD_LOW = 4
    GARBLED = 5
    PARITY = 6
    CANCELLED = 7


_REFUSALS: dict[Status, type[WireError]] = {
    Status.WAITED: TargetWaiting,
    Status.FAULTED: TargetFaulted,
    Status.SILENT: NobodyAnswers,
    Status.HELD_LOW: LineHeldLow,
    Status.GARBLED: AcknowledgeGarbled,
    Status.PARITY: DataDamaged,
    Status.CANCELLED: Cancelled,
}


@dataclass(frozen=True, slots=True)
class Counters:
    """SWCLK cycles, transfers (repeated ones too), transfers answered WAIT, reads asked for again with RESEND."""

    cycles: int
    transfers: int
    waits: int
    resends: int


@dataclass(frozen=True, slots=True)
class WireSettings:
    """`data_always`: overrun detection; `idle_clocks` after each operation; WAIT is borne for `wait_budget_ms` of
    SWCLK time."""

    turnaround: int
    data_always: bool
    idle_clocks: int
    wait_budget_ms: int
    hz: int


class SwdPort:
    """A set of pins with SWD on it. Made by `appliance.swd.pins`."""

    def __init__(self, core: _core.Port) -> None:
        self._core = core

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the wire and of nRESET; power stays as it is."""
        self._core.close()

    # -- transfers -----------------------------------------------------------------------------------------------

    def run(self, accesses: Sequence[Access]) -> list[bytes]:
        """Performs the accesses in order; the data of each read. Raises `WireError`, `PinsLost`."""
        try:
            return self._core.run(list(accesses))
        except (_core.WireFailure, OSError) as error:
            raise _named(error) from error

    def read_dp(self, address: int) -> int:
        """A DP register."""
        return _word(self.run([(address | READ, 1)]))

    def write_dp(self, address: int, value: int) -> None:
        """A DP register. A write to TARGETSEL (0xC) is not acknowledged by anybody."""
        self.run([(address, value)])

    def read_ap(self, address: int) -> int:
        """An AP register of the selected AP and bank."""
        return _word(self.run([(address & 0xC | AP | READ, 1)]))

    def write_ap(self, address: int, value: int) -> None:
        """An AP register; returns when the write is known to have been performed."""
        self.run([(address & 0xC | AP, value)])

    def read_ap_block(self, address: int, count: int) -> bytes:
        """The same AP register `count` times, as little-endian words."""
        return self.run([(address & 0xC | AP | READ, count)])[0]

    def write_ap_block(self, address: int, words: bytes) -> None:
        """The same AP register once for each little-endian word."""
        self.run([(address & 0xC | AP, words)])

    # -- sequences -----------------------------------------------------------------------------------------------

    def sequence(self, count: int, bits: int) -> int:
        """Drives `count` bits as they are, LSB first, and nothing after them; returns the levels seen meanwhile."""
        with _naming():
            seen = self._core.sequence(count, (bits & (1 << count) - 1).to_bytes((count + 7) // 8, "little"))
        return int.from_bytes(seen, "little")

    def listen(self, count: int) -> int:
        """`count` (1 to 64) cycles with SWDIO released; returns its levels."""
        with _naming():
            return self._core.listen(count)

    def line_reset(self) -> None:
        """A line reset; the next transfer must read DPIDR. Raises `LineStuck` where SWDIO does not follow the host."""
        self.say(sequences.LINE_RESET)

    def connect(self, *, dormant: bool = False) -> int:
        """Takes the wire and selects SWD, from JTAG or (dormant operation) from whatever it is; returns DPIDR."""
        self.drive_pins(driven=True)
        self.configure(turnaround=1, data_always=False)
        if dormant:
            self.say(sequences.JTAG_TO_DORMANT)
            self.say(sequences.SWD_TO_DORMANT)
            self.say(sequences.DORMANT_TO_SWD)
        else:
            self.say(sequences.JTAG_TO_SWD)
        return self.read_dp(DPIDR)

    def say(self, sequence: sequences.Sequence) -> None:
        """Drives a sequence and looks whether SWDIO follows. Raises `LineStuck`."""
        seen = self.sequence(sequence.count, sequence.bits)
        highs = sequence.bits & (1 << sequence.count) - 1
        if highs and not seen & highs:
            raise LineStuck(level=0)
        lows = ~highs & (1 << sequence.count) - 1
        if lows and seen & lows == lows:
            raise LineStuck(level=1)

    # -- lines, clock, time ----------------------------------------------------------------------------------------

    def set_clock(self, hz: int) -> None:
        """SWCLK; a back end that cannot go so fast goes as fast as it can."""
        with _naming():
            self._core.set_clock(hz)

    def drive_pins(self, *, driven: bool) -> None:
        """Takes SWCLK and SWDIO, or lets them float."""
        with _naming():
            self._core.drive_pins(driven)

    def assert_reset(self, *, asserted: bool) -> None:
        """Pulls nRESET low, or lets it go. Raises `LineMissing`."""
        _line("nRESET", lambda: self._core.set_line(_NRESET, not asserted))

    def is_reset_low(self) -> bool:
        """Whether nRESET is low, whoever holds it. Raises `LineMissing`."""
        return not _line("nRESET", lambda: self._core.get_line(_NRESET))

    def switch_power(self, *, on: bool) -> None:
        """Switches the target's supply. The debug port starts anew. Raises `LineMissing`."""
        _line("power", lambda: self._core.set_line(_POWER, on))

    def is_powered(self) -> bool:
        """Whether the supply is switched on. Raises `LineMissing`."""
        return _line("power", lambda: self._core.get_line(_POWER))

    def wait(self, ns: int) -> None:
        """Lets the target's time pass: real for real pins, virtual for virtual ones."""
        with _naming():
            self._core.wait(ns)

    # -- settings, counters, record, cancellation ------------------------------------------------------------------

    @property
    def settings(self) -> WireSettings:
        """What holds now."""
        turnaround, data_always, idle_clocks, wait_budget_ms, hz = self._core.settings()
        return WireSettings(turnaround, bool(data_always), idle_clocks, wait_budget_ms, hz)

    def configure(
        self,
        *,
        turnaround: int | None = None,
        data_always: bool | None = None,
        idle_clocks: int | None = None,
        wait_budget_ms: int | None = None,
    ) -> None:
        """Changes what is given. Turnaround is 1 to 4 cycles. Fewer than 8 idle clocks are for measurements only."""
        now = self.settings
        self._core.configure(
            now.turnaround if turnaround is None else turnaround,
            now.data_always if data_always is None else data_always,
            now.idle_clocks if idle_clocks is None else idle_clocks,
            now.wait_budget_ms if wait_budget_ms is None else wait_budget_ms,
        )

    @property
    def counters(self) -> Counters:
        """Since the port was opened."""
        return Counters(*self._core.counters())

    def start_recording(self, limit: int = _DEFAULT_RECORD) -> None:
        """Keeps what happens on the pins from now on, at most `limit` events of up to 64 cycles (24 bytes each)."""
        self._core.record(limit)

    def stop_recording(self) -> tuple[bytes, bool]:
        """The events (see `appliance.swd.capture`), and whether some were lost to the limit."""
        return self._core.recorded()

    def cancel(self) -> None:
        """Ends the running operation between two transfers, and every later one before its first."""
        self._core.cancel(True)

    def resume(self) -> None:
        """Takes `cancel` back."""
        self._core.cancel(False)


def _word(data: list[bytes]) -> int:
    return int.from_bytes(data[0], "little")


def _named(error: _core.WireFailure | OSError) -> WireError | PinsLost:
    if isinstance(error, OSError):
        return PinsLost(why=str(error))
    status, access, word, ack = error.args
    return _REFUSALS[Status(status)](access=access, word=word, ack=f"{ack & 7:03b}")


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except (_core.WireFailure, OSError) as error:
        raise _named(error) from error


def _line(name: str, work: Callable[[], _T]) -> _T:
    try:
        return work()
    except OSError as error:
        if error.errno == 19:  # ENODEV: the settings name no such line
            raise LineMissing(line=name) from error
        raise _named(error) from error

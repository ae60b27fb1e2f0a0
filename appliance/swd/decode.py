"""What was said on an SWD wire: transactions, resets and protocol switches out of clock edges.

    python -m appliance.swd.decode FILE.vcd [--clock swclk] [--data swdio]

- The decoder sees what a target sees: the level of SWDIO at each rising edge, not who drives it. It needs a line reset
  or a switch sequence to begin with, and after anything it cannot follow it waits for the next.
- Writes to SELECT, CTRL/STAT and DLCR are followed, for names, data phases and turnaround.
- AP reads are posted: the data shown with one is the answer to the one before it (ADIv5.2 B2.2.7).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.swd import vcd
from appliance.swd.errors import CaptureError
from appliance.swd.vcd import Edge

_LINE_RESET_ONES = 50
_ACKS = {0b001: "OK", 0b010: "WAIT", 0b100: "FAULT", 0b111: "silent", 0: "held low"}
_DP_READ = {0x0: "DPIDR", 0x4: "CTRL/STAT", 0x8: "RESEND", 0xC: "RDBUFF"}
_DP_WRITE = {0x0: "ABORT", 0x4: "CTRL/STAT", 0x8: "SELECT", 0xC: "TARGETSEL"}
_DP_BANKS = {1: "DLCR", 2: "TARGETID", 3: "DLPIDR", 4: "EVENTSTAT"}
_AP = {0x00: "CSW", 0x04: "TAR", 0x08: "TAR.hi", 0x0C: "DRW", 0x10: "BD0", 0x14: "BD1", 0x18: "BD2", 0x1C: "BD3"}
_AP |= {0xF4: "CFG", 0xF8: "BASE", 0xFC: "IDR"}
_SELECT_16 = {0xE79E: "JTAG to SWD", 0xE73C: "SWD to JTAG", 0xE3BC: "SWD to dormant"}
_JTAG_TO_DORMANT = 0x33BBBBBA
_ALERT = 0x19BC0EA2_E3DDAFE9_86852D95_6209F392
_ACTIVATION = {0x1A: "dormant to SWD", 0x0A: "dormant to JTAG"}
_INTO_SWD = {"JTAG to SWD", "dormant to SWD"}


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transfer. `ack` as on the wire, LSB first; `data` None where there was no data phase."""

    at_ps: int
    ap: bool
    read: bool
    address: int
    register: str
    ack: int
    data: int | None
    parity_ok: bool

    def __str__(self) -> str:
        answer = _ACKS.get(self.ack, f"{self.ack:03b}?")
        data = "" if self.data is None else f"0x{self.data:08x}" + ("" if self.parity_ok else "  WRONG PARITY")
        kind = f"{'AP' if self.ap else 'DP'} {'read ' if self.read else 'write'}"
        return f"{_us(self.at_ps)}  {kind} {self.register:<14} {answer:<8} {data}".rstrip()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is no transfer: `what` is `line reset`, a switch of protocols, or `lost`."""

    at_ps: int
    what: str

    @property
    def is_lost(self) -> bool:
        """Whether the decoder gave up here, until the next line reset."""
        return self.what.startswith("lost")

    def __str__(self) -> str:
        return f"{_us(self.at_ps)}  -- {self.what}"


Said = Transaction | Notice


def decode(edges: Iterable[Edge]) -> Iterator[Said]:
    """What was said, in order."""
    decoder = _Decoder()
    for edge in edges:
        yield from decoder.feed(edge)


class _Decoder:
    """Watches for resets and switches in every bit; hands the rest to `_transfers` while SWD is known to be spoken."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._memory = _Memory()
        self._transfers: Generator[None, Edge, None] | None = None
        self._swd = True  # a line reset may begin SWD; not so after a switch away
        self._ones = 0
        self._since: list[int] = []  # bits after the last line reset, as long as they may be a switch
        self._recent = 0  # the last 140 bits

    def feed(self, edge: Edge) -> Iterator[Said]:
        self._recent = (self._recent >> 1 | edge.level << 139) & (1 << 140) - 1
        if not edge.level and self._ones >= _LINE_RESET_ONES:
            self._line_reset(edge)
        self._ones = self._ones + 1 if edge.level else 0
        if self._transfers is not None:
            try:
                self._transfers.send(edge)
            except StopIteration:
                self._transfers = None
        if what := self._switch(edge):
            # its bits were no request, whatever they looked like
            self._said = [each for each in self._said if isinstance(each, Notice) and not each.is_lost]
            self._said.append(Notice(edge.at_ps, what))
            self._swd = what in _INTO_SWD
            self._memory = _Memory()
            self._transfers = None
        if len(self._since) >= 16 or self._transfers is not None:
            yield from self._said
            self._said.clear()

    def _line_reset(self, edge: Edge) -> None:
        self._said.append(Notice(edge.at_ps, f"line reset ({self._ones} ones)"))
        self._since = []
        self._memory.bank = 0
        self._transfers = _transfers(self._memory, self._said) if self._swd else None
        if self._transfers is not None:
            next(self._transfers)

    def _switch(self, edge: Edge) -> str | None:
        """The name of the switch whose last bit this is."""
        if self._recent & (1 << 128) - 1 == _ALERT and self._recent >> 128 & 0xF == 0:
            return _ACTIVATION.get(self._recent >> 132)
        if self._transfers is None and self._recent >> 109 == _JTAG_TO_DORMANT:
            return "JTAG to dormant"
        if len(self._since) < 16:
            self._since.append(edge.level)
            return _SELECT_16.get(_value(self._since)) if len(self._since) == 16 else None
        return None


@dataclass
class _Memory:
    """What the debug port was told and a listener must know."""

    select: int = 0
    bank: int = 0
    turnaround: int = 1
    data_always: bool = False

    def register(self, *, ap: bool, read: bool, address: int) -> str:
        if ap:
            full = self.select & 0xF0 | address
            return f"{self.select >> 24}:{_AP.get(full, f'0x{full:02x}')}"
        if address == 4 and self.bank:
            return _DP_BANKS.get(self.bank, f"bank {self.bank}")
        return (_DP_READ if read else _DP_WRITE)[address]

    def written(self, address: int, value: int) -> None:
        if address == 8:
            self.select, self.bank = value, value & 0xF
        elif address == 4 and self.bank == 0:
            self.data_always = bool(value & 1)
        elif address == 4 and self.bank == 1:
            self.turnaround = (value >> 8 & 3) + 1


def _transfers(memory: _Memory, said: list[Said]) -> Generator[None, Edge, None]:
    """Fed edge by edge; adds each transfer to `said` at its last edge, and ends where it cannot follow any more."""
    while True:
        edge = yield
        if not edge.level:
            continue
        at, header = edge.at_ps, 1 | (yield from _bits(7)) << 1
        fields = header >> 1 & 0xF
        if header == 0xFF:
            return  # a released line, or the beginning of a line reset
        if (header & 0xC0) != 0x80 or fields.bit_count() & 1 != header >> 5 & 1:
            said.append(Notice(at, f"lost: 0x{header:02x} is no request"))
            return
        ap, read, address = bool(fields & 1), bool(fields & 2), fields & 0xC
        register = memory.register(ap=ap, read=read, address=address)
        turnaround = memory.turnaround
        yield from _bits(turnaround)
        ack = yield from _bits(3)
        unanswered = not ap and not read and address == 0xC  # TARGETSEL
        data, parity_ok = None, True
        if ack not in {1, 2, 4} and not unanswered:
            said.append(Transaction(at, ap, read, address, register, ack, data, parity_ok))
            said.append(Notice(at, "lost: no acknowledgement"))
            return
        if not read or not (ack == 1 or memory.data_always):
            yield from _bits(turnaround)
        if ack == 1 or memory.data_always or unanswered:
            data, parity_ok = yield from _data()
            if read:
                yield from _bits(turnaround)
            elif ack == 1 and parity_ok and not ap:
                memory.written(address, data)
        said.append(Transaction(at, ap, read, address, register, ack, data, parity_ok))


def _bits(count: int) -> Generator[None, Edge, int]:
    levels = []
    for _ in range(count):
        edge = yield
        levels.append(edge.level)
    return _value(levels)


def _data() -> Generator[None, Edge, tuple[int, bool]]:
    bits = yield from _bits(33)
    value = bits & 0xFFFFFFFF
    return value, value.bit_count() & 1 == bits >> 32


def _value(levels: list[int]) -> int:
    return sum(level << index for index, level in enumerate(levels))


def _us(ps: int) -> str:
    return f"{ps / 1e6:14.3f} us"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 2 where the file cannot be shown."""
    parser = argparse.ArgumentParser(prog="python -m appliance.swd.decode", description="Prints a VCD as SWD.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--clock", default="swclk", help="the clock signal's name in the file")
    parser.add_argument("--data", default="swdio", help="the data signal's name in the file")
    chosen = parser.parse_args(arguments)
    try:
        with chosen.file.open(encoding="utf-8", errors="replace") as file:
            waveform = vcd.read(vcd.lines_of(file))
            for said in decode(vcd.rising_edges(waveform, chosen.clock, chosen.data)):
                sys.stdout.write(f"{said}\n")
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except CaptureError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

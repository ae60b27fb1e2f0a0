"""A small SWD target written from the ADI specification alone, to hold the host against (ADIv5.2 B2, B4, B5).

It is a generator fed with the level at each rising edge; what it yields is what it drives in the cycle that follows. It
shares nothing with the host's code and nothing with the virtual board. One MEM-AP with 32-bit accesses sits behind it.
Every way to misbehave is an attribute: a plan, consumed transfer by transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

DPIDR = 0x2BA01477
AP_IDR = 0x24770011
OK, WAIT, FAULT = 1, 2, 4
_ALERT = 0x19BC0EA2E3DDAFE986852D956209F392

Machine = Generator[int | None, int, None]


@dataclass
class Plan:
    """Misbehaviour, by index of the transfer (from 0, every request counts)."""

    acks: dict[int, int] = field(default_factory=dict)  # answer this instead (0b111: none at all)
    flip_read: dict[int, int] = field(default_factory=dict)  # the host sees this bit of the data phase inverted
    flip_write: dict[int, int] = field(default_factory=dict)  # the target sees this bit of the data phase inverted
    stuck: int | None = None  # SWDIO is shorted to this level


@dataclass
class Transfer:
    ap: bool
    read: bool
    address: int
    ack: int
    data: int | None = None


class ReferenceTarget:
    """Pins (`appliance.swd.pins.WirePins`) with a target on them. `dormant` targets answer only after an alert."""

    def __init__(self, *, dormant: bool = False, plan: Plan | None = None, multidrop: int | None = None) -> None:
        self.plan = plan or Plan()
        self.memory: dict[int, int] = {}
        self.bad_addresses: set[int] = set()
        self.log: list[Transfer] = []
        self.cycles = 0
        self.exchanges = 0
        self.trailing_idle = 0
        self.idle_between: list[int] = []
        self.hz = 0
        self.lines = [1, 1]
        self.driven = False
        self.waited_ns = 0
        self.on_cycle: Callable[[], None] = lambda: None
        self._multidrop = multidrop
        self._mode = "dormant" if dormant else "jtag"
        self._bits: list[int] = []
        self._ones = 0
        self._since: list[int] | None = None
        self.power_on()

    def power_on(self) -> None:
        self.ctrl = 0
        self.select = 0
        self.turnaround = 1
        self.csw = self.tar = 0
        self.posted = self.last = 0
        self._machine: Machine | None = None
        self._drives: int | None = None

    # -- the wire --------------------------------------------------------------------------------------------------

    def exchange(self, count: int, out: int, drive: bool) -> int:
        self.exchanges += 1
        return sum(self._cycle(out >> bit & 1 if drive else None) << bit for bit in range(count))

    def set_clock(self, hz: int) -> None:
        self.hz = hz

    def drive_pins(self, driven: bool) -> None:
        self.driven = driven

    def set_line(self, line: int, level: int) -> None:
        self.lines[line] = int(level)

    def get_line(self, line: int) -> int:
        return self.lines[line]

    def wait(self, ns: int) -> None:
        self.waited_ns += ns

    def _cycle(self, host: int | None) -> int:
        self.cycles += 1
        self.on_cycle()
        drivers = [each for each in (host, self._drives) if each is not None]
        level = min(drivers, default=1)  # pulled up; where two fight, low wins
        if self.plan.stuck is not None:
            level = self.plan.stuck
        self.trailing_idle = self.trailing_idle + 1 if host == 0 and self._drives is None else 0
        self._rise(level)
        return level

    def _rise(self, level: int) -> None:
        self._bits = [*self._bits[-139:], level]
        if level:
            self._ones += 1
        else:
            if self._ones >= 50:
                self._line_reset()
            self._ones = 0
        self._switch(level)
        self._drives = None
        if self._machine is not None and self._ones < 50:
            try:
                self._drives = self._machine.send(level)
            except StopIteration:
                self._machine = None

    def _line_reset(self) -> None:
        self._since = []
        self.select &= ~0xF
        if self._mode == "swd":
            self._machine = self._serve()
            next(self._machine)

    def _switch(self, level: int) -> None:
        value = sum(bit << index for index, bit in enumerate(self._bits))
        if self._mode == "dormant":
            if len(self._bits) == 140 and value & (1 << 128) - 1 == _ALERT and value >> 128 == 0x1A0:
                self._mode = "swd"
            return
        if self._mode == "jtag" and len(self._bits) >= 31 and value >> len(self._bits) - 31 == 0x33BBBBBA:
            self._mode = "dormant"
        if self._since is not None and len(self._since) < 16:
            self._since.append(level)
            code = sum(bit << index for index, bit in enumerate(self._since))
            if len(self._since) == 16:
                self._mode = {0xE79E: "swd", 0xE73C: "jtag", 0xE3BC: "dormant"}.get(code, self._mode)
                if code in {0xE79E, 0xE73C, 0xE3BC}:
                    self._machine = None

    # -- the protocol ----------------------------------------------------------------------------------------------

    def _serve(self) -> Machine:
        reset = True
        selected = self._multidrop is None
        idle = 0
        while True:
            level = yield None
            if not level:
                idle += 1
                continue
            header = 1
            for bit in range(1, 8):
                header |= (yield None) << bit
            parity = header >> 5 & 1
            fields = header >> 1 & 0xF
            if header & 0xC0 != 0x80 or fields.bit_count() & 1 != parity:
                return  # protocol error: only a line reset helps
            self.idle_between.append(idle)
            idle = 0
            ap, read, address = bool(fields & 1), bool(fields & 2), fields & 0xC
            if not ap and not read and address == 0xC:  # TARGETSEL: nobody answers
                for _ in range(2 * self.turnaround + 3):
                    yield None
                value = yield from self._receive(-1)
                selected = self._multidrop is None or value == self._multidrop
                continue
            if not selected or (reset and (ap or not read or address)):
                return
            reset = False
            yield from self._transfer(ap=ap, read=read, address=address)

    def _transfer(self, *, ap: bool, read: bool, address: int) -> Machine:
        index = len(self.log)
        turnaround = self.turnaround
        overrun = self.ctrl & 1
        ack = self.plan.acks.get(index, self._acknowledge(ap=ap, read=read, address=address))
        transfer = Transfer(ap, read, address, ack)
        self.log.append(transfer)
        data = 0
        if ack == OK and read:
            data = transfer.data = self._read(ap=ap, address=address)
        if ack == WAIT and overrun:
            self.ctrl |= 1 << 1  # STICKYORUN
        for _ in range(turnaround):
            yield None
        for bit in range(3):
            yield ack >> bit & 1
        if read:
            if ack == OK or overrun:
                sent = data | (data.bit_count() & 1) << 32
                sent ^= 1 << self.plan.flip_read[index] if index in self.plan.flip_read else 0
                for bit in range(33):
                    yield sent >> bit & 1
            for _ in range(turnaround):
                yield None
            return
        for _ in range(turnaround):
            yield None
        if ack == OK or overrun:
            value = yield from self._receive(index)
            if ack == OK and value is not None:
                transfer.data = value
                self._write(value, ap=ap, address=address)

    def _receive(self, index: int) -> Generator[int | None, int, int | None]:
        value = 0
        for bit in range(33):
            level = yield None
            if self.plan.flip_write.get(index) == bit:
                level ^= 1
            value |= level << bit
        if (value & 0xFFFFFFFF).bit_count() & 1 != value >> 32:
            self.ctrl |= 1 << 7  # WDATAERR
            return None
        return value & 0xFFFFFFFF

    # -- registers -------------------------------------------------------------------------------------------------

    def _acknowledge(self, *, ap: bool, read: bool, address: int) -> int:
        sticky = self.ctrl & (1 << 1 | 1 << 4 | 1 << 5 | 1 << 7)
        always = not ap and (address == 0 or (address == 4 and read))
        return FAULT if sticky and not always else OK

    def _read(self, *, ap: bool, address: int) -> int:
        if not ap:
            if address == 0:
                return DPIDR
            if address == 4:
                acknowledged = (self.ctrl & (1 << 28 | 1 << 30)) << 1
                return (self.turnaround - 1) << 8 if self.select & 0xF == 1 else self.ctrl | acknowledged
            if address == 8:
                return self.last
            self.last = self.posted
            return self.posted
        self.last = self.posted
        self.posted = self._ap_read(self.select & 0xF0 | address)
        return self.last

    def _write(self, value: int, *, ap: bool, address: int) -> None:
        if ap:
            self._ap_write(self.select & 0xF0 | address, value)
        elif address == 0:
            for bit, flag in ((1, 4), (2, 5), (3, 7), (4, 1)):
                if value >> bit & 1:
                    self.ctrl &= ~(1 << flag)
        elif address == 4 and self.select & 0xF == 1:
            self.turnaround = (value >> 8 & 3) + 1
        elif address == 4:
            self.ctrl = value & 0x50000F01 | self.ctrl & 0xB2
        elif address == 8:
            self.select = value

    def _access(self) -> int | None:
        address = self.tar
        if self.csw & 0x30:
            self.tar = self.tar & ~0x3FF | self.tar + 4 & 0x3FF
        if address in self.bad_addresses:
            self.ctrl |= 1 << 5  # STICKYERR
            return None
        return address

    def _ap_read(self, address: int) -> int:
        if address == 0xC:
            at = self._access()
            return 0 if at is None else self.memory.get(at, 0)
        return {0x0: self.csw, 0x4: self.tar, 0xFC: AP_IDR}.get(address, 0)

    def _ap_write(self, address: int, value: int) -> None:
        if address == 0x0:
            self.csw = value
        elif address == 0x4:
            self.tar = value
        elif address == 0xC and (at := self._access()) is not None:
            self.memory[at] = value

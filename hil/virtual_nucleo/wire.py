"""The two wires of a connector, SWCLK and SWDIO, with NRST and the supply: what a host's pins are soldered to.

One use, in process::

    board = Board(uid)
    board.power_on()
    wire = Wire(board.soc)
    port = on_capsule(wire.capsule())       # appliance.swd.pins; on_object(wire) works, too, slower

* The pins are those of ``appliance/swd/core/pins_v1.h``; bits are answered by an SWD slave in C (``_wire_slave.c``),
  transfers by ``wire_port.py``, registers by ``dp.py`` and ``mem_ap.py``.
* Time: SWCLK cycles at the set frequency, and what :meth:`wait` adds. The core and the flash go on meanwhile. Nothing
  here reads the host's clock, so the same cycles take the same time in every run.
* A fault plan (``wire_faults.py``) may be attached; transfers are numbered from then on.
* One thread at a time: while a host is at work in another one, hands on the board are a fault plan's business.
* Whoever looks at the board behind the wire's back calls :meth:`settle` first; eight idle clocks do the same.
"""

from __future__ import annotations

from hil.virtual_nucleo._wire import Slave
from hil.virtual_nucleo.dp import CTRL_STAT, Ack
from hil.virtual_nucleo.soc import Soc
from hil.virtual_nucleo.vtime import PS_PER_S
from hil.virtual_nucleo.wire_faults import NO_FAULTS, FaultPlan, Performance
from hil.virtual_nucleo.wire_port import AP, READ, WirePort

NRESET, POWER = 0, 1
"""The lines besides SWCLK and SWDIO."""
NEVER = (1 << 64) - 1
_PS_PER_NS = 1000


class Wire:
    """A connector's wires; *soc* is what is plugged in, or None. Implements ``appliance.swd.pins.WirePins``."""

    def __init__(self, soc: Soc | None = None, *, swclk_hz: int = 4_000_000, dormant: bool = True) -> None:
        """*dormant*: whether the device knows the dormant state (ADIv5.2 B5.3)."""
        self.patient = True
        """Whether polls of DHCSR let a running core go on until it halts (``wire_port.py``)."""
        self.swclk_hz = swclk_hz
        self._owed = 0
        self._port: WirePort | None = None
        self._reset_by_host = False
        self.slave = Slave(self, dormant)
        self.exchange = self.slave.exchange
        self.capsule = self.slave.capsule
        self._performance = Performance(self, NO_FAULTS)
        self.plug(soc)

    @property
    def soc(self) -> Soc | None:
        """The device on the wire."""
        return self._port.soc if self._port is not None else None

    @property
    def performance(self) -> Performance:
        """The fault plan at work, and how far it has come."""
        return self._performance

    @property
    def cycles(self) -> int:
        """SWCLK cycles so far."""
        return self.slave.cycles

    def plug(self, soc: Soc | None) -> None:
        """Connect another device, or none. Its faults end with it."""
        self.settle()
        before = self.soc
        self._performance.end()
        if before is not None:
            before.on_power = lambda on: None
        self._port = None
        if soc is not None:
            self._port = WirePort(soc, self.slave.expect_writes, self.slave.expect_reads)
            soc.on_power = self._power_changed
        self._power_changed(soc is not None and soc.powered)

    def attach(self, plan: FaultPlan) -> Performance:
        """Let *plan* happen from now on, in place of any other; returns what tells how far it has come."""
        self.settle()
        self._performance.end()
        self._performance = Performance(self, plan)
        return self._performance

    def settle(self) -> None:
        """Tell the device everything that the wire has seen, time included."""
        self.slave.settle()

    def _power_changed(self, on: bool) -> None:
        self.slave.power(on)
        if self._port is not None:
            self._port.forget()
        self._performance.power_changed(on)

    # -- the other pins ----------------------------------------------------------------------------------------

    def set_clock(self, hz: int) -> None:
        """SWCLK from now on."""
        self.settle()
        self.swclk_hz = max(hz, 1)
        self._owed = 0

    def drive_pins(self, _driven: bool) -> None:
        """The host takes SWCLK and SWDIO, or lets go of them: without edges, nobody notices."""
        self.settle()

    def set_line(self, line: int, level: int) -> None:
        """NRST: 0 pulls it low, 1 lets go. Supply: 0 off, 1 on."""
        self.settle()
        soc = self.soc
        if line == NRESET:
            self._reset_by_host = not level
            self.update_reset()
        elif soc is not None:
            soc.power_on() if level else soc.power_off()

    def update_reset(self) -> None:
        """NRST is low while anybody pulls it."""
        if self.soc is not None:
            self.soc.hold_reset(self._reset_by_host or self._performance.holds_reset)

    def get_line(self, line: int) -> int:
        """The level on the wire; NRST of a board without power is low."""
        self.settle()
        soc = self.soc
        if line == NRESET:
            return int(soc is not None and soc.powered and not soc.held_in_reset)
        return int(soc is not None and soc.powered)

    def wait(self, ns: int) -> None:
        """The host lets time pass."""
        self.settle()
        self._pass(ns * _PS_PER_NS)
        self.look_ahead()

    # -- what the slave asks (_wire.h) -------------------------------------------------------------------------

    def _pass(self, ps: int) -> None:
        port = self._port
        if port is None:
            return
        time = port.soc.time
        until = time.now + ps
        step = -1
        while step < until:
            ends = (self._performance.next_moment, port.ready_at)
            step = min([until, *(end for end in ends if end is not None and time.now < end)])
            port.soc.pass_time(max(step - time.now, 0))
            self._performance.time_passed()
            port.time_passed()

    def _pass_cycles(self, cycles: int) -> None:
        if not cycles:
            return
        ps, self._owed = divmod(self._owed + cycles * PS_PER_S, self.swclk_hz)
        self._pass(ps)
        self.look_ahead()

    def look_ahead(self) -> None:
        """Let the slave settle in the very cycle of the next thing that happens by itself, if one is to come."""
        port = self._port
        if port is None:
            return
        events = (self._performance.next_moment, port.soc.power_cut_at, port.ready_at)
        moments = [moment for moment in events if moment is not None]
        if moments:
            ahead = -(-max(min(moments) - port.soc.time.now, 1) * self.swclk_hz // PS_PER_S)
            self.slave.set_horizon(self.slave.cycles + ahead)
        else:
            self.slave.set_horizon(NEVER)

    def _look_after(self, port: WirePort) -> None:
        """An access may have begun something that time will end."""
        if port.ready_at is not None or port.soc.power_cut_at is not None:
            self.look_ahead()

    def _alive(self) -> WirePort | None:
        port = self._port
        return port if port is not None and port.soc.powered and not port.soc.debug_disabled else None

    def _answer(self, request: int, transfer: int, cycles: int) -> int:
        self._pass_cycles(cycles)
        port = self._alive()
        if port is None:
            return Ack.NONE
        forced = self._performance.on_transfer(transfer, request)
        port.patient = self.patient
        ack, data = (forced, 0) if forced is not None else port.answer(request)
        self._look_after(port)
        return ack | data << 3 if self._alive() is not None else Ack.NONE

    def _written(self, request: int, word: int, parity_good: int, cycles: int) -> None:
        self._pass_cycles(cycles)
        port = self._alive()
        if port is None:
            return
        port.write(request, word, parity_good=bool(parity_good))
        if request & (AP | READ) == 0 and request & 0xC == CTRL_STAT:
            self.slave.configure(port.soc.dp.turnaround, port.soc.dp.overrun_detection)
        self._look_after(port)

    def _words_written(self, words: bytes, cycles: int) -> None:
        self._pass_cycles(cycles)
        port = self._alive()
        if port is not None:
            port.write_words(words)

    def _words_read(self, count: int, cycles: int) -> None:
        self._pass_cycles(cycles)
        port = self._alive()
        if port is not None:
            port.read_words(count)

    def _line_was_reset(self) -> None:
        if self.soc is not None:
            self.soc.dp.line_reset()

    def _planned(self, index: int) -> None:
        self._performance.on_cycle(index)

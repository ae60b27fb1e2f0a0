"""The STM32F412ZG: its parts wired together, its power, its resets, and how time passes in it.

* Power and resets reach exactly the parts that RM0402 5.1, 6.1 and 30.4.2 say they reach.
* :meth:`Soc.pass_time` is the only way time passes outside an access: the core and the flash work meanwhile.
* A debugger's poll of DHCSR lets a running core go on until it halts, or for a poll interval that grows from 1 ms to
  50 ms: what a patient probe would see, without the thousands of polls in between.
"""

from __future__ import annotations

import mmap
import random
from collections.abc import Callable

from hil.virtual_nucleo import clocks as rcc
from hil.virtual_nucleo import flash as flash_unit
from hil.virtual_nucleo import peripherals as parts
from hil.virtual_nucleo.bus import (
    FLASH_SIZE_REGISTER,
    SRAM_SIZE,
    SYSTEM_BASE,
    SYSTEM_SIZE,
    UID_BASE,
    Bus,
    Device,
)
from hil.virtual_nucleo.core import Core
from hil.virtual_nucleo.dp import AccessPort, DebugPort
from hil.virtual_nucleo.exceptions import IRQ0
from hil.virtual_nucleo.flash_array import FLASH_SIZE, OTP_BASE, OTP_SIZE, FlashArray
from hil.virtual_nucleo.mem_ap import MemAp
from hil.virtual_nucleo.option_bytes import OptionBytes
from hil.virtual_nucleo.vtime import PS_PER_MS, Timebase

_RESET_PIN, _RESET_POWER, _RESET_SOFTWARE, _RESET_WATCHDOG = 1 << 26, 3 << 26 | 1 << 25, 1 << 28, 1 << 29
_FLASH_IRQ = 4
"""RM0402 table 38."""
_POLL_FIRST_PS = 1 * PS_PER_MS
_POLL_LAST_PS = 50 * PS_PER_MS


class _Power:
    """PWR's place on the bus; its state is the clock tree's."""

    def __init__(self, clocks: rcc.Clocks) -> None:
        self.read32 = clocks.pwr_read32
        self.write32 = clocks.pwr_write32


class _Plain:
    """A private-peripheral component nobody programs here (ITM, TPIU, ETM): reads as zero, ignores writes."""

    def read32(self, _offset: int) -> int:
        return 0

    def write32(self, _offset: int, _value: int, _mask: int = 0xFFFFFFFF) -> None:
        return


class Soc:
    """The device. *uid* is its 12 bytes of unique identity; *seed* fixes its noise."""

    def __init__(self, uid: bytes, array: FlashArray, options: OptionBytes, *, seed: int) -> None:
        self.time = Timebase()
        self._noise = random.Random(seed)
        self.array = array
        self.options = options
        self.sram = mmap.mmap(-1, SRAM_SIZE)
        self.system = mmap.mmap(-1, SYSTEM_SIZE)
        self._uid = uid
        self.flash = flash_unit.FlashController(array, options, self.time)
        self.clocks = rcc.Clocks(self.time)
        self.usart3 = parts.Usart(self.time, self.clocks)
        self.gpio = parts.Gpio(self.clocks)
        self.rng = parts.Rng(self.time, self.clocks, uid + seed.to_bytes(8, "little"))
        self.watchdog = parts.Watchdog(self.time)
        self.dbgmcu = parts.Dbgmcu()
        self.syscfg = parts.Syscfg()
        self.bus = Bus(self.flash, memoryview(self.sram), memoryview(self.system))
        self.bus.memory_mode = lambda: self.syscfg.memory_mode
        self._fill_system_memory()
        self.core = Core(self.bus, self.time, self.clocks, self.sram, self.system)
        self.mem_ap = MemAp(self.bus)
        self.dp = DebugPort(self._ap_at)
        self.powered = False
        self.held_in_reset = False
        self.power_cut_at: int | None = None
        """When the supply will go by itself."""
        self.on_power: Callable[[bool], None] = lambda on: None
        """Told when power has come or gone: a wire-level front end starts anew."""
        self._poll_ps = _POLL_FIRST_PS
        self._attach()

    def _attach(self) -> None:
        devices: tuple[tuple[Device, int, int], ...] = (
            (self.flash, flash_unit.REGISTERS, 0x400),
            (self.clocks, rcc.RCC, 0x400),
            (_Power(self.clocks), rcc.PWR, 0x400),
            (self.usart3, parts.USART3, 0x400),
            (self.gpio, parts.GPIO_BASE, 0x2000),
            (self.rng, parts.RNG, 0x400),
            (self.watchdog, parts.IWDG, 0x400),
            (self.syscfg, parts.SYSCFG, 0x400),
            (self.dbgmcu, parts.DBGMCU, 0x1000),
            *((_Plain(), page, 0x1000) for page in (0xE0000000, 0xE0040000, 0xE0041000)),
        )
        for device, base, size in devices:
            self.bus.attach(device, base, size)
        core = self.core
        self.flash.on_change = core.code_changed
        self.flash.on_gate = self._flash_gate
        self.flash.on_busy = self._flash_busy
        self.flash.stall = self._stall
        self.flash.on_irq = self._flash_interrupt
        self.clocks.on_change = core.map_changed
        self.syscfg.on_remap = core.map_changed
        core.on_reset_request = self._software_reset
        core.next_external_event = self._next_event
        core.external_event = self._external_event
        core.debug.polled = self._poll
        core.debug.resumed = self._resumed

    def _fill_system_memory(self) -> None:
        """System memory: no boot loader (ST's is not ours to ship), OTP, unique id, flash size (RM0402 33)."""
        self.system[:] = b"\xff" * SYSTEM_SIZE
        self._show_otp()
        offset = UID_BASE - SYSTEM_BASE
        self.system[offset : offset + 12] = self._uid
        offset = FLASH_SIZE_REGISTER - SYSTEM_BASE
        self.system[offset : offset + 2] = (FLASH_SIZE // 1024).to_bytes(2, "little")

    def _show_otp(self) -> None:
        offset = OTP_BASE - SYSTEM_BASE
        self.system[offset : offset + OTP_SIZE] = self.array.otp[:OTP_SIZE]

    def _flash_gate(self) -> None:
        self._show_otp()
        self.core.map_changed()

    def _flash_interrupt(self) -> None:
        self.core.exceptions.pending.add(IRQ0 + _FLASH_IRQ)
        self.core.stop_slice()

    def _flash_busy(self) -> None:
        if self.time.in_core and self.core.fetching_from_flash():
            self.time.at_least(self.flash.busy_until)  # the next fetch waits for the array (RM0402 3.5)

    def _stall(self, when_ps: int) -> None:
        """A master waits: the core itself, or a debugger's access beside which the core goes on."""
        if self.core.running:
            self.time.at_least(when_ps)
        else:
            self.pass_time(max(when_ps - self.time.now, 0))

    # -- the debugger's way in ---------------------------------------------------------------------------------

    def _ap_at(self, apsel: int) -> AccessPort | None:
        if not self.flash.intruded:
            self.flash.intruded = True  # RM0402 3.6.3: debug access counts as intrusion until power goes
            self.core.map_changed()
        return self.mem_ap if apsel == 0 else None

    @property
    def debug_disabled(self) -> bool:
        """Read protection level 2: the SWJ-DP does not answer (RM0402 3.6.3)."""
        return self.options.level == 2

    def _poll(self) -> None:
        if self.powered and not self.held_in_reset and self.core.runnable:
            self.core.run_until(self.time.now + self._poll_ps)
            self._poll_ps = min(2 * self._poll_ps, _POLL_LAST_PS)

    def _resumed(self) -> None:
        self._poll_ps = _POLL_FIRST_PS

    # -- time --------------------------------------------------------------------------------------------------

    def pass_time(self, ps: int) -> None:
        """Let *ps* pass: the core runs if it can, busy hardware goes on."""
        until = self.time.now + ps
        for moment in sorted({until, min(until, self.power_cut_at or until)}):
            if self.powered and not self.held_in_reset and self.core.runnable:
                self.core.run_until(moment)
            self.time.at_least(moment)
            if self.powered:
                self._external_event()

    def _next_event(self) -> int | None:
        events = (self.power_cut_at, self._watchdog_deadline(), self.flash.next_event)
        return min((event for event in events if event is not None), default=None)

    def _watchdog_deadline(self) -> int | None:
        if self.core.halted and self.dbgmcu.freezes_watchdog:
            return None
        return self.watchdog.deadline

    def _external_event(self) -> None:
        now = self.time.now
        if self.power_cut_at is not None and now >= self.power_cut_at:
            self.power_off()
            return
        _ = self.flash.busy  # settles what has ended
        deadline = self._watchdog_deadline()
        if deadline is not None and now >= deadline:
            self.clocks.note_reset(_RESET_WATCHDOG | _RESET_PIN)
            self.system_reset()

    # -- power and reset ---------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Supply comes up: power-on reset of everything, then the core starts from its vectors."""
        if self.powered:
            return
        self.powered = True
        self.sram[:] = self._noise.randbytes(SRAM_SIZE)
        self.flash.intruded = False
        self.options.load()
        self.dp.power_on()
        self.mem_ap.reset()
        self.dbgmcu.power_on()
        self.clocks.reset_flags = _RESET_POWER
        self.core.power_on()
        self.system_reset()
        self.on_power(True)

    def power_off(self) -> None:
        """Supply goes: whatever flash was doing stays half done; SRAM and registers are gone."""
        if not self.powered:
            return
        self.flash.abandon()
        self.powered = False
        self.power_cut_at = None
        self.core.power_off()
        self.on_power(False)

    def system_reset(self) -> None:
        """Everything but the debug and backup domains (RM0402 6.1.1)."""
        for part in (self.clocks, self.flash, self.usart3, self.gpio, self.rng, self.watchdog, self.syscfg):
            part.reset()
        self._show_otp()
        self.core.reset()
        if self.options.hardware_watchdog:
            self.watchdog.start()

    def _software_reset(self, kind: str) -> None:
        if kind == "vector":
            self.core.reset()
        else:
            self.clocks.note_reset(_RESET_SOFTWARE | _RESET_PIN)
            self.system_reset()

    def hold_reset(self, asserted: bool) -> None:
        """NRST driven low, or released."""
        if asserted == self.held_in_reset:
            return
        self.held_in_reset = asserted
        if self.powered:
            self.clocks.note_reset(_RESET_PIN)
            self.system_reset()

"""The Cortex-M4: halting debug, resets, exceptions and sleep around the instruction engine.

* The core runs only inside :meth:`Core.run_until`; it stops at the moment asked for, or when it halts or locks up.
* Breakpoints, single steps, BKPT, vector catch and watchpoints halt as ARMv7-M C1 says; without C_DEBUGEN a BKPT
  is a HardFault. A watchpoint halts a few instructions late, as C1.8.1 allows.
* Time comes from the cycle meter (``cycles.py``): a slice starts at "now" and drives it until it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import unicorn
from unicorn import arm_const as arm

from hil.virtual_nucleo import exceptions as exc
from hil.virtual_nucleo import frames
from hil.virtual_nucleo.bus import Bus
from hil.virtual_nucleo.clocks import Clocks
from hil.virtual_nucleo.debug_unit import (
    C_HALT,
    C_MASKINTS,
    C_STEP,
    DFSR_BKPT,
    DFSR_DWTTRAP,
    DFSR_HALTED,
    DFSR_VCATCH,
    S_HALT,
    S_LOCKUP,
    S_SLEEP,
    VC_CORERESET,
    VC_HARDERR,
    DebugUnit,
    Dwt,
    Fpb,
)
from hil.virtual_nucleo.engine import INTERRUPT_BKPT, INTERRUPT_EXIT, INTERRUPT_SVC, NO_ADDRESS, Engine
from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash import ACR_ICEN
from hil.virtual_nucleo.flash_array import FLASH_BASE, FLASH_SIZE
from hil.virtual_nucleo.scs import SystemControl
from hil.virtual_nucleo.vtime import PS_PER_S, Timebase, ps_to_cycles

LOCKUP_ADDRESS = 0xFFFFFFFE
EXCEPTION_CYCLES = 12
"""Latency of entry and of return (Cortex-M4 TRM 3.9.1)."""
_THUMB = 1 << 24
_SLICE_CYCLES = 50_000_000
_WFE, _WFI = 0xBF20, 0xBF30
_REGISTERS = {
    **{index: getattr(arm, f"UC_ARM_REG_R{index}") for index in range(13)},
    13: arm.UC_ARM_REG_SP,
    14: arm.UC_ARM_REG_LR,
    15: arm.UC_ARM_REG_PC,
    17: arm.UC_ARM_REG_MSP,
    18: arm.UC_ARM_REG_PSP,
    33: arm.UC_ARM_REG_FPSCR,
    **{64 + index: getattr(arm, f"UC_ARM_REG_S{index}") for index in range(32)},
}


def execute_never(address: int) -> bool:
    """Peripherals, external devices and the system region (ARMv7-M B3.1)."""
    return address >> 29 in {2, 5, 6, 7}


class Core:
    """One Cortex-M4 and its debug units."""

    def __init__(self, bus: Bus, time: Timebase, clocks: Clocks, sram: Any, system: Any) -> None:
        self.bus = bus
        self.time = time
        self.clocks = clocks
        self.debug = DebugUnit()
        self.fpb = Fpb()
        self.dwt = Dwt(self._cycle_count)
        self.exceptions = exc.ExceptionState()
        self.systick = exc.SysTick(time, clocks, lambda: self.exceptions.pending.add(exc.SYSTICK))
        self.scs = SystemControl(self.exceptions, self.systick, self.debug)
        self.engine = Engine(bus, sram, system)
        self.on_reset_request: Callable[[str], None] = lambda kind: None
        self.next_external_event: Callable[[], int | None] = lambda: None
        self.external_event: Callable[[], None] = lambda: None
        self.powered = False
        self.halted = False
        self.lockup = False
        self.sleeping = False
        self.running = False
        """Inside :meth:`run_until`: accesses are the core's own, time is not to be passed from outside."""
        self._thumb = True
        self._stepping = False
        self._reset_request: str | None = None
        self._map_stale = True
        self._code_stale = False
        self._cycles_before = 0
        self._read = self.engine.read_register
        self._write = self.engine.write_register
        self._wire()

    def _wire(self) -> None:
        self.debug.control = self._debug_control
        self.debug.status = self._debug_status
        self.debug.read_register = self.read_register
        self.debug.write_register = self.write_register
        self.fpb.on_change = self._breakpoints_changed
        self.dwt.on_change = self._watchpoints_changed
        self.scs.request_reset = self._request_reset
        self.scs.on_pending = self.stop_slice
        self.scs.in_core = lambda: self.time.in_core
        self.scs.active_number = lambda: self._read(arm.UC_ARM_REG_IPSR) & 0x1FF
        self.bus.system_control = self.scs
        self.bus.write_sram = self.engine.write_sram
        self.bus.attach(self.fpb, 0xE0002000)
        self.bus.attach(self.dwt, 0xE0001000)

    # -- what changes around it --------------------------------------------------------------------------------

    def code_changed(self) -> None:
        """Flash was erased or programmed: translations of it are stale from the next slice on."""
        self._code_stale = True

    def map_changed(self) -> None:
        """Flash may have become (in)accessible, slower, or something else shows at address zero."""
        self._map_stale = True
        self.stop_slice()

    def stop_slice(self) -> None:
        """Come out of the engine at the next block, to look at what changed."""
        if self.time.in_core:
            self.engine.meter.stop_soon()

    def fetching_from_flash(self) -> bool:
        """Whether the code being executed lies in flash (so that a busy array stalls it)."""
        address: int = self.engine.meter.fields.address
        return FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE or (
            address < FLASH_SIZE and self.bus.memory_mode() in {0, 2}
        )

    def _settle_map(self) -> None:
        if self._code_stale:
            self._code_stale = False
            self.engine.forget_code()
        if self._map_stale:
            self._map_stale = False
            flash = self.bus.flash
            wait_states = flash.acr & 0xF
            flash.too_fast = self.clocks.too_fast(wait_states)
            # The accelerator's cache holds any loop (64 lines, RM0402 3.4.2); without it each line costs its wait.
            self.engine.map(
                flash=not (flash.blocked or flash.too_fast),
                alias={1: "system", 3: "sram"}.get(self.bus.memory_mode(), "flash"),
                line_wait=0 if flash.acr & ACR_ICEN else wait_states,
            )

    def _breakpoints_changed(self) -> None:
        if self.engine.set_breakpoints(self.fpb.breakpoints()):
            self._code_stale = True

    def _watchpoints_changed(self) -> None:
        self.engine.set_watchpoints(self.dwt.watchpoints(), self.dwt.matched)
        self._code_stale = True

    def _cycle_count(self) -> int:
        return self._cycles_before + (self.engine.meter.cycles if self.time.in_core else 0)

    # -- registers ---------------------------------------------------------------------------------------------

    def _masks(self) -> exc.Masks:
        read = self._read
        return exc.Masks(
            read(arm.UC_ARM_REG_PRIMASK) & 1,
            read(arm.UC_ARM_REG_FAULTMASK) & 1,
            read(arm.UC_ARM_REG_BASEPRI) & 0xFF,
        )

    def _set_pc(self, address: int) -> None:
        """Unicorn takes bit 0 for the Thumb state, which ``_thumb`` keeps instead."""
        self._write(arm.UC_ARM_REG_PC, address | 1)

    def read_register(self, selector: int) -> int:
        """A core register by DCRSR.REGSEL (ARMv7-M C1.6.3)."""
        if selector == 16:
            return self._read(arm.UC_ARM_REG_XPSR) & ~_THUMB & 0xFFFFFFFF | _THUMB * self._thumb
        if selector == 20:
            masks = self._masks()
            control = self._read(arm.UC_ARM_REG_CONTROL) & 7
            return control << 24 | masks.faultmask << 16 | masks.basepri << 8 | masks.primask
        register = _REGISTERS.get(selector)
        return self._read(register) & 0xFFFFFFFF if register is not None else 0

    def write_register(self, selector: int, value: int) -> None:
        """Write a core register; only meaningful while halted (ARMv7-M C1.6.3)."""
        write = self._write
        if selector == 20:
            write(arm.UC_ARM_REG_CONTROL, value >> 24 & 7)
            write(arm.UC_ARM_REG_FAULTMASK, value >> 16 & 1)
            write(arm.UC_ARM_REG_BASEPRI, value >> 8 & 0xFF)
            write(arm.UC_ARM_REG_PRIMASK, value & 1)
        elif selector == 15:
            self._set_pc(value)
        elif selector == 16:
            write(arm.UC_ARM_REG_XPSR, value)
            self._thumb = bool(value & _THUMB)
            if not value & 0x1FF:
                self.exceptions.active.clear()
        elif selector in {13, 17, 18}:
            write(_REGISTERS[selector], value & ~3)
        elif selector in _REGISTERS:
            write(_REGISTERS[selector], value)

    # -- reset and debug control -------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Everything that belongs to the power domain."""
        self.powered = True
        self.debug.power_on()
        self.fpb.reset()
        self.dwt.reset()
        self._breakpoints_changed()
        self._watchpoints_changed()

    def power_off(self) -> None:
        """The supply went, perhaps in the middle of :meth:`run_until`."""
        self.powered = False
        self.stop_slice()

    def reset(self) -> None:
        """Core reset: registers, exceptions, then the vectors; vector catch may halt first (ARMv7-M B1.5.5)."""
        self.scs.reset()
        for register in (
            arm.UC_ARM_REG_CONTROL,
            arm.UC_ARM_REG_PRIMASK,
            arm.UC_ARM_REG_FAULTMASK,
            arm.UC_ARM_REG_BASEPRI,
        ):
            self._write(register, 0)
        self._write(arm.UC_ARM_REG_XPSR, _THUMB)
        self._write(arm.UC_ARM_REG_LR, NO_ADDRESS)
        self.halted = self.lockup = self.sleeping = self._stepping = False
        self._reset_request = None
        self._map_stale = self._code_stale = True
        self._settle_map()
        self.debug.core_reset()
        self._load_vectors()
        if self.debug.enabled and self.debug.demcr & VC_CORERESET:
            self._halt(DFSR_VCATCH)

    def _load_vectors(self) -> None:
        try:
            stack, entry = self.bus.read(0, 4), self.bus.read(4, 4)
        except BusFault:
            self._thumb = True
            self._lock_up()
            return
        self._write(arm.UC_ARM_REG_MSP, stack & ~3)
        self._write(arm.UC_ARM_REG_SP, stack & ~3)
        self._set_pc(entry)
        self._thumb = bool(entry & 1)

    def _request_reset(self, kind: str) -> None:
        if self.time.in_core:
            self._reset_request = kind
            self.stop_slice()
        else:
            self.on_reset_request(kind)

    def _halt(self, reason: int) -> None:
        self.debug.dfsr |= reason
        self.debug.dhcsr = self.debug.dhcsr & ~C_STEP | C_HALT
        self.halted = True
        self.lockup = self.sleeping = self._stepping = False

    def _debug_control(self, _old: int, new: int) -> None:
        self.stop_slice()
        if not new & 1:
            self.halted = False
        elif new & C_HALT:
            if not self.halted and not self.time.in_core:
                self._halt(DFSR_HALTED)
        elif self.halted:
            self.halted = False
            self._stepping = bool(new & C_STEP)

    def _debug_status(self) -> int:
        return S_HALT * self.halted | S_LOCKUP * self.lockup | S_SLEEP * self.sleeping

    @property
    def runnable(self) -> bool:
        """Whether time makes the core do something."""
        return self.powered and not (self.halted or self.lockup)

    # -- execution ---------------------------------------------------------------------------------------------

    def run_until(self, until_ps: int) -> None:
        """Run to *until_ps*, or to a halt or lock-up before it; time ends where the core did."""
        self.running = True
        try:
            self._run_until(until_ps)
        finally:
            self.running = False

    def _run_until(self, until_ps: int) -> None:
        time = self.time
        while self.runnable:
            self._settle_map()
            self.systick.settle()
            self._take_pending()
            if self.halted or self.lockup:
                return
            if time.now >= until_ps and not self._stepping:
                return
            deadline = self._deadline(until_ps)
            if self.sleeping and not self._stepping:
                time.at_least(deadline)
            else:
                self._slice(ps_to_cycles(max(deadline - time.now, 1), self.clocks.hclk_hz))
            self.external_event()
            if self._reset_request is not None:
                kind, self._reset_request = self._reset_request, None
                self.on_reset_request(kind)
            elif self.debug.enabled and self.debug.dhcsr & C_HALT and not self.halted:
                self._halt(DFSR_HALTED)  # software set C_HALT itself

    def _deadline(self, until_ps: int) -> int:
        now = self.time.now
        events = (self.systick.next_event(), self.next_external_event())
        return min([until_ps, *(event for event in events if event is not None and event > now)])

    def _slice(self, budget: int) -> None:
        if not self._thumb:
            self._thumb = True
            self._raise(exc.USAGE_FAULT, cfsr=1 << 17)  # INVSTATE
            return
        pc = self._read(arm.UC_ARM_REG_PC)
        if execute_never(pc):
            self._raise(exc.MEM_MANAGE, cfsr=1)  # IACCVIOL
            return
        stepping, self._stepping = self._stepping, False
        meter = self.engine.meter
        meter.arm(min(budget, _SLICE_CYCLES))
        self.time.enter_core(meter, self.clocks.hclk_hz)
        try:
            error = self.engine.run(pc, one=stepping)
        finally:
            self._cycles_before += meter.cycles
            self.time.leave_core()
        self.debug.retired = True
        self._after_slice(error, stepping=stepping)
        if stepping and self.runnable:
            self._halt(DFSR_HALTED)

    def _after_slice(self, error: int | None, *, stepping: bool) -> None:
        engine = self.engine
        if not self._read(arm.UC_ARM_REG_XPSR) & _THUMB:
            self._raise(exc.USAGE_FAULT, cfsr=1 << 17)  # INVSTATE: something branched to an even address
        elif engine.hit is not None:
            self._halt_or_escalate(DFSR_BKPT)
        elif error is not None and execute_never(self._read(arm.UC_ARM_REG_PC)):
            self._raise(exc.MEM_MANAGE, cfsr=1)  # IACCVIOL
        elif engine.fault is not None:
            self._bus_fault(engine.fault, error)
        elif error is not None:
            self._raise(exc.USAGE_FAULT, cfsr=1 << 16)  # UNDEFINSTR
        elif engine.interrupt == INTERRUPT_BKPT:
            self._halt_or_escalate(DFSR_BKPT)
        elif engine.interrupt == INTERRUPT_SVC:
            self._raise(exc.SVCALL)
        elif engine.interrupt == INTERRUPT_EXIT:
            self._exception_return()
        elif engine.interrupt is not None:
            self._raise(exc.USAGE_FAULT, cfsr=1 << 16)
        elif not stepping and engine.watched is None and engine.meter.cycles < engine.meter.limit:
            self._maybe_sleep()
        if engine.watched is not None and not self.halted:
            self._halt_or_escalate(DFSR_DWTTRAP)

    def _halt_or_escalate(self, reason: int) -> None:
        if self.debug.enabled:
            self._halt(reason)
        elif reason == DFSR_BKPT and self.engine.hit is None:
            self.debug.dfsr |= reason
            self.scs.hfsr |= 1 << 31
            self._raise(exc.HARD_FAULT)

    def _maybe_sleep(self) -> None:
        pc = self._read(arm.UC_ARM_REG_PC)
        try:
            self.sleeping = self.bus.read(pc - 2 & 0xFFFFFFFF, 2) in {_WFE, _WFI}
        except BusFault:
            self.sleeping = False

    def _bus_fault(self, address: int, error: int | None) -> None:
        if error in {unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT}:
            cfsr = 1 << 8  # IBUSERR
        else:
            cfsr = 1 << 9 | 1 << 15  # PRECISERR, BFARVALID
            self.scs.note(0xD38, address)
        self._raise(exc.BUS_FAULT, cfsr=cfsr)

    # -- exceptions --------------------------------------------------------------------------------------------

    def _lock_up(self) -> None:
        self.lockup = True
        self._set_pc(LOCKUP_ADDRESS)

    def _raise(self, number: int, *, cfsr: int = 0) -> None:
        """A synchronous exception."""
        self.scs.cfsr |= cfsr
        target = self.exceptions.fault_target(number, self._masks())
        if target is None:
            self._lock_up()
            return
        if target == exc.HARD_FAULT:
            if number != exc.HARD_FAULT:
                self.scs.hfsr |= 1 << 30  # FORCED
            if self.debug.enabled and self.debug.demcr & VC_HARDERR:
                self.exceptions.pending.add(target)
                self._halt(DFSR_VCATCH)
                return
        self._enter(target)

    def _take_pending(self) -> None:
        if not self.exceptions.pending or (self.debug.enabled and self.debug.dhcsr & C_MASKINTS):
            return
        masks = self._masks()
        number = self.exceptions.next_taken(masks)
        if number is not None:
            self.sleeping = False
            self.exceptions.pending.discard(number)
            self._enter(number)
        elif self.sleeping and self.exceptions.next_taken(exc.Masks(0, 0, masks.basepri)) is not None:
            self.sleeping = False  # PRIMASK does not keep a core asleep (ARMv7-M B1.5.19)

    def _enter(self, number: int) -> None:
        try:
            vector = frames.push(self._read, self._write, self.bus, self.scs.vtor, number)
        except BusFault:
            self.scs.hfsr |= 1 << 1  # VECTTBL
            if frames.cannot_escalate(number, self.exceptions.active):
                self._lock_up()
            else:
                self._enter(exc.HARD_FAULT)
            return
        self.exceptions.active.append(number)
        self._set_pc(vector)
        self._thumb = bool(vector & 1)
        self.time.advance(EXCEPTION_CYCLES * PS_PER_S // self.clocks.hclk_hz)

    def _exception_return(self) -> None:
        try:
            pc, xpsr, to_thread = frames.pop(self._read, self._write, self.bus, self.exceptions.active)
        except BusFault:
            self._raise(exc.BUS_FAULT, cfsr=1 << 11)  # UNSTKERR
            return
        self._set_pc(pc)
        self._thumb = bool(xpsr & _THUMB)
        self.time.advance(EXCEPTION_CYCLES * PS_PER_S // self.clocks.hclk_hz)
        if to_thread and self.scs.plain(0xD10) & 2:
            self.sleeping = True  # SLEEPONEXIT

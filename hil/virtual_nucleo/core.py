"""The Cortex-M4: real Thumb code in Unicorn, halting debug, exceptions, and the time it takes.

* The core runs only inside :meth:`Core.run_until`; it stops at the moment asked for, or when it halts, sleeps with
  nothing to wait for, locks up, or something resets the device.
* Memory is mapped from the model; peripherals are reached through the bus with their faults.
* Breakpoints, single steps, BKPT, vector catch and watchpoints halt as ARMv7-M C1 says; without C_DEBUGEN a BKPT
  is a HardFault.
* Time comes from the cycle meter (``cycles.py``): a slice starts at "now" and drives it until it ends.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import uclib

from hil.virtual_nucleo import exceptions as exc
from hil.virtual_nucleo.bus import (
    PPB,
    SRAM_BASE,
    SRAM_SIZE,
    SYSTEM_BASE,
    SYSTEM_SIZE,
    WINDOWS,
    Bus,
)
from hil.virtual_nucleo.clocks import Clocks
from hil.virtual_nucleo.cycles import CodeRegion, CycleMeter
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
from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash_array import FLASH_BASE, FLASH_SIZE
from hil.virtual_nucleo.scs import SystemControl
from hil.virtual_nucleo.vtime import Timebase, ps_to_cycles

LOCKUP_ADDRESS = 0xFFFFFFFE
NO_ADDRESS = 0xFFFFFFFF
_SLICE_CYCLES = 50_000_000
"""Longest stretch without looking at the bench's wishes; bounds the overshoot of nothing but memory."""

_INTR_SVC, _INTR_BKPT, _INTR_EXIT = 2, 7, 8
_ALL = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
_REGISTERS = {
    **{index: getattr(arm, f"UC_ARM_REG_R{index}") for index in range(13)},
    13: arm.UC_ARM_REG_SP,
    14: arm.UC_ARM_REG_LR,
    15: arm.UC_ARM_REG_PC,
    16: arm.UC_ARM_REG_XPSR,
    17: arm.UC_ARM_REG_MSP,
    18: arm.UC_ARM_REG_PSP,
    33: arm.UC_ARM_REG_FPSCR,
    **{64 + index: getattr(arm, f"UC_ARM_REG_S{index}") for index in range(32)},
}


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
        self.on_reset_request: Callable[[str], None] = lambda kind: None
        self.next_external_event: Callable[[], int | None] = lambda: None
        self.external_event: Callable[[], None] = lambda: None
        self.halted = False
        self.lockup = False
        self.sleeping = False
        self._stepping = False
        self._reset_request: str | None = None
        self._interrupt: int | None = None
        self._fault: int | None = None
        self._hit: int | None = None
        self._watch: int | None = None
        self._flash_mapped = False
        self._alias_mapped: int | None = None
        self._remap = True
        self._code_changed = False
        self._break_hooks: dict[int, int] = {}
        self._watch_hooks: list[int] = []
        self._cycles_before = 0
        self._build_engine(sram, system)
        self._wire_callbacks()

    # -- construction ------------------------------------------------------------------------------------------

    def _build_engine(self, sram: Any, system: Any) -> None:
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self._hosts = {
            "flash": ctypes.addressof(ctypes.c_char.from_buffer(self.bus.flash.array.main)),
            "sram": ctypes.addressof(ctypes.c_char.from_buffer(sram)),
            "system": ctypes.addressof(ctypes.c_char.from_buffer(system)),
        }
        uc.mem_map_ptr(SRAM_BASE, SRAM_SIZE, unicorn.UC_PROT_ALL, self._hosts["sram"])
        uc.mem_map_ptr(SYSTEM_BASE, SYSTEM_SIZE, _ALL, self._hosts["system"])
        for start, size in (*WINDOWS, (0x22000000, SRAM_SIZE * 32), (0x42000000, 0x2000000), PPB):
            self._map_registers(start, size)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE_PROT, self._on_protected_write)
        uc.hook_add(
            unicorn.UC_HOOK_MEM_READ_UNMAPPED
            | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED
            | unicorn.UC_HOOK_MEM_FETCH_UNMAPPED
            | unicorn.UC_HOOK_MEM_READ_PROT
            | unicorn.UC_HOOK_MEM_FETCH_PROT,
            self._on_invalid,
        )
        stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
        engine = uc._uch.value  # noqa: SLF001 -- the C hook needs the engine itself
        assert stop is not None
        assert engine is not None
        self.meter = CycleMeter(engine, stop)
        handle = ctypes.c_size_t()
        uclib.uc_hook_add(
            uc._uch,
            ctypes.byref(handle),
            ctypes.c_int(unicorn.UC_HOOK_BLOCK),
            ctypes.c_void_p(self.meter.hook),
            ctypes.c_void_p(self.meter.user_data),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )

    def _map_registers(self, start: int, size: int) -> None:
        bus_read, bus_write = self.bus.read, self.bus.write

        def read(_uc: Any, offset: int, width: int, _data: Any) -> int:
            try:
                return bus_read(start + offset, width)
            except BusFault as fault:
                self._note_fault(fault.address)
                return 0

        def write(_uc: Any, offset: int, width: int, value: int, _data: Any) -> None:
            try:
                bus_write(start + offset, width, value, from_core=True)
            except BusFault as fault:
                self._note_fault(fault.address)

        self.uc.mmio_map(start, size, read, None, write, None)

    def _wire_callbacks(self) -> None:
        self.debug.control = self._debug_control
        self.debug.status = self._debug_status
        self.debug.read_register = self.read_register
        self.debug.write_register = self.write_register
        self.fpb.on_change = self._breakpoints_changed
        self.dwt.on_change = self._watchpoints_changed
        self.scs.request_reset = self._request_reset
        self.scs.on_pending = self.stop_slice
        self.scs.in_core = lambda: self.time.in_core
        self.scs.active_number = lambda: int(self.uc.reg_read(arm.UC_ARM_REG_IPSR)) & 0x1FF
        self.bus.system_control = self.scs
        self.bus.write_sram = self._write_sram
        self.bus.attach(self.fpb, 0xE0002000)
        self.bus.attach(self.dwt, 0xE0001000)

    # -- memory ------------------------------------------------------------------------------------------------

    def _write_sram(self, offset: int, data: bytes) -> None:
        self.uc.mem_write(SRAM_BASE + offset, data)  # drops translations of what was there
        self.meter.forget()

    def code_changed(self) -> None:
        """Flash was erased or programmed: translations of it are stale from the next slice on."""
        self._code_changed = True

    def map_changed(self) -> None:
        """Flash may have become (in)accessible, slower, or something else shows at address zero."""
        self._remap = True
        self.stop_slice()

    def stop_slice(self) -> None:
        """Come out of Unicorn at the next block, to look at what changed.

        Not by ``emu_stop``: inside a memory callback that leaves the PC at the instruction whose access was made.
        """
        if self.time.in_core:
            self.meter.stop_soon()

    def _settle_map(self) -> None:
        if self._code_changed:
            self._code_changed = False
            self.uc.ctl_flush_tb()
            self.meter.forget()
        if not self._remap:
            return
        self._remap = False
        flash = self.bus.flash
        flash.too_fast = self.clocks.too_fast(flash.acr & 0xF)
        wanted = not (flash.blocked or flash.too_fast)
        if wanted != self._flash_mapped:
            self._flash_mapped = wanted
            if wanted:
                self.uc.mem_map_ptr(FLASH_BASE, FLASH_SIZE, _ALL, self._hosts["flash"])
            else:
                self.uc.mem_unmap(FLASH_BASE, FLASH_SIZE)
        mode = self.bus.memory_mode()
        alias = mode if mode in {1, 3} or wanted else None
        if alias != self._alias_mapped:
            sizes = {0: FLASH_SIZE, 1: SYSTEM_SIZE, 2: FLASH_SIZE, 3: SRAM_SIZE}
            hosts = {0: "flash", 1: "system", 2: "flash", 3: "sram"}
            if self._alias_mapped is not None:
                self.uc.mem_unmap(0, sizes[self._alias_mapped])
            if alias is not None:
                permission = unicorn.UC_PROT_ALL if alias == 3 else _ALL
                self.uc.mem_map_ptr(0, sizes[alias], permission, self._hosts[hosts[alias]])
            self._alias_mapped = alias
        # Wait states cost nothing while the accelerator's cache is on: 64 lines hold any loop (RM0402 3.4.2).
        wait = 0 if flash.acr & 1 << 9 else flash.acr & 0xF
        regions = [
            CodeRegion(FLASH_BASE, FLASH_SIZE, self._hosts["flash"], system_bus=False, line_wait=wait),
            CodeRegion(SRAM_BASE, SRAM_SIZE, self._hosts["sram"], system_bus=True),
            CodeRegion(SYSTEM_BASE, SYSTEM_SIZE, self._hosts["system"], system_bus=False),
        ]
        if alias is not None:
            host = {0: "flash", 1: "system", 2: "flash", 3: "sram"}[alias]
            size = {0: FLASH_SIZE, 1: SYSTEM_SIZE, 2: FLASH_SIZE, 3: SRAM_SIZE}[alias]
            regions.append(
                CodeRegion(0, size, self._hosts[host], system_bus=False, line_wait=wait if alias in {0, 2} else 0)
            )
        self.meter.regions(tuple(regions))

    # -- Unicorn's callbacks -----------------------------------------------------------------------------------

    def _note_fault(self, address: int) -> None:
        self._fault = address
        self.uc.emu_stop()  # the PC stays at the instruction that faulted, which is what a precise fault stacks

    def _on_interrupt(self, _uc: Any, number: int, _data: Any) -> None:
        self._interrupt = number
        self.uc.emu_stop()

    def _on_protected_write(self, _uc: Any, _kind: int, address: int, size: int, value: int, _data: Any) -> bool:
        try:
            self.bus.write(address, size, value & 0xFFFFFFFF, from_core=True)
        except BusFault as fault:
            self._fault = fault.address
            return False
        return True  # Unicorn discards the store itself: the memory is read-only to it

    def _on_invalid(self, _uc: Any, _kind: int, address: int, _size: int, _value: int, _data: Any) -> bool:
        self._fault = address & 0xFFFFFFFF
        return False

    def _on_breakpoint(self, _uc: Any, address: int, _size: int, _data: Any) -> None:
        self._hit = address
        self.uc.emu_stop()

    # -- breakpoints and watchpoints ---------------------------------------------------------------------------

    def _breakpoints_changed(self) -> None:
        wanted = self.fpb.breakpoints()
        if wanted == set(self._break_hooks):
            return
        for address in set(self._break_hooks) - wanted:
            self.uc.hook_del(self._break_hooks.pop(address))
        for address in wanted - set(self._break_hooks):
            hook = self.uc.hook_add(unicorn.UC_HOOK_CODE, self._on_breakpoint, None, address, address)
            self._break_hooks[address] = hook
        self._code_changed = True

    def _watchpoints_changed(self) -> None:
        for hook in self._watch_hooks:
            self.uc.hook_del(hook)
        self._watch_hooks = []
        for first, last, on_read, on_write, index in self.dwt.watchpoints():
            kinds = (unicorn.UC_HOOK_MEM_READ if on_read else 0) | (unicorn.UC_HOOK_MEM_WRITE if on_write else 0)

            def match(
                _uc: Any, _kind: int, _address: int, _size: int, _value: int, _data: Any, index: int = index
            ) -> None:
                self.dwt.matched(index)
                self._watch = index
                self.stop_slice()

            self._watch_hooks.append(self.uc.hook_add(kinds, match, None, first, last))
        self._code_changed = True

    # -- registers ---------------------------------------------------------------------------------------------

    def _masks(self) -> exc.Masks:
        read = self.uc.reg_read
        return exc.Masks(
            read(arm.UC_ARM_REG_PRIMASK) & 1, read(arm.UC_ARM_REG_FAULTMASK) & 1, read(arm.UC_ARM_REG_BASEPRI) & 0xFF
        )

    def read_register(self, selector: int) -> int:
        """DCRSR.REGSEL values (ARMv7-M C1.6.3)."""
        if selector == 20:
            masks = self._masks()
            control = self.uc.reg_read(arm.UC_ARM_REG_CONTROL) & 7
            return int(control << 24 | masks.faultmask << 16 | masks.basepri << 8 | masks.primask)
        if selector == 16:
            return int(self.uc.reg_read(arm.UC_ARM_REG_XPSR)) & ~(1 << 24) | self._thumb << 24
        register = _REGISTERS.get(selector)
        return int(self.uc.reg_read(register)) & 0xFFFFFFFF if register is not None else 0

    def _set_pc(self, address: int) -> None:
        """Unicorn takes bit 0 for the Thumb state, which ``_thumb`` keeps instead."""
        self.uc.reg_write(arm.UC_ARM_REG_PC, address | 1)

    def write_register(self, selector: int, value: int) -> None:
        """Write a core register; only meaningful while halted (ARMv7-M C1.6.3)."""
        write = self.uc.reg_write
        if selector == 20:
            write(arm.UC_ARM_REG_CONTROL, value >> 24 & 7)
            write(arm.UC_ARM_REG_FAULTMASK, value >> 16 & 1)
            write(arm.UC_ARM_REG_BASEPRI, value >> 8 & 0xFF)
            write(arm.UC_ARM_REG_PRIMASK, value & 1)
        elif selector == 15:
            self._set_pc(value)
        elif selector == 16:
            write(arm.UC_ARM_REG_XPSR, value)
            self._thumb = bool(value & 1 << 24)
            self.exceptions.active = [n for n in self.exceptions.active if value & 0x1FF]
        elif selector in {13, 17, 18}:
            write(_REGISTERS[selector], value & ~3)
        elif selector in _REGISTERS:
            write(_REGISTERS[selector], value)

    def _cycle_count(self) -> int:
        return self._cycles_before + (self.meter.cycles if self.time.in_core else 0)

    # -- reset and debug control -------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Everything that belongs to the power domain."""
        self.debug.power_on()
        self.fpb.reset()
        self.dwt.reset()

    def reset(self) -> None:
        """Core reset: registers, exceptions, then the vectors; vector catch may halt first (ARMv7-M B1.5.5)."""
        write = self.uc.reg_write
        self.scs.reset()
        for register in (arm.UC_ARM_REG_CONTROL, arm.UC_ARM_REG_PRIMASK, arm.UC_ARM_REG_FAULTMASK):
            write(register, 0)
        write(arm.UC_ARM_REG_BASEPRI, 0)
        write(arm.UC_ARM_REG_XPSR, 1 << 24)
        write(arm.UC_ARM_REG_LR, NO_ADDRESS)
        self.halted = self.lockup = self.sleeping = self._stepping = False
        self._reset_request = None
        self._remap = True
        self._code_changed = True
        self._settle_map()
        self.debug.reset_seen = True
        try:
            stack = self.bus.read(0, 4)
            entry = self.bus.read(4, 4)
        except BusFault:
            stack, entry = 0, 0
            self._lock_up()
        write(arm.UC_ARM_REG_MSP, stack & ~3)
        write(arm.UC_ARM_REG_SP, stack & ~3)
        self._set_pc(entry)
        self._thumb = bool(entry & 1)
        if self.debug.enabled and self.debug.demcr & VC_CORERESET:
            self._halt(DFSR_VCATCH)
        elif self.debug.enabled and self.debug.dhcsr & C_HALT:
            self._halt(DFSR_HALTED)

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

    def _debug_control(self, old: int, new: int) -> None:
        self.stop_slice()
        if not new & 1:
            self.halted = False
        elif new & C_HALT:
            if not self.halted:
                self._halt(DFSR_HALTED)
        elif self.halted:
            self.halted = False
            self._stepping = bool(new & C_STEP)

    def _debug_status(self) -> int:
        return S_HALT * self.halted | S_LOCKUP * self.lockup | S_SLEEP * self.sleeping

    @property
    def runnable(self) -> bool:
        """Whether time makes the core do something."""
        return not (self.halted or self.lockup)

    # -- execution ---------------------------------------------------------------------------------------------

    def run_until(self, until_ps: int) -> None:
        """Run to *until_ps*, or to a halt before it; time ends where the core did, or at *until_ps*."""
        time = self.time
        if self.debug.enabled and self.debug.dhcsr & C_HALT and not self.halted:
            self._halt(DFSR_HALTED)
        while not self.halted and not self.lockup:
            self._settle_map()
            self.systick.settle()
            self._take_pending()
            if self.halted or self.lockup:
                break
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
        time.at_least(until_ps) if self.lockup else None

    def _deadline(self, until_ps: int) -> int:
        now = self.time.now
        events = [until_ps]
        for event in (self.systick.next_event(), self.next_external_event()):
            if event is not None and event > now:
                events.append(event)
        return min(events)

    def _slice(self, budget: int) -> None:
        uc = self.uc
        pc = uc.reg_read(arm.UC_ARM_REG_PC)
        if not self._thumb:
            self._thumb = True
            self._raise(exc.USAGE_FAULT, cfsr=1 << 17)  # INVSTATE
            return
        self._interrupt = self._fault = self._hit = self._watch = None
        stepping, self._stepping = self._stepping, False
        error: int | None = None
        self.meter.arm(min(budget, _SLICE_CYCLES))
        self.time.enter_core(self.meter, self.clocks.hclk_hz)
        try:
            uc.emu_start(pc | 1, NO_ADDRESS, count=1 if stepping else 0)
        except unicorn.UcError as failure:
            error = failure.errno
        finally:
            self._cycles_before += self.meter.cycles
            self.time.leave_core()
        self.debug.retired = True
        self._after_slice(error)
        if stepping and not self.halted:
            self._halt(DFSR_HALTED)

    def _after_slice(self, error: int | None) -> None:
        if self._hit is not None:
            self._halt_or_escalate(DFSR_BKPT)
        elif self._watch is not None:
            self._halt_or_escalate(DFSR_DWTTRAP)
        elif self._fault is not None:
            self._bus_fault(self._fault, error)
        elif error is not None:
            self._raise(exc.USAGE_FAULT, cfsr=1 << 16)  # UNDEFINSTR
        elif self._interrupt == _INTR_BKPT:
            self._halt_or_escalate(DFSR_BKPT)
        elif self._interrupt == _INTR_SVC:
            self._raise(exc.SVCALL)
        elif self._interrupt == _INTR_EXIT:
            self._exception_return()
        elif self._interrupt is not None:
            self._raise(exc.USAGE_FAULT, cfsr=1 << 16)
        elif self.meter.cycles < self.meter.limit:
            self._maybe_sleep()

    def _halt_or_escalate(self, reason: int) -> None:
        if self.debug.enabled:
            self._halt(reason)
        elif reason == DFSR_BKPT and self._hit is None:
            self.debug.dfsr |= reason
            self.scs.hfsr |= 1 << 31
            self._raise(exc.HARD_FAULT)

    def _maybe_sleep(self) -> None:
        pc = self.uc.reg_read(arm.UC_ARM_REG_PC)
        try:
            before = self.bus.read((pc - 2) & 0xFFFFFFFF, 2)
        except BusFault:
            return
        if before in {0xBF20, 0xBF30}:  # WFE, WFI
            self.sleeping = True

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
                self.scs.hfsr |= 1 << 30
            if self.debug.enabled and self.debug.demcr & VC_HARDERR:
                self.exceptions.pending.add(target)
                self._halt(DFSR_VCATCH)
                return
        self._enter(target)

    def _take_pending(self) -> None:
        if not self.exceptions.pending:
            return
        if self.debug.enabled and self.debug.dhcsr & C_MASKINTS:
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
        """Stack a frame, fetch the vector (ARMv7-M B1.5.6)."""
        uc = self.uc
        read, write = uc.reg_read, uc.reg_write
        control, xpsr = read(arm.UC_ARM_REG_CONTROL), read(arm.UC_ARM_REG_XPSR)
        handler = bool(xpsr & 0x1FF)
        floating = bool(control & 4)
        sp = read(arm.UC_ARM_REG_SP)
        frame = 0x68 if floating else 0x20
        padded = sp & 4
        base = (sp - frame) & ~7
        words = [read(_REGISTERS[index]) for index in (0, 1, 2, 3, 12, 14)]
        words += [read(arm.UC_ARM_REG_PC), xpsr & ~(1 << 9) | (1 << 9 if padded else 0)]
        if floating:
            words += [read(_REGISTERS[64 + index]) for index in range(16)]
            words += [read(arm.UC_ARM_REG_FPSCR), 0]
        on_process_stack = not handler and bool(control & 2)
        try:
            self.bus.write_words(base, b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in words))
            vector = self.bus.read(self.scs.vtor + 4 * number, 4)
        except BusFault:
            self._stacking_failed(number)
            return
        write(arm.UC_ARM_REG_PSP if on_process_stack else arm.UC_ARM_REG_MSP, base)
        if not on_process_stack:
            write(arm.UC_ARM_REG_SP, base)
        write(arm.UC_ARM_REG_CONTROL, control & ~4 & ~(0 if handler else 0))
        write(arm.UC_ARM_REG_XPSR, xpsr & ~0x0700FDFF | 1 << 24 | number)
        returns = 0xFFFFFFF1 if handler else 0xFFFFFFFD if on_process_stack else 0xFFFFFFF9
        write(arm.UC_ARM_REG_LR, returns & ~0x10 if floating else returns)
        self._set_pc(vector)
        self._thumb = bool(vector & 1)
        self.exceptions.active.append(number)
        self.time.advance(12 * 10**12 // self.clocks.hclk_hz)  # Cortex-M4 TRM 3.9.1: 12 cycles of latency

    def _stacking_failed(self, number: int) -> None:
        """A frame or vector that cannot be accessed: HardFault, and in HardFault itself lock-up (B1.5.15)."""
        self.scs.hfsr |= 1 << 1
        if number <= exc.HARD_FAULT or exc.HARD_FAULT in self.exceptions.active:
            self._lock_up()
            return
        self._enter(exc.HARD_FAULT)

    def _exception_return(self) -> None:
        """Unstack by EXC_RETURN (ARMv7-M B1.5.8)."""
        uc = self.uc
        read, write = uc.reg_read, uc.reg_write
        code = read(arm.UC_ARM_REG_PC) | 1
        number = read(arm.UC_ARM_REG_XPSR) & 0x1FF
        if number in self.exceptions.active:
            self.exceptions.active.remove(number)
        if number != exc.NMI:
            write(arm.UC_ARM_REG_FAULTMASK, 0)
        from_process = code & 0xF == 0xD
        floating = not code & 0x10
        base = read(arm.UC_ARM_REG_PSP if from_process else arm.UC_ARM_REG_MSP)
        size = 0x68 if floating else 0x20
        try:
            data = self.bus.read_words(base, size // 4)
        except BusFault:
            self._raise(exc.BUS_FAULT, cfsr=1 << 11)  # UNSTKERR
            return
        words = [int.from_bytes(data[index : index + 4], "little") for index in range(0, size, 4)]
        xpsr = words[7]
        after = base + size | (4 if xpsr & 1 << 9 else 0)
        control = read(arm.UC_ARM_REG_CONTROL)
        write(arm.UC_ARM_REG_PSP if from_process else arm.UC_ARM_REG_MSP, after)
        write(arm.UC_ARM_REG_XPSR, xpsr & ~(1 << 9))
        if code & 0xF != 1:
            control = control & ~2 | (2 if from_process else 0)
        write(arm.UC_ARM_REG_CONTROL, control & ~4 | (4 if floating else 0))
        write(arm.UC_ARM_REG_SP, after)
        for index, value in zip((0, 1, 2, 3, 12, 14), words):
            write(_REGISTERS[index], value)
        if floating:
            for index in range(16):
                write(_REGISTERS[64 + index], words[8 + index])
            write(arm.UC_ARM_REG_FPSCR, words[24])
        self._set_pc(words[6])
        self._thumb = bool(xpsr & 1 << 24)
        self.time.advance(12 * 10**12 // self.clocks.hclk_hz)
        if code & 0xF != 1 and self.scs.plain(0xD10) & 2:
            self.sleeping = True  # SLEEPONEXIT

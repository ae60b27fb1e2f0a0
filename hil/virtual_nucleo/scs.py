"""The System Control Space of a Cortex-M4 at 0xE000E000 (ARMv7-M B3.2 to B3.5, Cortex-M4 TRM 4).

NVIC, SysTick, SCB and the halting debug registers share this page; identification registers end it.
"""

from __future__ import annotations

from collections.abc import Callable

from hil.virtual_nucleo import coresight
from hil.virtual_nucleo.debug_unit import DebugUnit
from hil.virtual_nucleo.exceptions import (
    BUS_FAULT,
    IRQ0,
    IRQS,
    MEM_MANAGE,
    NMI,
    PENDSV,
    SVCALL,
    SYSTICK,
    USAGE_FAULT,
    ExceptionState,
    SysTick,
)

BASE = 0xE000E000
CPUID = 0x410FC241
"""Cortex-M4 r0p1."""
_READ_ONLY = {
    0x004: 0x00000003,  # ICTR: up to 128 lines
    0xD00: CPUID,
    0xD40: 0x00000030,
    0xD44: 0x00000200,
    0xD48: 0x00100000,
    0xD4C: 0x00000000,
    0xD50: 0x00100030,
    0xD54: 0x00000000,
    0xD58: 0x01000000,
    0xD5C: 0x00000000,
    0xD60: 0x01101110,
    0xD64: 0x02112000,
    0xD68: 0x21232231,
    0xD6C: 0x01111131,
    0xD70: 0x01310102,
    0xD90: 0x00000800,  # MPU_TYPE: eight regions
    0xF40: 0x10110021,
    0xF44: 0x11000011,
    0xF48: 0x00000000,
}
_PLAIN = {  # writable without effect of their own in this model: their writable bits
    0x008: 0x00000307,
    0xD10: 0x00000016,
    0xD14: 0x0000031B,
    0xD34: 0xFFFFFFFF,
    0xD38: 0xFFFFFFFF,
    0xD3C: 0xFFFFFFFF,
    0xD88: 0x00F00000,
    0xD94: 0x00000007,
    0xD98: 0x000000FF,
    0xD9C: 0xFFFFFFFF,
    0xDA0: 0xFFFFFFFF,
    0xF34: 0xC0000000,
    0xF38: 0xFFFFFFF8,
    0xF3C: 0x07C00000,
}
_RESET = {0xD14: 0x00000200, 0xF34: 0xC0000000}
_SHCSR_ENABLE = {16: MEM_MANAGE, 17: BUS_FAULT, 18: USAGE_FAULT}
_SHCSR_ACTIVE = {0: MEM_MANAGE, 1: BUS_FAULT, 3: USAGE_FAULT, 7: SVCALL, 8: 12, 10: PENDSV, 11: SYSTICK}


class SystemControl:
    """Registers of the page; *request_reset(kind)* gets ``"system"`` or ``"vector"``."""

    def __init__(self, exceptions: ExceptionState, systick: SysTick, debug: DebugUnit) -> None:
        self.exceptions = exceptions
        self.systick = systick
        self.debug = debug
        self.request_reset: Callable[[str], None] = lambda kind: None
        self.on_pending: Callable[[], None] = lambda: None
        self.active_number: Callable[[], int] = lambda: 0
        self.in_core: Callable[[], bool] = lambda: False
        self.reset()

    def reset(self) -> None:
        """System reset; the debug registers stay."""
        self.vtor = 0
        self.cfsr = 0
        self.hfsr = 0
        self._plain = dict(_RESET)
        self.exceptions.reset()
        self.systick.reset()

    def plain(self, offset: int) -> int:
        """A register without side effects (SCR, CCR, BFAR...)."""
        return self._plain.get(offset, 0)

    def note(self, offset: int, value: int) -> None:
        """The core records a fault address (MMFAR, BFAR)."""
        self._plain[offset] = value

    # -- reads -------------------------------------------------------------------------------------------------

    def read32(self, offset: int) -> int:
        """A word of the page."""
        if 0xDF0 <= offset <= 0xDFC:
            return self.debug.read32(offset - 0xD00, from_core=self.in_core())
        if offset in _READ_ONLY:
            return _READ_ONLY[offset]
        if offset in _PLAIN:
            return self._plain.get(offset, 0)
        if 0x010 <= offset <= 0x01C:
            return self.systick.read32(offset)
        if 0x100 <= offset < 0x500:
            return self._read_nvic(offset)
        if offset == 0xD04:
            return self._icsr()
        if offset in {0xD18, 0xD1C, 0xD20}:
            first = 4 + (offset - 0xD18)
            return sum(self.exceptions.priority.get(first + lane, 0) << 8 * lane for lane in range(4))
        values = {
            0xD08: self.vtor,
            0xD0C: 0xFA050000 | self.exceptions.prigroup << 8,
            0xD24: self._shcsr(),
            0xD28: self.cfsr,
            0xD2C: self.hfsr,
            0xD30: self.debug.dfsr,
        }
        if offset in values:
            return values[offset]
        return coresight.identification(BASE, offset) or 0

    def _icsr(self) -> int:
        pending = self.exceptions.pending
        self.systick.settle()
        highest = min(pending, key=lambda n: (self.exceptions.priority.get(n, 0), n), default=0)
        return (
            (NMI in pending) << 31
            | (PENDSV in pending) << 28
            | (SYSTICK in pending) << 26
            | any(n >= IRQ0 for n in pending) << 22
            | highest << 12
            | (len(self.exceptions.active) <= 1) << 11
            | self.active_number()
        )

    def _shcsr(self) -> int:
        value = sum((n in self.exceptions.enabled) << bit for bit, n in _SHCSR_ENABLE.items())
        return value | sum((n in self.exceptions.active) << bit for bit, n in _SHCSR_ACTIVE.items())

    def _read_nvic(self, offset: int) -> int:
        state = self.exceptions
        if offset >= 0x400:
            first = IRQ0 + offset - 0x400
            return sum(state.priority.get(first + lane, 0) << 8 * lane for lane in range(4))
        group = {0x100: state.enabled, 0x180: state.enabled, 0x200: state.pending, 0x280: state.pending}
        members = group.get(offset & 0x780) if offset < 0x300 else set(state.active)
        first = IRQ0 + ((offset & 0x7F) >> 2) * 32
        return sum((first + bit in (members or ())) << bit for bit in range(32))

    # -- writes ------------------------------------------------------------------------------------------------

    def write32(self, offset: int, value: int, mask: int, *, from_core: bool) -> None:
        """Write the lanes of *mask* of a word of the page."""
        value &= mask
        if 0xDF0 <= offset <= 0xDFC:
            self.debug.write32(offset - 0xD00, value, from_core=from_core)
        elif offset in _PLAIN:
            self._plain[offset] = value & _PLAIN[offset] | self._plain.get(offset, 0) & ~mask
        elif 0x010 <= offset <= 0x01C:
            self.systick.write32(offset, value)
            self.on_pending()
        elif 0x100 <= offset < 0x500:
            self._write_nvic(offset, value, mask)
        elif offset == 0xD04:
            self._write_icsr(value)
        elif offset == 0xD08:
            self.vtor = (value | self.vtor & ~mask) & 0xFFFFFF80
        elif offset == 0xD0C:
            self._write_aircr(value)
        elif offset in {0xD18, 0xD1C, 0xD20}:
            self._write_priorities(4 + (offset - 0xD18), value, mask)
        elif offset == 0xD24:
            for bit, number in _SHCSR_ENABLE.items():
                self._set(self.exceptions.enabled, number, present=bool(value >> bit & 1))
        elif offset == 0xD28:
            self.cfsr &= ~value
        elif offset == 0xD2C:
            self.hfsr &= ~value
        elif offset == 0xD30:
            self.debug.dfsr &= ~value
        elif offset == 0xF00:
            self.exceptions.pending.add(IRQ0 + (value & 0x1FF))
            self.on_pending()

    @staticmethod
    def _set(group: set[int], number: int, *, present: bool) -> None:
        if present:
            group.add(number)
        else:
            group.discard(number)

    def _write_priorities(self, first: int, value: int, mask: int) -> None:
        for lane in range(4):
            if mask >> 8 * lane & 0xFF:
                self.exceptions.set_priority(first + lane, value >> 8 * lane & 0xFF)
        self.on_pending()

    def _write_nvic(self, offset: int, value: int, mask: int) -> None:
        state = self.exceptions
        if offset >= 0x400:
            self._write_priorities(IRQ0 + offset - 0x400, value, mask)
            return
        if offset >= 0x300:
            return
        group = state.enabled if offset < 0x200 else state.pending
        first = IRQ0 + ((offset & 0x7F) >> 2) * 32
        for bit in range(32):
            if value >> bit & 1 and first + bit < IRQ0 + IRQS:
                self._set(group, first + bit, present=not offset & 0x80)
        self.on_pending()

    def _write_icsr(self, value: int) -> None:
        for bit, number, present in (
            (31, NMI, True),
            (28, PENDSV, True),
            (27, PENDSV, False),
            (26, SYSTICK, True),
            (25, SYSTICK, False),
        ):
            if value >> bit & 1:
                self._set(self.exceptions.pending, number, present=present)
        self.on_pending()

    def _write_aircr(self, value: int) -> None:
        if value >> 16 != 0x05FA:
            return
        self.exceptions.prigroup = value >> 8 & 7
        if value & 1 << 2:
            self.request_reset("system")
        elif value & 1:
            self.request_reset("vector")

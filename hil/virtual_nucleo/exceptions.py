"""Exceptions of an ARMv7-M core: pending, priority, entry and return (ARMv7-M B1.5), NVIC and SysTick state.

* Preemption is by group priority; ties go to the lowest exception number (B1.5.4).
* A fault that cannot be taken at its own priority escalates to HardFault; one at HardFault or above locks the core up
  (B1.5.15).
* Entry stacks the basic or the extended frame; floating point is stacked at once, not lazily.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hil.virtual_nucleo.clocks import Clocks
from hil.virtual_nucleo.vtime import PS_PER_S, Timebase

RESET, NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT = 1, 2, 3, 4, 5, 6
SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK, IRQ0 = 11, 12, 14, 15, 16
IRQS = 97
THREAD_PRIORITY = 256


@dataclass(frozen=True)
class Masks:
    """What the core's special registers say about preemption."""

    primask: int
    faultmask: int
    basepri: int


class ExceptionState:
    """Which exceptions are enabled, pending, active, and how urgent each is."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing enabled, pending or active."""
        self.enabled = {RESET, NMI, HARD_FAULT, SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK}
        self.pending: set[int] = set()
        self.active: list[int] = []
        self.priority: dict[int, int] = {NMI: -2, HARD_FAULT: -1}
        self.prigroup = 0

    def set_priority(self, number: int, value: int) -> None:
        """Configurable priority; the STM32F4 implements the four upper bits (RM0402 10.1)."""
        if number >= MEM_MANAGE:
            self.priority[number] = value & 0xF0

    def _group(self, priority: int) -> int:
        return priority if priority < 0 else priority >> (self.prigroup + 1) << (self.prigroup + 1)

    def execution_priority(self, masks: Masks) -> int:
        """ARMv7-M B1.5.4 ExecutionPriority()."""
        current = min((self._group(self.priority.get(n, 0)) for n in self.active), default=THREAD_PRIORITY)
        boosted = THREAD_PRIORITY
        if masks.basepri:
            boosted = self._group(masks.basepri)
        if masks.primask:
            boosted = 0
        if masks.faultmask:
            boosted = -1
        return min(current, boosted)

    def next_taken(self, masks: Masks) -> int | None:
        """The pending exception that would be taken now."""
        ready = [n for n in self.pending if n in self.enabled]
        if not ready:
            return None
        best = min(ready, key=lambda n: (self.priority.get(n, 0), n))
        return best if self._group(self.priority.get(best, 0)) < self.execution_priority(masks) else None

    def fault_target(self, number: int, masks: Masks) -> int | None:
        """Where a synchronous exception goes: itself, HardFault, or None for lock-up (B1.5.15)."""
        now = self.execution_priority(masks)
        if number in self.enabled and self._group(self.priority.get(number, 0)) < now:
            return number
        return HARD_FAULT if now > -1 else None


class SysTick:
    """The system timer (ARMv7-M B3.3), counted lazily from virtual time."""

    def __init__(self, time: Timebase, clocks: Clocks, pend: Callable[[], None]) -> None:
        self._time = time
        self._clocks = clocks
        self._pend = pend
        self.reset()

    def reset(self) -> None:
        """Stopped."""
        self.control = 0
        self.reload = 0
        self._value = 0
        self._since = self._time.now
        self._count_flag = False

    @property
    def _hz(self) -> int:
        return self._clocks.hclk_hz if self.control & 4 else max(self._clocks.hclk_hz // 8, 1)

    def settle(self) -> None:
        """Bring the counter up to now; pend the exception for each wrap (once)."""
        now = self._time.now
        if not self.control & 1:
            self._since = now
            return
        ticks = (now - self._since) * self._hz // PS_PER_S
        if not ticks:
            return
        self._since += -(-ticks * PS_PER_S // self._hz)
        if ticks < self._value:
            self._value -= ticks
            return
        if self._value or self.reload:
            if self._value:
                self._count_flag = True
                if self.control & 2:
                    self._pend()
            past = ticks - self._value
            period = self.reload + 1
            if self.reload and past:
                if past > period:
                    self._count_flag = True
                    if self.control & 2:
                        self._pend()
                self._value = self.reload - (past - 1) % period
            else:
                self._value = 0

    def next_event(self) -> int | None:
        """When the counter next reaches zero with its interrupt on."""
        if self.control & 3 != 3 or not (self._value or self.reload):
            return None
        ticks = self._value or self.reload + 1
        return self._since + -(-ticks * PS_PER_S // self._hz)

    def read32(self, offset: int) -> int:
        """CSR, RVR, CVR, CALIB."""
        self.settle()
        if offset == 0x10:
            flag, self._count_flag = self._count_flag, False
            return self.control | flag << 16
        if offset == 0x14:
            return self.reload
        if offset == 0x18:
            return self._value
        return 0x4000493E if offset == 0x1C else 0  # SKEW; RM0402 10.1.2: 1 ms at HCLK/8 = 100 MHz / 8

    def write32(self, offset: int, value: int) -> None:
        """CSR, RVR; any write to CVR clears it."""
        self.settle()
        if offset == 0x10:
            self.control = value & 7
        elif offset == 0x14:
            self.reload = value & 0xFFFFFF
        elif offset == 0x18:
            self._value = 0
            self._count_flag = False
        self._since = self._time.now

"""Halting debug of a Cortex-M4: DHCSR, DCRSR, DCRDR, DEMCR, DFSR, FPB and DWT (ARMv7-M C1).

Pure registers; what they make the core do goes through the callbacks that ``core.py`` installs.
"""

from __future__ import annotations

from collections.abc import Callable

C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS, C_SNAPSTALL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5
S_REGRDY, S_HALT, S_SLEEP, S_LOCKUP, S_RETIRE_ST, S_RESET_ST = 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 24, 1 << 25
DFSR_HALTED, DFSR_BKPT, DFSR_DWTTRAP, DFSR_VCATCH, DFSR_EXTERNAL = 1, 2, 4, 8, 16
VC_CORERESET, VC_HARDERR, TRCENA = 1 << 0, 1 << 10, 1 << 24
_DEMCR_WRITABLE = 0x010F07F1


class Fpb:
    """Flash patch and breakpoint unit: six instruction and two literal comparators (Cortex-M4 TRM 8.2)."""

    CODE, LITERAL = 6, 2

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """Power-on: disabled (ARMv7-M C1.11.3); a system reset leaves it alone."""
        self.enabled = False
        self.remap = 0
        self.comparators = [0] * (self.CODE + self.LITERAL)

    def read32(self, offset: int) -> int:
        """FP_CTRL, FP_REMAP, FP_COMPn."""
        if offset == 0:
            return self.LITERAL << 8 | self.CODE << 4 | int(self.enabled)
        if offset == 4:
            return 0x20000000 | self.remap
        index = (offset - 8) >> 2
        return self.comparators[index] if index < len(self.comparators) else 0

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """FP_CTRL needs its KEY bit with ENABLE; comparators hold code addresses below 0x20000000."""
        if offset == 0:
            if value & 2:
                self.enabled = bool(value & 1)
        elif offset == 4:
            self.remap = value & 0x1FFFFFE0
        elif (index := (offset - 8) >> 2) < len(self.comparators):
            self.comparators[index] = value & 0xDFFFFFFD
        self.on_change()

    def breakpoints(self) -> frozenset[int]:
        """Instruction addresses that break now (FP_COMPn.REPLACE, ARMv7-M C1.11.5)."""
        if not self.enabled:
            return frozenset()
        found: set[int] = set()
        for value in self.comparators[: self.CODE]:
            if value & 1:
                word = value & 0x1FFFFFFC
                replace = value >> 30
                found |= {word} if replace == 1 else {word + 2} if replace == 2 else set()
                if replace == 3:
                    found |= {word, word + 2}
        return frozenset(found)


class Dwt:
    """Data watchpoint and trace: CYCCNT and four comparators (ARMv7-M C1.8)."""

    def __init__(self, cycles: Callable[[], int]) -> None:
        self._cycles = cycles
        self.on_change: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """Power-on: everything off."""
        self.control = 0
        self._offset = 0
        self._stopped = 0
        self.comparators = [[0, 0, 0] for _ in range(4)]

    def read32(self, offset: int) -> int:
        """DWT_CTRL, CYCCNT, COMPn/MASKn/FUNCTIONn; a match bit reads once."""
        if offset == 0:
            return 0x40000000 | self.control
        if offset == 4:
            return (self._cycles() - self._offset if self.control & 1 else self._stopped) & 0xFFFFFFFF
        index, register = divmod(offset - 0x20, 0x10)
        if 0 <= index < 4 and register < 12:
            value = self.comparators[index][register >> 2]
            if register == 8:
                self.comparators[index][2] &= ~(1 << 24)
            return value
        return 0

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """The same registers."""
        if offset == 0:
            if value & 1 and not self.control & 1:
                self._offset = self._cycles() - self._stopped
            elif not value & 1 and self.control & 1:
                self._stopped = self._cycles() - self._offset
            self.control = value & 0x007F1FFF
        elif offset == 4:
            self._offset = self._cycles() - value
            self._stopped = value
        else:
            index, register = divmod(offset - 0x20, 0x10)
            if 0 <= index < 4 and register < 12:
                limits = (0xFFFFFFFF, 0xF, 0x000FFDBF)
                self.comparators[index][register >> 2] = value & limits[register >> 2]
                self.on_change()

    def watchpoints(self) -> tuple[tuple[int, int, bool, bool, int], ...]:
        """(first address, last address, on read, on write, comparator) of each active data watchpoint."""
        found = []
        for index, (address, mask, function) in enumerate(self.comparators):
            kind = function & 0xF
            if kind in {5, 6, 7}:
                size = 1 << mask
                first = address & ~(size - 1)
                found.append((first, first + size - 1, kind in {5, 7}, kind in {6, 7}, index))
        return tuple(found)

    def matched(self, comparator: int) -> None:
        """Set FUNCTIONn.MATCHED."""
        self.comparators[comparator][2] |= 1 << 24


class DebugUnit:
    """DHCSR and its companions. The core asks :attr:`enabled` and :attr:`demcr`, and reports halts."""

    def __init__(self) -> None:
        self.control: Callable[[int, int], None] = lambda old, new: None
        self.read_register: Callable[[int], int] = lambda selector: 0
        self.write_register: Callable[[int, int], None] = lambda selector, value: None
        self.status: Callable[[], int] = lambda: 0
        self.polled: Callable[[], None] = lambda: None
        self.resumed: Callable[[], None] = lambda: None
        self.power_on()

    def power_on(self) -> None:
        """Debug registers belong to the power domain, not to the system reset (RM0402 30.4.2)."""
        self.dhcsr = 0
        self.demcr = 0
        self.dfsr = 0
        self.dcrdr = 0
        self.reset_seen = True
        self.retired = False

    def core_reset(self) -> None:
        """A reset lets the core go, but for what DEMCR catches; C_DEBUGEN stays (ARMv7-M C1.6.2)."""
        self.dhcsr &= C_DEBUGEN
        self.reset_seen = True

    @property
    def enabled(self) -> bool:
        """C_DEBUGEN."""
        return bool(self.dhcsr & C_DEBUGEN)

    def read32(self, offset: int, *, from_core: bool = False) -> int:
        """DHCSR (its sticky bits clear), DCRDR, DEMCR; offsets from 0xE000ED00."""
        if offset == 0xF0:
            if not from_core:
                self.polled()
            value = self.dhcsr | self.status() | S_REGRDY
            if self.reset_seen:
                value |= S_RESET_ST
            if self.retired:
                value |= S_RETIRE_ST
            self.reset_seen = self.retired = False
            return value
        return {0xF8: self.dcrdr, 0xFC: self.demcr}.get(offset, 0)

    def write32(self, offset: int, value: int, *, from_core: bool) -> None:
        """DHCSR with its key, DCRSR, DCRDR, DEMCR; software cannot change C_DEBUGEN (ARMv7-M C1.6.2)."""
        if offset == 0xF0:
            if value >> 16 != 0xA05F:
                return
            old = self.dhcsr
            new = value & (C_DEBUGEN | C_HALT | C_STEP | C_MASKINTS | C_SNAPSTALL)
            if from_core:
                new = new & ~C_DEBUGEN | old & C_DEBUGEN
            if not new & C_DEBUGEN:
                new = 0
            self.dhcsr = new
            self.control(old, new)
            if old & C_HALT and not new & C_HALT:
                self.resumed()
        elif offset == 0xF4:
            if value & 1 << 16:
                self.write_register(value & 0x7F, self.dcrdr)
            else:
                self.dcrdr = self.read_register(value & 0x7F)
        elif offset == 0xF8:
            self.dcrdr = value
        elif offset == 0xFC:
            self.demcr = value & _DEMCR_WRITABLE

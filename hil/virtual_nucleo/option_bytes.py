"""The option bytes of an STM32F412: user bits, read-out protection and write protection (RM0402 3.6).

* ``stored`` is what the non-volatile cells hold, ``active`` what the device obeys; a reset loads one into the other,
  and OPTSTRT applies a new value at once except level 2, which begins at the next reset.
* RDP 0xAA is level 0, 0xCC level 2 for ever, everything else level 1 (table 9).
"""

from __future__ import annotations

from collections.abc import Callable

FACTORY_OPTCR = 0x0FFFAAEC
"""Level 0, no sector protected, software watchdog, BOR off (RM0402 3.8.6 reset value without OPTLOCK)."""
_STORED_BITS = 0x8FFFFFEC


def level_of(optcr: int) -> int:
    """Read protection level that a value of FLASH_OPTCR asks for."""
    return {0xAA: 0, 0xCC: 2}.get(optcr >> 8 & 0xFF, 1)


class OptionBytes:
    """Stored and active option bytes, in the layout of FLASH_OPTCR."""

    def __init__(self, stored: int = FACTORY_OPTCR) -> None:
        self.stored = stored
        self._activate()
        self.on_store: Callable[[], None] = lambda: None

    def load(self) -> None:
        """A reset: the stored bytes come into force."""
        self._activate()

    def _activate(self) -> None:
        self.active = self.stored
        self.level = level_of(self.active)
        """Read protection level in force: 0, 1 or 2."""
        self.all_open = not any(self.write_protected(sector) for sector in range(12))
        """No sector is write-protected."""

    def program(self, optcr: int) -> None:
        """OPTSTRT: store *optcr*."""
        self.stored = optcr & _STORED_BITS
        self.on_store()
        if level_of(self.stored) != 2:
            self._activate()

    def as_optcr(self) -> int:
        """The active value as FLASH_OPTCR shows it (without OPTLOCK and OPTSTRT)."""
        return self.active

    @property
    def hardware_watchdog(self) -> bool:
        """WDG_SW = 0: the independent watchdog starts by itself."""
        return not self.active & 1 << 5

    def write_protected(self, sector: int) -> bool:
        """nWRPi = 0 protects a sector while SPRMOD selects write protection (RM0402 3.6.4)."""
        if self.active & 1 << 31:
            return False
        return not self.active & 1 << (16 + sector)

    def as_memory(self) -> bytes:
        """The 16 bytes at 0x1FFFC000 (RM0402 table 7): RDP and user, then nWRP and SPRMOD."""
        user = self.stored & 0xFFEC | 0x3
        protect = (self.stored >> 16 & 0xFFF) | (self.stored >> 31 << 15) | 0x7000
        return b"".join(half.to_bytes(2, "little") + b"\xff" * 6 for half in (user, protect))

"""The flash interface of an STM32F412: FLASH_ACR, KEYR, OPTKEYR, SR, CR, OPTCR (RM0402 chapter 3).

* FLASH_CR and FLASH_OPTCR open only to their two keys; a wrong one is a bus error and closes the register until the
  next reset (3.5.1, 3.6.2).
* Every operation takes the data sheet's typical time (``FLASH_TIMES``); BSY is set for exactly that long, and reads
  of the array wait for it (3.5).
* Error flags come from what the access was, not from who made it: PGSERR, PGPERR, PGAERR, WRPERR (3.5.4, 3.8.4);
  SR is write-1-to-clear; EOP and OPERR appear only with their interrupt enabled.
* Read protection (3.6.3): level 1 with debug intrusion answers every array access with a bus error; leaving
  level 1 mass-erases; level 2 freezes the option bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash_array import (
    FLASH_BASE,
    FLASH_SIZE,
    OTP_BASE,
    OTP_SIZE,
    SECTORS,
    FlashArray,
    sector_at,
)
from hil.virtual_nucleo.option_bytes import OptionBytes, level_of
from hil.virtual_nucleo.vtime import PS_PER_MS, PS_PER_US, Timebase

REGISTERS = 0x40023C00

KEY1, KEY2 = 0x45670123, 0xCDEF89AB
OPTKEY1, OPTKEY2 = 0x08192A3B, 0x4C5D6E7F

SR_EOP, SR_OPERR, SR_WRPERR, SR_PGAERR, SR_PGPERR, SR_PGSERR, SR_RDERR, SR_BSY = (
    1 << 0,
    1 << 1,
    1 << 4,
    1 << 5,
    1 << 6,
    1 << 7,
    1 << 8,
    1 << 16,
)
_SR_CLEARABLE = SR_EOP | SR_OPERR | SR_WRPERR | SR_PGAERR | SR_PGPERR | SR_PGSERR | SR_RDERR

CR_PG, CR_SER, CR_MER, CR_STRT, CR_EOPIE, CR_ERRIE, CR_LOCK = (
    1 << 0,
    1 << 1,
    1 << 2,
    1 << 16,
    1 << 24,
    1 << 25,
    1 << 31,
)
_CR_WRITABLE = 0x8301037F
_ACR_WRITABLE = 0x1F0F
ACR_ICEN = 1 << 9
OPTCR_OPTLOCK, OPTCR_OPTSTRT = 1 << 0, 1 << 1

PROGRAM_PS = 16 * PS_PER_US
"""Typical, any parallelism (data sheet, "Flash memory programming")."""
_SECTOR_MS = {  # size: typical erase time at x8, x16, x32
    0x4000: (400, 300, 250),
    0x10000: (1200, 700, 550),
    0x20000: (2000, 1300, 1000),
}
_MASS_MS = (16000, 11000, 8000)
OPTION_PS = 250 * PS_PER_MS
"""Not in the data sheet: an erase and program of the option sector, taken as a 16 KiB sector's."""


def sector_erase_ps(size: int, psize: int) -> int:
    """Typical time to erase a sector of *size* bytes with FLASH_CR.PSIZE = *psize*."""
    return _SECTOR_MS[size][min(psize, 2)] * PS_PER_MS


def mass_erase_ps(psize: int) -> int:
    """Typical time of a mass erase with FLASH_CR.PSIZE = *psize*."""
    return _MASS_MS[min(psize, 2)] * PS_PER_MS


class _Operation(NamedTuple):
    """What the cells are doing, for the case that the power goes: contents before, wanted (None: an erase)."""

    offset: int
    old: bytes
    wanted: bytes | None
    began: int
    ends: int


class FlashController:
    """The controller and the gate in front of the array.

    *on_change()* is told when code in flash changed, *on_gate()* when the array may have become (in)accessible or its
    wait states changed, *on_irq()* when the interrupt line rises, *on_busy()* when
    the array has begun to work; *stall(when)* makes an accessing master wait.
    """

    def __init__(self, array: FlashArray, options: OptionBytes, time: Timebase) -> None:
        self.array = array
        self.options = options
        self._time = time
        self.on_change: Callable[[], None] = lambda: None
        self.on_gate: Callable[[], None] = lambda: None
        self.on_irq: Callable[[], None] = lambda: None
        self.on_busy: Callable[[], None] = lambda: None
        self.stall: Callable[[int], None] = time.at_least
        self.intruded = False
        """Debug access was seen since power-on (RM0402 3.6.3); only a power-on reset forgets it."""
        self.too_fast = False
        """HCLK exceeds what the wait states and the core voltage allow: reads cannot be trusted."""
        self._operation: _Operation | None = None
        self._options_wanted: int | None = None
        """Option bytes being programmed; in force when that ends."""
        self.busy_until = 0
        self.cr = CR_LOCK
        self.erase_count = [0] * len(SECTORS)
        self.programmed_bytes = 0
        self.reset()

    def reset(self) -> None:
        """System reset: registers to their reset values; a running erase or program is lost like a power cut."""
        self.abandon()
        self.acr = 0
        self.sr = 0
        self.cr = CR_LOCK
        self._key_step = 0
        self._optkey_step = 0
        self._cr_dead = False
        self._optcr_dead = False
        self.optcr_locked = True
        self.options.load()
        self.optcr = self.options.as_optcr()

    def abandon(self) -> None:
        """Power or reset struck: whatever the cells were doing stays half done, option bytes stay what they were."""
        _ = self.busy  # what had ended in time did end
        self._options_wanted = None
        operation, self._operation = self._operation, None
        if operation is not None and self._time.now < operation.ends:
            if operation.wanted is None:
                span = operation.ends - operation.began
                self.array.leave_half_erased(operation.offset, operation.old, (self._time.now - operation.began) / span)
            else:
                self.array.leave_half_programmed(operation.offset, operation.old, operation.wanted)
            self.on_change()
        self.busy_until = 0

    # -- the array ---------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the array answers with bus errors (RDP level 1 under a debugger)."""
        return self.intruded and self.options.level == 1

    @property
    def busy(self) -> bool:
        """BSY at this moment; a finished operation is settled on the way."""
        if self.busy_until and self._time.now >= self.busy_until:
            self.busy_until = 0
            self._operation = None
            if self._options_wanted is not None:
                wanted, self._options_wanted = self._options_wanted, None
                self.options.program(wanted)
                self.on_gate()
            if self.cr & CR_EOPIE:
                self.sr |= SR_EOP
                self.on_irq()
        return bool(self.busy_until)

    @property
    def next_event(self) -> int | None:
        """When something happens by itself that others must notice: an interrupt, new option bytes."""
        waiting = self.cr & CR_EOPIE or self._options_wanted is not None
        return self.busy_until if self.busy_until and waiting else None

    def wait(self) -> None:
        """A master that needs the array or the registers stalls until the operation ends."""
        self.stall(self.busy_until)
        _ = self.busy

    def check_readable(self, address: int) -> None:
        """Raise :class:`BusFault` where a read of the array would."""
        if self.blocked or self.too_fast:
            raise BusFault(address)

    def program(self, address: int, size: int, value: int) -> None:
        """A write of *size* bytes to the array, by the core or a debugger (RM0402 3.5.4)."""
        if self.busy_until and self.busy:
            self.wait()
        if self.blocked:
            raise BusFault(address)
        cr = self.cr
        if (cr & (CR_PG | CR_SER | CR_MER)) != CR_PG:
            self._error(SR_PGSERR)
            return
        if (address & 0xF) + size > 16:
            self._error(SR_PGAERR)
            return
        if size != 1 << (cr >> 8 & 3) or address % size:
            self._error(SR_PGPERR)
            return
        data = value.to_bytes(size, "little")
        if FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE:
            offset = address - FLASH_BASE
            if not self.options.all_open and self.options.write_protected(sector_at(offset).number):
                self._error(SR_WRPERR)
                return
            self.programmed_bytes += size
            main = self.array.main
            old = main[offset : offset + size]
            if old != b"\xff" * size:
                data = bytes(a & b for a, b in zip(old, data))
            main[offset : offset + size] = data
            now = self._time.now
            self.busy_until = now + PROGRAM_PS
            self._operation = _Operation(offset, old, data, now, self.busy_until)
            self.on_busy()
        else:
            self._program_otp(address - OTP_BASE, data)

    def _program_otp(self, offset: int, data: bytes) -> None:
        otp = self.array.otp
        if offset < 512 and otp[512 + offset // 32] == 0x00:  # RM0402 3.7: a lock byte of 0x00 closes its block
            self._error(SR_WRPERR)
            return
        for index, byte in enumerate(data):
            if offset + index < OTP_SIZE:
                otp[offset + index] &= byte
        self.on_gate()
        self.busy_until = self._time.now + PROGRAM_PS

    def _error(self, flag: int) -> None:
        self.sr |= flag
        if self.cr & CR_ERRIE:
            self.sr |= SR_OPERR
            self.on_irq()

    # -- registers ---------------------------------------------------------------------------------------------

    def read32(self, offset: int) -> int:
        """Read a register; a core that polls BSY waits here for the operation's end (one poll sees it set)."""
        if offset == 0x0C:
            if self.busy_until and self.busy:
                value = self.sr | SR_BSY
                self._time.spin(self.busy_until)
                return value
            return self.sr
        if offset == 0x10:
            return self.cr
        if offset == 0x00:
            return self.acr
        if offset == 0x14:
            return self.optcr | (OPTCR_OPTLOCK if self.optcr_locked else 0)
        return 0  # KEYR and OPTKEYR are write-only

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the lanes of *mask* of a register."""
        value &= mask
        if offset == 0x10:
            self._write_cr(value | (self.cr & ~mask))
        elif offset == 0x0C:
            self.sr &= ~(value & _SR_CLEARABLE)
        elif offset == 0x04:
            self._write_keyr(value)
        elif offset == 0x00:
            self.acr = (value | (self.acr & ~mask)) & _ACR_WRITABLE
            self.on_gate()
        elif offset == 0x08:
            self._write_optkeyr(value)
        elif offset == 0x14:
            self._write_optcr(value | (self.optcr & ~mask))

    def _write_keyr(self, value: int) -> None:
        if not self._cr_dead and self.cr & CR_LOCK:
            if self._key_step == 0 and value == KEY1:
                self._key_step = 1
                return
            if self._key_step == 1 and value == KEY2:
                self._key_step = 0
                self.cr &= ~CR_LOCK
                return
        self._cr_dead = True
        self.cr |= CR_LOCK
        raise BusFault(REGISTERS + 0x04)

    def _write_optkeyr(self, value: int) -> None:
        if not self._optcr_dead and self.optcr_locked:
            if self._optkey_step == 0 and value == OPTKEY1:
                self._optkey_step = 1
                return
            if self._optkey_step == 1 and value == OPTKEY2:
                self._optkey_step = 0
                self.optcr_locked = False
                return
        self._optcr_dead = True
        self.optcr_locked = True
        raise BusFault(REGISTERS + 0x08)

    def _write_cr(self, value: int) -> None:
        if self.busy_until and self.busy:
            self.wait()
        if self.cr & CR_LOCK:
            return
        self.cr = value & _CR_WRITABLE & ~CR_STRT
        if value & CR_LOCK:
            self.cr |= CR_LOCK
            return
        if value & CR_STRT:
            self._start_erase()

    def _start_erase(self) -> None:
        cr, psize = self.cr, self.cr >> 8 & 3
        number = cr >> 3 & 0xF
        kinds = cr & (CR_PG | CR_SER | CR_MER)
        if kinds not in {CR_SER, CR_MER} or (kinds == CR_SER and number >= len(SECTORS)):
            self._error(SR_PGSERR)
            return
        targets = SECTORS if kinds == CR_MER else (SECTORS[number],)
        if self.blocked or any(self.options.write_protected(sector.number) for sector in targets):
            self._error(SR_WRPERR)
            return
        duration = mass_erase_ps(psize) if kinds == CR_MER else sector_erase_ps(targets[0].size, psize)
        self._erase(targets[0].offset, sum(sector.size for sector in targets), duration)
        for sector in targets:
            self.erase_count[sector.number] += 1

    def _erase(self, offset: int, size: int, duration: int) -> None:
        old = self.array.main[offset : offset + size]
        self.array.erase(offset, size)
        now = self._time.now
        self.busy_until = now + duration
        self._operation = _Operation(offset, old, None, now, self.busy_until)
        self.on_change()
        self.on_busy()

    def _write_optcr(self, value: int) -> None:
        if self.optcr_locked or self.options.level == 2:
            return
        if value & OPTCR_OPTLOCK:
            self.optcr_locked = True
            self._optkey_step = 0
            return
        self.optcr = value & ~(OPTCR_OPTLOCK | OPTCR_OPTSTRT)
        if not value & OPTCR_OPTSTRT:
            return
        if self.busy:
            self.wait()
        leaving = self.options.level == 1 and level_of(self.optcr) == 0
        if leaving:
            self._erase(0, FLASH_SIZE, OPTION_PS + mass_erase_ps(2))  # RM0402 3.6.3: first everything is erased
        else:
            self.busy_until = self._time.now + OPTION_PS
        self._options_wanted = self.optcr

"""The debug port of an STM32F412's SWJ-DP: ADIv5.2 chapter B2 for a DPv1 in SW mode.

* Pure: a transfer goes in, an acknowledgement and maybe data come out. Wires and time are somebody else's.
* Sticky errors make AP accesses (and RDBUFF, CTRL/STAT excepted) answer FAULT until ABORT clears them (B2.2.2, B4.2.5).
* AP reads are posted: each returns the one before it, RDBUFF returns the last (B2.2.7).
* Without CDBGPWRUPREQ answered, there is no AP: an access sets STICKYERR (B2.4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

DPIDR = 0x2BA01477

ABORT = IDR = 0x0
CTRL_STAT = WCR = 0x4
SELECT = RESEND = 0x8
RDBUFF = 0xC

ORUNDETECT, STICKYORUN, STICKYCMP, STICKYERR, READOK, WDATAERR = 1 << 0, 1 << 1, 1 << 4, 1 << 5, 1 << 6, 1 << 7
CDBGRSTREQ, CDBGRSTACK = 1 << 26, 1 << 27
CDBGPWRUPREQ, CDBGPWRUPACK, CSYSPWRUPREQ, CSYSPWRUPACK = 1 << 28, 1 << 29, 1 << 30, 1 << 31
_STICKY = STICKYORUN | STICKYCMP | STICKYERR | WDATAERR
_CTRL_WRITABLE = 0x54FFFF0D
_TURNROUND = 8


class Ack(IntEnum):
    """The three acknowledgement bits as read LSB first (ADIv5.2 B4.2); NONE is an undriven line."""

    OK = 0b001
    WAIT = 0b010
    FAULT = 0b100
    NONE = 0b111


class ApFault(Exception):  # an AP's answer to its DP, never seen outside the two
    """The AP's bus answered with an error; *done* words of a block came before it."""

    def __init__(self, done: int = 0, data: bytes = b"") -> None:
        super().__init__(done)
        self.done = done
        self.data = data


class AccessPort(Protocol):
    """What the DP needs of an AP; addresses are 8 bits, APBANKSEL included."""

    def read(self, address: int) -> int:
        """Read a register. :raises ApFault:"""

    def write(self, address: int, value: int) -> None:
        """Write a register. :raises ApFault:"""

    def read_block(self, address: int, count: int) -> bytes:
        """Read a register *count* times, as words. :raises ApFault:"""

    def write_block(self, address: int, data: bytes) -> None:
        """Write a register once for each word. :raises ApFault:"""


class DebugPort:
    """The DP's registers and rules. *ap_at(apsel)* gives an access port or None."""

    def __init__(self, ap_at: Callable[[int], AccessPort | None]) -> None:
        self._ap_at = ap_at
        self.on_power: Callable[[], None] = lambda: None
        self.power_on()

    def power_on(self) -> None:
        """Power-on reset of the debug domain."""
        self._ctrl = 0
        self._select = 0
        self._read_buffer = 0
        self._last_read = 0
        self._wcr = 0
        self.after_line_reset = False

    def line_reset(self) -> None:
        """A line reset: the next transfer must read DPIDR (B4.3.3); turnaround is one cycle again (B2.2.3)."""
        self.after_line_reset = True
        self._select &= ~0xF
        self._wcr &= ~(3 << _TURNROUND)

    @property
    def powered(self) -> bool:
        """Debug power is up."""
        return bool(self._ctrl & CDBGPWRUPREQ)

    @property
    def sticky(self) -> bool:
        """Some sticky flag is set."""
        return bool(self._ctrl & _STICKY)

    @property
    def overrun_detection(self) -> bool:
        """CTRL/STAT.ORUNDETECT: WAIT and FAULT then have a data phase (B4.2.4)."""
        return bool(self._ctrl & ORUNDETECT)

    @property
    def turnaround(self) -> int:
        """Cycles between host and target driving (WCR, later called DLCR: TURNROUND, B2.2.3)."""
        return 1 + (self._wcr >> _TURNROUND & 3)

    @property
    def selected(self) -> int:
        """SELECT: APSEL, APBANKSEL and the DP's bank."""
        return self._select

    def refuse_data(self) -> None:
        """A write's data had bad parity: it is dropped and remembered (B4.2.6)."""
        self._ctrl |= WDATAERR

    def note_bus_error(self) -> None:
        """A memory access went wrong (B2.2.4)."""
        self._ctrl = (self._ctrl | STICKYERR) & ~READOK

    def overrun(self) -> None:
        """A transfer was answered with WAIT: with overrun detection, that is an error too (B2.2.4)."""
        if self._ctrl & ORUNDETECT:
            self._ctrl |= STICKYORUN

    def transfer(self, *, ap: bool, read: bool, address: int, value: int = 0) -> tuple[Ack, int]:
        """One transfer: APnDP, RnW, A[3:2] and, for a write, its data word. Returns the acknowledgement and data."""
        if self.after_line_reset:
            if ap or not read or address != IDR:
                return Ack.NONE, 0
            self.after_line_reset = False
        if ap:
            return self._access_port(address, value, read=read)
        return self._read_dp(address) if read else self._write_dp(address, value)

    # -- DP registers ------------------------------------------------------------------------------------------

    def _read_dp(self, address: int) -> tuple[Ack, int]:
        if address == IDR:
            return Ack.OK, DPIDR
        if address == CTRL_STAT:
            return Ack.OK, self._wcr if self._select & 1 else self._status()
        if self.sticky:
            return self._refuse()
        if address == RESEND:
            return Ack.OK, self._last_read
        self._last_read = self._read_buffer
        return Ack.OK, self._read_buffer

    def _status(self) -> int:
        value = self._ctrl
        if value & CDBGPWRUPREQ:
            value |= CDBGPWRUPACK
        if value & CSYSPWRUPREQ:
            value |= CSYSPWRUPACK
        return value

    def _write_dp(self, address: int, value: int) -> tuple[Ack, int]:
        if address == ABORT:
            for bit, flag in ((1, STICKYCMP), (2, STICKYERR), (3, WDATAERR), (4, STICKYORUN)):
                if value >> bit & 1:
                    self._ctrl &= ~flag
            return Ack.OK, 0
        if self.sticky:
            return self._refuse()
        if address == CTRL_STAT:
            if self._select & 1:
                self._wcr = value & 0x3C7
            else:
                self._ctrl = value & _CTRL_WRITABLE | self._ctrl & (_STICKY | READOK)
                self.on_power()
        elif address == SELECT:
            self._select = value
        return Ack.OK, 0

    def _refuse(self) -> tuple[Ack, int]:
        if self._ctrl & ORUNDETECT:
            self._ctrl |= STICKYORUN
        return Ack.FAULT, 0

    # -- AP accesses -------------------------------------------------------------------------------------------

    def _target(self) -> AccessPort | None:
        return self._ap_at(self._select >> 24) if self.powered else None

    def _register(self, address: int) -> int:
        return self._select & 0xF0 | address & 0xC

    def _access_port(self, address: int, value: int, *, read: bool) -> tuple[Ack, int]:
        return self._refuse() if self.sticky else self.perform(address, value, read=read)

    def perform(self, address: int, value: int, *, read: bool) -> tuple[Ack, int]:
        """An AP access that was accepted; what has gone wrong since does not stop it."""
        target = self._target()
        posted = self._read_buffer
        try:
            if target is None:
                if not self.powered:
                    raise ApFault
                self._read_buffer = 0  # no such AP: reads as zero (C1.3)
            elif read:
                self._read_buffer = target.read(self._register(address))
            else:
                target.write(self._register(address), value)
            self._ctrl |= READOK if read else 0
        except ApFault:
            self.note_bus_error()
        self._last_read = posted
        return Ack.OK, posted if read else 0

    def read_block(self, address: int, count: int) -> tuple[Ack, bytes, int]:
        """*count* AP reads in a row and RDBUFF, as one: acknowledgement, words that came, transfers it took."""
        if self.sticky:
            return self._refuse()[0], b"", 1
        target = self._target()
        if target is None:
            if self.powered:
                return Ack.OK, bytes(4 * count), count + 1
            self._ctrl |= STICKYERR
            return Ack.FAULT, b"", 2
        try:
            data = target.read_block(self._register(address), count)
        except ApFault as fault:
            self.note_bus_error()
            self._refuse()
            return Ack.FAULT, fault.data, fault.done + 2
        self._read_buffer = self._last_read = int.from_bytes(data[-4:], "little")
        self._ctrl |= READOK
        return Ack.OK, data, count + 1

    def write_block(self, address: int, data: bytes) -> tuple[Ack, int]:
        """An AP write for each word of *data*: the last acknowledgement, and how many transfers it took.

        A bus error is seen by the transfer after the one that caused it, so the last word's stays to be found.
        """
        words = len(data) // 4
        if self.sticky:
            return self._refuse()[0], 1
        target = self._target()
        if target is None:
            if self.powered:
                return Ack.OK, words
            self._ctrl |= STICKYERR
            return (Ack.OK, 1) if words == 1 else (self._refuse()[0], 2)
        try:
            target.write_block(self._register(address), data)
        except ApFault as fault:
            self._ctrl |= STICKYERR
            if fault.done + 1 < words:
                return self._refuse()[0], fault.done + 2
        return Ack.OK, words

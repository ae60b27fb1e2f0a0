"""The SWD connector as transfers: what the wire costs, and who answers it.

* SWJ selection (JTAG after power-on, SWD after 0xE79E between line resets, ADIv5.2 B5.2) is tracked from the bits sent.
* A transfer is 46 SWCLK cycles with its data phase, 13 without (ADIv5.2 B4.2 with one turnaround cycle); the device
  goes on meanwhile.
* Block transfers are those same transfers; the core runs for the block's whole duration before its data lands.

A wire-level front end replaces this class and keeps everything beneath it.
"""

from __future__ import annotations

from hil.virtual_nucleo.dp import IDR, RDBUFF, Ack
from hil.virtual_nucleo.soc import Soc
from hil.virtual_nucleo.vtime import PS_PER_S

TRANSFER_CYCLES = 46
REFUSED_CYCLES = 13
_JTAG_TO_SWD, _SWD_TO_JTAG = 0xE79E, 0xE73C
_LINE_RESET_ONES = 50


class SwdPort:
    """One target connector; *soc* is what is plugged in, or None."""

    def __init__(self, soc: Soc | None = None) -> None:
        self._soc = soc
        self._swd_selected = False
        self._ones = 0
        self._since_reset = 0
        self._since_bits = 0
        self.swclk_hz = 4_000_000
        self.cycles = 0
        """SWCLK cycles driven so far."""

    def plug(self, soc: Soc | None) -> None:
        """Connect another device, or none."""
        self._soc = soc
        self.lose_link()

    def lose_link(self) -> None:
        """Power-on reset of the device's SWJ-DP: it listens for JTAG again."""
        self._swd_selected = False
        self._ones = self._since_bits = 0

    def _answers(self) -> Soc | None:
        soc = self._soc
        if soc is None or not soc.powered or not self._swd_selected or soc.debug_disabled:
            return None
        return soc

    def _drive(self, cycles: int) -> None:
        self.cycles += cycles
        self.idle(cycles * PS_PER_S // self.swclk_hz)

    def sequence(self, length: int, bits: int) -> None:
        """Clock *length* bits out, LSB first."""
        for index in range(length):
            if bits >> index & 1:
                self._ones += 1
                if self._ones == _LINE_RESET_ONES:
                    self._line_reset()
            else:
                self._ones = 0
            if self._since_bits < 16 and self._ones < _LINE_RESET_ONES:
                self._since_reset |= (bits >> index & 1) << self._since_bits
                self._since_bits += 1
                if self._since_bits == 16:
                    self._select(self._since_reset)
        self._drive(length)

    def _line_reset(self) -> None:
        self._since_reset = self._since_bits = 0
        if self._swd_selected and self._soc is not None:
            self._soc.dp.line_reset()

    def _select(self, pattern: int) -> None:
        if pattern == _JTAG_TO_SWD:
            self._swd_selected = True
        elif pattern == _SWD_TO_JTAG:
            self._swd_selected = False

    def transfer(self, *, ap: bool, read: bool, address: int, value: int = 0) -> tuple[Ack, int]:
        """One SWD transfer; NONE when nothing answers."""
        self._ones = 0
        soc = self._answers()
        if soc is None:
            self._drive(TRANSFER_CYCLES)
            return Ack.NONE, 0
        self._drive(TRANSFER_CYCLES)
        soc = self._answers()
        if soc is None:
            return Ack.NONE, 0
        return soc.dp.transfer(ap=ap, read=read, address=address, value=value)

    def read_block(self, address: int, count: int) -> tuple[Ack, bytes]:
        """*count* reads of an AP register, collected through RDBUFF."""
        soc = self._answers()
        if soc is None or soc.dp.after_line_reset:
            return self.transfer(ap=True, read=True, address=address)[0], b""
        self._drive(TRANSFER_CYCLES * (count + 1))
        if self._answers() is None:
            return Ack.NONE, b""
        ack, data, _ = soc.dp.read_block(address, count)
        return ack, data

    def write_block(self, address: int, data: bytes) -> Ack:
        """A write of an AP register for each word, then RDBUFF: so every error of the block is in the answer."""
        soc = self._answers()
        if soc is None or soc.dp.after_line_reset:
            return self.transfer(ap=True, read=False, address=address)[0]
        self._drive(TRANSFER_CYCLES * (len(data) // 4))
        if self._answers() is None:
            return Ack.NONE
        ack, _ = soc.dp.write_block(address, data)
        return ack if ack is not Ack.OK else self.transfer(ap=False, read=True, address=RDBUFF)[0]

    def idle(self, ps: int) -> None:
        """Nobody drives the wire for a while."""
        if self._soc is not None:
            self._soc.pass_time(ps)
            if not self._soc.powered:
                self.lose_link()

    def reset_pin(self, asserted: bool) -> None:
        """Drive NRST low, or let it go."""
        if self._soc is not None:
            self._soc.hold_reset(asserted)

    @property
    def reset_pin_low(self) -> bool:
        """Level of NRST as the probe reads it back."""
        return self._soc is not None and (self._soc.held_in_reset or not self._soc.powered)


__all__ = ["IDR", "RDBUFF", "REFUSED_CYCLES", "TRANSFER_CYCLES", "SwdPort"]

"""What an SW-DP answers, transfer by transfer: WAIT, FAULT, posted reads, and windows for runs of memory words.

* An access that the bus stalls (flash at work) stays outstanding: meanwhile everything but DPIDR and CTRL/STAT reads
  and ABORT writes is answered with WAIT (ADIv5.2 B4.2.3), and ABORT.DAPABORT gives it up (B2.2.1).
* Sticky flags make everything but those three FAULT (B4.2.4); with overrun detection WAIT sets STICKYORUN (B2.2.4).
* A *window* lets the bit machine answer a run of DRW accesses by itself. It opens only where those answers cannot
  depend on anything else: word writes to SRAM, word reads of memory that nobody is changing.
* Debuggers that poll DHCSR are taken to be patient (``patient``): from the second poll in a row, a running core goes
  on until it halts, or for 1 ms growing to 50 ms, before the poll is answered.
"""

from __future__ import annotations

from collections.abc import Callable

from hil.virtual_nucleo import dp as dp_registers
from hil.virtual_nucleo.bus import SRAM_BASE, SRAM_SIZE
from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash_array import FLASH_BASE, FLASH_SIZE
from hil.virtual_nucleo.mem_ap import CSW, DRW, TAR
from hil.virtual_nucleo.soc import Soc
from hil.virtual_nucleo.vtime import PS_PER_MS

AP, READ = 1, 2
"""Bits of a request; bits 2 and 3 are A[3:2], so that ``request & 0xC`` is the register's address."""
_ABORT_WRITE, _DPIDR_READ, _CTRL_READ = 0x0, READ, 0x4 | READ
_NEVER_REFUSED = {_ABORT_WRITE, _DPIDR_READ, _CTRL_READ}
_DRW_BANK = 0
_PAGE = 0x1000
_WINDOW_BYTES = 1024
_POLL_FIRST_PS, _POLL_LAST_PS = 1 * PS_PER_MS, 50 * PS_PER_MS


class _Stalled(Exception):  # how a bus stall leaves the access that met it; never seen outside this module
    def __init__(self, until: int) -> None:
        super().__init__(until)
        self.until = until


class WirePort:
    """The transfers of one device. *expect_writes(room)* and *expect_reads(words)* open a window."""

    def __init__(self, soc: Soc, expect_writes: Callable[[int], None], expect_reads: Callable[[bytes], None]) -> None:
        self.soc = soc
        self.patient = True
        self._expect_writes = expect_writes
        self._expect_reads = expect_reads
        self.forget()

    def forget(self) -> None:
        """Power-on: nothing is outstanding."""
        self._outstanding: tuple[int, int] | None = None
        self._ready_at = 0
        self._streak = 0
        self._polls = 0
        self._poll_ps = _POLL_FIRST_PS
        self._saw_poll = False
        self._plain_stall = self.soc.flash.stall

    # -- one transfer ------------------------------------------------------------------------------------------

    def answer(self, request: int) -> tuple[Ack, int]:
        """The acknowledgement of *request*, and the data of a read."""
        dp = self.soc.dp
        if dp.after_line_reset and request != _DPIDR_READ:
            return Ack.NONE, 0
        if request not in _NEVER_REFUSED:
            if dp.sticky:
                return self._on_dp(request, 0)
            if self._outstanding is not None:
                dp.overrun()
                return Ack.WAIT, 0
        if not request & READ:
            return Ack.OK, 0
        return self._access(request, 0) if request & AP else self._on_dp(request, 0)

    def write(self, request: int, value: int, *, parity_good: bool) -> None:
        """The data of a write that was acknowledged with OK."""
        if not parity_good:
            self.soc.dp.refuse_data()
        elif request & AP:
            if not self.soc.dp.sticky:
                self._access(request, value)
        else:
            if request == _ABORT_WRITE and value & 1:
                self._outstanding = None
            self._on_dp(request, value)

    def _on_dp(self, request: int, value: int) -> tuple[Ack, int]:
        if request & 0xC != dp_registers.RDBUFF:
            self._streak = 0
        return self.soc.dp.transfer(
            ap=bool(request & AP), read=bool(request & READ), address=request & 0xC, value=value
        )

    # -- access port -------------------------------------------------------------------------------------------

    def _access(self, request: int, value: int) -> tuple[Ack, int]:
        try:
            ack, data = self._perform(request, value)
        except _Stalled as stalled:
            self._outstanding = request, value
            self._ready_at = stalled.until
            self._streak = 0
            return (
                self.soc.dp.transfer(ap=False, read=True, address=dp_registers.RDBUFF)
                if request & READ
                else (
                    Ack.OK,
                    0,
                )
            )
        self._streak = self._streak + 1 if request & 0xC == DRW else 0
        if self._streak > 1:
            self._open_window(reading=bool(request & READ))
        return ack, data

    @property
    def ready_at(self) -> int | None:
        """When the outstanding access will be able to take place, if there is one."""
        return self._ready_at if self._outstanding is not None else None

    def time_passed(self) -> None:
        """Time has gone on: an outstanding access whose stall is over takes place."""
        if self._outstanding is None or self.soc.time.now < self._ready_at:
            return
        request, value = self._outstanding
        self._outstanding = None
        try:
            self._perform(request, value)
        except _Stalled as stalled:  # the flash has meanwhile begun something else
            self._outstanding = request, value
            self._ready_at = stalled.until

    def _perform(self, request: int, value: int) -> tuple[Ack, int]:
        soc = self.soc
        stall, polled = soc.flash.stall, soc.core.debug.polled
        self._plain_stall = stall
        soc.flash.stall, soc.core.debug.polled = self._stall, self._polled
        self._saw_poll = False
        try:
            return soc.dp.perform(request & 0xC, value, read=bool(request & READ))
        finally:
            soc.flash.stall, soc.core.debug.polled = stall, polled
            if not self._saw_poll and (request & 0xC == DRW or soc.dp.selected & 0xF0):
                self._polls = 0

    def _stall(self, until: int) -> None:
        soc = self.soc
        if soc.core.running or soc.mem_ap.read(CSW) & 0x30 == 0x20:
            self._plain_stall(until)  # the core's own; or a packed one, which is not taken apart: it just takes longer
        else:
            raise _Stalled(until)

    def _polled(self) -> None:
        self._saw_poll = True
        soc = self.soc
        if not self._polls:
            self._poll_ps = _POLL_FIRST_PS
        elif self.patient and soc.powered and not soc.held_in_reset and soc.core.runnable:
            soc.core.run_until(soc.time.now + self._poll_ps)
            self._poll_ps = min(2 * self._poll_ps, _POLL_LAST_PS)
        self._polls += 1

    # -- windows -----------------------------------------------------------------------------------------------

    def _open_window(self, *, reading: bool) -> None:
        soc = self.soc
        ap = soc.mem_ap
        if soc.dp.selected >> 24 or soc.dp.selected & 0xF0 != _DRW_BANK or soc.dp.sticky:
            return
        tar = ap.read(TAR)
        if ap.read(CSW) & 0x37 != 0x12 or tar & 3:
            return
        in_sram = SRAM_BASE <= tar < SRAM_BASE + SRAM_SIZE
        room = min(_PAGE - (tar & _PAGE - 1), _WINDOW_BYTES)
        if not reading:
            if in_sram:
                self._expect_writes(room // 4)
            return
        in_flash = FLASH_BASE <= tar < FLASH_BASE + FLASH_SIZE
        if tar & _PAGE - 1 == 0 or not (in_sram or in_flash) or soc.core.runnable or soc.flash.busy:
            return
        try:  # each read returns the one before it, so the last word read comes first (B2.2.7)
            self._expect_reads(soc.bus.read_words(tar - 4, room // 4 + 1)[:room])
        except BusFault:
            return

    def write_words(self, words: bytes) -> None:
        """The DRW writes of a window."""
        self.soc.dp.write_block(DRW, words)
        self._streak = 1

    def read_words(self, count: int) -> None:
        """*count* DRW reads of a window took place; the last one leaves what RESEND shall return."""
        if count > 1:
            self.soc.dp.read_block(DRW, count - 1)
        self.soc.dp.transfer(ap=True, read=True, address=DRW)
        self._streak = 1

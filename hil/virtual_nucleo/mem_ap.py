"""The AHB-AP of an STM32F412: a MEM-AP of ADIv5.2 chapter C2 (Cortex-M4 TRM 7.5).

* CSW, TAR, DRW, BD0 to BD3, CFG, BASE, IDR; byte, halfword and word accesses in their lanes, packed transfers included.
* TAR increments within 4 KiB and wraps there (Cortex-M4 TRM, CSW.AddrInc), and only after an access that succeeded.
* A bus error is the DP's to remember; DbgStatus follows power.
"""

from __future__ import annotations

from hil.virtual_nucleo.bus import Bus
from hil.virtual_nucleo.dp import ApFault
from hil.virtual_nucleo.faults import BusFault

IDR = 0x24770011
BASE = 0xE00FF003
CSW, TAR, DRW, BD0 = 0x00, 0x04, 0x0C, 0x10
_CSW_WRITABLE = 0x7F000F37 & ~0xF00
_CSW_READS = 0x00000040
"""DeviceEn; SPIStatus, DbgSwEnable and TrInProg read as zero."""
_INCREMENT_PAGE = 0x1000


class MemAp:
    """Registers of the AHB-AP. Its bus accesses are the debugger's."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.reset()

    def reset(self) -> None:
        """Power-on reset (Cortex-M4 TRM 7.5.1)."""
        self._csw = 0x23000002
        self._tar = 0

    # -- registers ---------------------------------------------------------------------------------------------

    def read(self, address: int) -> int:
        """Read the register at *address*. :raises ApFault: when its memory access failed."""
        if address == DRW:
            return int.from_bytes(self.read_block(DRW, 1), "little")
        if address & 0xF0 == BD0:
            return self._word_access(self._tar & ~0xF | address & 0xC)
        return {
            CSW: self._csw | _CSW_READS,
            TAR: self._tar,
            0xF8: BASE,
            0xFC: IDR,
        }.get(address, 0)

    def write(self, address: int, value: int) -> None:
        """Write the register at *address*. :raises ApFault: when its memory access failed."""
        if address == DRW:
            self.write_block(DRW, value.to_bytes(4, "little"))
        elif address & 0xF0 == BD0:
            self._bus_write(self._tar & ~0xF | address & 0xC, 4, value)
        elif address == CSW:
            self._csw = value & _CSW_WRITABLE
            if self._csw & 7 > 2:
                self._csw = self._csw & ~7 | 2  # 64 bits and more are not implemented
        elif address == TAR:
            self._tar = value

    @property
    def _size(self) -> int:
        return 1 << (self._csw & 7)

    def _increment(self, by: int) -> None:
        page = self._tar & ~(_INCREMENT_PAGE - 1)
        self._tar = page | (self._tar + by) & (_INCREMENT_PAGE - 1)

    def _word_access(self, address: int) -> int:
        try:
            return self._bus.read(address, 4)
        except BusFault as fault:
            raise ApFault from fault

    def _bus_write(self, address: int, size: int, value: int) -> None:
        try:
            self._bus.write(address, size, value)
        except BusFault as fault:
            raise ApFault from fault

    # -- DRW ---------------------------------------------------------------------------------------------------

    def read_block(self, address: int, count: int) -> bytes:
        """Read DRW (or any register) *count* times; words, lanes as on the wire. :raises ApFault:"""
        if address != DRW:
            return b"".join(self.read(address).to_bytes(4, "little") for _ in range(count))
        out = bytearray()
        increment = self._csw >> 4 & 3
        try:
            if self._size == 4 and increment and not self._tar & 3:
                while len(out) < 4 * count:
                    room = (_INCREMENT_PAGE - (self._tar & (_INCREMENT_PAGE - 1))) // 4
                    words = min(room, count - len(out) // 4)
                    out += self._bus.read_words(self._tar, words)
                    self._increment(4 * words)
            else:
                for _ in range(count):
                    out += self._read_lanes(increment).to_bytes(4, "little")
        except BusFault as fault:
            done = len(out) // 4 + fault.done // 4
            if fault.done:
                out += self._bus.read_words(self._tar, fault.done // 4)
                self._increment(fault.done)
            raise ApFault(done, bytes(out)) from fault
        return bytes(out)

    def _read_lanes(self, increment: int) -> int:
        size, address = self._size, self._tar
        if increment == 2 and size < 4:  # packed (C2.2.5): as many accesses as fill the word
            value = 0
            for _ in range(4 // size):
                at = self._tar & ~(size - 1)
                value |= self._bus.read(at, size) << 8 * (at & 3)
                self._increment(size)
            return value
        value = self._bus.read(address & ~(size - 1), size) << 8 * (address & 3 & ~(size - 1))
        if increment:
            self._increment(size)
        return value

    def write_block(self, address: int, data: bytes) -> None:
        """Write DRW (or any register) once for each word of *data*. :raises ApFault:"""
        if address != DRW:
            for index in range(0, len(data), 4):
                self.write(address, int.from_bytes(data[index : index + 4], "little"))
            return
        increment = self._csw >> 4 & 3
        done = 0
        try:
            if self._size == 4 and increment and not self._tar & 3:
                while done < len(data):
                    room = _INCREMENT_PAGE - (self._tar & (_INCREMENT_PAGE - 1))
                    part = data[done : done + room]
                    self._bus.write_words(self._tar, part)
                    self._increment(len(part))
                    done += len(part)
            else:
                for index in range(0, len(data), 4):
                    self._write_lanes(increment, int.from_bytes(data[index : index + 4], "little"))
                    done += 4
        except BusFault as fault:
            self._increment(fault.done) if increment else None
            raise ApFault((done + fault.done) // 4) from fault

    def _write_lanes(self, increment: int, value: int) -> None:
        size = self._size
        mask = (1 << 8 * size) - 1
        if increment == 2 and size < 4:
            for _ in range(4 // size):
                at = self._tar & ~(size - 1)
                self._bus.write(at, size, value >> 8 * (at & 3) & mask)
                self._increment(size)
            return
        address = self._tar & ~(size - 1)
        self._bus.write(address, size, value >> 8 * (address & 3) & mask)
        if increment:
            self._increment(size)

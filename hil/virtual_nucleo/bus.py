"""The bus matrix and memory map of an STM32F412xG (RM0402 2.2, 2.3), seen by the core and by the AHB-AP alike.

* An address where nothing answers is a bus error, for whoever asked.
* Word, halfword and byte accesses reach peripherals with their lanes; unaligned ones are split as the AHB would.
* Bit-band aliases cover SRAM and peripherals (2.3.3).
* Block reads and writes of memory are the same accesses done at once: same faults, same order, same stalls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hil.virtual_nucleo import coresight, scs
from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash import FlashController
from hil.virtual_nucleo.flash_array import FLASH_BASE, FLASH_SIZE, OTP_BASE, OTP_SIZE

SRAM_BASE = 0x20000000
SRAM_SIZE = 0x40000
SYSTEM_BASE = 0x1FFF0000
SYSTEM_SIZE = 0x8000
OPTION_BASE = 0x1FFFC000
OPTION_SIZE = 16
UID_BASE = 0x1FFF7A10
FLASH_SIZE_REGISTER = 0x1FFF7A22

WINDOWS = (  # where peripherals answer; reserved slots inside an APB window read as zero
    (0x40000000, 0x8000),
    (0x40010000, 0x7400),
    (0x40020000, 0x7000),
    (0x50000000, 0x60C00),
)
PPB = (0xE0000000, 0x100000)
_LANES = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}


class Device(Protocol):
    """A register block: offsets are from its base and word aligned."""

    def read32(self, offset: int) -> int:
        """Read a word."""

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the lanes of *mask*."""


class Bus:
    """Routes accesses. *write_sram* is how SRAM changes so that the core notices (it may hold code)."""

    def __init__(self, flash: FlashController, sram: memoryview, system: memoryview) -> None:
        self.flash = flash
        self.sram = sram
        self.system = system
        self.write_sram: Callable[[int, bytes], None] = self._write_sram
        self.system_control: scs.SystemControl | None = None
        self.memory_mode: Callable[[], int] = lambda: 0
        self.devices: dict[int, tuple[Device, int]] = {}
        """Register blocks by their KiB number, with their base."""
        self._ppb: dict[int, Device] = {}

    def attach(self, device: Device, base: int, size: int = 0x400) -> None:
        """Put *device* at *base*; both in units of 1 KiB, or a 4 KiB page of the private peripheral bus."""
        if base >= PPB[0]:
            self._ppb[base] = device
            return
        for slot in range(base, base + size, 0x400):
            self.devices[slot >> 10] = (device, base)

    def _write_sram(self, offset: int, data: bytes) -> None:
        self.sram[offset : offset + len(data)] = data

    # -- single accesses ---------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes. :raises BusFault: where the bus answers with an error."""
        if address % size:
            return sum(self.read(address + index, 1) << 8 * index for index in range(size))
        region = address >> 29
        if region <= 1:
            return int.from_bytes(self._read_memory(address, size), "little")
        if region == 2 or region == 7:  # noqa: PLR1714 -- a set lookup costs more on the hottest path
            return self._read_register(address, size)
        raise BusFault(address)

    def write(self, address: int, size: int, value: int, *, from_core: bool = False) -> None:
        """Write 1, 2 or 4 bytes. :raises BusFault: where the bus answers with an error."""
        if address % size:
            for index in range(size):
                self.write(address + index, 1, value >> 8 * index & 0xFF, from_core=from_core)
            return
        value &= _LANES[size]
        if SRAM_BASE <= address < SRAM_BASE + SRAM_SIZE:
            self.write_sram(address - SRAM_BASE, value.to_bytes(size, "little"))
        elif address >> 29 == 0:
            self._write_code(address, size, value)
        elif address >> 29 == 1 and 0x22000000 <= address < 0x22000000 + SRAM_SIZE * 32:
            self._write_bit(SRAM_BASE, address - 0x22000000, value)
        elif address >> 29 in {2, 7}:
            self._write_register(address, size, value, from_core=from_core)
        else:
            raise BusFault(address)

    def _alias(self, address: int) -> int:
        """What address 0 shows (RM0402 table 3): main flash, system memory or SRAM."""
        mode = self.memory_mode()
        if mode == 3:
            return SRAM_BASE + address
        return (SYSTEM_BASE if mode == 1 else FLASH_BASE) + address

    def _read_memory(self, address: int, size: int) -> bytes:
        """Bytes of a run that lies within one memory. :raises BusFault: at its first byte that nothing holds."""
        if SRAM_BASE <= address <= SRAM_BASE + SRAM_SIZE - size:
            offset = address - SRAM_BASE
            return bytes(self.sram[offset : offset + size])
        if address < FLASH_SIZE and address + size <= FLASH_SIZE:
            address = self._alias(address)
            if address >= SRAM_BASE:
                return self._read_memory(address, size)
        if FLASH_BASE <= address <= FLASH_BASE + FLASH_SIZE - size:
            self._flash_ready(address)
            offset = address - FLASH_BASE
            return self.flash.array.main[offset : offset + size]
        if SYSTEM_BASE <= address <= SYSTEM_BASE + SYSTEM_SIZE - size:
            offset = address - SYSTEM_BASE
            return bytes(self.system[offset : offset + size])
        if OPTION_BASE <= address <= OPTION_BASE + OPTION_SIZE - size:
            return self.flash.options.as_memory()[address - OPTION_BASE :][:size]
        if 0x22000000 <= address < 0x22000000 + SRAM_SIZE * 32:
            return self._read_bit(SRAM_BASE, address - 0x22000000).to_bytes(size, "little")
        raise BusFault(address)

    def _flash_ready(self, address: int) -> None:
        if self.flash.busy:
            self.flash.wait()
        self.flash.check_readable(address)

    def _write_code(self, address: int, size: int, value: int) -> None:
        if address < FLASH_SIZE:
            address = self._alias(address)
            if address >= SRAM_BASE:
                self.write(address, size, value)
                return
        if FLASH_BASE <= address < FLASH_BASE + FLASH_SIZE or OTP_BASE <= address < OTP_BASE + OTP_SIZE:
            self.flash.program(address, size, value)
        else:
            raise BusFault(address)

    def _read_bit(self, base: int, offset: int) -> int:
        return self.read(base + (offset >> 7 << 2), 4) >> (offset >> 2 & 31) & 1

    def _write_bit(self, base: int, offset: int, value: int) -> None:
        word, bit = base + (offset >> 7 << 2), offset >> 2 & 31
        self.write(word, 4, self.read(word, 4) & ~(1 << bit) | (value & 1) << bit)

    def _read_register(self, address: int, size: int) -> int:
        return self._read_word(address & ~3) >> 8 * (address & 3) & _LANES[size]

    def _read_word(self, address: int) -> int:
        slot = self.devices.get(address >> 10)
        if slot is not None:
            return slot[0].read32(address - slot[1])
        if 0x42000000 <= address < 0x44000000:
            return self._read_bit(0x40000000, address - 0x42000000)
        if address >= PPB[0]:
            return self._read_ppb(address)
        if any(start <= address < start + size for start, size in WINDOWS):
            return 0
        raise BusFault(address)

    def _write_register(self, address: int, size: int, value: int, *, from_core: bool) -> None:
        lane = 8 * (address & 3)
        word, mask, shifted = address & ~3, _LANES[size] << lane, value << lane
        slot = self.devices.get(address >> 10)
        if slot is not None:
            slot[0].write32(word - slot[1], shifted, mask)
        elif 0x42000000 <= address < 0x44000000:
            self._write_bit(0x40000000, address - 0x42000000, value)
        elif address >= PPB[0]:
            self._write_ppb(word, shifted, mask, from_core=from_core)
        elif not any(start <= address < start + size for start, size in WINDOWS):
            raise BusFault(address)

    def _read_ppb(self, address: int) -> int:
        page, offset = address & ~0xFFF, address & 0xFFF
        if page == scs.BASE and self.system_control is not None:
            return self.system_control.read32(offset)
        if page == coresight.ROM_TABLE:
            return coresight.rom_table(offset)
        identity = coresight.identification(page, offset)
        if identity is not None:
            return identity
        device = self._ppb.get(page)
        if device is None:
            raise BusFault(address)
        return device.read32(offset)

    def _write_ppb(self, address: int, value: int, mask: int, *, from_core: bool) -> None:
        page, offset = address & ~0xFFF, address & 0xFFF
        if page == scs.BASE and self.system_control is not None:
            self.system_control.write32(offset, value, mask, from_core=from_core)
        elif page in self._ppb:
            self._ppb[page].write32(offset, value, mask)
        elif page != coresight.ROM_TABLE:
            raise BusFault(address)

    # -- blocks ------------------------------------------------------------------------------------------------

    def read_words(self, address: int, count: int) -> bytes:
        """*count* aligned words; on a fault its ``done`` says how many bytes came before it."""
        if address >> 29 <= 1:
            try:
                return self._read_memory(address, 4 * count)
            except BusFault:
                if count == 1:
                    raise
        out = bytearray()
        for index in range(count):
            try:
                out += self.read(address + 4 * index, 4).to_bytes(4, "little")
            except BusFault as fault:
                raise BusFault(fault.address, done=4 * index) from fault
        return bytes(out)

    def write_words(self, address: int, data: bytes) -> None:
        """Aligned words; on a fault its ``done`` says how many bytes came before it."""
        if SRAM_BASE <= address <= SRAM_BASE + SRAM_SIZE - len(data):
            self.write_sram(address - SRAM_BASE, data)
            return
        for index in range(0, len(data), 4):
            try:
                self.write(address + index, 4, int.from_bytes(data[index : index + 4], "little"))
            except BusFault as fault:
                raise BusFault(fault.address, done=index) from fault

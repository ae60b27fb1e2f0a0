"""The shape of a board profile, and the questions that any family answers from its data alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sector:
    """One erasable piece of flash, in bytes."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class StubProfile:
    """The measuring stub of a family: where its blob is linked, and where its mailbox and stack lie."""

    blob: str
    load_address: int
    mailbox: int
    stack_top: int


@dataclass(frozen=True)
class BoardProfile:
    """One part. Addresses are absolute, lengths in bytes.

    `debug_freeze_registers` keep debug settings over a reset and are cleared before the board is let go. `uid_fault`
    gives the reason why a unique id is implausible, or None. `rdp_level` reads the protection level (0, 1 or 2) and
    `write_protected` the closed sectors' indices from the option control register.
    """

    part: str
    pyocd_target: str
    flash_start: int
    sectors: tuple[Sector, ...]
    ram_start: int
    ram_length: int
    uid_address: int
    uid_length: int
    flash_size_address: int
    idcode_address: int
    device_id: int
    dpidr: int
    option_register: int
    debug_freeze_registers: tuple[int, ...]
    stub: StubProfile
    uid_fault: Callable[[bytes], str | None]
    rdp_level: Callable[[int], int]
    write_protected: Callable[[int], tuple[int, ...]]

    @property
    def flash_length(self) -> int:
        return sum(sector.length for sector in self.sectors)

    @property
    def flash_end(self) -> int:
        return self.flash_start + self.flash_length

    def in_flash(self, start: int, length: int) -> bool:
        """Whether [start, start + length) lies in the flash."""
        return self.flash_start <= start and length >= 0 and start + length <= self.flash_end

    def in_ram(self, address: int) -> bool:
        """Whether `address` lies in RAM or just behind it, as a first stack pointer may."""
        return self.ram_start < address <= self.ram_start + self.ram_length

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
class LoaderProfile:
    """The loader of a family: its blob, mailbox and stack as a stub's, and the ring of slots that pages come in by."""

    stub: StubProfile
    ring: int
    slots: int
    slot_length: int


@dataclass(frozen=True)
class BoardProfile:
    """One part. Addresses are absolute, lengths in bytes.

    `supply_mv` is the lowest supply that a board of this product runs from, for probes that cannot measure it;
    `parallelism_mv` the lowest one for programming 8, 16 and 32 bits at a time.

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
    supply_mv: int
    parallelism_mv: tuple[int, int, int]
    stub: StubProfile
    loader: LoaderProfile
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

    def parallelism(self, supply_mv: int | None) -> int:
        """Bits to program at a time, at a measured supply or, where it is not known, at the profile's own."""
        supply = self.supply_mv if supply_mv is None else supply_mv
        return max((8 << step for step, least in enumerate(self.parallelism_mv) if supply >= least), default=8)

    def in_ram(self, address: int) -> bool:
        """Whether `address` lies in RAM or just behind it, as a first stack pointer may."""
        return self.ram_start < address <= self.ram_start + self.ram_length

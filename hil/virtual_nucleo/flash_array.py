"""The flash cells of an STM32F412xG: sectors, contents, and what a power cut leaves behind.

* Erased is 0xFF; programming only clears bits (RM0402 3.5.4: ones can be made zeros without an erase).
* Contents live in one host buffer that the core executes from, and may be a file that outlives the process.
* An operation that loses power leaves its whole target indeterminate: seeded noise between the two states,
  so that a test which relies on either of them fails, and fails the same way each time.
"""

from __future__ import annotations

import mmap
import random
from dataclasses import dataclass
from pathlib import Path

FLASH_BASE = 0x08000000
FLASH_SIZE = 0x100000
OTP_BASE = 0x1FFF7800
OTP_SIZE = 0x210
"""512 bytes in 16 blocks, then 16 lock bytes (RM0402 3.7)."""


@dataclass(frozen=True)
class Sector:
    """One erase unit: *number* as written to FLASH_CR.SNB, offset in the array, size in bytes."""

    number: int
    offset: int
    size: int


def _sectors() -> tuple[Sector, ...]:
    sizes = [0x4000] * 4 + [0x10000] + [0x20000] * 7  # RM0402 table 5
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return tuple(Sector(index, start, size) for index, (start, size) in enumerate(zip(starts, sizes)))


SECTORS = _sectors()


def sector_at(offset: int) -> Sector:
    """The sector that holds byte *offset* of the array."""
    if offset < 0x10000:
        return SECTORS[offset >> 14]
    return SECTORS[4] if offset < 0x20000 else SECTORS[4 + (offset >> 17)]


class FlashArray:
    """1 MiB of main flash and the OTP area.

    *path* names the file that keeps the contents (main flash, then OTP); None keeps them in memory.
    """

    def __init__(self, *, seed: int, path: Path | None = None) -> None:
        self._noise = random.Random(seed)
        if path is None:
            self.main = mmap.mmap(-1, FLASH_SIZE)
            self.otp = mmap.mmap(-1, mmap.ALLOCATIONGRANULARITY)
            fresh = True
        else:
            fresh = not path.exists()
            with path.open("w+b" if fresh else "r+b") as file:
                if fresh:
                    file.truncate(FLASH_SIZE + mmap.ALLOCATIONGRANULARITY)
                self.main = mmap.mmap(file.fileno(), FLASH_SIZE)
                self.otp = mmap.mmap(file.fileno(), mmap.ALLOCATIONGRANULARITY, offset=FLASH_SIZE)
        if fresh:
            self.main[:] = b"\xff" * FLASH_SIZE
            self.otp[:OTP_SIZE] = b"\xff" * OTP_SIZE

    def flush(self) -> None:
        """Put what the file should hold on disk."""
        self.main.flush()
        self.otp.flush()

    def erase(self, offset: int, size: int) -> None:
        """Set *size* bytes at *offset* to ones."""
        self.main[offset : offset + size] = b"\xff" * size

    def leave_half_erased(self, offset: int, old: bytes, done: float) -> None:
        """The power went when a fraction *done* of an erase of *old* at *offset* had passed."""
        size = len(old)
        noise = self._noise.randbytes(size)
        if done < 0.5:  # cells have begun to move, the weak ones first
            noise = bytes(a & b for a, b in zip(noise, self._noise.randbytes(size)))
        self.main[offset : offset + size] = bytes(was | drift for was, drift in zip(old, noise))

    def leave_half_programmed(self, offset: int, old: bytes, wanted: bytes) -> None:
        """The power went while *wanted* was being programmed over *old* at *offset*."""
        noise = self._noise.randbytes(len(old))
        mixed = bytes(was & (want | drift) for was, want, drift in zip(old, wanted, noise))
        self.main[offset : offset + len(old)] = mixed

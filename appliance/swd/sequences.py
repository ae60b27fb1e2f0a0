"""The bit sequences that bring a debug port to SWD and back (ADIv5.2 B5.2, B5.3), as (count, bits), LSB first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sequence:
    """`count` cycles in which the host drives `bits`."""

    count: int
    bits: int

    def __add__(self, other: Sequence) -> Sequence:
        return Sequence(self.count + other.count, self.bits | other.bits << self.count)


def _ones(count: int) -> Sequence:
    return Sequence(count, (1 << count) - 1)


def idle(count: int) -> Sequence:
    """`count` idle cycles."""
    return Sequence(count, 0)


LINE_RESET = _ones(51) + idle(8)
"""At least 50 ones, then idle: the next transfer must read DPIDR (B4.3.3)."""

JTAG_TO_SWD = _ones(51) + Sequence(16, 0xE79E) + LINE_RESET
SWD_TO_JTAG = _ones(51) + Sequence(16, 0xE73C) + _ones(8)
JTAG_TO_DORMANT = _ones(8) + Sequence(31, 0x33BBBBBA)
SWD_TO_DORMANT = _ones(51) + Sequence(16, 0xE3BC)

SELECTION_ALERT = Sequence(128, 0x19BC0EA2_E3DDAFE9_86852D95_6209F392)
DORMANT_TO_SWD = _ones(8) + SELECTION_ALERT + Sequence(4, 0) + Sequence(8, 0x1A) + LINE_RESET
"""At least 8 ones, the alert, 4 idle cycles, the activation code of SW-DP, line reset (B5.3.4)."""

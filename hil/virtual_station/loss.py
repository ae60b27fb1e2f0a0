"""What a power cut leaves of the writes that a card had taken but not yet been told to keep. Pure.

- A card keeps what was there when it answered the last flush. Of what came later, each sector (512 bytes) of each write
  may be there or not, in any order; one sector is never torn.
- Two writes to one sector keep their order: what is there is the newest of those that survived.
- The same seed and the same writes give the same card.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

SECTOR = 512
PAGE = 4096
Policy = Literal["nothing", "everything", "prefix", "whole writes", "torn at 4096", "torn at 512"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
"""What is lost, from the kindest: nothing; everything since the last flush; all after some write, which is torn;
some writes, each as a whole; parts of any write, in units of 4096 or of 512 bytes."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write that was not flushed. `old` and `new`: what was there and what came; None means zeros."""

    offset: int
    length: int
    old: bytes | None
    new: bytes | None

    def part(self, start: int, length: int) -> tuple[int, int, bytes | None]:
        """A part of what came: (offset on the card, bytes, content)."""
        return self.offset + start, length, None if self.new is None else self.new[start : start + length]


@dataclass(frozen=True, slots=True)
class Loss:
    """How a cut treats what was not flushed; printed with a failure, it repeats the cut."""

    policy: Policy
    seed: int = 0

    @classmethod
    def drawn(cls, seed: int) -> Loss:
        """One of the policies that lose something, drawn by the seed."""
        return cls(random.Random(seed).choice(POLICIES[1:]), seed)


NOTHING = Loss("nothing")
"""What killing an emulator does by itself: whatever the guest wrote stays."""


def survivors(writes: Sequence[Write], loss: Loss) -> Iterator[tuple[int, int, bytes | None]]:
    """The parts that survive, oldest first, to be put on a card from which all of `writes` were taken back."""
    draw = random.Random(f"{loss.policy} {loss.seed}")
    last = draw.randrange(len(writes)) if writes else 0
    for number, one in enumerate(writes):
        if loss.policy == "nothing":
            yield one.part(0, one.length)
        elif loss.policy == "prefix":
            if number < last:
                yield one.part(0, one.length)
            elif number == last:
                yield one.part(0, draw.randrange(one.length // SECTOR + 1) * SECTOR)
        elif loss.policy == "whole writes":
            if draw.random() < 0.5:
                yield one.part(0, one.length)
        elif loss.policy in {"torn at 4096", "torn at 512"}:
            unit = PAGE if loss.policy == "torn at 4096" else SECTOR
            share = draw.choice((0.1, 0.5, 0.9))
            for start in range(0, one.length, unit):
                if draw.random() < share:
                    yield one.part(start, min(unit, one.length - start))

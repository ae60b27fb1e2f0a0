"""At which random moments the power goes: drawn from a number that is printed and can be given.

    @pytest.mark.parametrize("cut", cuts(3), ids=str)
    def test_...(cut):
        station.power_cut_at(cut.moment(writes_of_the_whole_work), cut.loss, timeout_s=...)

- A few for `make image-test`, always the same: a gate must not depend on chance. Many for `make image-soak`
  (PROOFLINE_SOAK=1), where each image has moments of its own, the same in every process. PROOFLINE_SEED=n asks for
  others, or for those of a run before.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass

from hil.virtual_station.loss import Loss
from hil.virtual_station.medium import Moment
from hil.virtual_station.places import SCRATCH

SOAKING = os.environ.get("PROOFLINE_SOAK") == "1"


@dataclass(frozen=True, slots=True)
class Cut:
    """One power cut: everything random about it follows from its seed. `number` counts the cuts of a run, from 0."""

    seed: int
    number: int = 0

    @property
    def loss(self) -> Loss:
        """What the card loses."""
        return Loss.drawn(self.seed)

    def moment(self, writes: int, within: tuple[int, int] | None = None) -> Moment:
        """One of so many writes, each as likely as any other."""
        return Moment(random.Random(self.seed).randrange(writes) + 1, within)

    def __str__(self) -> str:
        return f"seed-{self.seed}"


def cuts(few: int, many: int = 20) -> list[Cut]:
    """The cuts of this run."""
    first = int(os.environ.get("PROOFLINE_SEED", _of_this_image() if SOAKING else 1))
    return [Cut(first + number, number) for number in range(many if SOAKING else few)]


def _of_this_image() -> int:
    build = SCRATCH / "out" / "build.json"
    digest = hashlib.sha256(build.read_bytes() if build.exists() else b"").digest()
    return int.from_bytes(digest[:4], "big")

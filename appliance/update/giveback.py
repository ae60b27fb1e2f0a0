"""Gives the running slot its attempt back, when a boot ends for a cause that is not in the image.

- Only to a slot that was found good before. A slot on trial keeps its count: a new image that cannot open what the old
  one could has to give way, and nobody can tell that from a TPM that was taken away.
- One copy of the slot state is written, as always: a power cut leaves the count as the boot script wrote it.

`python3 -m appliance.update.giveback SLOT DEVICE` is what image/files/usr/lib/proofline/boot/state calls, before
systemd runs; it ends with 1 where nothing was given back.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from appliance.update import slotstate
from appliance.update.slotstate import ATTEMPTS_GOOD, State


def given_back(state: State, slot: str) -> State | None:
    """The state with one attempt more for `slot`; None where it was never found good."""
    if not state.good[slot]:
        return None
    return replace(state, seq=state.seq + 1, left={**state.left, slot: min(state.left[slot] + 1, ATTEMPTS_GOOD)})


def main(slot: str, device: Path) -> int:
    """0: it has its attempt back."""
    state, place = slotstate.read(device)
    counted = None if state is None else given_back(state, slot)
    if counted is None:
        return 1
    slotstate.write(device, counted, place)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

"""A slot with one wrong bit is never kept, and the other slot comes back by itself.

Both slots hold the same image here, as after an update to the version that was there before; slot A was found good
before, slot B never. B has one attempt left, so that one boot shows what three would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from appliance.update import slotstate
from hil.virtual_station.places import SCRATCH, TREE
from hil.virtual_station.station import VirtualStation
from image.builder.tree import ToolsTree

OUT = SCRATCH / "out"
UNREAD = "/usr/lib/python3/dist-packages/pyocd/debug/svd/svd_data.zip"
"""A large file that no service opens: only the health check comes by, when it reads every block."""


@dataclass
class Story:
    """What came of it: how the first boot ended, and which slot the second one ran and kept."""

    first_console: str
    second_slot: str
    state: slotstate.State
    first_was_kept: bool


def place_of(path: str) -> int:
    """Where the first block of a file lies in the root file system."""
    text = ToolsTree(TREE, SCRATCH).ask(["dump.erofs", f"--path={path}", "-e", "/scratch/out/root.erofs"])
    found = re.search(r"^\s*0:\s+\d+\.\.\s*\d+ \|\s+\d+ :\s+(\d+)\.\.", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def tell(name: str, offset: int) -> Story:
    with VirtualStation(name) as station:
        card = station.card
        for partition, file in (("boot", "boot.vfat"), ("root", "root.erofs"), ("hash", "root.verity")):
            card.put(f"proofline-{partition}-b", OUT / file)
        card.keep_slot_state(
            slotstate.State(9, ("b", "a"), {"a": slotstate.ATTEMPTS, "b": 1}, {"a": True, "b": False}, "a"),
        )
        card.flip("proofline-root-b", offset)
        station.power_on()
        station.next_boot()
        station.wait_kept("a")
        station.power_cut()
        state = card.slot_state()
        assert state is not None
        booted = re.search(r"proofline: slot (\w)", station.console())
        assert booted is not None
        return Story(station.console(1), booted[1], state, any("slot b is good" in str(one) for one in card.journal()))


@pytest.mark.parametrize("where", ["read at boot", "read by nothing"])
def test_a_flipped_bit_is_never_kept_and_the_other_slot_comes_back(where: str) -> None:
    offset = 1024 if where == "read at boot" else place_of(UNREAD)
    story = tell(where.replace(" ", "-"), offset)
    assert "proofline: slot b;" in story.first_console
    assert "Kernel panic - not syncing: dm-verity device" in story.first_console, "something else ended slot b's boot"
    assert ("proofline: not ready: not_enrolled" in story.first_console) is (where == "read by nothing")
    assert story.second_slot == "a"
    assert not story.first_was_kept
    assert (story.state.good["b"], story.state.order[0], story.state.left["a"]) == (False, "a", slotstate.ATTEMPTS)

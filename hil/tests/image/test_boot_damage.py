"""A slot with one wrong bit is never kept, nor is one that can start nothing; the other comes back by itself.

Both slots hold the same root here, as after an update to the version that was there before; slot A was found good
before, slot B never. B has one attempt left, so that one boot shows what three would.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.card.layout import SLOT_FILES
from appliance.update import slotstate
from hil.virtual_station.places import SCRATCH, STATIONS, TREE
from hil.virtual_station.station import VirtualStation
from image.builder import bundle
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


def without_python() -> Path:
    """A slot's files. The kernel finds nothing wrong with their blocks, and cannot unpack the interpreter."""
    root = STATIONS / "without-python.erofs"
    shutil.copyfile(OUT / "root.erofs", root)
    program = (SCRATCH / "root/usr/bin/python3").readlink()
    with root.open("r+b") as file:
        file.seek(place_of(f"/usr/bin/{program}"))
        file.write(b"\xff" * 65536)
    slot = bundle.stamp(ToolsTree(TREE, SCRATCH), "0.2.0", STATIONS / "without-python.slot", root=root)
    root.unlink()
    return slot.folder


def tell(name: str, *, flipped: int | None = None, files: Path = OUT) -> Story:
    with VirtualStation(name) as station:
        card = station.card
        for partition, file in SLOT_FILES.items():
            card.put(f"proofline-{partition}-b", files / file)
        card.keep_slot_state(
            slotstate.State(9, ("b", "a"), {"a": slotstate.ATTEMPTS_GOOD, "b": 1}, {"a": True, "b": False}, "a"),
        )
        if flipped is not None:
            card.flip("proofline-root-b", flipped)
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
    story = tell(where.replace(" ", "-"), flipped=offset)
    assert "proofline: slot b;" in story.first_console
    assert "Kernel panic - not syncing: dm-verity device" in story.first_console, "something else ended slot b's boot"
    assert ("proofline: not ready: not_enrolled" in story.first_console) is (where == "read by nothing")
    assert_back_in_a(story)


def test_an_image_in_which_nothing_of_ours_can_start_ends_by_itself_and_the_other_slot_comes_back() -> None:
    story = tell("without-python", files=without_python())
    assert "proofline: slot b;" in story.first_console
    assert re.findall("proofline: not ready: (.*) [(]", story.first_console) == ["the panel does not answer"]
    assert "Kernel panic" not in story.first_console
    assert_back_in_a(story)


def assert_back_in_a(story: Story) -> None:
    assert story.second_slot == "a"
    assert not story.first_was_kept
    assert (story.state.good["b"], story.state.order[0], story.state.left["a"]) == (False, "a", slotstate.ATTEMPTS_GOOD)

"""The partition table's changes, torn at every sector: there is always a table, the one before or the one after.

The very script runs on a loop device; what the kernel would read is hil/virtual_station/gpt.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hil.virtual_station import gpt
from hil.virtual_station.places import SCRATCH, STATIONS, TREE, inside
from image.builder.tree import ToolsTree

SIZE = 64 << 20
BEGIN, END = 34 * gpt.SECTOR, SIZE - 33 * gpt.SECTOR
SCRIPT = "/checkout/image/files/usr/lib/proofline/boot/table"
Names = dict[str, tuple[int, int]]


@contextmanager
def loop(card: Path) -> Iterator[str]:
    device = subprocess.run(
        ["losetup", "-f", "--show", card], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield device.removeprefix("/dev/")
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def change(card: Path, *words: str) -> bytes:
    """The card after the script has changed its table."""
    with loop(card) as disk:
        ToolsTree(TREE, SCRATCH).ask(["sh", SCRIPT, disk, *words])
    return card.read_bytes()


def names(card: bytes) -> Names | None:
    return gpt.names(lambda at, length: card[at : at + length], len(card))


@pytest.fixture(scope="module")
def cards() -> tuple[Path, dict[str, bytes]]:
    """A card as it is written (its backup table not at its end), with a state in the making, and with one made."""
    folder = STATIONS / "table"
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "card.raw"
    card.write_bytes(bytes(8 << 20))
    layout = "label: gpt\\nfirst-lba: 2048\\nstart=1MiB, size=1MiB, name=proofline-slots\\n"
    ToolsTree(TREE, SCRATCH).ask(["sh", "-c", f"printf '{layout}' | sfdisk --quiet {inside(card)}"])
    with card.open("r+b") as file:
        file.truncate(SIZE)
    written = card.read_bytes()
    new = change(card, "add", "proofline-new")
    made = change(card, "name", "2", "proofline-state")
    return card, {"written": written, "new": new, "made": made}


def torn(before: bytes, after: bytes, part: slice) -> Iterator[bytes]:
    """Every card on which only the first, or only the last, sectors of a part of `after` have arrived."""
    for at in range(part.start, part.stop + 1, gpt.SECTOR):
        yield before[: part.start] + after[part.start : at] + before[at:]
        yield before[:at] + after[at : part.stop] + before[part.stop :]


@pytest.mark.parametrize(("first", "second"), [("written", "new"), ("new", "made")])
def test_a_torn_change_is_the_table_before_or_the_table_after(
    cards: tuple[Path, dict[str, bytes]], first: str, second: str
) -> None:
    before, after = cards[1][first], cards[1][second]
    old, new = names(before), names(after)
    assert old is not None
    assert new is not None
    assert old.keys() != new.keys()
    assert after[BEGIN:END] == before[BEGIN:END], "nothing but the two tables is written"
    assert all(names(card) == old for card in torn(before, after, slice(END, SIZE))), "the backup is being written"
    flushed = before[:END] + after[END:]
    seen = [names(card) for card in torn(flushed, after, slice(0, BEGIN))]
    assert all(card in (old, new) for card in seen), "the primary is being written"
    assert old in seen
    assert new in seen


def test_a_torn_primary_is_mended(cards: tuple[Path, dict[str, bytes]]) -> None:
    card, stages = cards
    made = stages["made"]
    card.write_bytes(stages["new"][: 2 * gpt.SECTOR] + made[2 * gpt.SECTOR :])  # the old header, the new entries
    mended = change(card, "mend")
    assert names(mended) == names(made)
    with_backup_gone = mended[:END] + bytes(SIZE - END)
    assert names(with_backup_gone) == names(made)

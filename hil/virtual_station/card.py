"""What is on a station's card, looked at from outside while the station is off, or while it works.

- Looking never disturbs: the card is held still (not the station) for as long as copying takes, so a copy is what a
  power cut at that moment would have left.
- Read-only towards the card: partitions are copied out before a file system's journal is replayed in the copy.
- Uses the tools tree's own e2fsprogs and journalctl; nothing is mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from appliance.update import slotstate
from hil.virtual_station.places import SCRATCH, TREE, inside
from image.builder.tree import ToolsTree

_SECTOR = 512
_BLOCK = 4 << 20


class Card:
    """A disk image of a station. `still`: what holds it still while it is copied; a station that is off does."""

    def __init__(self, disk: Path, still: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self.disk = disk
        self._still = still
        self._tools = ToolsTree(TREE, SCRATCH)
        self._table: dict[str, tuple[int, int]] = {}

    def partitions(self) -> dict[str, tuple[int, int]]:
        """GPT name -> (offset, bytes). sfdisk refuses a damaged table, and so does this."""
        table = json.loads(self._tools.ask(["sfdisk", "--json", inside(self.disk)]))["partitiontable"]
        self._table = {one["name"]: (one["start"] * _SECTOR, one["size"] * _SECTOR) for one in table["partitions"]}
        return self._table

    def place(self, partition: str) -> tuple[int, int]:
        """Where a partition lies: (offset, bytes). None ever moves, so the table is read once for each."""
        if partition not in self._table:
            self.partitions()
        return self._table[partition]

    def slot_state(self) -> slotstate.State | None:
        """What the boot script will act on."""
        return slotstate.read(self._slots())[0]

    def keep_slot_state(self, state: slotstate.State) -> None:
        """Write both copies as if this were the newest state and its predecessor."""
        copy = self._slots()
        for place in slotstate.PLACES:
            slotstate.write(copy, state, place)
        self.put("proofline-slots", copy)

    def _slots(self) -> Path:
        offset, size = self.place("proofline-slots")
        copy = self.disk.parent / "slots.raw"
        with self._still(), self.disk.open("rb") as file:
            file.seek(offset)
            copy.write_bytes(file.read(size))
        return copy

    def flip(self, partition: str, offset: int) -> None:
        """One bit of one byte in a partition becomes another."""
        start, size = self.place(partition)
        assert offset < size
        with self.disk.open("r+b") as file:
            file.seek(start + offset)
            byte = file.read(1)[0]
            file.seek(start + offset)
            file.write(bytes([byte ^ 1]))

    def put(self, partition: str, source: Path) -> None:
        """Write a file over a partition, as a person with a card reader does."""
        start, size = self.place(partition)
        assert source.stat().st_size <= size
        into = [f"if={source}", f"of={self.disk}", "bs=1M", f"seek={start >> 20}", "conv=notrunc", "status=none"]
        subprocess.run(["dd", *into], check=True)

    def state_files(self, path: str) -> Path:
        """A copy of a folder of the state partition, after its journal was replayed and it was checked."""
        folder = self.disk.parent
        copy = folder / "state.ext4"
        where = self.place("proofline-state")
        with self._still():
            copy_part(self.disk, *where, copy)
        self._tools.ask(["sh", "-c", 'e2fsck -p "$0" || [ $? = 1 ]', inside(copy)])
        target = folder / "looked-at"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        self._tools.ask(["debugfs", "-R", f"rdump {path} {inside(target)}", inside(copy)])
        copy.unlink()
        return target

    def journal(self) -> list[dict[str, Any]]:
        """Everything the station's journal holds, oldest first."""
        folder = self.state_files("/shared/var/log/journal")
        where = f"{inside(folder)}/journal"
        text = self._tools.ask(["journalctl", "--quiet", "--no-pager", "-o", "json", "-D", where])
        return [json.loads(line) for line in text.splitlines()]


def copy_part(source: Path, offset: int, length: int, target: Path) -> None:
    """A part of a file as a file of its own; holes stay holes, so that a large and empty partition costs nothing."""
    target.unlink(missing_ok=True)
    with source.open("rb") as file, target.open("wb") as copy:
        copy.truncate(length)
        at, end = offset, offset + length
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return  # no data after this
            until = min(os.lseek(file.fileno(), at, os.SEEK_HOLE), end)
            while at < until:
                block = os.pread(file.fileno(), min(_BLOCK, until - at), at)
                os.pwrite(copy.fileno(), block, at - offset)
                at += len(block)


def lines(entries: list[dict[str, Any]]) -> str:
    """A journal as a person reads it."""
    told = []
    for one in entries:
        seconds = int(one.get("__MONOTONIC_TIMESTAMP", 0)) / 1e6
        who = one.get("SYSLOG_IDENTIFIER", one.get("_COMM", "?"))
        told.append(f"{seconds:9.3f} {one.get('PRIORITY', '?')} {who}: {one.get('MESSAGE')}")
    return "\n".join(told)

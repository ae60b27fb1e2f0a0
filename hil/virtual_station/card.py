"""What is on a station's card, looked at from outside while the station is off.

- Read-only towards the card: partitions are copied out before a file system's journal is replayed in the copy.
- Uses the tools tree's own e2fsprogs and journalctl; nothing is mounted.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from appliance.update import slotstate
from hil.virtual_station.places import SCRATCH, TREE
from image.builder.tree import ToolsTree

_SECTOR = 512


class Card:
    """A disk image of a station that is off."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self._tools = ToolsTree(TREE, SCRATCH)
        self._inside = Path("/scratch") / disk.relative_to(SCRATCH)

    def partitions(self) -> dict[str, tuple[int, int]]:
        """GPT name -> (offset, bytes). sfdisk refuses a damaged table, and so does this."""
        table = json.loads(self._tools.ask(["sfdisk", "--json", str(self._inside)]))["partitiontable"]
        return {one["name"]: (one["start"] * _SECTOR, one["size"] * _SECTOR) for one in table["partitions"]}

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
        offset, size = self.partitions()["proofline-slots"]
        copy = self.disk.parent / "slots.raw"
        with self.disk.open("rb") as file:
            file.seek(offset)
            copy.write_bytes(file.read(size))
        return copy

    def flip(self, partition: str, offset: int) -> None:
        """One bit of one byte in a partition becomes another."""
        start, size = self.partitions()[partition]
        assert offset < size
        with self.disk.open("r+b") as file:
            file.seek(start + offset)
            byte = file.read(1)[0]
            file.seek(start + offset)
            file.write(bytes([byte ^ 1]))

    def put(self, partition: str, source: Path) -> None:
        """Write a file over a partition, as a person with a card reader does."""
        start, size = self.partitions()[partition]
        assert source.stat().st_size <= size
        into = [f"if={source}", f"of={self.disk}", "bs=1M", f"seek={start >> 20}", "conv=notrunc", "status=none"]
        subprocess.run(["dd", *into], check=True)

    def state_files(self, path: str) -> Path:
        """A copy of a folder of the state partition, after its journal was replayed and it was checked."""
        start, size = self.partitions()["proofline-state"]
        folder = self.disk.parent
        copy = folder / "state.ext4"
        copy.unlink(missing_ok=True)
        into = ["bs=1M", f"skip={start >> 20}", f"count={size >> 20}", "conv=sparse", "status=none"]
        subprocess.run(["dd", f"if={self.disk}", f"of={copy}", *into], check=True)
        inside = Path("/scratch") / folder.relative_to(SCRATCH)
        self._tools.ask(["sh", "-c", 'e2fsck -p "$0" || [ $? = 1 ]', f"{inside}/state.ext4"])
        target = folder / "looked-at"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        self._tools.ask(["debugfs", "-R", f"rdump {path} {inside}/looked-at", f"{inside}/state.ext4"])
        copy.unlink()
        return target

    def journal(self) -> list[dict[str, Any]]:
        """Everything the station's journal holds, oldest first."""
        folder = self.state_files("/shared/var/log/journal")
        inside = Path("/scratch") / folder.relative_to(SCRATCH)
        text = self._tools.ask(["journalctl", "--quiet", "--no-pager", "-o", "json", "-D", f"{inside}/journal"])
        return [json.loads(line) for line in text.splitlines()]


def lines(entries: list[dict[str, Any]]) -> str:
    """A journal as a person reads it."""
    told = []
    for one in entries:
        seconds = int(one.get("__MONOTONIC_TIMESTAMP", 0)) / 1e6
        who = one.get("SYSLOG_IDENTIFIER", one.get("_COMM", "?"))
        told.append(f"{seconds:9.3f} {one.get('PRIORITY', '?')} {who}: {one.get('MESSAGE')}")
    return "\n".join(told)

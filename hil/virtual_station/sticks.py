"""Sticks: a FAT made from a folder, as a person makes one at a desk, and a file that can be plugged in.

- `mbr`: one FAT partition from 1 MiB on, as sticks are sold; `bare`: the FAT on the whole device.
- Made by Debian's own mkfs.vfat and mtools in the tools tree; nothing is mounted.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hil.virtual_station.places import SCRATCH, TREE, inside
from image.builder.tree import ToolsTree

Layout = Literal["mbr", "bare"]
_MIB = 1 << 20
_SHELL = """
unset SOURCE_DATE_EPOCH
rm -f "$1"
truncate -s "$2"M "$1"
[ "$3" = bare ] || printf 'label: dos\\nstart=2048, type=c\\n' | sfdisk --quiet "$1"
start=$([ "$3" = bare ] && echo 0 || echo 1)
blocks=$((($2 - start) * 1024))
mkfs.vfat -F "$4" -n "$5" --offset $((start * 2048)) "$1" "$blocks"
export MTOOLS_SKIP_CHECK=1
find "$6" -mindepth 1 -maxdepth 1 -exec mcopy -s -o -i "$1@@${start}M" '{}' ::/ \\;
"""


@dataclass(frozen=True)
class Stick:
    """A stick's bytes in a file below the scratch folder, and the serial number that it tells."""

    file: Path
    serial: str = "PL0001"


def make_stick(
    file: Path, folder: Path, *, layout: Layout = "mbr", mib: int | None = None, label: str = "PROOFLINE"
) -> Stick:
    """A stick with everything that is in `folder`. `mib`: its size; by default what it needs and a little more."""
    if mib is None:
        content = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        mib = max(64, content * 21 // 20 // _MIB + 32)
    file.parent.mkdir(parents=True, exist_ok=True)
    # the tools tree sees the scratch folder only
    desk = file.with_name(f"{file.name}.files")
    shutil.rmtree(desk, ignore_errors=True)
    shutil.copytree(folder, desk, copy_function=_link)
    shell = ["sh", "-euc", _SHELL, "stick", inside(file), str(mib), layout, "32", label, inside(desk)]
    ToolsTree(TREE, SCRATCH).ask(shell)
    shutil.rmtree(desk)
    return Stick(file)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # it lies on another file system

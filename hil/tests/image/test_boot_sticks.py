"""Sticks as Debian's mkfs.vfat and mtools make them are read byte for byte by intake's reader: FAT12, 16 and 32."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from appliance.intake.stick import Stick as Reader
from hil.virtual_station.places import SCRATCH, STATIONS, TREE, inside
from image.builder.tree import ToolsTree

_HERE = STATIONS / "entry-sticks"


@pytest.mark.parametrize(("bits", "mib"), [(12, 2), (16, 20), (32, 40)])
def test_what_mkfs_vfat_and_mtools_write_is_read(bits: int, mib: int, carrier: Path) -> None:
    _HERE.mkdir(parents=True, exist_ok=True)
    disk, files = _HERE / f"fat{bits}", _HERE / f"fat{bits}.files"
    shutil.rmtree(files, ignore_errors=True)
    shutil.copytree(carrier, files / "proofline")
    shell = (
        'unset SOURCE_DATE_EPOCH; rm -f "$1"; truncate -s "$2"M "$1"; mkfs.vfat -F "$3" "$1" >&2; '
        'MTOOLS_SKIP_CHECK=1 mcopy -s -i "$1" "$4/proofline" ::/'
    )
    ToolsTree(TREE, SCRATCH).ask(["sh", "-euc", shell, "stick", inside(disk), str(mib), str(bits), inside(files)])
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        stick = Reader(descriptor)
        for place in sorted(carrier.rglob("*")):
            path = str(place.relative_to(carrier))
            if place.is_file():
                with stick.reading(path) as read:
                    assert b"".join(iter(lambda: read(5_000), b"")) == place.read_bytes()
            else:
                assert {one.name for one in stick.entries(path, 100)} == {one.name for one in place.iterdir()}
    finally:
        os.close(descriptor)

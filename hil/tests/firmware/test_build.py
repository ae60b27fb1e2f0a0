"""The firmware build: the same bytes anywhere, and what the images promise about their shape."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from intelhex import IntelHex

from hil.firmware import SOURCES, Size, Version, image_path

FLASH_START = 0x08000000
IMAGES: list[tuple[Version, Size]] = [
    ("1.0.0", "small"),
    ("1.0.0", "full"),
    ("1.1.0", "small"),
    ("1.1.0", "full"),
]


def _build_in(directory: Path) -> dict[str, str]:
    shutil.copytree(SOURCES, directory, ignore=shutil.ignore_patterns("build", "__pycache__"))
    subprocess.run(["make", "--silent", "-C", str(directory)], check=True)
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((directory / "build").glob("proofline-demo-*"))
        if file.is_file()
    }


def test_two_directories_give_identical_bytes(tmp_path: Path) -> None:
    first = _build_in(tmp_path / "a")
    second = _build_in(tmp_path / "quite" / "another place")
    assert len(first) == 12
    assert first == second


@pytest.mark.parametrize(("version", "size"), IMAGES)
def test_elf_hex_and_bin_hold_the_same_flash(version: Version, size: Size) -> None:
    binary = image_path(version, size, "bin").read_bytes()
    from_hex = IntelHex(str(image_path(version, size, "hex")))
    assert from_hex.segments() == [(FLASH_START, FLASH_START + len(binary))]
    assert from_hex.tobinstr() == binary
    with image_path(version, size, "elf").open("rb") as stream:
        loads = [s for s in ELFFile(stream).iter_segments("PT_LOAD") if s["p_filesz"]]
        assert b"".join(s.data() for s in loads) == binary


def test_full_image_is_512_kib_and_every_sector_differs_between_versions() -> None:
    old, new = (image_path(version, "full", "bin").read_bytes() for version in ("1.0.0", "1.1.0"))
    assert len(old) == len(new) == 512 * 1024
    boundaries = [0, 0x4000, 0x8000, 0xC000, 0x10000, 0x20000, 0x40000, 0x60000, 0x80000]
    for start, end in itertools.pairwise(boundaries):
        assert old[start:end] != new[start:end]
    assert all(old[page : page + 1024].strip(b"\xff") for page in range(0, len(old), 1024))


def test_build_id_in_flash_is_the_elf_note() -> None:
    with image_path("1.0.0", "small", "elf").open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".note.gnu.build-id")
        assert section is not None
        note = section.data()
    assert note[:16] == bytes.fromhex("040000001400000003000000474e5500")
    assert note in image_path("1.0.0", "small", "bin").read_bytes()
    assert note not in image_path("1.1.0", "small", "bin").read_bytes()

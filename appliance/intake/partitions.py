"""Where on a stick its one FAT volume lies: the whole stick, an MBR's partition, or a GPT's.

- The first partition of a FAT kind counts; whatever else is on the stick is not looked at.
- A partition that overlaps the table or leaves the stick is refused, and so is a GPT whose checksums are wrong: its
  copy at the end is not tried, because a stick that was written properly needs no repair.

Pure: `read(offset, length)` gives bytes of the stick.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from appliance.intake.stick_errors import NoVolume, TableWrong

ReadAt = Callable[[int, int], bytes]
SECTOR: Final = 512
_FAT_TYPES = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEF})
_PROTECTIVE = 0xEE
_FAT_KINDS = frozenset(
    {
        uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"),  # basic data: what every system gives a FAT stick
        uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),  # EFI system partition: FAT by definition
    }
)
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_GPT_ENTRY = struct.Struct("<16s16sQQQ72s")
_MAX_ENTRIES = 128


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of the stick, in bytes."""

    start: int
    length: int


def find_volume(read: ReadAt, size: int) -> Extent:
    """The extent of the stick's FAT volume; TableWrong or NoVolume."""
    if size < 64 * SECTOR:
        raise NoVolume(why=f"the stick has only {size} bytes")
    first = read(0, SECTOR)
    if looks_like_fat(first):
        return Extent(0, size)
    if first[510:512] != b"\x55\xaa":
        raise NoVolume(why="the first sector is neither a partition table nor a FAT file system")
    entries = [_mbr_entry(first[at : at + 16]) for at in range(446, 510, 16)]
    if any(kind == _PROTECTIVE for kind, _, _ in entries):
        return _in_gpt(read, size)
    for kind, start, count in entries:
        if kind in _FAT_TYPES:
            return _extent(start, count, size)
    raise NoVolume(why="no partition of a FAT kind in the MBR")


def looks_like_fat(sector: bytes) -> bool:
    """Whether a first sector is a FAT volume's and no partition table's; `fat.Volume` judges whether it is good."""
    width, per_cluster, reserved, copies = struct.unpack_from("<HBHB", sector, 11)
    return (
        sector[510:512] == b"\x55\xaa"
        and sector[0] in {0xEB, 0xE9}
        and width in {512, 1024, 2048, 4096}
        and per_cluster.bit_count() == 1
        and reserved > 0
        and copies in {1, 2}
    )


def _mbr_entry(entry: bytes) -> tuple[int, int, int]:
    status, kind, start, count = struct.unpack("<B3xB3xII", entry)
    if kind and status not in {0x00, 0x80}:
        raise TableWrong(why=f"a partition's status is {status:#04x}")
    return kind, start, count


def _in_gpt(read: ReadAt, size: int) -> Extent:
    header = read(SECTOR, SECTOR)
    magic, revision, length, checksum, _, here, _, _, _, _, at, count, width, entries_checksum = _GPT_HEADER.unpack(
        header[: _GPT_HEADER.size]
    )
    if magic != b"EFI PART" or revision != 0x10000 or length != _GPT_HEADER.size or here != 1:
        raise TableWrong(why="an MBR that protects a GPT, and no GPT of revision 1.0")
    if zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        raise TableWrong(why="the checksum of the GPT's header is wrong")
    if (
        width != _GPT_ENTRY.size
        or not 0 < count <= _MAX_ENTRIES
        or not 2 <= at < size // SECTOR - count * width // SECTOR
    ):
        raise TableWrong(why=f"{count} entries of {width} bytes at block {at} in the GPT")
    table = read(at * SECTOR, count * width)
    if zlib.crc32(table) != entries_checksum:
        raise TableWrong(why="the checksum of the GPT's entries is wrong")
    for kind, _, start, end, _, _ in _GPT_ENTRY.iter_unpack(table):
        if uuid.UUID(bytes_le=kind) in _FAT_KINDS:
            if end < start:
                raise TableWrong(why="a partition ends before it starts")
            return _extent(start, end - start + 1, size)
    raise NoVolume(why="no partition of a FAT kind in the GPT")


def _extent(start: int, count: int, size: int) -> Extent:
    if start < 1 or count < 1 or (start + count) * SECTOR > size:
        raise TableWrong(why=f"a partition of {count} blocks from {start} on a stick of {size // SECTOR}")
    return Extent(start * SECTOR, count * SECTOR)

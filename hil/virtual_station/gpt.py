"""Which partitions a card has, read as the kernel does with "gpt" on its command line (block/partitions/efi.c, 6.12).

- The primary table, if its header and its entries have their checksums; else the backup in the card's last sector.
  U-Boot does the same (disk/part_efi.c, find_valid_gpt).
- None where neither is right: then there is no card.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

SECTOR = 512
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")

Read = Callable[[int, int], bytes]
"""Bytes at an offset."""


def names(read: Read, size: int) -> dict[str, tuple[int, int]] | None:
    """GPT name -> (offset, bytes)."""
    for sector in (1, size // SECTOR - 1):
        found = _table(read, sector)
        if found is not None:
            return found
    return None


def _table(read: Read, sector: int) -> dict[str, tuple[int, int]] | None:
    head = read(sector * SECTOR, SECTOR)
    sign, _version, length, crc, _, mine, _, _, _, _, at, count, each, entries_crc = _HEADER.unpack_from(head)
    if sign != b"EFI PART" or not _HEADER.size <= length <= SECTOR or mine != sector or each != 128 or count > 128:
        return None
    if zlib.crc32(head[:16] + bytes(4) + head[20:length]) != crc:
        return None
    entries = read(at * SECTOR, count * each)
    if zlib.crc32(entries) != entries_crc:
        return None
    found = {}
    for place in range(0, len(entries), each):
        kind, first, last = entries[place : place + 16], *struct.unpack_from("<QQ", entries, place + 32)
        if any(kind):
            name = entries[place + 56 : place + 128].decode("utf-16-le").rstrip("\0")
            found[name] = (first * SECTOR, (last - first + 1) * SECTOR)
    return found

"""GUID partition tables, read strictly and moved to a card of another size (UEFI 2.10, chapter 5).

- Both copies must be good, agree, and stand where they belong: the second one in the card's last sectors. One that
  plain copying onto a larger card left in the middle is refused.
- Nothing is repaired: `fitted` makes the table for another size from one that was good.

Pure: `read` gives bytes, nothing is written here.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from appliance.card.errors import TableWrong
from appliance.card.layout import FIRST_MIB, MIB, SECTOR

Read = Callable[[int, int], bytes]
"""(offset, length) -> bytes; fewer only where the medium ends."""

_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_COUNT = 128
_ENTRIES_BYTES = _COUNT * _ENTRY.size
_ENTRIES_SECTORS = _ENTRIES_BYTES // SECTOR
TAIL = (1 + _ENTRIES_SECTORS) * SECTOR
"""Bytes of the second copy, at the end of the card."""


@dataclass(frozen=True)
class Partition:
    """`start` and `size` in bytes; `kind` is the type's GUID in capitals."""

    name: str
    kind: str
    start: int
    size: int


@dataclass(frozen=True)
class _Copy:
    own: int
    other: int
    first: int
    last: int
    disk: bytes
    entries: bytes


def parse(read: Read, size: int) -> tuple[Partition, ...]:
    """The partitions of a medium of `size` bytes whose table is good in both copies, in the order of their places."""
    end = size // SECTOR - 1
    mbr = read(0, SECTOR)
    if mbr[510:512] != b"\x55\xaa" or mbr[450:451] != b"\xee":
        raise TableWrong(which="protective", why="the first sector is not a protective MBR")
    one = _copy(read, 1, "first")
    if one.other != end:
        why = f"the second copy is said to be at sector {one.other}, and the last sector is {end}"
        raise TableWrong(which="first", why=why)
    two = _copy(read, end, "second")
    if (two.own, two.other, two.first, two.last, two.disk, two.entries) != (
        one.other,
        one.own,
        one.first,
        one.last,
        one.disk,
        one.entries,
    ):
        raise TableWrong(which="second", why="it says something else than the first")
    return _partitions(one)


def names(read: Read, size: int) -> tuple[str, ...]:
    """What either copy names: enough to say whose card this was; empty where neither is good."""
    for sector in (1, size // SECTOR - 1):
        try:
            return tuple(one.name for one in _partitions(_copy(read, sector, "first")))
        except TableWrong:
            continue
    return ()


def fitted(head: bytes, size: int) -> tuple[bytes, bytes]:
    """The first MiB and the last `TAIL` bytes of a medium of `size` bytes, from the first MiB of a good one."""
    end = size // SECTOR - 1
    one = _copy(lambda offset, length: head[offset : offset + length], 1, "first")
    last = end - _ENTRIES_SECTORS - 1
    first = _encode(_Copy(1, end, one.first, last, one.disk, one.entries), 2)
    second = _encode(_Copy(end, 1, one.first, last, one.disk, one.entries), last + 1)
    mbr = bytearray(head[:SECTOR])
    mbr[458:462] = struct.pack("<I", min(end, 0xFFFFFFFF))
    return bytes(mbr) + first + head[2 * SECTOR : FIRST_MIB * MIB], one.entries + second


def _copy(read: Read, sector: int, which: str) -> _Copy:
    block = read(sector * SECTOR, SECTOR)
    if len(block) != SECTOR or block[:8] != b"EFI PART":
        raise TableWrong(which=which, why=f"there is none at sector {sector}")
    _sign, _revision, length, checksum, _zero, own, other, first, last, disk, at, count, each, entries_sum = (
        _HEADER.unpack_from(block)
    )
    if length != _HEADER.size or (count, each) != (_COUNT, _ENTRY.size):
        raise TableWrong(which=which, why=f"a header of {length} bytes, {count} entries of {each} bytes")
    if any(block[length:]) or zlib.crc32(block[:16] + bytes(4) + block[20:length]) != checksum:
        raise TableWrong(which=which, why="the header's checksum does not fit, or there is more")
    if own != sector:
        raise TableWrong(which=which, why=f"it says it stands at sector {own}, not {sector}")
    entries = read(at * SECTOR, _ENTRIES_BYTES)
    if len(entries) != _ENTRIES_BYTES or zlib.crc32(entries) != entries_sum:
        raise TableWrong(which=which, why="the entries' checksum does not fit")
    return _Copy(own, other, first, last, disk, entries)


def _encode(copy: _Copy, at: int) -> bytes:
    fields = (0, copy.own, copy.other, copy.first, copy.last, copy.disk, at, _COUNT, _ENTRY.size)
    rest = (b"EFI PART", b"\0\0\1\0", _HEADER.size)
    entries_sum = zlib.crc32(copy.entries)
    checksum = zlib.crc32(_HEADER.pack(*rest, 0, *fields, entries_sum))
    return _HEADER.pack(*rest, checksum, *fields, entries_sum).ljust(SECTOR, b"\0")


def _partitions(copy: _Copy) -> tuple[Partition, ...]:
    found = []
    for offset in range(0, _ENTRIES_BYTES, _ENTRY.size):
        kind, _own, first, last, _attributes, name = _ENTRY.unpack_from(copy.entries, offset)
        if kind == bytes(16):
            continue
        text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
        if not copy.first <= first <= last <= copy.last:
            raise TableWrong(which="first", why=f"{text!r} lies outside of what may be used")
        found.append(
            Partition(text, str(uuid.UUID(bytes_le=kind)).upper(), first * SECTOR, (last - first + 1) * SECTOR)
        )
    found.sort(key=lambda one: one.start)
    for one, following in pairwise(found):
        if one.start + one.size > following.start:
            raise TableWrong(which="first", why=f"{one.name!r} and {following.name!r} overlap")
    return tuple(found)

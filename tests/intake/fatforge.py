"""FAT volumes made byte by byte: right in every detail, or bent by a test at a place it can name.

    made = Forge(bits=16, files={"proofline/metadata/timestamp.json": b"..."})
    made.volume                     # bytearray; made.at_table(cluster), made.at_slots(path), made.first[path] say where

Written from the format's description and by nobody's reader: the image tests do the same with mkfs.vfat and mtools.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

SECTOR = 512
END = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFF_FFFF}


@dataclass
class Forge:
    """A volume of `bits` with these files, folders made as needed."""

    bits: int
    files: dict[str, bytes]
    per_cluster: int = 1
    clusters: int = 0
    scattered: bool = False
    """Clusters of a file lie apart, and backwards."""
    volume: bytearray = field(init=False)
    first: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.clusters = self.clusters or {12: 2_000, 16: 5_000, 32: 6_000}[self.bits]
        self._table = [0] * (self.clusters + 2)
        table_bytes = ((self.clusters + 2) * self.bits + 7) // 8
        self.table_sectors = -(-table_bytes // SECTOR)
        self.reserved = 32 if self.bits == 32 else 1
        self.root_sectors = 0 if self.bits == 32 else 32
        self.data = (self.reserved + 2 * self.table_sectors + self.root_sectors) * SECTOR
        self.cluster_bytes = self.per_cluster * SECTOR
        self.volume = bytearray(self.data + self.clusters * self.cluster_bytes)
        self._free = 2
        tree: dict[str, object] = {}
        for path, content in self.files.items():
            here = tree
            *folders, name = path.split("/")
            for folder in folders:
                here = here.setdefault(folder, {})  # type: ignore[assignment]
            here[name] = content
        root = self._take(1)[0] if self.bits == 32 else 0
        slots = self._folder(tree, "", root, 0)
        self._write_folder("", slots, root)
        self._write_head(root)
        self.write_tables()

    @property
    def size(self) -> int:
        return len(self.volume)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size, "read outside of the volume"
        return bytes(self.volume[offset : offset + length])

    def at_table(self, cluster: int) -> int:
        """Where the first table speaks of a cluster (FAT12: the byte it begins in)."""
        return self.reserved * SECTOR + cluster * self.bits // 8

    def set_table(self, cluster: int, value: int) -> None:
        """Have the tables say another thing after a cluster."""
        self.set_entry(cluster, value)
        self.write_tables()

    def set_entry(self, cluster: int, value: int) -> None:
        """Likewise, and `write_tables` does it: for many of them."""
        self._table[cluster] = value

    def at_cluster(self, cluster: int) -> int:
        return self.data + (cluster - 2) * self.cluster_bytes

    def at_slots(self, folder: str) -> int:
        """Where a folder's slots begin."""
        if not folder and self.bits != 32:
            return self.data - self.root_sectors * SECTOR
        return self.at_cluster(self.first[folder])

    def _take(self, count: int) -> list[int]:
        step = 2 if self.scattered else 1
        found = list(range(self._free, self._free + count * step, step))
        self._free += count * step
        if self.scattered:
            found.reverse()
        for here, following in zip(found, [*found[1:], END[self.bits]], strict=True):
            self._table[here] = following
        return found

    def _put(self, content: bytes) -> int:
        if not content:
            return 0
        taken = self._take(-(-len(content) // self.cluster_bytes))
        for number, cluster in enumerate(taken):
            piece = content[number * self.cluster_bytes : (number + 1) * self.cluster_bytes]
            self.volume[self.at_cluster(cluster) : self.at_cluster(cluster) + len(piece)] = piece
        return taken[0]

    def _folder(self, tree: dict[str, object], path: str, here: int, above: int) -> bytes:
        slots = b"" if not path else short(b".          ", here, 0, 16) + short(b"..         ", above, 0, 16)
        for number, (name, content) in enumerate(tree.items()):
            inner = f"{path}/{name}".strip("/")
            if isinstance(content, bytes):
                cluster, size, attributes = self._put(content), len(content), 32
            else:
                assert isinstance(content, dict)
                needed = 2 + sum(2 + len(one) // 13 for one in content)
                cluster, size, attributes = self._take(-(-needed * 32 // self.cluster_bytes))[0], 0, 16
                self.first[inner] = cluster
                self._write_folder(inner, self._folder(content, inner, cluster, here), cluster)
            self.first[inner] = cluster
            slots += entry(name, number, cluster, size, attributes)
        return slots

    def _write_folder(self, path: str, slots: bytes, cluster: int) -> None:
        if not path:
            self.first[""] = cluster
            if self.bits != 32:
                assert len(slots) <= self.root_sectors * SECTOR
                at = self.data - self.root_sectors * SECTOR
                self.volume[at : at + len(slots)] = slots
                return
            more = -(-len(slots) // self.cluster_bytes) - 1
            if more > 0:
                self._table[cluster] = self._take(more)[0]
        while slots:
            piece, slots = slots[: self.cluster_bytes], slots[self.cluster_bytes :]
            self.volume[self.at_cluster(cluster) : self.at_cluster(cluster) + len(piece)] = piece
            cluster = self._table[cluster]

    def _write_head(self, root: int) -> None:
        sectors = self.size // SECTOR
        few, many = (sectors, 0) if sectors < 65_536 and self.bits != 32 else (0, sectors)
        fat16 = 0 if self.bits == 32 else self.table_sectors
        head = struct.pack(
            "<3s8sHBHBHHBHHHII",
            *(b"\xeb\x58\x90", b"FORGED  ", SECTOR, self.per_cluster, self.reserved, 2, self.root_sectors * 16),
            *(few, 0xF8, fat16, 32, 64, 0, many),
        )
        if self.bits == 32:
            head += struct.pack("<IHHI", self.table_sectors, 0, 0, root)
        self.volume[: len(head)] = head
        self.volume[510:512] = b"\x55\xaa"

    def write_tables(self) -> None:
        table = [0xF8 | END[self.bits] & ~0xFF, END[self.bits], *self._table[2:]]
        packed = bytearray()
        if self.bits == 12:
            for one, other in zip(table[::2], [*table[1::2], 0][: len(table[::2])], strict=True):
                packed += (one | other << 12).to_bytes(3, "little")
        else:
            packed += b"".join(value.to_bytes(self.bits // 8, "little") for value in table)
        for copy in range(2):
            at = (self.reserved + copy * self.table_sectors) * SECTOR
            self.volume[at : at + len(packed)] = packed


def entry(name: str, number: int, cluster: int, size: int, attributes: int) -> bytes:
    """A long name's slots and its entry."""
    alias = f"N{number:06X}~".encode().ljust(11)
    return long_slots(name, checksum(alias)) + short(alias, cluster, size, attributes)


def short(name: bytes, cluster: int, size: int, attributes: int, case: int = 0) -> bytes:
    return struct.pack("<11sBB7xH4xHI", name, attributes, case, cluster >> 16, cluster & 0xFFFF, size)


def long_slots(name: str, total: int) -> bytes:
    units = name.encode("utf-16-le")
    if len(units) % 26:
        units += b"\0\0"
    units += b"\xff" * (-len(units) % 26)
    slots = []
    for number in range(len(units) // 26):
        part = units[number * 26 : number * 26 + 26]
        order = number + 1 | (0x40 if number + 1 == len(units) // 26 else 0)
        head = bytes([order]) + part[:10] + bytes([0x0F, 0, total]) + part[10:22] + bytes(2) + part[22:]
        slots.append(head)
    return b"".join(reversed(slots))


def checksum(short_name: bytes) -> int:
    total = 0
    for byte in short_name:
        total = (((total & 1) << 7 | total >> 1) + byte) % 256
    return total


def in_mbr(volume: bytes, kind: int = 0x0C, start: int = 64) -> bytearray:
    """A stick with one partition."""
    disk = bytearray(start * SECTOR) + volume
    disk[446:462] = struct.pack("<B3xB3xII", 0, kind, start, len(volume) // SECTOR)
    disk[510:512] = b"\x55\xaa"
    return disk


BASIC_DATA = bytes.fromhex("a2a0d0ebe5b9334487c068b6b72699c7")


def in_gpt(volume: bytes, kind: bytes = BASIC_DATA, start: int = 64, width: int = 128) -> bytearray:
    """A stick with a GPT of one partition after an unused one (its copy at the end is left out: nobody reads it)."""
    disk = in_mbr(bytes(volume), 0xEE, start) + bytes(34 * SECTOR)
    disk[446:462] = struct.pack("<B3xB3xII", 0, 0xEE, 1, len(disk) // SECTOR - 1)
    last = start + len(volume) // SECTOR - 1
    table = bytearray(128 * 128)
    table[128:256] = struct.pack("<16s16sQQQ72s", kind, b"u" * 16, start, last, 0, b"")
    disk[2 * SECTOR : 2 * SECTOR + len(table)] = table
    blocks = len(disk) // SECTOR
    head = [b"EFI PART", 0x10000, 92, 0, 0, 1, blocks - 1, 34, blocks - 34, b"d" * 16, 2, 128, width, zlib.crc32(table)]
    form = "<8sIIIIQQQQ16sQIII"
    head[3] = zlib.crc32(struct.pack(form, *head))
    disk[SECTOR : SECTOR + 92] = struct.pack(form, *head)
    return disk

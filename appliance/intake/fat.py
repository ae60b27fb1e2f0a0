"""A FAT12, FAT16 or FAT32 volume, read strictly and read only (Microsoft FAT specification, fatgen103).

- Every number that the volume states is checked against its size before it is used. A cluster is looked up where it
  must be; free, bad and impossible ones in a chain refuse what needs them.
- Nothing is unbounded: a directory has at most `MAX_SLOTS` slots, a chain no more clusters than its file needs, a path
  at most `MAX_DEPTH` names; memory holds one piece of a file and a few pages of the table.
- Names are the long ones where those are whole and belong to their entry (checksum, order), else the short ones. Two
  names that differ only in case refuse the directory: FAT means the same by them.

Pure: `read(offset, length)` gives exactly so many bytes of the volume, or raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from appliance.intake.partitions import ReadAt, looks_like_fat
from appliance.intake.stick_errors import ChainWrong, DirectoryWrong, NotOnStick, VolumeWrong

MAX_SLOTS: Final = 1 << 16
"""32-byte slots of one directory: the format's own limit (2 MiB)."""
MAX_DEPTH: Final = 8
_PIECE = 1 << 20
_PAGE = 1 << 12
_PAGES = 256
_SLOT = 32
_READ_ONLY, _HIDDEN, _SYSTEM, _LABEL, _FOLDER = 1, 2, 4, 8, 16
_LONG = _READ_ONLY | _HIDDEN | _SYSTEM | _LABEL


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of a directory: a folder, or a file of `size` bytes. `cluster` is its first one, 0 for none."""

    name: str
    is_folder: bool
    size: int
    cluster: int


class Volume:
    """A volume. `length` is that of the partition it lies in; VolumeWrong where it cannot be a FAT volume."""

    def __init__(self, read: ReadAt, length: int) -> None:
        sector = read(0, 512)
        if not looks_like_fat(sector):
            raise VolumeWrong(why="it is none")
        width, per_cluster, reserved, copies, roots, few, _, fat16 = struct.unpack_from("<HBHBHHBH", sector, 11)
        many, fat32, _, version, root = struct.unpack_from("<IIHHI", sector, 32)
        sectors = few or many
        fat = fat16 or fat32
        directory = (roots * _SLOT + width - 1) // width
        first_data = reserved + copies * fat + directory
        if not sectors or sectors * width > length:
            raise VolumeWrong(why=f"{sectors} sectors of {width} bytes in a partition of {length} bytes")
        if not fat or first_data >= sectors:
            raise VolumeWrong(why=f"its tables take {first_data} of {sectors} sectors")
        if width * per_cluster > 1 << 16:
            raise VolumeWrong(why=f"clusters of {width * per_cluster} bytes")
        self._read = read
        self._cluster_bytes: int = width * per_cluster
        self._clusters: int = (sectors - first_data) // per_cluster
        self._bits: int = 32 if not fat16 else 12 if self._clusters < 4_085 else 16
        self._fat_start, fat_bytes = reserved * width, fat * width
        self._data_start: int = first_data * width
        self._fixed_root = (self._data_start - directory * width, roots)
        self._root = 0
        if self._bits == 32:
            if roots or version:
                raise VolumeWrong(why="it is FAT32 of another version, or with a root directory like FAT16's")
            self._root = root & 0x0FFF_FFFF
            if not self._is_data(self._root):
                raise VolumeWrong(why=f"its root directory begins at cluster {self._root}")
        elif not roots:
            raise VolumeWrong(why="it has no root directory")
        if self._clusters < 1 or (self._clusters + 2) * self._bits > fat_bytes * 8:
            raise VolumeWrong(why=f"{self._clusters} clusters, and a table of {fat_bytes} bytes")
        if self._clusters >= (1 << min(self._bits, 28)) - 11:
            raise VolumeWrong(why=f"{self._clusters} clusters are too many for FAT{self._bits}")
        self._pages: dict[int, bytes] = {}
        self._trail: list[tuple[str, dict[str, Node]]] = []

    def folder(self, path: str) -> dict[str, Node]:
        """The entries of a folder by name; `""` is the top. NotOnStick, ChainWrong, DirectoryWrong."""
        names = path.split("/") if path else []
        if len(names) > MAX_DEPTH:
            raise NotOnStick(path=path[:200], why="too deep")
        if not self._trail:
            self._trail.append(("", self._directory(None, "/")))
        for depth, name in enumerate(names, 1):  # the folders on the way are kept until another way is taken
            if len(self._trail) > depth and self._trail[depth][0] == name:
                continue
            del self._trail[depth:]
            node = self._trail[-1][1].get(name)
            if node is None or not node.is_folder:
                raise NotOnStick(path=path, why="not there, or no folder")
            self._trail.append((name, self._directory(node, "/".join(names[:depth]))))
        return self._trail[len(names)][1]

    def file(self, path: str) -> Node:
        """A file; NotOnStick where it is not there or a folder."""
        parent, _, name = path.rpartition("/")
        node = self.folder(parent).get(name)
        if node is None or node.is_folder:
            raise NotOnStick(path=path, why="not there, or no file")
        return node

    def content(self, node: Node, path: str) -> Iterator[bytes]:
        """The bytes of a file, in pieces; ChainWrong where its clusters end too early or lead astray."""
        left, cluster = node.size, node.cluster
        while left:
            if not self._is_data(cluster):
                raise ChainWrong(path=path, why=f"it goes to cluster {cluster} with {left} bytes to come")
            start, run = cluster, 1
            while True:  # clusters that lie side by side are read at once
                following = self._next(cluster, path) if run * self._cluster_bytes < left else 0
                if following != cluster + 1 or run * self._cluster_bytes >= _PIECE:
                    break
                cluster, run = following, run + 1
            size = min(run * self._cluster_bytes, left)
            yield self._read(self._place(start), size)
            left -= size
            cluster = following

    def _directory(self, node: Node | None, path: str) -> dict[str, Node]:
        found: dict[str, Node] = {}
        seen: set[str] = set()
        for one in _nodes(self._slots(node, path), path, wide=self._bits == 32):
            if one.name.lower() in seen:
                raise DirectoryWrong(path=path, why=f"{one.name[:80]!r} stands there twice")
            seen.add(one.name.lower())
            found[one.name] = one
        return found

    def _slots(self, node: Node | None, path: str) -> Iterator[bytes]:
        """A directory's slots up to its end."""
        count = 0
        for block in self._blocks(node, path):
            for at in range(0, len(block), _SLOT):
                slot = block[at : at + _SLOT]
                if slot[0] == 0:
                    return
                count += 1
                if count > MAX_SLOTS:
                    raise DirectoryWrong(path=path, why=f"it has more than {MAX_SLOTS} slots")
                yield slot

    def _blocks(self, node: Node | None, path: str) -> Iterator[bytes]:
        cluster = self._root if node is None else node.cluster
        if node is None and self._bits != 32:
            start, slots = self._fixed_root
            yield self._read(start, slots * _SLOT)
            return
        visited: set[int] = set()
        while self._is_data(cluster):
            if cluster in visited:
                raise ChainWrong(path=path, why=f"it comes back to cluster {cluster}")
            visited.add(cluster)
            yield self._read(self._place(cluster), self._cluster_bytes)
            cluster = self._next(cluster, path)
        if not self._is_end(cluster):
            raise ChainWrong(path=path, why=f"it goes to cluster {cluster}")

    def _is_data(self, cluster: int) -> bool:
        return 2 <= cluster < self._clusters + 2

    def _is_end(self, cluster: int) -> bool:
        return cluster >= (1 << min(self._bits, 28)) - 8

    def _place(self, cluster: int) -> int:
        return self._data_start + (cluster - 2) * self._cluster_bytes

    def _next(self, cluster: int, path: str) -> int:
        """What the table says after a cluster: another one, or the end; ChainWrong for free and bad ones."""
        if self._bits == 12:
            pair = int.from_bytes(self._table(cluster * 3 // 2, 2), "little")
            following = pair >> 4 if cluster & 1 else pair & 0xFFF
        elif self._bits == 16:
            following = int.from_bytes(self._table(cluster * 2, 2), "little")
        else:
            following = int.from_bytes(self._table(cluster * 4, 4), "little") & 0x0FFF_FFFF
        if not self._is_data(following) and not self._is_end(following):
            raise ChainWrong(path=path, why=f"after cluster {cluster} it says {following}, which is none")
        return following

    def _table(self, at: int, length: int) -> bytes:
        """Bytes of the first table, from pages that are kept for a while; an entry of FAT12 may lie across two."""
        page, within = divmod(at, _PAGE)
        found = self._page(page)[within : within + length]
        return found if len(found) == length else found + self._page(page + 1)[: length - len(found)]

    def _page(self, page: int) -> bytes:
        if page not in self._pages:
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            start = self._fat_start + page * _PAGE
            self._pages[page] = self._read(start, min(_PAGE, self._data_start - start))
        return self._pages[page]


def _nodes(slots: Iterator[bytes], path: str, *, wide: bool) -> Iterator[Node]:
    """The entries in a directory's slots; long names that are not whole count for nothing."""
    parts: list[bytes] = []
    expected, checksum = 0, 0
    for slot in slots:
        attributes = slot[11]
        if slot[0] == 0xE5:
            parts, expected = [], 0
            continue
        if attributes & 0x3F == _LONG:
            order = slot[0]
            if order & 0x40:
                parts, expected, checksum = [], order & 0x1F, slot[13]
            if not expected or order & 0x1F != expected or slot[13] != checksum or expected > 20:
                parts, expected = [], 0
                continue
            parts.append(slot[1:11] + slot[14:26] + slot[28:32])
            expected -= 1
            if not expected:
                expected = -1  # whole: the next slot is its entry
            continue
        whole = expected == -1 and checksum == _checksum(slot[:11])
        name = _long(parts, path) if whole else _short(slot)
        parts, expected = [], 0
        if attributes & _LABEL or name in {".", ".."}:
            continue
        if not name or "/" in name or "\0" in name:
            raise DirectoryWrong(path=path, why=f"a name is {name[:80]!r}")
        high, low, size = struct.unpack_from("<20xH4xHI", slot)
        is_folder = bool(attributes & _FOLDER)
        cluster = (high << 16 | low) & 0x0FFF_FFFF if wide else low
        yield Node(name, is_folder, 0 if is_folder else size, cluster)


def _long(parts: list[bytes], path: str) -> str:
    units = b"".join(reversed(parts))
    for at in range(0, len(units), 2):
        if units[at : at + 2] == b"\0\0":
            units = units[:at]
            break
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError:
        raise DirectoryWrong(path=path, why="a long name is no UTF-16") from None


def _short(slot: bytes) -> str:
    """An 8.3 name; two bits say whether its halves were written in lower case."""
    raw = b"\xe5" + slot[1:11] if slot[0] == 0x05 else slot[:11]
    stem, extension = raw[:8].decode("cp437").rstrip(" "), raw[8:].decode("cp437").rstrip(" ")
    stem = stem.lower() if slot[12] & 0x08 else stem
    extension = extension.lower() if slot[12] & 0x10 else extension
    return f"{stem}.{extension}" if extension else stem


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total

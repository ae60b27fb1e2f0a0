"""The site partition's file system: one folder of small files as an erofs, made and read without any other program.

- Made: no compression, each file in blocks of its own, names in order, one time and owner (0) for everything: the same
  files give the same bytes on every machine and with every version of everything. Linux checks the superblock's sum.
- Read: only what could have been made so, by this or by mkfs.erofs without compression: one folder, regular files.
  Everything else is refused by name, with bounded memory.

On-disk format: Linux, fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst. Pure.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from collections.abc import Mapping

from appliance.card.errors import SitePartitionUnreadable

BLOCK = 4096
MAX_FILES = 64
_AT = 1024
_MAGIC = 0xE0F5E1E2
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24s")
_COMPACT = struct.Struct("<HHHHIIIIHHI")
_EXTENDED = struct.Struct("<HHHHQIIIIQII16s")
_ENTRY = struct.Struct("<QHBB")
_SLOT = 32
_FIRST_NID = (_AT + 128) // _SLOT
_SUMMED = 1
_HARMLESS = 0x01 | 0x02 | 0x10 | 0x20 | 0x40
"""Features that say something of compressed files and attributes only; here there are none."""
_PLAIN, _INLINE = 0, 2
_REGULAR, _FOLDER = 1, 2


def make(files: Mapping[str, bytes], label: str) -> bytes:
    """A file system with these files (at most `MAX_FILES`, names of at most 40 bytes) in its root folder."""
    names = sorted(name.encode("ascii") for name in files)
    assert len(names) <= MAX_FILES
    assert all(0 < len(name) <= 40 for name in names), "the folder has one block"
    contents = [files[name.decode("ascii")] for name in names]
    folder = _folder(names)
    inodes = [_inode(stat.S_IFDIR | 0o755, 2, len(folder), 1, 1)]
    blocks, next_block = [folder.ljust(BLOCK, b"\0")], 2
    for number, data in enumerate(contents):
        inodes.append(_inode(stat.S_IFREG | 0o644, 1, len(data), next_block if data else 0, number + 2))
        blocks.append(data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0"))
        next_block += len(blocks[-1]) // BLOCK
    own = hashlib.sha256(b"".join([*names, *blocks])).digest()[:16]

    def first_block(checksum: int) -> bytes:
        head = _SUPER.pack(
            *(_MAGIC, checksum, _SUMMED, BLOCK.bit_length() - 1, 0, _FIRST_NID, len(inodes), 0, 0, next_block, 0, 0),
            *(own, label.encode("ascii"), 0, 0, 0, 0, 0, 0, 0, 0, bytes(24)),
        )
        return (bytes(_AT) + head[:128] + b"".join(inodes)).ljust(BLOCK, b"\0")

    return b"".join([first_block(crc32c(first_block(0)[_AT:])), *blocks])


def read(image: bytes) -> dict[str, bytes]:
    """Name -> content of every file, or SitePartitionUnreadable."""
    try:
        return _read(image)
    except (struct.error, UnicodeDecodeError) as error:
        raise SitePartitionUnreadable(why=str(error)) from None


def crc32c(data: bytes) -> int:
    """CRC-32C as erofs uses it: all ones at the beginning, not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def _table(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE = tuple(_table(byte) for byte in range(256))


def _inode(mode: int, links: int, size: int, block: int, number: int) -> bytes:
    return _COMPACT.pack(_PLAIN << 1, 0, mode, links, size, 0, block, number, 0, 0, 0)


def _folder(names: list[bytes]) -> bytes:
    listed = sorted(
        [(b".", _FIRST_NID, _FOLDER), (b"..", _FIRST_NID, _FOLDER)]
        + [(name, _FIRST_NID + 1 + index, _REGULAR) for index, name in enumerate(names)]
    )
    at = len(listed) * _ENTRY.size
    entries = b""
    for name, nid, kind in listed:
        entries += _ENTRY.pack(nid, at, kind, 0)
        at += len(name)
    return entries + b"".join(name for name, _nid, _kind in listed)


def _read(image: bytes) -> dict[str, bytes]:
    (magic, checksum, compatible, bits, slots, root, *_rest) = _SUPER.unpack_from(image, _AT)
    meta, incompatible = _rest[4], _rest[8]
    if magic != _MAGIC:
        raise SitePartitionUnreadable(why="it is no erofs")
    if (1 << bits, slots) != (BLOCK, 0) or incompatible & ~_HARMLESS:
        raise SitePartitionUnreadable(why=f"blocks of 2^{bits}, features {incompatible:#x}")
    if compatible & _SUMMED and crc32c(image[_AT : _AT + 4] + bytes(4) + image[_AT + 8 : BLOCK]) != checksum:
        raise SitePartitionUnreadable(why="the superblock's checksum does not fit")
    mode, folder = _content(image, meta, root)
    if not stat.S_ISDIR(mode):
        raise SitePartitionUnreadable(why="its root is not a folder")
    found: dict[str, bytes] = {}
    for name, nid in _entries(folder):
        if name in (".", ".."):
            continue
        mode, data = _content(image, meta, nid)
        if not stat.S_ISREG(mode) or name in found or len(found) == MAX_FILES:
            raise SitePartitionUnreadable(why=f"{name!r} is not a file, stands there twice, or is one too many")
        if sum(map(len, found.values())) + len(data) > len(image):
            raise SitePartitionUnreadable(why="its files are larger than it is")
        found[name] = data
    return found


def _entries(folder: bytes) -> list[tuple[str, int]]:
    found = []
    for start in range(0, len(folder), BLOCK):
        block = folder[start : start + BLOCK]
        count, odd = divmod(_ENTRY.unpack_from(block)[1], _ENTRY.size)
        if odd or count == 0:
            raise SitePartitionUnreadable(why="a folder's block is damaged")
        heads = [_ENTRY.unpack_from(block, index * _ENTRY.size) for index in range(count)]
        ends = [at for _nid, at, _kind, _zero in heads[1:]] + [len(block)]
        for (nid, at, _kind, _zero), end in zip(heads, ends, strict=True):
            found.append((block[at:end].split(b"\0", 1)[0].decode("ascii"), nid))
    return found


def _content(image: bytes, meta: int, nid: int) -> tuple[int, bytes]:
    """(mode, bytes) of an inode that is stored flat."""
    at = meta * BLOCK + nid * _SLOT
    (form,) = struct.unpack_from("<H", image, at)
    if form & 1:
        _form, attributes, mode, _reserved, size, block, *_more = _EXTENDED.unpack_from(image, at)
        behind = at + _EXTENDED.size
    else:
        _form, attributes, mode, _links, size, _reserved, block, *_more = _COMPACT.unpack_from(image, at)
        behind = at + _COMPACT.size
    layout = form >> 1 & 7
    if layout not in (_PLAIN, _INLINE) or attributes or size > len(image):
        raise SitePartitionUnreadable(why=f"file {nid}: stored in a way that is not read here (layout {layout})")
    whole = size if layout == _PLAIN else size // BLOCK * BLOCK
    data = image[block * BLOCK : block * BLOCK + whole] + image[behind : behind + size - whole]
    if len(data) != size:
        raise SitePartitionUnreadable(why=f"file {nid} goes beyond the end")
    return mode, data

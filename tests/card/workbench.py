"""A build's output as the card room meets it, made without the builder: a table of our own hand, and random slots.

The table is packed here from UEFI's own description and not by the code under test.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from appliance.card import erofs
from appliance.card.layout import MIB, SITE, SLOTS, end_mib, places
from appliance.update import slotstate
from tests.release.forge import Forge, sign

VERSION = "0.1.0"
IMAGE_BYTES = (end_mib() + 1) * MIB
CARD_BYTES = 4 << 30


@dataclass(frozen=True)
class Build:
    """A folder with what is shipped."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def record(self) -> Path:
        return self.folder / "build.json"


def site_files() -> dict[str, bytes]:
    root = sign(Forge().root_document(1), ["ada", "bob"])
    station = {"schema": 1, "station": "bench-01", "site": "demo"}
    return {
        "root.json": root,
        "station.json": json.dumps(station).encode(),
        "factory.sources": b"# the factory's own\nserver 192.0.2.1 iburst\n\nserver 2001:db8::1 iburst minpoll 4\n",
    }


def table(partitions: list[tuple[str, str, int, int]], sectors: int) -> tuple[bytes, bytes]:
    """The first MiB and the last 33 sectors of a disk; partitions as (name, type, first MiB, MiB)."""
    entries = b""
    for name, kind, start, mib in partitions:
        first, last = start * 2048, (start + mib) * 2048 - 1
        own = uuid.uuid5(uuid.NAMESPACE_OID, name)
        entries += uuid.UUID(kind).bytes_le + own.bytes_le + struct.pack("<QQQ", first, last, 0)
        entries += name.encode("utf-16-le").ljust(72, b"\0")
    entries = entries.ljust(16384, b"\0")

    def header(own: int, other: int, at: int) -> bytes:
        def packed(checksum: int) -> bytes:
            ends = struct.pack("<QQQQ", own, other, 2048, sectors - 34) + uuid.NAMESPACE_DNS.bytes_le
            tail = struct.pack("<QIII", at, 128, 128, zlib.crc32(entries))
            return b"EFI PART" + struct.pack("<IIII", 0x10000, 92, checksum, 0) + ends + tail

        return packed(zlib.crc32(packed(0))).ljust(512, b"\0")

    mbr = bytes(446) + bytes([0, 0, 2, 0, 0xEE, 255, 255, 255]) + struct.pack("<II", 1, sectors - 1)
    head = mbr.ljust(510, b"\0") + b"\x55\xaa" + header(1, sectors - 1, 2) + entries
    return head.ljust(MIB, b"\0"), entries + header(sectors - 1, 1, sectors - 33)


def make_build(folder: Path) -> Build:
    """disk.raw, the slot's files, an SBOM's stand-in and build.json."""
    dice = random.Random(4)
    files = {
        "boot.vfat": dice.randbytes(3 * MIB),
        "root.erofs": dice.randbytes(5 * MIB + 4096),
        "root.verity": dice.randbytes(40960),
        "proofline.efi": dice.randbytes(1 << 16),
        "sbom.spdx.json": b"{}\n",
    }
    at = {name: start * MIB for name, _kind, start, _mib in places()}
    head, tail = table(list(places()), IMAGE_BYTES // 512)
    with (folder / "disk.raw").open("wb") as disk:
        disk.truncate(IMAGE_BYTES)
        contents = {
            "proofline-boot": dice.randbytes(MIB),
            SLOTS: slotstate.encode(slotstate.fresh("a")),
            "proofline-boot-a": files["boot.vfat"],
            "proofline-root-a": files["root.erofs"],
            "proofline-hash-a": files["root.verity"],
            SITE: erofs.make({}, SITE),
        }
        for offset, data in ((0, head), (IMAGE_BYTES - len(tail), tail), *((at[n], d) for n, d in contents.items())):
            disk.seek(offset)
            disk.write(data)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    names = [*files, "disk.raw"]
    record = {
        "schema": 1,
        "version": VERSION,
        "artefacts": {name: digest(folder / name) for name in names},
        "sizes": {name: (folder / name).stat().st_size for name in names if name != "sbom.spdx.json"},
    }
    (folder / "build.json").write_text(json.dumps(record), "utf-8")
    return Build(folder)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_card(path: Path, size: int = CARD_BYTES) -> Path:
    """An empty file of a card's size."""
    with path.open("wb") as file:
        file.truncate(size)
    return path

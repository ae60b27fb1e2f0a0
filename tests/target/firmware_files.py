"""Small firmware files made by hand, and what can be wrong with one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.target import errors as e

FLASH = 0x0800_0000
CODE = struct.pack("<II", 0x2000_1000, FLASH + 9) + bytes(range(40))
"""A vector table that points to the word behind it, and 48 bytes in all."""


def record(kind: int, offset: int, payload: bytes) -> bytes:
    """One HEX record with the right checksum."""
    body = bytes([len(payload)]) + offset.to_bytes(2) + bytes([kind]) + payload
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\n"


BANK = record(4, 0, b"\x08\x00")
END = record(1, 0, b"")
HEX = BANK + record(0, 0, CODE[:16]) + record(0, 16, CODE[16:32]) + record(0, 32, CODE[32:]) + END


@dataclass(frozen=True)
class Load:
    """One program header and its bytes."""

    paddr: int = FLASH
    data: bytes = CODE
    kind: int = 1
    memsz: int | None = None
    offset: int | None = None


def elf(loads: Sequence[Load] = (Load(),), **header: int) -> bytes:
    """A minimal ELF32 executable; `header` overrides the fields of its header by name."""
    fields = {
        "class_": 1, "order": 1, "ident_version": 1, "type": 2, "machine": 40, "version": 1,
        "phoff": 52, "ehsize": 52, "phentsize": 32, "phnum": len(loads),
    } | header  # fmt: skip
    ident = bytes([0x7F, *b"ELF", fields["class_"], fields["order"], fields["ident_version"]]).ljust(16, b"\0")
    head = struct.pack(
        "<16sHHIIIIIHHHHHH", ident, fields["type"], fields["machine"], fields["version"], FLASH + 8,
        fields["phoff"], 0, 0, fields["ehsize"], fields["phentsize"], fields["phnum"], 0, 0, 0,
    )  # fmt: skip
    table, body = b"", b""
    for load in loads:
        offset = 52 + 32 * len(loads) + len(body) if load.offset is None else load.offset
        memsz = len(load.data) if load.memsz is None else load.memsz
        table += struct.pack("<8I", load.kind, offset, load.paddr, load.paddr, len(load.data), memsz, 5, 4)
        body += load.data
    return head + table + body


Format = str
Broken = tuple[str, Format, bytes, int | None, type[e.ImageError]]

HUGE = b":" * (16 * 1024 * 1024 + 1)
TABLE = CODE[8:]

BROKEN: list[Broken] = [
    ("elf-empty-file", "elf", b"", None, e.ImageNotElf),
    ("elf-magic", "elf", b"\x7fELG" + elf()[4:], None, e.ImageNotElf),
    ("elf-header-cut", "elf", elf()[:40], None, e.ImageTruncated),
    ("elf-64-bit", "elf", elf(class_=2), None, e.ImageNotElf),
    ("elf-big-endian", "elf", elf(order=2), None, e.ImageNotElf),
    ("elf-ident-version", "elf", elf(ident_version=9), None, e.ImageNotElf),
    ("elf-version", "elf", elf(version=9), None, e.ImageNotElf),
    ("elf-relocatable", "elf", elf(type=1), None, e.ImageNotElf),
    ("elf-shared-object", "elf", elf(type=3), None, e.ImageNotElf),
    ("elf-x86", "elf", elf(machine=62), None, e.ImageNotElf),
    ("elf-dynamic", "elf", elf([Load(), Load(kind=2)]), None, e.ImageNotElf),
    ("elf-header-size", "elf", elf(ehsize=64), None, e.ImageBadHeader),
    ("elf-program-header-size", "elf", elf(phentsize=56), None, e.ImageBadHeader),
    ("elf-no-program-headers", "elf", elf([]), None, e.ImageBadHeader),
    ("elf-65535-program-headers", "elf", elf(phnum=0xFFFF), None, e.ImageBadHeader),
    ("elf-headers-in-header", "elf", elf(phoff=16), None, e.ImageBadHeader),
    ("elf-headers-behind-end", "elf", elf(phoff=0xFFFF_FFF0), None, e.ImageTruncated),
    ("elf-segment-cut", "elf", elf()[:-1], None, e.ImageTruncated),
    ("elf-segment-offset-huge", "elf", elf([Load(offset=0xFFFF_FFFF)]), None, e.ImageTruncated),
    ("elf-memory-smaller-than-file", "elf", elf([Load(memsz=8)]), None, e.ImageBadHeader),
    ("elf-overlap", "elf", elf([Load(), Load(FLASH + 40, TABLE)]), None, e.ImageOverlap),
    ("elf-same-segment-twice", "elf", elf([Load(), Load()]), None, e.ImageOverlap),
    ("elf-in-ram", "elf", elf([Load(), Load(0x2000_0000, TABLE)]), None, e.ImageOutsideFlash),
    ("elf-option-bytes", "elf", elf([Load(), Load(0x1FFF_C000, TABLE)]), None, e.ImageOutsideFlash),
    ("elf-over-the-end", "elf", elf([Load(), Load(FLASH + 0x10_0000 - 8, TABLE)]), None, e.ImageOutsideFlash),
    ("elf-address-wraps", "elf", elf([Load(), Load(0xFFFF_FFF0, TABLE)]), None, e.ImageOutsideFlash),
    ("elf-nothing-to-load", "elf", elf([Load(kind=4)]), None, e.ImageEmpty),
    ("hex-empty-file", "hex", b"", None, e.ImageTruncated),
    ("hex-no-end", "hex", HEX.removesuffix(END), None, e.ImageTruncated),
    ("hex-only-end", "hex", END, None, e.ImageEmpty),
    ("hex-data-after-end", "hex", HEX + record(0, 48, b"\1"), None, e.HexAfterEnd),
    ("hex-blank-line-after-end", "hex", HEX + b"\n", None, e.HexAfterEnd),
    ("hex-no-colon", "hex", HEX[1:], None, e.HexBadCharacter),
    ("hex-blank-line", "hex", BANK + b"\n" + HEX, None, e.HexBadCharacter),
    ("hex-space-inside", "hex", HEX.replace(b"0800F2", b"080 0F2"), None, e.HexBadCharacter),
    ("hex-odd-digits", "hex", BANK[:-2] + b"\n" + HEX, None, e.HexBadCharacter),
    ("hex-not-ascii", "hex", ":٠٢٠٠٠٠٠٤٠٨٠٠".encode() + b"\n" + END, None, e.HexBadCharacter),
    ("hex-checksum", "hex", HEX.replace(BANK, BANK[:-2] + b"3\n"), None, e.HexBadChecksum),
    ("hex-length-field", "hex", b":05" + HEX[3:], None, e.HexBadLength),
    ("hex-record-too-short", "hex", b":0000\n" + HEX, None, e.HexBadLength),
    ("hex-bank-of-three-bytes", "hex", record(4, 0, b"\x08\x00\x00") + HEX, None, e.HexBadLength),
    ("hex-end-with-data", "hex", HEX.replace(END, record(1, 0, b"\1")), None, e.HexBadLength),
    ("hex-unknown-type", "hex", record(6, 0, b"") + HEX, None, e.HexUnknownRecord),
    ("hex-wraps-its-bank", "hex", HEX.replace(END, record(0, 0xFFFF, b"\1\2") + END), None, e.HexWrap),
    ("hex-overlap", "hex", HEX.replace(END, record(0, 47, b"\x27") + END), None, e.ImageOverlap),
    ("hex-outside-flash", "hex", HEX.replace(END, record(4, 0, b"\x20\x00") + record(0, 0, b"\1") + END), None,
     e.ImageOutsideFlash),
    ("hex-25-islands", "hex", HEX.replace(END, b"".join(record(0, 64 + 8 * n, b"\1") for n in range(24)) + END), None,
     e.ImageFragmented),
    ("hex-scattered-bytes", "hex", BANK + b"".join(record(0, 2 * n, b"\1") for n in range(5000)) + END, None,
     e.ImageFragmented),
    ("hex-no-bank", "hex", HEX.removeprefix(BANK), None, e.ImageOutsideFlash),
    ("bin-empty-file", "bin", b"", FLASH, e.ImageEmpty),
    ("bin-no-address", "bin", CODE, None, e.BinAddress),
    ("bin-odd-address", "bin", CODE, FLASH + 2, e.BinAddress),
    ("bin-in-ram", "bin", CODE, 0x2000_0000, e.ImageOutsideFlash),
    ("bin-negative-address", "bin", CODE, -4, e.ImageOutsideFlash),
    ("bin-larger-than-flash", "bin", CODE + bytes(0x10_0000), FLASH, e.ImageOutsideFlash),
    ("bin-without-vectors", "bin", CODE, FLASH + 0x4000, e.ImageNotBootable),
    ("bin-shorter-than-vectors", "bin", CODE[:4], FLASH, e.ImageNotBootable),
    ("bin-stack-in-flash", "bin", struct.pack("<I", FLASH + 64) + CODE[4:], FLASH, e.ImageNotBootable),
    ("bin-stack-unaligned", "bin", struct.pack("<I", 0x2000_0FFC) + CODE[4:], FLASH, e.ImageNotBootable),
    ("bin-reset-vector-arm", "bin", CODE[:4] + struct.pack("<I", FLASH + 8) + TABLE, FLASH, e.ImageNotBootable),
    ("bin-reset-vector-outside", "bin", CODE[:4] + struct.pack("<I", FLASH + 49) + TABLE, FLASH, e.ImageNotBootable),
    ("bin-erased", "bin", b"\xff" * 64, FLASH, e.ImageNotBootable),
    ("huge", "hex", HUGE, None, e.ImageTooLarge),
    ("unknown-format", "s19", CODE, None, e.ImageUnknownFormat),
]  # fmt: skip

TWINS: dict[Format, tuple[bytes, int | None]] = {"elf": (elf(), None), "hex": (HEX, None), "bin": (CODE, FLASH)}
"""The unbroken file of each format; all say `CODE` at `FLASH`."""

"""A firmware file becomes address ranges in flash, or a named refusal.

- Strict: everything in the file must be understood and lie in the part's flash; nothing is said twice, nothing is
  left over, an ELF's load addresses are what counts, and the device could boot what results.
- Bounded: a file over `MAX_FILE_BYTES` is refused unread, as is a scattering of more pieces than anybody builds;
  memory and work are proportional to the file.
- Only `ImageError` comes out, whatever goes in. Standard library only; tests compare with intelhex and pyelftools.
"""

from __future__ import annotations

import binascii
import hashlib
import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.target.boards.profile import BoardProfile
from appliance.target.errors import (
    BinAddress,
    HexAfterEnd,
    HexBadCharacter,
    HexBadChecksum,
    HexBadLength,
    HexUnknownRecord,
    HexWrap,
    ImageBadHeader,
    ImageEmpty,
    ImageFragmented,
    ImageNotBootable,
    ImageNotElf,
    ImageOutsideFlash,
    ImageOverlap,
    ImageTooLarge,
    ImageTruncated,
    ImageUnknownFormat,
)

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_PROGRAM_HEADERS = 64
MAX_PIECES = 4096
MAX_SEGMENTS = 24
"""So many ranges, and the gaps between them, fit into one measurement."""

_ELF_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIIIIIII")
_PT_LOAD, _PT_INTERP, _PT_DYNAMIC = 1, 3, 2
_HEX_FIXED_LENGTHS = {0x01: 0, 0x02: 2, 0x03: 4, 0x04: 2, 0x05: 4}


@dataclass(frozen=True)
class Segment:
    """Consecutive bytes of flash."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.data)


@dataclass(frozen=True)
class ImageRange:
    """What must be in [start, start + length): `sha256` in lower-case hex."""

    name: str
    start: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Image:
    """Segments in address order, neither touching nor overlapping: two of them have unsaid bytes in between."""

    part: str
    segments: tuple[Segment, ...]

    @property
    def length(self) -> int:
        """Bytes of flash that the image says."""
        return sum(len(segment.data) for segment in self.segments)

    def ranges(self) -> tuple[ImageRange, ...]:
        """The allowlist of a release: `image-0`, `image-1`, ... in address order."""
        return tuple(
            ImageRange(f"image-{index}", s.start, len(s.data), hashlib.sha256(s.data).hexdigest())
            for index, s in enumerate(self.segments)
        )


def parse_image(
    data: bytes,
    format: str,  # noqa: A002  # the release document's word
    profile: BoardProfile,
    load_address: int | None = None,
) -> Image:
    """The image in a firmware file's bytes. `format`: `elf`, `hex` or `bin`; `load_address` is for `bin` alone.

    Raises `ImageError`, and nothing else.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ImageTooLarge(length=len(data), limit=MAX_FILE_BYTES)
    if format == "elf":
        pieces = _elf_segments(data)
    elif format == "hex":
        pieces = _hex_segments(data)
    elif format == "bin":
        pieces = _bin_segments(data, load_address)
    else:
        raise ImageUnknownFormat(format=format)
    image = Image(profile.part, _joined(pieces, profile))
    if not image.segments:
        raise ImageEmpty(format=format)
    _require_bootable(image, profile)
    return image


def _joined(pieces: Iterable[Segment], profile: BoardProfile) -> tuple[Segment, ...]:
    """The pieces in address order, touching ones joined; refuses what overlaps or leaves the flash."""
    inside = []
    for piece in pieces:
        if not piece.data:
            continue
        if not profile.in_flash(piece.start, len(piece.data)):
            raise ImageOutsideFlash(
                start=hex(piece.start),
                end=hex(piece.end),
                part=profile.part,
                flash_start=hex(profile.flash_start),
                flash_end=hex(profile.flash_end),
            )
        inside.append(piece)
        if len(inside) > MAX_PIECES:
            raise ImageFragmented(limit=MAX_PIECES)
    inside.sort(key=lambda piece: piece.start)
    runs: list[list[Segment]] = []
    for piece in inside:
        if runs and piece.start < runs[-1][-1].end:
            raise ImageOverlap(address=hex(piece.start))
        if runs and piece.start == runs[-1][-1].end:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    if len(runs) > MAX_SEGMENTS:
        raise ImageFragmented(limit=MAX_SEGMENTS)
    return tuple(Segment(run[0].start, b"".join(piece.data for piece in run)) for run in runs)


def _require_bootable(image: Image, profile: BoardProfile) -> None:
    """ARMv7-M B1.5.3: the first two words are the stack pointer and the address of the reset handler."""
    first = image.segments[0]
    if first.start != profile.flash_start or len(first.data) < 8:
        raise ImageNotBootable(reason="it has no vector table at the start of flash")
    stack, reset = struct.unpack_from("<II", first.data)
    if stack % 8 or not profile.in_ram(stack):
        raise ImageNotBootable(reason=f"its stack pointer {stack:#x} is not an aligned address in RAM")
    if not reset & 1:
        raise ImageNotBootable(reason=f"its reset vector {reset:#x} is not a Thumb address")
    if not any(segment.start <= reset - 1 < segment.end - 1 for segment in image.segments):
        raise ImageNotBootable(reason=f"its reset vector {reset:#x} points to nothing in the image")


def _elf_segments(data: bytes) -> Iterator[Segment]:
    """What a loader would put into memory: the file's bytes of each PT_LOAD, at its physical address."""
    if data[:4] != b"\x7fELF":
        raise ImageNotElf(reason="no ELF magic")
    if len(data) < _ELF_HEADER.size:
        raise ImageTruncated(format="elf", where="the ELF header")
    (ident, kind, machine, version, _entry, phoff, _shoff, _flags, ehsize, phentsize, phnum, *_sections) = (
        _ELF_HEADER.unpack_from(data)
    )
    for fact, reason in (
        (ident[4] == 1, "not 32-bit"),
        (ident[5] == 1, "not little-endian"),
        (ident[6] == 1 and version == 1, "unknown ELF version"),
        (kind == 2, "not an executable"),
        (machine == 40, "not for ARM"),
    ):
        if not fact:
            raise ImageNotElf(reason=reason)
    if ehsize != _ELF_HEADER.size or phentsize != _PROGRAM_HEADER.size:
        raise ImageBadHeader(reason="header sizes are not those of ELF32")
    if not 0 < phnum <= MAX_PROGRAM_HEADERS:
        raise ImageBadHeader(reason=f"{phnum} program headers")
    if phoff < _ELF_HEADER.size:
        raise ImageBadHeader(reason="the program headers lie inside the ELF header")
    if phoff + phnum * phentsize > len(data):
        raise ImageTruncated(format="elf", where="the program headers")
    for index in range(phnum):
        kind, offset, _vaddr, paddr, filesz, memsz, _flags, _align = _PROGRAM_HEADER.unpack_from(
            data, phoff + index * phentsize
        )
        if kind in (_PT_INTERP, _PT_DYNAMIC):
            raise ImageNotElf(reason="it is dynamically linked")
        if kind != _PT_LOAD or not filesz:
            continue
        if memsz < filesz:
            raise ImageBadHeader(reason=f"segment {index} has more bytes in the file than in memory")
        if offset + filesz > len(data):
            raise ImageTruncated(format="elf", where=f"segment {index}")
        yield Segment(paddr, data[offset : offset + filesz])


def _hex_segments(data: bytes) -> Iterator[Segment]:
    """Intel HEX with any of its six record types; every line is a record, the last one the end-of-file record.

    Records that follow each other come out as one segment: a large file has tens of thousands of them.
    """
    base, start, run = 0, 0, bytearray()
    ended = False
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if ended:
            raise HexAfterEnd(line=number)
        record = _hex_record(number, line)
        kind, offset = record[3], record[1] << 8 | record[2]
        if kind == 0x00:
            # Linear banks and segments alike are 64 KiB; a record that wraps means different things to different
            # readers, so it means nothing here.
            if offset + record[0] > 0x10000:
                raise HexWrap(line=number)
            if base + offset != start + len(run):
                yield Segment(start, bytes(run))
                start, run = base + offset, bytearray()
            run += record[4:-1]
        elif kind == 0x01:
            ended = True
        elif kind == 0x02:
            base = int.from_bytes(record[4:-1]) << 4
        elif kind == 0x04:
            base = int.from_bytes(record[4:-1]) << 16
    yield Segment(start, bytes(run))
    if not ended:
        raise ImageTruncated(format="hex", where="the file: its end-of-file record is missing")


def _hex_record(number: int, line: bytes) -> bytes:
    """One record's bytes, from its length field to its checksum: complete, summed up, of a known type and length."""
    if line[:1] != b":":
        raise HexBadCharacter(line=number, reason="it does not start with a colon")
    try:
        record = binascii.unhexlify(line[1:-1] if line.endswith(b"\r") else line[1:])
    except ValueError:
        raise HexBadCharacter(line=number, reason="it is not an even number of hexadecimal digits") from None
    if len(record) < 5 or len(record) != record[0] + 5:
        raise HexBadLength(line=number, actual=max(0, len(record) - 5), expected=record[0] if record else 0)
    if sum(record) & 0xFF:
        raise HexBadChecksum(line=number)
    kind = record[3]
    if kind:
        expected = _HEX_FIXED_LENGTHS.get(kind)
        if expected is None:
            raise HexUnknownRecord(line=number, type=kind)
        if record[0] != expected:
            raise HexBadLength(line=number, actual=record[0], expected=expected)
    return record


def _bin_segments(data: bytes, load_address: int | None) -> Iterator[Segment]:
    """All of the file at one address."""
    if load_address is None or load_address % 4:
        raise BinAddress(address="none" if load_address is None else hex(load_address))
    yield Segment(load_address, data)


def gaps(ranges: Iterable[tuple[int, int]], start: int, end: int) -> tuple[tuple[int, int], ...]:
    """The (start, length) pieces of [start, end) that no (start, length) of `ranges` covers.

    `ranges` are in address order and do not overlap.
    """
    stops = [start, *itertools.chain.from_iterable((s, s + n) for s, n in ranges), end]
    return tuple((a, b - a) for a, b in zip(stops[::2], stops[1::2], strict=True) if b > a)

"""Firmware files: what is refused and by what name; what is understood, against other people's parsers."""

from __future__ import annotations

import hashlib
import io
import itertools
import struct

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st
from intelhex import IntelHex

from appliance.target.boards import profile_for
from appliance.target.errors import ImageError
from appliance.target.image import Image, Segment, gaps, parse_image
from hil.firmware import Size, image_path
from tests.target.firmware_files import BROKEN, CODE, FLASH, HEX, TWINS, Load, elf, record

PROFILE = profile_for("stm32f412xg")


@pytest.mark.parametrize(
    ("kind", "data", "address", "refusal"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_broken_file_is_refused_by_name(kind: str, data: bytes, address: int | None, refusal: type[ImageError]) -> None:
    with pytest.raises(ImageError) as caught:
        parse_image(data, kind, PROFILE, address)
    assert type(caught.value) is refusal
    assert "?" not in caught.value.engineer_sentence()


def test_broken_files_reach_every_image_error() -> None:
    assert {row[4] for row in BROKEN} == set(ImageError.__subclasses__())


@pytest.mark.parametrize("kind", TWINS)
def test_unbroken_twin_is_accepted(kind: str) -> None:
    data, address = TWINS[kind]
    image = parse_image(data, kind, PROFILE, address)
    assert image == Image("stm32f412xg", (Segment(FLASH, CODE),))
    (only,) = image.ranges()
    assert (only.name, only.start, only.length) == ("image-0", FLASH, len(CODE))
    assert only.sha256 == hashlib.sha256(CODE).hexdigest()


@pytest.mark.parametrize("size", ["small", "full"])
def test_real_firmware_is_the_same_image_in_all_formats(size: Size) -> None:
    images = {
        kind: parse_image(image_path("1.0.0", size, kind).read_bytes(), kind, PROFILE, FLASH)
        for kind in ("elf", "hex", "bin")
    }
    assert images["elf"] == images["hex"] == images["bin"]
    assert images["bin"].segments == (Segment(FLASH, image_path("1.0.0", size, "bin").read_bytes()),)


def test_segments_in_any_order_are_joined_where_they_touch() -> None:
    image = parse_image(
        elf([Load(FLASH + 0x8000, b"tail"), Load(FLASH + 48, b"next"), Load(), Load(FLASH, b"")]), "elf", PROFILE
    )
    assert image.segments == (Segment(FLASH, CODE + b"next"), Segment(FLASH + 0x8000, b"tail"))
    assert [r.name for r in image.ranges()] == ["image-0", "image-1"]
    assert image.length == len(CODE) + 8


def test_hex_understands_segment_banks_start_records_and_lower_case() -> None:
    # 0x8000 << 4 is 0x80000, far below flash: the segment bank must be left again by the linear one.
    data = record(2, 0, b"\x80\x00") + record(3, 0, bytes(4)) + record(5, 0, bytes(4)) + HEX.lower()
    assert parse_image(data.replace(b"\n", b"\r\n"), "hex", PROFILE).segments == (Segment(FLASH, CODE),)


@given(st.binary(max_size=400), st.sampled_from(["elf", "hex", "bin", "pdf"]), st.none() | st.integers())
def test_any_bytes_give_an_image_or_our_refusal(data: bytes, kind: str, address: int | None) -> None:
    _parse_or_refuse(data, kind, address)


@given(
    st.sampled_from(["elf", "hex", "bin"]),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=6)), min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_any_damage_to_a_good_file_gives_an_image_or_our_refusal(kind: str, edits: list[tuple[int, bytes]]) -> None:
    data, address = TWINS[kind]
    for offset, patch in edits:
        data = data[:offset] + patch + data[offset + len(patch) :]
    _parse_or_refuse(data, kind, address)


@given(st.lists(st.tuples(st.integers(0, 0x400), st.binary(min_size=1, max_size=64)), max_size=6))
def test_hex_and_elf_agree_with_other_peoples_parsers(pieces: list[tuple[int, bytes]]) -> None:
    loads = [Load(), *(Load(FLASH + 0x1000 + offset, data) for offset, data in pieces)]
    lines = [record(4, 0, b"\x08\x00")]
    lines += [record(0, load.paddr & 0xFFFF, load.data) for load in loads]
    text = b"".join(lines) + record(1, 0, b"")
    overlapping = _overlap([(load.paddr, load.paddr + len(load.data)) for load in loads])
    if overlapping:
        for data, kind in ((text, "hex"), (elf(loads), "elf")):
            with pytest.raises(ImageError):
                parse_image(data, kind, PROFILE)
        return
    theirs = IntelHex()
    theirs.loadhex(io.StringIO(text.decode()))
    ours = parse_image(text, "hex", PROFILE)
    assert [(s.start, s.end) for s in ours.segments] == theirs.segments()
    assert b"".join(s.data for s in ours.segments) == b"".join(
        bytes(theirs[start:end].tobinarray()) for start, end in theirs.segments()
    )
    assert parse_image(elf(loads), "elf", PROFILE) == ours
    read = {s["p_paddr"]: s.data() for s in ELFFile(io.BytesIO(elf(loads))).iter_segments("PT_LOAD")}
    assert all(_byte(ours, start, data) for start, data in read.items())


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=6))
def test_gaps_and_ranges_are_all_of_the_flash(pieces: list[tuple[int, int]]) -> None:
    ranges, end = [], 0
    for skip, length in pieces:
        ranges.append((end + skip, length))
        end += skip + length
    whole = sorted([*ranges, *gaps(ranges, 0, end + 7)])
    assert [a + n for a, n in whole] == [*(a for a, _ in whole[1:]), end + 7]
    assert whole[0][0] == 0


def _parse_or_refuse(data: bytes, kind: str, address: int | None) -> None:
    try:
        image = parse_image(data, kind, PROFILE, address)
    except ImageError:
        return
    assert image.segments[0].start == FLASH
    stack, reset = struct.unpack_from("<II", image.segments[0].data)
    assert PROFILE.in_ram(stack)
    assert reset & 1
    assert all(PROFILE.in_flash(s.start, len(s.data)) for s in image.segments)


def _overlap(spans: list[tuple[int, int]]) -> bool:
    ordered = sorted(spans)
    return any(following[0] < one[1] for one, following in itertools.pairwise(ordered))


def _byte(image: Image, start: int, data: bytes) -> bool:
    return any(
        s.data[start - s.start : start - s.start + len(data)] == data for s in image.segments if s.start <= start
    )

"""The site partition's file system: what is made is read, the same everywhere, and anything else is refused."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.card import erofs
from appliance.card.errors import SitePartitionUnreadable

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=40).filter(lambda name: name.strip("."))
FILES = st.dictionaries(NAMES, st.binary(max_size=9000), max_size=erofs.MAX_FILES)


def summed(image: bytearray) -> bytes:
    """With a checksum that fits."""
    image[1028:1032] = bytes(4)
    image[1028:1032] = struct.pack("<I", erofs.crc32c(bytes(image[1024:4096])))
    return bytes(image)


@given(FILES)
def test_what_is_made_is_read(files: dict[str, bytes]) -> None:
    image = erofs.make(files, "label")
    assert erofs.read(image) == files
    assert erofs.read(image + bytes(10000)) == files
    assert erofs.make(dict(reversed(files.items())), "label") == image


def test_the_bytes_are_these_on_every_machine() -> None:
    image = erofs.make({"b": b"second", "a": bytes(range(256)) * 17}, "proofline-site")
    assert hashlib.sha256(image).hexdigest() == "92ed24465fbb6abd110d90af932d489de153e4e88b7514f0c6bd2469de63550c"


def test_the_checksum_is_crc32c() -> None:
    assert erofs.crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283  # RFC 3720, B.4's check value


@given(st.integers(0, 1023), st.integers(1, 255))
def test_no_changed_byte_before_the_superblock_matters(at: int, change: int) -> None:
    image = bytearray(erofs.make({"a": b"x"}, "label"))
    image[at] ^= change
    assert erofs.read(bytes(image)) == {"a": b"x"}


@given(st.integers(1024, 4095), st.integers(1, 255))
def test_a_changed_byte_of_what_is_summed_is_refused(at: int, change: int) -> None:
    image = bytearray(erofs.make({"a": b"x" * 5000}, "label"))
    image[at] ^= change
    if image[1024 + 8] & 1:  # else it says of itself that nothing was summed
        with pytest.raises(SitePartitionUnreadable):
            erofs.read(bytes(image))


@given(st.lists(st.tuples(st.integers(1024, 8191), st.integers(0, 255)), min_size=1, max_size=12))
def test_damage_with_a_fitting_checksum_is_read_or_refused_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    image = bytearray(erofs.make({"a": b"x" * 5000, "b": b""}, "label"))
    for at, value in changes:
        image[at] = value
    try:
        found = erofs.read(summed(image))
    except SitePartitionUnreadable:
        return
    assert sum(map(len, found.values())) <= len(image)


@pytest.mark.parametrize("size", [0, 100, 1024, 1151, 1152, 4095])
def test_less_than_a_file_system_is_refused(size: int) -> None:
    with pytest.raises(SitePartitionUnreadable):
        erofs.read(erofs.make({"a": b"x"}, "label")[:size])


def test_compressed_files_and_other_features_are_refused() -> None:
    compressed = bytearray(erofs.make({"a": b"x"}, "label"))
    struct.pack_into("<H", compressed, 1152 + 32, 3 << 1)
    chunked = bytearray(erofs.make({"a": b"x"}, "label"))
    struct.pack_into("<I", chunked, 1024 + 80, 4)
    for image in (compressed, chunked):
        with pytest.raises(SitePartitionUnreadable):
            erofs.read(summed(image))

"""Partition tables: what is good, what is not, and what becomes of one on another card."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.card import gpt
from appliance.card.errors import TableWrong
from appliance.card.layout import MIB, places
from tests.card.workbench import IMAGE_BYTES, table

SIZE = 64 * MIB
TWO = [("one", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 1, 3), ("two", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 4, 9)]


def medium(head: bytes, tail: bytes, size: int = SIZE) -> gpt.Read:
    """A disk of which only the ends are not zero."""

    def read(offset: int, length: int) -> bytes:
        whole = bytearray(max(0, min(length, size - offset)))
        for start, data in ((0, head), (size - len(tail), tail)):
            low, high = max(start, offset), min(start + len(data), offset + length)
            if low < high:
                whole[low - offset : high - offset] = data[low - start : high - start]
        return bytes(whole)

    return read


def resummed(header: bytearray, entries: bytes) -> None:
    """Make both checksums of a header fit again."""
    header[88:92] = struct.pack("<I", zlib.crc32(entries))
    header[16:20] = bytes(4)
    header[16:20] = struct.pack("<I", zlib.crc32(header[:92]))


def test_a_table_is_read_in_the_order_of_its_places() -> None:
    found = gpt.parse(medium(*table(list(reversed(TWO)), SIZE // 512)), SIZE)
    assert [(one.name, one.start // MIB, one.size // MIB) for one in found] == [("one", 1, 3), ("two", 4, 9)]
    assert [one.kind for one in found] == [kind for _name, kind, _start, _mib in TWO]


@pytest.mark.parametrize("size", [2 << 30, 4 << 30, (4 << 30) + 512, 3 << 40])
def test_a_table_that_was_fitted_to_a_card_is_good_there_and_nowhere_else(size: int) -> None:
    head, _tail = table(list(places()), IMAGE_BYTES // 512)
    before = gpt.parse(medium(head, _tail, IMAGE_BYTES), IMAGE_BYTES)
    first, second = gpt.fitted(head, size)
    assert (len(first), len(second)) == (MIB, gpt.TAIL)
    assert gpt.parse(medium(first, second, size), size) == before
    with pytest.raises(TableWrong):
        gpt.parse(medium(first, second, size), size + MIB)


def test_fitting_to_the_size_it_has_changes_nothing() -> None:
    head, tail = table(list(places()), IMAGE_BYTES // 512)
    assert gpt.fitted(head, IMAGE_BYTES) == (head, tail)


def test_a_second_copy_in_the_middle_is_no_second_copy() -> None:
    head, tail = table(TWO, SIZE // 512)
    with pytest.raises(TableWrong, match="the last sector is"):
        gpt.parse(medium(head, b"", SIZE * 2), SIZE * 2)
    assert tail


def no_signature(head: bytearray, tail: bytearray) -> None:
    head[512:520] = b"EFI TRAP"


def no_protection(head: bytearray, tail: bytearray) -> None:
    head[450] = 0x83


def no_boot_mark(head: bytearray, tail: bytearray) -> None:
    head[510] = 0


def a_bit_of_the_header(head: bytearray, tail: bytearray) -> None:
    head[512 + 40] ^= 1


def a_bit_of_the_entries(head: bytearray, tail: bytearray) -> None:
    head[1024 + 60] ^= 1


def a_bit_of_the_second_header(head: bytearray, tail: bytearray) -> None:
    tail[-400] ^= 1


def a_bit_of_the_second_entries(head: bytearray, tail: bytearray) -> None:
    tail[3] ^= 1


def no_second(head: bytearray, tail: bytearray) -> None:
    tail[:] = bytes(len(tail))


def elsewhere(head: bytearray, tail: bytearray) -> None:
    header = head[512:1024]
    header[24:32] = struct.pack("<Q", 7)
    resummed(header, bytes(head[1024 : 1024 + 16384]))
    head[512:1024] = header


def many_entries(head: bytearray, tail: bytearray) -> None:
    header = head[512:1024]
    header[80:84] = struct.pack("<I", 1 << 30)
    resummed(header, bytes(head[1024 : 1024 + 16384]))
    head[512:1024] = header


def entries_beyond_the_end(head: bytearray, tail: bytearray) -> None:
    header = head[512:1024]
    header[72:80] = struct.pack("<Q", 1 << 60)
    resummed(header, bytes(head[1024 : 1024 + 16384]))
    head[512:1024] = header


def _entries(change: Callable[[bytearray], None]) -> Callable[[bytearray, bytearray], None]:
    def edit(head: bytearray, tail: bytearray) -> None:
        entries = head[1024 : 1024 + 16384]
        change(entries)
        for place, start in ((head, 512), (tail, len(tail) - 512)):
            header = place[start : start + 512]
            resummed(header, bytes(entries))
            place[start : start + 512] = header
        head[1024 : 1024 + 16384] = entries
        tail[:16384] = entries

    return edit


def _put(offset: int, value: int) -> Callable[[bytearray, bytearray], None]:
    return _entries(lambda entries: struct.pack_into("<Q", entries, offset, value))


BAD = {
    "no signature": no_signature,
    "no protective partition": no_protection,
    "no boot mark": no_boot_mark,
    "a bit of the header": a_bit_of_the_header,
    "a bit of the entries": a_bit_of_the_entries,
    "a bit of the second header": a_bit_of_the_second_header,
    "a bit of the second entries": a_bit_of_the_second_entries,
    "no second copy": no_second,
    "says it is elsewhere": elsewhere,
    "a billion entries": many_entries,
    "entries beyond the end": entries_beyond_the_end,
    "partitions overlap": _put(128 + 32, 3 * 2048),
    "a partition ends before it starts": _put(40, 5),
    "a partition behind the end": _put(128 + 40, 1 << 40),
    "a partition over the table": _put(32, 1),
}


@pytest.mark.parametrize("case", BAD)
def test_a_table_that_is_not_good_is_refused(case: str) -> None:
    head, tail = map(bytearray, table(TWO, SIZE // 512))
    BAD[case](head, tail)
    with pytest.raises(TableWrong):
        gpt.parse(medium(bytes(head), bytes(tail)), SIZE)


@given(st.binary(max_size=4096), st.integers(0, 1 << 42))
def test_anything_else_is_refused_by_name(data: bytes, size: int) -> None:
    with pytest.raises(TableWrong):
        gpt.parse(lambda offset, length: data[offset : offset + length], size)
    assert gpt.names(lambda offset, length: data[offset : offset + length], size) == ()


@pytest.mark.parametrize("lost", ["nothing", "head", "tail"])
def test_either_copy_says_whose_card_it_was(lost: str) -> None:
    head, tail = table(TWO, SIZE // 512)
    read = medium(head if lost != "head" else b"", tail if lost != "tail" else b"")
    assert gpt.names(read, SIZE) == ("one", "two")

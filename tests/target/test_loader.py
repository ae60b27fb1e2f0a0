"""The station's side of the loader: pages say everything once, reports are believed only from this run."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.target.boards import known_parts, profile_for
from appliance.target.errors import DebuggerFault
from appliance.target.image import Image, Segment
from appliance.target.loader_protocol import (
    MAX_SECTORS,
    NEVER,
    REPORT_LENGTH,
    REPORT_OFFSET,
    WAKE_OFFSET,
    Job,
    Page,
    Report,
    Ring,
    Status,
    believe,
    request,
    slot,
)
from appliance.target.pages import pages_of

PROFILE = profile_for("stm32f412xg")
START = PROFILE.flash_start
RING = Ring(PROFILE.loader.ring, PROFILE.loader.slots, PROFILE.loader.slot_length)
JOB = Job(0x1234_5678, 32, START, PROFILE.flash_end, RING, 3, 450, (0, 4, 11))


def _report(
    *, magic: int = 0x504C4C53, nonce: int = JOB.nonce, status: int = 1, seeds: int | None = None, flip: int = 0
) -> bytes:
    body = struct.pack("<10I", magic, nonce, status, 1, 3, 2, 0x0800_1000, 0x10, 5, 6)
    sealed = body + struct.pack("<I", zlib.crc32(body, nonce if seeds is None else seeds))
    return bytes([sealed[0] ^ flip]) + sealed[1:]


def test_report_of_this_run_is_believed() -> None:
    assert len(_report()) == REPORT_LENGTH
    assert believe(_report(), JOB) == Report(Status.PAUSED, True, 3, 2, 0x0800_1000, 0x10, 5, 6)


@pytest.mark.parametrize(
    "raw",
    [
        bytes(REPORT_LENGTH),
        b"\xff" * REPORT_LENGTH,
        _report(magic=0x504C4C51),
        _report(nonce=JOB.nonce ^ 1),
        _report(seeds=0),
        _report(status=0),
        _report(status=9),
        _report(flip=4),
        _report()[:-1] + b"\0",
    ],
    ids=["never-ran", "blank", "magic", "nonce", "seal-of-another", "no-status", "unknown-status", "bit", "seal"],
)
def test_report_of_another_run_is_not(raw: bytes) -> None:
    with pytest.raises(DebuggerFault):
        believe(raw, JOB)


@given(st.binary(min_size=REPORT_LENGTH, max_size=REPORT_LENGTH))
def test_whatever_lies_in_ram_is_no_report(raw: bytes) -> None:
    with pytest.raises(DebuggerFault):
        believe(raw, JOB)
    with pytest.raises(DebuggerFault):
        believe(_report()[:8] + raw[8:], JOB)


def test_request_is_the_whole_mailbox() -> None:
    raw = request(JOB)
    assert len(raw) == WAKE_OFFSET + 4
    assert raw[WAKE_OFFSET:] == struct.pack("<I", NEVER)
    assert raw[REPORT_OFFSET:WAKE_OFFSET] == bytes(REPORT_LENGTH)
    assert raw[REPORT_OFFSET - 4 : REPORT_OFFSET] == struct.pack("<I", zlib.crc32(raw[: REPORT_OFFSET - 4]))


def test_slots_follow_each_other_and_carry_data_footer_seal_and_bell() -> None:
    page = Page(START + 0x100, bytes(range(8)))
    for sequence in range(2 * RING.slots):
        address, raw = slot(JOB, sequence, page)
        assert address + len(raw) == RING.start + (sequence % RING.slots + 1) * RING.slot_length
        body = page.data + struct.pack("<III", page.address, 8, sequence)
        assert raw == body + struct.pack("<II", zlib.crc32(body, JOB.nonce), JOB.nonce ^ sequence)
    longest = Page(START, bytes(RING.page_length))
    assert slot(JOB, 0, longest)[0] == RING.start


def test_ring_mailbox_and_code_lie_apart_in_ram() -> None:
    for part in known_parts():
        profile = profile_for(part)
        loader = profile.loader
        code = resources.files("appliance.target.stub").joinpath(loader.stub.blob).read_bytes()
        ring_end = loader.ring + loader.slots * loader.slot_length
        assert loader.stub.load_address + len(code) <= loader.stub.mailbox
        assert loader.stub.mailbox + WAKE_OFFSET + 4 <= loader.stub.stack_top - 0x1600  # its tables are on the stack
        assert loader.stub.stack_top <= loader.ring
        assert ring_end <= profile.ram_start + profile.ram_length
        assert len(profile.sectors) <= MAX_SECTORS


@pytest.mark.parametrize(
    ("supply_mv", "bits"), [(None, 32), (3300, 32), (2700, 32), (2699, 16), (2100, 16), (2099, 8), (1700, 8), (1, 8)]
)
def test_supply_bounds_the_parallelism(supply_mv: int | None, bits: int) -> None:
    assert PROFILE.parallelism(supply_mv) == bits
    stated = dataclasses.replace(PROFILE, supply_mv=1800)
    assert stated.parallelism(None) == 8


_SEGMENTS = st.lists(
    st.tuples(st.integers(0, 3 * RING.page_length), st.binary(min_size=1, max_size=64), st.integers(0, 20_000)),
    min_size=1,
    max_size=6,
)


@given(_SEGMENTS)
def test_pages_say_the_image_word_by_word_and_once(pieces: list[tuple[int, bytes, int]]) -> None:
    at, segments = START, []
    for gap, data, repeat in pieces:
        start = at + (gap % 9 if gap % 2 else gap) + 1
        body = (data * (1 + repeat // len(data)))[:20_000]
        segments.append(Segment(start, body))
        at = start + len(body)
    image = Image(PROFILE.part, tuple(segments))
    pages = pages_of(image, PROFILE)
    written = {}
    for page in pages:
        assert page.address % 4 == len(page.data) % 4 == 0
        assert 0 < len(page.data) <= RING.page_length
        for offset in range(0, len(page.data), 4):
            assert page.address + offset not in written
            written[page.address + offset] = page.data[offset : offset + 4]
    assert list(written) == sorted(written)
    expected = bytearray(b"\xff" * (at + 8 - START))
    for segment in segments:
        expected[segment.start - START : segment.end - START] = segment.data
    touched = {address - address % 4 for s in segments for address in range(s.start, s.end)}
    assert set(written) == touched
    for address, word in written.items():
        assert expected[address - START : address - START + 4] == word

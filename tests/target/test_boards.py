"""The profiles: shape, protection bits and unique ids."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.target.boards import known_parts, profile_for
from appliance.target.errors import UnknownPart

PROFILE = profile_for("stm32f412xg")


def test_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(UnknownPart) as caught:
        profile_for("stm32f413xh")
    assert caught.value.details["part"] == "stm32f413xh"


@pytest.mark.parametrize("part", known_parts())
def test_sectors_are_the_flash_without_a_gap(part: str) -> None:
    profile = profile_for(part)
    assert profile.part == part
    assert profile.sectors[0].start == profile.flash_start
    assert all(a.end == b.start for a, b in itertools.pairwise(profile.sectors))
    assert profile.sectors[-1].end == profile.flash_end


def test_f412xg_has_one_mib_in_twelve_sectors() -> None:
    assert [s.length // 1024 for s in PROFILE.sectors] == [16, 16, 16, 16, 64, 128, 128, 128, 128, 128, 128, 128]


@pytest.mark.parametrize(
    "uid",
    [
        "3d003400175136333037383433"[:24],  # as read from Nucleo boards: X/Y, wafer, ASCII lot
        "1f0025000d47303736393338",
        "00000000" + "01" + "4e455720303031",
    ],
)
def test_genuine_looking_uid_is_accepted(uid: str) -> None:
    assert PROFILE.uid_fault(bytes.fromhex(uid)) is None


@pytest.mark.parametrize(
    "uid",
    [
        "000000000000000000000000",
        "ffffffffffffffffffffffff",
        "123412341234123412341234",
        "deadbeefdeadbeefdeadbeef",
        "0123456789abcdef01234567",
        "3d0034001700363330373834",
        "3d00340017513633303738ff",
        "3d0034001720202020202020",
    ],
)
def test_implausible_uid_has_a_reason(uid: str) -> None:
    assert PROFILE.uid_fault(bytes.fromhex(uid))


@given(st.integers(0, 0xFF))
def test_only_aa_is_unlocked_and_only_cc_is_final(byte: int) -> None:
    expected = 0 if byte == 0xAA else 2 if byte == 0xCC else 1
    assert PROFILE.rdp_level(0x0FFF_00ED | byte << 8) == expected


def test_write_protection_bits() -> None:
    assert PROFILE.write_protected(0x0FFF_AAED) == ()
    assert PROFILE.write_protected(0x0FF7_AAED) == (3,)
    assert PROFILE.write_protected(0x8000_AAED) == ()
    assert PROFILE.write_protected(0x8801_AAED) == (0, 11)

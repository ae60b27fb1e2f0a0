"""A unit on the virtual board: identify, program, measure, let it run; and the boards that are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import pytest

from appliance.target.boards.profile import BoardProfile, Sector
from appliance.target.errors import ImplausibleUid, TargetLocked, TargetSilent, WriteProtected, WrongPart
from appliance.target.image import Image, parse_image
from appliance.target.measure import Mode, Span
from appliance.target.program import Erase
from appliance.target.session import open_target_on
from hil.firmware import Size, Version, image_path
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, UID, fresh_board, opened
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.probe import VirtualNucleoProbe

FLASH = PROFILE.flash_start
FLASH_LENGTH = PROFILE.flash_length
MODES: list[Mode] = ["stub", "readback"]


def firmware(version: Version = "1.0.0", size: Size = "small") -> Image:
    return parse_image(image_path(version, size, "elf").read_bytes(), "elf", PROFILE)


def in_flash(image: Image) -> bytes:
    """The whole flash as it must be with `image` in it."""
    flash = bytearray(b"\xff" * FLASH_LENGTH)
    for segment in image.segments:
        flash[segment.start - FLASH : segment.end - FLASH] = segment.data
    return bytes(flash)


def provision(board: Board, image: Image, erase: Erase = Erase.NEEDED) -> tuple[Sector, ...]:
    """Programs and measures; the sectors that were erased on the way."""
    with opened(board) as target:
        report = target.program(image, erase=erase)
        measurement = target.measure(image.ranges())
        assert measurement.deviations(image.ranges()) == ()
    assert board.flash == in_flash(image)
    return report.erased


def test_identity_is_the_silicons() -> None:
    board = fresh_board()
    with opened(board) as target:
        device = target.identify()
    assert device.as_record() == {
        "part": "stm32f412xg",
        "uid": UID.hex(),
        "dpidr": "0x2ba01477",
        "idcode": f"{device.idcode:#010x}",
        "rom": "0x00000000000a0441",
        "rdp": 0,
        "flash_kib": 1024,
    }
    assert device.idcode & 0xFFF == 0x441
    assert board.flash == b"\xff" * FLASH_LENGTH


@pytest.mark.parametrize(("version", "size"), [("1.0.0", "small"), ("1.1.0", "full")])
def test_programmed_board_measures_right_and_says_so_itself(version: Version, size: Size) -> None:
    board, image = fresh_board(), firmware(version, size)
    seen: list[tuple[int, int]] = []
    with opened(board) as target:
        uid = target.identify().uid
        report = target.program(image, lambda done, total: seen.append((done, total)))
        by_stub = target.measure(image.ranges())
        by_reading = target.measure(image.ranges(), "readback")
        target.release(run=True)
    assert report.length == image.length
    assert report.erased == ()
    assert seen[-1] == (image.length, image.length)
    assert seen == sorted(set(seen))
    assert by_stub.method == "on-target-sha256"
    assert by_reading == dataclasses.replace(by_stub, method="read-back")
    assert by_stub.deviations(image.ranges()) == ()
    assert by_stub.ranges[0].sha256 == hashlib.sha256(board.flash[: image.length]).hexdigest()
    assert by_stub.erased == (Span(FLASH + image.length, FLASH_LENGTH - image.length),)
    board.run_ms(50)
    banner = board.uart_output(baud=115200).decode("ascii")
    said = re.fullmatch(r"PROOFLINE version=(\S+) size=(\S+) build=([0-9a-f]{40}) uid=([0-9a-f]{24})\r\n", banner)
    assert said is not None
    assert said.groups()[:2] == (version, size)
    assert bytes.fromhex(said[3]) in image.segments[0].data
    assert bytes.fromhex(said[4]) == uid == UID


def test_released_board_keeps_no_trace_of_the_debugger() -> None:
    board = fresh_board()
    freeze = (0x04, 0x08, 0x0C)  # DBGMCU_CR, APB1_FZ, APB2_FZ
    with opened(board) as target:
        assert all(board.soc.dbgmcu.read32(offset) for offset in freeze)  # pyOCD's
        target.program(firmware())
        target.release(run=True)
    assert not any(board.soc.dbgmcu.read32(offset) for offset in freeze)


def test_measurement_starts_from_reset_whatever_was_left_behind() -> None:
    board, image = fresh_board(), firmware()
    ahb1enr = 0x4002_3830
    with opened(board) as target:
        target.program(image)
        target._link.write(ahb1enr, b"\x0f\x00\x00\x00")
        assert target.measure(image.ranges()).deviations(image.ranges()) == ()
        assert target._link.read32(ahb1enr) == 0


def test_watchdog_that_the_option_bytes_start_does_not_bite_while_measuring() -> None:
    board = fresh_board()
    board.options.program(board.options.stored & ~(1 << 5))
    board.power_off()
    board.power_on()
    whole = dataclasses.replace(firmware().ranges()[0], name="all", length=FLASH_LENGTH)
    provision(board, firmware())
    with opened(board) as target:
        (measured,) = target.measure([whole]).ranges
    assert measured.sha256 == board.flash_sha256()


def test_led_blinks_once_the_board_is_let_go() -> None:
    board = fresh_board()
    with opened(board) as target:
        target.program(firmware("1.1.0"))
        target.release(run=True)
    lit = set()
    for _ in range(6):
        board.run_ms(60)
        lit.add(board.led("LD1"))
    assert lit == {True, False}


def test_board_that_is_not_released_stays_halted() -> None:
    board = fresh_board()
    with opened(board) as target:
        target.program(firmware())
        target.release(run=False)
    board.run_ms(50)
    assert board.uart_output() == b""


def test_smaller_image_leaves_nothing_of_the_larger_one() -> None:
    board = fresh_board()
    board.array.main[:] = in_flash(firmware(size="full"))
    assert provision(board, firmware("1.1.0")) == PROFILE.sectors[:8]


def test_stray_byte_in_the_last_sector_is_erased_and_blank_sectors_are_not() -> None:
    board = fresh_board()
    board.array.main[FLASH_LENGTH - 1] = 0x7F
    assert provision(board, firmware()) == PROFILE.sectors[11:]


def test_all_sectors_are_erased_when_asked() -> None:
    assert provision(fresh_board(), firmware(), Erase.ALL) == PROFILE.sectors


def test_running_firmware_does_not_disturb_the_next_unit() -> None:
    board, image = fresh_board(), firmware()
    with opened(board) as target:
        target.program(image)
        target.release(run=True)
    board.run_ms(100)  # it now runs from the PLL, with interrupts
    board.clear_uart()
    with opened(board) as target:
        assert target.measure(image.ranges()).deviations(image.ranges()) == ()
    provision(board, firmware("1.1.0"))
    assert board.uart_output() == b""


@pytest.mark.parametrize("mode", MODES)
def test_one_flipped_byte_is_found_anywhere(mode: Mode) -> None:
    board, image = fresh_board(), firmware()
    end = image.length
    with opened(board) as target:
        target.program(image)
        for offset in (0, 1, end // 2, end - 1, end, end + 1, 0x3FFF, 0x4000, 0x8_0001, FLASH_LENGTH - 1):
            board.array.main[offset] ^= 0x10
            found = target.measure(image.ranges(), mode)
            (sentence,) = found.deviations(image.ranges())
            if offset < end:
                assert found.unerased == ()
                assert "SHA-256" in sentence
            else:
                assert [span.start for span in found.unerased] == [FLASH + offset]
            board.array.main[offset] ^= 0x10
        assert target.measure(image.ranges(), mode).deviations(image.ranges()) == ()


@pytest.mark.parametrize("mode", MODES)
def test_ranges_of_any_alignment_measure_right(mode: Mode) -> None:
    board, image = fresh_board(), firmware(size="full")
    ranges = [
        dataclasses.replace(image.ranges()[0], name=f"r{start:x}", start=FLASH + start, length=length)
        for start, length in ((0, 1), (3, 61), (65, 63), (129, 64), (200, 55), (256, 119), (1021, 4099), (0x7FFFF, 1))
    ]
    board.array.main[:] = in_flash(image)
    with opened(board) as target:
        measured = target.measure(ranges, mode)
    for one in measured.ranges:
        offset = one.start - FLASH
        assert one.sha256 == hashlib.sha256(board.flash[offset : offset + one.length]).hexdigest()
    covered = sum(r.length for r in measured.ranges) + sum(s.length for s in (*measured.erased, *measured.unerased))
    assert covered == FLASH_LENGTH


def test_locked_device_is_identified_and_never_touched() -> None:
    board = fresh_board()
    provision(board, firmware())
    before = board.flash
    board.options.program(board.options.stored & ~0xFF00 | 0x5500)
    board.power_off()
    board.power_on()
    with opened(board) as target:
        assert target.identify().rdp == 1
        for mode in MODES:
            with pytest.raises(TargetLocked):
                target.measure(firmware().ranges(), mode)
        with pytest.raises(TargetLocked):
            target.program(firmware("1.1.0"), erase=Erase.ALL)
    assert board.flash == before
    assert board.options.level == 1


def test_finally_locked_device_does_not_answer() -> None:
    board = fresh_board()
    board.options.program(board.options.stored & ~0xFF00 | 0xCC00)
    board.power_off()
    board.power_on()
    with pytest.raises(TargetSilent), opened(board):
        pass


def test_write_protected_sector_is_named_and_nothing_is_programmed() -> None:
    board = fresh_board()
    board.options.program(board.options.stored & ~(1 << 21))
    with opened(board) as target, pytest.raises(WriteProtected) as caught:
        target.program(firmware())
    assert caught.value.details["sectors"] == "5"
    assert board.flash == b"\xff" * FLASH_LENGTH


@pytest.mark.parametrize("uid", ["00" * 12, "ff" * 12, "deadbeef" * 3, "000102030405060708090a0b"])
def test_implausible_uid_is_refused(uid: str) -> None:
    with opened(fresh_board(bytes.fromhex(uid))) as target, pytest.raises(ImplausibleUid) as caught:
        target.identify()
    assert caught.value.details["uid"] == uid


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(PROFILE, device_id=0x463),
        dataclasses.replace(PROFILE, dpidr=0x0BB1_1477),
        dataclasses.replace(PROFILE, sectors=PROFILE.sectors[:8]),
    ],
    ids=["device-id", "debug-port", "flash-size"],
)
def test_other_part_is_refused(other: BoardProfile) -> None:
    probe = VirtualNucleoProbe.on_board(fresh_board())
    with open_target_on(probe, other, swclk_hz=SWCLK_HZ) as target, pytest.raises(WrongPart):
        target.identify()

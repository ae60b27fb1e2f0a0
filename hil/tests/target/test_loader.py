"""The loader on the virtual board: how it programs, at every supply, and what it does when it is left alone."""

from __future__ import annotations

import dataclasses

import pytest
from pyocd.core.exceptions import TransferFaultError

from appliance.target.boards.profile import BoardProfile
from appliance.target.errors import FlashUncertain
from appliance.target.image import Image, Segment
from appliance.target.link import Link
from appliance.target.loader_protocol import Page, Status
from appliance.target.loader_runner import PATIENCE, Loader, LoaderStopped
from appliance.target.pages import pages_of
from appliance.target.program import Erase, ProgramReport
from appliance.target.session import open_target_on
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, Wire, fresh_board, opened
from hil.tests.target.test_unit import FLASH, firmware, in_flash, provision
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.flash import sector_erase_ps
from hil.virtual_nucleo.probe import VirtualNucleoProbe
from hil.virtual_nucleo.vtime import PS_PER_S

ODD = Image(PROFILE.part, (Segment(FLASH, firmware().segments[0].data + b"12345"), Segment(FLASH + 0x4003, b"abcdef")))


class _MeasuringProbe(VirtualNucleoProbe):
    """As an ST-Link: it knows the target's supply."""

    target_voltage: float | None = None


def _programmed(profile: BoardProfile, volts: float | None = None) -> tuple[Board, ProgramReport]:
    board = fresh_board()
    board.array.main[0x4000] = 0
    probe = _MeasuringProbe(Wire(board), "local")
    probe.target_voltage = volts
    with open_target_on(probe, profile, swclk_hz=SWCLK_HZ) as target:
        report = target.program(ODD)
        assert target.measure(ODD.ranges()).deviations(ODD.ranges()) == ()
    assert board.flash == in_flash(ODD)
    return board, report


@pytest.mark.parametrize(
    ("stated_mv", "measured", "bits"),
    [
        (3000, None, 32),
        (2699, None, 16),
        (1800, None, 8),
        (3000, 0.0, 32),  # a probe without its sense line
        (3000, 2.69, 16),
        (3000, 2.05, 8),
        (1800, 3.28, 32),
    ],
)
def test_supply_decides_how_many_bits_are_programmed_at_a_time(
    stated_mv: int, measured: float | None, bits: int
) -> None:
    board, report = _programmed(dataclasses.replace(PROFILE, supply_mv=stated_mv), measured)
    assert report.bits == bits
    assert report.erased == PROFILE.sectors[1:2]
    words = sum(len(page.data) for page in pages_of(ODD, PROFILE)) // 4
    assert board.soc.flash.programmed_bytes == 4 * words
    assert board.soc.flash.erase_count[1] == 1
    least_s = sector_erase_ps(0x4000, {8: 0, 16: 1, 32: 2}[bits]) / PS_PER_S + words * 32 // bits * 16e-6
    assert least_s < board.virtual_seconds < least_s + 0.3


def test_flash_is_busy_for_nine_tenths_of_the_time_and_more() -> None:
    board, image = fresh_board(), firmware("1.1.0", "full")
    board.array.main[:] = in_flash(firmware(size="full"))
    with opened(board) as target:
        started = board.virtual_seconds
        report = target.program(image)
        took = board.virtual_seconds - started
        before = board.virtual_seconds
        assert target.measure(image.ranges()).deviations(image.ranges()) == ()
        measured = board.virtual_seconds - before
    busy = sum(sector_erase_ps(sector.length, 2) for sector in report.erased) / PS_PER_S + image.length // 4 * 16e-6
    assert busy == pytest.approx(6.647, abs=0.001)
    assert busy / took >= 0.90
    assert measured / took <= 0.05


def test_watchdog_that_the_option_bytes_start_does_not_bite_while_programming() -> None:
    board = fresh_board()
    board.array.main[:] = in_flash(firmware(size="full"))
    board.options.program(board.options.stored & ~(1 << 5))
    board.power_off()
    board.power_on()
    assert provision(board, firmware("1.1.0", "full")) == PROFILE.sectors[:8]


def _loader(link: Link, pages: tuple[Page, ...], patience: int = PATIENCE) -> Loader:
    return Loader(link, (), pages, 32, patience)


def test_loader_that_is_left_alone_closes_the_flash_and_stops() -> None:
    board = fresh_board()
    pages = pages_of(firmware(size="full"), PROFILE)
    with opened(board) as target:
        link = target._link
        loader = _loader(link, pages, patience=5)
        loader.place()  # with it, the first page
        loader.start()
        board.run_ms(500)
        assert board.soc.core.halted
        assert board.soc.flash.cr >> 31
        with pytest.raises(LoaderStopped) as caught:
            loader.advance()
    assert caught.value.report.status is Status.STARVED
    assert caught.value.report.programmed == 1
    assert board.flash == pages[0].data.ljust(PROFILE.flash_length, b"\xff")


@pytest.mark.parametrize(
    "page",
    [
        Page(FLASH - 4, bytes(8)),
        Page(PROFILE.flash_end - 4, bytes(8)),
        Page(0x2000_0000, bytes(8)),
        Page(0xFFFF_FFFC, bytes(8)),
        Page(FLASH + 2, bytes(8)),
    ],
    ids=["before", "over-the-end", "ram", "wraps", "unaligned"],
)
def test_page_outside_the_flash_is_refused_on_the_target(page: Page) -> None:
    board = fresh_board()
    with opened(board) as target:
        loader = _loader(target._link, (page,))
        loader.place()
        loader.start()
        with pytest.raises(LoaderStopped) as caught:
            loader.advance()
    assert caught.value.report.status is Status.PAGE_REFUSED
    assert board.soc.flash.programmed_bytes == 0


def test_page_of_another_run_is_not_programmed() -> None:
    board = fresh_board()
    pages = pages_of(firmware(size="full"), PROFILE)
    with opened(board) as target:
        link = target._link
        _loader(link, pages).place()  # its first page stays in the ring
        loader = _loader(link, pages)
        loader.place()
        ring = PROFILE.loader.ring
        kept = link.read(ring, PROFILE.loader.slot_length)
        _loader(link, pages).place()
        first = link.read(ring, PROFILE.loader.slot_length)
        assert kept != first
        loader.place()
        link.write(ring, first)  # rings no bell of this run's
        loader.start()
        board.run_ms(200)
        assert board.soc.flash.programmed_bytes == 0
        link.write(ring, first[:-4] + kept[-4:])  # rings it
        with pytest.raises(LoaderStopped) as caught:
            loader.advance()
    assert caught.value.report.status is Status.PAGE_REFUSED
    assert board.soc.flash.programmed_bytes == 0


def test_flash_interface_that_somebody_closed_leaves_the_flash_untouched() -> None:
    board = fresh_board()
    with opened(board) as target:
        with pytest.raises(TransferFaultError):
            target._link.core.write_memory(0x4002_3C04, 0)  # a wrong key closes it until the next reset
        with pytest.raises(FlashUncertain):
            target.program(ODD, erase=Erase.ALL)
    assert board.flash == b"\xff" * PROFILE.flash_length
    assert sum(board.soc.flash.erase_count) == 0

"""Which protocol the line speaks, resets, requests that make no sense: ADIv5.2 B4.2, B4.3, B5.2, B5.3."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.tests.board.tools import UID
from hil.tests.wire.host import (
    ABORT,
    ALERT,
    CTRL_STAT,
    DPIDR,
    JTAG_TO_DORMANT,
    JTAG_TO_SWD,
    RDBUFF,
    SELECT,
    SWD_TO_DORMANT,
    SWD_TO_JTAG,
    Host,
    Reply,
    parity,
    request,
)
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import DPIDR as IDENTITY
from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.wire import Wire

ID_READ = request(ap=False, read=True, address=DPIDR)


def read_identity(host: Host) -> Reply:
    return host.transfer(ap=False, read=True, address=DPIDR)


def answers(host: Host) -> bool:
    return read_identity(host) == Reply(Ack.OK, IDENTITY)


# -- power-on, SWJ selection (B5.2) ------------------------------------------------------------------------------


def test_after_power_on_the_line_is_a_jtag_port(pins: Host) -> None:
    pins.line_reset()
    assert read_identity(pins).ack == Ack.NONE


def test_switching_needs_a_line_reset_afterwards(pins: Host) -> None:
    pins.drive(50, (1 << 50) - 1)
    pins.drive(16, JTAG_TO_SWD)
    pins.idle()
    assert not answers(pins)
    pins.line_reset()
    assert answers(pins)


@pytest.mark.parametrize(("ones", "selected"), [(49, False), (50, True), (51, True), (200, True)])
def test_switching_needs_fifty_ones_before(pins: Host, ones: int, selected: bool) -> None:
    pins.idle()
    pins.drive(ones, (1 << ones) - 1)
    pins.drive(16, JTAG_TO_SWD)
    pins.line_reset()
    assert answers(pins) is selected


@pytest.mark.parametrize("bit", range(16))
def test_switching_needs_every_bit_of_the_sequence(pins: Host, bit: int) -> None:
    pins.drive(50, (1 << 50) - 1)
    pins.drive(16, JTAG_TO_SWD ^ 1 << bit)
    pins.line_reset()
    assert not answers(pins)


def test_back_to_jtag(host: Host) -> None:
    host.drive(50, (1 << 50) - 1)
    host.drive(16, SWD_TO_JTAG)
    host.line_reset()
    assert not answers(host)
    host.select_swd()
    assert answers(host)


def test_selecting_swd_again_does_no_harm(host: Host) -> None:
    host.select_swd()
    assert answers(host)


def test_power_on_forgets_the_selection(host: Host, board: Board) -> None:
    board.power_off()
    host.line_reset()
    assert not answers(host)
    board.power_on()
    host.line_reset()
    assert not answers(host)
    host.select_swd()
    assert answers(host)


def test_the_reset_pin_does_not_reach_the_debug_port(host: Host, wire: Wire) -> None:
    # RM0402 30.4.2: the debug domain is reset by power-on only
    wire.set_line(0, 0)
    assert wire.get_line(0) == 0
    assert answers(host)
    assert host.dp_read(CTRL_STAT) >> 28 == 0xF
    wire.set_line(0, 1)
    assert wire.get_line(0) == 1
    assert answers(host)


def test_read_protection_level_two_is_silence(wire: Wire, board: Board) -> None:
    board.options.program(0x0FFFCCED)  # RDP 0xCC, RM0402 3.6.3
    board.power_off()
    board.power_on()
    host = Host(wire)
    host.select_swd()
    assert read_identity(host).ack == Ack.NONE


# -- dormant (B5.3) ------------------------------------------------------------------------------------------------


def wake(host: Host, *, code: int = 0x1A, alert: int = ALERT) -> None:
    host.drive(8, 0xFF)
    host.drive(128, alert)
    host.drive(4, 0)
    host.drive(8, code)
    host.line_reset()


def test_asleep_nothing_but_the_alert_wakes(host: Host) -> None:
    host.drive(50, (1 << 50) - 1)
    host.drive(16, SWD_TO_DORMANT)
    host.select_swd()
    assert not answers(host)
    wake(host, alert=ALERT ^ 1 << 77)
    assert not answers(host)
    wake(host)
    assert answers(host)


def test_from_jtag_to_dormant_to_swd(pins: Host) -> None:
    pins.drive(5, 0x1F)
    pins.drive(31, JTAG_TO_DORMANT)
    pins.select_swd()
    assert not answers(pins)
    wake(pins)
    assert answers(pins)


def test_another_activation_code_wakes_somebody_else(host: Host) -> None:
    host.drive(50, (1 << 50) - 1)
    host.drive(16, SWD_TO_DORMANT)
    wake(host, code=0x5A)
    assert not answers(host)
    wake(host, code=0x0A)  # JTAG serial
    assert not answers(host)
    host.select_swd()
    assert answers(host)


def test_a_device_without_dormant_state_ignores_its_sequences(board: Board) -> None:
    host = Host(Wire(board.soc, dormant=False))
    host.connect()
    host.drive(50, (1 << 50) - 1)
    host.drive(16, SWD_TO_DORMANT)
    host.line_reset()
    assert answers(host)


# -- line reset (B4.3.3) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ones", "again"), [(49, False), (50, True), (64, True), (300, True)])
def test_line_reset_is_fifty_ones(host: Host, ones: int, again: bool) -> None:
    host.drive(8, ID_READ ^ 0x20)  # a bad request: silence until a line reset
    host.idle()
    host.line_reset(ones)
    assert answers(host) is again


@pytest.mark.parametrize(("zeros", "again"), [(0, False), (1, False), (2, True), (50, True)])
def test_line_reset_ends_with_two_idle_cycles(host: Host, zeros: int, again: bool) -> None:
    host.line_reset(50, zeros)
    assert answers(host) is again


@pytest.mark.parametrize(
    ("ap", "read", "address"),
    [(False, True, CTRL_STAT), (False, True, RDBUFF), (True, True, 0), (False, False, ABORT), (False, False, SELECT)],
)
def test_after_a_line_reset_only_dpidr_is_answered(host: Host, ap: bool, read: bool, address: int) -> None:
    host.line_reset()
    assert host.transfer(ap=ap, read=read, address=address).ack == Ack.NONE
    assert not answers(host), "and then nothing at all until the next line reset"
    host.line_reset()
    assert answers(host)
    assert host.dp_read(CTRL_STAT) >> 28 == 0xF, "the port's registers outlive a line reset"


def test_line_reset_in_the_middle_of_a_reply(host: Host) -> None:
    host.drive(8, ID_READ)
    host.release(10)
    host.release(64)  # the data's rest, then a line that nobody drives: high
    host.line_reset(50)
    assert answers(host)


# -- requests (B4.2.2, B4.2.6) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", range(1, 8))
def test_a_damaged_request_is_not_answered_until_a_line_reset(host: Host, bit: int) -> None:
    damaged = ID_READ ^ 1 << bit
    if bit in {1, 2, 3, 4, 5}:
        assert parity(damaged >> 1 & 0x1F), "an odd number of damaged bits is noticed"
    host.drive(8, damaged)
    assert host.release(5) == 0x1F
    host.idle(60)
    assert read_identity(host).ack == Ack.NONE
    host.line_reset()
    assert answers(host)


def test_requests_may_follow_each_other_without_idle_cycles(host: Host) -> None:
    for _ in range(3):
        assert answers(host)
    host.dp_write(SELECT, 0xF0)
    assert host.ap_read(0xC) == 0x24770011


def test_idle_cycles_may_last(host: Host) -> None:
    host.idle(10_000)
    assert answers(host)


# -- turnaround (B4.1.3, B2.2.3) -----------------------------------------------------------------------------------


def test_levels_of_a_read_cycle_by_cycle(host: Host) -> None:
    host.drive(8, ID_READ)
    seen = host.release(38)
    assert seen & 1 == 1, "turnaround: nobody drives"
    assert seen >> 1 & 7 == Ack.OK
    assert seen >> 4 & 0xFFFFFFFF == IDENTITY
    assert seen >> 36 & 1 == parity(IDENTITY)
    assert seen >> 37 == 1, "turnaround"


@pytest.mark.parametrize("turnaround", [1, 2, 3, 4])
def test_turnaround_of_up_to_four_cycles(host: Host, turnaround: int) -> None:
    host.dp_write(SELECT, 1)
    host.dp_write(CTRL_STAT, (turnaround - 1) << 8)  # DLCR.TURNROUND
    host.turnaround = turnaround
    host.dp_write(SELECT, 0)
    host.write(0x20000000, 0x12345678)
    assert host.read(0x20000000) == 0x12345678
    assert answers(host)


def test_line_reset_makes_turnaround_one_again(host: Host) -> None:
    host.dp_write(SELECT, 1)
    host.dp_write(CTRL_STAT, 3 << 8)
    host.line_reset()
    assert answers(host)
    host.dp_write(SELECT, 1)
    assert host.dp_read(CTRL_STAT) >> 8 & 3 == 0


def test_both_ends_driving_is_a_short_and_low_wins(host: Host) -> None:
    host.drive(8, ID_READ)
    assert host.drive(4, 0xF) == Ack.OK << 1 | 1
    assert host.drive(33, 0) == 0


# -- anything at all -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, (1 << 64) - 1), st.booleans()), max_size=60))
def test_noise_leaves_a_port_that_a_line_reset_finds(noise: list[tuple[int, int, bool]]) -> None:
    board = Board(UID)
    board.power_on()
    host = Host(Wire(board.soc))
    host.connect()
    for count, bits, drives in noise:
        host.wire.exchange(count, bits & (1 << count) - 1, drives)
    host.idle(64)
    wake(host)  # should the noise have found its way into the dormant state
    host.select_swd()
    assert answers(host)


@pytest.mark.parametrize("count", [0, 65, 1 << 20])
def test_an_exchange_has_up_to_64_cycles(wire: Wire, count: int) -> None:
    with pytest.raises(ValueError, match="64"):
        wire.exchange(count, 0, True)


def test_wires_that_nobody_uses_go_away() -> None:
    board = Board(UID)
    wire = Wire(board.soc)
    gone = weakref.ref(wire)
    capsule = wire.capsule()
    wire.plug(None)
    del wire
    gc.collect()
    assert gone() is not None, "a capsule keeps what it leads to"
    del capsule
    gc.collect()
    assert gone() is None

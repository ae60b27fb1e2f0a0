"""Faults by plan: what each does on the wire, and a hundred random plans against a host that programs flash.

The host of the second half is the station's SWD core under the plainest possible job: erase, program word by word,
read back. Whatever happens on the way, it ends in the core's named errors or in flash that is what the job says, and
that is looked up in the cells themselves. With PROOFLINE_SOAK=1, there are 1,000 plans.
"""

from __future__ import annotations

import os
import random

import pytest

from appliance.swd import pins
from appliance.swd.errors import SwdError
from appliance.swd.port import SwdPort
from hil.tests.board.tools import UID, burn
from hil.tests.wire.host import (
    ABORT,
    CR,
    CTRL_STAT,
    DPIDR,
    DRW,
    FLASH,
    KEYR,
    POWER_UP,
    RDBUFF,
    SR,
    SRAM,
    STICKYERR,
    TAR,
    WDATAERR,
    Host,
    Refused,
)
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import DPIDR as IDENTITY
from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.wire import Wire
from hil.virtual_nucleo.wire_faults import (
    BusError,
    Fault,
    FaultPlan,
    Flip,
    LostAck,
    PowerLost,
    PowerLostErasing,
    PowerLostProgramming,
    ResetHeld,
    Stuck,
    Waits,
    from_json,
    random_plan,
)

OLD = random.Random(1).randbytes(0x4000)


def ack_of(host: Host, *, address: int = RDBUFF, ap: bool = False, read: bool = True, value: int = 0) -> int:
    return host.transfer(ap=ap, read=read, address=address, value=value).ack


def plan(wire: Wire, *faults: Fault) -> None:
    wire.attach(FaultPlan(faults))


def poll_until_refused(host: Host, wire: Wire) -> None:
    for _ in range(3000):
        host.read(SR)
        wire.wait(100_000)


# -- one fault at a time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", range(1, 8))
def test_a_flipped_bit_of_the_request_is_silence(host: Host, wire: Wire, offset: int) -> None:
    plan(wire, Flip(1, offset))
    host.dp_read(DPIDR)
    assert ack_of(host, address=DPIDR) == Ack.NONE
    assert ack_of(host, address=DPIDR) == Ack.NONE
    host.line_reset()
    assert host.dp_read(DPIDR) == IDENTITY


@pytest.mark.parametrize(("offset", "ack"), [(9, 0b000), (10, 0b011), (11, 0b101)])
def test_a_flipped_acknowledgement_is_garbled_for_the_host_only(host: Host, wire: Wire, offset: int, ack: int) -> None:
    plan(wire, Flip(0, offset))
    host.drive(8, 0xA5)
    assert host.release(4) >> 1 == ack
    assert host.release(34) & 0xFFFFFFFF == IDENTITY


@pytest.mark.parametrize("bit", [0, 5, 31, 32])
def test_a_flipped_bit_of_read_data_is_a_parity_error(host: Host, wire: Wire, bit: int) -> None:
    plan(wire, Flip(0, 12 + bit))
    reply = host.transfer(ap=False, read=True, address=DPIDR)
    assert reply.ack == Ack.OK
    assert not reply.parity_good
    assert host.dp_read(DPIDR) == IDENTITY


@pytest.mark.parametrize("bit", [0, 17, 31, 32])
def test_a_flipped_bit_of_write_data_is_noticed_by_the_target(host: Host, wire: Wire, bit: int) -> None:
    host.write(SRAM, 1)
    host.ap_write(TAR, SRAM)
    plan(wire, Flip(0, 13 + bit))
    assert ack_of(host, ap=True, read=False, address=DRW, value=2) == Ack.OK
    assert host.dp_read(CTRL_STAT) & WDATAERR
    assert ack_of(host) == Ack.FAULT
    host.dp_write(ABORT, 1 << 3)
    assert host.read(SRAM) == 1


def test_a_lost_acknowledgement_is_a_transfer_that_may_have_happened(host: Host, wire: Wire) -> None:
    host.ap_write(TAR, SRAM)
    plan(wire, LostAck(0))
    host.drive(8, 0xBB)  # write DRW
    assert host.release(4) == 0xF
    host.release(1)
    host.drive(33, 77)
    assert host.read(SRAM) == 77


@pytest.mark.parametrize("level", [0, 1])
def test_a_stuck_line_is_seen_by_both_ends(host: Host, wire: Wire, level: int) -> None:
    plan(wire, Stuck(0, 1, 500, level))
    assert host.drive(8, 0xA5) & 0xFE == (0xFE if level else 0)
    assert host.release(38) == ((1 << 38) - 1 if level else 0)
    host.drive(500, 0)
    host.line_reset()
    assert host.dp_read(DPIDR) == IDENTITY


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_burst_of_waits(host: Host, wire: Wire, count: int) -> None:
    host.ap_write(TAR, SRAM)
    plan(wire, Waits(2, count))
    host.ap_write(DRW, 1)
    host.ap_write(DRW, 2)
    for _ in range(count):
        assert ack_of(host, ap=True, read=False, address=DRW, value=3) == Ack.WAIT
        assert host.dp_read(CTRL_STAT) >> 28 == 0xF, "which is never made to wait"
    host.ap_write(DRW, 3)
    assert [host.read(SRAM + 4 * index) for index in range(3)] == [1, 2, 3]


def test_a_bus_error_out_of_nowhere(host: Host, wire: Wire) -> None:
    host.ap_write(TAR, SRAM)
    plan(wire, BusError(3))
    for word in range(3):
        host.ap_write(DRW, word)
    assert ack_of(host, ap=True, read=False, address=DRW, value=3) == Ack.FAULT
    assert host.dp_read(CTRL_STAT) & STICKYERR
    host.dp_write(ABORT, 1 << 2)
    assert host.ap_read(TAR) == SRAM + 12


def test_reset_held_by_somebody_else(board: Board, host: Host, wire: Wire) -> None:
    plan(wire, ResetHeld(0, 20, 500))
    assert wire.get_line(0) == 1
    host.dp_read(DPIDR)
    assert wire.get_line(0) == 0
    wire.set_line(0, 0)
    wire.set_line(0, 1)
    assert wire.get_line(0) == 0, "two hands on one button"
    wire.wait(499_000)
    assert wire.get_line(0) == 1
    assert board.soc.powered


@pytest.mark.parametrize("back_us", [None, 1000])
def test_power_lost_in_a_certain_cycle(board: Board, host: Host, wire: Wire, back_us: int | None) -> None:
    host.ap_write(TAR, SRAM)
    plan(wire, PowerLost(10, 30, back_us))
    for word in range(10):
        host.ap_write(DRW, word)
    host.transfer(ap=True, read=False, address=DRW, value=10)
    assert not board.soc.powered
    assert ack_of(host) == Ack.NONE
    wire.wait(2_000_000)
    assert board.soc.powered is (back_us is not None)
    if back_us is not None:
        assert ack_of(host) == Ack.NONE, "JTAG is selected again"
        assert host.connect() == IDENTITY


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_power_lost_in_an_erase(board: Board, host: Host, wire: Wire, fraction: float) -> None:
    burn(board, OLD)
    host.unlock()
    plan(wire, PowerLostErasing(0, fraction))
    host.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    with pytest.raises(Refused):
        poll_until_refused(host, wire)
    assert board.flash[:0x4000] not in {OLD, b"\xff" * 0x4000}
    assert board.flash[0x4000:] == b"\xff" * 0xFC000


def test_power_lost_in_a_word(board: Board, host: Host, wire: Wire) -> None:
    host.unlock()
    host.write(CR, 2 << 8 | 1)
    host.ap_write(TAR, FLASH)
    performance = wire.attach(FaultPlan((PowerLostProgramming(3, 0.5),)))
    for _ in range(4):
        while ack_of(host, ap=True, read=False, address=DRW, value=0) == Ack.WAIT:
            pass
    host.idle(64)
    assert not board.soc.powered
    assert board.flash[:12] == bytes(12)
    assert board.flash[16:32] == b"\xff" * 16, "nothing after it"
    assert performance.happened == performance.plan.faults


def test_power_lost_in_a_word_that_the_core_programs(board: Board, host: Host, wire: Wire) -> None:
    from hil.tests.wire.test_time import run

    host.unlock()
    host.write(CR, 2 << 8 | 1)
    plan(wire, PowerLostProgramming(100, 0.5))
    run(
        host,
        "ldr r2, =0x40023c0c\n1: str r0, [r1], #4\n2: ldr r3, [r2]\ntst r3, #0x10000\nbne 2b\nb 1b\n.pool",
        0,
        FLASH,
    )
    wire.wait(50_000_000)
    assert not board.soc.powered
    assert board.flash[:400] == bytes(400)
    assert board.flash[404:800] == b"\xff" * 396


def test_unplugging_ends_the_plan(board: Board, host: Host, wire: Wire) -> None:
    plan(wire, ResetHeld(0, 1, 10**9), PowerLostErasing(0, 0.5))
    host.dp_read(DPIDR)
    assert board.soc.held_in_reset
    wire.plug(None)
    assert not board.soc.held_in_reset
    wire.plug(board.soc)
    host.connect()
    host.unlock()
    host.write(CR, 2 << 8 | 1 << 1 | 1 << 16)
    wire.wait(300_000_000)
    assert board.soc.powered


@pytest.mark.parametrize("seed", range(40))
def test_plans_survive_being_written_down(seed: int) -> None:
    made = random_plan(seed, transfers=500, erases=2, words=50)
    assert from_json(made.to_json()) == made
    assert random_plan(seed, transfers=500, erases=2, words=50) == made


# -- a hundred plans -----------------------------------------------------------------------------------------------

WORDS = 96
IMAGE = random.Random(2).randbytes(4 * WORDS)
LENGTH = 0x4000
PLANS = 1000 if os.environ.get("PROOFLINE_SOAK") == "1" else 100


class JobFailed(Exception):
    """The job itself noticed that something is wrong."""


def write_word(port: SwdPort, address: int, value: int) -> None:
    port.run([(1 | TAR, address), (1 | DRW, value)])


def read_word(port: SwdPort, address: int) -> int:
    (data,) = port.run([(1 | TAR, address), (1 | 2 | DRW, 1)])
    return int.from_bytes(data, "little")


def wait_flash(port: SwdPort) -> None:
    for _ in range(200):
        status = read_word(port, SR)
        if not status >> 16 & 1:
            if status & 0xF2:
                raise JobFailed(f"FLASH_SR is {status:#x}")
            return
        port.wait(2_000_000)
    raise JobFailed("flash stays busy")


def program(port: SwdPort) -> None:
    """Erase sector 0, write ``IMAGE`` word by word, read it all back. Errors end it; nothing is tried again."""
    port.connect()
    port.write_dp(ABORT, 0x1E)
    port.write_dp(CTRL_STAT, POWER_UP)
    port.write_dp(0x8, 0)
    port.write_ap(0x0, 0x23000012)
    write_word(port, 0xE000EDF0, 0xA05F0003)
    if read_word(port, CR) >> 31:
        write_word(port, KEYR, 0x45670123)
        write_word(port, KEYR, 0xCDEF89AB)
    write_word(port, SR, 0xF2)  # errors of an earlier job
    write_word(port, CR, 2 << 8 | 1 << 1)
    write_word(port, CR, 2 << 8 | 1 << 1 | 1 << 16)
    wait_flash(port)
    write_word(port, CR, 2 << 8 | 1)
    port.run([(1 | TAR, FLASH), (1 | DRW, IMAGE)])
    wait_flash(port)
    for at in range(0, LENGTH, 0x1000):
        port.write_ap(TAR, FLASH + at)
        wanted = (IMAGE + b"\xff" * (LENGTH - len(IMAGE)))[at : at + 0x1000]
        if port.read_ap_block(DRW, 0x400) != wanted:
            raise JobFailed(f"what was read at {at:#x} is not what was written")


def outcome(wire: Wire) -> str:
    """The job's own verdict: ``done`` or the name of what ended it."""
    with pins.on_capsule(wire.capsule()) as port:
        port.set_clock(4_000_000)
        try:
            program(port)
        except (SwdError, JobFailed) as error:
            return type(error).__name__
    return "done"


def fresh() -> tuple[Board, Wire]:
    board = Board(UID)
    board.power_on()
    burn(board, OLD)
    return board, Wire(board.soc)


def holds_the_image(board: Board) -> bool:
    return board.flash == IMAGE + b"\xff" * (0x100000 - len(IMAGE))


def test_without_faults_the_job_is_done() -> None:
    board, wire = fresh()
    assert outcome(wire) == "done"
    assert holds_the_image(board)


def test_random_plans_never_end_in_a_silently_wrong_image() -> None:
    board, wire = fresh()
    wire.attach(FaultPlan(()))
    assert outcome(wire) == "done"
    transfers = wire.slave.transfers
    verdicts: dict[str, int] = {}
    happened = 0
    for seed in range(PLANS):
        board, wire = fresh()
        chosen = random_plan(seed, transfers=transfers, erases=1, words=WORDS)
        performance = wire.attach(chosen)
        verdict = outcome(wire)
        happened += bool(performance.happened)
        assert verdict != "done" or holds_the_image(board), f"plan {seed}: {chosen}"
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        if seed % 5 == 0:  # and the board is as good as ever, once nothing goes wrong any more
            wire.attach(FaultPlan(()))
            board.power_on()
            wire.wait(300_000_000)  # an erase may still be going on
            assert outcome(wire) == "done", f"after plan {seed}: {chosen}"
            assert holds_the_image(board)
    assert happened > 0.7 * PLANS
    assert 0.1 < verdicts["done"] / PLANS < 0.9, verdicts
    assert len(verdicts) >= 5, verdicts

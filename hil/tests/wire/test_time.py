"""Virtual time on the wire: SWCLK cycles, flash and core add up, and overlap as on silicon."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import SRAM as CODE
from hil.tests.board.tools import UID, assemble, burn
from hil.tests.wire.host import CR, DRW, FLASH, RDBUFF, SR, SRAM, TAR, Host
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.wire import Wire

US = 10**6
DHCSR, DCRSR, DCRDR = 0xE000EDF0, 0xE000EDF4, 0xE000EDF8


def run(host: Host, source: str, *arguments: int) -> None:
    """Load code and let it go."""
    code = assemble(source)
    code += bytes(-len(code) % 4)
    host.ap_write(TAR, CODE)
    for at in range(0, len(code), 4):
        host.ap_write(DRW, int.from_bytes(code[at : at + 4], "little"))
    registers = dict(enumerate(arguments)) | {13: CODE + 0x8000, 15: CODE, 16: 1 << 24}
    for register, value in registers.items():
        host.write(DCRDR, value)
        host.write(DCRSR, 1 << 16 | register)
    host.write(DHCSR, 0xA05F0001)


def halted(host: Host) -> bool:
    return bool(host.read(DHCSR) >> 17 & 1)


@pytest.mark.parametrize("hz", [100_000, 1_000_000, 3_999_999, 24_000_000])
def test_every_cycle_takes_its_time(board: Board, host: Host, wire: Wire, hz: int) -> None:
    wire.set_clock(hz)
    cycles, began = wire.cycles, board.soc.time.now
    for _ in range(500):
        host.dp_read(RDBUFF)
    wire.settle()
    passed = board.soc.time.now - began
    assert wire.cycles - cycles == 500 * 46
    assert abs(passed - 500 * 46 * 10**12 // hz) <= 1


def test_a_write_is_46_cycles_and_so_is_a_read(host: Host, wire: Wire) -> None:
    # B4.2: 8 request, 1 turnaround, 3 acknowledgement, 33 data, 1 turnaround
    for step in (lambda: host.ap_write(TAR, SRAM), lambda: host.ap_post(DRW), lambda: host.dp_read(RDBUFF)):
        before = wire.cycles
        step()
        assert wire.cycles - before == 46


def test_the_same_bits_take_the_same_time() -> None:
    ends = set()
    for _ in range(2):
        board = Board(UID)
        board.power_on()
        host = Host(Wire(board.soc))
        host.connect()
        host.halt()
        run(host, "1: subs r0, #1\nbne 1b\nbkpt #0", 50_000)
        while not halted(host):
            pass
        host.idle()
        ends.add((board.soc.time.now, host.wire.cycles))
    assert len(ends) == 1


def test_the_core_runs_while_the_wire_is_busy(board: Board, host: Host, wire: Wire) -> None:
    """Words go to SRAM while the core counts: both take their own time, not the sum."""
    loops = 100_000
    began = board.soc.time.now
    run(host, "1: subs r0, #1\nbne 1b\nbkpt #0", loops)
    while not halted(host):
        pass
    alone = board.soc.time.now - began
    host.halt()
    began = board.soc.time.now
    run(host, "1: subs r0, #1\nbne 1b\nbkpt #0", loops)
    words = 0
    while board.soc.time.now - began < 0.8 * alone:
        host.ap_write(TAR, SRAM + 0x10000)
        for _ in range(512):
            host.ap_write(DRW, words)
            words += 1
    while not halted(host):
        pass
    assert words > 1000
    assert board.soc.time.now - began < 1.02 * alone


def test_flash_works_while_the_wire_is_busy(board: Board, host: Host, wire: Wire) -> None:
    host.unlock()
    host.ap_write(TAR, CR)
    host.ap_write(DRW, 2 << 8 | 1 << 1 | 1 << 16)
    began = board.soc.time.now
    while host.read(SR) >> 16 & 1:
        host.ap_write(TAR, SRAM)
        for word in range(1024):
            host.ap_write(DRW, word)
    passed = board.soc.time.now - began
    block = 1024 * 46 * 250_000
    assert 250_000 * US <= passed <= 250_000 * US + 2 * block


def test_time_without_edges_passes_only_by_waiting(board: Board, wire: Wire, host: Host) -> None:
    host.idle()
    before = board.soc.time.now
    wire.settle()
    assert board.soc.time.now == before
    wire.wait(1_234)
    assert board.soc.time.now - before == 1_234_000


def test_polling_a_running_core_lets_it_go_on_to_its_end_and_no_further(board: Board, host: Host, wire: Wire) -> None:
    """A patient debugger's second poll finds what thousands of impatient ones would have waited for."""
    ends, polls = {}, {}
    for patient in (True, False):
        wire.patient = patient
        host.halt()
        began = board.soc.time.now
        run(host, "1: subs r0, #1\nbne 1b\nbkpt #0", 20_000)
        polls[patient] = 1
        while not halted(host):
            polls[patient] += 1
        ends[patient] = board.soc.time.now - began
    assert polls[True] < 6
    assert polls[False] > 50
    assert abs(ends[True] - ends[False]) < 100 * US, "less than two polls apart"


def test_two_polls_with_work_between_them_are_not_patience(board: Board, host: Host, wire: Wire) -> None:
    run(host, "b .")
    began = board.soc.time.now
    for _ in range(10):
        host.read(DHCSR)
        host.read(SRAM)
    assert board.soc.time.now - began < 2000 * US


def test_programming_by_the_core_takes_the_flash_s_time(board: Board, host: Host) -> None:
    host.unlock()
    host.write(CR, 2 << 8 | 1)
    began = board.soc.time.now
    run(
        host,
        "ldr r2, =0x40023c0c\n1: str r0, [r1], #4\n2: ldr r3, [r2]\ntst r3, #0x10000\nbne 2b\n"
        "subs r0, #1\nbne 1b\nbkpt #0\n.pool",
        1000,
        FLASH,
    )
    while not halted(host):
        pass
    passed = board.soc.time.now - began
    assert 16_000 * US < passed < 20_000 * US
    assert board.flash[:4] == (1000).to_bytes(4, "little")


def test_supply_that_goes_in_the_middle_of_a_block(board: Board, host: Host, wire: Wire) -> None:
    host.ap_write(TAR, SRAM)
    host.idle()
    board.power_off_after(100)
    wire.look_ahead()
    began = wire.cycles
    acknowledged = 0
    while host.transfer(ap=True, read=False, address=DRW, value=1).ack == Ack.OK:
        acknowledged += 1
    assert abs(acknowledged - 400 // 46) <= 1, "100 us are 400 cycles at 4 MHz"
    assert wire.cycles - began < 500


def test_reading_back_takes_one_transfer_a_word(board: Board, host: Host, wire: Wire) -> None:
    burn(board, bytes(range(256)) * 16)
    host.ap_write(TAR, FLASH)
    before = wire.cycles
    host.ap_post(DRW)
    for _ in range(1023):
        host.ap_post(DRW)
    host.dp_read(RDBUFF)
    assert wire.cycles - before == 46 * 1025

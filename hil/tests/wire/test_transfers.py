"""What transfers are answered: posted reads, WAIT, FAULT, overrun detection, parity (ADIv5.2 B2.2, B4.2)."""

from __future__ import annotations

import random

import pytest

from hil.tests.board.tools import UID, burn
from hil.tests.wire.host import (
    ABORT,
    CR,
    CSW,
    CTRL_STAT,
    DPIDR,
    DRW,
    FLASH,
    ORUNDETECT,
    POWER_UP,
    RDBUFF,
    RESEND,
    SELECT,
    SR,
    SRAM,
    STICKYERR,
    STICKYORUN,
    TAR,
    WDATAERR,
    Host,
    Refused,
)
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.wire import Wire

NOWHERE = 0x60000000
ERASE_SECTOR_1 = 2 << 8 | 1 << 3 | 1 << 1 | 1 << 16


def fill(host: Host, words: list[int], at: int = SRAM) -> None:
    host.ap_write(TAR, at)
    for word in words:
        host.ap_write(DRW, word)
    host.dp_read(RDBUFF)
    host.idle()


def start_erase(host: Host) -> None:
    """Sector 1 is being erased, for 250 ms."""
    host.unlock()
    host.ap_write(TAR, CR)
    host.ap_write(DRW, ERASE_SECTOR_1)


# -- posted reads (B2.2.7, B4.2.7) ---------------------------------------------------------------------------------


def test_each_read_returns_the_one_before_it(host: Host) -> None:
    fill(host, [1, 2, 3, 4])
    host.ap_write(TAR, SRAM)
    host.ap_post(DRW)
    assert [host.ap_post(DRW) for _ in range(3)] == [1, 2, 3]
    assert host.dp_read(RDBUFF) == 4


def test_rdbuff_reads_nothing_new(host: Host) -> None:
    fill(host, [7, 8])
    host.ap_write(TAR, SRAM)
    host.ap_post(DRW)
    assert [host.dp_read(RDBUFF) for _ in range(3)] == [7, 7, 7]
    assert host.ap_read(DRW) == 8


@pytest.mark.parametrize("reads", range(2, 12))
def test_resend_returns_what_the_last_read_returned(host: Host, reads: int) -> None:
    fill(host, list(range(100, 120)))
    host.ap_write(TAR, SRAM)
    last = [host.ap_post(DRW) for _ in range(reads)][-1]
    assert host.dp_read(RESEND) == last == 100 + reads - 2
    assert host.dp_read(RESEND) == last
    assert host.dp_read(RDBUFF) == 100 + reads - 1
    assert host.dp_read(RESEND) == 100 + reads - 1
    assert host.read(SRAM + 4 * reads) == 100 + reads, "and the address has not moved"


def test_tar_wraps_where_the_part_does(host: Host) -> None:
    # Cortex-M4 TRM, AHB-AP CSW.AddrInc: 4 KiB
    fill(host, [0xA], SRAM)
    fill(host, [0xB], SRAM + 0x1000)
    host.ap_write(TAR, SRAM + 0xFF8)
    for word in (1, 2, 3):
        host.ap_write(DRW, word)
    assert host.ap_read(TAR) == SRAM + 4
    assert host.read(SRAM) == 3
    assert host.read(SRAM + 0x1000) == 0xB
    host.ap_write(TAR, SRAM + 0xFF0)
    host.ap_post(DRW)
    words = [host.ap_post(DRW) for _ in range(6)]
    assert words[2:4] == [1, 2]
    assert words[4] == 3


def test_every_size_and_lane(host: Host) -> None:
    fill(host, [0x33221100, 0x77665544])
    for size, code in ((1, 0), (2, 1), (4, 2)):
        host.ap_write(CSW, 0x23000010 | code)
        host.ap_write(TAR, SRAM)
        for offset in range(0, 8, size):
            word = host.ap_read(DRW)
            got = word >> 8 * (offset & 3) & (1 << 8 * size) - 1
            assert got == int.from_bytes(bytes(0x11 * (offset + i) for i in range(size)), "little")


def test_runs_of_words_are_the_same_as_single_words(board: Board, host: Host, wire: Wire) -> None:
    """What the bit machine answers by itself against the same accesses one at a time, at random."""
    source = random.Random(7)
    plain = bytearray(board.soc.sram[:0x3000])
    for _ in range(60):
        at, count = 4 * source.randrange(0x800), source.randrange(1, 400)
        if source.random() < 0.5:
            words = [source.getrandbits(32) for _ in range(count)]
            host.ap_write(TAR, SRAM + at)
            for index, word in enumerate(words):
                host.ap_write(DRW, word)
                place = at & ~0xFFF | at + 4 * index & 0xFFF
                plain[place : place + 4] = word.to_bytes(4, "little")
        else:
            host.ap_write(TAR, SRAM + at)
            host.ap_post(DRW)
            got = [host.ap_post(DRW) for _ in range(count - 1)] + [host.dp_read(RDBUFF)]
            places = [at & ~0xFFF | at + 4 * index & 0xFFF for index in range(count)]
            assert got == [int.from_bytes(plain[place : place + 4], "little") for place in places]
        assert host.ap_read(TAR) == SRAM + (at & ~0xFFF | at + 4 * count & 0xFFF)
    wire.settle()
    assert board.soc.sram[:0x3000] == bytes(plain)


def test_reading_flash_is_reading_the_cells(board: Board, host: Host) -> None:
    image = random.Random(3).randbytes(0x2000)
    burn(board, image, 0x4000)
    out = b""
    for at in range(0x4000, 0x6000, 0x1000):
        host.ap_write(TAR, FLASH + at)
        host.ap_post(DRW)
        words = [host.ap_post(DRW) for _ in range(1023)] + [host.dp_read(RDBUFF)]
        out += b"".join(word.to_bytes(4, "little") for word in words)
    assert out == image


# -- FAULT and the sticky flags (B2.2.4, B4.2.4) -------------------------------------------------------------------


def test_bus_error_faults_the_next_transfer(host: Host) -> None:
    host.ap_write(TAR, NOWHERE)
    host.ap_post(DRW)
    for refused in ((True, True, DRW), (True, False, TAR), (False, True, RDBUFF), (False, False, SELECT)):
        ap, read, address = refused
        assert host.transfer(ap=ap, read=read, address=address).ack == Ack.FAULT
    assert host.dp_read(CTRL_STAT) & STICKYERR
    assert host.dp_read(DPIDR) == 0x2BA01477
    host.dp_write(ABORT, 1 << 2)
    assert not host.dp_read(CTRL_STAT) & STICKYERR
    fill(host, [5])
    assert host.read(SRAM) == 5


def test_bus_error_at_the_end_of_a_run_of_words(host: Host) -> None:
    host.ap_write(TAR, 0x2003FFF8)
    host.ap_write(DRW, 1)
    host.ap_write(DRW, 2)
    host.ap_write(TAR, 0x20040000)
    host.ap_write(DRW, 3)
    with pytest.raises(Refused):
        host.ap_write(DRW, 4)
    host.dp_write(ABORT, 1 << 2)
    assert host.read(0x2003FFFC) == 2


def test_no_access_port_without_debug_power(pins: Host) -> None:
    pins.select_swd()
    pins.dp_read(DPIDR)
    pins.ap_post(CSW)
    assert pins.transfer(ap=True, read=True, address=CSW).ack == Ack.FAULT
    pins.dp_write(ABORT, 1 << 2)
    pins.dp_write(CTRL_STAT, POWER_UP)
    assert pins.dp_read(CTRL_STAT) >> 28 == 0xF
    assert pins.ap_read(CSW) & 0x40


# -- data parity (B4.2.6) ------------------------------------------------------------------------------------------


def test_a_write_with_bad_parity_is_dropped(host: Host) -> None:
    fill(host, [1, 2, 3])
    host.ap_write(TAR, SRAM)
    assert host.transfer(ap=True, read=False, address=DRW, value=99, bad_parity=True).ack == Ack.OK
    assert host.transfer(ap=True, read=False, address=DRW, value=98).ack == Ack.FAULT
    assert host.dp_read(CTRL_STAT) & WDATAERR
    host.dp_write(ABORT, 1 << 3)
    assert host.ap_read(TAR) == SRAM
    assert host.read(SRAM) == 1


@pytest.mark.parametrize("before", [0, 1, 2, 5, 40])
def test_bad_parity_in_a_run_of_words_drops_that_word_only(host: Host, before: int) -> None:
    fill(host, [0] * 50)
    host.ap_write(TAR, SRAM)
    for index in range(before):
        host.ap_write(DRW, 100 + index)
    host.transfer(ap=True, read=False, address=DRW, value=99, bad_parity=True)
    assert host.transfer(ap=True, read=False, address=DRW, value=98).ack == Ack.FAULT
    host.dp_write(ABORT, 1 << 3)
    host.ap_write(TAR, SRAM)
    host.ap_post(DRW)
    words = [host.ap_post(DRW) for _ in range(49)]
    assert words == [100 + index for index in range(before)] + [0] * (49 - before)


def test_bad_parity_reaches_the_debug_port_s_registers_too(host: Host) -> None:
    host.transfer(ap=False, read=False, address=SELECT, value=0xF0, bad_parity=True)
    assert host.dp_read(CTRL_STAT) & WDATAERR
    host.dp_write(ABORT, 1 << 3)
    assert host.ap_read(0xC) != 0x24770011, "SELECT was not written"


# -- clocking through (B4.1.1) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [1, 2, 3, 20])
@pytest.mark.parametrize(("clocks", "arrived"), [(0, False), (7, False), (8, True)])
def test_a_write_takes_effect_when_it_was_clocked_through(
    board: Board, host: Host, wire: Wire, words: int, clocks: int, arrived: bool
) -> None:
    fill(host, [0] * 24)
    host.ap_write(TAR, SRAM)
    for _ in range(words):
        host.ap_write(DRW, 0x01010101)
    host.idle(clocks) if clocks else None
    wire.wait(1000)
    sure, last = 4 * (words - 1), 4 * words
    assert board.soc.sram[:sure] == b"\1" * sure
    assert board.soc.sram[sure:last] == (b"\1" if arrived else b"\0") * 4
    host.idle()
    assert board.soc.sram[:last] == b"\1" * last


def test_a_write_that_was_not_clocked_through_is_lost_with_the_power(board: Board, host: Host, wire: Wire) -> None:
    host.write(SRAM, 0)
    host.dp_write(SELECT, 0)
    host.transfer(ap=False, read=False, address=CTRL_STAT, value=0)
    wire.set_line(1, 0)
    wire.set_line(1, 1)
    assert host.connect() == 0x2BA01477


# -- at random -----------------------------------------------------------------------------------------------------


def random_transfer(source: random.Random) -> tuple[bool, bool, int, int]:
    """(AP, read, address, value), mostly memory accesses, now and then something that goes wrong."""
    if source.random() < 0.75:
        ap, address = True, source.choice([DRW] * 12 + [TAR] * 4 + [CSW])
    else:
        ap, address = False, source.choice([RDBUFF, RDBUFF, RESEND, CTRL_STAT, ABORT, SELECT])
    value = source.getrandbits(32)
    if ap and address == TAR:
        value = source.choice([SRAM, SRAM + 0xFF0, SRAM + 0x3FFF8, FLASH + 0xFFFF0, 0x60000000]) + source.randrange(8)
        value &= ~3 if source.random() < 0.8 else ~0
    elif ap and address == CSW:
        value = 0x23000000 | source.choice([0, 1, 2, 2, 2]) | source.choice([0, 1, 1, 2]) << 4
    elif address == SELECT:
        value = source.choice([0, 0, 0, 0x10, 0xF0, 0x01000000])
    elif address == ABORT and not ap:
        value &= 0x1E
    elif address == CTRL_STAT and not ap:
        value = POWER_UP
    return ap, source.random() < 0.6, address, value


@pytest.mark.parametrize("seed", range(6))
def test_any_transfers_are_answered_as_the_port_s_registers_say(seed: int) -> None:
    """Bits, windows and posted data on one board; the same transfers given to another board's registers directly."""
    source = random.Random(seed)
    twins = []
    for _ in range(2):
        board = Board(UID)
        board.power_on()
        host = Host(Wire(board.soc))
        host.connect()
        host.halt()
        twins.append((board, host))
    (wired, host), (plain, _) = twins
    for _ in range(1500):
        ap, read, address, value = random_transfer(source)
        if not ap and not read and address == RDBUFF:
            continue
        repeat = source.choice([1, 1, 1, 2, 30]) if ap and address == DRW else 1
        for _ in range(repeat):
            reply = host.transfer(ap=ap, read=read, address=address, value=value)
            ack, data = plain.soc.dp.transfer(ap=ap, read=read, address=address, value=value)
            assert reply.ack == ack
            assert not read or ack != Ack.OK or (reply.data == data and reply.parity_good)
        if plain.soc.dp.sticky and source.random() < 0.5:
            host.transfer(ap=False, read=False, address=ABORT, value=0x1E)
            plain.soc.dp.transfer(ap=False, read=False, address=ABORT, value=0x1E)
    host.idle()
    assert wired.soc.sram[:] == plain.soc.sram[:]


# -- WAIT (B4.2.3) -------------------------------------------------------------------------------------------------


def test_an_access_that_flash_stalls_makes_the_port_wait(board: Board, host: Host, wire: Wire) -> None:
    burn(board, bytes(range(256)))
    start_erase(host)
    host.ap_write(TAR, FLASH)
    host.ap_post(DRW)  # accepted, and stalled by the array (RM0402 3.5)
    for ap, read, address in ((True, True, DRW), (True, False, TAR), (False, True, RDBUFF), (False, False, SELECT)):
        assert host.transfer(ap=ap, read=read, address=address).ack == Ack.WAIT
    assert host.dp_read(DPIDR) == 0x2BA01477
    assert host.dp_read(CTRL_STAT) >> 28 == 0xF
    wire.wait(249_000_000)
    assert host.transfer(ap=False, read=True, address=RDBUFF).ack == Ack.WAIT
    wire.wait(2_000_000)
    assert host.dp_read(RDBUFF) == 0x03020100


def test_a_write_that_flash_stalls_is_done_when_its_turn_comes(board: Board, host: Host, wire: Wire) -> None:
    start_erase(host)
    host.ap_write(TAR, CR)
    host.ap_write(DRW, 2 << 8 | 1)  # waits for the erase
    assert host.transfer(ap=True, read=False, address=TAR, value=FLASH).ack == Ack.WAIT
    wire.wait(251_000_000)
    host.ap_write(TAR, FLASH)
    host.ap_write(DRW, 0x600DF00D)
    wire.wait(20_000)
    assert host.read(CR) & 1
    assert board.flash[:4] == 0x600DF00D.to_bytes(4, "little")


def test_polling_the_status_register_does_not_stall(host: Host) -> None:
    start_erase(host)
    assert host.read(SR) >> 16 & 1


def test_an_abort_gives_up_a_stalled_access(board: Board, host: Host, wire: Wire) -> None:
    start_erase(host)
    host.ap_write(TAR, FLASH)
    host.ap_write(DRW, 0)
    assert host.transfer(ap=True, read=True, address=CSW).ack == Ack.WAIT
    host.dp_write(ABORT, 1)  # DAPABORT, B2.2.1
    assert host.ap_read(CSW) & 0x7 == 2
    wire.wait(300_000_000)
    host.idle()
    assert board.flash[:4] == b"\xff\xff\xff\xff"


def test_programming_word_by_word_waits_for_each_word(board: Board, host: Host) -> None:
    host.unlock()
    host.write(CR, 2 << 8 | 1)
    host.ap_write(TAR, FLASH)
    waits = 0
    for word in range(16):
        while (reply := host.transfer(ap=True, read=False, address=DRW, value=word)).ack == Ack.WAIT:
            waits += 1
        assert reply.ack == Ack.OK
    host.idle(200)
    assert board.flash[:64] == b"".join(word.to_bytes(4, "little") for word in range(16))
    assert waits > 15, "16 us a word are more than 46 cycles at 4 MHz"


# -- overrun detection (B2.2.4, B4.2.4) ----------------------------------------------------------------------------


@pytest.fixture
def overrunning(host: Host) -> Host:
    host.dp_write(CTRL_STAT, POWER_UP | ORUNDETECT)
    host.data_always = True
    return host


@pytest.mark.parametrize("read", [False, True])
def test_with_overrun_detection_a_fault_has_its_data_phase(overrunning: Host, read: bool) -> None:
    host = overrunning
    host.ap_write(TAR, NOWHERE)
    host.ap_post(DRW)
    for _ in range(3):
        assert host.transfer(ap=True, read=read, address=TAR, value=0xFFFFFFFF).ack == Ack.FAULT
    assert host.dp_read(CTRL_STAT) & (STICKYERR | STICKYORUN) == STICKYERR | STICKYORUN
    host.dp_write(ABORT, 1 << 2 | 1 << 4)
    assert host.ap_read(TAR) == NOWHERE


@pytest.mark.parametrize("read", [False, True])
def test_with_overrun_detection_a_wait_is_an_overrun(overrunning: Host, wire: Wire, read: bool) -> None:
    host = overrunning
    start_erase(host)
    host.ap_write(TAR, FLASH)
    host.ap_post(DRW)
    assert host.transfer(ap=True, read=read, address=TAR, value=0).ack == Ack.WAIT
    assert host.transfer(ap=True, read=read, address=TAR, value=0).ack == Ack.FAULT
    assert host.dp_read(CTRL_STAT) & STICKYORUN
    wire.wait(251_000_000)
    host.dp_write(ABORT, 1 << 4)
    assert host.dp_read(RDBUFF) == 0xFFFFFFFF
    assert host.ap_read(TAR) == FLASH + 4


def test_without_overrun_detection_nothing_is_remembered(host: Host, wire: Wire) -> None:
    start_erase(host)
    host.ap_write(TAR, FLASH)
    host.ap_post(DRW)
    assert host.transfer(ap=True, read=True, address=TAR).ack == Ack.WAIT
    assert not host.dp_read(CTRL_STAT) & STICKYORUN
    wire.wait(251_000_000)
    assert host.dp_read(RDBUFF) == 0xFFFFFFFF


# -- the board behind it -------------------------------------------------------------------------------------------


def test_another_board_on_the_same_wires(wire: Wire, host: Host) -> None:
    other = Board(bytes(reversed(UID)))
    other.power_on()
    wire.plug(other.soc)
    assert host.transfer(ap=False, read=True, address=DPIDR).ack == Ack.NONE
    host.connect()
    assert host.read(0x1FFF7A10) == int.from_bytes(bytes(reversed(UID))[:4], "little")
    wire.plug(None)
    host.select_swd()
    assert host.transfer(ap=False, read=True, address=DPIDR).ack == Ack.NONE
    assert wire.get_line(1) == 0


def test_the_host_switches_the_supply(wire: Wire, host: Host, board: Board) -> None:
    wire.set_line(1, 0)
    assert (wire.get_line(0), wire.get_line(1), board.soc.powered) == (0, 0, False)
    wire.set_line(1, 1)
    assert (wire.get_line(0), wire.get_line(1), board.soc.powered) == (1, 1, True)
    assert host.connect() == 0x2BA01477

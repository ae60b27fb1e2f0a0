"""The debug port and the AHB-AP, transfer by transfer (ADIv5.2 parts B and C, Cortex-M4 TRM 7.5)."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import CSW, CTRL_STAT, DRW, RDBUFF, SELECT, SRAM, TAR, Debugger, Refused
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import Ack


def test_nothing_answers_before_swd_is_selected(board: Board) -> None:
    # ADIv5.2 B5.2: an SWJ-DP wakes up in JTAG
    assert board.port.transfer(ap=False, read=True, address=0)[0] is Ack.NONE


def test_wrong_select_sequence_selects_nothing(board: Board) -> None:
    debugger = Debugger(board)
    debugger.port.sequence(56, (1 << 56) - 1)
    debugger.port.sequence(16, 0xE79F)
    debugger.port.sequence(56, (1 << 56) - 1)
    with pytest.raises(Refused) as refused:
        debugger.dp_read(0)
    assert refused.value.ack is Ack.NONE


def test_identifies_itself_as_an_stm32f4(board: Board) -> None:
    assert Debugger(board).connect() == 0x2BA01477  # RM0402 30.8.3


def test_after_a_line_reset_only_dpidr_is_answered(debugger: Debugger) -> None:
    # ADIv5.2 B4.3.3
    debugger.port.sequence(56, (1 << 56) - 1)
    with pytest.raises(Refused) as refused:
        debugger.dp_read(CTRL_STAT)
    assert refused.value.ack is Ack.NONE
    assert debugger.dp_read(0) == 0x2BA01477
    assert debugger.dp_read(CTRL_STAT) >> 28 == 0xF


def test_a_board_without_power_does_not_answer(board: Board, debugger: Debugger) -> None:
    board.power_off()
    with pytest.raises(Refused) as refused:
        debugger.dp_read(0)
    assert refused.value.ack is Ack.NONE


def test_power_up_requests_are_acknowledged(board: Board) -> None:
    debugger = Debugger(board)
    debugger.select_swd()
    debugger.dp_read(0)
    assert debugger.dp_read(CTRL_STAT) >> 28 == 0
    debugger.dp_write(CTRL_STAT, 0x10000000)
    assert debugger.dp_read(CTRL_STAT) >> 28 == 0x3
    debugger.dp_write(CTRL_STAT, 0x50000000)
    assert debugger.dp_read(CTRL_STAT) >> 28 == 0xF


def test_an_access_port_without_debug_power_is_an_error(board: Board) -> None:
    # ADIv5.2 B2.4.1
    debugger = Debugger(board)
    debugger.select_swd()
    debugger.dp_read(0)
    with pytest.raises(Refused):
        debugger.ap_read(CSW)
    assert debugger.dp_read(CTRL_STAT) & 1 << 5


def test_sticky_error_blocks_until_abort(debugger: Debugger) -> None:
    # ADIv5.2 B4.2.5: with STICKYERR set only DPIDR, CTRL/STAT and ABORT are answered
    with pytest.raises(Refused) as refused:
        debugger.read(0x60000000)
    assert refused.value.ack is Ack.FAULT
    assert debugger.dp_read(0) == 0x2BA01477
    assert debugger.dp_read(CTRL_STAT) & 1 << 5
    for blocked in (
        lambda: debugger.dp_read(RDBUFF),
        lambda: debugger.dp_write(SELECT, 0),
        lambda: debugger.dp_write(CTRL_STAT, 0x50000000),
        lambda: debugger.ap_read(CSW),
    ):
        with pytest.raises(Refused):
            blocked()
    debugger.dp_write(0, 1 << 2)  # ORUNERRCLR is another bit: STKERRCLR only
    assert not debugger.dp_read(CTRL_STAT) & 1 << 5
    assert debugger.read(SRAM) >= 0


def test_clearing_another_flag_does_not_clear_sticky_error(debugger: Debugger) -> None:
    assert debugger.faults(0x60000000)
    with pytest.raises(Refused):
        debugger.read(0x60000000)
    debugger.dp_write(0, 1 << 4 | 1 << 3 | 1 << 1)
    assert debugger.dp_read(CTRL_STAT) & 1 << 5


def test_fault_with_overrun_detection_sets_the_overrun_flag(debugger: Debugger) -> None:
    debugger.dp_write(CTRL_STAT, 0x50000001)
    with pytest.raises(Refused):
        debugger.read(0x60000000)
    with pytest.raises(Refused):
        debugger.ap_read(CSW)
    assert debugger.dp_read(CTRL_STAT) & 1 << 1
    debugger.dp_write(0, 1 << 4 | 1 << 2)
    assert not debugger.dp_read(CTRL_STAT) & 0x22


def test_ap_reads_are_posted(debugger: Debugger) -> None:
    # ADIv5.2 B2.2.7: an AP read returns the result of the one before it
    debugger.load(SRAM, bytes(range(1, 13)))
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, SRAM)
    results = [debugger.port.transfer(ap=True, read=True, address=DRW)[1] for _ in range(3)]
    assert results[1:] == [0x04030201, 0x08070605]
    assert debugger.dp_read(RDBUFF) == 0x0C0B0A09


def test_a_failed_write_is_seen_by_the_next_transfer(debugger: Debugger) -> None:
    debugger.ap_write(TAR, 0x60000000)
    ack, _ = debugger.port.transfer(ap=True, read=False, address=DRW, value=1)
    assert ack is Ack.OK
    with pytest.raises(Refused):
        debugger.dp_read(RDBUFF)


def test_address_increment_wraps_at_four_kibibytes(debugger: Debugger) -> None:
    # Cortex-M4 TRM 7.5.1, CSW.AddrInc: "increments and wraps within a 4-KB address boundary"
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, SRAM + 0xFFC)
    debugger.ap_write(DRW, 1)
    assert debugger.ap_read(TAR) == SRAM
    debugger.ap_write(TAR, SRAM + 0x3FC)
    debugger.ap_write(DRW, 1)
    assert debugger.ap_read(TAR) == SRAM + 0x400


def test_block_access_wraps_as_single_accesses_do(board: Board, debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, SRAM + 0xFF8)
    words = [0x11111111, 0x22222222, 0x33333333, 0x44444444]
    data = b"".join(word.to_bytes(4, "little") for word in words)
    assert board.port.write_block(DRW, data) is Ack.OK
    assert debugger.read(SRAM + 0xFFC) == 0x22222222
    assert debugger.read(SRAM) == 0x33333333
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, SRAM + 0xFF8)
    assert board.port.read_block(DRW, 4) == (Ack.OK, data)


def test_address_stays_after_a_failed_access(debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, 0x2003FFFC)
    debugger.ap_write(DRW, 7)
    debugger.ap_write(TAR, 0x20040000)
    with pytest.raises(Refused):
        debugger.ap_write(DRW, 7)
    debugger.clear_errors()
    assert debugger.ap_read(TAR) == 0x20040000


def test_block_write_stops_at_the_word_that_faults(debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, 0x50060BF8)  # two words of a peripheral slot, then nothing
    assert debugger.port.write_block(DRW, bytes(16)) is Ack.FAULT
    debugger.clear_errors()
    assert debugger.ap_read(TAR) == 0x50060C00


def test_block_write_whose_last_word_faults_is_told(debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, 0x50060BFC)
    assert debugger.port.write_block(DRW, bytes(8)) is Ack.FAULT


def test_block_read_stops_at_the_word_that_faults(debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, 0x1FFFC008)  # two words of option bytes, then nothing
    ack, data = debugger.port.read_block(DRW, 4)
    assert ack is Ack.FAULT
    assert len(data) == 8
    debugger.clear_errors()
    assert debugger.ap_read(TAR) == 0x1FFFC010


@pytest.mark.parametrize("lane", range(4))
def test_bytes_travel_in_their_lanes(debugger: Debugger, lane: int) -> None:
    # ADIv5.2 C2.2.6
    debugger.write(SRAM, 0)
    debugger.write(SRAM + lane, 0xA5, size=1)
    assert debugger.read(SRAM) == 0xA5 << 8 * lane
    debugger.ap_write(CSW, 0x23000000)
    debugger.ap_write(TAR, SRAM + lane)
    assert debugger.ap_read(DRW) >> 8 * lane & 0xFF == 0xA5


def test_packed_transfers_fill_a_word_byte_by_byte(debugger: Debugger) -> None:
    # ADIv5.2 C2.2.5
    debugger.ap_write(CSW, 0x23000020)
    debugger.ap_write(TAR, SRAM)
    debugger.ap_write(DRW, 0x04030201)
    assert debugger.ap_read(TAR) == SRAM + 4
    assert debugger.read(SRAM) == 0x04030201


def test_banked_data_registers_do_not_move_the_address(debugger: Debugger) -> None:
    debugger.ap_write(CSW, 0x23000012)
    debugger.ap_write(TAR, SRAM + 4)
    debugger.dp_write(SELECT, 0x10)
    for index in range(4):
        debugger.ap_write(4 * index, 0x100 + index)
    debugger.dp_write(SELECT, 0)
    assert debugger.ap_read(TAR) == SRAM + 4
    assert [debugger.read(SRAM + 4 * index) for index in range(4)] == [0x100, 0x101, 0x102, 0x103]


def test_identification_of_the_access_port(debugger: Debugger) -> None:
    debugger.dp_write(SELECT, 0xF0)
    assert debugger.ap_read(0xC) == 0x24770011
    assert debugger.ap_read(0x8) == 0xE00FF003
    debugger.dp_write(SELECT, 0x010000F0)
    assert debugger.ap_read(0xC) == 0, "there is one access port"


def test_rom_table_names_six_components_and_st(debugger: Debugger) -> None:
    entries = [debugger.read(0xE00FF000 + 4 * index) for index in range(7)]
    bases = [(0xE00FF000 + (entry & 0xFFFFF000)) & 0xFFFFFFFF for entry in entries[:6]]
    assert bases == [0xE000E000, 0xE0001000, 0xE0002000, 0xE0000000, 0xE0040000, 0xE0041000]
    assert entries[6] == 0
    for base in [0xE00FF000, *bases]:
        cidr = [debugger.read(base + offset) for offset in (0xFF0, 0xFF4, 0xFF8, 0xFFC)]
        assert (cidr[0], cidr[2], cidr[3]) == (0x0D, 0x05, 0xB1)
    pidr = [debugger.read(0xE00FF000 + offset) for offset in (0xFE0, 0xFE4, 0xFE8, 0xFD0)]
    assert pidr[0] | (pidr[1] & 0xF) << 8 == 0x441
    assert (pidr[1] >> 4 | (pidr[2] & 7) << 4, pidr[3]) == (0x20, 0)


def test_each_transfer_takes_its_clocks(board: Board, debugger: Debugger) -> None:
    before, cycles = board.soc.time.now, board.port.cycles
    debugger.dp_read(CTRL_STAT)
    assert board.port.cycles - cycles == 46
    assert board.soc.time.now - before == 46 * 10**12 // 4_000_000

"""Real pyOCD on the board, in this process: what people do with a probe and a target."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target
from pyocd.flash.eraser import FlashEraser
from pyocd.flash.file_programmer import FileProgrammer
from pyocd.flash.loader import FlashLoader

from hil.tests.board.tools import FLASH, SRAM, UID, assemble, burn, vectors
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.probe import VirtualNucleoProbe

FIRMWARE = Path(__file__).parents[2] / "firmware"
OPTIONS = {"auto_unlock": False, "no_config": True, "frequency": 4_000_000, "smart_flash": False}
LOOP = vectors(FLASH + 0x100, FLASH + 0x140, FLASH + 0x140) + assemble(
    "movs r0, #0\n 1: adds r0, #1\n nop\n adds r2, #2\n b 1b\n .balign 64\n b .", FLASH + 0x100
)


@pytest.fixture
def target(board: Board) -> Iterator[Any]:
    """pyOCD's target, attached and halted."""
    probe = VirtualNucleoProbe.on_board(board)
    with Session(probe, target_override="stm32f412xg", options=OPTIONS) as session:
        yield session.target


def program(target: Any, image: bytes, *, address: int = FLASH, erase: str = "sector") -> None:
    """Program *image* with pyOCD's own loader and flash algorithm."""
    loader = FlashLoader(target.session, progress=lambda _: None, chip_erase=erase)
    loader.add_data(address, image)
    loader.commit()


def test_attaches_and_knows_the_part(target: Any) -> None:
    assert target.selected_core.name == "Cortex-M4"
    assert target.selected_core.has_fpu
    assert target.read32(0xE0042000) & 0xFFF == 0x441
    assert bytes(target.read_memory_block8(0x1FFF7A10, 12)) == UID


def test_single_accesses_of_every_width(target: Any) -> None:
    for size in (8, 16, 32):
        for offset in range(0, 16, size // 8):
            target.write_memory(SRAM + offset, 0x89ABCDEF & (1 << size) - 1, size)
            assert target.read_memory(SRAM + offset, size) == 0x89ABCDEF & (1 << size) - 1


def test_blocks_of_every_alignment(target: Any) -> None:
    for start in range(4):
        for length in (1, 2, 3, 4, 5, 17, 1023, 1025, 5000):
            data = random.Random(length).randbytes(length)
            target.write_memory_block8(SRAM + 0xF00 + start, list(data))
            assert bytes(target.read_memory_block8(SRAM + 0xF00 + start, length)) == data


@pytest.mark.parametrize("address", [0x60000000, 0x08100000, 0x20040000])
def test_bad_addresses_are_transfer_faults_and_do_no_harm(target: Any, address: int) -> None:
    with pytest.raises(exceptions.TransferFaultError):
        target.read32(address)
    with pytest.raises(exceptions.TransferFaultError):
        target.write32(address, 1)
    with pytest.raises(exceptions.TransferFaultError):
        target.write_memory_block32(address, [1, 2, 3])
    with pytest.raises(exceptions.TransferFaultError):
        target.read_memory_block32(address, 8)
    target.write32(SRAM, 5)
    assert target.read32(SRAM) == 5


def test_reports_the_address_that_faulted(target: Any) -> None:
    with pytest.raises(exceptions.TransferFaultError) as fault:
        target.read32(0x60000000)
    assert fault.value.fault_address == 0x60000000


def test_programs_with_its_own_algorithm_and_reads_back(board: Board, target: Any) -> None:
    image = random.Random(7).randbytes(0x24000)
    program(target, image)
    assert board.flash[: len(image)] == image, "what is in the cells"
    assert bytes(target.read_memory_block8(FLASH, len(image))) == image, "what pyOCD reads"
    assert board.soc.flash.erase_count == [1] * 6 + [0] * 6


def test_reprograms_what_is_not_erased(board: Board, target: Any) -> None:
    program(target, bytes(0x4000))
    image = random.Random(8).randbytes(0x4000)
    program(target, image)
    assert board.flash[:0x4000] == image


def test_smart_flash_leaves_equal_pages_alone(board: Board) -> None:
    image = random.Random(9).randbytes(0x8000)
    burn(board, image)
    changed = image[:0x5000] + bytes(4) + image[0x5004:]
    options = {**OPTIONS, "smart_flash": True}
    with Session(VirtualNucleoProbe.on_board(board), target_override="stm32f412xg", options=options) as session:
        program(session.target, changed, erase="auto")
    assert board.flash[:0x8000] == changed
    assert board.soc.flash.erase_count[0] == 0
    assert board.soc.flash.erase_count[1] == 1


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration firmware, built here."""
    build = tmp_path_factory.mktemp("firmware")
    subprocess.run(["make", "-s", "-C", FIRMWARE, f"BUILD={build}"], check=True)
    return build


@pytest.mark.parametrize("form", ["elf", "hex", "bin"])
def test_programs_firmware_files_that_then_speak(board: Board, target: Any, firmware: Path, form: str) -> None:
    path = firmware / f"proofline-demo-1.0.0-small.{form}"
    FileProgrammer(target.session, progress=lambda _: None).program(
        str(path), base_address=FLASH if form == "bin" else None
    )
    target.reset()
    board.run_ms(1500)
    text = board.uart_output(baud=115200)
    assert text.startswith(b"PROOFLINE version=1.0.0 size=small")
    assert text.endswith(b"uid=" + UID.hex().encode() + b"\r\n")
    assert board.soc.clocks.hclk_hz == 100_000_000
    assert board.led("LD1"), "it blinks at 1 Hz: lit from 1.0 s"


def test_erases_a_sector_and_the_chip(board: Board, target: Any) -> None:
    burn(board, bytes(0x20000))
    FlashEraser(target.session, FlashEraser.Mode.SECTOR).erase([FLASH + 0x4000])
    assert board.flash[0x4000:0x8000] == b"\xff" * 0x4000
    assert not any(board.flash[:0x4000])
    FlashEraser(target.session, FlashEraser.Mode.MASS).erase()
    assert board.flash == b"\xff" * 0x100000


def test_protected_sector_is_a_programming_failure(board: Board, target: Any) -> None:
    board.options.program(0x0FFEAAEC)
    with pytest.raises(exceptions.FlashFailure):
        program(target, bytes(64))
    assert board.flash[:64] == b"\xff" * 64


def test_steps_and_breakpoints(board: Board, target: Any) -> None:
    program(target, LOOP)
    target.reset_and_halt()
    assert target.read_core_register("pc") == FLASH + 0x100
    target.step()
    assert target.read_core_register("pc") == FLASH + 0x102
    target.set_breakpoint(FLASH + 0x106, Target.BreakpointType.HW)
    for expected in (1, 2):
        target.resume()
        while target.get_state() is not Target.State.HALTED:
            pass
        assert target.read_core_register("pc") == FLASH + 0x106
        assert target.read_core_register("r0") == expected
        target.remove_breakpoint(FLASH + 0x106)  # it would match again at once, as on silicon
        target.step()
        target.set_breakpoint(FLASH + 0x106, Target.BreakpointType.HW)
    target.remove_breakpoint(FLASH + 0x106)
    target.resume()
    assert target.get_state() is Target.State.RUNNING
    target.halt()
    assert target.read_core_register("r0") > 100


def test_software_breakpoint_in_memory(target: Any) -> None:
    target.write_memory_block8(SRAM, list(assemble("movs r0, #1\n movs r0, #2\n movs r0, #3\n b .")))
    target.set_breakpoint(SRAM + 4, Target.BreakpointType.SW)
    target.write_core_register("pc", SRAM)
    target.write_core_register("xpsr", 1 << 24)
    target.resume()
    while target.get_state() is not Target.State.HALTED:
        pass
    assert target.read_core_register("pc") == SRAM + 4
    assert target.read_core_register("r0") == 2


@pytest.mark.parametrize(
    "kind", [Target.ResetType.SYSTEM, Target.ResetType.CORE, Target.ResetType.NSRST, Target.ResetType.EMULATED]
)
def test_resets_of_each_kind(board: Board, target: Any, kind: Target.ResetType) -> None:
    program(target, LOOP)
    target.reset_and_halt(kind)
    assert target.get_state() is Target.State.HALTED
    assert target.read_core_register("pc") == FLASH + 0x100
    target.reset(kind)
    assert target.get_state() is Target.State.RUNNING


@pytest.mark.parametrize("mode", ["halt", "attach", "pre-reset", "under-reset"])
def test_connect_modes(board: Board, mode: str) -> None:
    board.power_off()
    burn(board, LOOP)
    board.power_on()
    board.run_ms(1)
    options = {**OPTIONS, "connect_mode": mode}
    with Session(VirtualNucleoProbe.on_board(board), target_override="stm32f412xg", options=options) as session:
        assert session.target is not None
        state = session.target.get_state()
        assert state is (Target.State.RUNNING if mode == "attach" else Target.State.HALTED)
    assert not board.soc.core.halted, "leaving lets the firmware run"


def test_watchpoint(target: Any) -> None:
    target.write_memory_block8(SRAM, list(assemble("ldr r1, =0x20001000\n str r0, [r1]\n 1: b 1b")))
    target.set_watchpoint(SRAM + 0x1000, 4, Target.WatchpointType.WRITE)
    target.write_core_register("pc", SRAM)
    target.write_core_register("xpsr", 1 << 24)
    target.resume()
    while target.get_state() is not Target.State.HALTED:
        pass
    assert target.get_halt_reason() is Target.HaltReason.WATCHPOINT


def test_power_lost_under_the_debugger_is_no_answer(board: Board) -> None:
    session = Session(VirtualNucleoProbe.on_board(board), target_override="stm32f412xg", options=OPTIONS)
    session.open()
    assert session.target is not None
    board.power_off()
    with pytest.raises(exceptions.TransferError):
        session.target.read32(SRAM)
    board.power_on()
    session.close()


def test_same_flashing_takes_the_same_virtual_time() -> None:
    times = []
    for _ in range(2):
        board = Board(UID)
        board.power_on()
        with Session(VirtualNucleoProbe.on_board(board), target_override="stm32f412xg", options=OPTIONS) as session:
            assert session.target is not None
            before = board.soc.time.now
            program(session.target, bytes(range(256)) * 64)
            times.append(board.soc.time.now - before)
    assert times[0] == times[1]
    assert times[0] > 250 * 10**9 + 4096 * 16 * 10**6

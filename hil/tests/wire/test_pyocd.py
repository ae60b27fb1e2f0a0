"""What people do with pyOCD, over our pins and the wire: in this process, and as the programs of its command line.

Much of it are the tests of `hil/tests/board/test_pyocd.py`, word for word, on another probe: a station's pins are to be
no different from a probe that knows no wires. Memory at random, faults and steps are in `test_gpioswd.py`.
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target
from pyocd.flash.eraser import FlashEraser
from pyocd.probe.debug_probe import DebugProbe

from appliance.swd import pins
from appliance.swd.probe import GpioSwdProbe
from appliance.swd.settings import parse
from hil.firmware import image_path
from hil.tests.board.test_pyocd import (  # the tests, collected here with this module's probe
    LOOP,
    OPTIONS,
    firmware,  # noqa: F401  # a fixture of theirs
    test_attaches_and_knows_the_part,  # noqa: F401
    test_blocks_of_every_alignment,  # noqa: F401
    test_erases_a_sector_and_the_chip,  # noqa: F401
    test_programs_firmware_files_that_then_speak,  # noqa: F401
    test_programs_with_its_own_algorithm_and_reads_back,  # noqa: F401
    test_protected_sector_is_a_programming_failure,  # noqa: F401
    test_reports_the_address_that_faulted,  # noqa: F401
    test_reprograms_what_is_not_erased,  # noqa: F401
    test_resets_of_each_kind,  # noqa: F401
    test_single_accesses_of_every_width,  # noqa: F401
    test_software_breakpoint_in_memory,  # noqa: F401
    test_steps_and_breakpoints,  # noqa: F401
    test_watchpoint,  # noqa: F401
)
from hil.tests.board.tools import FLASH, SRAM, UID, assemble, burn
from hil.tests.wire.bench import WireBench, running
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.wire import Wire

(PIN_SET,) = parse(b'{"schema":1,"pin_sets":[{"name":"bench","backend":{"kind":"socket","path":"/nowhere"}}]}')
CELLS = image_path("1.0.0", "small", "bin").read_bytes()
ENTRY = int.from_bytes(CELLS[4:8], "little") & ~1
BANNER = "PROOFLINE version=1.0.0"
OTHER = FLASH + 0x8000


@contextmanager
def session_on(wire: Wire, **options: object) -> Iterator[Any]:
    """A pyOCD session over our pins."""
    probe = GpioSwdProbe(PIN_SET, opener=lambda _: pins.on_capsule(wire.capsule()))
    with Session(probe, target_override="stm32f412xg", options={**OPTIONS, **options}) as session:
        yield session


@pytest.fixture
def target(wire: Wire) -> Iterator[Any]:
    """pyOCD's target, attached and halted: what the imported tests ask for."""
    with session_on(wire) as session:
        yield session.target


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireBench]:
    """A bench in a process of its own."""
    with running(tmp_path_factory.mktemp("bench")) as made:
        yield made


# -- in this process -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["halt", "attach", "pre-reset", "under-reset"])
@pytest.mark.parametrize("resume", [True, False])
def test_connects_in_each_mode_and_leaves_as_asked(board: Board, wire: Wire, mode: str, resume: bool) -> None:
    board.power_off()
    burn(board, LOOP)
    board.power_on()
    board.run_ms(1)
    with session_on(wire, connect_mode=mode, resume_on_disconnect=resume) as session:
        state = session.target.get_state()
        assert state is (Target.State.RUNNING if mode == "attach" else Target.State.HALTED)
        if mode == "under-reset":
            assert session.target.read_core_register("pc") == FLASH + 0x100, "not one instruction has run"
    wire.settle()
    assert board.soc.core.halted == (not resume and mode != "attach")


def test_connects_under_reset_to_a_core_that_is_lost(board: Board, wire: Wire) -> None:
    burn(board, bytes(0x400))  # a vector table of zeros: lockup
    board.press_reset()
    board.run_ms(1)
    with session_on(wire, connect_mode="under-reset") as session:
        assert session.target.get_state() is Target.State.HALTED
        session.target.write32(SRAM, 0x1234)
        assert session.target.read32(SRAM) == 0x1234


def test_the_reset_pin_is_held_and_let_go(board: Board, wire: Wire, target: Any) -> None:
    probe = target.session.probe
    assert not probe.is_reset_asserted()
    target.dp.assert_reset(True)
    assert probe.is_reset_asserted()
    assert target.dp.is_reset_asserted()
    wire.settle()
    assert board.soc.held_in_reset
    target.dp.assert_reset(False)
    assert not probe.is_reset_asserted()
    assert probe.read_pins(DebugProbe.PinGroup.PROTOCOL_PINS, DebugProbe.ProtocolPin.nRESET)


@pytest.mark.parametrize("written", [8, 16, 32])
@pytest.mark.parametrize("read", [8, 16, 32])
def test_what_one_width_writes_another_reads(target: Any, written: int, read: int) -> None:
    data = random.Random(written).randbytes(16)
    for at in range(0, 16, written // 8):
        target.write_memory(SRAM + at, int.from_bytes(data[at : at + written // 8], "little"), written)
    for at in range(0, 16, read // 8):
        assert target.read_memory(SRAM + at, read) == int.from_bytes(data[at : at + read // 8], "little")


def test_blocks_that_cross_where_the_address_register_wraps(board: Board, wire: Wire, target: Any) -> None:
    words = [random.Random(4).getrandbits(32) for _ in range(0x900)]
    for start in (SRAM + 0xFFC, SRAM + 0x1000, SRAM + 0x13F8):
        target.write_memory_block32(start, words)
        assert target.read_memory_block32(start, len(words)) == words
    wire.settle()
    assert board.soc.sram[0x13F8 : 0x13F8 + 4 * len(words)] == b"".join(word.to_bytes(4, "little") for word in words)


def test_a_fault_in_a_row_of_posted_reads_reaches_whoever_asks(target: Any) -> None:
    target.write32(SRAM, 0xA5A5A5A5)
    good, bad = target.read32(SRAM, now=False), target.read32(0x60000000, now=False)
    with pytest.raises(exceptions.TransferFaultError):
        bad()
    with pytest.raises(exceptions.TransferFaultError):
        good()  # one operation: what it read before the fault is not trusted either
    assert target.read32(SRAM) == 0xA5A5A5A5


def test_registers_of_every_kind(target: Any) -> None:
    values = {"r0": 1, "r7": 0xFFFFFFFF, "r12": 0x80000000, "lr": 0x08000101, "primask": 1, "faultmask": 0, "s0": 1.5}
    for name, value in values.items():
        target.write_core_register(name, value)
    assert {name: target.read_core_register(name) for name in values} == values
    target.write_core_register("psp", SRAM + 0x4000)
    target.write_core_register("control", 2)
    assert target.read_core_register("sp") == SRAM + 0x4000


def test_six_breakpoints_and_not_one_more(target: Any) -> None:
    assert target.selected_core.available_breakpoint_count == 6
    for index in range(6):
        assert target.set_breakpoint(FLASH + 4 * index, Target.BreakpointType.HW)
    assert not target.set_breakpoint(FLASH + 0x40, Target.BreakpointType.HW)
    for index in range(6):
        target.remove_breakpoint(FLASH + 4 * index)
    assert target.selected_core.available_breakpoint_count == 6


def test_halt_reasons(target: Any) -> None:
    target.write_memory_block8(SRAM, list(assemble("nop\n nop\n udf #0\n b .")))
    target.write_core_register("pc", SRAM)
    target.write_core_register("sp", SRAM + 0x1000)
    target.write_core_register("xpsr", 1 << 24)
    target.step()
    assert target.get_halt_reason() is Target.HaltReason.DEBUG
    target.set_vector_catch(Target.VectorCatch.HARD_FAULT)
    target.resume()
    while target.get_state() is not Target.State.HALTED:
        pass
    assert target.get_halt_reason() is Target.HaltReason.VECTOR_CATCH


@pytest.mark.parametrize("mode", [FlashEraser.Mode.CHIP, FlashEraser.Mode.MASS])
def test_erases_all_of_it(board: Board, target: Any, mode: FlashEraser.Mode) -> None:
    burn(board, bytes(0x1000))
    burn(board, bytes(0x1000), 0xFF000)
    FlashEraser(target.session, mode).erase()
    assert board.flash == b"\xff" * 0x100000


def test_erases_just_the_sectors_of_a_range(board: Board, target: Any) -> None:
    burn(board, bytes(0x40000))
    FlashEraser(target.session, FlashEraser.Mode.SECTOR).erase([f"{FLASH + 0x8000:#x}-{FLASH + 0x20000:#x}"])
    assert board.flash == bytes(0x8000) + b"\xff" * 0x18000 + bytes(0x20000) + b"\xff" * 0xC0000


# -- the programs --------------------------------------------------------------------------------------------------


def run(bench: WireBench, *arguments: str) -> str:
    """What a pyOCD of its own says; it must succeed."""
    done = bench.pyocd(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_list_shows_the_pin_set(bench: WireBench) -> None:
    said = run(bench, "list", "--probes", "--color", "never")
    assert re.search(r"Proofline SWD over a virtual wire\s+bench", said)


def test_load_makes_a_board_that_speaks_and_reset_makes_it_speak_again(bench: WireBench) -> None:
    run(bench, "load", str(image_path("1.0.0", "small", "elf")))
    assert bench.do("flash", length=len(CELLS))["sha256"] == hashlib.sha256(CELLS).hexdigest()
    assert BANNER in bench.do("uart", run_ms=100, baud=115200, clear=True)["text"]
    run(bench, "reset", "-m", "hw")
    assert BANNER in bench.do("uart", run_ms=100, baud=115200, clear=True)["text"]


def test_erase_by_sector_and_all(bench: WireBench) -> None:
    run(
        bench,
        "load",
        str(image_path("1.0.0", "small", "hex")),
        str(image_path("1.0.0", "small", "bin")) + f"@{OTHER:#x}",
    )
    run(bench, "erase", "--sector", hex(FLASH))
    assert bench.do("flash", length=0x4000)["erased"]
    assert not bench.do("flash", start=OTHER - FLASH, length=len(CELLS))["erased"]
    run(bench, "erase", "--chip")
    assert bench.do("flash")["erased"]


def test_commander_reads_writes_steps_and_tells_of_bad_addresses(bench: WireBench) -> None:
    said = run(
        bench,
        "commander",
        "-c",
        f"halt; write32 {SRAM:#x} 0x11223344; write16 {SRAM + 2:#x} 0xaabb; write8 {SRAM:#x} 0xcc; read32 {SRAM:#x}",
        "-c",
        "write16 0x20000100 0xbf00 0xbf00 0xe7fe; wreg pc 0x20000100; step; reg pc; status",
    )
    assert f"{SRAM:08x}:  aabb33cc" in said
    assert "pc = 0x20000102" in said
    assert "Halted" in said
    for access in ("read32 0x60000000", "write32 0x60000000 1"):
        refused = bench.pyocd("commander", "-c", "halt", "-c", access)
        assert refused.returncode != 0
        assert "memory transfer failed" in refused.stdout


class Gdb:
    """A raw client of the GDB remote protocol: packets and checksums, nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._received = b""

    def ask(self, packet: str) -> str:
        """The reply to a packet."""
        self.send(packet)
        return self.reply()

    def send(self, packet: str) -> None:
        body = packet.encode()
        self._socket.sendall(b"$%b#%02x" % (body, sum(body) % 256))

    def reply(self) -> str:
        """The next packet; what the server has to tell its user on the way (`O...`) is not one."""
        while True:
            while not (found := re.search(rb"\$([^#]*)#(..)", self._received, re.DOTALL)):
                part = self._socket.recv(4096)
                assert part, "the server has gone"
                self._received += part
            self._received = self._received[found.end() :]
            assert sum(found[1]) % 256 == int(found[2], 16)
            self._socket.sendall(b"+")
            if not re.match(rb"O[0-9a-f]", found[1]):
                return found[1].decode("latin-1")

    def close(self) -> None:
        self._socket.close()


@contextmanager
def gdb_server(bench: WireBench) -> Iterator[tuple[Gdb, subprocess.Popen[str]]]:
    """A client of a fresh `pyocd gdbserver`, which ends when the client has detached."""
    ports = ["-p", "0", "-T", "0", "--color", "never", "-L", "*.gdbserver=info"]
    with bench.start_pyocd("gdbserver", "-M", "under-reset", *ports) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (found := re.search(r"GDB server (?:listening|started) on port (\d+)", said)):
                line = process.stderr.readline()
                assert line, said
                said += line
            gdb = Gdb(int(found[1]))
            yield gdb, process
            gdb.close()
        finally:
            process.kill()


def program_counter(gdb: Gdb) -> int:
    """r15, of the registers in GDB's order."""
    return int.from_bytes(bytes.fromhex(gdb.ask("g")[15 * 8 : 16 * 8]), "little")


def test_gdbserver_serves_a_debugger(bench: WireBench) -> None:
    run(bench, "load", str(image_path("1.0.0", "small", "hex")))
    with gdb_server(bench) as (gdb, process):
        assert "PacketSize=" in gdb.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+")
        assert gdb.ask("?").startswith("T0"), "halted, and by which signal"
        assert program_counter(gdb) == ENTRY
        assert gdb.ask(f"m{0x1FFF7A10:x},c") == UID.hex()
        assert gdb.ask(f"M{SRAM:x},4:00bffee7") == "OK"
        assert gdb.ask(f"m{SRAM:x},4") == "00bffee7"
        assert gdb.ask("m60000000,4").startswith("E"), "an address that is none"
        assert gdb.ask(f"Pf={SRAM.to_bytes(4, 'little').hex()}") == "OK"
        assert gdb.ask("s").startswith("T05")
        assert program_counter(gdb) == SRAM + 2
        assert gdb.ask(f"Z1,{ENTRY:x},2") == "OK"
        assert gdb.ask(f"Pf={ENTRY.to_bytes(4, 'little').hex()}") == "OK"
        assert gdb.ask(f"z1,{ENTRY:x},2") == "OK"
        assert gdb.ask("D") == "OK"
        assert process.wait(timeout=30) == 0
    assert BANNER in bench.do("uart", run_ms=100, baud=115200, clear=True)["text"], "it runs on"

"""The station's own SWD core on the virtual wire: reads, writes, programs, measures, all the way to the cells."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target as PyocdTarget

from appliance.swd import pins
from appliance.swd.port import SwdPort
from appliance.swd.probe import GpioSwdProbe
from appliance.swd.settings import parse
from appliance.target.image import Image, parse_image
from appliance.target.session import open_target_on
from hil.firmware import image_path
from hil.tests.board.tools import FLASH, SRAM
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, UID
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.wire import Wire

(PIN_SET,) = parse(b'{"schema":1,"pin_sets":[{"name":"bench","backend":{"kind":"socket","path":"/nowhere"}}]}')
OPENERS: dict[str, Callable[[Wire], SwdPort]] = {
    "capsule": lambda wire: pins.on_capsule(wire.capsule()),
    "object": pins.on_object,
}


def probe_on(wire: Wire, opener: str = "capsule") -> GpioSwdProbe:
    return GpioSwdProbe(PIN_SET, opener=lambda _: OPENERS[opener](wire))


@contextmanager
def pyocd_on(wire: Wire) -> Iterator[PyocdTarget]:
    options = {"frequency": SWCLK_HZ, "auto_unlock": False}
    with Session(probe_on(wire), target_override="stm32f412xg", options=options) as session:
        yield session.target


def random_image(length: int, seed: int) -> Image:
    """A bootable beginning and noise after it."""
    start = image_path("1.0.0", "small", "bin").read_bytes()
    return parse_image(start + random.Random(seed).randbytes(length - len(start)), "bin", PROFILE, FLASH)


@pytest.mark.parametrize("opener", list(OPENERS))
def test_connects_both_ways(wire: Wire, opener: str) -> None:
    with OPENERS[opener](wire) as port:
        assert port.connect() == 0x2BA01477
        assert port.connect(dormant=True) == 0x2BA01477


@pytest.mark.parametrize("turnaround", [1, 2, 3, 4])
def test_agrees_on_turnaround(wire: Wire, turnaround: int) -> None:
    with OPENERS["capsule"](wire) as port:
        port.connect()
        port.write_dp(0x8, 1)
        port.write_dp(0x4, (turnaround - 1) << 8)
        assert port.read_dp(0x0) == 0x2BA01477
        port.connect()
        assert port.read_dp(0x0) == 0x2BA01477


def test_64_kib_are_programmed_and_measured_over_the_wire() -> None:
    board = Board(UID)
    board.power_on()
    image = random_image(0x10000, 1)
    with open_target_on(probe_on(Wire(board.soc)), PROFILE, swclk_hz=SWCLK_HZ) as target:
        assert target.identify().uid == UID
        target.program(image)
        measurement = target.measure(image.ranges())
        assert measurement.deviations(image.ranges()) == ()
    (segment,) = image.segments
    assert board.flash == segment.data + b"\xff" * (0x100000 - 0x10000)


def test_a_whole_unit_takes_the_same_cycles_and_time_every_time() -> None:
    ends = set()
    for _ in range(2):
        board = Board(UID)
        board.power_on()
        wire = Wire(board.soc)
        image = random_image(0x2000, 2)
        with open_target_on(probe_on(wire), PROFILE, swclk_hz=SWCLK_HZ) as target:
            target.program(image)
            target.measure(image.ranges())
        ends.add((board.soc.time.now, wire.cycles, board.flash_sha256()))
    assert len(ends) == 1


def test_memory_of_every_width_and_alignment(board: Board, wire: Wire) -> None:
    source = random.Random(9)
    plain = bytearray(source.randbytes(0x200))
    with pyocd_on(wire) as target:
        target.halt()
        target.write_memory_block8(SRAM, plain)
        for _ in range(60):
            size = source.choice([1, 2, 4])
            at = source.randrange(0x100) & ~(size - 1)
            value = source.getrandbits(8 * size)
            target.write_memory(SRAM + at, value, 8 * size)
            plain[at : at + size] = value.to_bytes(size, "little")
            assert target.read_memory(SRAM + at, 8 * size) == value
            at, length = source.randrange(0x80), source.randrange(1, 0x80)
            block = source.randbytes(length)
            target.write_memory_block8(SRAM + at, block)
            plain[at : at + length] = block
            assert bytes(target.read_memory_block8(SRAM + at, length)) == block
        assert bytes(target.read_memory_block8(SRAM, len(plain))) == plain
    wire.settle()
    assert board.soc.sram[: len(plain)] == plain


def write_at_once(target: PyocdTarget, address: int) -> None:
    target.write32(address, 1)
    target.flush()


@pytest.mark.parametrize("bad", [0x60000000, 0x20040000, 0x08100000, 0xA0000000])
def test_bad_addresses_are_faults_and_do_no_harm(wire: Wire, bad: int) -> None:
    with pyocd_on(wire) as target:
        target.halt()
        with pytest.raises(exceptions.TransferFaultError):
            target.read32(bad)
        with pytest.raises(exceptions.TransferFaultError):
            write_at_once(target, bad)
        with pytest.raises(exceptions.TransferFaultError):
            target.read_memory_block32(bad - 8, 4)
        target.write32(SRAM, 5)
        assert target.read32(SRAM) == 5


@pytest.mark.parametrize("kind", ["HARDWARE", "SYSTEM", "CORE", "EMULATED"])
def test_resets_of_each_kind_halt_at_the_vector(board: Board, wire: Wire, kind: str) -> None:
    firmware = image_path("1.0.0", "small", "bin").read_bytes()
    board.array.main[: len(firmware)] = firmware
    board.press_reset()
    with pyocd_on(wire) as target:
        target.reset_and_halt(PyocdTarget.ResetType[kind])
        assert target.get_state() is PyocdTarget.State.HALTED
        assert target.read_core_register("pc") == int.from_bytes(firmware[4:8], "little") & ~1


def test_steps_breakpoints_and_runs(wire: Wire) -> None:
    with pyocd_on(wire) as target:
        target.halt()
        for at in range(0, 16, 2):
            target.write16(SRAM + at, 0x3001)  # adds r0, #1
        target.write16(SRAM + 16, 0xE7FE)
        target.write_core_register("pc", SRAM)
        target.write_core_register("r0", 0)
        target.step()
        assert target.read_core_register("pc") == SRAM + 2
        target.set_breakpoint(SRAM + 8)
        target.resume()
        while target.get_state() is not PyocdTarget.State.HALTED:
            pass
        assert (target.read_core_register("pc"), target.read_core_register("r0")) == (SRAM + 8, 4)


def test_the_core_s_own_record_of_a_line_is_the_wire_s(wire: Wire) -> None:
    with OPENERS["capsule"](wire) as port:
        port.connect()
        before = port.counters.cycles, wire.cycles
        port.read_dp(0x4)
        assert port.counters.cycles - before[0] == wire.cycles - before[1] == 46 + 8


def test_a_broken_target_is_lost_pins_and_not_silence(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    from appliance.swd.errors import PinsLost

    def breaks(**_: object) -> None:
        raise RuntimeError("the model broke")

    with OPENERS["capsule"](wire) as port:
        port.connect()
        assert wire.soc is not None
        monkeypatch.setattr(wire.soc.dp, "transfer", breaks)
        with pytest.raises(PinsLost):
            port.read_dp(0x0)
        with pytest.raises(RuntimeError, match="the model broke"):
            wire.settle()

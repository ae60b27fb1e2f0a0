"""The pins under the protocol: objects, C tables, sockets, registers, the character device; and what they share."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.swd import _core, pins
from appliance.swd.errors import Cancelled, LineMissing, PinsBusy, PinsLost, PinsUnavailable
from appliance.swd.port import AP, READ, SwdPort
from appliance.swd.settings import GpioChip, GpioMem, Pins, PinSet, WireSocket
from tests.swd.reference_target import DPIDR, ReferenceTarget
from tests.swd.wire_server import serving

TAR, DRW = 0x4, 0xC
RAM = 0x2000_0000
BLOCK = bytes(range(200))


def exercise(port: SwdPort) -> None:
    """The same short story on any pins."""
    assert port.connect() == DPIDR
    port.run([(0x4, 0x50000000), (0x8, 0), (AP | 0x0, 0x12), (AP | TAR, RAM), (AP | DRW, BLOCK)])
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, len(BLOCK) // 4)]) == [BLOCK]
    port.assert_reset(asserted=True)
    assert port.is_reset_low()
    port.assert_reset(asserted=False)
    assert not port.is_reset_low()
    port.switch_power(on=False)
    assert not port.is_powered()
    port.switch_power(on=True)
    assert port.is_powered()


def test_pins_as_an_object() -> None:
    with pins.on_object(ReferenceTarget()) as port:
        exercise(port)


def test_an_exception_of_the_pins_reaches_the_caller_and_ends_the_operation() -> None:
    class Broken(ReferenceTarget):
        def exchange(self, count: int, out: int, drive: bool) -> int:
            if self.exchanges == 5:
                raise RuntimeError("the bench fell off the table")
            return super().exchange(count, out, drive)

    target = Broken()
    with pins.on_object(target) as port:
        with pytest.raises(RuntimeError, match="fell off"):
            port.connect()
        assert target.exchanges == 5


@pytest.mark.parametrize("answer", ["many", -1, 1 << 64, None])
def test_an_object_that_answers_nonsense_is_an_error(answer: object) -> None:
    class Nonsense(ReferenceTarget):
        def exchange(self, count: int, out: int, drive: bool) -> int:
            return answer  # type: ignore[return-value]  # that is the point

    with pins.on_object(Nonsense()) as port, pytest.raises((TypeError, OverflowError)):
        port.connect()


def test_pins_that_call_their_own_port_are_refused() -> None:
    class Recursive(ReferenceTarget):
        port: SwdPort

        def exchange(self, count: int, out: int, drive: bool) -> int:
            self.port.read_dp(0)
            return 0

    target = Recursive()
    with pins.on_object(target) as target.port, pytest.raises(PinsLost, match="deadlock"):
        target.port.connect()


class Table(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("ctx", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("exchange", "set_clock", "drive_pins", "set_line", "get_line", "wait")),
        ("close", ctypes.c_void_p),
    ]


class CapsuledTarget:
    """A target behind the C table, filled by ctypes."""

    def __init__(self, target: ReferenceTarget, version: int = 1) -> None:
        context, u32, u64, level = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.POINTER(ctypes.c_int)
        into = ctypes.POINTER(u64)

        def exchange(_: object, count: int, out: int, drive: int, seen: ctypes._Pointer[ctypes.c_uint64]) -> int:
            value = target.exchange(count, out, bool(drive))
            if seen:  # type: ignore[truthy-bool]  # a null pointer is false; ctypes has no annotation for it
                seen[0] = value
            return 0

        def get_line(_: object, line: int, seen: ctypes._Pointer[ctypes.c_int]) -> int:
            seen[0] = target.get_line(line)
            return 0

        def done(action: Callable[..., None]) -> Callable[..., int]:
            def call(_: object, *arguments: int) -> int:
                action(*arguments)
                return 0

            return call

        self.closed = 0

        def close(_: object) -> None:
            self.closed += 1

        function = ctypes.CFUNCTYPE
        self._kept = [
            function(ctypes.c_int, context, u32, u64, ctypes.c_int, into)(exchange),
            function(ctypes.c_int, context, u32)(done(target.set_clock)),
            function(ctypes.c_int, context, ctypes.c_int)(done(target.drive_pins)),
            function(ctypes.c_int, context, u32, ctypes.c_int)(done(target.set_line)),
            function(ctypes.c_int, context, u32, level)(get_line),
            function(ctypes.c_int, context, u64)(done(target.wait)),
            function(None, context)(close),
        ]
        addresses = [ctypes.cast(each, ctypes.c_void_p).value for each in self._kept]
        self._table = Table(version, ctypes.sizeof(Table), None, *addresses)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self._name = b"proofline.swd.pins.v1"
        self.capsule = new(ctypes.addressof(self._table), self._name, None)


def test_pins_as_a_c_table() -> None:
    held = CapsuledTarget(ReferenceTarget())
    with pins.on_capsule(held.capsule) as port:
        exercise(port)
        assert held.closed == 0
    assert held.closed == 1


def test_a_c_table_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        pins.on_capsule(CapsuledTarget(ReferenceTarget(), version=2).capsule)
    with pytest.raises(ValueError, match="PyCapsule"):
        pins.on_capsule(object())


def test_pins_behind_a_socket(tmp_path: Path) -> None:
    target = ReferenceTarget()
    with serving(target, tmp_path / "wire") as path:
        with pins.open_port(PinSet("a", WireSocket(str(path)), 4_000_000, 250, None)) as port:
            assert port.settings.wait_budget_ms == 250
            exercise(port)
            port.set_clock(2_000_000)
            port.drive_pins(driven=True)
            port.wait(1000)
            assert (target.hz, target.driven, target.waited_ns) == (2_000_000, True, 1000)
            port.assert_reset(asserted=True)
        with pins.on_socket(str(path)) as port:  # the door is free again, nRESET was let go
            assert not port.is_reset_low()


def test_a_socket_that_breaks_is_named(tmp_path: Path) -> None:
    with serving(ReferenceTarget(), tmp_path / "wire", cut_after=20) as path, pins.on_socket(str(path)) as port:
        port.connect()
        with pytest.raises(PinsLost):
            port.run([(READ | 0x4, 1)] * 20)
        with pytest.raises(PinsLost):
            port.read_dp(0)


def test_a_door_that_is_taken_or_missing_is_named(tmp_path: Path) -> None:
    with serving(ReferenceTarget(), tmp_path / "wire", cut_after=0) as path, pytest.raises(PinsBusy):
        pins.on_socket(str(path))
    with pytest.raises(PinsUnavailable):
        pins.on_socket(str(tmp_path / "nowhere"))
    with pytest.raises(PinsUnavailable):
        pins.on_socket("/" + "a" * 150)


# -- memory-mapped registers: a file stands in for the block; what was stored last can be seen in it ------------------

FSEL, SET, CLEAR, LEVEL = 0x00, 0x1C, 0x28, 0x34
PULL_2835, PULL_CLOCK_2835, PULL_2711 = 0x94, 0x98, 0xE4


@pytest.fixture
def registers(tmp_path: Path) -> Iterator[mmap.mmap]:
    (tmp_path / "gpiomem").write_bytes(bytes(4096))
    with (tmp_path / "gpiomem").open("r+b") as file, mmap.mmap(file.fileno(), 4096) as mapped:
        yield mapped


def register(registers: mmap.mmap, offset: int) -> int:
    value: int = struct.unpack_from("<I", registers, offset)[0]
    return value


def function_of(registers: mmap.mmap, pin: int) -> int:
    return register(registers, FSEL + pin // 10 * 4) >> pin % 10 * 3 & 7


def on_registers(tmp_path: Path, soc: int, *, active_low: bool = False) -> SwdPort:
    return SwdPort(_core.open_gpiomem(str(tmp_path / "gpiomem"), soc, 25, 24, 18, 23, active_low, 1, 2))


def test_registers_of_bcm2711(tmp_path: Path, registers: mmap.mmap) -> None:
    struct.pack_into("<I", registers, FSEL + 8, 0b111 << 27 | 0b010)  # pins 29 and 20 are somebody else's
    with on_registers(tmp_path, 1) as port:
        pulls = register(registers, PULL_2711) | register(registers, PULL_2711 + 4) << 32
        assert [pulls >> 2 * pin & 3 for pin in (24, 25, 18)] == [1, 2, 2]  # up, down, down
        assert (function_of(registers, 23), function_of(registers, 18)) == (1, 0)
        assert (function_of(registers, 25), function_of(registers, 24)) == (0, 0)  # nothing is driven yet
        port.drive_pins(driven=True)
        assert (function_of(registers, 25), function_of(registers, 24)) == (1, 1)
        port.sequence(3, 0b101)
        assert register(registers, SET) == 1 << 25
        port.listen(1)
        assert (function_of(registers, 24), register(registers, CLEAR)) == (0, 1 << 25)
        port.assert_reset(asserted=True)
        assert (function_of(registers, 18), register(registers, CLEAR)) == (1, 1 << 18)
        port.assert_reset(asserted=False)
        assert function_of(registers, 18) == 0
        port.switch_power(on=False)
        assert register(registers, CLEAR) == 1 << 23
        struct.pack_into("<I", registers, LEVEL, 1 << 18)
        assert not port.is_reset_low()
        assert not port.is_powered()
        port.assert_reset(asserted=True)
    assert [function_of(registers, pin) for pin in (25, 24, 18)] == [0, 0, 0]
    assert (function_of(registers, 29), function_of(registers, 20)) == (0b111, 0b010)
    assert function_of(registers, 23) == 1  # power stays as it is


def test_registers_of_bcm2835_and_power_that_is_active_low(tmp_path: Path, registers: mmap.mmap) -> None:
    with on_registers(tmp_path, 0, active_low=True) as port:
        assert register(registers, CLEAR) & 1 << 23  # on
        assert (register(registers, PULL_2835), register(registers, PULL_CLOCK_2835)) == (0, 0)  # latched and put back
        port.switch_power(on=False)
        assert register(registers, SET) == 1 << 23
        struct.pack_into("<I", registers, LEVEL, 1 << 23)
        assert not port.is_powered()


def test_samples_come_from_the_level_register(tmp_path: Path, registers: mmap.mmap) -> None:
    with on_registers(tmp_path, 1) as port:
        struct.pack_into("<I", registers, LEVEL, 1 << 24)
        assert port.listen(64) == (1 << 64) - 1
        struct.pack_into("<I", registers, LEVEL, ~(1 << 24) & 0xFFFFFFFF)
        assert port.listen(64) == 0
        port.set_clock(4_000_000)
        assert port.sequence(5, 0b10101) == 0


def test_registers_that_cannot_be_mapped_are_named(tmp_path: Path) -> None:
    backend = GpioMem(str(tmp_path / "none"), "bcm2711", Pins(25, 24, None, None, False, "up", "up"))
    with pytest.raises(PinsUnavailable):
        pins.open_port(PinSet("a", backend, 1_000_000, 100, None))
    with pytest.raises(ValueError, match="block of 32"):
        _core.open_gpiomem("/dev/null", 1, 32, 24, -1, -1, False, 1, 1)


# -- the character device: the kernel's uAPI with its checks, in a preloaded library ----------------------------------

CHIP_STORY = """
import sys
from appliance.swd import pins
from appliance.swd.settings import GpioChip, Pins, PinSet
from tests.swd.test_backends import exercise
backend = GpioChip(sys.argv[1], Pins(25, 24, 18, 23, sys.argv[2] == "low", "up", "up"))
with pins.open_port(PinSet("a", backend, 1_000_000, 100, None)) as port:
    port.drive_pins(driven=True)
    exercise(port)
    port.drive_pins(driven=False)
"""


@pytest.fixture(scope="module")
def fake_chip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("fake") / "fake_gpiochip.so"
    source = Path(__file__).with_name("fake_gpiochip.c")
    command = ["gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source]
    subprocess.run([*map(str, command), "-ldl"], check=True)
    return library


@pytest.mark.parametrize("active", ["high", "low"])
def test_the_character_device_talks_to_a_target(fake_chip: Path, active: str) -> None:
    told, tell = os.pipe()
    hear, answer = os.pipe()
    environment = os.environ | {
        "LD_PRELOAD": str(fake_chip),
        "FAKE_CHIP": "/dev/fakechip",
        "FAKE_SWCLK": "25",
        "FAKE_SWDIO": "24",
        "FAKE_TELL": str(tell),
        "FAKE_HEAR": str(hear),
    }
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CHIP_STORY, "/dev/fakechip", active]
    with subprocess.Popen(command, env=environment, pass_fds=(tell, hear), cwd=root) as story:
        os.close(tell)
        os.close(hear)
        target = ReferenceTarget()
        lines: list[str] = []
        with os.fdopen(told, "rb", buffering=0) as heard:
            while byte := heard.read(1):
                if byte in b"01z":
                    target._cycle(None if byte == b"z" else int(byte))
                    os.write(answer, b"z" if target._drives is None else b"%d" % target._drives)
                else:
                    lines.append((byte + heard.read(1)).decode())
        os.close(answer)
        assert story.wait(30) == 0
    assert len(target.memory) == 50
    on, off = ("1", "0") if active == "high" else ("0", "1")
    assert [change for change in lines if change[0] == chr(ord("A") + 18)] == ["S0", "Sz"]  # open drain: never high
    assert [change for change in lines if change[0] == chr(ord("A") + 23)] == [f"X{on}", f"X{off}", f"X{on}"]


def test_a_device_that_is_no_gpio_chip_is_named(tmp_path: Path) -> None:
    wired = Pins(25, 24, None, None, False, "up", "up")
    for path in ("/dev/null", str(tmp_path / "none")):
        with pytest.raises(PinsUnavailable):
            pins.open_port(PinSet("a", GpioChip(path, wired), 1_000_000, 100, None))


# -- what all ports share ----------------------------------------------------------------------------------------------


def test_lines_that_are_not_wired_are_named(tmp_path: Path, registers: mmap.mmap) -> None:
    assert len(registers) == 4096
    with SwdPort(_core.open_gpiomem(str(tmp_path / "gpiomem"), 1, 25, 24, -1, -1, False, 1, 1)) as port:
        for work in (
            lambda: port.assert_reset(asserted=True),
            port.is_reset_low,
            lambda: port.switch_power(on=True),
            port.is_powered,
        ):
            with pytest.raises(LineMissing):
                work()


def test_a_closed_port_refuses(tmp_path: Path) -> None:
    port = pins.on_null()
    port.close()
    port.close()
    for work in (lambda: port.read_dp(0), port.line_reset, lambda: port.listen(1), lambda: port.set_clock(1)):
        with pytest.raises(PinsLost):
            work()


def test_pins_that_go_nowhere_acknowledge_everything() -> None:
    with pins.on_null() as port:
        assert port.connect() == 0
        assert port.run([(AP | DRW, bytes(4096)), (AP | READ | DRW, 1024)]) == [bytes(4096)]
        transfers = 1 + 1024 + 1024 + 1
        assert (port.counters.transfers, port.counters.waits) == (transfers, 0)


def test_ports_are_worked_at_once_each_for_itself() -> None:
    """Four targets in four threads: nothing of one shows in another."""
    targets = [ReferenceTarget() for _ in range(4)]
    failures: list[BaseException] = []

    def work(port: SwdPort, mine: bytes) -> None:
        try:
            port.connect()
            port.run([(0x4, 0x50000000), (AP | 0x0, 0x12)])
            for _ in range(10):
                port.run([(AP | TAR, RAM), (AP | DRW, mine)])
                assert port.run([(AP | TAR, RAM), (AP | READ | DRW, len(mine) // 4)]) == [mine]
        except BaseException as error:
            failures.append(error)
            raise

    with ExitStack() as opened:
        ports = [opened.enter_context(pins.on_object(target)) for target in targets]
        threads = [threading.Thread(target=work, args=(port, bytes([index]) * 80)) for index, port in enumerate(ports)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_one_port_is_worked_by_many_threads_one_after_another() -> None:
    target = ReferenceTarget()
    with pins.on_object(target) as port:
        port.connect()
        seen: list[int] = []
        threads = [threading.Thread(target=lambda: seen.extend(port.read_dp(0) for _ in range(50))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [DPIDR] * 200


def test_the_core_gives_python_back_while_it_works() -> None:
    """Another thread runs while one operation of a few seconds is under way, and can end it."""
    with pins.on_null() as port:
        port.run([(AP | DRW, bytes(4))])
        ended = threading.Event()

        def work() -> None:
            try:
                while True:
                    port.run([(AP | READ | DRW, 1 << 20)])
            except Cancelled:
                ended.set()

        thread = threading.Thread(target=work)
        thread.start()
        port.cancel()
        thread.join(20)
        assert ended.is_set()

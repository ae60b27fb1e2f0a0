"""What goes wrong between probe and board has a name, and never a wrong image that nobody noticed."""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.target.errors import (
    Cancelled,
    DebuggerFault,
    FlashRejected,
    FlashUncertain,
    MeasurementInterrupted,
    ProbeLost,
    ProbeMissing,
    RangeOutsideFlash,
    StubDidNotRun,
    StubSealBroken,
    TargetError,
    TargetSilent,
    TooManyRanges,
)
from appliance.target.image import Image, ImageRange, Segment
from appliance.target.link import Link, connect
from appliance.target.measure import Mode
from appliance.target.program import Erase
from appliance.target.session import Target, open_target, open_target_on
from appliance.target.stub_blob import blob
from appliance.target.stub_protocol import RESULT_OFFSET
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, Wire, block_writes, fresh_board, opened
from hil.tests.target.test_unit import FLASH_LENGTH, MODES, firmware, in_flash, provision
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.probe import VirtualNucleoProbe


def test_probe_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFLINE_BENCH", "")
    for probe in ("vnucleo:nowhere", "no-such-plugin:1"):
        with pytest.raises(ProbeMissing), open_target(probe, PROFILE, swclk_hz=SWCLK_HZ):
            pass


def test_board_without_power_is_silent() -> None:
    board = fresh_board()
    board.power_off()
    with pytest.raises(TargetSilent), opened(board):
        pass


def test_probe_pulled_before_programming_leaves_the_flash_untouched() -> None:
    board = fresh_board()
    wire = Wire(board)
    with opened(board, wire) as target:
        wire.alive = False
        with pytest.raises(ProbeLost):
            target.identify()
        with pytest.raises(ProbeLost):
            target.program(firmware())
    assert board.flash == b"\xff" * FLASH_LENGTH


def _pull(board: Board, wire: Wire, cancel: threading.Event) -> None:
    del board, cancel
    wire.alive = False


def _cut_power(board: Board, wire: Wire, cancel: threading.Event) -> None:
    del wire, cancel
    board.power_off()


def _ask_to_stop(board: Board, wire: Wire, cancel: threading.Event) -> None:
    del board, wire
    cancel.set()


Act = Callable[[Board, Wire, threading.Event], None]


@pytest.mark.parametrize(
    ("act", "cause"),
    [(_pull, "PL-TGT-041"), (_cut_power, "PL-TGT-042"), (_ask_to_stop, "PL-TGT-043")],
    ids=["probe-pulled", "power-cut", "cancelled"],
)
def test_interrupted_programming_is_uncertain_and_a_rework_heals_it(act: Act, cause: str) -> None:
    board, image = fresh_board(), firmware(size="full")
    wire, cancel = Wire(board), threading.Event()
    probe = VirtualNucleoProbe(wire, "local")

    def progress(done: int, total: int) -> None:
        if done > total // 3:
            act(board, wire, cancel)

    with (
        open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ, cancel=cancel) as target,
        pytest.raises(FlashUncertain) as caught,
    ):
        target.program(image, progress)
    details = caught.value.details
    assert details["cause"] == cause
    assert details["stage"] == "program"
    assert details["total"] == image.length
    assert isinstance(details["done"], int)
    assert image.length // 3 < details["done"] < image.length
    assert board.flash != in_flash(image)
    board.power_off()
    board.power_on()
    provision(board, image, Erase.ALL)


def test_power_cut_while_erasing_is_uncertain() -> None:
    board = fresh_board()
    board.array.main[:] = in_flash(firmware(size="full"))
    wire = Wire(board)

    def cut_in_an_erase(_number: int, data: bytes) -> bytes:
        if board.soc.flash.busy:
            board.power_off()
        return data

    wire.before = cut_in_an_erase
    with opened(board, wire) as target, pytest.raises(FlashUncertain) as caught:
        target.program(firmware("1.1.0"))
    assert caught.value.details["stage"] == "erase"
    assert caught.value.details["done"] == 0


def test_flash_that_does_not_take_the_program_is_rejected() -> None:
    board, image = fresh_board(), firmware(size="full")
    closed = PROFILE.sectors[7]
    with opened(board) as target:

        def protect(done: int, _total: int) -> None:
            if done:
                board.options.program(board.options.stored & ~(1 << 16 + 7))  # it closes under our hands

        with pytest.raises(FlashRejected) as caught:
            target.program(image, protect)
    details = caught.value.details
    assert details["address"] == hex(closed.start)
    assert details["done"] == closed.start - PROFILE.flash_start
    assert details["result"] == "FLASH_SR 0x10"  # WRPERR
    assert board.flash == in_flash(image)[: closed.start - PROFILE.flash_start].ljust(FLASH_LENGTH, b"\xff")


def test_word_that_does_not_read_back_is_rejected_by_its_address() -> None:
    board, image = fresh_board(), firmware(size="full")
    stuck = 0x6_1234
    word = int.from_bytes(image.segments[0].data[stuck : stuck + 4], "little")
    with opened(board) as target:

        def spoil(done: int, _total: int) -> None:
            if done < stuck:
                board.array.main[stuck : stuck + 4] = bytes(4)

        with pytest.raises(FlashRejected) as caught:
            target.program(image, spoil)
    details = caught.value.details
    assert (details["stage"], details["address"]) == ("program", hex(PROFILE.flash_start + stuck))
    assert details["done"] == stuck
    assert details["result"] == f"0x00000000 read back for {word:#010x}"


def test_cancelled_before_programming_leaves_the_flash_untouched() -> None:
    board, cancel = fresh_board(), threading.Event()
    probe = VirtualNucleoProbe.on_board(board)
    with open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ, cancel=cancel) as target:
        cancel.set()
        with pytest.raises(Cancelled):
            target.program(firmware())
    with pytest.raises(Cancelled), open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ, cancel=cancel):
        pass
    assert board.flash == b"\xff" * FLASH_LENGTH


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("after", [1, 5, 25])
@pytest.mark.parametrize("act", [_pull, _cut_power], ids=["probe-pulled", "power-cut"])
def test_interrupted_measurement_is_no_measurement(act: Act, after: int, mode: Mode) -> None:
    board = fresh_board()
    board.array.main[:] = in_flash(firmware(size="full"))
    wire = Wire(board)
    with opened(board, wire) as target:
        start = wire.requests

        def interrupt(number: int, data: bytes) -> bytes:
            if number == start + after:
                act(board, wire, threading.Event())
            return data

        wire.before = interrupt
        with pytest.raises(MeasurementInterrupted):
            target.measure(firmware(size="full").ranges(), mode)


def _flip_once(wire: Wire, wanted: bytes) -> list[int]:
    """One bit of the first block write that carries `wanted` flips; where in its request."""
    flipped: list[int] = []

    def flip(_number: int, data: bytes) -> bytes:
        at = data.find(wanted)
        if at < 0 or flipped:
            return data
        flipped.append(at)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    wire.before = flip
    return flipped


def test_page_damaged_on_its_way_is_not_programmed() -> None:
    board, image = fresh_board(), firmware(size="full")
    wire = Wire(board)
    flipped = _flip_once(wire, image.segments[0].data[0x9000:0x9040])
    with opened(board, wire) as target, pytest.raises(FlashUncertain) as caught:
        target.program(image)
    assert flipped
    details = caught.value.details
    whole = int(str(details["address"]), 16) - PROFILE.flash_start
    assert 0 < whole <= 0x9000
    assert details["done"] == whole
    assert "damaged on its way" in str(caught.value)
    assert board.flash == in_flash(image)[:whole].ljust(FLASH_LENGTH, b"\xff")


@pytest.mark.parametrize("what", ["loader_stm32f412.bin", "stub_stm32f412.bin"])
def test_code_damaged_on_its_way_does_not_run(what: str) -> None:
    board = fresh_board()
    wire = Wire(board)
    flipped = _flip_once(wire, blob(what)[0x100:0x140])
    with opened(board, wire) as target, pytest.raises(DebuggerFault) as caught:
        target.program(firmware(), erase=Erase.NEEDED)
    assert flipped
    assert "does not hold what was written" in str(caught.value)
    assert board.flash == b"\xff" * FLASH_LENGTH


def test_cancelled_while_erasing_stops_the_core() -> None:
    board, image = fresh_board(), firmware(size="full")
    board.array.main[:] = in_flash(image)
    wire, cancel = Wire(board), threading.Event()

    def ask_in_the_third_sector(_number: int, data: bytes) -> bytes:
        if board.soc.flash.erase_count[2]:
            cancel.set()
        return data

    wire.before = ask_in_the_third_sector
    probe = VirtualNucleoProbe(wire, "local")
    with (
        open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ, cancel=cancel) as target,
        pytest.raises(FlashUncertain) as caught,
    ):
        target.program(firmware("1.1.0", "full"))
    assert (caught.value.details["stage"], caught.value.details["cause"]) == ("erase", "PL-TGT-043")
    board.run_ms(10_000)
    assert sum(board.soc.flash.erase_count) < 5
    assert board.soc.flash.programmed_bytes == 0


def _mixed_image() -> Image:
    """Pages enough to be on the wire while others are programmed, and words that two segments share."""
    small = firmware().segments[0]
    body = small.data + random.Random(1).randbytes(18_001 - len(small.data))
    tail = random.Random(2).randbytes(7)
    return Image(PROFILE.part, (Segment(small.start, body), Segment(small.start + len(body) + 1, tail)))


MIXED = _mixed_image()
WRITTEN = 0x2_6000


def _old_board() -> Board:
    board = fresh_board()
    board.array.main[WRITTEN] = 0  # something to erase, too
    return board


@functools.cache
def _requests_of_a_unit() -> int:
    board = _old_board()
    wire = Wire(board)
    with opened(board, wire) as target:
        target.identify()
        target.program(MIXED)
        assert target.measure(MIXED.ranges()).deviations(MIXED.ranges()) == ()
    assert board.flash == in_flash(MIXED)
    return wire.requests


class Plan:
    """One fault from one request on: the probe pulled, the power cut then or a little later (in the middle of an erase,
    a programmed word, a block write), or one bit of a block write flipped."""

    def __init__(self, board: Board, wire: Wire, seed: int) -> None:
        self._board = board
        self._wire = wire
        self._choice = random.Random(seed)
        self._at = self._choice.randrange(1, _requests_of_a_unit())
        self._kind = self._choice.choice(["pull", "cut", "cut-later", "flip", "flip"])
        self.done = False

    def __call__(self, number: int, data: bytes) -> bytes:
        if self.done or number < self._at:
            return data
        if self._kind == "flip":
            return self._flipped(data)
        self.done = True
        if self._kind == "pull":
            self._wire.alive = False
        elif self._kind == "cut":
            self._board.power_off()
        else:
            self._board.power_off_after(int(10 ** self._choice.uniform(1, 6)))
        return data

    def _flipped(self, data: bytes) -> bytes:
        blocks = [(start, end) for start, end in block_writes(data) if end - start >= 16]
        if not blocks:
            return data
        self.done = True
        at = self._choice.randrange(*self._choice.choice(blocks))
        return data[:at] + bytes([data[at] ^ 1 << self._choice.randrange(8)]) + data[at + 1 :]


@pytest.mark.parametrize("seed", range(1000 if os.environ.get("PROOFLINE_SOAK") == "1" else 100))
def test_random_fault_ends_in_a_name_or_in_what_was_measured(seed: int) -> None:
    board = _old_board()
    before = board.flash
    wire = Wire(board)
    wire.before = plan = Plan(board, wire, seed)
    programmed, right, failure = False, False, None
    try:
        with opened(board, wire) as target:
            target.identify()
            target.program(MIXED)
            programmed = True
            right = target.measure(MIXED.ranges()).deviations(MIXED.ranges()) == ()
    except TargetError as error:
        failure = error
    if failure is None:
        assert right == (board.flash == in_flash(MIXED))
        return
    assert plan.done
    if not isinstance(failure, FlashUncertain):
        assert board.flash == (in_flash(MIXED) if programmed else before)
        return
    assert not programmed
    assert 0 <= int(str(failure.details["done"])) <= MIXED.length
    board.power_off()
    board.power_on()
    provision(board, MIXED, Erase.ALL)


REGISTERS = (0x4002_3800, 0x4002_3804, 0x4002_3808, 0x4002_3840, 0x4000_7000, 0x4002_3C00)
CORE = [*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "xpsr", "primask"]
FLASH_CR = 0x4002_3C10


def test_programming_puts_clock_and_flash_interface_back() -> None:
    board = _old_board()
    with connect(VirtualNucleoProbe.on_board(board), PROFILE, swclk_hz=SWCLK_HZ, cancel=None) as link:
        before = [link.read32(address) for address in (*REGISTERS, FLASH_CR)]
        Target(link).program(MIXED)
        assert [link.read32(address) for address in (*REGISTERS, FLASH_CR)] == before
    assert before[-1] == 1 << 31  # locked
    assert board.flash == in_flash(MIXED)


def test_measuring_puts_clock_flash_interface_and_core_back() -> None:
    board = fresh_board()
    provision(board, firmware())
    with connect(VirtualNucleoProbe.on_board(board), PROFILE, swclk_hz=SWCLK_HZ, cancel=None) as link:
        before = [link.read32(address) for address in REGISTERS], link.core.read_core_registers_raw(CORE)
        measured = Target(link).measure(firmware().ranges())
        after = [link.read32(address) for address in REGISTERS], link.core.read_core_registers_raw(CORE)
    assert measured.deviations(firmware().ranges()) == ()
    assert before == after


def test_stub_that_never_ran_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    board = fresh_board()
    with opened(board) as target:
        target.measure([])
        monkeypatch.setattr(Link, "call", lambda *_: PROFILE.stub.load_address)
        with pytest.raises(StubDidNotRun):
            target.measure([])


def test_result_of_the_last_run_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    board = fresh_board()
    with opened(board) as target:
        target.measure([])
        address = PROFILE.stub.mailbox + RESULT_OFFSET
        link = target._link
        last = link.read(address, 0x400)

        def replay(*_: object) -> int:
            link.write(address, last)
            return PROFILE.stub.load_address

        monkeypatch.setattr(Link, "call", replay)
        with pytest.raises(StubSealBroken):
            target.measure([])


def test_stub_that_faults_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    board = fresh_board()
    provision(board, firmware())
    call = Link.call

    def jump_nowhere(link: Link, registers: dict[str, int], timeout_s: float, stage: str) -> int:
        return call(link, registers | {"pc": 0x6000_0000}, timeout_s, stage)

    monkeypatch.setattr(Link, "call", jump_nowhere)
    with opened(board) as target, pytest.raises(StubDidNotRun) as caught:
        target.measure(firmware().ranges())
    assert "outside the stub" in str(caught.value)  # halted at the fault, not after a time-out in the board's handlers
    assert board.uart_output() == b""


@pytest.mark.parametrize(
    ("start", "length"),
    [(0x0800_0000, 0), (0x07FF_FFFC, 8), (0x080F_FFFF, 2), (0x2000_0000, 4), (0x0800_0100, 4)],
    ids=["empty", "before", "behind", "ram", "overlap"],
)
def test_range_outside_flash_or_on_another_is_refused(start: int, length: int) -> None:
    with opened(fresh_board()) as target, pytest.raises(RangeOutsideFlash):
        target.measure([ImageRange("a", 0x0800_0100, 16, ""), ImageRange("b", start, length, "")])


def test_too_many_ranges_are_refused() -> None:
    ranges = [ImageRange(str(n), 0x0800_0000 + 16 * n, 8, "") for n in range(65)]
    with opened(fresh_board()) as target, pytest.raises(TooManyRanges):
        target.measure(ranges)


def test_files_of_the_surroundings_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    for name in ("pyocd_user.py", ".pyocd_user.py"):
        (tmp_path / name).write_text(f"open({str(ran)!r}, 'w').close()\n")
    for name in ("pyocd.yaml", ".pyocd.yaml"):
        (tmp_path / name).write_text("auto_unlock: true\nsmart_flash: true\ntarget_override: nrf52\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYOCD_PROJECT_DIR", "/")
    with connect(VirtualNucleoProbe.on_board(fresh_board()), PROFILE, swclk_hz=SWCLK_HZ, cancel=None) as link:
        options = link.session.options
        assert [options.get(o) for o in ("auto_unlock", "smart_flash", "target_override")] == [
            False,
            False,
            "stm32f412xg",
        ]
    assert not ran.exists()
    assert Path.cwd() == tmp_path

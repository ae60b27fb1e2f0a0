"""Whole units over a wire on which things go wrong: the station's own programming and measuring under fault plans.

- Each plan ends in the right named error, or in a success whose disturbance the probe's counters show; and after each,
  the cells themselves are looked at, behind everybody's back.
- A board that was left half done is then reworked: erased and programmed anew, without faults, and found right.
- 100 random plans; with PROOFLINE_SOAK=1, 1,000 others.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from appliance.swd import pins
from appliance.swd.port import Counters
from appliance.swd.probe import GpioSwdProbe
from appliance.swd.settings import parse
from appliance.target.errors import (
    DebuggerFault,
    DeviceRefused,
    FlashUncertain,
    LinkError,
    MeasurementError,
    MeasurementInterrupted,
    TargetError,
    TargetSilent,
)
from appliance.target.image import parse_image
from appliance.target.program import Erase
from appliance.target.session import open_target_on
from hil.firmware import image_path
from hil.tests.board.tools import FLASH
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, UID
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.vtime import PS_PER_MS
from hil.virtual_nucleo.wire import Wire
from hil.virtual_nucleo.wire_faults import (
    NO_FAULTS,
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
    random_plan,
)

SOAK = os.environ.get("PROOFLINE_SOAK") == "1"
SEEDS = range(10_000, 11_000) if SOAK else range(100)
(PIN_SET,) = parse(b'{"schema":1,"pin_sets":[{"name":"bench","backend":{"kind":"socket","path":"/nowhere"}}]}')

_OLD = image_path("1.1.0", "small", "bin").read_bytes().ljust(0x4000, b"\xff") + random.Random(1).randbytes(0x1000)
"""What the board holds before: a firmware that runs after each reset, and noise in the next sector."""
_START = image_path("1.0.0", "small", "bin").read_bytes()
IMAGE = parse_image(_START + random.Random(3).randbytes(0x2000 - len(_START)), "bin", PROFILE, FLASH)
RIGHT = IMAGE.segments[0].data + b"\xff" * (0x100000 - 0x2000)


@dataclass
class Unit:
    """One unit: how far it came, and what was seen of it; `counters` are the probe's, after a measurement."""

    board: Board
    wire: Wire
    before: bytes
    stage: str = "connect"
    error: TargetError | None = None
    deviations: tuple[str, ...] = ()
    counters: Counters | None = None
    happened: tuple[Fault, ...] = ()

    @property
    def cells(self) -> bytes:
        return self.board.flash

    @property
    def succeeded(self) -> bool:
        return self.error is None and not self.deviations


@dataclass(frozen=True)
class Undisturbed:
    """A unit without faults: its counters, its erases and flash writes, and at which transfer each stage begins."""

    counters: Counters
    erases: int
    words: int
    begins: dict[str, int]

    def within(self, stage: str) -> int:
        """A transfer in the middle of *stage*."""
        bounds = sorted({*self.begins.values(), self.counters.transfers})
        first = self.begins[stage]
        return (first + next(bound for bound in bounds if bound > first)) // 2


def probe_on(wire: Wire) -> GpioSwdProbe:
    return GpioSwdProbe(PIN_SET, opener=lambda _: pins.on_capsule(wire.capsule()))


class Watched(Wire):
    """Notes the transfers that found the core running code of ours: a patient poll of DHCSR takes the board's time."""

    polls: list[int]

    def _answer(self, request: int, transfer: int, cycles: int) -> int:
        assert self.soc is not None
        before = self.soc.time.now
        answer = super()._answer(request, transfer, cycles)
        if self.soc.time.now - before > PS_PER_MS:
            self.polls.append(transfer)
        return answer


def make_unit(plan: FaultPlan, begins: dict[str, int] | None = None, wire_type: type[Wire] = Wire) -> Unit:
    """A used board is programmed and measured while *plan* happens; any error but a `TargetError` is the test's."""
    board = Board(UID)
    board.power_on()
    board.array.main[: len(_OLD)] = _OLD
    board.press_reset()
    wire = wire_type(board.soc)
    performance = wire.attach(plan)
    unit = Unit(board, wire, before=board.flash)
    probe = probe_on(wire)

    def enter(stage: str) -> None:
        unit.stage = stage
        if begins is not None:
            begins[stage] = wire.slave.transfers

    try:
        enter("connect")
        with open_target_on(probe, PROFILE, swclk_hz=SWCLK_HZ) as target:
            enter("identify")
            target.identify()
            enter("program")
            target.program(IMAGE)
            enter("measure")
            unit.deviations = target.measure(IMAGE.ranges()).deviations(IMAGE.ranges())
            unit.counters, unit.happened = probe.port.counters, performance.happened
    except TargetError as error:
        unit.error, unit.happened = error, performance.happened
    performance.end()
    wire.settle()
    return unit


def rework(unit: Unit) -> None:
    """The board comes back with its power, and everything is erased and programmed anew."""
    unit.board.power_off()
    unit.board.power_on()
    wire = Wire(unit.board.soc)
    with open_target_on(probe_on(wire), PROFILE, swclk_hz=SWCLK_HZ) as target:
        target.program(IMAGE, erase=Erase.ALL)
        assert target.measure(IMAGE.ranges()).deviations(IMAGE.ranges()) == ()
    assert unit.cells == RIGHT


@pytest.fixture(scope="module")
def undisturbed() -> Undisturbed:
    begins: dict[str, int] = {}
    unit = make_unit(NO_FAULTS, begins)
    assert unit.succeeded
    assert unit.cells == RIGHT
    assert unit.counters is not None
    assert (unit.counters.waits, unit.counters.resends) == (0, 0)
    flash = unit.board.soc.flash
    return Undisturbed(unit.counters, sum(flash.erase_count), flash.programmed_bytes // 4, begins)


def complaint(unit: Unit, undisturbed: Undisturbed) -> str | None:
    """What is wrong about how *unit* ended, if anything."""
    error = unit.error
    if error is None:
        return _about_end(unit, undisturbed)
    if not unit.happened:
        return "an error out of nothing"
    if "PL-TGT-041" in {error.code, error.details.get("cause")}:
        return "the probe was there all the time"
    if unit.stage == "measure":
        return None if isinstance(error, MeasurementError | DeviceRefused) else "not an error of measuring"
    if isinstance(error, FlashUncertain):
        return None if unit.stage == "program" else "nothing was to be changed yet"
    if not isinstance(error, LinkError | DeviceRefused | MeasurementError):
        return "not an error of this stage"
    return None if unit.cells == unit.before else "the error says that the flash was not touched, and it was"


def _about_end(unit: Unit, undisturbed: Undisturbed) -> str | None:
    if unit.deviations:
        return "a right image is called wrong" if unit.cells == RIGHT else None
    if unit.cells != RIGHT:
        return "SILENTLY WRONG"
    noticed = [fault for fault in unit.happened if not isinstance(fault, Flip | Stuck | ResetHeld)]
    if (
        noticed and unit.counters == undisturbed.counters
    ):  # a level nobody sampled, or that was there anyway, is no fault
        return "a recovery that no counter shows"
    if any(_for_good(fault) for fault in unit.happened):
        return "the board has no power any more"
    return None


def _for_good(fault: Fault) -> bool:
    return isinstance(fault, PowerLost | PowerLostErasing | PowerLostProgramming) and fault.back_us is None


def test_random_plans_end_in_named_errors_or_in_recorded_recoveries(undisturbed: Undisturbed) -> None:
    complaints: list[str] = []
    ends: Counter[str] = Counter()
    happened: Counter[type[Fault]] = Counter()
    for seed in SEEDS:
        plan = random_plan(
            seed, transfers=undisturbed.counters.transfers, erases=undisturbed.erases, words=undisturbed.words
        )
        unit = make_unit(plan)
        if wrong := complaint(unit, undisturbed):
            complaints.append(f"seed {seed}, {unit.stage}: {wrong}; {unit.error!r}, {unit.counters}, {plan}")
        elif unit.cells not in {unit.before, RIGHT}:
            rework(unit)
        ends[unit.error.code if unit.error else "success" if unit.succeeded else "deviation"] += 1
        happened.update(type(fault) for fault in unit.happened)
    assert not complaints, "\n".join(complaints)
    for kind in (Flip, Stuck, LostAck, Waits, BusError, ResetHeld, PowerLost, PowerLostErasing, PowerLostProgramming):
        assert happened[kind] >= len(SEEDS) // 50, f"{kind.__name__} hardly ever happened: {happened}"
    assert ends["success"] >= len(SEEDS) // 50, ends
    assert ends["PL-TGT-050"] >= len(SEEDS) // 10, ends
    assert ends["PL-TGT-062"] >= len(SEEDS) // 50, ends


# -- one fault at a time, each with the error it must end in -------------------------------------------------------


@pytest.mark.parametrize("stage", ["connect", "identify", "program", "measure"])
@pytest.mark.parametrize("count", [1, 300])
def test_waits_are_borne_and_counted(undisturbed: Undisturbed, stage: str, count: int) -> None:
    unit = make_unit(FaultPlan((Waits(undisturbed.within(stage), count),)))
    assert unit.succeeded
    assert unit.cells == RIGHT
    assert unit.counters is not None
    assert unit.counters.waits == count


@pytest.mark.parametrize(
    ("stage", "fault", "error", "cause"),
    [
        ("connect", PowerLost(0, 1), TargetSilent, None),
        ("connect", Stuck(0, 1, 1 << 40, 0), TargetSilent, None),
        ("connect", Stuck(0, 1, 1 << 40, 1), TargetSilent, None),
        ("identify", PowerLost(0, 1), TargetSilent, None),
        ("identify", LostAck(0), TargetSilent, None),
        ("identify", BusError(0), DebuggerFault, None),
        ("program", PowerLostErasing(0, 0.5), FlashUncertain, TargetSilent),
        ("program", PowerLostErasing(1, 0.9), FlashUncertain, TargetSilent),
        ("program", PowerLostProgramming(0, 0.5), FlashUncertain, TargetSilent),
        ("program", PowerLostProgramming(1000, 0.1), FlashUncertain, TargetSilent),
        ("measure", PowerLost(0, 1), MeasurementInterrupted, TargetSilent),
        ("measure", LostAck(0), MeasurementInterrupted, TargetSilent),
        ("measure", BusError(0), MeasurementInterrupted, DebuggerFault),
        ("measure", Stuck(0, 1, 1 << 40, 0), MeasurementInterrupted, TargetSilent),
    ],
)
def test_each_fault_has_its_error(
    undisturbed: Undisturbed, stage: str, fault: Fault, error: type[TargetError], cause: type[TargetError] | None
) -> None:
    if isinstance(fault, PowerLost | Stuck | LostAck | BusError):
        fault = replace(fault, transfer=undisturbed.within(stage))
    unit = make_unit(FaultPlan((fault,)))
    assert unit.stage == stage
    assert unit.error is not None
    assert type(unit.error) is error
    assert unit.error.details.get("cause") == (cause.code if cause else None)
    assert complaint(unit, undisturbed) is None
    rework(unit)


def test_a_reset_while_code_of_ours_runs_is_noticed_at_once(
    undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls: list[int] = []
    monkeypatch.setattr(Watched, "polls", polls, raising=False)
    assert make_unit(NO_FAULTS, wire_type=Watched).succeeded
    assert {bool(poll < undisturbed.begins["measure"]) for poll in polls} == {True, False}
    seen = Counter[str]()
    for poll in polls:
        unit = make_unit(FaultPlan((ResetHeld(poll, 2, 10),)))
        assert unit.error is not None
        assert complaint(unit, undisturbed) is None
        seen[str(unit.error.details.get("cause", unit.error.code))] += "was reset while" in str(unit.error)
    assert seen == Counter({DebuggerFault.code: seen[DebuggerFault.code]})
    assert seen[DebuggerFault.code] >= 3, "the old firmware, the half and the whole new one"

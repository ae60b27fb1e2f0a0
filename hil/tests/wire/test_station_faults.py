"""Random faults under a whole unit: the station's programming and measuring, through pyOCD and its own pins.

Whatever happens on the wire ends in one of the station's named errors, in a measurement that deviates, or in flash
that holds the image and nothing else: looked up in the cells.

``PROOFLINE_FAULT_PLANS`` asks for more plans than the default.
"""

from __future__ import annotations

import os
import random

import pytest

from appliance.errors import ProoflineError
from appliance.target.session import open_target_on
from hil.tests.board.tools import burn
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, UID
from hil.tests.wire.test_gpioswd import probe_on, random_image
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.wire import Wire
from hil.virtual_nucleo.wire_faults import NO_FAULTS, FaultPlan, PowerLostErasing, PowerLostProgramming, random_plan

LENGTH = 0x1800
IMAGE = random_image(LENGTH, 1)
OLD = random.Random(4).randbytes(0x8000)
PLANS = int(os.environ.get("PROOFLINE_FAULT_PLANS", "24"))


def fresh() -> tuple[Board, Wire]:
    board = Board(UID)
    board.power_on()
    burn(board, OLD)
    return board, Wire(board.soc)


def unit(wire: Wire) -> str:
    """A unit's verdict: ``done``, ``deviates``, or the name of the station's error."""
    try:
        with open_target_on(probe_on(wire), PROFILE, swclk_hz=SWCLK_HZ) as target:
            target.program(IMAGE)
            deviations = target.measure(IMAGE.ranges()).deviations(IMAGE.ranges())
    except ProoflineError as error:
        return type(error).__name__
    return "deviates" if deviations else "done"


def holds_the_image(board: Board) -> bool:
    return board.flash == IMAGE.segments[0].data + b"\xff" * (0x100000 - LENGTH)


@pytest.fixture(scope="module")
def transfers() -> int:
    """How many transfers a unit takes when nothing goes wrong."""
    board, wire = fresh()
    wire.attach(NO_FAULTS)
    assert unit(wire) == "done"
    assert holds_the_image(board)
    return wire.slave.transfers


def test_no_plan_ends_in_a_silently_wrong_image(transfers: int) -> None:
    verdicts: dict[str, int] = {}
    for seed in range(PLANS):
        board, wire = fresh()
        plan = random_plan(seed, transfers=transfers, erases=2, words=LENGTH // 4)
        wire.attach(plan)
        verdict = unit(wire)
        assert verdict != "done" or holds_the_image(board), f"plan {seed}: {plan}"
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    assert 0 < verdicts["done"] < PLANS, verdicts
    assert len(verdicts) > 3, verdicts


@pytest.mark.parametrize("fault", [PowerLostErasing(1, 0.5), PowerLostProgramming(700, 0.5)])
def test_power_lost_while_flash_changes_leaves_the_unit_uncertain(fault: PowerLostErasing) -> None:
    board, wire = fresh()
    performance = wire.attach(FaultPlan((fault,)))
    assert unit(wire) == "FlashUncertain"
    assert performance.happened == (fault,)
    assert not board.soc.powered
    assert not holds_the_image(board)
    board.power_on()
    wire.attach(NO_FAULTS)
    assert unit(wire) == "done"
    assert holds_the_image(board)

"""All that the line ever does to a board, behind one small door; and what each failure there says about the board."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from appliance.errors import ProoflineError
from appliance.line.cycle import Kind
from appliance.line.plan import Plan
from appliance.target.errors import FlashRejected, FlashUncertain, LinkError, MeasurementError


class Board(Protocol):
    """A board in the fixture, held halted. Records are as the signer's interface has them."""

    def identify(self) -> dict[str, Any]:
        """The device record. Reads only."""

    def program(self, progress: Callable[[int, int], None], *, erase_all: bool) -> None:
        """Make the flash hold the plan's image and nothing else."""

    def measure(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The measurement record of all of the flash, and a sentence for each deviation from the plan's ranges."""

    def run(self) -> None:
        """Let the board run from reset, without a debugger."""


Bench = Callable[[Plan, threading.Event], AbstractContextManager[Board]]
"""Opens the board that a plan is for; the event cancels what is under way."""


def kind_of(error: ProoflineError) -> Kind:
    """What a refusal that ended the work says about the board."""
    if isinstance(error, FlashRejected):
        return Kind.FAILED
    if isinstance(error, FlashUncertain | MeasurementError):
        return Kind.UNCERTAIN
    return Kind.LINK if isinstance(error, LinkError) else Kind.POLICY

"""SIGKILL of line, panel and signer at every file effect of a good unit, and of all services at once.

- Line, panel, signer: before each effect, after it (where that is not the same as before the next one), and half-way
  through each write.
- All services at once: when one of them comes to an effect on its own journal or log, at every second such effect
  of line, recorder, signer and panel; the board keeps its supply or loses it with them, in turn.

After each blow a good unit follows. With PROOFLINE_SOAK=1: at every effect, the published ones included, both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.station.peril import WIDER, Blow, Peril


@pytest.fixture(scope="module")
def peril(folder: Path) -> Iterator[Peril]:
    with Peril(folder) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("role", ["line", "panel", "signer"])
def test_killed_at_every_file_effect_of_a_unit(peril: Peril, role: str) -> None:
    blows = peril.blows(role, peril.unit)
    peril.survives(blows, peril.unit)


def _dark(peril: Peril, blow: Blow, *, board_loses_power: bool) -> Callable[[], None]:
    """A unit during which everything goes when the blow falls."""

    def act() -> None:
        gone = False

        def watch() -> None:
            nonlocal gone
            if not gone and peril.struck(blow):
                gone = True
                if board_loses_power:
                    peril.station.fixture.ask(do="power", on=False)
                peril.blackout()
                peril.station.fixture.ask(do="power", on=True)

        peril.board()
        peril.press(watch)

    return act


@pytest.mark.slow
def test_all_services_killed_at_once(peril: Peril) -> None:
    blows = [
        blow
        for role in ("line", "recorder", "signer", "panel")
        for blow in peril.blows(role, peril.unit, ways=("before",), below="" if WIDER else "/state/")
    ]
    for number, blow in enumerate(blows if WIDER else blows[::2]):
        for board_loses_power in (False, True) if WIDER else (number % 2 == 0,):
            peril.survives([blow], _dark(peril, blow, board_loses_power=board_loses_power))

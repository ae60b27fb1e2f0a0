"""SIGKILL while a known board stops the line, while a lead acknowledges, and while both are put on record in the log.

Line and panel before every effect; the signer before every second one and the recorder before every third one on its
own log and journal (both before every effect of a good unit: `test_crash_unit`, `test_crash_log`). After each blow a
good unit follows. With PROOFLINE_SOAK=1: every effect, before, after and half-way through writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.local_station.office import LEAD_BADGE
from tests.station.peril import WIDER, Peril

WAYS = ("before", "half", "after") if WIDER else ("before",)
STRIDES = {"line": 1, "panel": 1, "signer": 2, "recorder": 3}


@pytest.fixture(scope="module")
def peril(folder: Path) -> Iterator[Peril]:
    with Peril(folder) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("role", STRIDES)
def test_killed_while_the_line_is_stopped_and_acknowledged(peril: Peril, role: str) -> None:
    peril.ready()
    peril.unit()
    known = peril.uid

    def stop_and_acknowledge() -> None:
        peril.uid = known
        peril.station.insert(known)
        while not peril.station.look()["stopped"]:  # again where the press was lost with the panel
            peril.ready()
            peril.press()
        while peril.station.look()["stopped"]:
            peril.scan(LEAD_BADGE)
        peril.rest()

    blows = peril.blows(role, stop_and_acknowledge, WAYS, below="" if WIDER else "/state/")
    peril.survives(blows if WIDER else blows[:: STRIDES[role]], stop_and_acknowledge)

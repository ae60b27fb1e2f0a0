"""SIGKILL of the recorder at every file effect of a good unit: the log's segments and the published view.

Before each effect, after it (where that is not the same as before the next one), and half-way through each write;
after each blow a good unit follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.station.peril import Peril


@pytest.fixture(scope="module")
def peril(folder: Path) -> Iterator[Peril]:
    with Peril(folder) as made:
        yield made


@pytest.mark.slow
def test_recorder_killed_at_every_file_effect_of_a_unit(peril: Peril) -> None:
    blows = peril.blows("recorder", peril.unit)
    assert len(blows) > 30
    peril.survives(blows, peril.unit)

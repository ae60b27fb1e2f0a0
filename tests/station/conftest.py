"""A whole station for the tests of a file: real services, token, clock, board; a work order that is not soon full."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.local_station.bench_station import LocalStation
from hil.local_station.office import WorkOrder
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import separate_users


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Below the checkout, so that what the tests call durable lies on a disk and not in memory."""
    if not separate_users():
        pytest.fail("these tests need root: every service runs under a uid of its own")
    (CHECKOUT / ".build").mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="station-", dir=CHECKOUT / ".build"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def station(folder: Path) -> Iterator[LocalStation]:
    with LocalStation.make(folder / "s", [WorkOrder("WO-1", 1000), WorkOrder("WO-2", 1)]) as made:
        made.sign_in()
        made.choose("WO-1")
        yield made

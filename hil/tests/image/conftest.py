"""The image's tests. Those that boot it need what `make image` made, and minutes: `make image-test` runs them.

Asked for by its environment variable and not by a marker: make test must collect nothing that it cannot run.
A failure shows, for each station that the failed test used, how its console ends and what its journal holds of notice
and worse.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from hil.virtual_station import shared
from hil.virtual_station.needs import missing
from hil.virtual_station.station import VirtualStation

ASKED = os.environ.get("PROOFLINE_IMAGE_TESTS") == "1"
collect_ignore_glob = [] if ASKED else ["test_boot*.py", "test_rauc*.py"]
MINUTES = {
    "test_boot_update": 10,
    "test_boot_damage": 8,
    "test_boot_state": 6,
    "test_boot_update_cuts": 6,
    "test_boot_time": 5,
    "test_boot_pi": 4,
    "test_boot_reset": 4,
    "test_boot_first_cuts": 3,
    "test_boot_state_whole": 2,
    "test_boot_entry": 2,
    "test_boot_first": 1,
    "test_boot_script": 1,
}
"""About how long files take here: the longest begin first, so that two at a time end together."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what this machine lacks before anything waits for it; once, not in each worker."""
    if ASKED and not hasattr(session.config, "workerinput") and (lacking := missing()):
        pytest.exit("\n".join(["the image's tests need:", *lacking]), returncode=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: -MINUTES.get(item.path.stem, 0))


@pytest.fixture(scope="module")
def carrier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site's desk exports."""
    site = shared.open_site(tmp_path_factory.mktemp("desk") / "site")
    folder = tmp_path_factory.mktemp("carrier") / "proofline"
    site.desk.export(folder)
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Stations that a test made itself are done with when it has passed: twenty cards take ten gigabytes."""
    before = len(VirtualStation.used)
    yield
    for station in VirtualStation.used[before:]:
        station.discard()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for station in VirtualStation.used:
            report.sections.append((f"station {station.name}", station.told()))
    if report.when == "teardown":
        VirtualStation.used.clear()
    return report

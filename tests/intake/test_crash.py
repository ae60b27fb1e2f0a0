"""Intake killed at its file effects, and its trace replayed onto disks that a power cut could have left.

After each: the station has the old generation or the new one, whole; what was answered for is there; nothing older
comes in again; the same carrier can be imported, and nothing is left over.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.intake.errors import CarrierOlder
from appliance.intake.service import Intake
from appliance.intake.staged import StagedSite
from appliance.ipc import Caller
from appliance.verify.site import Interval
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.release.forge import Forge, write

OPS = Caller(0, 0, "ops")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROSTER = {"schema": 1, "operators": []}
PINNED = Forge().pinned()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """In memory where that is to be had: the harness decides what would have been durable, the disk does not matter."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def carrier(folder: Path, version: int) -> Path:
    files = Forge(version=version, documents={"roster.json": ROSTER}).files()
    files["metadata/1.root.json"] = PINNED
    return write(files, folder / f"carrier-{version}")


def intake(root: Path, private: Path) -> Intake:
    for name in ("staged", "state"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return Intake(
        staged=root / "staged",
        state=root / "state",
        private=private,
        pinned_root=PINNED,
        now=lambda: Interval(NOW, NOW),
        journal=lambda _: None,
    )


def check(case: Case, scratch: Path) -> None:
    one = intake(case.root, scratch / "private")
    version = StagedSite(case.root / "staged", PINNED).current().versions.targets
    assert version == 4 if "accepted" in case.marks else version in {3, 4}, case.why
    names = {place.name for place in (case.root / "staged").iterdir()}
    assert names <= {"current", "gen-1", "gen-2"}, case.why
    if version == 4:
        with pytest.raises(CarrierOlder):
            one.import_(OPS, str(scratch / "carrier-3"))
    assert one.import_(OPS, str(scratch / "carrier-4"))["targets"] == 4, case.why
    assert one.import_(OPS, str(scratch / "carrier-4"))["unchanged"], case.why


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "power cut"])
def test_crash_during_an_import_leaves_the_old_or_the_new_and_needs_no_hand(scratch: Path, how: str) -> None:
    old, new = carrier(scratch, 3), carrier(scratch, 4)
    intake(scratch / "initial", scratch / "private").import_(OPS, str(old))

    def workload(root: Path) -> None:
        intake(root, scratch / "private").import_(OPS, str(new))
        mark("accepted")

    if how == "killed":
        cases = killed_everywhere(workload, scratch, scratch / "initial", every=2)
    else:
        cases = replayed_everywhere(workload, scratch, scratch / "initial")
    seen = 0
    for case in cases:
        check(case, scratch)
        shutil.rmtree(scratch / "private", ignore_errors=True)
        seen += 1
    assert seen > 50

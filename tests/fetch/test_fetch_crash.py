"""Fetcher and intake killed at their file effects, and their trace replayed onto disks that a power cut might leave.

After each, without a hand: the carrier that was there is there, or the next one; what was refused is on record, and not
more than once again; nothing is refused that the server did nothing for; the right carrier comes in when it is served.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path

import pytest

from appliance.errors import ProoflineError
from appliance.fetch.http import Server
from appliance.fetch.service import Fetch
from appliance.intake.bundle import Bundles, Running
from appliance.intake.fetched import Fetched
from appliance.intake.service import Intake
from appliance.station import CarrierAddress
from appliance.verify.site import Interval
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.crash.scratch import memory
from tests.fetch.bench import SITE
from tests.fetch.server import honest
from tests.intake.test_bundle import NOW, PINNED, SMALL, files_of
from tests.release.forge import Forge, sha, write
from tests.release.images import verity_of, with_images

FEW = {name: one for name, one in with_images(bundle=SMALL).items() if name.startswith("images/")}
BUNDLE = f"{sha(SMALL)}.raucb"
ON_RECORD = "on record"


class World:
    """Servers that are right or not, and a station's two programs on whatever lies in a folder."""

    def __init__(self, scratch: Path, opened: ExitStack) -> None:
        self._scratch = scratch
        self.good = self._serve(opened, "good", files_of(3, {"roster.json": {"schema": 1, "operators": []}}))
        self.next = self._serve(opened, "next", files_of(4, FEW))
        one_person = Forge(version=4, documents=FEW, targets_signers=["ada"]).files()
        self.bad = self._serve(opened, "bad", one_person | {"metadata/1.root.json": PINNED})
        wrong = files_of(4, FEW)
        (name,) = (name for name in wrong if name.endswith(".raucb"))
        self.wrong = self._serve(opened, "wrong", wrong | {name: b"x" + SMALL[1:]})
        self.recorded: list[str] = []

    def _serve(self, opened: ExitStack, name: str, files: dict[str, bytes]) -> CarrierAddress:
        return opened.enter_context(honest(write(files, self._scratch / name)))[0]

    def fetch(self, root: Path, server: CarrierAddress) -> None:
        """The fetcher starts and asks the server."""
        for name in ("fetch", "staged", "state", "bundle"):
            (root / name).mkdir(parents=True, exist_ok=True)
        fetch = Fetch(
            root / "fetch",
            Server(server),
            SITE,
            compatible="proofline-arm64",
            verity=verity_of("0.1.0"),
            bundles=root / "bundle",
        )
        with suppress(ProoflineError):
            fetch.run()

    def turn(self, root: Path, server: CarrierAddress) -> Intake:
        """The fetcher asks the server; then intake starts and looks."""
        self.fetch(root, server)
        shutil.rmtree(self._scratch / "private", ignore_errors=True)
        intake = Intake(
            staged=root / "staged",
            state=root / "state",
            private=self._scratch / "private",
            pinned_root=PINNED,
            now=lambda: Interval(NOW, NOW),
            journal=self._record,
            bundles=Bundles(root / "bundle"),
            running=Running("bench-01", "proofline-arm64", verity_of("0.1.0")),
        )
        Fetched(root / "fetch", root / "state").look(intake)
        return intake

    def _record(self, refusal: ProoflineError) -> None:
        self.recorded.append(refusal.code)
        mark(ON_RECORD)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[World, Path]]:
    with memory(tmp_path) as scratch, ExitStack() as opened:
        yield World(scratch, opened), scratch


def version(intake: Intake) -> int | None:
    found: int | None = intake.describe(None)["targets"]  # type: ignore[arg-type]  # the caller does not matter
    return found


def cases(how: str, workload: Callable[[Path], None], scratch: Path, initial: Path) -> Iterator[Case]:
    if how == "killed":
        return killed_everywhere(workload, scratch, initial, every=5)
    return islice(replayed_everywhere(workload, scratch, initial, mixtures=1), 0, None, 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "power cut"])
@pytest.mark.parametrize("offered", ["bad", "wrong"])
def test_what_is_refused_comes_on_record_and_costs_nothing_that_was_there(
    world: tuple[World, Path], offered: str, how: str
) -> None:
    here, scratch = world
    server = getattr(here, offered)
    here.fetch(scratch / "initial", here.good)  # intake has not seen it yet
    seen = 0
    for case in cases(how, lambda root: void(here.turn(root, server)), scratch, scratch / "initial"):
        here.recorded = []
        assert version(here.turn(case.root, server)) == 3, case.why
        assert 1 <= len(here.recorded) + case.marks.count(ON_RECORD) <= 2, case.why
        told = len(here.recorded)
        here.turn(case.root, server)
        assert len(here.recorded) == told, case.why
        assert version(here.turn(case.root, here.next)) == 4, case.why
        assert len(here.recorded) == told, case.why
        assert (case.root / "bundle" / BUNDLE).read_bytes() == SMALL, case.why
        assert not (case.root / "fetch" / "refused").exists(), case.why
        seen += 1
    assert seen > 20


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "power cut"])
def test_a_good_carrier_comes_in_and_nothing_is_refused(world: tuple[World, Path], how: str) -> None:
    here, scratch = world
    here.turn(scratch / "initial", here.bad)
    here.recorded = []
    seen = 0
    for case in cases(how, lambda root: void(here.turn(root, here.next)), scratch, scratch / "initial"):
        assert version(here.turn(case.root, here.next)) == 4, case.why
        assert here.recorded == [], case.why
        assert ON_RECORD not in case.marks, case.why
        assert (case.root / "bundle" / BUNDLE).read_bytes() == SMALL, case.why
        assert not (case.root / "fetch" / "refused").exists(), case.why
        seen += 1
    assert seen > 20


def void(_: object) -> None:
    """A workload has no result."""

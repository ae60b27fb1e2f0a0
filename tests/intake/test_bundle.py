"""The wanted image's bundle: taken from the carrier whole and checked, or not at all; told to the updater last."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.intake import bundle as bundles
from appliance.intake import errors
from appliance.intake.bundle import Bundles, Running
from appliance.intake.service import Intake
from appliance.intake.staged import StagedSite
from appliance.ipc import Caller
from appliance.verify.site import Interval
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.release.forge import Forge, sha, write
from tests.release.images import BUNDLE, image_document, verity_of, with_images

OPS = Caller(0, 0, "ops")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PINNED = Forge().pinned()
NAME = f"{sha(BUNDLE)}.raucb"
FILE = f"targets/images/proofline-arm64/{sha(BUNDLE)}.0.2.0.raucb"


def files_of(version: int, documents: dict[str, Any]) -> dict[str, bytes]:
    files = Forge(version=version, documents=documents).files()
    files["metadata/1.root.json"] = PINNED
    return files


class Station:
    """Intake on a station that runs an image."""

    def __init__(self, folder: Path, runs: str = "0.1.0") -> None:
        self.folder, self.runs = folder, runs
        self.journal: list[str] = []
        for name in ("staged", "state", "bundle"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.intake = self.start()

    def start(self) -> Intake:
        self.intake = Intake(
            staged=self.folder / "staged",
            state=self.folder / "state",
            private=self.folder / "private",
            pinned_root=PINNED,
            now=lambda: Interval(NOW, NOW),
            journal=lambda refusal: self.journal.append(refusal.code),
            bundles=Bundles(self.folder / "bundle"),
            running=Running("bench-01", "proofline-arm64", verity_of(self.runs)),
        )
        return self.intake

    def take(self, files: dict[str, bytes]) -> dict[str, Any]:
        shutil.rmtree(self.folder / "carrier", ignore_errors=True)
        return self.intake.import_(OPS, str(write(files, self.folder / "carrier")))

    def here(self) -> list[str]:
        return sorted(place.name for place in (self.folder / "bundle").iterdir())

    def wanted(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "bundle" / "wanted.json").read_text())
        return found


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def test_the_wanted_bundle_is_taken_and_told(station: Station) -> None:
    station.take(files_of(3, with_images("0.1.0", "0.2.0")))
    assert station.here() == [NAME, "wanted.json"]
    assert (station.folder / "bundle" / NAME).read_bytes() == BUNDLE
    assert station.wanted() == {
        "schema": 1,
        "version": "0.2.0",
        "target": "images/proofline-arm64/0.2.0.raucb",
        "sha256": sha(BUNDLE),
    }
    for place in (station.folder / "bundle").iterdir():
        assert place.stat().st_mode & 0o777 == 0o644
    assert station.intake.describe(OPS)["wanted_image"] == "0.2.0"


def test_no_generation_holds_a_bundle(station: Station) -> None:
    station.take(files_of(3, with_images()))
    assert not list((station.folder / "staged").rglob("*.raucb"))
    trust = StagedSite(station.folder / "staged", PINNED).current()
    assert trust.images("proofline-arm64")[0].bundle.sha256 == sha(BUNDLE)


@pytest.mark.parametrize(
    "documents",
    [
        with_images(stations=["bench-02"]),
        with_images("0.1.0"),
    ],
    ids=["for another station", "what runs already"],
)
def test_what_is_not_wanted_is_not_taken(station: Station, documents: dict[str, Any]) -> None:
    station.take(files_of(3, documents))
    assert station.here() == []


def test_a_lower_version_is_wanted_where_it_is_the_highest_promoted(tmp_path: Path) -> None:
    station = Station(tmp_path, runs="0.3.0")
    station.take(files_of(3, with_images()))
    assert station.wanted()["version"] == "0.2.0"


def bend(change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    files = files_of(3, with_images())
    files[FILE] = change(files[FILE])
    return files


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda good: good[:-1], errors.BundleTruncated),
        (lambda _: b"", errors.BundleTruncated),
        (lambda good: good + b"x", errors.BundleTruncated),
        (lambda good: b"x" + good[1:], errors.BundleTampered),
        (lambda good: good[:-1] + b"x", errors.BundleTampered),
    ],
)
def test_another_bundle_is_refused_by_name_and_nothing_changes(
    station: Station, change: Callable[[bytes], bytes], expected: type[ProoflineError]
) -> None:
    with pytest.raises(expected):
        station.take(bend(change))
    assert station.journal == [expected.code]
    assert station.here() == []
    assert not (station.folder / "staged" / "current").exists()
    last = station.intake.describe(OPS)["last_carrier"]
    assert last["result"] == expected.code


def test_a_bundle_that_nobody_wants_is_not_looked_at(tmp_path: Path) -> None:
    station = Station(tmp_path, runs="0.2.0")
    station.take(bend(lambda _: b"anything"))
    assert station.here() == []


def test_a_carrier_without_the_bundle_is_accepted_and_a_later_one_brings_it(station: Station) -> None:
    files = files_of(3, with_images())
    bundle = files.pop(FILE)
    assert station.take(files)["unchanged"] is False
    assert station.here() == []
    assert station.take({**files, FILE: bundle})["unchanged"] is True
    assert station.here() == [NAME, "wanted.json"]


def test_a_bundle_that_is_here_need_not_come_again(station: Station) -> None:
    files = files_of(3, with_images())
    station.take(files)
    (station.folder / "bundle" / "wanted.json").unlink()
    del files[FILE]
    station.take(files)
    assert station.wanted()["version"] == "0.2.0"


def test_another_wanted_bundle_takes_the_place_of_the_old_one(station: Station) -> None:
    station.take(files_of(3, with_images()))
    documents = with_images()
    newer = BUNDLE[::-1]
    documents["images/proofline-arm64/0.3.0.json"] = image_document("0.3.0", bundle=newer)
    documents["images/proofline-arm64/0.3.0.raucb"] = newer
    station.take(files_of(4, documents))
    assert station.here() == [f"{sha(newer)}.raucb", "wanted.json"]
    assert station.wanted()["version"] == "0.3.0"


def test_when_the_wanted_image_runs_nothing_is_kept(station: Station) -> None:
    files = files_of(3, with_images())
    station.take(files)
    station.runs = "0.2.0"
    station.start()
    assert station.here() == [NAME, "wanted.json"]  # not before somebody comes: the updater may still need it
    station.take(files)
    assert station.here() == []


def test_the_version_that_runs_is_wanted_when_it_is_promoted_with_another_image(station: Station) -> None:
    station.take(files_of(3, with_images("0.1.0", verity=verity_of("another"))))
    assert station.here() == [NAME, "wanted.json"]


def test_no_room_is_named_before_the_first_byte_and_the_old_one_makes_room(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [bundles.RESERVE + len(BUNDLE) - 1]
    monkeypatch.setattr(Bundles, "_free", lambda _: free[0])
    with pytest.raises(errors.BundleNoRoom):
        station.take(files_of(3, with_images()))
    assert station.here() == []
    old = station.folder / "bundle" / f"{'0' * 64}.raucb"
    old.write_bytes(b"old")
    monkeypatch.setattr(Bundles, "_free", lambda _: free[0] + (0 if old.exists() else 1))
    station.take(files_of(3, with_images()))
    assert station.here() == [NAME, "wanted.json"]


def intake(root: Path, scratch: Path) -> Intake:
    for name in ("staged", "state", "bundle"):
        (root / name).mkdir(parents=True, exist_ok=True)
    return Intake(
        staged=root / "staged",
        state=root / "state",
        private=scratch / "private",
        pinned_root=PINNED,
        now=lambda: Interval(NOW, NOW),
        journal=lambda _: None,
        bundles=Bundles(root / "bundle"),
        running=Running("bench-01", "proofline-arm64", verity_of("0.1.0")),
    )


SMALL = b"a bundle of few bytes" * 100


def check(case: Case, scratch: Path, carrier: Path) -> None:
    folder = case.root / "bundle"
    wanted, bundle = folder / "wanted.json", folder / f"{sha(SMALL)}.raucb"
    assert wanted.exists() or "told" not in case.marks, case.why
    assert bundle.exists() or not wanted.exists(), case.why
    assert not bundle.exists() or bundle.read_bytes() == SMALL, case.why
    one = intake(case.root, scratch)
    assert {place.name for place in folder.iterdir()} <= {bundle.name, "wanted.json"}, case.why
    assert wanted.exists() or one.describe(OPS)["targets"] == 3 or not bundle.exists(), case.why
    one.import_(OPS, str(carrier))
    assert bundle.read_bytes() == SMALL, case.why
    assert json.loads(wanted.read_text())["sha256"] == sha(SMALL), case.why


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "power cut"])
def test_a_cut_leaves_a_whole_bundle_or_none_and_what_is_wanted_is_whole(how: str) -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        scratch = Path(folder)
        few = {name: one for name, one in with_images(bundle=SMALL).items() if name.startswith("images/")}
        old = write(files_of(3, {"roster.json": {"schema": 1, "operators": []}}), scratch / "old")
        new = write(files_of(4, few), scratch / "new")
        intake(scratch / "initial", scratch).import_(OPS, str(old))

        def workload(root: Path) -> None:
            intake(root, scratch).import_(OPS, str(new))
            mark("told")

        if how == "killed":
            cases = killed_everywhere(workload, scratch, scratch / "initial", every=4)
        else:
            cases = replayed_everywhere(workload, scratch, scratch / "initial")
        seen = 0
        for case in cases:
            check(case, scratch, new)
            shutil.rmtree(scratch / "private", ignore_errors=True)
            seen += 1
        assert seen > 30

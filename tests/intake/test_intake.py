"""A carrier is accepted as a whole, or the station stays exactly as it was and says why."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.intake import carrier as carriers
from appliance.intake import errors, tuf_client
from appliance.intake.media import Folder, Medium
from appliance.intake.service import ACCESS, Intake
from appliance.intake.staged import StagedSite
from appliance.ipc import Caller
from appliance.verify import site_errors
from appliance.verify.site import Directory, Interval, SiteTrust
from tests.release.forge import Doc, Forge, tuf_key, write

OPS = Caller(0, 0, "ops")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def interval(start: datetime = NOW, width: timedelta = timedelta(milliseconds=5)) -> Interval:
    return Interval(start, start + width)


@dataclass
class Station:
    """Intake with its folders, a clock that says what the test wants, and what was journalled."""

    folder: Path
    pinned: bytes
    at: Interval | None = field(default_factory=interval)
    journal: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("staged", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.intake = self.start()

    def start(self) -> Intake:
        self.intake = Intake(
            staged=self.folder / "staged",
            state=self.folder / "state",
            private=self.folder / "private",
            pinned_root=self.pinned,
            now=lambda: self.at,
            journal=lambda refusal: self.journal.append(refusal.code),
        )
        return self.intake

    def take(self, files: dict[str, bytes]) -> dict[str, Any]:
        carrier = self.folder / "carrier"
        shutil.rmtree(carrier, ignore_errors=True)
        return self.intake.import_(OPS, str(write(files, carrier)))

    def staged(self) -> SiteTrust:
        return StagedSite(self.folder / "staged", self.pinned).current()

    def picture(self) -> dict[str, bytes | str]:
        """Every file and link of what is staged and remembered."""
        found: dict[str, bytes | str] = {}
        for place in sorted([*(self.folder / "staged").rglob("*"), *(self.folder / "state").rglob("*")]):
            if place.is_symlink():
                found[str(place)] = os.readlink(place)
            elif place.is_file():
                found[str(place)] = place.read_bytes()
        return found


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """A station that has accepted version 3."""
    files = Forge().files()
    made = Station(tmp_path, files["metadata/1.root.json"])
    assert made.take(files) == {"generation": 1, "root": 1, "targets": 3, "unchanged": False}
    return made


def newer(station: Station, version: int = 4, **more: Any) -> dict[str, bytes]:
    """The same site's next repository."""
    files = Forge(version=version, **more).files()
    files["metadata/1.root.json"] = station.pinned
    return files


def test_newer_carrier_replaces_what_is_staged_in_one_step(station: Station) -> None:
    assert station.take(newer(station)) == {"generation": 2, "root": 1, "targets": 4, "unchanged": False}
    assert station.staged().versions.targets == 4
    assert station.take(newer(station, 5))["generation"] == 3
    kept = sorted(place.name for place in (station.folder / "staged").iterdir())
    assert kept == ["current", "gen-2", "gen-3"]
    assert station.intake.describe(OPS) == {
        "generation": 3,
        "root": 1,
        "targets": 5,
        "expires": "2030-01-01T00:00:00.000000Z",
        "wanted_image": None,
        "last_carrier": {"when": "2026-11-22T12:00:00.005000Z", "from": "ops", "result": "accepted"},
    }


def test_same_carrier_again_changes_nothing(station: Station) -> None:
    files = newer(station)
    station.take(files)
    before = station.picture()
    assert station.take(files) == {"generation": 2, "root": 1, "targets": 4, "unchanged": True}
    assert station.picture() == before


def test_what_is_staged_is_readable_by_all_and_only_what_metadata_speaks_of(station: Station) -> None:
    files = newer(station)
    files["targets/" + "0" * 64 + ".extra.json"] = b"{}"
    files["approvals/2/ada.json"] = b"{}"
    station.take(files)
    generation = station.folder / "staged" / "gen-2"
    assert not any("extra" in place.name or place.parent.name == "2" for place in generation.rglob("*"))
    for place in generation.rglob("*"):
        assert place.stat().st_mode & 0o777 == (0o755 if place.is_dir() else 0o644)


def test_roots_that_nobody_verified_are_not_staged(tmp_path: Path) -> None:
    files = Forge(edit_next_root=lambda _: None).files()
    station = Station(tmp_path, files["metadata/2.root.json"])
    assert station.take({**files, "metadata/1.root.json": b"no root at all"})["root"] == 2
    assert not (tmp_path / "staged" / "gen-1" / "metadata" / "1.root.json").exists()
    del files["metadata/2.root.json"]
    del files["metadata/1.root.json"]
    assert station.take(files)["unchanged"]
    assert station.staged().versions.root == 2


def swap(path: str, other: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], None]:
    def bend(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.endswith(path))
        files[name] = other(files[name])

    return bend


def extra(path: str) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({path: b"x"})


def dropping(path: str) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.__delitem__(next(name for name in files if name.endswith(path)))


CARRIERS: list[tuple[str, Callable[[dict[str, bytes]], object], type[ProoflineError]]] = [
    ("a firmware byte flipped", swap("demo.bin", lambda d: bytes([d[0] ^ 1]) + d[1:]), site_errors.DigestWrong),
    ("a firmware byte more", swap("demo.bin", lambda d: d + b"\0"), site_errors.FileTooLarge),
    ("a firmware byte less", swap("demo.bin", lambda d: d[:-1]), site_errors.LengthWrong),
    ("the firmware missing", dropping("demo.bin"), site_errors.FileMissing),
    ("the order altered", swap("WO-1.json", lambda d: d.replace(b":10,", b":99,")), site_errors.DigestWrong),
    ("the roster missing", dropping("roster.json"), site_errors.FileMissing),
    ("no timestamp", dropping("timestamp.json"), site_errors.FileMissing),
    ("another site's root", swap("1.root.json", lambda _: Forge().pinned()), site_errors.SiteForeign),
    ("a program", extra("autorun.inf"), errors.CarrierNameUnexpected),
    ("a hidden file", extra("metadata/.x"), errors.CarrierNameUnexpected),
    ("metadata of a role that nobody has", extra("metadata/1.mirrors.json"), errors.CarrierNameUnexpected),
    ("a deep folder", extra("targets/a/b/c/d/e"), errors.CarrierNameUnexpected),
    ("a name with a space", extra("targets/a b"), errors.CarrierNameUnexpected),
    ("an approval of nobody", extra("approvals/0/ada.json"), errors.CarrierNameUnexpected),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "bend", "expected"), CARRIERS, ids=[case for case, _, _ in CARRIERS])
def test_broken_carrier_is_refused_by_name_and_changes_nothing(
    station: Station,
    _case: str,
    bend: Callable[[dict[str, bytes]], object],
    expected: type[ProoflineError],
) -> None:
    before, files = station.picture(), newer(station)
    good = dict(files)
    bend(files)
    with pytest.raises(ProoflineError) as refusal:
        station.take(files)
    assert type(refusal.value) is expected, refusal.value
    assert station.picture() == before
    assert station.journal == [expected.code]
    assert station.take(good)["targets"] == 4


def link_inside(carrier: Path) -> None:
    (carrier / "metadata" / "9.root.json").symlink_to("1.root.json")


def folder_link(carrier: Path) -> None:
    (carrier / "targets").rename(carrier.with_name("elsewhere"))
    (carrier / "targets").symlink_to(carrier.with_name("elsewhere"))


def fifo(carrier: Path) -> None:
    os.mkfifo(carrier / "metadata" / "9.root.json")


def unix_socket(carrier: Path) -> None:
    here = Path.cwd()
    os.chdir(carrier / "metadata")  # a socket's path may not be long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("9.root.json")
    finally:
        os.chdir(here)


def sparse(carrier: Path) -> None:
    with (carrier / "metadata" / "9.root.json").open("wb") as file:
        file.truncate(carriers.MAX_FILE + 1)


def crowd(carrier: Path) -> None:
    folder = carrier / "targets" / "crowd"
    folder.mkdir()
    for number in range(carriers.MAX_ENTRIES):
        os.link(carrier / "metadata" / "1.root.json", folder / f"n{number}")


def heavy(carrier: Path) -> None:
    folder = carrier / "targets" / "heavy"
    folder.mkdir()
    with (folder / "n").open("wb") as file:
        file.truncate(carriers.MAX_FILE)
    for number in range(carriers.MAX_TOTAL // carriers.MAX_FILE):
        os.link(folder / "n", folder / f"n{number}")


def gone(carrier: Path) -> None:
    shutil.rmtree(carrier)


def a_file(carrier: Path) -> None:
    shutil.rmtree(carrier)
    carrier.write_bytes(b"")


THINGS: list[tuple[Callable[[Path], None], type[ProoflineError]]] = [
    (link_inside, errors.CarrierEntryRefused),
    (folder_link, errors.CarrierEntryRefused),
    (fifo, errors.CarrierEntryRefused),
    (unix_socket, errors.CarrierEntryRefused),
    (sparse, errors.CarrierTooLarge),
    (crowd, errors.CarrierFilesTooMany),
    (heavy, errors.CarrierTooLarge),
    (gone, errors.CarrierUnreadable),
    (a_file, errors.CarrierUnreadable),
]


@pytest.mark.parametrize(("bend", "expected"), THINGS, ids=[bend.__name__ for bend, _ in THINGS])
def test_carrier_that_is_no_tree_of_plain_files_is_refused_by_name(
    station: Station, monkeypatch: pytest.MonkeyPatch, bend: Callable[[Path], None], expected: type[ProoflineError]
) -> None:
    # Smaller limits of the same code: filling half a gigabyte tests the disk, not the check.
    monkeypatch.setattr(carriers, "MAX_TOTAL", 1 << 22)
    monkeypatch.setattr(carriers, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(carriers, "MAX_ENTRIES", 200)
    before = station.picture()
    carrier = write(newer(station), station.folder / "thing")
    bend(carrier)
    with pytest.raises(ProoflineError) as refusal:
        station.intake.import_(OPS, str(carrier))
    assert type(refusal.value) is expected, refusal.value
    assert station.picture() == before


@pytest.mark.parametrize("path", ["", "relative", "/no/such", "/dev/null", "/\0", "/" + "x" * 5_000])
def test_carrier_path_that_is_no_directory_is_refused_by_name(station: Station, path: str) -> None:
    with pytest.raises(errors.CarrierUnreadable):
        station.intake.import_(OPS, path)


def test_older_carrier_is_refused_also_after_staging_was_emptied(station: Station) -> None:
    old = newer(station, 3)
    station.take(newer(station, 5))
    with pytest.raises(errors.CarrierOlder):
        station.take(newer(station, 4))
    shutil.rmtree(station.folder / "staged")
    (station.folder / "staged").mkdir()
    station.start()
    with pytest.raises(errors.CarrierOlder):
        station.take(old)
    assert station.take(newer(station, 6))["targets"] == 6


def test_tuf_client_refuses_an_old_timestamp_by_itself(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    station.take(newer(station, 5))
    monkeypatch.setattr("appliance.intake.floor.Floor.check", lambda *_: None)
    with pytest.raises(errors.TufClientRefused, match="BadVersionNumberError"):
        station.take(newer(station, 4))


def test_same_version_with_other_content_is_a_fork(station: Station) -> None:
    documents = Forge().documents
    documents["orders/WO-1.json"]["quantity"] = 99
    with pytest.raises(errors.CarrierForked):
        station.take(newer(station, 3, documents=documents))


def test_new_root_lets_the_online_roles_start_again_but_not_the_approved_ones(station: Station) -> None:
    station.take(newer(station, 7))

    def replace_online(root: Doc) -> None:
        root["keys"]["id-online2"] = tuf_key("online2", None)
        for role in ("snapshot", "timestamp"):
            root["roles"][role]["keyids"] = ["id-online2"]

    def restart(document: Doc) -> None:
        document["version"] = 1

    rotated = {"edit_next_root": replace_online, "online_signers": ["online2"]}
    with pytest.raises(errors.CarrierOlder):
        station.take(newer(station, 6, **rotated))
    files = newer(station, 8, edit_timestamp=restart, **rotated)
    assert station.take(files)["root"] == 2
    assert station.staged().versions.timestamp == 1
    with pytest.raises(errors.CarrierOlder):
        station.take(newer(station, 9))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (interval(datetime(2030, 1, 1, tzinfo=UTC)), errors.CarrierExpired),
        (interval(datetime(2099, 1, 1, tzinfo=UTC)), errors.CarrierExpired),
        (interval(datetime(2029, 12, 31, tzinfo=UTC), timedelta(days=2)), errors.CarrierExpiryUnsure),
    ],
)
def test_expired_carrier_is_refused_where_the_clock_can_tell(
    station: Station, at: Interval, expected: type[ProoflineError]
) -> None:
    station.at = at
    before = station.picture()
    with pytest.raises(ProoflineError) as refusal:
        station.take(newer(station))
    assert type(refusal.value) is expected
    assert station.picture() == before


def test_without_a_clock_an_expired_carrier_is_staged_and_still_known_as_expired(station: Station) -> None:
    station.at = None
    station.take(newer(station, expires="2026-01-01T00:00:00Z"))
    assert station.staged().expiry(None).status == "unknown"
    assert station.staged().expiry(interval()).status == "expired"


def test_clock_of_the_machine_does_not_matter(station: Station) -> None:
    """Metadata that ends before this machine's own time is accepted where the station's clock says it is valid."""
    station.at = interval(datetime(2020, 1, 1, tzinfo=UTC))
    assert station.take(newer(station, expires="2021-01-01T00:00:00Z"))["targets"] == 4


def test_tuf_client_judges_expiry_by_the_stations_clock(station: Station, tmp_path: Path) -> None:
    files = newer(station)
    copy = write(files, tmp_path / "copy")
    trust = SiteTrust.verify(Directory(copy), station.pinned)
    for name in ("trusted", "scratch"):
        (tmp_path / name).mkdir()
    late = interval(datetime(2030, 1, 2, tzinfo=UTC))
    places = {"trusted": tmp_path / "trusted", "scratch": tmp_path / "scratch"}
    with pytest.raises(errors.TufClientRefused, match="Expired"):
        tuf_client.agree(copy, trust, station.pinned, at=late, **places)
    tuf_client.agree(copy, trust, station.pinned, at=interval(), **places)


def test_carrier_that_changes_while_it_is_read_gains_nothing(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the copy was made, the stick shows something else: the copy is what is verified and staged."""
    carrier = write(newer(station), station.folder / "stick")
    real = carriers.copy

    def copy_then_change(medium: Medium, private: Path) -> frozenset[str]:
        listed = real(medium, private)
        for place in carrier.rglob("*.json"):
            place.write_bytes(b"{}")
        return listed

    monkeypatch.setattr(carriers, "copy", copy_then_change)
    assert station.intake.import_(OPS, str(carrier))["targets"] == 4
    assert station.staged().read("firmware/demo/1.0.0/demo.bin")


def test_damaged_generation_is_staged_anew_from_the_same_carrier(station: Station) -> None:
    place = next((station.folder / "staged" / "gen-1").rglob("*.demo.bin"))
    place.write_bytes(bytes(8))
    answer = station.take(station_files(station))
    assert answer["unchanged"] is False
    assert station.staged().read("firmware/demo/1.0.0/demo.bin")


def station_files(station: Station) -> dict[str, bytes]:
    """What the station was given last."""
    carrier = station.folder / "carrier"
    return {str(place.relative_to(carrier)): place.read_bytes() for place in carrier.rglob("*") if place.is_file()}


def test_damaged_floor_is_refused_by_name(station: Station) -> None:
    (station.folder / "state" / "floor.json").write_bytes(b'{"versions":{"root":1}}')
    station.start()
    with pytest.raises(errors.FloorDamaged):
        station.take(newer(station))


def test_staging_that_went_back_by_itself_does_not_lower_the_floor(station: Station) -> None:
    station.take(newer(station, 5))
    (station.folder / "staged" / "current").unlink()
    (station.folder / "staged" / "current").symlink_to("gen-1")
    station.start()
    assert station.journal[-1] == errors.CarrierOlder.code
    assert json.loads((station.folder / "state" / "floor.json").read_bytes())["versions"]["targets"] == 5
    with pytest.raises(errors.CarrierOlder):
        station.take(newer(station, 4))
    assert station.take(newer(station, 6))["targets"] == 6


def test_reader_verifies_again_only_when_the_generation_changes(station: Station) -> None:
    reader = StagedSite(station.folder / "staged", station.pinned)
    first = reader.current()
    assert reader.current() is first
    station.take(newer(station))
    assert reader.current().versions.targets == 4
    (station.folder / "staged" / "current").unlink()
    (station.folder / "staged" / "current").symlink_to("gen-1")
    with pytest.raises(site_errors.StagedWentBack):
        reader.current()


def test_reader_refuses_what_is_no_generation_and_says_when_nothing_is_there(tmp_path: Path, station: Station) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(site_errors.NothingStaged):
        StagedSite(empty, station.pinned).current()
    (empty / "current").symlink_to("../../etc")
    with pytest.raises(site_errors.StagedUnreadable):
        StagedSite(empty, station.pinned).current()


def test_reader_does_not_trust_staging(station: Station) -> None:
    place = next((station.folder / "staged" / "gen-1").rglob("timestamp.json"))
    place.write_bytes(place.read_bytes().replace(b'"version": 3', b'"version": 4'))
    with pytest.raises(site_errors.SiteError):
        StagedSite(station.folder / "staged", station.pinned).current()


def test_only_the_technician_imports() -> None:
    assert ACCESS["Import"] == {"ops"}


@given(name=st.text(min_size=1, max_size=30).filter(lambda name: "/" not in name and "\0" not in name))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_name_on_a_carrier_is_expected_or_refused_by_name(tmp_path: Path, name: str) -> None:
    carrier, private = tmp_path / "named", tmp_path / "private"
    for folder in (carrier, private):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    try:
        (carrier / name).write_bytes(b"")
    except (OSError, UnicodeError):
        return  # no file can have this name
    with pytest.raises((errors.CarrierNameUnexpected, errors.CarrierEntryRefused)):
        carriers.copy(Folder(str(carrier)), private)

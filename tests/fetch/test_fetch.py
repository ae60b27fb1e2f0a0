"""A carrier fetched from a real web server: complete or not there, nothing that nobody listed, and gone on with."""

from __future__ import annotations

import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.fetch import errors, service
from appliance.fetch.http import Server
from appliance.fetch.service import Fetch
from appliance.intake import stick as sticks
from appliance.intake.fetched import Fetched
from appliance.intake.stick import watch
from appliance.station import CarrierAddress, Site
from appliance.verify.site_errors import SiteError
from tests.fetch.server import honest, nasty, says
from tests.intake.test_bundle import FILE, NAME, PINNED, Station, files_of
from tests.release.forge import write
from tests.release.images import BUNDLE, with_images

SITE = Site("bench-01", "demo", PINNED, "")


class Bench:
    """A folder that is served, the fetcher's folder, and intake beside it."""

    def __init__(self, tmp_path: Path) -> None:
        self.served, self.folder = tmp_path / "served", tmp_path / "fetch"
        self.served.mkdir()
        self.folder.mkdir()
        self.station = Station(tmp_path / "station")
        self.fetched = Fetched(self.folder)
        self.asked: list[tuple[str, str | None]] = []

    def serve(self, version: int, documents: dict[str, Any] | None = None) -> None:
        write(files_of(version, documents or with_images()), self.served)

    def fetch(self, address: CarrierAddress | None = None, version: str = "0.1.0") -> bool:
        def run(where: CarrierAddress) -> bool:
            bundles = self.station.folder / "bundle"
            one = Fetch(
                self.folder,
                Server(where, patience_s=5),
                SITE,
                compatible="proofline-arm64",
                version=version,
                bundles=bundles,
            )
            return one.run()

        if address is not None:
            return run(address)
        with honest(self.served) as (here, asked):
            try:
                return run(here)
            finally:
                self.asked = asked

    def carrier(self) -> dict[str, bytes]:
        top = self.folder / "carrier"
        return {str(place.relative_to(top)): place.read_bytes() for place in top.rglob("*") if place.is_file()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_fetched_carrier_is_imported_once_with_the_wanted_bundle(bench: Bench) -> None:
    bench.serve(3)
    assert bench.fetch() is True
    served = (place for place in bench.served.rglob("*") if place.is_file())
    assert bench.carrier() == {str(place.relative_to(bench.served)): place.read_bytes() for place in served}
    for _ in range(3):
        bench.fetched.look(bench.station.intake)
    assert bench.station.here() == [NAME, "wanted.json"]
    assert bench.station.journal == []
    last = bench.station.intake.describe(None)["last_carrier"]  # type: ignore[arg-type]  # the caller does not matter
    assert (last["from"], last["result"]) == ("url", "accepted")


def test_what_is_here_is_not_fetched_again(bench: Bench) -> None:
    bench.serve(3)
    bench.fetch()
    assert bench.fetch() is False
    assert not any(path.startswith("/targets") for path, _ in bench.asked)
    documents = with_images()
    documents["orders/WO-2.json"] = {**documents["orders/WO-1.json"], "id": "WO-2"}
    bench.serve(4, documents)
    assert bench.fetch() is True
    assert [path for path, _ in bench.asked if path.startswith("/targets")] == [
        path for path, _ in bench.asked if path.endswith("WO-2.json")
    ]


def test_only_the_wanted_bundle_is_fetched(bench: Bench) -> None:
    bench.serve(3, with_images("0.1.0", "0.2.0"))
    bench.fetch()
    assert [path for path, _ in bench.asked if path.endswith(".raucb")] == [f"/{FILE}"]
    assert bench.fetch(version="0.2.0") is False


def test_a_bundle_that_intake_has_is_not_fetched(bench: Bench) -> None:
    bench.serve(3)
    (bench.station.folder / "bundle" / NAME).write_bytes(BUNDLE)
    bench.fetch()
    assert not any(path.endswith(".raucb") for path, _ in bench.asked)


def test_a_bundle_is_gone_on_with(bench: Bench) -> None:
    bench.serve(3)
    place = bench.served / FILE
    place.write_bytes(BUNDLE[:700_000])  # the server's own copy ends: what came is kept
    with pytest.raises(errors.AnswerShort):
        bench.fetch()
    assert not (bench.folder / "ready.json").exists()
    place.write_bytes(BUNDLE)
    assert bench.fetch() is True
    assert (f"/{FILE}", "bytes=700000-") in bench.asked
    assert bench.carrier()[FILE] == BUNDLE


def test_another_bundle_is_refused_and_fetched_afresh_next_time(bench: Bench) -> None:
    bench.serve(3)
    place = bench.served / FILE
    place.write_bytes(b"x" + BUNDLE[1:])
    with pytest.raises(errors.AnswerOther):
        bench.fetch()
    assert not (bench.folder / "carrier").exists()
    place.write_bytes(BUNDLE)
    assert bench.fetch() is True
    assert bench.carrier()[FILE] == BUNDLE


def lose(name: str) -> Any:
    return lambda folder: next(folder.rglob(name)).unlink()


def spoil(name: str, content: bytes) -> Any:
    return lambda folder: next(folder.rglob(name)).write_bytes(content)


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        (lose("timestamp.json"), errors.AnswerOther),
        (lose("3.targets.json"), SiteError),
        (lose("3.snapshot.json"), errors.AnswerOther),
        (lose("ada.json"), SiteError),
        (lose("*.roster.json"), errors.ServerRefused),
        (spoil("timestamp.json", b"[]"), errors.AnswerOther),
        (spoil("timestamp.json", b'{"signed":{"meta":{"snapshot.json":{"version":"../../x"}}}}'), errors.AnswerOther),
        (spoil("timestamp.json", bytes(1 << 15)), errors.AnswerTooLong),
        (spoil("*.roster.json", b"{}"), errors.AnswerShort),
        (spoil("*.roster.json", bytes(1 << 20)), errors.AnswerTooLong),
    ],
)
def test_a_carrier_that_is_not_whole_is_not_handed_on(bench: Bench, bend: Any, expected: type[ProoflineError]) -> None:
    bench.serve(3)
    bend(bench.served)
    with pytest.raises(expected):
        bench.fetch()
    bench.fetched.look(bench.station.intake)
    assert not (bench.station.folder / "staged" / "current").exists()
    assert bench.station.journal == []


def test_a_server_with_another_sites_carrier_gets_nothing_in(bench: Bench) -> None:
    files = files_of(3, with_images())
    other = json.loads(files["metadata/3.targets.json"])
    other["signatures"][0]["sig"] = other["signatures"][1]["sig"]
    files["metadata/3.targets.json"] = json.dumps(other).encode()
    write(files, bench.served)
    with pytest.raises(SiteError):
        bench.fetch()
    assert not any(path.startswith("/targets") for path, _ in bench.asked)


def test_what_was_fetched_stays_when_the_next_fetch_fails(bench: Bench) -> None:
    bench.serve(3)
    bench.fetch()
    before = bench.carrier()
    with nasty(says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as address, pytest.raises(errors.ServerRefused):
        bench.fetch(address)
    assert bench.carrier() == before


def test_no_room_is_named_before_the_first_target(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.serve(3)
    monkeypatch.setattr(service, "RESERVE", 1 << 60)
    with pytest.raises(errors.NoRoom):
        bench.fetch()
    assert not any(path.startswith("/targets") for path, _ in bench.asked)


def test_intake_comes_back_while_the_fetcher_replaces_the_carrier(bench: Bench) -> None:
    bench.serve(3)
    bench.fetch()
    with (bench.folder / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bench.fetched.look(bench.station.intake)
        assert bench.station.here() == []
    bench.fetched.look(bench.station.intake)
    assert bench.station.here() == [NAME, "wanted.json"]


def test_intakes_watch_looks_for_it_besides(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench.serve(3)
    bench.fetch()
    monkeypatch.setattr(sticks, "_LOOK_EVERY_S", 0.0)
    stopping = threading.Event()

    def look(taker: Any) -> None:
        bench.fetched.look(taker)
        stopping.set()

    watch(bench.station.intake, stopping, tmp_path / "no-stick", besides=look)
    assert bench.station.here() == [NAME, "wanted.json"]

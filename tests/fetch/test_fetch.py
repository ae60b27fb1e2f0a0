"""A carrier fetched from a real web server: complete or not there, nothing that nobody listed, and gone on with."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest

from appliance.fetch import errors, service
from appliance.intake import stick as sticks
from appliance.intake.stick import watch
from tests.fetch.bench import Bench
from tests.fetch.server import nasty, says
from tests.intake.test_bundle import FILE, NAME
from tests.release.images import BUNDLE, verity_of, with_images


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_fetched_carrier_is_imported_once_with_the_wanted_bundle(bench: Bench) -> None:
    bench.serve(3)
    assert bench.fetch() is True
    served = (place for place in bench.served.rglob("*") if place.is_file())
    assert bench.carrier() == {str(place.relative_to(bench.served)): place.read_bytes() for place in served}
    bench.look(3)
    assert bench.station.here() == [NAME, "wanted.json"]
    assert bench.station.journal == []
    assert bench.last() == ("url", "accepted")


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


def test_the_version_that_runs_is_fetched_when_it_is_promoted_with_another_image(bench: Bench) -> None:
    bench.serve(3, with_images("0.1.0", verity=verity_of("another")))
    bench.fetch()
    bundle = f"/{FILE}".replace("0.2.0", "0.1.0")
    assert [path for path, _ in bench.asked if path.endswith(".raucb")] == [bundle]


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
        bench.look()
        assert bench.station.here() == []
    bench.look()
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

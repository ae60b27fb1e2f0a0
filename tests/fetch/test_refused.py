"""What the server has and the site did not approve: refused by intake, by name, on record once; nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.fetch import errors, service
from appliance.intake.service import journal_refusal
from appliance.ipc import Client, ServiceUnavailable
from appliance.verify.site_errors import SiteError
from tests.fetch.bench import Bench
from tests.fetch.server import nasty, says
from tests.intake.test_bundle import FILE, NAME, PINNED, files_of
from tests.recorder.conftest import desk, hsm, keys, scratch
from tests.recorder.desk import Desk
from tests.recorder.test_refusals import batches
from tests.release.forge import Forge
from tests.release.images import BUNDLE, with_images

__all__ = ["desk", "hsm", "keys", "scratch"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lose(name: str) -> Callable[[Path], None]:
    return lambda folder: next(folder.rglob(name)).unlink()


def spoil(name: str, content: bytes) -> Callable[[Path], None]:
    def bend(folder: Path) -> None:
        (folder / name if "/" in name else next(folder.rglob(name))).write_bytes(content)

    return bend


def forged_signature(folder: Path) -> None:
    """One bit of a signature is not what the snapshot binds; the file is as long as it was."""
    place = folder / "metadata/3.targets.json"
    content = bytearray(place.read_bytes())
    at = content.index(b'"sig": "') + len(b'"sig": "') + 20
    content[at] = ord("0") if content[at] != ord("0") else ord("1")
    place.write_bytes(content)


def one_byte_longer(folder: Path) -> None:
    place = folder / "metadata/3.targets.json"
    place.write_bytes(place.read_bytes() + b"\n")


BAD_METADATA = [
    (lose("3.targets.json"), "PL-SIT-001"),
    (lose("3.snapshot.json"), "PL-SIT-001"),
    (lose("ada.json"), "PL-SIT-030"),
    (spoil("timestamp.json", b"[]"), "PL-SIT-004"),
    (spoil("timestamp.json", b'{"signed":{"meta":{"snapshot.json":{"version":"../../x"}}}}'), "PL-SIT-004"),
    (spoil("timestamp.json", b'{"signed":{"meta":{"snapshot.json":{"version":-5}}}}'), "PL-SIT-004"),
    (spoil("timestamp.json", b"x" * (1 << 15)), "PL-SIT-002"),
    (spoil("metadata/2.root.json", b"<html>Welcome to nginx!</html>"), "PL-SIT-004"),
    (spoil("metadata/2.root.json", b"x" * (1 << 19)), "PL-SIT-002"),
    (forged_signature, "PL-SIT-021"),
    (one_byte_longer, "PL-SIT-022"),
]


@pytest.mark.parametrize(("bend", "code"), BAD_METADATA)
def test_metadata_that_does_not_verify_is_refused_by_intake_once(bench: Bench, bend: Any, code: str) -> None:
    bench.serve(3)
    bend(bench.served)
    for _ in range(3):
        with pytest.raises(SiteError, match=code):
            bench.fetch()
        bench.look(2)
        assert not any(path.startswith("/targets") for path, _ in bench.asked)
        bench.restart()
    bench.look(2)
    assert bench.station.journal == [code]
    assert not (bench.station.folder / "staged" / "current").exists()
    assert not (bench.folder / "carrier").exists()


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (Forge(documents=with_images(), targets_signers=["ada"]), "PL-SIT-017"),
        (Forge(documents=with_images(), online_signers=["ada"]), "PL-SIT-019"),
        (Forge(documents=with_images(), approval_signers={"ada": "mallory"}), "PL-SIT-032"),
        (
            Forge(documents=with_images(), edit_next_root=lambda root: root.update(version=3)),
            "PL-SIT-011",
        ),
        (Forge(documents={**with_images(), "surprise.txt": b"hello"}), "PL-SIT-026"),
    ],
)
def test_what_the_site_did_not_sign_is_refused_by_the_name_a_stick_would_get(
    bench: Bench, forge: Forge, code: str
) -> None:
    files = forge.files() | {"metadata/1.root.json": PINNED}
    bench.put(files)
    with pytest.raises(SiteError):
        bench.fetch()
    bench.look()
    with pytest.raises(SiteError):
        bench.station.take(files)
    assert bench.station.journal == [code, code]


@cache
def bad(version: int = 4) -> dict[str, bytes]:
    """A carrier that one person signed."""
    return Forge(version=version, targets_signers=["ada"]).files() | {"metadata/1.root.json": PINNED}


def test_other_bytes_are_another_record_and_the_same_after_good_ones_too(bench: Bench) -> None:
    for offered in (bad(4), bad(5), bad(5)):
        bench.put(offered)
        with pytest.raises(SiteError):
            bench.fetch()
        bench.look()
    assert len(bench.station.journal) == 2
    bench.serve(5)
    assert bench.fetch() is True
    bench.look()
    assert bench.last() == ("url", "accepted")
    bench.put(bad(6))
    with pytest.raises(SiteError):
        bench.fetch()
    bench.look()
    bench.serve(5)
    assert bench.fetch() is False
    bench.look()
    bench.put(bad(6))
    with pytest.raises(SiteError):
        bench.fetch()
    bench.look()
    assert bench.station.journal == ["PL-SIT-017"] * 4


def test_a_carrier_that_intake_has_not_seen_yet_outlives_a_bad_answer(bench: Bench) -> None:
    bench.serve(3)
    bench.fetch()
    before = bench.carrier()
    bench.put(bad())
    with pytest.raises(SiteError):
        bench.fetch()
    assert bench.carrier() == before
    bench.look()
    assert bench.station.intake.describe(None)["targets"] == 3  # type: ignore[arg-type]  # the caller does not matter
    assert bench.last() == ("url", "PL-SIT-017")
    assert bench.station.here() == [NAME, "wanted.json"]


def test_a_staging_that_was_lost_comes_back_at_the_next_start_and_the_refused_is_not_told_again(bench: Bench) -> None:
    bench.serve(3)
    bench.fetch()
    bench.put(bad())
    with pytest.raises(SiteError):
        bench.fetch()
    bench.look()
    shutil.rmtree(bench.station.folder / "staged")
    (bench.station.folder / "staged").mkdir()
    bench.restart()
    bench.look()
    assert bench.station.intake.describe(None)["targets"] == 3  # type: ignore[arg-type]  # the caller does not matter
    assert bench.station.journal == ["PL-SIT-017"]


def test_an_older_carrier_is_refused_once_and_not_at_each_start(bench: Bench) -> None:
    bench.station.take(files_of(4, with_images()))
    bench.serve(3)
    bench.fetch()
    for _ in range(3):
        bench.look()
        assert bench.last() == ("url", "PL-INT-010")
        bench.restart()
    assert bench.fetch() is False
    assert bench.station.journal == ["PL-INT-010"]
    bench.serve(5)
    bench.fetch()
    bench.look()
    assert bench.last() == ("url", "accepted")


def test_where_the_recorder_did_not_hear_it_it_is_told_at_the_next_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(bad())
    with pytest.raises(SiteError):
        bench.fetch()

    def silent(_: ProoflineError) -> None:
        raise ServiceUnavailable(service="recorder", why="silent")

    with monkeypatch.context() as patched:
        patched.setattr(bench.station.intake, "_journal", silent)
        bench.look()
    bench.restart()
    bench.look()
    bench.restart()
    bench.look()
    assert bench.station.journal == ["PL-SIT-017"]


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        (FILE, b"x" + BUNDLE[1:], "PL-INT-017"),
        (FILE, BUNDLE + b"x", "PL-INT-016"),
        ("*.demo.bin", lambda good: b"x" + good[1:], "PL-SIT-021"),
        ("*.demo.bin", lambda good: good + b"x" * 100, "PL-SIT-002"),
        ("*.roster.json", lambda good: good.replace(b"Olga", b"Owen"), "PL-SIT-021"),
    ],
)
def test_a_file_that_is_not_the_approved_one_is_refused_by_name_and_fetched_when_it_is(
    bench: Bench, file: str, content: Any, code: str
) -> None:
    bench.serve(3)
    place = bench.served / file if "/" in file else next(bench.served.rglob(file))
    good = place.read_bytes()
    place.write_bytes(content(good) if callable(content) else content)
    for _ in range(2):
        with pytest.raises(errors.AnswerOther, match=place.name):
            bench.fetch()
        bench.look(2)
        bench.restart()
    bench.look()
    assert bench.station.journal == [code]
    assert bench.station.here() == []
    assert not (bench.station.folder / "staged" / "current").exists()
    place.write_bytes(good)
    assert bench.fetch() is True
    assert {path for path, _ in bench.asked if path.startswith("/targets")} == {
        f"/{one.relative_to(bench.served)}" for one in [place, bench.served / FILE]
    }
    bench.look()
    assert bench.station.here() == [NAME, "wanted.json"]
    assert bench.last() == ("url", "accepted")


def asked_for_the_bundle(bench: Bench) -> bool:
    return any(path == f"/{FILE}" for path, _ in bench.asked)


def test_a_big_file_that_is_wrong_is_left_alone_for_hours_unless_the_sites_word_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WRONG", len(BUNDLE) // 3)
    bench.serve(3)
    (bench.served / FILE).write_bytes(b"x" + BUNDLE[1:])
    tries = []
    for _ in range(9):
        with pytest.raises(errors.AnswerOther):
            bench.fetch()
        bench.look()
        tries.append(asked_for_the_bundle(bench))
    assert tries == [True, False, False, False] * 2 + [True]
    assert bench.station.journal == ["PL-INT-017"]
    bench.serve(4)
    assert bench.fetch() is True
    assert asked_for_the_bundle(bench)
    bench.look()
    assert bench.station.here() == [NAME, "wanted.json"]


def test_a_station_that_got_another_image_meanwhile_does_not_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WRONG", 1)
    bench.serve(3)
    (bench.served / FILE).write_bytes(b"x" + BUNDLE[1:])
    with pytest.raises(errors.AnswerOther):
        bench.fetch()
    assert bench.fetch(version="0.2.0") is True
    assert not asked_for_the_bundle(bench)


def test_the_halves_of_two_files_are_nobodys_fault(bench: Bench) -> None:
    bench.serve(3)
    place = bench.served / FILE
    place.write_bytes(b"x" * 700_000)  # an older upload, cut off
    with pytest.raises(errors.AnswerShort):
        bench.fetch()
    place.write_bytes(BUNDLE)
    assert bench.fetch() is True
    bench.look()
    assert bench.station.journal == []
    assert bench.station.here() == [NAME, "wanted.json"]


@pytest.mark.parametrize("status", [b"302 Found\r\nLocation: http://127.0.0.2/", b"404 Not Found", b"503 No"])
def test_a_server_that_offers_nothing_is_no_refusal(bench: Bench, status: bytes) -> None:
    bench.put(bad())
    with pytest.raises(SiteError):
        bench.fetch()
    bench.look()
    broken = says(b"HTTP/1.1 ", status, b"\r\nContent-Length: 0\r\n\r\n")
    with nasty(broken) as address, pytest.raises(errors.FetchError):
        bench.fetch(address)
    bench.look()
    assert bench.station.journal == ["PL-SIT-017"]


def test_the_real_recorder_has_it_and_the_log_gets_it(bench: Bench, desk: Desk) -> None:
    with Client("recorder", desk.folder / "run" / "recorder.sock") as recorder:
        bench.station.intake._journal = lambda refusal: journal_refusal(recorder, refusal)
        bench.put(bad())
        for _ in range(2):
            with pytest.raises(SiteError):
                bench.fetch()
            bench.look()
        bench.serve(3)
        (bench.served / FILE).write_bytes(b"x" + BUNDLE[1:])
        with pytest.raises(errors.AnswerOther):
            bench.fetch()
        bench.look()
    assert desk.ask("CommitRefusals")["count"] == 2
    records = batches(desk)[0]["records"]
    assert [record["code"] for record in records] == ["PL-SIT-017", "PL-INT-017"]
    assert FILE.removeprefix("targets/").partition("/")[0] in records[1]["engineer"]

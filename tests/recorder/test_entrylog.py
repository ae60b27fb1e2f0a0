"""The log's writing end: many threads, a signer that fails, a disk that fails, a view that is spoilt."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from appliance.durable import JournalDamaged
from appliance.errors import ProoflineError
from appliance.evidence.log import recount
from appliance.recorder.entrylog import EntryLog
from appliance.recorder.errors import LogDamaged, LogUnwritable, NotYetCheckpointed
from tests.recorder.local_signer import Files, LocalSigner, check_proof, opened


def entry(number: int) -> bytes:
    return f"entry {number}".encode()


def press(number: int) -> str:
    return f"{number:032x}"


def names(first: int, entries: Sequence[bytes], _root: bytes | None) -> list[str | None]:
    return [press(at) for at in range(first, first + len(entries))]


class Place:
    """A log's directories and its signer; `open` opens it on whatever is there."""

    def __init__(self, folder: Path) -> None:
        self.state, self.published, self.signer = folder / "state", folder / "published", LocalSigner()
        self.state.mkdir()
        self.published.mkdir()
        self.log: EntryLog | None = None

    def open(self) -> EntryLog:
        self.close()
        self.log = EntryLog(self.state, self.published, self.signer, visit=names)
        return self.log

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
            self.log = None

    def fill(self, count: int) -> EntryLog:
        """A log of so many entries, written as one group, covered and published."""
        log = self.open()
        staged = [log.stage(entry(at), press=press(at)) for at in range(log.size, count)]
        for one in staged:
            log.settle(one)
        log.cover(count - 1)
        log.show(count - 1)
        return log

    def tree(self) -> dict[str, bytes]:
        files = (one for one in self.published.rglob("*") if one.is_file())
        return {os.fspath(one.relative_to(self.published)): one.read_bytes() for one in files}


@pytest.fixture
def place(scratch: Path) -> Iterator[Place]:
    found = Place(scratch)
    yield found
    found.close()


def check_published(place: Place, size: int) -> None:
    checkpoint = opened((place.published / "checkpoint").read_bytes())
    assert checkpoint.size == size
    assert [content for _, content in recount(Files(place.published), checkpoint)] == [entry(at) for at in range(size)]
    for at in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        document = (place.published / f"proofs/{press(at)}.tlog-proof").read_bytes()
        assert check_proof(document, entry(at)) == at


def test_threads_share_syncs_and_signatures_and_each_gets_its_proof(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    log = place.open()

    def append(number: int) -> None:
        content = f"thread's entry {number}".encode()
        appended = log.append(content)
        assert check_proof(appended.proof, content) == appended.index
        assert log.entry(appended.index) == content

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(append, range(480)))
    assert (log.size, log.covered) == (480, 480)
    assert place.signer.signatures < 240
    assert len(syncs) < 480


def test_the_published_log_grows_by_the_tile_and_keeps_two_partials_at_most(place: Place) -> None:
    for size in (1, 2, 5, 255, 256, 257, 300, 513):
        place.fill(size)
        check_published(place, size)
        partials = [path for path in place.tree() if ".p/" in path]
        assert len(partials) <= 6
    assert (place.published / "tile/0/000").exists()
    assert not (place.published / "tile/0/000.p").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda published: shutil.rmtree(published / "tile"),
        lambda published: shutil.rmtree(published / "proofs"),
        lambda published: (published / "checkpoint").write_bytes(b"torn"),
        lambda published: (published / "tile/0/001.p/44").write_bytes(b""),
        lambda published: (published / "tile/0/000").unlink(),
        lambda published: (published / "tile/entries/000").write_bytes(b""),
        lambda published: (published / "tile/0/001.p/7").write_bytes(b"left over"),
        lambda published: (published / f"proofs/{press(299)}.tlog-proof").write_bytes(b"half"),
        shutil.rmtree,
    ],
)
def test_a_spoilt_view_is_made_again_byte_for_byte(place: Place, spoil: Callable[[Path], object]) -> None:
    place.fill(300)
    before = place.tree()
    place.close()
    spoil(place.published)
    place.published.mkdir(exist_ok=True)
    place.open()
    assert place.tree() == before


def test_a_view_that_was_settled_is_made_again_too(place: Place) -> None:
    log = place.fill(600)
    log.catch_up()
    before = place.tree()
    place.close()
    (place.published / "tile/entries/001").unlink()
    (place.published / f"proofs/{press(3)}.manifest.json").unlink()
    (place.published / "tile/0/000").write_bytes(b"short")
    place.open()
    assert place.tree() == before


def test_a_silent_signer_leaves_a_durable_entry_that_is_covered_later(place: Place) -> None:
    log = place.fill(3)
    place.signer.silent = True
    with pytest.raises(NotYetCheckpointed):
        log.append(entry(3), press=press(3))
    assert (log.size, log.covered) == (4, 3)
    log = place.open()
    log.want(4)
    with pytest.raises(NotYetCheckpointed):
        log.catch_up()
    place.signer.silent = False
    log.catch_up()
    check_published(place, 4)


def test_a_signature_that_was_lost_on_its_way_is_made_again(place: Place) -> None:
    log = place.fill(3)
    place.signer.deaf = True
    with pytest.raises(NotYetCheckpointed):
        log.append(entry(3), press=press(3))
    assert place.signer.last()[0] == 4
    place.signer.deaf = False
    log.append(entry(4), press=press(4))
    log.show(4)
    check_published(place, 5)


def test_all_who_wait_hear_of_the_same_failure(place: Place) -> None:
    log = place.open()
    place.signer.silent = True

    def append(number: int) -> str:
        with pytest.raises(NotYetCheckpointed):
            log.append(entry(number))
        return "refused"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(append, range(8))) == ["refused"] * 8
    assert log.size == 8


@pytest.mark.parametrize(
    ("signed", "code"),
    [((9, b"\1" * 32), "PL-REC-005"), ((2, b"\1" * 32), "PL-REC-006")],
    ids=["rolled back", "forked"],
)
def test_a_log_that_is_not_what_was_signed_is_not_continued(place: Place, signed: tuple[int, bytes], code: str) -> None:
    place.fill(3)
    log = place.open()
    place.signer._last = signed
    with pytest.raises(NotYetCheckpointed) as caught:
        log.append(entry(3))
    assert isinstance(caught.value.__cause__, ProoflineError)
    assert caught.value.__cause__.code == code
    assert log.covered == 3


class BadDisk:
    """Makes one function of `os` fail for the log's files, as a full or dying disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, folder: Path) -> None:
        self.on = True
        real: Callable[..., Any] = getattr(os, name)

        def call(descriptor: Any, *rest: Any, **options: Any) -> Any:
            where = os.readlink(f"/proc/self/fd/{descriptor}") if isinstance(descriptor, int) else os.fspath(descriptor)
            if self.on and where.startswith(os.fspath(folder)):
                raise OSError(number, os.strerror(number))
            return real(descriptor, *rest, **options)

        monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize(
    ("name", "number"), [("write", errno.ENOSPC), ("fdatasync", errno.EIO), ("write", errno.EROFS)]
)
def test_what_a_failing_disk_refused_is_not_there_and_work_goes_on_after(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    log = place.fill(3)
    undone: list[int] = []
    disk = BadDisk(monkeypatch, name, number, place.state / "log")
    staged = [log.stage(entry(90 + at), undo=partial(undone.append, at)) for at in range(3)]
    for one in staged:
        with pytest.raises(LogUnwritable):
            log.settle(one)
    assert undone == [2, 1, 0]
    assert log.write_fault is not None
    assert (log.size, log.next_index) == (3, 3)
    disk.on = False
    log.catch_up()
    assert log.write_fault is None
    log.append(entry(3), press=press(3))
    log.show(3)
    check_published(place, 4)
    log = place.open()
    assert [log.entry(at) for at in range(log.size)] == [entry(at) for at in range(4)]


def test_a_failing_view_does_not_touch_the_truth(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log = place.fill(3)
    disk = BadDisk(monkeypatch, "open", errno.ENOSPC, place.published)
    log.append(entry(3), press=press(3))
    log.show(3)
    assert log.publish_fault is not None
    assert log.covered == 4
    disk.on = False
    log.catch_up()
    assert log.publish_fault is None
    check_published(place, 4)


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda log: (log / "00000000.log").unlink(), LogDamaged),
        (lambda log: (log / "00000000.log").write_bytes((log / "00000000.log").read_bytes()[:-1]), JournalDamaged),
        (lambda log: shutil.copy(log / "00000001.log", log / "00000000.log"), LogDamaged),
        (lambda log: flip(log / "00000000.log"), JournalDamaged),
        (lambda log: flip(log / "00000001.log"), JournalDamaged),
    ],
    ids=["missing", "cut", "exchanged", "old damaged", "new damaged"],
)
def test_a_damaged_log_is_refused_by_name(
    place: Place, spoil: Callable[[Path], object], refused: type[ProoflineError]
) -> None:
    place.fill(300)
    place.fill(301)
    place.close()
    spoil(place.state / "log")
    with pytest.raises(refused):
        place.open()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("content", [b"", b"x" * 65_536])
def test_an_entry_of_no_or_too_many_bytes_is_refused(place: Place, content: bytes) -> None:
    with pytest.raises(ProoflineError) as caught:
        place.open().append(content)
    assert caught.value.code == "PL-REC-009"


def test_the_keeper_publishes_what_nobody_waits_for(place: Place) -> None:
    log = place.open()
    stop = Event()
    keeper = Thread(target=log.keep, args=(stop,), kwargs={"rest_s": 0.01})
    keeper.start()
    try:
        for number in range(20):
            log.append(entry(number), press=press(number))
        while log.published < 20:
            stop.wait(0.01)
    finally:
        stop.set()
        keeper.join()
    check_published(place, 20)

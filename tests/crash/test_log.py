"""The evidence log, killed at every file effect and replayed onto every disk that a power cut could leave."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.evidence import log as evidence_log
from appliance.recorder.entrylog import EntryLog
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.recorder.local_signer import Files, LocalSigner, check_proof, opened

PREPARED = 254
UNITS = PREPARED - 2
"""Entries before this one are no units: their proofs would cost the most and are not what is being tested."""


def entry(number: int) -> bytes:
    return f"entry {number} ".encode() * (1 + number % 7)


def press(number: int) -> str:
    return f"{number:032x}"


def names(first: int, entries: Sequence[bytes], _root: bytes | None) -> list[str | None]:
    return [press(at) if at >= UNITS else None for at in range(first, first + len(entries))]


def open_log(root: Path) -> EntryLog:
    for name in ("state", "published", "signer"):
        (root / name).mkdir(exist_ok=True)
    return EntryLog(root / "state", root / "published", LocalSigner(root / "signer" / "last.json"), visit=names)


def prepare(root: Path) -> None:
    """A log that is two entries short of its second segment."""
    log = open_log(root)
    staged = [log.stage(entry(at), press=press(at) if at >= UNITS else None) for at in range(PREPARED)]
    for one in staged:
        log.settle(one)
    log.cover(PREPARED - 1)
    log.show(PREPARED - 1)
    log.catch_up()
    log.close()


def append_four(root: Path) -> None:
    """Two entries end a segment, one without a checkpoint begins the next, one follows; each promised as it comes."""
    log = open_log(root)
    for number in range(log.size, PREPARED + 2):
        log.append(entry(number), press=press(number))
        mark(f"covered {number}")
        log.show(number)
    staged = log.stage(entry(PREPARED + 2), press=press(PREPARED + 2))
    log.settle(staged)
    mark(f"durable {PREPARED + 2}")
    log.append(entry(PREPARED + 3), press=press(PREPARED + 3))
    mark(f"covered {PREPARED + 3}")
    log.show(PREPARED + 3)
    log.catch_up()
    log.close()


def check(case: Case) -> None:
    """Without a hand: everything promised is there, the log verifies, the view is remade, and work goes on."""
    promised = [int(one.split()[1]) for one in case.marks]
    covered = [int(one.split()[1]) for one in case.marks if one.startswith("covered")]
    log = open_log(case.root)
    try:
        assert log.size >= max(promised, default=PREPARED - 1) + 1, case.why
        assert log.covered >= max(covered, default=PREPARED - 1) + 1, case.why
        assert [log.entry(at) for at in range(log.size)] == [entry(at) for at in range(log.size)], case.why
        following = log.size
        log.append(entry(following), press=press(following))
        log.show(following)
        log.catch_up()
        assert log.publish_fault is None, case.why
        published = case.root / "published"
        checkpoint = opened((published / "checkpoint").read_bytes())
        assert checkpoint.size == following + 1, case.why
        recounted = dict(evidence_log.recount(Files(published), checkpoint))
        assert recounted == {at: entry(at) for at in range(following + 1)}, case.why
        for number in range(UNITS, following + 1):
            assert (published / f"proofs/{press(number)}.manifest.json").read_bytes() == entry(number), case.why
            proof = (published / f"proofs/{press(number)}.tlog-proof").read_bytes()
            assert check_proof(proof, entry(number)) == number, case.why
        assert not list((published / ".unfinished").iterdir()), case.why
    finally:
        log.close()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    prepare(root)
    return root


def test_nothing_promised_is_lost_when_the_recorder_is_killed(prepared: Path, scratch: Path) -> None:
    cases = 0
    for case in killed_everywhere(append_four, scratch, prepared):
        check(case)
        cases += 1
    assert cases > 200


def test_nothing_promised_is_lost_when_the_power_is_cut(prepared: Path, scratch: Path) -> None:
    cases = 0
    for case in replayed_everywhere(append_four, scratch, prepared, mixtures=1):
        check(case)
        cases += 1
    assert cases > 300


def test_a_log_begun_under_a_power_cut_is_a_log(scratch: Path) -> None:
    empty = scratch / "empty"
    for name in ("state", "published", "signer"):  # the supervisor's to make, before the service starts
        (empty / name).mkdir(parents=True)

    def begin(root: Path) -> None:
        log = open_log(root)
        log.append(entry(0), press=press(0))
        mark("covered 0")
        log.close()

    for case in replayed_everywhere(begin, scratch, empty, mixtures=2):
        shutil.rmtree(case.root / "published", ignore_errors=True)
        log = open_log(case.root)
        assert log.size >= len(case.marks), case.why
        log.append(entry(log.size), press=press(log.size))
        log.close()

"""`appliance.durable` under every crash, and the proof that the harness would see it fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import durable
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere

RECORDS = [f"record {number} ".encode() * (1 + 700 * (number % 3)) for number in range(9)]
"""Some are longer than a page, so that a batch's pages can arrive in any order."""


def write(root: Path) -> None:
    """Single records, batches, a rewrite, and what comes after it."""
    with durable.Journal(root / "journal") as journal:
        journal.append(RECORDS[0])
        mark("1")
        journal.append_many(RECORDS[1:4])
        mark("4")
        journal.append_buffered(RECORDS[4])
        journal.append_buffered(RECORDS[5])
        journal.sync()
        mark("6")
        journal.rewrite(RECORDS[:6])
        journal.append(RECORDS[6])
        mark("7")
    durable.write_atomic(root / "note", b"old")
    mark("note old")
    durable.write_atomic(root / "note", b"new")
    mark("note new")


def check(case: Case) -> None:
    promised = max([int(one) for one in case.marks if one.isdecimal()], default=0)
    with durable.Journal(case.root / "journal") as journal:
        assert journal.records == RECORDS[: len(journal.records)], case.why
        assert len(journal.records) >= promised, case.why
        journal.append(b"and on")
    with durable.Journal(case.root / "journal") as journal:
        assert journal.records[-1] == b"and on", case.why
    note = case.root / "note"
    allowed = {"note new": [b"new"], "note old": [b"old", b"new"]}.get(case.marks[-1] if case.marks else "")
    if allowed is not None:
        assert note.read_bytes() in allowed, case.why
    elif note.exists():
        assert note.read_bytes() == b"old", case.why


def test_a_killed_writer_loses_nothing_it_promised(scratch: Path) -> None:
    for case in killed_everywhere(write, scratch):
        check(case)


@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_loses_nothing_promised(scratch: Path, seed: int) -> None:
    for case in replayed_everywhere(write, scratch, seed=seed, mixtures=4):
        check(case)


@pytest.mark.parametrize("forgotten", ["fdatasync", "fsync"])
def test_a_writer_that_forgets_to_sync_is_caught(scratch: Path, forgotten: str) -> None:
    def forgetful(root: Path) -> None:
        setattr(os, forgotten, lambda _descriptor: None)  # over the shim: the trace shows no sync either
        write(root)

    def replayed() -> None:
        for case in replayed_everywhere(forgetful, scratch):
            check(case)

    with pytest.raises(AssertionError):
        replayed()


def test_a_write_that_the_shim_cannot_see_ends_the_process(scratch: Path) -> None:
    def sly(root: Path) -> None:
        (root / "file").write_text("unseen")

    with pytest.raises(AssertionError, match="97"):
        list(killed_everywhere(sly, scratch))


def damaged(record: int, data: bytes) -> bytes:
    offset = data.index(RECORDS[record])
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda data: damaged(0, data), True),
        (lambda data: damaged(1, data), True),
        (lambda data: damaged(3, data), False),  # the last record: nobody can tell it from a torn one
        (lambda data: data[:-1], False),
        (lambda data: data + b"\0" * 5000, False),
    ],
    ids=["first", "middle", "last", "cut", "zeros"],
)
def test_damage_is_told_from_a_torn_tail(tmp_path: Path, spoil: Callable[[bytes], bytes], refused: bool) -> None:
    path = tmp_path / "journal"
    with durable.Journal(path) as journal:
        for record in RECORDS[:4]:
            journal.append(record)
    path.write_bytes(spoil(path.read_bytes()))
    if refused:
        with pytest.raises(durable.JournalDamaged):
            durable.Journal(path)
        return
    with durable.Journal(path) as journal:
        assert journal.records in (RECORDS[:3], RECORDS[:4])


def test_pages_of_one_batch_in_the_wrong_order_are_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with durable.Journal(path) as journal:
        journal.append(RECORDS[0])
        journal.append_many(RECORDS[1:4])
    path.write_bytes(damaged(1, path.read_bytes()))
    with durable.Journal(path) as journal:
        assert journal.records == RECORDS[:1]

"""Presses are durable, used once and finished once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import durable
from appliance.evidence import strict_json
from appliance.panel import press as press_module
from appliance.panel.errors import FinishedOtherwise, NotSignedIn, PressJournalWrong, PressUnknown, StillWorking
from appliance.panel.press import KEEP_FINISHED, MAX_OWED, Owed, PressBook
from appliance.panel.session import Draft

DRAFT = Draft("olga", "WO-1", "provision", "FW-1")


def opened(path: Path) -> tuple[durable.Journal, PressBook]:
    journal = durable.Journal(path)
    return journal, PressBook(journal, "b" * 32, lambda: 1234)


def ended(book: PressBook, press: str) -> str | None:
    known = book.find(press)
    assert known is not None
    return known.verdict


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "presses.journal"


def test_a_press_survives_and_ends_once(path: Path) -> None:
    journal, book = opened(path)
    press = book.open(DRAFT)
    journal.close()
    journal, book = opened(path)
    assert book.unfinished == press
    assert book.finish(press.press, "pass", stop=False)
    assert not book.finish(press.press, "pass", stop=False)
    with pytest.raises(FinishedOtherwise):
        book.finish(press.press, "fail", stop=False)
    journal.close()
    journal, book = opened(path)
    assert book.unfinished is None
    assert ended(book, press.press) == "pass"
    assert book.count == 1
    journal.close()


def test_a_press_record_is_as_the_contract_says(path: Path) -> None:
    journal, book = opened(path)
    press = book.open(DRAFT)
    assert press.document() == {
        "schema": 1,
        "press": press.press,
        "order": "WO-1",
        "event": "provision",
        "label": "FW-1",
        "operator": {"id": "olga", "method": "badge"},
        "boot_id": "b" * 32,
        "monotonic_ms": 1234,
    }
    assert press.digest().startswith("sha256:")
    assert len(press.press) == 32
    journal.close()


def test_one_press_at_a_time_and_no_end_for_an_unknown_one(path: Path) -> None:
    journal, book = opened(path)
    book.open(DRAFT)
    with pytest.raises(StillWorking):
        book.open(DRAFT)
    with pytest.raises(PressUnknown):
        book.finish("0" * 32, "pass", stop=False)
    journal.close()


def test_a_stopped_line_stays_stopped_until_acknowledged(path: Path) -> None:
    journal, book = opened(path)
    press = book.open(DRAFT)
    book.finish(press.press, "refused", stop=True)
    journal.close()
    journal, book = opened(path)
    assert book.stopped_by == press.press
    book.restart("lea")
    journal.close()
    journal, book = opened(path)
    assert book.stopped_by is None
    journal.close()


def test_compaction_keeps_the_meaning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_module, "COMPACT_AT", 700)
    journal, book = opened(path)
    for _ in range(399):
        book.finish(book.open(DRAFT).press, "pass", stop=False)
    last = book.open(DRAFT)
    book.finish(last.press, "pass", stop=False)
    stopping = book.open(DRAFT)
    book.finish(stopping.press, "refused", stop=True)
    book.owe(Owed("c" * 32, None, NotSignedIn(why="x").as_record()))
    waiting = book.open(DRAFT)
    for _ in range(700):
        book.owe(Owed("d" * 32, "olga", NotSignedIn(why="y").as_record()))
    journal.close()
    journal, book = opened(path)
    assert (book.count, book.unfinished, book.stopped_by) == (402, waiting, stopping.press)
    assert [owed.press for owed in book.owed] == ["c" * 32, "d" * 32]
    assert ended(book, last.press) == "pass"
    assert len(journal.records) < 700
    journal.close()


def test_what_is_remembered_is_bounded(path: Path) -> None:
    journal, book = opened(path)
    first = book.open(DRAFT)
    book.finish(first.press, "pass", stop=False)
    for _ in range(KEEP_FINISHED + 1):
        book.finish(book.open(DRAFT).press, "pass", stop=False)
    assert book.find(first.press) is None
    for n in range(MAX_OWED + 5):
        book.owe(Owed(f"{n:032x}", None, NotSignedIn(why="x").as_record()))
    assert len(book.owed) == MAX_OWED
    journal.close()


@pytest.mark.parametrize(
    "record",
    [
        b"not json",
        b"[]",
        b'{"at":"nothing"}',
        b'{"at":"finish","press":"0","stop":false,"verdict":"pass"}',
        b'{"at":"press","n":1,"record":{}}',
    ],
)
def test_a_journal_that_does_not_make_sense_is_refused_by_name(path: Path, record: bytes) -> None:
    with durable.Journal(path) as journal:
        journal.append(record)
    with durable.Journal(path) as journal, pytest.raises(PressJournalWrong):
        PressBook(journal, "b" * 32, lambda: 0)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["open", "pass", "fail", "stop", "restart", "owe", "pay", "reopen"]), max_size=30))
def test_any_history_reads_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, acts: Any) -> None:
    path = tmp_path_factory.mktemp("book") / "j"
    journal, book = opened(path)
    for n, act in enumerate(acts):
        unfinished = book.unfinished
        match act:
            case "open" if unfinished is None:
                book.open(DRAFT)
            case "pass" | "fail" if unfinished is not None:
                book.finish(unfinished.press, act, stop=False)
            case "stop" if unfinished is not None:
                book.finish(unfinished.press, "refused", stop=True)
            case "restart":
                book.restart("lea")
            case "owe":
                book.owe(Owed(f"{n:032x}", None, {"code": "PL-PNL-001"}))
            case "pay" if book.owed:
                book.paid(book.owed[0].press)
            case "reopen":
                seen = (book.unfinished, book.stopped_by, book.owed, book.count)
                journal.close()
                journal, book = opened(path)
                assert (book.unfinished, book.stopped_by, book.owed, book.count) == seen
    journal.close()


_PRESSER = """
import os, sys
from pathlib import Path
from appliance import durable
from appliance.panel.press import PressBook
from appliance.panel.session import Draft
book = PressBook(durable.Journal(Path(sys.argv[1])), "b" * 32, lambda: 0)
while True:
    press = book.open(Draft("olga", "WO-1", "provision", None))
    os.write(1, b"o" + press.press.encode() + b"\\n")
    book.finish(press.press, "pass", stop=False)
    os.write(1, b"f" + press.press.encode() + b"\\n")
"""


def test_a_kill_loses_no_press_that_anybody_heard_of(path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", _PRESSER, os.fspath(path)], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    heard = [worker.stdout.readline() for _ in range(41)]
    worker.send_signal(signal.SIGKILL)
    heard += worker.stdout.readlines()
    worker.wait()
    worker.stdout.close()
    journal, book = opened(path)
    for line in heard:
        if line.endswith(b"\n"):
            known = book.find(line[1:-1].decode())
            assert known is not None
            assert line[:1] == b"o" or known.verdict == "pass"
    for record in journal.records:
        strict_json.decode(record)
    journal.close()

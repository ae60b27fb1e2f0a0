"""The refusal journal: kept while nothing can be signed, then committed once and completely."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.evidence import statement
from appliance.recorder.facts import Batch, read
from appliance.recorder.refusals import LIMIT, RefusalJournal
from appliance.recorder.registry import JournalState
from tests.recorder.desk import UID, Desk

REFUSAL = {"code": "PL-CLK-010", "operator": "No.", "engineer": "The clock\nis off.", "action": "Wait.", "details": {}}
RECORD: dict[str, Any] = {
    "kind": "refusal",
    "press": None,
    "press_digest": None,
    "operator": "olga",
    "code": "PL-CLK-010",
    "engineer": "The clock is off.",
    "boot_id": "ab" * 16,
    "monotonic_ms": 5,
}


def batches(desk: Desk) -> list[dict[str, Any]]:
    """The batches in the log, as predicates."""
    found = []
    for index in range(desk.recorder.log.size):
        entry = desk.recorder.log.entry(index)
        if isinstance(read(entry), Batch):
            found.append(json.loads(base64.b64decode(json.loads(entry)["payload"]))["predicate"])
    return found


def test_refusals_are_kept_without_the_signer_and_committed_as_one_entry_when_it_is_back(desk: Desk) -> None:
    desk.stop()
    press = desk.pressed()
    numbers = [
        desk.ask("JournalRefusal", kind="refusal", press=press, operator="olga", refusal=REFUSAL)["n"],
        desk.ask("JournalRefusal", kind="line_stop", press=None, operator=None, refusal=None)["n"],
        desk.ask("JournalRefusal", kind="line_restart", press=None, operator="lea", refusal=None)["n"],
    ]
    assert numbers == [0, 1, 2]
    assert desk.answer("CommitRefusals") == "PL-IPC-001"
    assert desk.ask("PressOutcome", press=press) == {
        "verdict": None, "code": None, "index": None, "digest": None, "label": None, "journalled": True,
    }  # fmt: skip
    desk.reopen()
    desk.start()
    assert desk.ask("CommitRefusals")["count"] == 3
    assert desk.ask("CommitRefusals")["count"] == 0
    (batch,) = batches(desk)
    assert [one["kind"] for one in batch["records"]] == ["refusal", "line-stop", "line-restart"]
    assert batch["records"][0]["press"] == press
    assert batch["records"][0]["press_digest"] == desk.presses[press]["digest"]
    assert batch["records"][0]["engineer"] == "The clock is off."
    about = desk.ask("Describe")
    assert (about["journal"], about["journal_committed"], about["checkpointed"]) == (3, 3, 1)
    desk.reopen()
    assert desk.ask("PressOutcome", press=press)["journalled"]
    assert desk.ask("JournalRefusal", kind="line_stop")["n"] == 3
    assert desk.ask("CommitRefusals")["count"] == 1
    first, second = batches(desk)
    assert second["journal"]["previous"] == first["journal"]["head"]


def test_a_batch_that_is_in_the_log_is_not_committed_again(desk: Desk) -> None:
    desk.ask("JournalRefusal", kind="line_stop")
    kept = (desk.folder / "recorder" / "refusals.journal").read_bytes()
    assert desk.ask("CommitRefusals")["count"] == 1
    desk.shut()
    # As if it had been killed between the log and the journal.
    (desk.folder / "recorder" / "refusals.journal").write_bytes(kept)
    desk.open()
    assert desk.ask("CommitRefusals")["count"] == 0
    assert len(batches(desk)) == 1


def test_many_refusals_take_as_many_entries_as_they_need_and_no_more(desk: Desk) -> None:
    long = {**REFUSAL, "engineer": "x" * 900}
    for _ in range(70):
        desk.ask("JournalRefusal", kind="refusal", press=None, operator="olga", refusal=long)
    assert desk.ask("CommitRefusals")["count"] == 70
    found = batches(desk)
    assert len(found) == 2
    assert [record["n"] for one in found for record in one["records"]] == list(range(70))
    assert max(len(desk.recorder.log.entry(at)) for at in range(len(found))) <= 65_535


def test_refusals_are_committed_by_themselves_when_the_gates_open(desk: Desk) -> None:
    desk.stop()
    desk.ask("JournalRefusal", kind="line_stop")
    stop = Event()
    keeper = Thread(target=desk.recorder.keep, args=(stop,))
    keeper.start()
    try:
        desk.start()
        deadline = time.monotonic() + 20
        while desk.recorder.log.covered == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        stop.set()
        keeper.join()
    assert desk.ask("Describe")["journal_committed"] == 1


def test_a_press_with_a_manifest_gets_no_refusal_beside_it(desk: Desk) -> None:
    press = desk.pressed()
    desk.reserve(press)
    envelope = desk.sign_manifest(press, desk.observed("fail"))
    desk.stop()
    assert desk.answer("Append", envelope=envelope) == "PL-REC-004"
    # Whoever lost that answer cannot see the entry yet, and would journal what it could not append.
    assert desk.ask("PressOutcome", press=press)["verdict"] is None
    for _ in range(2):
        assert desk.answer("JournalRefusal", kind="refusal", press=press, refusal=REFUSAL) == "PL-REC-055"
        desk.reopen()
    assert desk.ask("JournalRefusal", kind="line_stop", press=press)["n"] == 0
    assert desk.ask("Describe")["journal"] == 1


def test_an_entry_without_a_checkpoint_is_no_outcome_and_gets_one_by_itself(desk: Desk) -> None:
    press = desk.pressed()
    desk.reserve(press)
    envelope = desk.sign_manifest(press, desk.observed())
    desk.stop()
    assert desk.answer("Append", envelope=envelope) == "PL-REC-004"
    assert desk.ask("PressOutcome", press=press)["verdict"] is None
    assert desk.ask("DescribeDevice", device={"part": "stm32f412xg", "uid": UID})["verdict"] == "pass"
    desk.reopen()
    assert desk.ask("PressOutcome", press=press)["verdict"] is None
    desk.start()
    desk.recorder.log.catch_up()
    assert desk.ask("PressOutcome", press=press)["verdict"] == "pass"
    assert (desk.published / f"proofs/{press}.tlog-proof").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"kind": "refusal"}, "PL-REC-061"),
        ({"kind": "refusal", "refusal": {**REFUSAL, "code": "no code"}}, "PL-REC-062"),
        ({"kind": "line_stop", "press": "short"}, "PL-REC-062"),
        ({"kind": "line_stop", "operator": "o\nlga"}, "PL-REC-062"),
        ({"kind": "line_stop", "operator": "x" * 100_000}, "PL-REC-062"),
    ],
)
def test_a_record_that_could_never_be_signed_is_refused_at_once(
    desk: Desk, arguments: dict[str, Any], code: str
) -> None:
    assert desk.answer("JournalRefusal", **arguments) == code
    assert desk.ask("JournalRefusal", kind="line_stop")["n"] == 0


def code_of(act: Any) -> str:
    try:
        act()
    except ProoflineError as refusal:
        return refusal.code
    return ""


def test_the_journal_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.durable.os.fdatasync", lambda _descriptor: None)  # 4096 of them take their time
    journal = RefusalJournal(tmp_path / "journal", JournalState())
    for _ in range(LIMIT):
        journal.add(RECORD)
    assert code_of(lambda: journal.add(RECORD)) == "PL-REC-060"
    batch = journal.next_batch()
    assert batch is not None
    journal.forget(JournalState(batch.last + 1, batch.head, 0))
    assert journal.add(RECORD) == LIMIT
    journal.close()


def test_a_journal_that_contradicts_the_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = RefusalJournal(path, JournalState())
    for _ in range(3):
        journal.add(RECORD)
    head = statement.chain(statement.FIRST_HEAD, [{**RECORD, "n": 0}])
    journal.close()
    assert code_of(lambda: RefusalJournal(path, JournalState(1, f"sha256:{'11' * 32}", 0))) == "PL-REC-064"
    journal = RefusalJournal(path, JournalState(1, head, 0))
    assert (journal.count, journal.waiting) == (3, 2)
    journal.close()
    assert code_of(lambda: RefusalJournal(path, JournalState())) == "PL-REC-064", "the log lost what was committed"
    path.unlink()
    journal = RefusalJournal(path, JournalState(1, head, 0))
    assert (journal.add(RECORD), journal.waiting) == (1, 1)
    journal.close()

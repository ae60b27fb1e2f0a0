"""What the signer remembers, across restarts, compaction and damage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import durable
from appliance.custody import ledger
from appliance.custody.errors import PressSignedOtherwise, SignerStateDamaged
from appliance.custody.ledger import Batch, Ledger, Signed, Tree
from appliance.evidence import strict_json

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def opened(path: Path) -> Ledger:
    return Ledger(durable.Journal(path))


def signed(n: int, *, counts: bool = True) -> Signed:
    return Signed(f"{n:032x}", f"sha256:{n:064x}", f"envelope {n}", "WO-1", counts)


def fill(book: Ledger, presses: range) -> None:
    for n in presses:
        book.add_manifest(signed(n, counts=n % 2 == 0), NOON + timedelta(seconds=n))


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    book = opened(tmp_path / "signer.journal")
    fill(book, range(4))
    book.add_tree(Tree(3, "ab" * 32, "note"))
    book.add_batch(Batch(0, 4, "sha256:0", "sha256:1", "refusals"), NOON)
    book.close()
    again = opened(tmp_path / "signer.journal")
    assert again.signed(signed(2).press, signed(2).observations) == "envelope 2"
    assert again.signed("ff" * 16, "sha256:") is None
    with pytest.raises(PressSignedOtherwise):
        again.signed(signed(2).press, "sha256:other")
    assert again.tree == Tree(3, "ab" * 32, "note")
    assert again.batch == Batch(0, 4, "sha256:0", "sha256:1", "refusals")
    assert again.floor == NOON + timedelta(seconds=3)
    assert again.counted("WO-1", without="ff" * 16) == 2
    assert again.counted("WO-1", without=signed(2).press) == 1
    assert again.counted("WO-2", without=signed(2).press) == 0
    again.close()


def test_compaction_forgets_old_envelopes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEEP", 4)
    monkeypatch.setattr(ledger, "COMPACT_AT", 16)
    path = tmp_path / "signer.journal"
    book = opened(path)
    book.add_tree(Tree(3, "ab" * 32, "note"))
    fill(book, range(100))
    book.close()
    for _ in range(2):
        again = opened(path)
        assert again.counted("WO-1", without="ff" * 16) == 50
        assert again.floor == NOON + timedelta(seconds=99)
        assert again.tree == Tree(3, "ab" * 32, "note")
        assert again.signed(signed(99).press, signed(99).observations) == "envelope 99"
        assert again.signed(signed(1).press, signed(1).observations) is None
        again.close()
    assert len(durable.Journal(path).records) < 20


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"{}",
        b'{"at":"other"}',
        b'{"at":"tree","size":1}',
        b'{"at":"tree","size":1,"root":"","note":"","more":1}',
        b'{"at":"counts","orders":{"WO-1":"many"}}',
        strict_json.encode({"at": "manifest", **vars(signed(1)), "earliest": "noon"}),
    ],
)
def test_a_record_of_another_kind_is_not_started_with(tmp_path: Path, record: bytes) -> None:
    journal = durable.Journal(tmp_path / "signer.journal")
    journal.append(record)
    journal.close()
    with pytest.raises(SignerStateDamaged):
        opened(tmp_path / "signer.journal")


def test_one_press_is_not_recorded_twice(tmp_path: Path) -> None:
    book = opened(tmp_path / "signer.journal")
    book.add_manifest(signed(1), NOON)
    with pytest.raises(ValueError, match="twice"):
        book.add_manifest(signed(1), NOON)
    book.close()

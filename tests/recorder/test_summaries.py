"""Summaries make the start fast and are believed only where they fit the log's own hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.evidence import merkle, statement
from appliance.evidence.envelope import Envelope, encode
from appliance.recorder import facts
from appliance.recorder.summaries import Summaries
from tests.evidence import samples


def entries(changed: int = 0) -> list[bytes]:
    """A reservation, a manifest and a batch of refusals; `changed` makes other ones of the same kind."""
    payload = statement.build_reservation(samples.reservation(7 + changed))
    return [
        encode(Envelope(statement.RESERVATION_PAYLOAD, payload, ())),
        samples.signed(statement.build_manifest(samples.predicate(7 + changed))),
        samples.signed(statement.build_refusals(samples.refusals(count=3 + changed))),
    ]


def subtree(listed: list[bytes]) -> bytes:
    return merkle.root_of(merkle.leaf_hash(one) for one in listed)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    seen: list[bytes] = []
    real = facts.read

    def read(entry: bytes) -> facts.Fact:
        seen.append(entry)
        return real(entry)

    monkeypatch.setattr(facts, "read", read)
    return seen


def test_a_summary_spares_reading_the_entries_again(tmp_path: Path, parsed: list[bytes]) -> None:
    listed = entries()
    made = Summaries(tmp_path / "summaries").facts(0, listed, subtree(listed))
    assert len(parsed) == 3
    assert Summaries(tmp_path / "summaries").facts(0, listed, subtree(listed)) == made
    assert len(parsed) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:],
        lambda data: b"{}",
        lambda data: b"\0" * len(data),
    ],
    ids=["empty", "cut", "bent", "other", "zeros"],
)
def test_a_spoilt_summary_is_made_again(tmp_path: Path, parsed: list[bytes], spoil: Callable[[bytes], bytes]) -> None:
    listed = entries()
    made = Summaries(tmp_path / "summaries").facts(0, listed, subtree(listed))
    (path,) = (tmp_path / "summaries").iterdir()
    before = path.read_bytes()
    path.write_bytes(spoil(before))
    assert Summaries(tmp_path / "summaries").facts(0, listed, subtree(listed)) == made
    assert len(parsed) == 6
    assert path.read_bytes() == before


def test_a_summary_of_other_entries_is_not_believed(tmp_path: Path, parsed: list[bytes]) -> None:
    old, new = entries(), entries(1)
    stale = Summaries(tmp_path / "summaries").facts(0, old, subtree(old))
    found = Summaries(tmp_path / "summaries").facts(0, new, subtree(new))
    assert found == [facts.read(one) for one in new]
    assert found != stale

"""How far the records of a station go, read from the recorder's files by somebody else: for a reset, and nothing else.

- Read only, without the recorder: its files may be in use, or nobody may be there yet who uses them (before systemd).
- The answer is exact or there is none: a record that is half written, a missing segment or an unknown record is refused
  by the recorder's own names for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.durable import read_journal
from appliance.evidence import merkle
from appliance.recorder.refusals import end_of
from appliance.recorder.segments import entries_of


@dataclass(frozen=True, slots=True)
class Heads:
    """The log's size and root, the refusal journal's count and head; digests with `sha256:`."""

    size: int
    root: str
    count: int
    head: str


def read_heads(state: Path) -> Heads:
    """The heads of what lies in the recorder's state directory."""
    tree = merkle.CompactRange()
    for entry in entries_of(state / "log"):
        tree.append(merkle.leaf_hash(entry))
    journal = state / "refusals.journal"
    count, head = end_of(read_journal(journal) if journal.exists() else [])
    return Heads(tree.size, f"sha256:{tree.root().hex()}", count, head)

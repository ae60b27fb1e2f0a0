"""Good files of each format and the way to name a refusal, shared by the tests of the formats."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.evidence import checkpoint, envelope, merkle, note, proof
from appliance.evidence.envelope import Envelope, Signature
from appliance.evidence.errors import EvidenceError
from appliance.evidence.statement import STATEMENT_PAYLOAD

KIND = STATEMENT_PAYLOAD
ORIGIN = "demo.example/bench-01"
ROOT = merkle.leaf_hash(b"root")
GOOD_ENVELOPE = envelope.encode(Envelope(KIND, b'{"a":1}', (Signature(b"0" * 70, "sha256:ab"),)))
LINE = note.NoteSignature(ORIGIN, b"\x01\x02\x03\x04", b"s" * 70)
GOOD_NOTE = note.encode(note.Note(checkpoint.encode_body(checkpoint.Checkpoint(ORIGIN, 12, ROOT)), (LINE,)))
GOOD_PROOF = proof.encode(proof.Proof(3, (ROOT, merkle.leaf_hash(b"other")), GOOD_NOTE, b"extra"))


def code_of(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(EvidenceError) as refused:
        act()
    return refused.value.code

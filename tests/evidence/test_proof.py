"""C2SP tlog-proofs: one row for every way to be wrong."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import checkpoint, merkle, proof
from appliance.evidence.errors import EvidenceError
from tests.evidence.formats import GOOD_NOTE, GOOD_PROOF, ORIGIN, ROOT, code_of


def swap(old: bytes, new: bytes) -> bytes:
    assert old in GOOD_PROOF
    return GOOD_PROOF.replace(old, new, 1)


FIRST_HASH = base64.b64encode(ROOT)
BAD_PROOFS = [
    ("another version", swap(b"proof@v1", b"proof@v2"), "PL-EVD-061"),
    ("no version", GOOD_PROOF[GOOD_PROOF.index(b"\n") + 1 :], "PL-EVD-061"),
    ("no checkpoint", GOOD_PROOF[: GOOD_PROOF.index(b"\n\n") + 2], "PL-EVD-061"),
    ("no empty line", GOOD_PROOF[: GOOD_PROOF.index(b"\n\n")], "PL-EVD-061"),
    ("not ASCII", swap(b"index", "índex".encode()), "PL-EVD-061"),
    ("64 hashes", swap(FIRST_HASH, b"\n".join([FIRST_HASH] * 64)), "PL-EVD-061"),
    ("empty", b"", "PL-EVD-061"),
    ("an empty extra", swap(b"extra ZXh0cmE=", b"extra "), "PL-EVD-062"),
    ("loose extra", swap(b"ZXh0cmE=", b"ZXh0cmE"), "PL-EVD-062"),
    ("extra in capitals", swap(b"extra ZX", b"extras ZX"), "PL-EVD-062"),
    ("a long extra", swap(b"ZXh0cmE=", base64.b64encode(bytes(4097))), "PL-EVD-062"),
    ("extra twice", swap(b"extra ZXh0cmE=", b"extra ZXh0cmE=\nextra ZXh0cmE="), "PL-EVD-063"),
    ("no index", swap(b"index 3\n", b""), "PL-EVD-063"),
    ("a leading zero", swap(b"index 3", b"index 03"), "PL-EVD-063"),
    ("two spaces", swap(b"index 3", b"index  3"), "PL-EVD-063"),
    ("a negative index", swap(b"index 3", b"index -3"), "PL-EVD-063"),
    ("a huge index", swap(b"index 3", b"index 9223372036854775808"), "PL-EVD-063"),
    ("a short hash", swap(FIRST_HASH, b"AAAA"), "PL-EVD-064"),
    ("a hash in hex", swap(FIRST_HASH, ROOT.hex().encode()), "PL-EVD-064"),
    ("carriage return", swap(FIRST_HASH, FIRST_HASH + b"\r"), "PL-EVD-064"),
    ("too large", GOOD_PROOF + bytes(200_000), "PL-EVD-060"),
]


@pytest.mark.parametrize(("document", "code"), [row[1:] for row in BAD_PROOFS], ids=[row[0] for row in BAD_PROOFS])
def test_bad_proof(document: bytes, code: str) -> None:
    found = proof.parse(GOOD_PROOF)
    assert (found.index, len(found.hashes), found.checkpoint, found.extra) == (3, 2, GOOD_NOTE, b"extra")
    assert code_of(lambda: proof.parse(document)) == code


def test_a_proof_shows_its_entry_and_no_other() -> None:
    entries = [f"entry {at}".encode() for at in range(7)]
    leaves = [merkle.leaf_hash(one) for one in entries]
    against = checkpoint.Checkpoint(ORIGIN, 7, merkle.root_of(leaves))
    for index, entry in enumerate(entries):
        found = proof.Proof(index, merkle.inclusion_proof(index, 7, merkle.node_of(leaves)), GOOD_NOTE)
        found = proof.parse(proof.encode(found))
        proof.check(found, entry, against)
        assert code_of(lambda p=found: proof.check(p, b"another entry", against)) == "PL-EVD-022"  # type: ignore[misc]  # likewise


@given(st.integers(0, len(GOOD_PROOF) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_bent_proof_is_refused_or_read_as_it_stands(at: int, patch: bytes, cut: int) -> None:
    document = GOOD_PROOF[:at] + patch + GOOD_PROOF[at + cut :]
    try:
        found = proof.parse(document)
    except EvidenceError:
        return
    assert proof.encode(found) == document

"""C2SP tlog-proof: one file that shows an entry to be in a log, to be checked without a network.

- Lines in this order: version, optional `extra`, `index`, the inclusion proof's hashes, an empty line, the
  checkpoint.
- It carries no key and no entry: the checker brings the entry's bytes and the keys.
- The extra data is authenticated by nothing; Proofline writes none and gives it no meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.evidence import base64_strict, checkpoint, merkle, note
from appliance.evidence.errors import (
    ProofExtraMalformed,
    ProofHashMalformed,
    ProofIndexMalformed,
    ProofMalformed,
    ProofTooLarge,
)

VERSION = "c2sp.org/tlog-proof@v1"
MAX_EXTRA_BYTES = 4096
MAX_HASHES = 63
MAX_BYTES = note.MAX_BYTES + 12_288


@dataclass(frozen=True, slots=True)
class Proof:
    """Entry number, inclusion proof (leaf's sibling first), and the checkpoint note byte for byte."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def encode(proof: Proof) -> bytes:
    """The proof's file content; refuses what `parse` would."""
    lines = [VERSION]
    if proof.extra:
        lines.append(f"extra {base64_strict.encode(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines.extend(base64_strict.encode(one) for one in proof.hashes)
    document = "\n".join([*lines, "", ""]).encode() + proof.checkpoint
    parse(document)
    return document


def parse(document: bytes) -> Proof:
    """The proof in `document`, or a `PL-EVD-060` to `-064` refusal. The checkpoint inside is not looked at
    yet.
    """
    if len(document) > MAX_BYTES:
        raise ProofTooLarge(size=len(document), limit=MAX_BYTES)
    head, blank, signed = document.partition(b"\n\n")
    if not blank or not signed:
        raise ProofMalformed(why="no empty line separates the proof from its checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ProofMalformed(why="the lines before the checkpoint are not ASCII") from None
    if lines[0] != VERSION:
        raise ProofMalformed(why=f"the first line is not {VERSION}")
    rest = lines[1:]
    extra = b""
    if rest and rest[0].startswith("extra"):
        extra = _extra(rest.pop(0))
    word, _, number = rest.pop(0).partition(" ") if rest else ("", "", "")
    index = checkpoint.decimal(number)
    if word != "index" or index is None:
        raise ProofIndexMalformed(found=repr(f"{word} {number}"[:40]))
    if len(rest) > MAX_HASHES:
        raise ProofMalformed(why=f"it has more than {MAX_HASHES} hashes")
    hashes: list[bytes] = []
    for at, line in enumerate(rest, 1):
        one = checkpoint.hash_of(line)
        if one is None:
            raise ProofHashMalformed(line=at)
        hashes.append(one)
    return Proof(index, tuple(hashes), signed, extra)


def check(proof: Proof, entry: bytes, against: checkpoint.Checkpoint) -> None:
    """`entry` is entry `proof.index` of the tree `against` names, or a `PL-EVD-020` to `-022` refusal."""
    merkle.check_inclusion(merkle.leaf_hash(entry), proof.index, against.size, proof.hashes, against.root)


def _extra(line: str) -> bytes:
    word, _, text = line.partition(" ")
    value = base64_strict.decode(text)
    if word != "extra" or not value:
        raise ProofExtraMalformed(why="it is not 'extra' and strict base64 of at least one byte")
    if len(value) > MAX_EXTRA_BYTES:
        raise ProofExtraMalformed(why=f"it holds more than {MAX_EXTRA_BYTES} bytes")
    return value

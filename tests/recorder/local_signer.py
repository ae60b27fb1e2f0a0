"""A checkpoint signer with a software key, for tests of the log alone. The service's tests use the real signer.

It keeps the real one's two promises: it signs only what continues the tree it signed last, and it remembers durably
what it signed before it answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance import durable
from appliance.evidence import checkpoint, merkle, note, proof
from appliance.ipc import ServiceUnavailable

ORIGIN = "proofline.test/log"
_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a test's key").digest())
_PUBLIC = _KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class LocalSigner:
    """`silent`: it does not answer. `deaf`: it signs and remembers, but its answer is lost."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._last: tuple[int, bytes | None] = (0, None)
        self.silent = self.deaf = False
        self.signatures = 0

    def last(self) -> tuple[int, bytes | None]:
        if self.silent:
            raise ServiceUnavailable(service="signer", why="silent")
        if self._memory is None or not self._memory.exists():
            return self._last
        known = json.loads(self._memory.read_bytes())
        return known["size"], bytes.fromhex(known["root"])

    def sign(self, size: int, root: bytes, consistency: Sequence[bytes]) -> bytes:
        old_size, old_root = self.last()
        if old_root is not None:
            merkle.check_consistency(old_size, old_root, size, root, consistency)
        self._last = size, root
        if self._memory is not None:
            durable.write_atomic(self._memory, json.dumps({"size": size, "root": root.hex()}).encode())
        self.signatures += 1
        if self.deaf:
            raise ServiceUnavailable(service="signer", why="its answer was lost")
        return sign(size, root)


def sign(size: int, root: bytes) -> bytes:
    """A checkpoint under the test's key."""
    text = checkpoint.encode_body(checkpoint.Checkpoint(ORIGIN, size, root))
    key_id = note.key_id(ORIGIN, note.ED25519, _PUBLIC)
    return note.encode(note.Note(text, (note.NoteSignature(ORIGIN, key_id, _KEY.sign(text.encode())),)))


class Verifier:
    """The key as a note's reader knows it."""

    name = ORIGIN
    key_id = note.key_id(ORIGIN, note.ED25519, _PUBLIC)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return _KEY.sign(message) == signature


def opened(document: bytes) -> checkpoint.Checkpoint:
    """The checkpoint in a note, its signature checked."""
    found, signed = checkpoint.parse(document, ORIGIN)
    note.verify(signed, [Verifier()])
    return found


def check_proof(document: bytes, entry: bytes) -> int:
    """The index that a proof file proves for an entry, everything checked."""
    found = proof.parse(document)
    proof.check(found, entry, opened(found.checkpoint))
    return found.index


class Files:
    """A published log as `appliance.evidence.log` reads one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, path: str, limit: int) -> bytes | None:
        try:
            return (self._directory / path).read_bytes()[: limit + 1]
        except FileNotFoundError:
            return None


__all__ = ["ORIGIN", "Files", "LocalSigner", "Verifier", "check_proof", "opened", "sign"]

"""C2SP signed notes: text, a blank line, and lines saying who signed it.

- `parse` is strict about form and knows no key; `verify` knows keys and nothing about the text.
- A signature line belongs to a key when name *and* key id match one that the caller trusts. Such a signature
  must hold, or the whole note is refused; lines of unknown keys (witnesses, rotated keys) are ignored; at
  least one must be known.
- Key ids: Ed25519 (type 0x01) SHA-256(name || LF || 0x01 || 32 bytes)[:4]; ECDSA (type 0x02) SHA-256(DER
  SPKI)[:4], and an ECDSA signature is ASN.1 DER over the text's SHA-256. A key id finds a key, it never
  proves one.

Cryptography comes from outside as a `Verifier`; this room holds no keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from appliance.evidence import base64_strict
from appliance.evidence.errors import (
    NoteMalformed,
    NoteSignatureFalse,
    NoteSignatureLineMalformed,
    NoteSignaturesTooMany,
    NoteTooLarge,
    NoteUnsignedByKnownKey,
    VerifierKeyMalformed,
)

ED25519 = 0x01
ECDSA = 0x02
MAX_BYTES = 131_072
MAX_SIGNATURES = 32  # the specification asks for 16 at least
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_PREFIX = "\u2014 "


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: `name` and `key_id` (4 bytes) find the key, `signature` is what it made."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """The signed text, final newline included, and its signature lines in order."""

    text: str
    signatures: tuple[NoteSignature, ...]


class Verifier(Protocol):
    """A key that the caller trusts. `verify` says whether `signature` over `message` is this key's."""

    @property
    def name(self) -> str: ...
    @property
    def key_id(self) -> bytes: ...
    def verify(self, message: bytes, signature: bytes) -> bool: ...


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """The four bytes that stand for a key. `public`: 32 bytes for `ED25519`, DER SPKI for `ECDSA`."""
    if algorithm == ECDSA:
        return sha256(public).digest()[:4]
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:4]


def encode_verifier_key(name: str, algorithm: int, public: bytes) -> str:
    """The vkey `name+id+base64(type || key)` by which other programs are told of a key."""
    _check_name(name)
    identity = key_id(name, algorithm, public).hex()
    return f"{name}+{identity}+{base64_strict.encode(bytes([algorithm]) + public)}"


def decode_verifier_key(text: str) -> tuple[str, int, bytes]:
    """(name, algorithm, public key) of a vkey whose id is right."""
    parts = text.split("+", 2) if len(text) < 2048 else []
    if len(parts) != 3:
        raise VerifierKeyMalformed(why="it does not have the form name+id+key")
    name, identity, encoded = parts
    _check_name(name)
    material = base64_strict.decode(encoded)
    if not material or material[0] not in (ED25519, ECDSA) or (material[0] == ED25519 and len(material) != 33):
        raise VerifierKeyMalformed(why="its key is neither Ed25519 (0x01) nor ECDSA (0x02)")
    if identity != key_id(name, material[0], material[1:]).hex():
        raise VerifierKeyMalformed(why=f"its id is not {identity[:16]!r}")
    return name, material[0], material[1:]


def parse(document: bytes) -> Note:
    """The note in `document`, believed in nothing yet, or a `PL-EVD-040` to `-043` refusal."""
    if len(document) > MAX_BYTES:
        raise NoteTooLarge(size=len(document), limit=MAX_BYTES)
    try:
        content = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteMalformed(why=f"byte {error.start} is not UTF-8") from None
    if control := _CONTROL.search(content):
        raise NoteMalformed(why=f"there is a control character at character {control.start()}")
    text, blank, block = content.rpartition("\n\n")
    if not blank or not text:
        raise NoteMalformed(why="no blank line separates a text from its signatures")
    if not block.endswith("\n"):
        raise NoteMalformed(why="it does not end with a signature line and a newline")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteSignaturesTooMany(limit=MAX_SIGNATURES)
    return Note(text + "\n", tuple([_signature(line, at) for at, line in enumerate(lines, 1)]))


def encode(note: Note) -> bytes:
    """The note as bytes; refuses what `parse` would."""
    lines = [f"{_PREFIX}{one.name} {base64_strict.encode(one.key_id + one.signature)}\n" for one in note.signatures]
    document = f"{note.text}\n{''.join(lines)}".encode()
    if parse(document) != note:
        raise NoteMalformed(why="the text does not end with a newline, or a name or signature is out of form")
    return document


def verify(note: Note, verifiers: Sequence[Verifier]) -> tuple[NoteSignature, ...]:
    """The signatures that hold under `verifiers`, at least one, or a `PL-EVD-045` or `-046` refusal."""
    known = {(one.name, one.key_id): one for one in verifiers}
    message = note.text.encode("utf-8")
    held: list[NoteSignature] = []
    for one in note.signatures:
        verifier = known.get((one.name, one.key_id))
        if verifier is None:
            continue
        if not verifier.verify(message, one.signature):
            raise NoteSignatureFalse(name=one.name, key_id=one.key_id.hex())
        held.append(one)
    if not held:
        raise NoteUnsignedByKnownKey(name=", ".join(sorted({one.name for one in verifiers})) or "any known key")
    return tuple(held)


def _signature(line: str, at: int) -> NoteSignature:
    name, space, encoded = line.removeprefix(_PREFIX).rpartition(" ")
    if not line.startswith(_PREFIX) or not space:
        raise NoteSignatureLineMalformed(line=at, why="it is not an em dash, a name and a signature")
    if not _is_name(name):
        raise NoteSignatureLineMalformed(line=at, why="the key name is empty or holds a space or a plus")
    blob = base64_strict.decode(encoded)
    if blob is None or len(blob) < 5:
        raise NoteSignatureLineMalformed(line=at, why="the signature is not strict base64 of five bytes or more")
    return NoteSignature(name, blob[:4], blob[4:])


def _is_name(name: str) -> bool:
    return name != "" and "+" not in name and not any(character.isspace() for character in name)


def _check_name(name: str) -> None:
    if not _is_name(name) or _CONTROL.search(name):
        raise VerifierKeyMalformed(why="the key name is empty or holds a space or a plus")

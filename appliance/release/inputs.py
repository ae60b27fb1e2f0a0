"""Files that people name on the release desk's command line, read bounded: public keys, documents.

Refusals are `PL-REL-014` (InputUnreadable).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.release.errors import InputUnreadable
from appliance.verify.site import Directory

_MAX_INPUT = 1 << 26


def read(file: Path) -> bytes:
    """The bytes of a regular file."""
    content = Directory(file.parent).read(file.name, _MAX_INPUT)
    if content is None:
        raise InputUnreadable(path=str(file), why="no such file")
    return content


def json_object(file: Path) -> dict[str, Any]:
    """A strict JSON object."""
    try:
        value = strict_json.decode(read(file))
    except EvidenceError as error:
        raise InputUnreadable(path=str(file), why=error.engineer_sentence()) from None
    if not isinstance(value, dict):
        raise InputUnreadable(path=str(file), why="it is no object")
    return value


def p256(file: Path) -> EllipticCurvePublicKey:
    """A P-256 public key, PEM or DER."""
    key = _key(file)
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise InputUnreadable(path=str(file), why="not a P-256 public key")
    return key


def public(file: Path) -> tuple[str, bytes]:
    """A station's public key: its algorithm as documents name it, and DER SPKI."""
    key = _key(file)
    algorithm = "ecdsa-p256-sha256" if isinstance(key, EllipticCurvePublicKey) else "ed25519"
    return algorithm, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # every public key has it


def _key(file: Path) -> object:
    content = read(file)
    try:
        return load_pem_public_key(content) if content.startswith(b"-----") else load_der_public_key(content)
    except (ValueError, TypeError) as error:
        raise InputUnreadable(path=str(file), why=f"no public key ({error})"[:200]) from None

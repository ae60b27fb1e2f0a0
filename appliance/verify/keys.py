"""Public keys of `stations.json`, ready to check signatures with.

- ECDSA P-256 signatures are ASN.1 DER over SHA-256, in envelopes and notes alike; Ed25519 ones are 64 raw bytes.
- A key knows its station, its purpose, its validity and its revocation; whoever uses it asks for all four.
- In a note, a key answers to the log's origin and the key id that C2SP signed-note prescribes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from appliance.evidence import note
from appliance.verify.site_stations import Station, StationKey

_ECDSA_SHA256 = ECDSA(SHA256())


class PublicKey:
    """A P-256 or Ed25519 public key from its DER SPKI; `TypeError` for any other."""

    def __init__(self, spki: bytes) -> None:
        key = load_der_public_key(spki)
        if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
            self.note_type, self.note_material = note.ECDSA, spki
        elif isinstance(key, Ed25519PublicKey):
            self.note_type = note.ED25519
            self.note_material = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            raise TypeError("neither a P-256 nor an Ed25519 key")
        self._key = key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key signed `message`."""
        try:
            if isinstance(self._key, EllipticCurvePublicKey):
                self._key.verify(signature, message, _ECDSA_SHA256)
            else:
                self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """One key of one station. `digest` is `sha256:` of its DER SPKI."""

    station: str
    purpose: str
    digest: str
    since: datetime
    until: datetime
    revoked_at: datetime | None
    revoked_reason: str
    public: PublicKey

    def covers(self, earliest: datetime, latest: datetime) -> bool:
        """Whether the key was valid for all of an interval, revocation aside."""
        return self.since <= earliest and latest < self.until


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A checkpoint key as C2SP notes know it (`note.Verifier`): named by the log's origin."""

    name: str
    key_id: bytes
    key: TrustedKey

    @classmethod
    def of(cls, origin: str, key: TrustedKey) -> NoteKey:
        return cls(origin, note.key_id(origin, key.public.note_type, key.public.note_material), key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return self.key.public.verify(message, signature)


def trusted_keys(station: Station, purpose: str) -> tuple[TrustedKey, ...]:
    """The keys that the site lists for one purpose of a station, revoked and expired ones included."""
    return tuple(_trusted(station, one) for one in station.keys_for(purpose))


def _trusted(station: Station, key: StationKey) -> TrustedKey:
    return TrustedKey(
        station=station.id,
        purpose=key.purpose,
        digest=key.digest,
        since=key.valid.since,
        until=key.valid.until,
        revoked_at=None if key.revoked is None else datetime.fromisoformat(key.revoked.at),
        revoked_reason="" if key.revoked is None else key.revoked.reason,
        public=PublicKey(key.public),
    )

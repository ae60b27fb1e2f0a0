"""Who holds which key, as a root says it, and whether enough different people signed.

- Only P-256 and Ed25519 keys count; a public key stands in a root once, whatever key ids it is given.
- Keys of the roles root and targets name the person who holds them; both roles ask for two persons at least.
- The keys that sign snapshot and timestamp by themselves (online) have no say in root or targets.
- A person counts once, with however many keys. (Public keys are distinct already, so distinct persons are distinct
  keys and persons: DESIGN section 5.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from appliance.errors import Detail
from appliance.verify.site_errors import (
    RootKeyRefused,
    RootKeyTwice,
    RootPersonMissing,
    RootRuleBroken,
    RootThresholdTooLow,
    SignatureOfWrongRole,
    SignaturesOfOnePerson,
    SignaturesTooFew,
)
from appliance.verify.site_fields import PERSON
from appliance.verify.tuf_metadata import Key, Root

PERSON_FIELD = "x-proofline-person"
ROLES = ("root", "targets", "snapshot", "timestamp")
_BY_PERSONS = ("root", "targets")
_MAX_KEYS = 64


@dataclass(frozen=True)
class RoleKey:
    """A public key of the root; `digest` is `sha256:` of its DER SPKI, `person` None for online keys."""

    keyid: str
    public: EllipticCurvePublicKey | Ed25519PublicKey
    digest: str
    person: str | None

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message` (ECDSA: DER over SHA-256; Ed25519: 64 bytes)."""
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(signature, message)
            else:
                self.public.verify(signature, message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class KeyRing:
    """What one version of root says about keys: the keys, each role's, and each role's threshold."""

    path: str
    version: int
    keys: Mapping[str, RoleKey]
    roles: Mapping[str, frozenset[str]]
    thresholds: Mapping[str, int]

    def check(self, role: str, path: str, message: bytes, signatures: Mapping[str, bytes]) -> tuple[RoleKey, ...]:
        """The keys of `role` that signed `message`; refuses when they are too few persons (or online keys)."""
        valid = [self.keys[keyid] for keyid in sorted(signatures) if keyid in self.keys]
        valid = [key for key in valid if key.verify(signatures[key.keyid], message)]
        held = tuple(key for key in valid if key.keyid in self.roles[role])
        self.count(role, path, held, others=[key for key in valid if key.keyid not in self.roles[role]])
        return held

    def count(self, role: str, path: str, held: Iterable[RoleKey], others: Iterable[RoleKey] = ()) -> None:
        """Refuse unless `held` are enough holders for `role`, by the name of the nearest reason."""
        holders: dict[str, RoleKey] = {}
        doubled = None
        total = 0
        for key in held:
            total += 1
            who = key.person if role in _BY_PERSONS and key.person is not None else key.digest
            doubled = who if who in holders else doubled
            holders[who] = key
        needed = self.thresholds[role]
        if len(holders) >= needed:
            return
        details: dict[str, Detail] = {
            "path": path,
            "role": role,
            "found": len(holders),
            "expected": needed,
            "root": self.version,
        }
        if total >= needed:
            raise SignaturesOfOnePerson(person=doubled, **details)
        foreign = next(iter(others), None)
        if foreign is not None:
            raise SignatureOfWrongRole(key=foreign.keyid, **details)
        raise SignaturesTooFew(**details)


def key_ring(root: Root, path: str) -> KeyRing:
    """The key ring of a root, or a `PL-SIT-012` to `-016` refusal where it breaks the site's rules."""
    if root.consistent_snapshot is not True:
        raise RootRuleBroken(path=path, why="the repository must use consistent snapshots")
    if set(root.roles) != set(ROLES):
        raise RootRuleBroken(path=path, why=f"its roles must be exactly {', '.join(ROLES)}")
    if len(root.keys) > _MAX_KEYS:
        raise RootRuleBroken(path=path, why=f"it has {len(root.keys)} keys; at most {_MAX_KEYS} are read")
    keys: dict[str, RoleKey] = {}
    by_digest: dict[str, str] = {}
    for keyid, key in root.keys.items():
        held = _role_key(keyid, key, path)
        if (other := by_digest.setdefault(held.digest, keyid)) != keyid:
            raise RootKeyTwice(path=path, key=keyid, other=other)
        keys[keyid] = held
    roles = {name: frozenset(role.keyids) for name, role in root.roles.items()}
    for name, role in root.roles.items():
        if type(role.threshold) is not int or role.threshold < (2 if name in _BY_PERSONS else 1):
            raise RootThresholdTooLow(path=path, role=name, found=repr(role.threshold)[:20])
        for keyid in sorted(roles[name]):
            if keyid not in keys:
                raise RootRuleBroken(path=path, why=f"role {name} names key {keyid}, which is not there")
            if name in _BY_PERSONS and keys[keyid].person is None:
                raise RootPersonMissing(path=path, key=keyid, role=name)
    if online := (roles["snapshot"] | roles["timestamp"]) & (roles["root"] | roles["targets"]):
        raise RootRuleBroken(path=path, why=f"online key {min(online)} must have no say in root or targets")
    return KeyRing(path, root.version, keys, roles, {name: role.threshold for name, role in root.roles.items()})


def _role_key(keyid: str, key: Key, path: str) -> RoleKey:
    text = key.keyval.get("public")
    person = key.unrecognized_fields.get(PERSON_FIELD)
    if person is not None and (type(person) is not str or not PERSON.fullmatch(person)):
        raise RootKeyRefused(path=path, key=keyid, why=f"{PERSON_FIELD} is not the id of a person")
    if type(text) is not str:
        raise RootKeyRefused(path=path, key=keyid, why="its public part is not text")
    public: object = None
    try:
        if (key.keytype, key.scheme) == ("ecdsa", "ecdsa-sha2-nistp256"):
            public = load_pem_public_key(text.encode("ascii"))
        elif (key.keytype, key.scheme) == ("ed25519", "ed25519"):
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RootKeyRefused(
            path=path, key=keyid, why=f"its public part does not parse ({type(error).__name__})"
        ) from None
    curve = getattr(public, "curve", None)
    if not isinstance(public, Ed25519PublicKey) and not isinstance(curve, SECP256R1):
        raise RootKeyRefused(path=path, key=keyid, why="only P-256 and Ed25519 keys count")
    assert isinstance(public, EllipticCurvePublicKey | Ed25519PublicKey)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return RoleKey(keyid, public, f"sha256:{sha256(der).hexdigest()}", person)

"""The PKCS#11 token: one process, one module, one session, one queue.

- The token is matched by label or serial, a key by label or id; none and two are refused alike.
- Every key is checked against `appliance.custody.policy` each time the token is opened, and proves by a signature over
  random bytes that it belongs to its public key.
- A signature is verified in software before anybody sees it.
- When the module reports any failure while signing, the token is lost for good: `TokenLost`, now and for every later
  call. A module does not come back from that within a process, so the process ends (see `service`).
- It signs for a *purpose*; whoever calls it has composed what is signed. Only `appliance.custody` does.

python-pkcs11 with one session a thread crashes the process; hence the one lock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import pkcs11
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    AttributeSensitive,
    AttributeTypeInvalid,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
)
from pkcs11.util.rsa import encode_rsa_public_key

from appliance.custody import policy
from appliance.custody.errors import (
    KeyAmbiguous,
    KeyMissing,
    ModuleUnusable,
    PinRefused,
    PublicKeyWrong,
    SignatureFalse,
    TokenAbsent,
    TokenAmbiguous,
    TokenLost,
)
from appliance.custody.token_config import KeyName, TokenConfig, read_pin

_P256_OID = bytes.fromhex("06082a8648ce3d030107")
_ED25519_PARAMS = (bytes.fromhex("06032b6570"), bytes.fromhex("130c656477617264733235353139"))  # OID; PKCS#11 3.0 name
PIN_ERRORS = (PinIncorrect, PinLocked, PinExpired, PinInvalid, PinLenRange)
_STUCK_S = 60.0


@dataclass(frozen=True)
class Key:
    """One key as it may be described to others. `public` is DER SPKI, `id` the CKA_ID."""

    purpose: str
    algorithm: str
    public: bytes
    id: bytes

    @property
    def digest(self) -> str:
        """`sha256:…` of the public key: what names a key in documents."""
        return f"sha256:{sha256(self.public).hexdigest()}"


class Token:
    """An open token. Threads may share it; they wait for each other."""

    def __init__(self, session: Any, keys: Mapping[str, tuple[Key, Any]], model: str, serial: str) -> None:
        self._session = session
        self._handles = {purpose: handle for purpose, (_key, handle) in keys.items()}
        self.keys = {purpose: key for purpose, (key, _handle) in keys.items()}
        self.model = model
        self.serial = serial
        self.signatures = 0
        """How many signatures have left this object."""
        self.lost = threading.Event()
        self._queue = threading.Lock()
        self._busy_since: float | None = None

    @classmethod
    def open(cls, config: TokenConfig) -> Self:
        """Find the token, log in, check every key. Raises a TokenError that says what is not right."""
        found = find(config)
        try:
            session = found.open(rw=False, user_pin=read_pin(config.pin_file))
        except PIN_ERRORS as error:
            raise PinRefused(why=type(error).__name__) from None
        except PKCS11Error as error:
            raise TokenAbsent(wanted=str(config), found=f"one that fails to open: {say(error)}") from None
        try:
            keys = {purpose: _load(session, purpose, name) for purpose, name in config.keys.items()}
            policy.check_distinct({purpose: key.public for purpose, (key, _handle) in keys.items()})
            token = cls(session, keys, _plain(found.model), _plain(found.serial))
            for purpose in token.keys:
                if policy.POLICY[purpose].use == "SIGN":
                    token._sign(purpose, b"proofline self-test " + secrets.token_bytes(32))
        except PKCS11Error as error:
            session.close()
            raise TokenAbsent(wanted=str(config), found=f"one that fails: {say(error)}") from None
        except BaseException:
            session.close()
            raise
        return token

    def sign(self, purpose: str, message: bytes) -> bytes:
        """The signature over a message that this room composed: DER ECDSA over SHA-256, or 64 bytes of Ed25519."""
        signature = self._sign(purpose, message)
        self.signatures += 1
        return signature

    def close(self) -> None:
        """End the session; the module stays loaded as long as the process lives."""
        with self._queue:
            self._session.close()

    def stuck(self) -> bool:
        """Whether the module has not come back from one call for a minute."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > _STUCK_S

    def _sign(self, purpose: str, message: bytes) -> bytes:
        key = self.keys[purpose]
        with self._turn(purpose):
            if key.algorithm == policy.ED25519:
                signature = bytes(self._handles[purpose].sign(message, mechanism=Mechanism.EDDSA))
            else:
                raw = bytes(self._handles[purpose].sign(sha256(message).digest(), mechanism=Mechanism.ECDSA))
                half = len(raw) // 2
                signature = encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        if not holds(key, message, signature):
            raise SignatureFalse(purpose=purpose)
        return signature

    @contextmanager
    def _turn(self, purpose: str) -> Iterator[None]:
        with self._queue:
            if self.lost.is_set():
                raise TokenLost(purpose=purpose, why="it was lost before")
            self._busy_since = time.monotonic()
            try:
                yield
            except PKCS11Error as error:
                self.lost.set()
                raise TokenLost(purpose=purpose, why=say(error)) from None
            finally:
                self._busy_since = None


def holds(key: Key, message: bytes, signature: bytes) -> bool:
    """Whether a signature over a message is this key's."""
    public = _public_of(key.purpose, key.public)
    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, message)
        else:
            public.verify(signature, message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def find(config: TokenConfig) -> Any:
    """The one token that the configuration means. Raises ModuleUnusable, TokenAbsent or TokenAmbiguous."""
    try:
        slots = pkcs11.lib(config.module).get_slots(token_present=True)
        present = [slot.get_token() for slot in slots]
    except PKCS11Error as error:
        raise ModuleUnusable(module=config.module, why=say(error)) from None
    except (OSError, RuntimeError) as error:
        raise ModuleUnusable(module=config.module, why=str(error)) from None
    fitting = [
        token
        for token in present
        if config.label in {None, token.label} and config.serial in {None, _plain(token.serial)}
    ]
    if not fitting:
        names = ", ".join(f"{token.label} ({_plain(token.serial)})" for token in present if token.label) or "none"
        raise TokenAbsent(wanted=str(config), found=names)
    if len(fitting) > 1:
        raise TokenAmbiguous(wanted=str(config), count=len(fitting))
    return fitting[0]


def _load(session: Any, purpose: str, name: KeyName) -> tuple[Key, Any]:
    private = _object(session, ObjectClass.PRIVATE_KEY, purpose, name)
    attributes = {attribute: _flag(private, attribute) for attribute in policy.ATTRIBUTES}
    kind = _kind(private)
    policy.check(purpose, kind, attributes)
    identity = bytes(private[Attribute.ID])
    if not identity:
        raise PublicKeyWrong(purpose=purpose, why="the key has no CKA_ID to find its public key by")
    public = _object(session, ObjectClass.PUBLIC_KEY, purpose, KeyName(None, identity))
    return Key(purpose, kind, _spki(purpose, kind, public), identity), private


def _object(session: Any, kind: ObjectClass, purpose: str, name: KeyName) -> Any:
    wanted: dict[Attribute, object] = {Attribute.CLASS: kind}
    if name.label is not None:
        wanted[Attribute.LABEL] = name.label
    if name.id is not None:
        wanted[Attribute.ID] = name.id
    found = list(session.get_objects(wanted))
    word = "private" if kind is ObjectClass.PRIVATE_KEY else "public"
    if not found:
        raise KeyMissing(kind=word, purpose=purpose, wanted=str(name))
    if len(found) > 1:
        raise KeyAmbiguous(kind=word, purpose=purpose, wanted=str(name), count=len(found))
    return found[0]


def _flag(key: Any, name: str) -> bool | None:
    try:
        return bool(key[Attribute[name]])
    except (AttributeTypeInvalid, AttributeSensitive):
        return None  # the token does not report it; the policy decides what that means


def _kind(key: Any) -> str:
    kind = key[Attribute.KEY_TYPE]
    if kind == KeyType.EC and bytes(key[Attribute.EC_PARAMS]) == _P256_OID:
        return policy.P256
    if kind == KeyType.EC_EDWARDS and bytes(key[Attribute.EC_PARAMS]) in _ED25519_PARAMS:
        return policy.ED25519
    if kind == KeyType.RSA:
        return f"rsa-{int.from_bytes(bytes(key[Attribute.MODULUS])).bit_length()}"
    return f"{kind.name.lower()} with other parameters"


def _spki(purpose: str, kind: str, key: Any) -> bytes:
    if kind == policy.RSA3072:
        return bytes(encode_rsa_public_key(key))
    try:
        point = _octets(bytes(key[Attribute.EC_POINT]))
        public: EllipticCurvePublicKey | Ed25519PublicKey
        if kind == policy.ED25519:
            public = Ed25519PublicKey.from_public_bytes(point)
        else:
            public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PublicKeyWrong(purpose=purpose, why=str(error)) from None
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _octets(value: bytes) -> bytes:
    """A CKA_EC_POINT without its DER OCTET STRING header (PKCS#11 v3.1, 6.3.3); some modules leave the header out."""
    if len(value) >= 2 and value[0] == 0x04 and value[1] == len(value) - 2 and len(value) in {34, 67}:
        return value[2:]
    return value


def _public_of(purpose: str, spki: bytes) -> EllipticCurvePublicKey | Ed25519PublicKey:
    public = load_der_public_key(spki)
    if not isinstance(public, EllipticCurvePublicKey | Ed25519PublicKey):
        raise PublicKeyWrong(purpose=purpose, why="it is no signing key")
    return public


def _plain(value: str | bytes) -> str:
    """A token's own word as documents may hold it: printable, without quotes and backslashes, never empty."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    kept = "".join(one if " " <= one <= "~" and one not in '"\\' else "?" for one in text).strip()
    return kept[:64] or "-"


def say(error: PKCS11Error) -> str:
    """A module's error in words: python-pkcs11 keeps the meaning in the class."""
    return f"{type(error).__name__} {error}".strip()

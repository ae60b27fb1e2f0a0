"""One key in a PKCS#11 token, held for as long as a person is at the desk.

    with open_key("pkcs11:token=ada;object=approver?module-path=/usr/lib/softhsm/libsofthsm2.so", pin) as key:
        signature = key.sign(message)               # ECDSA P-256 over SHA-256, ASN.1 DER

- The token is found by label or serial, the key by label or id: never the first slot, never the first key.
- The private key must not be able to leave: SENSITIVE and not EXTRACTABLE, read back from the token.
- Every signature is verified in software before anybody sees it.
- One session at a time in a process (python-pkcs11 is not safe with more). A PIN never stands in a URI or a command
  line.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import PinIncorrect, PinInvalid, PinLenRange, PinLocked, PKCS11Error
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

from appliance.release.errors import (
    InputUnreadable,
    KeyMissing,
    KeyTooOpen,
    PinRefused,
    TokenFailed,
    TokenMissing,
    TokenSignatureFalse,
    UriMalformed,
)

_KNOWN = {"token", "serial", "object", "id", "type", "manufacturer", "model"}
_KNOWN_QUERY = {"module-path", "pin-source"}
_P256: Final = encode_named_curve_parameters("1.2.840.10045.3.1.7")
_session_lock = threading.Lock()


@dataclass(frozen=True)
class KeyUri:
    """Where a key is: the part of RFC 7512 that names a module, a token and a key."""

    module: str
    token: str | None
    serial: str | None
    label: str | None
    id: bytes | None
    pin_source: str | None

    @property
    def wanted(self) -> str:
        """The token, in words."""
        return " and ".join(
            f"{name} {value}" for name, value in (("label", self.token), ("serial", self.serial)) if value
        )

    @property
    def wanted_key(self) -> str:
        return " and ".join(
            f"{name} {value}" for name, value in (("label", self.label), ("id", self.id and self.id.hex())) if value
        )


def parse_uri(uri: str) -> KeyUri:
    """The key that a URI names; refuses (`PL-REL-040`) one that could mean several, or that carries a PIN."""
    scheme, _, rest = uri[:2048].partition(":")
    shown = re.sub(r"pin-value=[^&;]*", "pin-value=...", uri)[:200]
    if scheme != "pkcs11":
        raise UriMalformed(uri=shown, why="it does not start with pkcs11:")
    path, _, query = rest.partition("?")
    values = {**_attributes(path, ";", _KNOWN, shown), **_attributes(query, "&", _KNOWN_QUERY, shown)}
    found = {name: value.decode("utf-8", "replace") for name, value in values.items()}
    if "module-path" not in found:
        raise UriMalformed(uri=shown, why="module-path is missing")
    if not {"token", "serial"} & found.keys():
        raise UriMalformed(uri=shown, why="it names no token, by label or serial")
    if not {"object", "id"} & found.keys():
        raise UriMalformed(uri=shown, why="it names no key, by object or id")
    return KeyUri(
        module=found["module-path"],
        token=found.get("token"),
        serial=found.get("serial"),
        label=found.get("object"),
        id=values.get("id"),
        pin_source=found.get("pin-source"),
    )


def _attributes(text: str, separator: str, known: set[str], shown: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in filter(None, text.split(separator)):
        name, equals, value = item.partition("=")
        if name == "pin-value":
            raise UriMalformed(uri=shown, why="a PIN in a URI ends in shell histories and logs; use pin-source=FILE")
        if name not in known or not equals or name in found:
            raise UriMalformed(uri=shown, why=f"{name!r} is unknown, empty or there twice")
        found[name] = unquote_to_bytes(value)
    return found


def read_pin(source: str) -> str:
    """The PIN in a file (`pin-source`): its first line."""
    path = Path(source.removeprefix("file://").removeprefix("file:"))
    try:
        with path.open("r", encoding="utf-8") as file:
            return file.readline(256).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnreadable(path=str(path), why=str(error)) from None


class TokenKey:
    """A P-256 key in an open session."""

    def __init__(self, private: pkcs11.PrivateKey, public: EllipticCurvePublicKey) -> None:
        self._private = private
        self.public: Final = public

    def sign(self, message: bytes) -> bytes:
        """ECDSA over SHA-256(message), ASN.1 DER, verified. The token gives r||s (PKCS#11 v2.40 2.3.1)."""
        digest = sha256(message).digest()
        try:
            signature: bytes = encode_ecdsa_signature(self._private.sign(digest, mechanism=Mechanism.ECDSA))  # type: ignore[attr-defined]  # SignMixin is mixed in at run time
        except PKCS11Error as error:
            raise TokenFailed(why=type(error).__name__) from None
        try:
            self.public.verify(signature, message, ECDSA(SHA256()))
        except InvalidSignature:
            raise TokenSignatureFalse from None
        return signature


@contextmanager
def open_key(uri: str, pin: str) -> Iterator[TokenKey]:
    """Log in and hold the key that `uri` names; refuses with `PL-REL-040` to `-046`."""
    where = parse_uri(uri)
    with _session_lock, _session(where, pin, rw=False) as session:
        yield _find(session, where)


def generate_key(uri: str, pin: str) -> EllipticCurvePublicKey:
    """Make a P-256 key pair inside the token under the URI's label and id, never to leave it; its public half."""
    where = parse_uri(uri)
    key_id = where.id or b"\x01"
    with _session_lock, _session(where, pin, rw=True) as session:
        if _matching(session, where, ObjectClass.PRIVATE_KEY):
            raise KeyMissing(wanted=f"{where.wanted_key}: there already is one")
        parameters = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
        parameters.generate_keypair(
            id=key_id,
            label=where.label,
            store=True,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.SIGN: True},
        )
        return _find(session, where).public


@contextmanager
def _session(where: KeyUri, pin: str, *, rw: bool) -> Iterator[pkcs11.Session]:
    try:
        library = pkcs11.lib(where.module)
        tokens = [
            token
            for slot in library.get_slots(token_present=True)
            for token in [slot.get_token()]
            if (where.token is None or token.label == where.token)
            and (where.serial is None or token.serial.decode("ascii", "replace").strip() == where.serial)
        ]
    except (PKCS11Error, RuntimeError, OSError) as error:
        raise TokenMissing(wanted=where.wanted, module=where.module, why=f"{type(error).__name__} {error}") from None
    if len(tokens) != 1:
        raise TokenMissing(wanted=where.wanted, module=where.module, why=f"{len(tokens)} match")
    try:
        session = tokens[0].open(rw=rw, user_pin=pin)
    except (PinIncorrect, PinInvalid, PinLenRange, PinLocked) as error:
        raise PinRefused(why=type(error).__name__) from None
    except PKCS11Error as error:
        raise TokenFailed(why=type(error).__name__) from None
    with session:
        yield session


def _matching(session: pkcs11.Session, where: KeyUri, kind: ObjectClass) -> list[pkcs11.Object]:
    wanted: dict[Attribute, object] = {Attribute.CLASS: kind, Attribute.KEY_TYPE: KeyType.EC}
    if where.label is not None:
        wanted[Attribute.LABEL] = where.label
    if where.id is not None:
        wanted[Attribute.ID] = where.id
    return list(session.get_objects(wanted))


def _find(session: pkcs11.Session, where: KeyUri) -> TokenKey:
    try:
        private, public = (
            _matching(session, where, ObjectClass.PRIVATE_KEY),
            _matching(session, where, ObjectClass.PUBLIC_KEY),
        )
        if len(private) != 1 or len(public) != 1:
            raise KeyMissing(wanted=where.wanted_key)
        for attribute, safe in ((Attribute.SENSITIVE, True), (Attribute.EXTRACTABLE, False)):
            if private[0][attribute] is not safe:
                raise KeyTooOpen(attribute=attribute.name, found=bool(private[0][attribute]))
        key = load_der_public_key(encode_ec_public_key(public[0]))  # type: ignore[arg-type]  # of class PUBLIC_KEY
    except PKCS11Error as error:
        raise TokenFailed(why=type(error).__name__) from None
    except ValueError as error:
        raise KeyMissing(wanted=f"{where.wanted_key} ({error})") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise KeyMissing(wanted=where.wanted_key)
    return TokenKey(private[0], key)  # type: ignore[arg-type]  # of class PRIVATE_KEY

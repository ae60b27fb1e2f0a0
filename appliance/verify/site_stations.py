"""`stations.json`: which station stands where, what it may make, and which public keys speak for it.

- This document is the only place where a station's keys come from: a proof never carries the key it is checked with.
- One public key serves one purpose of one station; a revoked or expired key stays listed, so that old evidence can be
  judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from appliance.evidence import base64_strict
from appliance.verify.site_errors import StationKeyRefused, StationKeyTwice, StationsRefused, StationTwice
from appliance.verify.site_fields import LINE, MAX_DOCUMENT, NAME_RULE, SKU, Fields, filed, load, once
from appliance.verify.site_times import Interval, Window

_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)
_PRODUCT = re.compile(SKU.pattern + r"|\*", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Revocation:
    """A key is not to be believed for anything from `at` (RFC 3339) on."""

    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class StationKey:
    """A station's public key: `public` is DER SPKI, `digest` is `sha256:` of it."""

    purpose: str
    algorithm: str
    public: bytes
    valid: Window
    revoked: Revocation | None

    @property
    def digest(self) -> str:
        return f"sha256:{sha256(self.public).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Station:
    """One line of `stations.json`: where a station stands, its log's origin, what it may make, its keys."""

    id: str
    site: str
    origin: str
    products: tuple[str, ...]
    keys: tuple[StationKey, ...]

    def may_make(self, sku: str) -> bool:
        return "*" in self.products or sku in self.products

    def keys_for(self, purpose: str, at: Interval | None = None) -> tuple[StationKey, ...]:
        """Keys of a purpose; with `at`, those that are not revoked and whose validity covers all of it."""
        found = tuple(key for key in self.keys if key.purpose == purpose)
        if at is None:
            return found
        return tuple(key for key in found if key.revoked is None and key.valid.surely_holds(at))


@dataclass(frozen=True, slots=True)
class Stations:
    """`stations.json`: the only place where a station's keys come from."""

    stations: tuple[Station, ...]

    def station(self, station_id: str) -> Station | None:
        return next((one for one in self.stations if one.id == station_id), None)

    def by_origin(self, origin: str) -> Station | None:
        return next((one for one in self.stations if one.origin == origin), None)


def parse_stations(document: bytes, path: str) -> Stations:
    top = load(document, path=path, refused=StationsRefused, max_bytes=MAX_DOCUMENT, required=("stations",))
    stations = tuple(
        Station(
            id=one.text("id", SKU, NAME_RULE),
            site=one.text("site", SKU, NAME_RULE),
            origin=one.text("origin", _ORIGIN, "a log's origin has no spaces and at most 128 characters"),
            products=one.texts("products", _PRODUCT, f"a SKU ({NAME_RULE}) or * is meant", low=0, high=1_000),
            keys=_station_keys(one, path),
        )
        for one in top.parts("stations", ("id", "site", "origin", "products", "keys"), low=0, high=1_000)
    )
    once([one.id for one in stations], refused=StationTwice, path=path, field="station")
    once([one.origin for one in stations], refused=StationTwice, path=path, field="origin")
    seen: set[bytes] = set()
    for station in stations:
        for index, key in enumerate(station.keys):
            if key.public in seen:
                raise StationKeyTwice(path=path, field=f"{station.id}.keys[{index}]")
            seen.add(key.public)
    return filed(Stations(stations), path, "stations.json", "path", path)


def _station_keys(station: Fields, path: str) -> tuple[StationKey, ...]:
    names = ("purpose", "algorithm", "public", "from", "until", "revoked")
    return tuple(
        StationKey(
            purpose=one.one_of("purpose", ("manifest", "checkpoint")),
            algorithm=(algorithm := one.one_of("algorithm", ("ecdsa-p256-sha256", "ed25519"))),
            public=_public(
                one.text("public", _BASE64, "base64 of a DER public key"), algorithm, path, one.at("public")
            ),
            valid=one.window("from", "until"),
            revoked=_revocation(one),
        )
        for one in station.parts("keys", names, low=0, high=64)
    )


def _revocation(key: Fields) -> Revocation | None:
    if not key.has("revoked"):
        return None
    fields = key.part("revoked", ("at", "reason"))
    return Revocation(
        at=fields.moment("at"), reason=fields.text("reason", LINE, "one line of at most 128 characters is a reason")
    )


def _public(text: str, algorithm: str, path: str, field: str) -> bytes:
    der = base64_strict.decode(text)
    if der is None:
        raise StationKeyRefused(path=path, field=field, why="it is not strict base64")
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StationKeyRefused(
            path=path, field=field, why=f"it is no DER public key ({type(error).__name__})"
        ) from None
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        found = "ecdsa-p256-sha256"
    elif isinstance(key, Ed25519PublicKey):
        found = "ed25519"
    else:
        raise StationKeyRefused(path=path, field=field, why="it is neither a P-256 nor an Ed25519 key")
    if found != algorithm:
        raise StationKeyRefused(path=path, field=field, why=f"it is a key for {found}, not {algorithm}")
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != der:
        raise StationKeyRefused(path=path, field=field, why="it is not in the one DER form that digests are made of")
    return der

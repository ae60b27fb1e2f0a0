"""Images of the station's own software, as the site approves them (docs/contracts.md 2).

- `images/<compatible>/<version>.json` says which image may run where: its root hash, its floor, its bundle by length
  and SHA-256. It is canonical JSON: one image, one spelling.
- Versions are three integers and compared as such. An image's floor is never above the image itself.
- `images/keyring.pem` holds the certificates that bundle signatures must chain to: certificates, and nothing else.
- The bundle itself is *detached* (`Target.detached`): listed, and never read here.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from appliance.evidence import base64_strict, strict_json
from appliance.verify.image_errors import ImageFloorWrong, ImageNotCanonical, ImageRefused, KeyringRefused
from appliance.verify.site_fields import HEX_DIGEST, MAX_DOCUMENT, NAME_RULE, SKU, TICKET, Fields, filed, load

KEYRING: Final = "images/keyring.pem"
MAX_BUNDLE: Final = 1 << 29
MAX_KEYRING: Final = 1 << 16
_MAX_CERTIFICATES = 16
_VERSION = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})", re.ASCII)
_COMPATIBLE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}", re.ASCII)
_VERITY = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_STATION = re.compile(SKU.pattern + r"|\*", re.ASCII)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]{1,16384})\n-----END CERTIFICATE-----\n", re.ASCII)
_VERSION_RULE = "three whole numbers with dots between them are a version"


class Version(NamedTuple):
    """An image's version, in the order of its numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The file that holds an image: a detached target of the repository."""

    target: str
    sha256: str
    length: int


@dataclass(frozen=True, slots=True)
class ImageRelease:
    """`images/<compatible>/<version>.json`; `verity` is the root hash, `digest` that of the document."""

    compatible: str
    version: Version
    verity: str
    floor: Version
    bundle: Bundle
    stations: tuple[str, ...]
    ticket: str
    digest: str

    def is_for(self, station: str) -> bool:
        """Whether this image is meant for a station."""
        return "*" in self.stations or station in self.stations


@dataclass(frozen=True, slots=True)
class Keyring:
    """`images/keyring.pem`: the file as approved, and the DER certificates in it."""

    pem: bytes
    certificates: tuple[bytes, ...]


def parse_version(text: str) -> Version | None:
    """The version that `text` spells, or None where it is not the one spelling of a version."""
    found = _VERSION.fullmatch(text)
    return Version(int(found[1]), int(found[2]), int(found[3])) if found else None


def parse_image_release(document: bytes, path: str) -> ImageRelease:
    """An image's document, or a `PL-IMG` or `PL-SIT` refusal."""
    names = ("compatible", "version", "verity", "floor", "bundle", "stations", "ticket")
    fields = load(document, path=path, refused=ImageRefused, max_bytes=MAX_DOCUMENT, required=names)
    compatible = fields.text("compatible", _COMPATIBLE, "lower-case letters, digits, dots and hyphens are meant")
    version, floor = _version(fields, "version"), _version(fields, "floor")
    if floor > version:
        raise ImageFloorWrong(path=path, found=str(floor), expected=str(version))
    stem = f"images/{compatible}/{version}"
    bundle = fields.part("bundle", ("target", "sha256", "length"))
    image = ImageRelease(
        compatible=compatible,
        version=version,
        verity=fields.text("verity", _VERITY, "sha256: and 64 digits are a root hash"),
        floor=floor,
        bundle=Bundle(
            target=bundle.text("target", re.compile(re.escape(f"{stem}.raucb")), f"only {stem}.raucb is allowed"),
            sha256=bundle.text("sha256", HEX_DIGEST, "64 lower-case hex digits"),
            length=bundle.integer("length", 1, MAX_BUNDLE),
        ),
        stations=fields.texts("stations", _STATION, f"a station ({NAME_RULE}) or * is meant", low=1, high=1_000),
        ticket=fields.text("ticket", TICKET, "a change ticket of at most 64 characters"),
        digest=f"sha256:{sha256(document).hexdigest()}",
    )
    if strict_json.encode(fields.values) != document:
        raise ImageNotCanonical(path=path)
    return filed(image, path, f"{stem}.json", "compatible and version", f"{compatible} {version}")


def parse_keyring(document: bytes, path: str) -> Keyring:
    """The keyring, or KeyringRefused: 1 to 16 different certificates in PEM as OpenSSL writes it, nothing else."""
    if len(document) > MAX_KEYRING:
        raise KeyringRefused(path=path, why=f"it has more than {MAX_KEYRING} bytes")
    try:
        text = document.decode("ascii")
    except UnicodeDecodeError:
        raise KeyringRefused(path=path, why="it is not ASCII") from None
    certificates: list[bytes] = []
    at = 0
    while at < len(text):
        found = _PEM.match(text, at)
        if found is None:
            line = text[at:].partition("\n")[0]
            raise KeyringRefused(path=path, why=f"no certificate begins with {line[:60]!r}, or it does not end")
        certificates.append(_certificate(found[1], path))
        at = found.end()
    if not 0 < len(certificates) <= _MAX_CERTIFICATES:
        raise KeyringRefused(
            path=path, why=f"it holds {len(certificates)} certificates; 1 to {_MAX_CERTIFICATES} are allowed"
        )
    if len(set(certificates)) != len(certificates):
        raise KeyringRefused(path=path, why="a certificate stands there twice")
    return Keyring(document, tuple(certificates))


def _certificate(text: str, path: str) -> bytes:
    # here, because it takes each service of a station longer to load than the rest of this room, and few look at one
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_certificate

    der = base64_strict.decode(text.replace("\n", ""))
    if der is None:
        raise KeyringRefused(path=path, why="a certificate is not strict base64")
    try:
        certificate = load_der_x509_certificate(der)
        certificate.public_key()
        again = certificate.public_bytes(Encoding.DER)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyringRefused(path=path, why=f"a certificate does not parse ({type(error).__name__})") from None
    if again != der:
        raise KeyringRefused(path=path, why="bytes follow a certificate inside its block")
    return der


def _version(fields: Fields, name: str) -> Version:
    version = parse_version(fields.text(name, _VERSION, _VERSION_RULE))
    assert version is not None
    return version

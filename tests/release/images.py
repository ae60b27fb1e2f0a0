"""Images for the tests of a site: certificates, a bundle's bytes, the documents that belong together."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID

from tests.release.forge import good_documents, key, sha

BUNDLE = bytes(range(256)) * 5_000
"""More than a piece of it."""


@cache
def certificate(name: str) -> bytes:
    """A self-signed certificate in PEM."""
    who = Name([NameAttribute(NameOID.COMMON_NAME, name)])
    builder = CertificateBuilder().subject_name(who).issuer_name(who).public_key(key(name).public_key())
    builder = builder.serial_number(random_serial_number())
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    return builder.sign(key(name), SHA256()).public_bytes(Encoding.PEM)


def verity_of(version: str) -> str:
    """The root hash of the image that `image_document` describes, unless it is told another."""
    return f"sha256:{sha(version.encode())}"


def image_document(version: str = "0.2.0", *, bundle: bytes = BUNDLE, **more: object) -> dict[str, Any]:
    """An image's document as the desk writes it."""
    stem = f"images/proofline-arm64/{version}"
    return {
        "schema": 1,
        "compatible": "proofline-arm64",
        "version": version,
        "verity": verity_of(version),
        "floor": "0.1.0",
        "bundle": {"target": f"{stem}.raucb", "sha256": sha(bundle), "length": len(bundle)},
        "stations": ["*"],
        "ticket": "CHG-3",
        **more,
    }


def with_images(*versions: str, bundle: bytes = BUNDLE, **more: object) -> dict[str, Any]:
    """The good documents, a keyring, and images of these versions with their bundles."""
    documents = good_documents()
    documents["images/keyring.pem"] = certificate("release")
    for version in versions or ("0.2.0",):
        documents[f"images/proofline-arm64/{version}.json"] = image_document(version, bundle=bundle, **more)
        documents[f"images/proofline-arm64/{version}.raucb"] = bundle
    return documents

"""What a colleague needs to know of a build: the SBOM (SPDX 2.3) and the build record beside the image.

- The SBOM lists what the image was made of, from the locks; nothing is guessed by looking into files.
- The build record holds inputs and outputs by digest. Two builds agree exactly when their records' `artefacts` do.
- Neither contains a time of day, a host name or a path: they are part of what is compared.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from image.builder.archive import Package
from image.builder.wheels import Wheel

_NAMESPACE = uuid.UUID("3c5f1d4e-7d0b-4c39-9a53-0f4f1c1f8a10")
_AROUND = {
    "SPDXRef-deb-libpython3.13-dev": "BUILD_DEPENDENCY_OF",
    "SPDXRef-deb-u-boot-qemu": "TEST_DEPENDENCY_OF",
}
"""Taken apart for a header that our C code is compiled with, and for the emulator's U-Boot: neither is on a card."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sbom(
    version: str, epoch: int, packages: Iterable[Package], wheels: Iterable[Wheel], image: Mapping[str, str]
) -> dict[str, object]:
    """An SPDX 2.3 document: the image, and what it contains."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = _package("SPDXRef-image", "proofline-station", version, image["disk.raw"], "OPERATING-SYSTEM", [])
    parts = []
    for one in sorted(packages):
        link = f"pkg:deb/debian/{one.name}@{one.version}?arch={one.architecture}&distro=trixie".replace("+", "%2B")
        parts.append(_package(_ref("deb", one.name), one.name, one.version, one.sha256, "LIBRARY", [link]))
    for wheel in sorted(wheels):
        link = f"pkg:pypi/{wheel.name}@{wheel.version}"
        parts.append(_package(_ref("pypi", wheel.name), wheel.name, wheel.version, wheel.sha256, "LIBRARY", [link]))
    parts.append(_package(_ref("pypi", "proofline"), "proofline", version, None, "APPLICATION", []))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"proofline-station-{version}",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(_NAMESPACE, image['disk.raw'])}",
        "creationInfo": {"created": created, "creators": ["Tool: image/build"]},
        "packages": [whole, *parts],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image"),
            *(_part(str(part["SPDXID"])) for part in parts),
        ],
    }


def write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def _package(
    ref: str, name: str, version: str, digest: str | None, purpose: str, links: list[str]
) -> dict[str, object]:
    found: dict[str, object] = {
        "SPDXID": ref,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": purpose,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }
    if digest is not None:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": digest}]
    if links:
        found["externalRefs"] = [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": link}
            for link in links
        ]
    return found


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _part(ref: str) -> dict[str, str]:
    """What a package is to the image: in it, with two exceptions."""
    if ref in _AROUND:
        return _relation(ref, _AROUND[ref], "SPDXRef-image")
    return _relation("SPDXRef-image", "CONTAINS", ref)


def _ref(kind: str, name: str) -> str:
    return f"SPDXRef-{kind}-{name}".replace("_", "-").replace("+", "-plus-")

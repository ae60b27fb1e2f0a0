"""The SBOM against SPDX 2.3's own rules, and against the locks that it is made of.

The rules are those of the specification's clauses 6 (document), 7 (packages) and 11 (relationships) and of its JSON
schema, as far as they concern documents without files.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from image.builder import archive, record, wheels

ROOT = Path(__file__).parents[2]
EPOCH = 1795360371
DIGESTS = {"disk.raw": "d" * 64}

# clause 7.24, 7.10 with the JSON schema's spelling, 11.1
PURPOSES = {
    *("APPLICATION", "FRAMEWORK", "LIBRARY", "CONTAINER", "OPERATING-SYSTEM", "DEVICE", "FIRMWARE", "SOURCE"),
    *("ARCHIVE", "FILE", "INSTALL", "OTHER"),
}
RELATIONSHIPS = {
    *("DESCRIBES", "DESCRIBED_BY", "CONTAINS", "CONTAINED_BY", "DEPENDS_ON", "DEPENDENCY_OF", "BUILD_DEPENDENCY_OF"),
    *("DEV_DEPENDENCY_OF", "TEST_DEPENDENCY_OF", "BUILD_TOOL_OF", "GENERATED_FROM", "GENERATES"),
}
DOCUMENT = {
    *("spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages", "relationships"),
}
PACKAGE = {
    *("SPDXID", "name", "versionInfo", "downloadLocation", "filesAnalyzed", "primaryPackagePurpose"),
    *("licenseConcluded", "licenseDeclared", "copyrightText", "checksums", "externalRefs"),
}


def locked() -> tuple[list[archive.Package], tuple[wheels.Wheel, ...]]:
    packages = [one for one in archive.read_lock(ROOT / "image/packages.lock") if one.set != "tools"]
    return packages, wheels.read_lock(ROOT / "image/wheels.lock")


@pytest.fixture(scope="module")
def sbom() -> dict[str, Any]:
    packages, files = locked()
    return json.loads(json.dumps(record.sbom("0.1.0", EPOCH, packages, files, DIGESTS)))  # type: ignore[no-any-return]


def test_the_document_is_of_spdx_2_3(sbom: dict[str, Any]) -> None:
    assert set(sbom) == DOCUMENT
    assert (sbom["spdxVersion"], sbom["dataLicense"], sbom["SPDXID"]) == ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT")
    assert re.fullmatch(r"[a-z][a-z0-9+.-]*:[^#\s]+", sbom["documentNamespace"]), "6.5: a URI without a fragment"
    created = sbom["creationInfo"]["created"]
    assert datetime.strptime(created, "%Y-%m-%dT%H:%M:%S%z").timestamp() == EPOCH
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert all(re.match("(Person|Organization|Tool): .", one) for one in sbom["creationInfo"]["creators"])


def test_every_element_has_an_id_of_its_own(sbom: dict[str, Any]) -> None:
    names = [sbom["SPDXID"], *(one["SPDXID"] for one in sbom["packages"])]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name)] == []


def test_every_package_has_what_is_required_and_says_nothing_of_files(sbom: dict[str, Any]) -> None:
    for one in sbom["packages"]:
        assert set(one) <= PACKAGE, one["name"]
        assert one["name"]
        assert one["versionInfo"]
        assert one["downloadLocation"] == "NOASSERTION"
        assert one["filesAnalyzed"] is False
        assert one["primaryPackagePurpose"] in PURPOSES
        for checksum in one.get("checksums", ()):
            assert checksum["algorithm"] == "SHA256"
            assert re.fullmatch("[0-9a-f]{64}", checksum["checksumValue"])
        for link in one.get("externalRefs", ()):
            assert set(link) == {"referenceCategory", "referenceType", "referenceLocator"}
            assert (link["referenceCategory"], link["referenceType"]) == ("PACKAGE-MANAGER", "purl")
            assert re.fullmatch(
                r"pkg:(deb/debian|pypi)/(?:[a-z0-9.-]|%2B)+@[A-Za-z0-9.:~%_-]+(\?[a-z0-9=&-]+)?",
                link["referenceLocator"],
            )


def test_it_lists_each_line_of_both_locks_once_with_its_digest_and_nothing_more(sbom: dict[str, Any]) -> None:
    packages, files = locked()
    expected = sorted(
        [(one.name, one.version, one.sha256) for one in packages]
        + [(one.name, one.version, one.sha256) for one in files]
        + [("proofline-station", "0.1.0", "d" * 64), ("proofline", "0.1.0", None)],
        key=str,
    )
    found = sorted(
        [
            (one["name"], one["versionInfo"], (one.get("checksums") or [{"checksumValue": None}])[0]["checksumValue"])
            for one in sbom["packages"]
        ],
        key=str,
    )
    assert found == expected
    for one in sbom["packages"]:
        for link in one.get("externalRefs", ()):
            name, _, rest = link["referenceLocator"].rpartition("/")[2].partition("@")
            assert (unquote(name), unquote(rest.partition("?")[0])) == (one["name"], one["versionInfo"])


def test_the_document_describes_the_image_and_the_image_contains_all_else(sbom: dict[str, Any]) -> None:
    known = {sbom["SPDXID"], *(one["SPDXID"] for one in sbom["packages"])}
    for one in sbom["relationships"]:
        assert one["relationshipType"] in RELATIONSHIPS
        assert {one["spdxElementId"], one["relatedSpdxElement"]} <= known
    triples = [
        (one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"]) for one in sbom["relationships"]
    ]
    (described,) = (other for one, kind, other in triples if (one, kind) == ("SPDXRef-DOCUMENT", "DESCRIBES"))
    related = {other for one, _kind, other in triples if one == described} | {
        one for one, _kind, other in triples if other == described and one != "SPDXRef-DOCUMENT"
    }
    assert related == known - {"SPDXRef-DOCUMENT", described}
    assert {(one, kind) for one, kind, other in triples if other == described} == {
        ("SPDXRef-DOCUMENT", "DESCRIBES"),
        ("SPDXRef-deb-libpython3.13-dev", "BUILD_DEPENDENCY_OF"),
        ("SPDXRef-deb-u-boot-qemu", "TEST_DEPENDENCY_OF"),
    }
    assert len(triples) == len(set(triples)) == len(known) - 1


def test_the_same_inputs_make_the_same_document_in_any_order(tmp_path: Path) -> None:
    packages, files = locked()
    record.write(tmp_path / "one", record.sbom("0.1.0", EPOCH, packages, files, DIGESTS))
    record.write(tmp_path / "two", record.sbom("0.1.0", EPOCH, packages[::-1], files[::-1], DIGESTS))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    other = record.sbom("0.1.0", EPOCH, packages, files, {"disk.raw": "e" * 64})
    first = json.loads((tmp_path / "one").read_text("utf-8"))
    assert other["documentNamespace"] != first["documentNamespace"], "6.5: one namespace, one document"

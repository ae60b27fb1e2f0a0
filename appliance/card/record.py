"""The build record beside an image (`build.json`), as far as cards need it: digests and sizes of what is shipped.

- Strict where it is used: version, digests and sizes must be what they claim to be. Other fields are for other readers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.card.errors import CardInputUnreadable, RecordMalformed
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError

DISK = "disk.raw"
_LIMIT = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class BuildRecord:
    """`artefacts`: file name -> SHA-256 in hex; `sizes`: bytes of those whose size is recorded."""

    version: str
    artefacts: Mapping[str, str]
    sizes: Mapping[str, int]


def read_record(path: Path) -> BuildRecord:
    """The record in a file. CardInputUnreadable, RecordMalformed."""
    try:
        with path.open("rb") as file:
            document = file.read(_LIMIT + 1)
    except OSError as error:
        raise CardInputUnreadable(path=os.fspath(path), why=error.strerror or "error") from None
    return parse_record(document, path.name)


def parse_record(document: bytes, name: str) -> BuildRecord:
    """The record in a document. RecordMalformed."""
    try:
        value = strict_json.decode(document, max_bytes=_LIMIT)
    except EvidenceError as error:
        raise RecordMalformed(path=name, why=error.engineer_sentence()) from None
    about = value if isinstance(value, dict) else {}
    version, artefacts, sizes = about.get("version"), about.get("artefacts"), about.get("sizes")
    if about.get("schema") != 1 or not isinstance(version, str):
        raise RecordMalformed(path=name, why="not of schema 1")
    if not isinstance(artefacts, dict) or not isinstance(sizes, dict) or DISK not in artefacts:
        raise RecordMalformed(path=name, why=f"no artefacts, no sizes, or no {DISK}")
    for one, digest in artefacts.items():
        if not _NAME.fullmatch(one) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise RecordMalformed(path=name, why=f"artefact {one!r} is not a file name with its SHA-256")
    for one, size in sizes.items():
        if one not in artefacts or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise RecordMalformed(path=name, why=f"the size of {one!r} is not one")
    return BuildRecord(version, artefacts, sizes)


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hex. OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

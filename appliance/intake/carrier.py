"""A carrier's files, copied into private space before anybody looks at what they say.

- Only folders and regular files, only names that a repository has; at most `MAX_ENTRIES` of them, `MAX_FILE` bytes
  each, `MAX_TOTAL` bytes in all.
- Every file is read once. What is verified afterwards, and staged, is the copy: a carrier that answers differently the
  second time gains nothing.
- Bundles of images, which are bigger than all the rest, are listed and not copied: the one that is wanted is taken
  later (`bundle`), when it is known what it must be.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from appliance.intake.errors import CarrierFilesTooMany, CarrierNameUnexpected, CarrierTooLarge
from appliance.intake.media import Medium

MAX_ENTRIES: Final = 20_000
MAX_FILE: Final = 1 << 26
MAX_TOTAL: Final = 1 << 29
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,160}"
_EXPECTED: Final = re.compile(
    rf"metadata(/(timestamp\.json|[1-9][0-9]{{0,9}}\.(root|snapshot|targets)\.json))?"
    rf"|approvals(/[1-9][0-9]{{0,9}}(/{_NAME}\.json)?)?"
    rf"|targets(/{_NAME}){{0,4}}",
    re.ASCII,
)
_BUNDLE: Final = re.compile(rf"targets/images/{_NAME}/[0-9a-f]{{64}}\.{_NAME}\.raucb", re.ASCII)


def copy(medium: Medium, private: Path) -> frozenset[str]:
    """Copy a carrier into the empty directory `private`, or refuse (`PL-INT-001` to `-005`). The files that were
    listed and left where they are."""
    return _Copy(medium, private).run()


class _Copy:
    def __init__(self, medium: Medium, private: Path) -> None:
        self._medium = medium
        self._private = private
        self._entries = 0
        self._bytes = 0
        self._left: set[str] = set()

    def run(self) -> frozenset[str]:
        self._folder("")
        return frozenset(self._left)

    def _folder(self, path: str) -> None:
        entries = self._medium.entries(path, MAX_ENTRIES)
        self._entries += len(entries)
        if self._entries > MAX_ENTRIES:
            raise CarrierFilesTooMany(limit=MAX_ENTRIES)
        for entry in entries:
            inner = f"{path}/{entry.name}" if path else entry.name
            if not _EXPECTED.fullmatch(inner):
                raise CarrierNameUnexpected(path=repr(inner)[:200])
            if entry.is_folder:
                (self._private / inner).mkdir(mode=0o700)
                self._folder(inner)
            elif _BUNDLE.fullmatch(inner):
                self._left.add(inner)
            else:
                self._file(inner)

    def _file(self, path: str) -> None:
        size = 0
        with self._medium.reading(path) as read, (self._private / path).open("xb") as private:
            while piece := read(1 << 20):
                size += len(piece)
                self._bytes += len(piece)
                if size > MAX_FILE:
                    raise CarrierTooLarge(path=path, limit=MAX_FILE)
                if self._bytes > MAX_TOTAL:
                    raise CarrierTooLarge(path=path, limit=MAX_TOTAL)
                private.write(piece)

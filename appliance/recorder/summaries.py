"""What complete segments say, kept beside them so that the recorder starts fast however long its log is.

- A summary is believed only if it was made from the very entries that are there: it names the Merkle hash of its 256
  entries, which the log computes from the entries at every start, and its own SHA-256.
- A summary that is missing, torn or of another version is made again from the entries. Nothing depends on it, so
  nothing waits for it: it is not synced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from appliance import durable
from appliance.recorder import facts
from appliance.recorder.facts import Fact

_VERSION = 1


class Summaries:
    """Summaries in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        durable.make_dir(directory)
        self._directory = directory

    def facts(self, first: int, entries: Sequence[bytes], subtree: bytes | None) -> list[Fact]:
        """The facts of one segment's entries. `subtree`: their Merkle hash when the segment is complete."""
        if subtree is None:
            return [facts.read(entry) for entry in entries]
        known = self._read(first, subtree)
        if known is not None and len(known) == len(entries):
            return known
        made = [facts.read(entry) for entry in entries]
        self._write(first, subtree, made)
        return made

    def _path(self, first: int) -> Path:
        return self._directory / f"{first:012d}.json"

    def _read(self, first: int, subtree: bytes) -> list[Fact] | None:
        try:
            checksum, _, body = self._path(first).read_bytes().partition(b"\n")
            if sha256(body).hexdigest().encode() != checksum:
                return None
            summary = json.loads(body)
            if summary["version"] != _VERSION or summary["subtree"] != subtree.hex():
                return None
            return [facts.unpack(one) for one in summary["facts"]]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, first: int, subtree: bytes, made: Sequence[Fact]) -> None:
        summary = {"version": _VERSION, "subtree": subtree.hex(), "facts": [facts.pack(one) for one in made]}
        body = json.dumps(summary, separators=(",", ":")).encode()
        try:
            descriptor = os.open(self._path(first), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, sha256(body).hexdigest().encode() + b"\n" + body)
            finally:
                os.close(descriptor)
        except OSError:
            pass  # the next start makes it; a full disk is reported by what matters

"""What intake finds in the fetcher's folder: a carrier, what the server had since that is none, and a sign of each.

- `carrier` is the newest that verified here, whole; `ready.json` is its sign. `refused` is what came in the next one's
  place; `refused.json` is its sign, the same for the same bytes. Neither takes the other's place: what intake has not
  imported yet is still there after a bad answer.
- A folder is replaced under a lock that intake holds while it reads. Its sign goes before the first change and comes
  when the last is on the disk: after a power cut there is no sign, or the sign of what is there.
- `refused` goes when the server is right again: the same bytes after that are refused, and on record, anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify.site import Directory


class Handover:
    """The folder, as the fetcher sees it."""

    def __init__(self, folder: Path) -> None:
        self.carrier, self.refused = folder / "carrier", folder / "refused"
        self._folder = folder
        self._signs = {self.carrier: folder / "ready.json", self.refused: folder / "refused.json"}

    def sign(self, place: Path) -> object:
        """What was said of a folder; None where nothing was."""
        return read_record(self._signs[place])

    @contextmanager
    def replacing(self, place: Path, about: Mapping[str, object]) -> Iterator[None]:
        """Replace a folder: it is not there when this begins, and intake is told when this is over."""
        with self._locked():
            self._remove(place)
            yield
            os.sync()
            durable.write_atomic(self._signs[place], strict_json.encode(about), 0o644)

    def withdraw(self) -> None:
        """Forget what was refused."""
        if self.refused.exists():
            with self._locked():
                self._remove(self.refused)

    def drop(self, file: str) -> None:
        """Make room for another try of a big file in `refused`, at which intake could look for an hour and more. Where
        it did not, it comes to its record after the next try: the sign is put there anew."""
        if (self.refused / file).exists():
            with self._locked():
                (self.refused / file).unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        (self._folder / "lock").touch(mode=0o644)
        with (self._folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove(self, place: Path) -> None:
        self._signs[place].unlink(missing_ok=True)
        durable.fsync_dir(self._folder)
        shutil.rmtree(place, ignore_errors=True)


def read_record(path: Path) -> object:
    """A small JSON file of the fetcher's own; None where it cannot be read."""
    try:
        return strict_json.decode(Directory(path.parent).read(path.name, 4_096) or b"")
    except ProoflineError:
        return None

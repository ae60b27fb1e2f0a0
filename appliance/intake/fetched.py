"""What `proofline-fetch` brought: a carrier, imported like a stick's, and what the server had that does not verify.

- Each of the two folders has a sign beside it, a file that is another one when there is something new in the folder.
  Nothing in a sign is believed; that it is another file than last time says that there is something to look at.
- `carrier` is imported once after each start and each time it is another: a staging that was lost comes back. Where it
  is refused as it was refused before, that is on record already.
- `refused` is what the fetcher could not verify. Once its refusal is on record it is not looked at again, also after a
  start: nothing that this station needs is in it. When it is gone, the same is news when it comes again.
- The fetcher replaces either under a lock; while it holds that, intake comes back later and waits for nobody.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from appliance.errors import ProoflineError
from appliance.intake.media import Folder
from appliance.intake.on_record import OnRecord
from appliance.intake.stick import Taker
from appliance.verify.site import Directory

log = logging.getLogger("proofline.intake")

_MAX_SIGN = 4_096


class Fetched:
    """The fetcher's folder, as intake sees it. `state` is intake's own folder: what is on record stands there."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder = folder
        self._carrier = _Place(folder, "carrier", "ready.json", OnRecord(state / "fetched-carrier.json"))
        self._refused = _Place(folder, "refused", "refused.json", OnRecord(state / "fetched-refused.json"))

    def look(self, taker: Taker) -> None:
        """Import what was fetched since the last look, and have refused what is to be refused."""
        for place in (self._carrier, self._refused):
            if not place.is_another():
                continue
            with self._still() as still:
                if not still:
                    return
                sign = place.seen()
                if sign is None:
                    place.on_record.forget()
                elif place is self._carrier or place.on_record.of(sign).code() is None:
                    _take(taker, place, sign)

    @contextmanager
    def _still(self) -> Iterator[bool]:
        """Whether nobody replaces anything as long as this lasts."""
        try:
            lock = os.open(self._folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
        finally:
            os.close(lock)


class _Place:
    """A folder, its sign, and what is on record of it."""

    def __init__(self, top: Path, folder: str, sign: str, on_record: OnRecord) -> None:
        self.folder = top / folder
        self.on_record = on_record
        self._top, self._sign = top, sign
        self._seen: tuple[int, ...] | None = ()

    def is_another(self) -> bool:
        """Whether the sign is another file than last time, or came, or went."""
        return self._file() != self._seen

    def seen(self) -> str | None:
        """Remember the sign of this moment; what tells its content from others, None where there is none."""
        self._seen = self._file()
        if self._seen is None:
            return None
        try:
            content = Directory(self._top).read(self._sign, _MAX_SIGN) or b""
        except ProoflineError as odd:
            content = odd.code.encode()
        return f"sha256:{sha256(content).hexdigest()}"

    def _file(self) -> tuple[int, ...] | None:
        try:
            about = os.lstat(self._top / self._sign)
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns


def _take(taker: Taker, place: _Place, sign: str) -> None:
    try:
        taker.take("url", lambda: Folder(str(place.folder)), on_record=place.on_record.of(sign))
    except ProoflineError as told:  # `take` has told and journalled it
        log.debug("%s", told)

"""The carrier that `proofline-fetch` brought: imported once each time it is another one.

- `ready.json` in the fetcher's folder is written after `carrier` beside it is complete. Nothing in it is believed;
  that it is another file than last time says that there is something to import.
- The fetcher replaces `carrier` under a lock; while it holds that, intake comes back later and waits for nobody.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import ProoflineError
from appliance.intake.media import Folder
from appliance.intake.stick import Taker

log = logging.getLogger("proofline.intake")


class Fetched:
    """The fetcher's folder, as intake sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done: tuple[int, ...] = ()

    def look(self, taker: Taker) -> None:
        """Import what was fetched since the last look."""
        try:
            about = (self._folder / "ready.json").stat()
        except OSError:
            return
        ready = (about.st_ino, about.st_mtime_ns)
        if ready == self._done:
            return
        with self._still() as still:
            if not still:
                return
            self._done = ready
            try:
                taker.take("url", lambda: Folder(str(self._folder / "carrier")))
            except ProoflineError as told:  # `take` has told and journalled it
                log.debug("%s", told)

    @contextmanager
    def _still(self) -> Iterator[bool]:
        """Whether nobody replaces the carrier as long as this lasts."""
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

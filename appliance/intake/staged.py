"""The staged generation as a service sees it: verified by the service itself, from its own pinned root.

    staged = StagedSite(surroundings.staged, site.root)
    trust = staged.current()                 # SiteTrust; verified again only when the generation has changed

- Staging is a cache, not a trusted party: nothing read from it is believed before `SiteTrust` has verified it.
- Within one process the versions never go back, whatever the directory says.
- A generation is immutable. When intake flips `current` during a reading, the reading starts again.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Final

from appliance.station import Site, StationError
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_errors import NothingStaged, SiteError, StagedUnreadable, StagedWentBack

GENERATION: Final = re.compile(r"gen-([1-9][0-9]{0,8})", re.ASCII)


def current_generation(staged: Path) -> int | None:
    """The number of the generation that `current` names, None before the first one."""
    try:
        name = os.readlink(staged / "current")  # noqa: PTH115 -- a str, as it was written
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StagedUnreadable(path=str(staged), why=str(error)) from None
    found = GENERATION.fullmatch(name)
    if found is None:
        raise StagedUnreadable(path=str(staged), why=f"current names {name!r}, which is no generation")
    return int(found[1])


class StagedSite:
    """The newest generation, verified and cached. Thread-safe."""

    def __init__(self, staged: Path, pinned_root: bytes, *, closed: StationError | None = None) -> None:
        """`closed`: why this station trusts no site; then `current()` says so, whatever lies in the directory."""
        self._staged = staged
        self._pinned_root = pinned_root
        self._closed = closed
        self._lock = threading.Lock()
        self._generation: int | None = None
        self._identity: tuple[int, ...] = ()
        self._trust: SiteTrust | None = None

    @classmethod
    def of(cls, staged: Path, site: Site | StationError) -> StagedSite:
        """The staged generation as a station of this site sees it."""
        return cls(staged, site.root) if isinstance(site, Site) else cls(staged, b"", closed=site)

    @property
    def generation(self) -> int | None:
        """The generation that `current()` last verified."""
        return self._generation

    def current(self) -> SiteTrust:
        """The verified site, or a `PL-SIT` refusal: NothingStaged before the first import, NotEnrolled
        without a site."""
        if self._closed is not None:
            raise self._closed.with_traceback(None)  # one object for all calls: it must not collect their frames
        with self._lock:
            while True:
                generation = current_generation(self._staged)
                if generation is None:
                    raise NothingStaged(path=str(self._staged))
                folder = self._staged / f"gen-{generation}"
                identity = _identity(folder)
                if self._trust is not None and identity == self._identity:
                    return self._trust
                try:
                    trust = SiteTrust.verify(Directory(folder), self._pinned_root)
                except SiteError:
                    if current_generation(self._staged) != generation:
                        continue  # replaced, and perhaps cleaned away, while it was being read
                    raise
                self._check_forward(trust, generation)
                self._generation, self._identity, self._trust = generation, identity, trust
                return trust

    def _check_forward(self, trust: SiteTrust, generation: int) -> None:
        if self._trust is None:
            return
        before, now = self._trust.versions.as_record(), trust.versions.as_record()
        for role, version in now.items():
            if version < before[role]:
                raise StagedWentBack(path=f"gen-{generation}", role=role, found=version, expected=before[role])


def _identity(folder: Path) -> tuple[int, ...]:
    """What tells a generation from another one that was given its number after the folder had been emptied."""
    try:
        status = folder.stat()
    except OSError:
        return ()  # the verification that follows says what is wrong
    return (status.st_dev, status.st_ino, status.st_ctime_ns)

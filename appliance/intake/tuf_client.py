"""The real TUF client over the private copy: the second opinion, and the rollback protection of the specification.

- It starts from the pinned root (`bootstrap`) and from the metadata that was trusted last time, in a scratch copy that
  becomes the new trusted metadata only when everything else has agreed.
- Its reference time is ours: the latest moment that the clock's interval allows. Without a reading nothing counts as
  expired *here*; whoever acts on a release judges expiry at that moment (`SiteTrust.expiry`).
- Nothing is downloaded: `carrier:/` addresses are files of the copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from appliance.intake.carrier import MAX_FILE
from appliance.intake.errors import TufClientRefused
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_times import Interval

_BEFORE_EVERYTHING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _DirectoryFetcher(FetcherInterface):
    """`carrier:/<path>` is a file below a directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def _fetch(self, url: str) -> Iterator[bytes]:
        content = self._directory.read(url.removeprefix("carrier:/"), MAX_FILE)
        if content is None:
            raise DownloadHTTPError(f"{url} is not on the carrier", 404)
        return iter((content,))


def agree(
    carrier: Path, trust: SiteTrust, pinned_root: bytes, *, trusted: Path, scratch: Path, at: Interval | None
) -> None:
    """Refuse (TufClientRefused) unless the client accepts the carrier's metadata and every target as `trust` has them.

    `trusted` holds the metadata of last time; the client updates it in place: hand in a copy.
    """
    try:
        updater = Updater(
            str(trusted),
            "carrier:/metadata/",
            target_dir=str(scratch),
            target_base_url="carrier:/targets/",
            fetcher=_DirectoryFetcher(Directory(carrier)),
            bootstrap=pinned_root,
        )
        # The client has no parameter for time; without this it would believe a station's unset clock.
        updater._trusted_set.reference_time = at.latest if at else _BEFORE_EVERYTHING  # noqa: SLF001
        updater.refresh()
        for target in trust.targets.values():
            info = updater.get_targetinfo(target.path)
            if info is None or info.length != target.length or info.hashes != {"sha256": target.sha256}:
                raise TufClientRefused(why=f"it knows {target.path} differently")
            if not target.detached:  # listed alike, that is all: whoever takes it hashes it
                updater.download_target(info, str(scratch / "target"))
    except (RepositoryError, DownloadError, ValueError) as error:
        raise TufClientRefused(why=f"{type(error).__name__}: {error}"[:300]) from None

"""The one bundle that this station wants, taken from a carrier piece by piece (docs/contracts.md 7).

- What is wanted follows from verified documents: the highest image for this kind of board that names this station. What
  runs already, by its root hash, is not wanted: a version may be promoted again with another image.
- The copy is hashed on its way and gets its name only when it was the approved bytes and is durable; `wanted.json` is
  written after it. So whoever reads finds a complete bundle or none, now and after a power cut; what a cut leaves of a
  copy is removed at the next start.
- There must be room before the first byte is written, and `RESERVE` besides: evidence comes first.
- Bundles that nobody wants any more go when another is wanted, or none.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.evidence import strict_json
from appliance.intake.errors import BundleNoRoom, BundleTampered, BundleTruncated
from appliance.intake.media import Medium
from appliance.verify.detached import pieces
from appliance.verify.site import SiteTrust
from appliance.verify.site_catalogue import Target
from appliance.verify.site_errors import DigestWrong, LengthWrong
from appliance.verify.site_images import ImageRelease

log = logging.getLogger("proofline.intake")

RESERVE: Final = 64 << 20
"""Bytes that stay free for evidence, whatever is to be installed."""
_OURS = re.compile(r"[0-9a-f]{64}\.raucb", re.ASCII)


@dataclass(frozen=True, slots=True)
class Running:
    """Who asks: the station, and the image that it runs. `verity`: its root hash, as `ImageRelease` spells it."""

    station: str
    compatible: str
    verity: str

    def wants(self, trust: SiteTrust) -> ImageRelease | None:
        """The image that this station wants and does not run."""
        image = trust.wanted_image(self.compatible, self.station)
        return None if image is None or image.verity == self.verity else image


class Bundles:
    """The folder that intake writes and the updater reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wanted = folder / "wanted.json"

    def recover(self) -> None:
        """Remove what an interrupted copy left."""
        for place in self._folder.iterdir():
            if place.name.startswith("."):
                place.unlink()

    def fetch(self, image: ImageRelease, medium: Medium, listed: frozenset[str]) -> bool:
        """Have the bundle of a wanted image here: it is, or it is taken from the carrier. False where it is on neither.

        BundleTruncated, BundleTampered, BundleNoRoom; then nothing has changed but what was old and in the way.
        """
        target = Target(image.bundle.target, image.bundle.length, image.bundle.sha256)
        place = self._place(image)
        if place.exists():  # it got its name when it had been hashed
            return True
        if target.file not in listed:
            log.info("image %s is wanted; its bundle is not on this carrier", image.version)
            return False
        self._make_room(target.length)
        with medium.reading(target.file) as read:
            try:
                durable.write_pieces(place, pieces(target, read), 0o644)
            except LengthWrong as wrong:
                raise BundleTruncated(path=target.path, **_found(wrong)) from None
            except DigestWrong:
                raise BundleTampered(path=target.path, expected=target.sha256) from None
        return True

    def settle(self, image: ImageRelease | None) -> None:
        """Finish an import that was cut off between staging and saying what is wanted."""
        if image is not None and self._place(image).exists() and not self._wanted.exists():
            self.want(image)

    def want(self, image: ImageRelease | None) -> None:
        """Say which bundle is wanted, in one step; the others go. Said again, it asks the updater again."""
        if image is None:
            self._wanted.unlink(missing_ok=True)
            durable.fsync_dir(self._folder)
        else:
            bundle = image.bundle
            record = {"schema": 1, "version": str(image.version), "target": bundle.target, "sha256": bundle.sha256}
            durable.write_atomic(self._wanted, strict_json.encode(record), 0o644)
            log.info("image %s is wanted, and its bundle is here", image.version)
        self._remove_all_but(None if image is None else self._place(image))

    def _make_room(self, length: int) -> None:
        needed = length + RESERVE
        if self._free() < needed and self._old():
            self._wanted.unlink(missing_ok=True)
            durable.fsync_dir(self._folder)
            self._remove_all_but(None)
        if (free := self._free()) < needed:
            raise BundleNoRoom(needed=needed, free=free)

    def _free(self) -> int:
        about = os.statvfs(self._folder)
        return about.f_bavail * about.f_frsize

    def _old(self) -> list[Path]:
        return [place for place in self._folder.iterdir() if _OURS.fullmatch(place.name)]

    def _remove_all_but(self, kept: Path | None) -> None:
        for place in self._old():
            if place != kept:
                place.unlink()

    def _place(self, image: ImageRelease) -> Path:
        return self._folder / f"{image.bundle.sha256}.raucb"


def _found(wrong: LengthWrong) -> dict[str, int]:
    return {name: int(str(wrong.details[name])) for name in ("found", "expected")}

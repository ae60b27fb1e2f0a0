"""The bundles of images at the release desk: big files, kept beside the generations and copied piece by piece.

- `bundles/<sha256>.raucb` in the desk's folder holds what was checked against its document when it was proposed; it is
  named by its content and written under another name first, so that a crash leaves a bundle whole or none.
- No generation holds a bundle. A carrier does (`copy_to`), checked once more on its way.
- What neither the site in force nor the open proposal lists is removed (`clean`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import durable
from appliance.release.errors import BundleNotKept, BundleOther, InputUnreadable
from appliance.verify.detached import pieces
from appliance.verify.site import SiteTrust
from appliance.verify.site_catalogue import Target
from appliance.verify.site_errors import SiteError


class Bundles:
    """The bundles in one desk's folder."""

    def __init__(self, desk: Path) -> None:
        self._folder = desk / "bundles"

    def keep(self, target: Target, file: Path) -> None:
        """Take in the bundle `file`, which must be what `target` says: BundleOther. Durable on return."""
        durable.make_dir(self._folder, 0o755)
        with _reading(file) as read:
            try:
                durable.write_pieces(self._place(target), pieces(target, read), 0o644)
            except SiteError as other:
                raise BundleOther(path=str(file), why=other.engineer_sentence()) from None

    def require(self, targets: Iterable[Target]) -> None:
        """Refuse (BundleNotKept) where a listed bundle is not here."""
        for target in targets:
            if not self._place(target).exists():
                raise BundleNotKept(path=target.path)

    def copy_to(self, target: Target, carrier: Path) -> None:
        """Write a bundle to its place on a carrier, checked on the way."""
        self.require([target])
        copy = carrier / target.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _reading(self._place(target)) as read, copy.open("xb") as out:
            for piece in pieces(target, read):
                out.write(piece)

    def clean(self, listed: Iterable[Target]) -> None:
        """Remove what is not listed, and what a crash left of one."""
        wanted = {self._place(target) for target in listed}
        for place in self._folder.iterdir() if self._folder.exists() else ():
            if place not in wanted:
                place.unlink()

    def _place(self, target: Target) -> Path:
        return self._folder / f"{target.sha256}.raucb"


def present(site: SiteTrust, folder: Path) -> tuple[str, ...]:
    """The detached targets whose files lie in a repository or on a carrier, each read to its end; a wrong one is
    refused with the station's own code."""
    found = []
    for target in site.detached:
        if (folder / target.file).exists():
            with _reading(folder / target.file) as read:
                for _ in pieces(target, read):
                    pass
            found.append(target.path)
    return tuple(found)


@contextmanager
def _reading(file: Path) -> Iterator[Callable[[int], bytes]]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputUnreadable(path=str(file), why=errno.errorcode.get(error.errno or 0, "error")) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputUnreadable(path=str(file), why="it is no regular file")
        yield lambda size: os.read(descriptor, size)
    finally:
        os.close(descriptor)

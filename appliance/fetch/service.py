"""`python -m appliance.fetch`: the site's carrier is fetched into a folder of its own, for intake to take from there.

    roots, timestamp, snapshot, targets, approvals -> verified from the pinned root -> the targets that they list
        -> the one bundle that is wanted -> `carrier` in one step -> `ready.json`

- Only names that verified metadata gives are asked for, each up to the length that it states. What comes is compared
  with what was approved before it is kept; intake verifies all of it again, and is the one who decides.
- Files that are here already are not fetched again; of a bundle what came before a cut is kept, and the rest asked for.
- `carrier` is replaced under a lock that intake holds while it reads. Everything here can be fetched again: a power cut
  costs time, and `ready.json` is written when the rest is on the disk.
- No failure is anybody's but the journal's: it is told by its name (`PL-FET-…`) and the program ends well.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.fetch.errors import AnswerOther, FetchError, NoRoom
from appliance.fetch.http import Server
from appliance.station import Site, StationError, Surroundings, describe, find_site
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import Target
from appliance.verify.site_chain import MAX_ROOT, MAX_ROOTS, MAX_SNAPSHOT, MAX_TARGETS, MAX_TIMESTAMP, parse_root
from appliance.verify.site_errors import SiteError

log = logging.getLogger("proofline.fetch")

RESERVE: Final = 128 << 20
_MAX_APPROVAL = 1 << 16


class Fetch:
    """One run. `folder` is this service's own; `bundles` is where intake keeps the wanted bundle."""

    def __init__(
        self, folder: Path, server: Server, site: Site, *, compatible: str, version: str, bundles: Path
    ) -> None:
        self._folder, self._server, self._site = folder, server, site
        self._compatible, self._version, self._bundles = compatible, version, bundles
        self._next, self._carrier = folder / "next", folder / "carrier"

    def run(self) -> bool:
        """Fetch; whether there was anything new. FetchError or SiteError."""
        self._next.mkdir(mode=0o755, exist_ok=True)
        self._metadata()
        try:
            trust = SiteTrust.verify(Directory(self._next), self._site.root)
        except SiteError:
            shutil.rmtree(self._next / "metadata")
            raise
        if self._is_here(trust):
            return False
        targets = [trust.targets[path] for path in trust.attached]
        self._make_sure_of_room(sum(target.length for target in targets))
        for target in targets:
            self._target(target)
        wanted = self._wanted(trust)
        if wanted is not None:
            self._make_sure_of_room(2 * wanted.length)  # intake makes a copy
            self._target(wanted)
            targets.append(wanted)
        self._drop_strangers({target.file for target in targets})
        self._publish(trust)
        return True

    def _metadata(self) -> None:
        """The chain of metadata as the server has it, afresh: what it says is not believed before it is verified."""
        shutil.rmtree(self._next / "metadata", ignore_errors=True)
        shutil.rmtree(self._next / "approvals", ignore_errors=True)
        (self._next / "metadata").mkdir()
        pinned = parse_root(self._site.root, "the pinned root")[0].version
        self._keep(f"metadata/{pinned}.root.json", self._site.root)
        for version in range(pinned + 1, MAX_ROOTS + 1):
            if not self._small(f"metadata/{version}.root.json", MAX_ROOT):
                break
        self._small("metadata/timestamp.json", MAX_TIMESTAMP)
        snapshot = self._named("metadata/timestamp.json", "snapshot.json", "snapshot", MAX_SNAPSHOT)
        targets = self._named(snapshot, "targets.json", "targets", MAX_TARGETS)
        approved = targets.removeprefix("metadata/").partition(".")[0]
        for person in self._people():
            self._small(f"approvals/{approved}/{person}.json", _MAX_APPROVAL)

    def _named(self, by: str, entry: str, role: str, limit: int) -> str:
        """Fetch the file whose version the file `by` gives; its path."""
        content = Directory(self._next).read(by, MAX_TARGETS)
        try:
            version = strict_json.decode(content or b"")["signed"]["meta"][entry]["version"]  # type: ignore[index]  # refused below
            path = f"metadata/{int(version)}.{role}.json"
        except (ProoflineError, KeyError, TypeError, ValueError, IndexError):
            raise AnswerOther(url=by, why=f"it names no version of {entry}") from None
        self._small(path, limit)
        return path

    def _people(self) -> list[str]:
        """The persons of the newest root that was fetched."""
        newest = max((self._next / "metadata").glob("*.root.json"), key=lambda path: int(path.name.partition(".")[0]))
        ring = parse_root(newest.read_bytes(), newest.name)[1]
        return sorted({str(ring.keys[keyid].person) for keyid in ring.roles["targets"]})

    def _small(self, path: str, limit: int) -> bool:
        content = self._server.get(path, limit)
        if content is not None:
            self._keep(path, content)
        return content is not None

    def _keep(self, path: str, content: bytes) -> None:
        place = self._next / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def _wanted(self, trust: SiteTrust) -> Target | None:
        """The bundle to fetch: of the image that this station wants, does not run, and does not have."""
        image = trust.wanted_image(self._compatible, self._site.station)
        if image is None or str(image.version) == self._version:
            return None
        if (self._bundles / f"{image.bundle.sha256}.raucb").exists():
            return None
        return Target(image.bundle.target, image.bundle.length, image.bundle.sha256)

    def _is_here(self, trust: SiteTrust) -> bool:
        """Whether the carrier of last time is this one, with the bundle that is wanted now."""
        try:
            ready = strict_json.decode(Directory(self._folder).read("ready.json", 4_096) or b"")
            if ready != _about(trust):
                return False
            wanted = self._wanted(SiteTrust.verify(Directory(self._carrier), self._site.root))
        except ProoflineError:
            return False
        return wanted is None or (self._carrier / wanted.file).exists()

    def _target(self, target: Target) -> None:
        """Have a target's file in `next`: shared with the carrier of last time, gone on with, or fetched."""
        place = self._next / target.file
        if place.exists():
            return  # it got its name when it was complete and right
        place.parent.mkdir(parents=True, exist_ok=True)
        before = self._carrier / target.file
        if before.exists():
            os.link(before, place)
            return
        part = place.with_name(f"{place.name}.part")
        with part.open("r+b" if part.exists() else "w+b") as file:
            start = min(os.fstat(file.fileno()).st_size, target.length)
            for at, piece in self._server.pieces(target.file, target.length, start) if start < target.length else ():
                file.seek(at)
                file.write(piece)
            file.truncate(target.length)
            file.seek(0)
            digest = sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() != target.sha256:
            part.unlink()
            raise AnswerOther(url=target.file, why="its SHA-256 is another")
        part.rename(place)

    def _drop_strangers(self, wanted: set[str]) -> None:
        """What nobody lists any more is not handed on."""
        for place in sorted((self._next / "targets").rglob("*"), reverse=True):
            if place.is_dir():
                if not any(place.iterdir()):
                    place.rmdir()
            elif str(place.relative_to(self._next)) not in wanted:
                place.unlink()

    def _make_sure_of_room(self, needed: int) -> None:
        about = os.statvfs(self._folder)
        free = about.f_bavail * about.f_frsize
        if free < needed + RESERVE:
            raise NoRoom(needed=needed + RESERVE, free=free)

    def _publish(self, trust: SiteTrust) -> None:
        (self._folder / "lock").touch(mode=0o644)
        with (self._folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self._folder / "ready.json").unlink(missing_ok=True)
            shutil.rmtree(self._carrier, ignore_errors=True)
            self._next.rename(self._carrier)
            os.sync()
            durable.write_atomic(self._folder / "ready.json", strict_json.encode(_about(trust)), 0o644)


def _about(trust: SiteTrust) -> dict[str, object]:
    return {"schema": 1, "versions": trust.versions.as_record(), "digest": trust.digest}


def main() -> None:
    """Fetch once; every outcome is a line in the journal."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    os.umask(0o022)
    surroundings = Surroundings.from_environ()
    site = find_site(surroundings.site)
    if isinstance(site, StationError) or site.carrier is None:
        log.info("no carrier's address: releases come by stick")
        return
    image = describe().image or {}
    fetch = Fetch(
        surroundings.state,
        Server(site.carrier),
        site,
        compatible=str(image.get("compatible")),
        version=str(image.get("version")),
        bundles=Path(os.environ.get("PROOFLINE_BUNDLES", "/nonexistent")),
    )
    try:
        new = fetch.run()
    except (FetchError, SiteError) as refusal:
        log.warning("%s", refusal)
    except OSError as error:
        log.warning("%s", durable.StorageFailed(path=str(error.filename or "storage")[-80:], why=str(error.strerror)))
    else:
        log.info("%s: %s", site.carrier, "a carrier is here" if new else "nothing new")

"""`python -m appliance.fetch`: the site's carrier is fetched into a folder of its own, for intake to take from there.

    roots, timestamp, snapshot, targets, approvals -> verified from the pinned root -> the targets that they list
        -> the one bundle that is wanted -> `carrier` in one step -> `ready.json`
    what came and is not the site's -> `refused` in one step -> `refused.json`

- Only names that verified metadata gives are asked for, each up to the length that it states. What comes is compared
  with what was approved before it is kept; intake verifies all of it again, and is the one who decides.
- What came whole and is not what the site approved is handed to intake as it came, for intake to refuse it by name and
  on record: metadata alone, or a carrier with the file that is wrong in it.
- A big file that was wrong is left alone for some hours, unless the site's word is another by then: it costs `WRONG`
  bytes an hour, whatever its size.
- Files that are here already are not fetched again; of a bundle what came before a cut is kept, and the rest asked for.
  A file is called wrong only when all of it came in one piece.
- Everything here can be fetched again: a power cut costs time (`handover`).
- A server that is silent, slow, broken or elsewhere is nobody's business but the journal's: it is told by its name
  (`PL-FET-…`) and the program ends well.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from appliance import durable
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.fetch.errors import AnswerOther, FetchError, NoRoom, ServerRefused
from appliance.fetch.handover import Handover, read_record
from appliance.fetch.http import Server
from appliance.station import Site, StationError, Surroundings, describe, find_site
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import Target
from appliance.verify.site_chain import (
    MAX_ROOT,
    MAX_ROOTS,
    MAX_SNAPSHOT,
    MAX_TARGETS,
    MAX_TIMESTAMP,
    MAX_VERSION,
    follow_root,
    parse_root,
)
from appliance.verify.site_errors import SiteError
from appliance.verify.site_keys import KeyRing
from appliance.verify.tuf_metadata import Root

log = logging.getLogger("proofline.fetch")

RESERVE: Final = 128 << 20
WRONG: Final = 16 << 20
"""Bytes an hour (that is, a run) that a server may cost with files that are not what was approved."""
_MAX_APPROVAL = 1 << 16
_WRONG = "its SHA-256 is another"


class Fetch:
    """One run. `folder` is this service's own; `bundles` is where intake keeps the wanted bundle."""

    def __init__(
        self, folder: Path, server: Server, site: Site, *, compatible: str, verity: str, bundles: Path
    ) -> None:
        self._folder, self._server, self._site = folder, server, site
        self._compatible, self._verity, self._bundles = compatible, verity, bundles
        self._next, self._waiting = folder / "next", folder / "waiting.json"
        self._handover = Handover(folder)

    def run(self) -> bool:
        """Fetch; whether there was anything new. FetchError or SiteError."""
        self._next.mkdir(mode=0o755, exist_ok=True)
        pinned = parse_root(self._site.root, "the pinned root")
        targets: list[Target] = []
        try:
            self._metadata(*pinned)
            trust = SiteTrust.verify(Directory(self._next), self._site.root)
            if self._is_here(trust):
                self._handover.withdraw()
                return False
            self._rest(trust)
            targets = [trust.targets[path] for path in trust.attached]
            wrong = self._fetch(targets)
            wanted = None if wrong else self._wanted(trust)
        except SiteError:
            self._refuse(targets, {})
            raise
        if wanted is not None:
            targets.append(wanted)
            wrong = self._fetch([wanted], besides=wanted.length)  # intake makes a copy
        if wrong:
            self._refuse(targets, wrong)
            self._rest_from_now(trust, [target for target in targets if target.file in wrong])
            raise AnswerOther(url=next(iter(wrong)), why=_WRONG)
        self._drop_strangers({target.file for target in targets})
        with self._handover.replacing(self._handover.carrier, _about(trust)):
            self._next.rename(self._handover.carrier)
        self._handover.withdraw()
        return True

    def _metadata(self, root: Root, ring: KeyRing) -> None:
        """The chain of metadata as the server has it, afresh, as far as it leads: what does not hold ends it here or
        where it is verified. SiteError, or FetchError where the server has nothing to offer."""
        shutil.rmtree(self._next / "metadata", ignore_errors=True)
        shutil.rmtree(self._next / "approvals", ignore_errors=True)
        self._keep(f"metadata/{root.version}.root.json", self._site.root)
        while root.version < MAX_ROOTS:
            path = f"metadata/{root.version + 1}.root.json"
            if self._small(path, MAX_ROOT) is None:
                break
            document = Directory(self._next).read(path, MAX_ROOT) or b""  # where it is too long, it says so
            root, ring = follow_root(document, path, root, ring)
        by = self._small("metadata/timestamp.json", MAX_TIMESTAMP)
        if by is None:
            raise ServerRefused(url="metadata/timestamp.json", status=404)
        if (version := _version(by, "snapshot.json")) is None:
            return
        by = self._small(f"metadata/{version}.snapshot.json", MAX_SNAPSHOT)
        if by is None or (version := _version(by, "targets.json")) is None:
            return
        self._small(f"metadata/{version}.targets.json", MAX_TARGETS)
        for person in sorted({str(ring.keys[keyid].person) for keyid in ring.roles["targets"]}):
            self._small(f"approvals/{version}/{person}.json", _MAX_APPROVAL)

    def _small(self, path: str, limit: int) -> bytes | None:
        content = self._server.get(path, limit)
        if content is not None:
            self._keep(path, content)
        return content

    def _keep(self, path: str, content: bytes) -> None:
        place = self._next / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with _opened(place) as file:
            _write(file, content, 0)

    def _wanted(self, trust: SiteTrust) -> Target | None:
        """The bundle to fetch: of the image that this station wants, does not run, and does not have."""
        image = trust.wanted_image(self._compatible, self._site.station)
        if image is None or image.verity == self._verity:
            return None
        if (self._bundles / f"{image.bundle.sha256}.raucb").exists():
            return None
        return Target(image.bundle.target, image.bundle.length, image.bundle.sha256)

    def _is_here(self, trust: SiteTrust) -> bool:
        """Whether the carrier of last time is this one, with the bundle that is wanted now."""
        carrier = self._handover.carrier
        try:
            if self._handover.sign(carrier) != _about(trust):
                return False
            wanted = self._wanted(SiteTrust.verify(Directory(carrier), self._site.root))
        except ProoflineError:
            return False
        return wanted is None or (carrier / wanted.file).exists()

    def _fetch(self, targets: list[Target], *, besides: int = 0) -> dict[str, str]:
        """Have these files in `next`: those of last time, and the others as the server has them. For each that is
        wrong, the SHA-256 of what came. `besides` are bytes that somebody else will need."""
        missing = [target for target in targets if not self._kept(target)]
        for target in missing:
            if target.length > WRONG:
                self._handover.drop(target.file)
        self._make_sure_of_room(sum(target.length for target in missing) + besides)
        found = {target: self._target(target) for target in missing}
        return {target.file: digest for target, digest in found.items() if digest != target.sha256}

    def _kept(self, target: Target) -> bool:
        place, before = self._next / target.file, self._handover.carrier / target.file
        if place.exists():
            return True  # it got its name when it was complete and right
        place.parent.mkdir(parents=True, exist_ok=True)
        if not before.exists():
            return False
        os.link(before, place)
        return True

    def _target(self, target: Target) -> str:
        """Fetch a file, or go on with it; the SHA-256 of what came. Where that is wrong, it stays a `.part`."""
        with _opened(self._part(target)) as file:
            begun = min(os.fstat(file).st_size, target.length)
            digest = self._pieces(target, file, begun)
            if digest != target.sha256 and begun:  # it may be the halves of two files, or what a power cut left
                digest = self._pieces(target, file, 0)
        if digest == target.sha256:
            self._part(target).rename(self._next / target.file)
        return digest

    def _pieces(self, target: Target, file: int, start: int) -> str:
        os.ftruncate(file, start)
        for at, piece in self._server.pieces(target.file, target.length, start) if start < target.length else ():
            _write(file, piece, at)
        os.fsync(file)  # the name that says it is right must not outlive the bytes
        digest, at = sha256(), 0
        while piece := os.pread(file, 1 << 20, at):
            digest.update(piece)
            at += len(piece)
        return digest.hexdigest()

    def _part(self, target: Target) -> Path:
        return self._next / f"{target.file}.part"

    def _refuse(self, targets: list[Target], wrong: dict[str, str]) -> None:
        """Hand to intake what came: the metadata, and with a `wrong` file all that belongs to it."""
        came = {str(place.relative_to(self._next)): sha256(place.read_bytes()).hexdigest() for place in self._came()}
        digest = sha256(strict_json.encode({**came, **wrong})).hexdigest()
        about, place = {"schema": 1, "digest": f"sha256:{digest}"}, self._handover.refused
        if not wrong and self._handover.sign(place) == about:
            return
        with self._handover.replacing(place, about):
            for one in self._came():
                _move(one, place / one.relative_to(self._next))
            for target in targets:
                there = place / target.file
                there.parent.mkdir(parents=True, exist_ok=True)
                if target.file in wrong:
                    self._part(target).rename(there)
                else:
                    os.link(self._next / target.file, there)

    def _came(self) -> list[Path]:
        """The files of the metadata that came."""
        return [place for name in ("metadata", "approvals") for place in (self._next / name).rglob("*.json")]

    def _rest(self, trust: SiteTrust) -> None:
        """Count the hours in which a wrong file is left alone: AnswerOther while there are any."""
        match read_record(self._waiting):
            case {"for": reason, "file": str(file), "runs": int(runs)} if runs > 0 and reason == self._reason(trust):
                self._keep_waiting(trust, file, runs - 1)
                raise AnswerOther(url=file, why=f"{_WRONG}; it is asked for again in {runs} h")

    def _rest_from_now(self, trust: SiteTrust, wrong: list[Target]) -> None:
        self._keep_waiting(trust, wrong[0].file, sum(target.length for target in wrong) // WRONG)

    def _keep_waiting(self, trust: SiteTrust, file: str, runs: int) -> None:
        record = {"schema": 1, "for": self._reason(trust), "file": file, "runs": runs}
        durable.write_atomic(self._waiting, strict_json.encode(record), 0o644)

    def _reason(self, trust: SiteTrust) -> dict[str, object]:
        """What makes a file worth asking for again when it changes: the site's word, or the image that runs."""
        return {**_about(trust), "image": self._verity}

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


def _version(document: bytes, entry: str) -> int | None:
    """The version of a metadata file that another one gives; None where it gives none (which is refused, by name, where
    the chain is verified)."""
    try:
        version = strict_json.decode(document)["signed"]["meta"][entry]["version"]  # type: ignore[index]  # likewise
    except (ProoflineError, KeyError, TypeError, IndexError):
        return None
    return version if type(version) is int and 0 < version <= MAX_VERSION else None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file to write to, made where it is not there."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, content: bytes, at: int) -> None:
    while content:
        written = os.pwrite(file, content, at)
        content, at = content[written:], at + written


def _move(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)


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
        verity=str(image.get("verity")),
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

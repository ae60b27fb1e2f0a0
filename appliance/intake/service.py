"""Intake: a carrier is accepted as a whole, or nothing changes.

    copy -> verify from the pinned root -> documents fit -> firmware fits -> not older -> not expired
         -> TUF client agrees -> take the wanted image's bundle -> stage -> flip `current` -> raise the floor
         -> say which bundle is wanted

- What is verified and staged is a private copy; staged is only what the verified metadata speaks of.
- `current` changes in one step. A crash leaves the old generation or the new one; what else it leaves is removed, and
  the floor is brought up to what is current, when intake starts.
- Expired metadata is refused where the clock can tell, also when the end lies inside the clock's uncertainty. Where the
  clock has no reading the carrier is staged: whoever acts on a release asks for the expiry at that moment, and the
  signer does not sign without a clock.
- Every refused carrier is a record in the recorder's journal, where the recorder can be reached; one that nobody brings
  again and again is one record (`on_record`).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.durable import StorageFailed
from appliance.errors import ProoflineError
from appliance.generations import Content, Generations
from appliance.intake import carrier as carriers
from appliance.intake import stick, tuf_client
from appliance.intake.bundle import Bundles, Running
from appliance.intake.errors import CarrierExpired, CarrierExpiryUnsure, CarrierForked
from appliance.intake.fetched import Fetched
from appliance.intake.firmware import check_firmware
from appliance.intake.floor import FloorStore
from appliance.intake.media import Folder, Medium
from appliance.intake.on_record import OnRecord
from appliance.intake.pins import check_pins
from appliance.ipc import Caller, Client, serve
from appliance.station import Site, StationError, Surroundings, describe, find_site
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_catalogue import check_references
from appliance.verify.site_chain import MAX_TARGETS, parse_root
from appliance.verify.site_images import ImageRelease
from appliance.verify.site_times import Interval, format_time, parse_time

log = logging.getLogger("proofline.intake")

ACCESS: dict[str, frozenset[str]] = {
    "Import": frozenset({"ops"}),
    "Describe": frozenset({"ops", "health", "panel", "line", "signer"}),
}
_KEPT = 1
"""Generations kept besides the current one: a reader that began with the last one can finish."""


class Intake:
    """The one way in.

    `private` is a folder for copies, made and removed for each import; nothing in it outlives one, so nothing in it
    need be durable. `now` gives the clock's interval or None; `journal` puts a refusal on record, or raises why not.
    """

    def __init__(
        self,
        *,
        staged: Path,
        state: Path,
        private: Path,
        pinned_root: bytes,
        now: Callable[[], Interval | None],
        journal: Callable[[ProoflineError], None],
        bundles: Bundles | None = None,
        running: Running | None = None,
    ) -> None:
        self._generations = Generations(staged, keep=_KEPT, public=True)
        self._floor = FloorStore(state)
        self._private = private
        self._pinned_root = pinned_root
        self._pinned_version = parse_root(pinned_root, "the pinned root")[0].version
        self._now = now
        self._journal = journal
        self._bundles = bundles
        self._running = running
        self._lock = threading.Lock()
        self._last: dict[str, str | None] | None = None
        self._recover()

    def import_(self, caller: Caller, carrier: str) -> dict[str, Any]:
        """Verify and stage a carrier; see the interface."""
        return self.take(caller.role, lambda: Folder(carrier))

    def take(self, source: str, medium: Callable[[], Medium], *, on_record: OnRecord | None = None) -> dict[str, Any]:
        """Verify and stage the carrier on a medium that came by `source`. Every refusal is told and journalled, except
        for the one that is `on_record`."""
        with self._lock:
            at = self._now()
            try:
                found = self._import(medium(), at)
            except ProoflineError as refusal:
                self._refused(source, at, refusal, on_record)
                raise
            except OSError as error:
                failed = StorageFailed(path=str(error.filename or "storage")[-80:], why=error.strerror or "error")
                self._refused(source, at, failed, on_record)
                raise failed from error
            finally:
                _empty(self._private)
            if on_record is not None:
                on_record.forget()
            self._note(source, at, "unchanged" if found["unchanged"] else "accepted")
            log.info("carrier from %s: targets %d, generation %d", source, found["targets"], found["generation"])
            return found

    def _refused(self, source: str, at: Interval | None, refusal: ProoflineError, on_record: OnRecord | None) -> None:
        log.warning("carrier from %s refused: %s", source, refusal)
        self._note(source, at, refusal.code)
        if on_record is None:
            _record(self._journal, refusal)
        elif on_record.code() != refusal.code and _record(self._journal, refusal):
            on_record.keep(refusal.code)

    def _note(self, source: str, at: Interval | None, result: str) -> None:
        self._last = {"when": format_time(at.latest) if at else None, "from": source, "result": result}

    def describe(self, caller: Caller) -> dict[str, Any]:
        """What is current; nulls while nothing that can be verified is staged."""
        del caller
        with self._lock:
            trust = self._current()
            generation, last = self._generations.current(), self._last
        if trust is None:
            return {**_NOTHING, "generation": generation, "last_carrier": last}
        wanted = self._running.wants(trust) if self._running else None
        return {
            "generation": generation,
            "root": trust.versions.root,
            "targets": trust.versions.targets,
            "expires": format_time(trust.expiry(None).until),
            "wanted_image": str(wanted.version) if wanted else None,
            "last_carrier": last,
        }

    def _import(self, medium: Medium, at: Interval | None) -> dict[str, Any]:
        _empty(self._private)
        copy, scratch = self._private / "copy", self._private / "scratch"
        for folder in (self._private, copy, scratch):
            folder.mkdir(mode=0o700)
        listed = carriers.copy(medium, copy)
        trust = SiteTrust.verify(Directory(copy), self._pinned_root)
        check_references(trust)
        check_firmware(trust)
        check_pins(trust)
        floor = self._floor.load()
        if floor is not None:
            floor.check(trust)
        _check_expiry(trust, at)
        self._floor.copy_trusted(self._private / "trusted")
        tuf_client.agree(copy, trust, self._pinned_root, trusted=self._private / "trusted", scratch=scratch, at=at)
        image = self._fetch(trust, medium, listed)
        before = self._current(whole=True)
        if before is not None and before.versions == trust.versions:
            _same_files(before, trust)
            generation, unchanged = self._generations.current() or 0, True
        else:
            generation, unchanged = self._stage(trust, copy), False
        self._floor.raise_to(trust, self._generations.path(generation))
        if self._bundles is not None:
            self._bundles.want(image)
        return {
            "generation": generation,
            "root": trust.versions.root,
            "targets": trust.versions.targets,
            "unchanged": unchanged,
        }

    def _fetch(self, trust: SiteTrust, medium: Medium, listed: frozenset[str]) -> ImageRelease | None:
        """The image that this station wants and whose bundle is here now."""
        if self._bundles is None or self._running is None:
            return None
        image = self._running.wants(trust)
        return image if image is not None and self._bundles.fetch(image, medium, listed) else None

    def _stage(self, trust: SiteTrust, copy: Path) -> int:
        source = Directory(copy)
        versions = trust.versions
        names = [f"metadata/{n}.root.json" for n in range(self._pinned_version, versions.root + 1)]
        names += [f"metadata/{versions.targets}.targets.json", f"metadata/{versions.snapshot}.snapshot.json"]
        names += ["metadata/timestamp.json"]
        names += [f"approvals/{versions.targets}/{one.person}.json" for one in trust.approvals]
        files: dict[str, Content] = {}
        for name in names:
            content = source.read(name, MAX_TARGETS)
            if content is not None:  # the pinned root itself need not be on the carrier
                files[name] = content
        for path in trust.attached:
            files[trust.targets[path].file] = _Reading(trust, path)
        prepared = self._generations.prepare(files)
        staged = SiteTrust.verify(Directory(prepared), self._pinned_root)
        _read_all(staged)
        return self._generations.publish(prepared)

    def _recover(self) -> None:
        """After a crash: no leftovers, and a floor that knows what is current."""
        _empty(self._private)
        self._generations.clean()
        if self._bundles is not None:
            self._bundles.recover()
        current = self._current(whole=True)
        if current is None:
            return
        if self._bundles is not None and self._running is not None:
            self._bundles.settle(self._running.wants(current))
        try:
            floor = self._floor.load()
            if floor is not None and floor.versions == current.versions:
                return
            if floor is not None:
                floor.check(current)  # a staging directory that went back does not take the floor with it
            self._floor.raise_to(current, self._generations.path(self._generations.current() or 0))
        except ProoflineError as error:
            log.warning("what is staged is not what was accepted: %s", error)
            _record(self._journal, error)

    def _current(self, *, whole: bool = False) -> SiteTrust | None:
        """The current generation, verified (with `whole`, every target as well); None where it does not hold."""
        generation = self._generations.current()
        if generation is None:
            return None
        try:
            trust = SiteTrust.verify(Directory(self._generations.path(generation)), self._pinned_root)
            if whole:
                _read_all(trust)
        except ProoflineError as error:
            log.warning("staged generation %d does not verify: %s", generation, error)
            return None
        return trust


_NOTHING: dict[str, Any] = {
    "generation": None,
    "root": None,
    "targets": None,
    "expires": None,
    "wanted_image": None,
    "last_carrier": None,
}
"""What there is to say while nothing is current."""


class NoIntake:
    """Intake on a station without a site: there is nobody whose word it could take, so every carrier is refused."""

    def __init__(self, reason: StationError, journal: Callable[[ProoflineError], None]) -> None:
        self._reason = reason
        self._journal = journal

    def import_(self, caller: Caller, carrier: str) -> dict[str, Any]:
        """Refused, for the reason that there is no site."""
        return self.take(caller.role, lambda: Folder(carrier))

    def take(self, source: str, medium: Callable[[], Medium], *, on_record: OnRecord | None = None) -> dict[str, Any]:
        """Refused likewise; the medium is not looked at."""
        del medium, on_record
        log.warning("carrier from %s refused: %s", source, self._reason)
        _record(self._journal, self._reason)
        raise self._reason.with_traceback(None)

    def describe(self, caller: Caller) -> dict[str, Any]:
        """Nothing is current."""
        del caller
        return dict(_NOTHING)


for _service in (Intake, NoIntake):
    setattr(_service, "import", _service.import_)  # the verb's name is a keyword: a handler cannot be written under it


class _Reading:
    """A target's bytes when their turn comes: memory holds one file at a time."""

    def __init__(self, trust: SiteTrust, path: str) -> None:
        self._trust, self._path = trust, path

    def __call__(self) -> bytes:
        return self._trust.read(self._path)


def _read_all(trust: SiteTrust) -> None:
    for path in trust.attached:
        trust.read(path)


def _same_files(before: SiteTrust, now: SiteTrust) -> None:
    if before.digest != now.digest or before.approvals != now.approvals:
        raise CarrierForked(role="targets", version=now.versions.targets)


def _check_expiry(trust: SiteTrust, at: Interval | None) -> None:
    expiry = trust.expiry(at)
    roles, until = ", ".join(expiry.roles), format_time(expiry.until)
    if at is None or expiry.status == "valid":
        return
    if expiry.status == "expired":
        raise CarrierExpired(roles=roles, until=until, earliest=format_time(at.earliest))
    raise CarrierExpiryUnsure(roles=roles, until=until, latest=format_time(at.latest))


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def clock_interval(clock: Client) -> Interval | None:
    """The clock's interval; None where it has none to give or does not answer."""
    try:
        verdict = clock.call("Read")["verdict"]
    except ProoflineError as error:
        log.warning("no reading of the clock: %s", error)
        return None
    if verdict["status"] not in ("Synchronized", "FreeRunning"):
        return None
    earliest, latest = parse_time(verdict["earliest"] or ""), parse_time(verdict["latest"] or "")
    return Interval(earliest, latest) if earliest and latest else None


def _record(journal: Callable[[ProoflineError], None], refusal: ProoflineError) -> bool:
    """Put a refusal on record; a recorder that cannot be reached does not change the refusal."""
    try:
        journal(refusal)
    except ProoflineError as error:
        log.warning("refusal %s is not on record: %s", refusal.code, error)
        return False
    return True


def journal_refusal(recorder: Client, refusal: ProoflineError) -> None:
    """Have the recorder note it."""
    recorder.call("JournalRefusal", kind="refusal", press=None, operator=None, refusal=refusal.as_record())


def running_here(site: Site) -> Running | None:
    """This station and its image; None where it runs none (a developer's machine)."""
    image = describe().image
    if image is None:
        return None
    return Running(site.station, str(image.get("compatible")), str(image.get("verity")))


def main() -> None:
    """Serve `io.proofline.intake`."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    surroundings = Surroundings.from_environ()
    clock, recorder = Client.for_role("clock", timeout_s=5.0), Client.for_role("recorder", timeout_s=5.0)
    site = find_site(surroundings.site)
    if isinstance(site, StationError):
        closed = NoIntake(site, lambda refusal: journal_refusal(recorder, refusal))
        serve("intake", closed, ACCESS, daemon=lambda stopping: stick.watch(closed, stopping))
        return
    bundles = os.environ.get("PROOFLINE_BUNDLES")
    intake = Intake(
        staged=surroundings.staged,
        state=surroundings.state,
        private=Path(os.environ.get("CACHE_DIRECTORY") or surroundings.state) / "incoming",
        pinned_root=site.root,
        now=lambda: clock_interval(clock),
        journal=lambda refusal: journal_refusal(recorder, refusal),
        bundles=Bundles(Path(bundles)) if bundles else None,
        running=running_here(site),
    )
    fetched = os.environ.get("PROOFLINE_FETCHED")
    besides = Fetched(Path(fetched), surroundings.state).look if fetched else lambda _: None
    serve("intake", intake, ACCESS, daemon=lambda stopping: stick.watch(intake, stopping, besides=besides))

"""`python -m appliance.update.updater`: the image that the site wants becomes the one that runs.

    what became of the last attempt -> what is wanted (from the site's root, here) -> the bundle is the promoted one
        -> it is for this board and fits -> RAUC: who signed -> RAUC: write, arm -> restart when the line is idle

- It trusts nothing that brought it the bundle: the staged generation is verified from the pinned root, the bundle is
  hashed here, keyring and document are approved targets.
- It runs at every boot after the slot was committed, and whenever intake says that a bundle is there. `wanted.json`
  only wakes it.
- An attempt is on record before RAUC begins and its outcome after. Power cut in between: the other slot cannot be
  started (`slots.set_bad`), and the next boot makes the attempt again.
- Every refusal is in the journal and in `status.json`; one that is new also goes to the recorder's refusal journal.
- It never restarts a station that works on a unit: it asks the line, and asks for the restart (`restart` in its runtime
  directory wakes a root unit) only when the line says that it has no unit.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance import durable, station
from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.intake.staged import StagedSite
from appliance.ipc import Client
from appliance.update import manifest, records
from appliance.update.decide import Idle, Install, Restart, Running, attempt, decide, fits, settle
from appliance.update.rauc import Rauc
from appliance.update.update_errors import BundleDigestWrong, BundleLengthWrong, BundleMissing
from appliance.verify.detached import pieces
from appliance.verify.site import SiteTrust
from appliance.verify.site_errors import DigestWrong, LengthWrong, NothingStaged
from appliance.verify.site_images import ImageRelease, parse_version

log = logging.getLogger("proofline.update")

_AGAIN_S = 2.0
_SECTOR = 512
_GROUP = {"a": 0, "b": 1}


@dataclass(frozen=True)
class Places:
    """Where things are; another place in a test."""

    site: Path
    staged: Path
    state: Path
    runtime: Path
    bundles: Path = Path("/var/lib/proofline/bundle")
    slots: Path = Path("/var/lib/proofline/slots")
    image: Path = Path("/usr/lib/proofline/image.json")
    blocks: Path = Path("/sys/class/block")

    @classmethod
    def from_environ(cls) -> Places:
        given = station.Surroundings.from_environ()
        return cls(given.site, given.staged, given.state, Path(os.environ["RUNTIME_DIRECTORY"]))


class Updater:
    """One run. `journal` puts a refusal on record, `line_busy` says why the line must not be disturbed."""

    def __init__(
        self,
        places: Places,
        rauc: Rauc,
        *,
        journal: Callable[[ProoflineError], None],
        line_busy: Callable[[], str | None],
    ) -> None:
        self._places = places
        self._rauc = rauc
        self._journal = journal
        self._line_busy = line_busy
        self._status: dict[str, object] = {}

    def run(self) -> None:
        """Do what there is to do. Refusals are told, not raised."""
        try:
            self._run()
        except ProoflineError as refusal:
            self._refuse(refusal)

    def _run(self) -> None:
        places = self._places
        running = running_image(places.image)
        committed = records.load_committed(places.slots)
        history, gave_up = settle(records.load_history(places.state), running)
        self._tell("looking", running=str(running.version), slot=running.slot, verity=running.verity)
        if gave_up is not None:
            self._refuse(gave_up)
        records.save_history(places.state, history)
        if committed is None or committed.boot_id != running.boot_id:
            self._idle("this boot was not found good yet")
            return
        self._status["floor"] = str(committed.floor)
        site = station.find_site(places.site)
        if isinstance(site, station.StationError):
            self._idle(site.code)
            return
        try:
            trust = StagedSite(places.staged, site.root).current()
        except NothingStaged:
            self._idle("nothing was released to this station yet")
            return
        wanted = trust.wanted_image(running.compatible, site.station)
        self._status["wanted"] = None if wanted is None else str(wanted.version)
        match decide(running, wanted, committed, history):
            case Idle(why):
                self._idle(why)
            case Restart(version):
                self._restart(str(version))
            case Install(image):
                self._install(image, trust, running, history)

    def _install(self, image: ImageRelease, trust: SiteTrust, running: Running, history: records.History) -> None:
        places = self._places
        bundle = places.bundles / f"{image.bundle.sha256}.raucb"
        if not bundle.exists() and not _asked_for(places.bundles / "wanted.json", image):
            self._idle(f"{image.version} is wanted, and its bundle was not brought yet")
            return
        history = history.add(attempt(image, running))
        try:
            self._tell("checking")
            self._check(image, trust, running, bundle)
            records.save_history(places.state, history)
            records.save_intended(places.state, records.Intended(image.version, image.floor, image.verity))
            log.info("installing %s in slot %s", image.version, running.other)
            self._rauc.install(
                bundle,
                str(image.version),
                f"boot.{_GROUP[running.other]}",
                lambda percent: self._tell("installing", percent=percent),
            )
        except ProoflineError as refusal:
            records.save_history(places.state, history.close("refused", refusal.code))
            raise
        records.save_history(places.state, history.close("installed"))
        log.info("%s is installed in slot %s", image.version, running.other)
        self._restart(str(image.version))

    def _check(self, image: ImageRelease, trust: SiteTrust, running: Running, bundle: Path) -> None:
        """All that can be said before RAUC begins."""
        version = str(image.version)
        try:
            with bundle.open("rb") as file:
                for _piece in pieces(trust.targets[image.bundle.target], file.read):
                    pass
                found = manifest.read(file)
                length = file.tell()
        except LengthWrong as error:
            raise BundleLengthWrong(version=version, **_pick(error, "found", "expected")) from None
        except DigestWrong:
            raise BundleDigestWrong(version=version, expected=image.bundle.sha256) from None
        except OSError as error:
            raise BundleMissing(version=version, why=error.strerror or "error") from None
        fits(found, image, running, partition_sizes(self._places.blocks, running.other))
        log.info("the bundle of %s is the promoted one: %d bytes", version, length)
        keyring = self._places.runtime / "keyring.pem"
        durable.write_atomic(keyring, trust.image_keyring().pem, 0o644)
        self._rauc.check(bundle, version, keyring)

    def _restart(self, version: str) -> None:
        self._tell("waiting for the line", wanted=version)
        said = ""
        while why := self._line_busy():
            if why != said:
                log.info("%s is installed, and its restart waits: %s", version, why)
                said = why
            time.sleep(_AGAIN_S)
        self._tell("restarting")
        log.info("restarting into %s", version)
        (self._places.runtime / "restart").touch()

    def _refuse(self, refusal: ProoflineError) -> None:
        log.warning("%s", refusal)
        before = self._status_before()
        self._tell("refused", refusal=refusal.as_record())
        if before != refusal.as_record():
            self._journal(refusal)

    def _idle(self, why: str) -> None:
        log.info("nothing to do: %s", why)
        self._tell("idle", why=why)

    def _status_before(self) -> object:
        try:
            return json.loads((self._places.state / "status.json").read_bytes()).get("refused_last")
        except (OSError, ValueError, AttributeError):
            return None

    def _tell(self, state: str, **facts: object) -> None:
        """`status.json`: for people, and for whoever shows it to them."""
        keep = self._status.get("refused_last", self._status_before())
        self._status |= facts
        self._status["refused_last"] = facts.get("refusal", keep)
        document = {"schema": 1, **self._status, "state": state}
        durable.write_atomic(self._places.state / "status.json", strict_json.encode(document), 0o644)


def running_image(path: Path) -> Running:
    """What runs. StationError where the image does not say it."""
    facts = station.describe(path)
    image = facts.image or {}
    version = parse_version(str(image.get("version")))
    names = [str(image.get(name, "")) for name in ("compatible", "verity", "slot")]
    if version is None or not all(names) or names[2].lower() not in _GROUP:
        raise station.SiteUnreadable(path=path.name, why="it does not say which image runs")
    return Running(names[0], version, names[1], names[2].lower(), facts.boot_id)


def partition_sizes(blocks: Path, slot: str) -> dict[str, int]:
    """The bytes of a slot's partitions, by what they hold; 0 for one that is not there."""
    sizes = dict.fromkeys(manifest.SLOT_IMAGES, 0)
    for about in blocks.glob("*/uevent"):
        name = dict(line.partition("=")[::2] for line in about.read_text("ascii").splitlines()).get("PARTNAME", "")
        for kind in sizes:
            if name == f"proofline-{kind}-{slot}":
                sizes[kind] = int((about.parent / "size").read_text("ascii")) * _SECTOR
    return sizes


def _asked_for(path: Path, image: ImageRelease) -> bool:
    """Whether intake said that this very image's bundle is there."""
    try:
        return bool(json.loads(path.read_bytes())["sha256"] == image.bundle.sha256)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _pick(error: ProoflineError, *names: str) -> dict[str, str | int | bool | None]:
    return {name: error.details.get(name) for name in names}


def _record(recorder: Client, refusal: ProoflineError) -> None:
    try:
        recorder.call("JournalRefusal", kind="refusal", press=None, operator=None, refusal=refusal.as_record())
    except ProoflineError as error:
        log.warning("refusal %s is not on record: %s", refusal.code, error)


def _line_busy(line: Client) -> str | None:
    """Why the line must not be disturbed now; None while it has no unit. A line that is silent may have one."""
    try:
        told = line.call("Describe")
    except ProoflineError as error:
        return f"the line is silent ({error.code})"
    return f"the line is {told['state']}" if told["gang"] else None


def main() -> int:
    """One run, with the station's own services."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    recorder, line = Client.for_role("recorder", timeout_s=30.0), Client.for_role("line", timeout_s=10.0)
    Updater(
        Places.from_environ(),
        Rauc(),
        journal=lambda refusal: _record(recorder, refusal),
        line_busy=lambda: _line_busy(line),
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())

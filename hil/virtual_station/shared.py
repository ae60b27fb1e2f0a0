"""What many image tests begin with, made once for each image and kept: a site's office, and stations that have booted.

    fresh()       -> Begun: a card as `proofline image write` writes it, never enrolled, booted, found good, frozen
    enrolled()    -> Begun: the same with the site's files on the card and an honest time server
    open_site(folder) -> DemoSite: a desk of one's own that goes on from the shared office, with the same people

- Kept below the stations' folder under the digest of the image's build record: for another image all is made anew.
  Several processes may ask at once; one makes, the others wait.
- What is kept is never changed: a station goes on from a copy, a site from a copy of its desk.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from appliance.card import device
from appliance.card import site as sites
from appliance.card.medium import Medium
from appliance.card.progress import Progress
from appliance.card.record import read_record
from appliance.card.write import write_card
from appliance.release.desk import Desk
from hil.local_station.office import SITE, STATION, VERSION, Wish, WorkOrder, open_office
from hil.local_station.place import CHECKOUT
from hil.release_desk import DemoSite
from hil.virtual_station.places import SCRATCH, STATIONS
from hil.virtual_station.station import CARD_BYTES, Frozen, VirtualStation
from hil.virtual_station.surroundings import TimeServer

TIME_SERVER = "10.0.2.2"
CARRIER = "http://10.0.2.2/"
"""Where an enrolled station asks for its carrier; nobody answers there unless a test has a WebServer."""
_FIRMWARE = CHECKOUT / "hil" / "firmware" / "build" / f"proofline-demo-{VERSION}-small.hex"


@dataclass(frozen=True)
class Begun:
    """A station that has booted once: frozen as it ran, and what it had said on its console."""

    frozen: Frozen
    console: str


def fresh() -> Begun:
    """A station that is not enrolled, as it runs after its first boot."""
    return _booted("fresh", sites.no_site())


def enrolled() -> Begun:
    """A station whose card was written with the site's files, as it runs after its first boot; it has no token."""
    return _booted("enrolled", site_card().read_bytes())


def go_on(station: VirtualStation) -> TimeServer:
    """Power on a frozen station beside a time server that tells its time: the outside's went on while it was frozen.
    From the station's next boot on its time is the outside's again: tell(offset_ms=0)."""
    server = TimeServer(station.network)
    server.tell(silent=True)
    station.power_on()
    server.tell(silent=False, offset_ms=-station.lag_ms)
    return server


def office() -> Path:
    """The folder of the shared site; open_site makes desks that go on from it."""
    wish = Wish((WorkOrder("WO-1", 10),), firmware=str(_FIRMWARE))

    def make(folder: Path) -> None:
        open_office(folder, wish)

    return _kept("office", make)


def open_site(folder: Path) -> DemoSite:
    """A desk in `folder` with the shared site's people and releases. One site is one SoftHSM: all of these are one."""
    shutil.copytree(office(), folder, symlinks=True, ignore=shutil.ignore_patterns("tokens"))
    return DemoSite(folder, site=SITE)


def site_card() -> Path:
    """The site partition of the shared site's station."""

    def make(folder: Path) -> None:
        files = folder / "files"
        files.mkdir()
        (files / "root.json").write_bytes(Desk(office() / "desk").pinned_root)
        about = {"schema": 1, "station": STATION, "site": SITE, "carrier": CARRIER}
        (files / "station.json").write_text(json.dumps(about), "utf-8")
        (files / "site.sources").write_text(f"server {TIME_SERVER} iburst minpoll 0 maxpoll 4\n", "utf-8")
        (folder / "site.erofs").write_bytes(sites.read_folder(files).image())

    return _kept("site", make) / "site.erofs"


def _booted(name: str, site: bytes) -> Begun:
    def make(folder: Path) -> None:
        card = folder / "written.raw"
        write(card, site)
        with VirtualStation(f"make-{name}", like=card) as station:
            card.unlink()
            TimeServer(station.network)
            station.power_on()
            station.wait_ready()
            station.wait_kept("a")
            (folder / "console.txt").write_text(station.console(), "utf-8")
            station.freeze(folder)

    folder = _kept(name, make)
    return Begun(Frozen.kept_in(folder), (folder / "console.txt").read_text("utf-8"))


def write(card: Path, site: bytes) -> None:
    """A card as `proofline image write` writes it; the stations that others begin with boot from such."""
    out = SCRATCH / "out"
    with card.open("wb") as file:
        file.truncate(CARD_BYTES)
    with Medium(device.look(card)) as medium:
        write_card(out / "disk.raw", read_record(out / "build.json"), site, medium, Progress(io.StringIO()))


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, once for each image."""
    key = hashlib.sha256((SCRATCH / "out" / "build.json").read_bytes()).hexdigest()[:16]
    shared = STATIONS / "shared"
    shared.mkdir(parents=True, exist_ok=True)
    folder = shared / key / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "done").exists():
            return folder
        for old in shared.iterdir():
            if old.is_dir() and old.name != key:
                shutil.rmtree(old)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        (folder / "done").touch()
    return folder

"""What a service knows of the station it runs on, before anybody tells it anything.

- The surroundings come from the environment that the supervisor made; a missing one is a refusal, not a default.
- The site's anchor is read once and its digest goes into every manifest.
- A station without its site's files is *not enrolled*: that is no fault. It runs, says so and refuses by that name.
  Files that are there and wrong are named as such; either way the services answer, and nothing is done for a site.
- A station is an *appliance* only where the image says so on its read-only root; anything else is *development*.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from appliance.errors import ProoflineError

log = logging.getLogger("proofline.station")

_IMAGE = Path("/usr/lib/proofline/image.json")
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}", re.ASCII)
_CARRIER = re.compile(r"(https?)://([0-9.]{7,15})(?::(80|443))?((?:/[A-Za-z0-9._~-]{1,64}){0,8}/?)", re.ASCII)
_MAX_FILE = 1024 * 1024


class StationError(ProoflineError):
    """The station does not know what it needs to know of itself."""


class SurroundingsMissing(StationError):
    code = "PL-STA-001"
    operator = "The station was not started properly. Call the line engineer."
    engineer = "The environment variable {name} is not set."
    action = "Start the services through their units, not by hand."


class SiteUnreadable(StationError):
    code = "PL-STA-002"
    operator = "The station is not set up for this site. Call the line engineer."
    engineer = "{path}: {why}."
    action = "Write the card again with this site's files."


class NotEnrolled(StationError):
    code = "PL-STA-003"
    operator = "This station is not enrolled. Call the line engineer."
    engineer = "{path} holds no site: neither root.json nor station.json."
    action = "Write the card with this site's files, and have the station's keys approved at the release desk."


@dataclass(frozen=True)
class Surroundings:
    """Where a service finds the others' doors and its own files. See docs/contracts.md section 1."""

    run: Path
    site: Path
    staged: Path
    log: Path
    state: Path

    @classmethod
    def from_environ(cls) -> Surroundings:
        return cls(
            run=_path("PROOFLINE_RUN"),
            site=_path("PROOFLINE_SITE"),
            staged=_path("PROOFLINE_STAGED"),
            log=_path("PROOFLINE_LOG"),
            state=_path("STATE_DIRECTORY"),
        )


@dataclass(frozen=True)
class CarrierAddress:
    """Where the site serves its carrier: an IPv4 address (there is no resolver), on one of the two ports that the
    firewall knows."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Site:
    """Who this station is and whom it trusts. `anchor` is the SHA-256 of the pinned root, in hex. `carrier`: where its
    releases may be fetched, None where they come by stick only."""

    station: str
    site: str
    root: bytes
    anchor: str
    carrier: CarrierAddress | None = None


@dataclass(frozen=True)
class StationFacts:
    """kind: "development" or "appliance"; image: what the image says of itself; boot_id: 32 hex digits."""

    kind: str
    image: dict[str, object] | None
    boot_id: str


def load_site(directory: Path) -> Site:
    """The site's files as they were written with the card; NotEnrolled where there are none, SiteUnreadable where they
    are not as they should be."""
    if not any(os.path.lexists(directory / name) for name in ("root.json", "station.json")):
        raise NotEnrolled(path=os.fspath(directory))
    root = _read(directory / "root.json")
    about = _parse(directory / "station.json")
    station, site = about.get("station"), about.get("site")
    if about.get("schema") != 1 or about.keys() - {"carrier"} != {"schema", "station", "site"}:
        raise SiteUnreadable(path="station.json", why="not of schema 1")
    for name in (station, site):
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise SiteUnreadable(path="station.json", why=f"not an id: {name!r}")
    carrier = parse_carrier(about["carrier"]) if "carrier" in about else None
    return Site(str(station), str(site), root, hashlib.sha256(root).hexdigest(), carrier)


def parse_carrier(text: object) -> CarrierAddress:
    """The address that `http(s)://<IPv4 address>[:80|:443][/path]` spells; SiteUnreadable."""
    found = _CARRIER.fullmatch(text) if isinstance(text, str) else None
    try:
        host = str(IPv4Address(found[2])) if found else ""
    except ValueError:
        host = ""
    if found is None or not host or ".." in found[4]:
        why = f"carrier is no http or https address by number, on port 80 or 443: {text!r}"
        raise SiteUnreadable(path="station.json", why=why[:200])
    port = int(found[3] or (80 if found[1] == "http" else 443))
    return CarrierAddress(found[1], host, port, found[4].rstrip("/"))


def find_site(directory: Path) -> Site | StationError:
    """The site, or why there is none: for services, which run and answer in either case."""
    try:
        return load_site(directory)
    except StationError as reason:
        log.warning("%s", reason)
        return reason


def describe(image: Path = _IMAGE) -> StationFacts:
    """What kind of station this is, and which boot."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")
    if not image.exists():
        return StationFacts("development", None, boot_id)
    return StationFacts("appliance", _parse(image), boot_id)


def monotonic_ms() -> int:
    """Milliseconds since boot, suspend included (CLOCK_BOOTTIME): comparable within one boot id."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def _path(name: str) -> Path:
    value = os.environ.get(name)
    if not value:
        raise SurroundingsMissing(name=name)
    return Path(value)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise SiteUnreadable(path=path.name, why=str(error)) from error
    if len(data) > _MAX_FILE:
        raise SiteUnreadable(path=path.name, why=f"more than {_MAX_FILE} bytes")
    return data


def _parse(path: Path) -> dict[str, object]:
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise SiteUnreadable(path=path.name, why=str(error)) from error
    if not isinstance(value, dict):
        raise SiteUnreadable(path=path.name, why="not an object")
    return value

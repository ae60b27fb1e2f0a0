"""A site's files: from a folder to the site partition, and from there to words.

- `root.json`, `station.json` and `*.sources`, nothing else. The first two are read by the very code that reads them on
  the station (`appliance.station`, `appliance.verify.site_chain`): what is refused there is refused here.
- `*.sources` is read by chronyd alone, so it is checked here: server lines with addresses, each ended by a new line
  (chrony.conf(5), sourcedir). A station resolves no names.
- The same files give the same partition, byte for byte.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance import station
from appliance.card import erofs
from appliance.card.errors import (
    CardInputUnreadable,
    SiteFileRefused,
    SiteTooLarge,
    TimeSourcesMissing,
    TimeSourcesRefused,
)
from appliance.card.layout import MIB, PARTITIONS, SITE
from appliance.verify.site_chain import parse_root

LIMIT = {name: mib for name, _kind, mib in PARTITIONS}[SITE] * MIB
_SOURCES = re.compile(r"[a-z0-9][a-z0-9-]{0,24}\.sources", re.ASCII)
_MAX_SOURCES_BYTES, _MAX_SERVERS, _MAX_ENTRIES = 64 * 1024, 16, 32
_FLAGS = {"iburst", "prefer"}
_POLLS = {"minpoll", "maxpoll"}


@dataclass(frozen=True)
class SiteFiles:
    """What stands in a site partition, checked. `root_version` and `threshold` are those of the pinned root."""

    files: Mapping[str, bytes]
    site: station.Site
    servers: tuple[str, ...]
    root_version: int
    threshold: int
    until: str

    @property
    def anchor(self) -> str:
        return f"sha256:{self.site.anchor}"

    def image(self) -> bytes:
        """The partition's content. SiteTooLarge."""
        image = erofs.make(self.files, SITE)
        if len(image) > LIMIT:
            raise SiteTooLarge(size=len(image), limit=LIMIT)
        return image

    def words(self) -> Iterator[tuple[str, str]]:
        """(name, what it says) for a person to compare."""
        yield "anchor", f"{self.anchor} (compare it with the ceremony's minutes)"
        yield "root", f"version {self.root_version}, {self.threshold} signatures needed, until {self.until}"
        yield "station", f"{self.site.station} at site {self.site.site}"
        yield "time", ", ".join(self.servers)
        if self.site.carrier is not None:
            yield "carrier", str(self.site.carrier)


def no_site() -> bytes:
    """The partition of a card that belongs to no site: its station is not enrolled."""
    return erofs.make({}, SITE)


def read_folder(folder: Path) -> SiteFiles:
    """A site's files as somebody put them into a folder, or why they are refused."""
    files: dict[str, bytes] = {}
    try:
        names = sorted(path.name for path in folder.iterdir())
        if len(names) > _MAX_ENTRIES:
            raise SiteFileRefused(name=names[_MAX_ENTRIES], why=f"there are {len(names)} files")
        for name in names:
            files[name] = _plain_file(folder / name)
    except OSError as error:
        raise CardInputUnreadable(path=os.fspath(folder), why=error.strerror or "error") from None
    return check(files, os.fspath(folder))


def read_partition(image: bytes) -> SiteFiles | None:
    """What a site partition holds, checked as in a folder; None where it is empty: not enrolled."""
    files = erofs.read(image)
    return check(files, "the site partition") if files else None


def check(files: Mapping[str, bytes], where: str) -> SiteFiles:
    """These files as a site, or the refusal of the station's own parsers, or one of this room."""
    servers: list[str] = []
    for name, data in files.items():
        if _SOURCES.fullmatch(name):
            servers += sources(name, data)
        elif name not in ("root.json", "station.json"):
            raise SiteFileRefused(name=name, why="a station reads root.json, station.json and *.sources")
    with tempfile.TemporaryDirectory(prefix="proofline-site-") as scratch:
        for name in ("root.json", "station.json"):
            if name in files:
                (Path(scratch) / name).write_bytes(files[name])
        site = station.load_site(Path(scratch))
    root, _ring = parse_root(site.root, "root.json")
    if not servers:
        raise TimeSourcesMissing(path=where)
    if len(set(servers)) != len(servers) or len(servers) > _MAX_SERVERS:
        twice = next((one for one in servers if servers.count(one) > 1), f"the {_MAX_SERVERS + 1}th")
        raise TimeSourcesRefused(name="*.sources", line=0, why=f"server {twice} is one too many")
    threshold, until = root.roles["root"].threshold, f"{root.expires:%Y-%m-%d}"
    return SiteFiles(dict(sorted(files.items())), site, tuple(servers), root.version, threshold, until)


def sources(name: str, data: bytes) -> Iterator[str]:
    """The servers of one *.sources file."""
    if len(data) > _MAX_SOURCES_BYTES:
        raise TimeSourcesRefused(name=name, line=0, why=f"more than {_MAX_SOURCES_BYTES} bytes")
    if data and not data.endswith(b"\n"):
        raise TimeSourcesRefused(name=name, line=data.count(b"\n") + 1, why="the last line has no end")
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            text = line.decode("ascii").strip()
        except UnicodeDecodeError:
            raise TimeSourcesRefused(name=name, line=number, why="not ASCII") from None
        if text and text[0] not in "#%;!":
            yield _server(name, number, text.split())


def _server(name: str, line: int, words: list[str]) -> str:
    def refuse(why: str) -> TimeSourcesRefused:
        return TimeSourcesRefused(name=name, line=line, why=why)

    if words[0] != "server" or len(words) < 2:
        raise refuse(f"{words[0]!r} is not: server ADDRESS")
    try:
        address = ipaddress.ip_address(words[1])
    except ValueError:
        raise refuse(f"{words[1]!r} is not an address") from None
    if address.is_multicast or address.is_unspecified or "%" in words[1]:
        raise refuse(f"{words[1]!r} is nobody's address")
    options = iter(words[2:])
    for option in options:
        if option in _FLAGS:
            continue
        value = next(options, "")
        if option not in _POLLS or not re.fullmatch(r"-?[0-9]{1,2}", value) or not -6 <= int(value) <= 24:
            raise refuse(f"option {f'{option} {value}'.strip()!r} is not known here")
    return str(address)


def _plain_file(path: Path) -> bytes:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise SiteFileRefused(name=path.name, why="it is not a plain file")
    if about.st_size > LIMIT:
        raise SiteFileRefused(name=path.name, why=f"{about.st_size} bytes")
    return path.read_bytes()

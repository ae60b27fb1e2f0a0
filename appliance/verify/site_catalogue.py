"""The site's documents by name, and whether they fit together.

- `Catalogue` turns approved bytes into frozen data: each document is parsed strictly, once. Verified sites are
  catalogues, and so are the release desk's proposals: both see exactly what a station will see.
- `check_references` refuses documents that are each right and wrong together: a release without its product or file, an
  order without its release or for a station that may not make it, a file that no release speaks of, an image without
  its bundle or for a station that nobody knows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from appliance.verify.image_errors import BundleMissing, BundleUnspoken, KeyringMissing
from appliance.verify.site_documents import (
    Order,
    Profile,
    Release,
    Roster,
    Settings,
    parse_order,
    parse_profile,
    parse_release,
    parse_roster,
    parse_settings,
)
from appliance.verify.site_errors import ProductNotForStation, ReferenceBroken, ReferenceDisagrees
from appliance.verify.site_images import KEYRING, ImageRelease, Keyring, parse_image_release, parse_keyring
from appliance.verify.site_resets import ResetOrder, check_reset, parse_reset
from appliance.verify.site_stations import Stations, parse_stations

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Target:
    """An approved file: `path` is its name in targets, `file` its place in the repository."""

    path: str
    length: int
    sha256: str

    @property
    def detached(self) -> bool:
        """Whether this file is listed only: read piece by piece by whoever needs it, and absent from most copies."""
        return self.path.startswith("images/") and self.path.endswith(".raucb")

    @property
    def file(self) -> str:
        folder, _, name = self.path.rpartition("/")
        return f"targets/{folder}/{self.sha256}.{name}" if folder else f"targets/{self.sha256}.{name}"


class Catalogue(ABC):
    """Documents by what they are called. Safe to share between threads."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.targets: Final = targets
        self._parsed: dict[str, object] = {}

    @property
    def attached(self) -> tuple[str, ...]:
        """The targets that lie in every copy of the repository: all but the detached ones."""
        return tuple(path for path, target in self.targets.items() if not target.detached)

    @property
    def detached(self) -> tuple[Target, ...]:
        """The targets that are listed only."""
        return tuple(target for target in self.targets.values() if target.detached)

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The bytes of a target; refuses what is not there or not what was approved."""

    def profile(self, sku: str) -> Profile:
        return self._document(f"products/{sku}.json", parse_profile)

    def release(self, sku: str, version: str) -> Release:
        return self._document(f"releases/{sku}/{version}.json", parse_release)

    def order(self, order: str) -> Order:
        return self._document(f"orders/{order}.json", parse_order)

    def roster(self) -> Roster:
        return self._document("roster.json", parse_roster)

    def stations(self) -> Stations:
        return self._document("stations.json", parse_stations)

    def settings(self, station: str) -> Settings:
        return self._document(f"settings/{station}.json", parse_settings)

    def image(self, compatible: str, version: str) -> ImageRelease:
        return self._document(f"images/{compatible}/{version}.json", parse_image_release)

    def images(self, compatible: str) -> tuple[ImageRelease, ...]:
        """The images for a kind of board, in the order of their versions."""
        names = (name.split("/") for name in self.names("images"))
        found = (self.image(kind, version) for kind, version in names if kind == compatible)
        return tuple(sorted(found, key=lambda image: image.version))

    def wanted_image(self, compatible: str, station: str) -> ImageRelease | None:
        """The image that a station shall run: the highest version that names it. None where nobody says."""
        return next((image for image in reversed(self.images(compatible)) if image.is_for(station)), None)

    def image_keyring(self) -> Keyring:
        return self._document(KEYRING, parse_keyring)

    def reset(self, station: str) -> ResetOrder:
        return self._document(f"resets/{station}.json", parse_reset)

    def names(self, folder: str) -> tuple[str, ...]:
        """A folder's documents by id, sorted: `<sku>/<version>` in `releases`, `<compatible>/<version>` in `images`."""
        prefix = folder + "/"
        found = (path for path in self.targets if path.startswith(prefix) and path.endswith(".json"))
        return tuple(sorted(path[len(prefix) : -5] for path in found))

    def _document(self, path: str, parse: Callable[[bytes, str], _T]) -> _T:
        # Two threads may both parse the same bytes; they come to equal results.
        if path not in self._parsed:
            self._parsed[path] = parse(self.read(path), path)
        return self._parsed[path]  # type: ignore[return-value]  # one path, one parser, one type


def check_references(site: Catalogue) -> None:
    """Parse every document and refuse (`PL-SIT-040` to `-079`) what is broken or does not fit the rest."""
    stations = site.stations() if "stations.json" in site.targets else Stations(())
    if "roster.json" in site.targets:
        site.roster()
    for sku in site.names("products"):
        site.profile(sku)
    spoken_of = {_check_release(site, *name.split("/")) for name in site.names("releases")}
    for path in site.targets:
        if path.startswith("firmware/") and path not in spoken_of:
            raise ReferenceBroken(path=path, field="the file", found="a release that no document describes")
    for name in site.names("orders"):
        _check_order(site, name, stations)
    for station in site.names("settings"):
        site.settings(station)
    _check_images(site, stations)
    for station in site.names("resets"):
        check_reset(site.reset(station), stations)
    for folder in ("settings", "pins"):
        for station in site.names(folder):
            if stations.station(station) is None:
                raise ReferenceBroken(path=f"{folder}/{station}.json", field="station", found=station)


def _check_release(site: Catalogue, sku: str, version: str) -> str:
    path = f"releases/{sku}/{version}.json"
    release = site.release(sku, version)
    if f"products/{sku}.json" not in site.targets:
        raise ReferenceBroken(path=path, field="sku", found=sku)
    firmware = release.firmware
    target = site.targets.get(firmware.target)
    if target is None:
        raise ReferenceBroken(path=path, field="firmware.target", found=firmware.target)
    for field, said, approved in (
        ("firmware.sha256", firmware.sha256, target.sha256),
        ("firmware.length", firmware.length, target.length),
    ):
        if said != approved:
            raise ReferenceDisagrees(path=path, field=field, found=said, wanted=target.path, expected=approved)
    return firmware.target


def _check_images(site: Catalogue, stations: Stations) -> None:
    if KEYRING in site.targets:
        site.image_keyring()
    spoken_of: set[str] = set()
    for name in site.names("images"):
        path = f"images/{name}.json"
        image = site.image(*name.split("/"))
        bundle = image.bundle
        target = site.targets.get(bundle.target)
        if KEYRING not in site.targets:
            raise KeyringMissing(path=path)
        if target is None:
            raise BundleMissing(path=path, found=bundle.target)
        for field, said, approved in (
            ("bundle.sha256", bundle.sha256, target.sha256),
            ("bundle.length", bundle.length, target.length),
        ):
            if said != approved:
                raise ReferenceDisagrees(path=path, field=field, found=said, wanted=target.path, expected=approved)
        for wanted in image.stations:
            if wanted != "*" and stations.station(wanted) is None:
                raise ReferenceBroken(path=path, field="stations", found=wanted)
        spoken_of.add(bundle.target)
    for path, target in site.targets.items():
        if target.detached and path not in spoken_of:
            raise BundleUnspoken(path=path)


def _check_order(site: Catalogue, name: str, stations: Stations) -> None:
    path = f"orders/{name}.json"
    order = site.order(name)
    release = f"releases/{order.sku}/{order.version}.json"
    if release not in site.targets:
        raise ReferenceBroken(path=path, field="version", found=release)
    for wanted in order.stations:
        station = stations.station(wanted)
        if station is None:
            raise ReferenceBroken(path=path, field="stations", found=wanted)
        if not station.may_make(order.sku):
            raise ProductNotForStation(path=path, field="stations", found=wanted, sku=order.sku)

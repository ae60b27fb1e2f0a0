"""What the next version of the targets shall say: composed piece by piece, each piece read back as a station reads it.

- Every document is written canonically and parsed at once by the station's own parser: what a station would refuse
  never gets into a proposal (`PL-SIT`).
- Releases and orders are never replaced: a changed release is a new version, a changed order a new number. They can be
  closed (`expire`) or taken away (`revoke`).
- An image's bundle is listed by length and SHA-256, and its bytes never come here.
- A release's allowlist is computed from its firmware file by the code with which a station reads the file.

Pure: what was approved before is read through a `Catalogue`; nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from appliance.errors import ProoflineError
from appliance.evidence import base64_strict, strict_json
from appliance.intake.firmware import check_firmware
from appliance.intake.pins import check_pins, pin_sets
from appliance.release.errors import AlreadyThere, InputMalformed, NotThere, StillNeeded
from appliance.target.boards import profile_for
from appliance.target.image import parse_image
from appliance.verify.image_errors import FileDetached
from appliance.verify.site_catalogue import Catalogue, Target, check_references
from appliance.verify.site_documents import EVENTS
from appliance.verify.site_errors import TargetUnknown
from appliance.verify.site_images import KEYRING, ImageRelease, parse_image_release
from appliance.verify.site_resets import JournalHead, LogHead
from appliance.verify.site_times import format_time


@dataclass(frozen=True)
class NewStationKey:
    """A station's public key to be listed: purpose `manifest` or `checkpoint`, DER SPKI, and when it is believed."""

    purpose: str
    algorithm: str
    public: bytes
    since: datetime
    until: datetime

    def as_document(self) -> dict[str, Any]:
        return {
            "purpose": self.purpose,
            "algorithm": self.algorithm,
            "public": base64_strict.encode(self.public),
            "from": format_time(self.since),
            "until": format_time(self.until),
            "revoked": None,
        }


class Draft(Catalogue):
    """A catalogue that can be changed. `blobs` holds the new files by their SHA-256."""

    def __init__(self, base: Catalogue | None) -> None:
        self._entries: dict[str, Target] = dict(base.targets) if base else {}
        super().__init__(self._entries)
        self._base = base
        self.blobs: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        target = self._entries.get(path)
        if target is None:
            raise TargetUnknown(path=path)
        if target.detached:
            raise FileDetached(path=path)
        if target.sha256 in self.blobs:
            return self.blobs[target.sha256]
        assert self._base is not None
        return self._base.read(path)

    def check(self) -> None:
        """Refuse what does not fit together, or a release that does not fit its file."""
        check_references(self)
        check_firmware(self)
        check_pins(self)

    def put(self, path: str, content: bytes) -> None:
        """Give a target new content. Prefer the verbs below."""
        digest = sha256(content).hexdigest()
        self.blobs[digest] = content
        self._entries[path] = Target(path, len(content), digest)
        self._parsed.pop(path, None)

    def put_detached(self, path: str, length: int, digest: str) -> None:
        """Give a detached target its length and SHA-256; its bytes are the desk's to keep."""
        self._entries[path] = Target(path, length, digest)

    def forget(self, path: str) -> None:
        """Leave a target out."""
        del self._entries[path]
        self._parsed.pop(path, None)

    def set_profile(
        self,
        sku: str,
        *,
        part: str,
        swclk_hz: int,
        prefix: str,
        mode: str = "derived",
        scan: str = "optional",
        events: Iterable[str] = EVENTS,
    ) -> None:
        """The product profile of a SKU, new or changed."""
        profile_for(part)
        document = {
            "sku": sku,
            "part": part,
            "swclk_hz": swclk_hz,
            "label": {"mode": mode, "prefix": prefix, "scan": scan},
            "events": list(events),
            "lock": {"policy": "none"},
            "identity": {"policy": "none"},
        }
        self._put_json(f"products/{sku}.json", document)
        self.profile(sku)

    def add_firmware(
        self,
        sku: str,
        version: str,
        content: bytes,
        *,
        name: str,
        format: str,  # noqa: A002  # the release document's word
        built_at: datetime,
        build_id: str,
        ticket: str,
        load_address: int | None = None,
    ) -> None:
        """A release: the file as built and the allowlist that follows from it."""
        path, target = f"releases/{sku}/{version}.json", f"firmware/{sku}/{version}/{name}"
        if path in self._entries:
            raise AlreadyThere(path=path, why="a release's content never changes")
        image = parse_image(content, format, profile_for(self.profile(sku).part), load_address)
        digest = sha256(content).hexdigest()
        firmware: dict[str, object] = {"target": target, "format": format, "sha256": digest, "length": len(content)}
        if load_address is not None:
            firmware["load_address"] = load_address
        document = {
            "sku": sku,
            "version": version,
            "built_at": format_time(built_at),
            "build_id": build_id,
            "ticket": ticket,
            "firmware": firmware,
            "ranges": [
                {"name": one.name, "start": one.start, "length": one.length, "sha256": one.sha256}
                for one in image.ranges()
            ],
        }
        self.put(target, content)
        self._put_json(path, document)
        self.release(sku, version)

    def revoke_release(self, sku: str, version: str, *, with_orders: bool = False) -> None:
        """Take a release and its file away, and, where asked, the orders for it."""
        path = f"releases/{sku}/{version}.json"
        self._require(path)
        for name in self._orders_for(sku, version):
            if not with_orders:
                raise StillNeeded(path=path, needed_by=f"orders/{name}.json")
            self.revoke_order(name)
        self.forget(self.release(sku, version).firmware.target)
        self.forget(path)

    def expire_release(self, sku: str, version: str, at: datetime) -> None:
        """Nothing new is made of a release from `at` on: its orders close by then. It stays on record."""
        self._require(f"releases/{sku}/{version}.json")
        for name in self._orders_for(sku, version):
            if self.order(name).open.until > at:
                self.expire_order(name, at)

    def add_order(
        self,
        order: str,
        *,
        sku: str,
        version: str,
        quantity: int,
        stations: Iterable[str],
        ticket: str,
        opens: datetime,
        closes: datetime,
    ) -> None:
        """A work order."""
        path = f"orders/{order}.json"
        if path in self._entries:
            raise AlreadyThere(path=path, why="an order keeps its number and its quantity")
        document = {
            "id": order,
            "sku": sku,
            "version": version,
            "quantity": quantity,
            "stations": list(stations),
            "ticket": ticket,
            "opens": format_time(opens),
            "closes": format_time(closes),
        }
        self._put_json(path, document)
        self.order(order)

    def expire_order(self, order: str, at: datetime) -> None:
        """Close an order at `at`; one that would close before it opens is revoked instead."""
        document = self._json(f"orders/{order}.json")
        if at <= self.order(order).open.since:
            self.revoke_order(order)
            return
        document["closes"] = format_time(at)
        self._put_json(f"orders/{order}.json", document)
        self.order(order)

    def revoke_order(self, order: str) -> None:
        """Take an order away."""
        self._require(f"orders/{order}.json")
        self.forget(f"orders/{order}.json")

    def set_operator(
        self,
        operator: str,
        *,
        name: str,
        badge: str,
        roles: Iterable[str],
        since: datetime,
        until: datetime,
    ) -> None:
        """An operator, new or changed. Of `badge` (the text that it reads as) only the digest is kept."""
        entry = {
            "id": operator,
            "name": name,
            "badge_sha256": sha256(badge.encode()).hexdigest(),
            "roles": list(roles),
            "from": format_time(since),
            "until": format_time(until),
        }
        others = [one for one in self._operators() if one["id"] != operator]
        self._put_json("roster.json", {"operators": sorted([*others, entry], key=lambda one: str(one["id"]))})
        self.roster()

    def remove_operator(self, operator: str) -> None:
        """Take an operator off the roster."""
        operators = self._operators()
        if all(one["id"] != operator for one in operators):
            raise NotThere(path=f"roster.json: {operator}")
        self._put_json("roster.json", {"operators": [one for one in operators if one["id"] != operator]})

    def set_station(
        self, station: str, *, site: str, origin: str, products: Iterable[str], keys: Iterable[NewStationKey] = ()
    ) -> None:
        """A station, new or changed. Keys already listed stay listed, so that old evidence can be judged."""
        new = [key.as_document() for key in keys]
        publics = {key["public"] for key in new}
        others = [one for one in self._stations() if one["id"] != station]
        known = [
            key
            for one in self._stations()
            if one["id"] == station
            for key in one["keys"]
            if key["public"] not in publics
        ]
        entry = {"id": station, "site": site, "origin": origin, "products": list(products), "keys": [*known, *new]}
        self._put_json("stations.json", {"stations": sorted([*others, entry], key=lambda one: str(one["id"]))})
        self.stations()

    def revoke_station(self, station: str, *, at: datetime, reason: str, key: str | None = None) -> None:
        """Mark a station's keys (or the one whose digest starts with `key`) as revoked from `at` on."""
        stations = self._stations()
        found = False
        for entry in (one for one in stations if one["id"] == station):
            for listed in entry["keys"]:
                der = base64_strict.decode(listed["public"]) or b""
                if listed["revoked"] is None and sha256(der).hexdigest().startswith(
                    (key or "").removeprefix("sha256:")
                ):
                    listed["revoked"] = {"at": format_time(at), "reason": reason}
                    found = True
        if not found:
            raise NotThere(path=f"stations.json: a key of {station} that is not revoked yet")
        self._put_json("stations.json", {"stations": stations})
        self.stations()

    def set_settings(
        self,
        station: str,
        *,
        max_width_ms: int,
        max_unexported_entries: int,
        session_s: int,
        probe: str | None = None,
        gang: Sequence[str] = (),
    ) -> None:
        """A station's settings, new or changed: with one probe, or with a gang of them."""
        document: dict[str, Any] = {
            "station": station,
            "clock": {"max_width_ms": max_width_ms, "ordered_only": False},
            "log": {"max_unexported_entries": max_unexported_entries},
            "panel": {"session_s": session_s},
        }
        if probe is not None:
            document["probe"] = probe
        if gang:
            document["gang"] = list(gang)
        self._put_json(f"settings/{station}.json", document)
        self.settings(station)

    def set_pins(self, station: str, document: bytes) -> None:
        """A station's pin sets, new or changed: the document that `appliance.swd.settings` reads."""
        self.put(f"pins/{station}.json", document)
        pin_sets(self, station)

    def set_image_keyring(self, pem: bytes) -> None:
        """The certificates that bundles must be signed under, new or changed."""
        self.put(KEYRING, pem)
        self.image_keyring()

    def add_image(self, document: Mapping[str, Any], *, ticket: str, stations: Sequence[str] = ()) -> ImageRelease:
        """An image, from the document that its build wrote: it lacks the ticket, and perhaps for which stations it is
        (`*`, all of them, where nobody says). The bundle's file is the desk's business (`Desk.keep_bundle`).
        """
        full = {"stations": ["*"], **document, "ticket": ticket}
        if stations:
            full["stations"] = list(stations)
        path = f"images/{full.get('compatible')}/{full.get('version')}.json"
        if path in self._entries:
            raise AlreadyThere(path=path, why="an image's content never changes")
        self._put_json(path, full)
        try:
            image = self._document(path, parse_image_release)
        except ProoflineError:
            self.forget(path)
            raise
        self.put_detached(image.bundle.target, image.bundle.length, image.bundle.sha256)
        return image

    def revoke_image(self, compatible: str, version: str) -> None:
        """Take an image and its bundle away. Stations that run it keep it; no other gets it."""
        path = f"images/{compatible}/{version}.json"
        self._require(path)
        self.forget(self.image(compatible, version).bundle.target)
        self.forget(path)

    def set_reset(
        self,
        station: str,
        *,
        order: str,
        state: str,
        log: LogHead,
        refusals: JournalHead,
        ticket: str,
        since: datetime,
        until: datetime,
    ) -> None:
        """A reset order. `check` refuses it while a key of the station is not revoked."""
        document = {
            "station": station,
            "order": order,
            "state": state,
            "log": {"size": log.size, "root": log.root},
            "refusals": {"count": refusals.count, "head": refusals.head},
            "ticket": ticket,
            "from": format_time(since),
            "until": format_time(until),
        }
        self._put_json(f"resets/{station}.json", document)
        self.reset(station)

    def revoke_reset(self, station: str) -> None:
        """Take a reset order away: it was obeyed, or shall not be."""
        self._require(f"resets/{station}.json")
        self.forget(f"resets/{station}.json")

    def _orders_for(self, sku: str, version: str) -> list[str]:
        return [
            name for name in self.names("orders") if (self.order(name).sku, self.order(name).version) == (sku, version)
        ]

    def _operators(self) -> list[dict[str, Any]]:
        return list(self._json("roster.json")["operators"]) if "roster.json" in self._entries else []

    def _stations(self) -> list[dict[str, Any]]:
        return list(self._json("stations.json")["stations"]) if "stations.json" in self._entries else []

    def _json(self, path: str) -> dict[str, Any]:
        self._require(path)
        document = strict_json.decode(self.read(path), max_bytes=1 << 20)
        assert isinstance(document, dict)
        return document

    def _put_json(self, path: str, document: dict[str, Any]) -> None:
        try:
            content = strict_json.encode({**document, "schema": 1})
        except ProoflineError as error:
            raise InputMalformed(
                field=path, found="not text and integers", expected=error.engineer_sentence()
            ) from None
        self.put(path, content)

    def _require(self, path: str) -> None:
        if path not in self._entries:
            raise NotThere(path=path)

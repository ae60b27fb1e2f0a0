"""What a site's approved documents say, as frozen data, and the strict parsers that make it (docs/contracts.md 2).

- A parser takes the document's bytes and its path in the repository; it refuses (`PL-SIT-040` to `-069`) whatever it
  does not understand completely, and a document that is filed under another name than it gives itself.
- Fields named `sha256` hold 64 bare hex digits; a `digest` has the prefix `sha256:`.
- Parsers are pure and bounded: `MAX_DOCUMENT` per document, a length for every list, a range for every number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from appliance.verify.site_errors import (
    FieldMissing,
    OrderRefused,
    ProfileRefused,
    ReleaseRangesWrong,
    ReleaseRefused,
    RosterRefused,
    RosterTwice,
    SettingsRefused,
)
from appliance.verify.site_fields import (
    HEX_DIGEST,
    LINE,
    MAX_DOCUMENT,
    NAME_RULE,
    PERSON,
    SKU,
    TICKET,
    Fields,
    filed,
    load,
    once,
)
from appliance.verify.site_times import Window

EVENTS = ("provision", "rework", "reflash", "return", "scrap")
_TICKET = "a change ticket of at most 64 characters"
_PREFIX = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,14}[A-Z0-9])?", re.ASCII)
_PART = re.compile(r"[a-z0-9]{4,32}", re.ASCII)
_PROBE = re.compile(r"[\x21-\x7e]{1,200}")
_PROBE_RULE = "1 to 200 visible characters name a probe"
MAX_GANG = 8
"""Positions of a gang fixture at most."""
_MAX_ADDRESS = (1 << 32) - 1
_MAX_IMAGE = 1 << 26


@dataclass(frozen=True, slots=True)
class Label:
    """How a unit gets its label: `derived` from the silicon, or `preprinted` and scanned."""

    mode: str
    prefix: str
    scan: str


@dataclass(frozen=True, slots=True)
class Profile:
    """`products/<sku>.json`: what the product is and what may happen to a unit of it."""

    sku: str
    part: str
    swclk_hz: int
    label: Label
    events: tuple[str, ...]
    lock: str
    identity: str


@dataclass(frozen=True, slots=True)
class FlashRange:
    """`length` bytes from address `start` must hash to `sha256` (hex)."""

    name: str
    start: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Firmware:
    """The file to program: a target of the repository. `load_address` belongs to `bin` alone."""

    target: str
    format: str
    sha256: str
    length: int
    load_address: int | None


@dataclass(frozen=True, slots=True)
class Release:
    """`releases/<sku>/<version>.json`: exactly what must be in flash; `digest` is that document's."""

    sku: str
    version: str
    built_at: str
    build_id: str
    ticket: str
    firmware: Firmware
    ranges: tuple[FlashRange, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Order:
    """`orders/<id>.json`: how many units of what may be made, where, and when (`open` is opens to closes)."""

    id: str
    sku: str
    version: str
    quantity: int
    stations: tuple[str, ...]
    ticket: str
    open: Window


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may sign in; `badge_sha256` is the hex SHA-256 of the badge's text in UTF-8."""

    id: str
    name: str
    badge_sha256: str
    roles: tuple[str, ...]
    valid: Window


@dataclass(frozen=True, slots=True)
class Roster:
    """`roster.json`."""

    operators: tuple[Operator, ...]

    def operator(self, operator_id: str) -> Operator | None:
        return next((one for one in self.operators if one.id == operator_id), None)

    def by_badge(self, badge: str) -> Operator | None:
        """The operator whose badge reads `badge`; whether the entry is valid now is for the caller to ask."""
        digest = sha256(badge.encode("utf-8", "surrogatepass")).hexdigest()
        return next((one for one in self.operators if one.badge_sha256 == digest), None)


@dataclass(frozen=True, slots=True)
class Settings:
    """`settings/<station>.json`. Either `probe`, for one board at a time, or `gang`: a probe for each position."""

    station: str
    clock_max_width_ms: int
    log_max_unexported_entries: int
    panel_session_s: int
    probe: str | None
    gang: tuple[str, ...] = ()

    @property
    def probes(self) -> tuple[str, ...]:
        """All of the station's probes, in the order of its positions."""
        return self.gang if self.probe is None else (self.probe,)


def parse_profile(document: bytes, path: str) -> Profile:
    top = load(
        document,
        path=path,
        refused=ProfileRefused,
        max_bytes=MAX_DOCUMENT,
        required=("sku", "part", "swclk_hz", "label", "events", "lock", "identity"),
    )
    label = top.part("label", ("mode", "prefix", "scan"))
    profile = Profile(
        sku=top.text("sku", SKU, NAME_RULE),
        part=top.text("part", _PART, "4 to 32 small letters and digits are a part's name"),
        swclk_hz=top.integer("swclk_hz", 1_000, 50_000_000),
        label=Label(
            mode=label.one_of("mode", ("derived", "preprinted")),
            prefix=label.text("prefix", _PREFIX, "1 to 16 capital letters, digits and inner hyphens are a prefix"),
            scan=label.one_of("scan", ("optional", "required")),
        ),
        events=top.texts("events", re.compile("|".join(EVENTS)), f"of {', '.join(EVENTS)}", low=1, high=len(EVENTS)),
        lock=top.part("lock", ("policy",)).one_of("policy", ("none",)),
        identity=top.part("identity", ("policy",)).one_of("policy", ("none",)),
    )
    if profile.label.mode == "preprinted" and profile.label.scan != "required":
        raise label.refuse("scan", "a preprinted label is known only by scanning it")
    return filed(profile, path, f"products/{profile.sku}.json", "sku", profile.sku)


def parse_release(document: bytes, path: str) -> Release:
    top = load(
        document,
        path=path,
        refused=ReleaseRefused,
        max_bytes=MAX_DOCUMENT,
        required=("sku", "version", "built_at", "build_id", "ticket", "firmware", "ranges"),
    )
    sku, version = top.text("sku", SKU, NAME_RULE), top.text("version", SKU, NAME_RULE)
    firmware = top.part("firmware", ("target", "format", "sha256", "length"), ("load_address",))
    kind = firmware.one_of("format", ("elf", "hex", "bin"))
    if firmware.has("load_address") != (kind == "bin"):
        raise firmware.refuse("format", "a load_address belongs to bin, and to bin alone")
    release = Release(
        sku=sku,
        version=version,
        built_at=top.moment("built_at"),
        build_id=top.text("build_id", LINE, "one line of at most 128 characters is a build id"),
        ticket=top.text("ticket", TICKET, _TICKET),
        firmware=Firmware(
            target=firmware.text(
                "target",
                re.compile(re.escape(f"firmware/{sku}/{version}/") + SKU.pattern, re.ASCII),
                f"a file in firmware/{sku}/{version}/ is meant",
            ),
            format=kind,
            sha256=firmware.text("sha256", HEX_DIGEST, "64 hex digits are a SHA-256"),
            length=firmware.integer("length", 1, _MAX_IMAGE),
            load_address=firmware.integer("load_address", 0, _MAX_ADDRESS) if kind == "bin" else None,
        ),
        ranges=_ranges(top, path),
        digest=f"sha256:{sha256(document).hexdigest()}",
    )
    return filed(release, path, f"releases/{sku}/{version}.json", "version", f"{sku} {version}")


def _ranges(top: Fields, path: str) -> tuple[FlashRange, ...]:
    ranges = tuple(
        FlashRange(
            name=one.text("name", SKU, NAME_RULE),
            start=one.integer("start", 0, _MAX_ADDRESS),
            length=one.integer("length", 1, _MAX_IMAGE),
            sha256=one.text("sha256", HEX_DIGEST, "64 hex digits are a SHA-256"),
        )
        for one in top.parts("ranges", ("name", "start", "length", "sha256"), low=1, high=64)
    )
    if len({one.name for one in ranges}) != len(ranges):
        raise ReleaseRangesWrong(path=path, why="two ranges have one name")
    end = 0
    for one in ranges:
        if one.start < end:
            raise ReleaseRangesWrong(
                path=path, why=f"range {one.name} overlaps the one before it or stands out of order"
            )
        end = one.start + one.length
    if end > _MAX_ADDRESS + 1:
        raise ReleaseRangesWrong(path=path, why="the last range leaves the 32-bit address space")
    return ranges


def parse_order(document: bytes, path: str) -> Order:
    top = load(
        document,
        path=path,
        refused=OrderRefused,
        max_bytes=MAX_DOCUMENT,
        required=("id", "sku", "version", "quantity", "stations", "ticket", "opens", "closes"),
    )
    order = Order(
        id=top.text("id", SKU, NAME_RULE),
        sku=top.text("sku", SKU, NAME_RULE),
        version=top.text("version", SKU, NAME_RULE),
        quantity=top.integer("quantity", 1, 1_000_000),
        stations=top.texts("stations", SKU, NAME_RULE, low=1, high=256),
        ticket=top.text("ticket", TICKET, _TICKET),
        open=top.window("opens", "closes"),
    )
    return filed(order, path, f"orders/{order.id}.json", "id", order.id)


def parse_roster(document: bytes, path: str) -> Roster:
    top = load(document, path=path, refused=RosterRefused, max_bytes=MAX_DOCUMENT, required=("operators",))
    names = ("id", "name", "badge_sha256", "roles", "from", "until")
    operators = tuple(
        Operator(
            id=one.text(
                "id", PERSON, "small letters, digits, dot, underscore and hyphen, 32 at most, are a person's id"
            ),
            name=one.text("name", LINE, "one line of at most 128 characters is a name"),
            badge_sha256=one.text("badge_sha256", HEX_DIGEST, "64 hex digits are a SHA-256"),
            roles=one.texts("roles", re.compile("operator|lead|rework"), "of operator, lead, rework", low=1, high=3),
            valid=one.window("from", "until"),
        )
        for one in top.parts("operators", names, low=0, high=2_000)
    )
    once([one.id for one in operators], refused=RosterTwice, path=path, field="operator")
    once([one.badge_sha256 for one in operators], refused=RosterTwice, path=path, field="badge")
    return filed(Roster(operators), path, "roster.json", "path", path)


def parse_settings(document: bytes, path: str) -> Settings:
    top = load(
        document,
        path=path,
        refused=SettingsRefused,
        max_bytes=MAX_DOCUMENT,
        required=("station", "clock", "log", "panel"),
        optional=("probe", "gang"),
    )
    clock = top.part("clock", ("max_width_ms", "ordered_only"))
    clock.false("ordered_only", "no manifest of this version can say that it is only ordered")
    probe, gang = _probes(top, path)
    settings = Settings(
        station=top.text("station", SKU, NAME_RULE),
        clock_max_width_ms=clock.integer("max_width_ms", 1, 3_600_000),
        log_max_unexported_entries=top.part("log", ("max_unexported_entries",)).integer(
            "max_unexported_entries", 1, 10_000_000
        ),
        panel_session_s=top.part("panel", ("session_s",)).integer("session_s", 1, 86_400),
        probe=probe,
        gang=gang,
    )
    return filed(settings, path, f"settings/{settings.station}.json", "station", settings.station)


def _probes(top: Fields, path: str) -> tuple[str | None, tuple[str, ...]]:
    """One probe, or a gang of them: each is another fixture, so a document names either."""
    if "gang" not in top.values:
        if "probe" not in top.values:
            raise FieldMissing(path=path, field="probe")
        return top.text("probe", _PROBE, _PROBE_RULE), ()
    if "probe" in top.values:
        raise top.refuse("gang", "a station has one probe or a gang of them, not both")
    return None, top.texts("gang", _PROBE, _PROBE_RULE, low=2, high=MAX_GANG)

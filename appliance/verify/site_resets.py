"""`resets/<station>.json`: the site's order that a station forget everything it holds.

- It names one state partition by its id, and the end of the evidence that the release desk holds and has proven: the
  log's size and root, the refusal journal's count and head. A station with anything beyond that does not obey.
- It is approved like everything else, and only together with the end of the station's identity: a repository that holds
  a reset for a station with a key that is not revoked is refused as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.verify.site_errors import ReferenceBroken, ResetKeyValid, ResetRefused
from appliance.verify.site_fields import MAX_DOCUMENT, NAME_RULE, SKU, TICKET, filed, load
from appliance.verify.site_stations import Stations
from appliance.verify.site_times import Window

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_STATE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MAX_COUNT = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class LogHead:
    """How long a log is, and the root over all of it (`sha256:`)."""

    size: int
    root: str


@dataclass(frozen=True, slots=True)
class JournalHead:
    """How many refusals a station ever recorded, and the head of their chain (`sha256:`)."""

    count: int
    head: str


@dataclass(frozen=True, slots=True)
class ResetOrder:
    """`resets/<station>.json`. `state` is the id of the one state partition that is meant."""

    station: str
    order: str
    state: str
    log: LogHead
    refusals: JournalHead
    ticket: str
    valid: Window


def parse_reset(document: bytes, path: str) -> ResetOrder:
    """A reset order, or a `PL-SIT` refusal."""
    names = ("station", "order", "state", "log", "refusals", "ticket", "from", "until")
    fields = load(document, path=path, refused=ResetRefused, max_bytes=MAX_DOCUMENT, required=names)
    log, refusals = fields.part("log", ("size", "root")), fields.part("refusals", ("count", "head"))
    rule = "sha256: and 64 hex digits"
    order = ResetOrder(
        station=fields.text("station", SKU, NAME_RULE),
        order=fields.text("order", SKU, NAME_RULE),
        state=fields.text("state", _STATE, "32 hex digits are a state's id, as the station's console says it"),
        log=LogHead(log.integer("size", 0, _MAX_COUNT), log.text("root", _DIGEST, rule)),
        refusals=JournalHead(refusals.integer("count", 0, _MAX_COUNT), refusals.text("head", _DIGEST, rule)),
        ticket=fields.text("ticket", TICKET, "a change ticket of at most 64 characters"),
        valid=fields.window("from", "until"),
    )
    return filed(order, path, f"resets/{order.station}.json", "station", order.station)


def check_reset(order: ResetOrder, stations: Stations) -> None:
    """Refuse a reset of a station that is not the site's, or whose identity has not ended."""
    path = f"resets/{order.station}.json"
    station = stations.station(order.station)
    if station is None:
        raise ReferenceBroken(path=path, field="station", found=order.station)
    for key in station.keys:
        if key.revoked is None:
            raise ResetKeyValid(path=path, station=order.station, key=key.digest)

"""Whether a station may forget everything: the one place where that is decided. Pure.

- An approved order names this station, this very state, and exactly what the station holds: log and refusals. One entry
  more, one refusal more, or another root, and it keeps everything.
- Every key of the station is revoked in the same repository (`check_reset`, asked again here): whatever becomes of the
  token, the identity that signed what is wiped never signs again.
- The order's window surely holds, and the site's word is not expired: a clock that cannot say so is a refusal.
- What was decided is a `Mark`: everything that has to be true again, before systemd, when it is done (`still_holds`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.recorder.heads import Heads
from appliance.reset.errors import (
    LogDiffers,
    LogGoesOn,
    MarkUnreadable,
    NotThisState,
    NotYetValid,
    OrderExpired,
    RefusalsGoOn,
    SiteExpired,
    TimeUnknown,
)
from appliance.verify.site import SiteTrust
from appliance.verify.site_resets import JournalHead, LogHead, ResetOrder, check_reset
from appliance.verify.site_times import Interval, format_time

MAX_MARK = 4096


@dataclass(frozen=True, slots=True)
class Held:
    """What this station is and holds: the id of its state, and the heads of its records."""

    state: str
    heads: Heads


@dataclass(frozen=True, slots=True)
class Mark:
    """A reset that was ordered and proven, and is to be done at the next start."""

    order: str
    state: str
    log: LogHead
    refusals: JournalHead

    def encode(self) -> bytes:
        return strict_json.encode(
            {
                "schema": 1,
                "order": self.order,
                "state": self.state,
                "log": {"size": self.log.size, "root": self.log.root},
                "refusals": {"count": self.refusals.count, "head": self.refusals.head},
            }
        )

    @classmethod
    def decode(cls, document: bytes) -> Mark:
        """A mark as it was written, or MarkUnreadable."""
        try:
            value: Any = strict_json.decode_canonical(document, max_bytes=MAX_MARK)
            mark = cls(
                str(value["order"]),
                str(value["state"]),
                LogHead(int(value["log"]["size"]), str(value["log"]["root"])),
                JournalHead(int(value["refusals"]["count"]), str(value["refusals"]["head"])),
            )
        except (EvidenceError, LookupError, TypeError, ValueError) as error:
            raise MarkUnreadable(why=f"{type(error).__name__}: {error}") from error
        if mark.encode() != document:
            raise MarkUnreadable(why="it holds more than a mark does")
        return mark


def decide(trust: SiteTrust, station: str, held: Held, at: Interval | None) -> Mark:
    """The mark for this station's order in `trust` (there is one), or why it is not obeyed."""
    order = trust.reset(station)
    check_reset(order, trust.stations())
    mark = Mark(order.order, order.state, order.log, order.refusals)
    if order.state != held.state:
        raise NotThisState(order=order.order, wanted=order.state, found=held.state)
    _check_time(trust, order, at)
    still_holds(mark, held)
    return mark


def still_holds(mark: Mark, held: Held) -> None:
    """Refuse a mark that does not say exactly what is held."""
    if mark.state != held.state:
        raise NotThisState(order=mark.order, wanted=mark.state, found=held.state)
    heads = held.heads
    if heads.size != mark.log.size:
        raise LogGoesOn(order=mark.order, wanted=mark.log.size, found=heads.size)
    if heads.root != mark.log.root:
        raise LogDiffers(order=mark.order, size=mark.log.size, wanted=mark.log.root, found=heads.root)
    if (heads.count, heads.head) != (mark.refusals.count, mark.refusals.head):
        raise RefusalsGoOn(
            order=mark.order,
            wanted=mark.refusals.count,
            wanted_head=mark.refusals.head,
            found=heads.count,
            head=heads.head,
        )


def _check_time(trust: SiteTrust, order: ResetOrder, at: Interval | None) -> None:
    if at is None:
        raise TimeUnknown(order=order.order)
    expiry = trust.expiry(at)
    if expiry.status != "valid":
        raise SiteExpired(status=expiry.status, until=format_time(expiry.until))
    if order.valid.surely_over(at):
        raise OrderExpired(order=order.order, until=format_time(order.valid.until), earliest=format_time(at.earliest))
    if at.latest < order.valid.since:
        raise NotYetValid(order=order.order, since=format_time(order.valid.since), latest=format_time(at.latest))
    if not order.valid.surely_holds(at):
        raise TimeUnknown(order=order.order)

"""A reset order, made from a proven copy of everything that the station ever recorded.

- `prove` recounts a copy of the station's published log as `proofline verify log` does, by the site in force; the order
  covers exactly what that copy holds, to the last refusal that is signed into it. There is no way to give the heads.
- `propose_reset` ends the station's identity in the same proposal: every key is revoked. From then on nothing that it
  signs is believed, whatever becomes of its token, and the station itself signs nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance.release.draft import Draft
from appliance.release.errors import LogOfAnother
from appliance.verify.files import LogDirectory
from appliance.verify.policy import Policy
from appliance.verify.site import SiteTrust
from appliance.verify.site_resets import JournalHead, LogHead
from appliance.verify.site_times import Interval
from appliance.verify.verifier import Verifier
from appliance.verify.whole import recount, trusted_checkpoint


@dataclass(frozen=True, slots=True)
class Proven:
    """What a copy of a log holds, proven: its heads, and when its last entry was made at the latest."""

    log: LogHead
    refusals: JournalHead
    latest: datetime | None


def prove(
    copy: Path, trust: SiteTrust, station: str, *, now: datetime, concurrent: int = 1, development: bool = False
) -> Proven:
    """Recount a copy of a station's log. A refusal where it is another's, or not whole, or not genuine."""
    policy = Policy(require_pass=False, concurrent=concurrent, allow_development=development)
    verifier = Verifier(trust, policy, Interval(now, now))
    storage = LogDirectory(copy)
    trusted = trusted_checkpoint(verifier, storage)
    if trusted.station != station:
        raise LogOfAnother(path=str(copy), found=trusted.station, expected=station)
    summary = recount(verifier, storage, trusted)
    head = trusted.checkpoint
    return Proven(
        LogHead(head.size, f"sha256:{head.root.hex()}"),
        JournalHead(summary.refusals, summary.refusals_head),
        summary.latest,
    )


def propose_reset(
    draft: Draft,
    station: str,
    proven: Proven,
    *,
    order: str,
    state: str,
    ticket: str,
    since: datetime,
    until: datetime,
    now: datetime,
) -> None:
    """Order the reset, and revoke every key of the station from now on."""
    at = max(now, proven.latest) if proven.latest is not None else now
    if any(key.revoked is None for one in draft.stations().stations if one.id == station for key in one.keys):
        draft.revoke_station(station, at=at, reason=f"reset {order}")
    draft.set_reset(
        station,
        order=order,
        state=state,
        log=proven.log,
        refusals=proven.refusals,
        ticket=ticket,
        since=since,
        until=until,
    )

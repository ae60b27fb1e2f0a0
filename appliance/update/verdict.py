"""Whether a boot is good. Pure: what was observed goes in, every cause against it comes out.

- Only causes inside the image count. A service is asked *whether* it answers, never *what*: a missing token, time
  server, network, release or enrolment closes gates, and services answer all the same. So none of them rolls back.
- The signer starts afresh by itself while its token is away (PKCS#11 needs a new process): its restarts are no cause,
  its silence is. Nobody else restarts on a good boot.
- A boot is good when every service answers, at the beginning and at the end, and fed its watchdog in between; the
  firewall is up; and every block of the slot was read through verity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import ProoflineError
from appliance.update.errors import ServiceRestarted, ServiceSilent, UnitFailed, WatchdogUnfed

VERBS = {
    "usbgate": "Describe",
    "clock": "Read",
    "signer": "Describe",
    "recorder": "Describe",
    "line": "Describe",
    "panel": "Describe",
    "intake": "Describe",
}
"""The services of every station, and what each is asked."""

UNITS = ("nftables.service",)
"""What else has to be active: a unit whose every input is in the image."""

STARTS_AFRESH = frozenset({"signer"})


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd shows it. `fed_us`: when its watchdog was fed last, 0 where never."""

    active: str
    result: str
    restarts: int
    fed_us: int


@dataclass(frozen=True, slots=True)
class Observed:
    """`silent`: role -> why it did not answer; `before` and `after`: unit -> its state; `slot`: what reading it met."""

    silent: Mapping[str, str]
    before: Mapping[str, Unit]
    after: Mapping[str, Unit]
    slot: ProoflineError | None
    patience_s: int


def unit_of(role: str) -> str:
    return f"proofline-{role}.service"


def fed(before: Unit, after: Unit) -> bool:
    """Whether a watchdog was fed between two looks."""
    return after.fed_us > before.fed_us


def causes(seen: Observed) -> tuple[ProoflineError, ...]:
    """Everything that speaks against this boot; nothing where it is good."""
    found: list[ProoflineError] = []
    for role in VERBS:
        if role in seen.silent:
            found.append(ServiceSilent(role=role, patience_s=seen.patience_s, why=seen.silent[role]))
            continue
        before, after = seen.before[unit_of(role)], seen.after[unit_of(role)]
        again = after.restarts - before.restarts
        if again and role not in STARTS_AFRESH:
            found.append(ServiceRestarted(role=role, count=again))
        elif not again and not fed(before, after):
            found.append(WatchdogUnfed(role=role, patience_s=seen.patience_s))
    for name in UNITS:
        unit = seen.after[name]
        if unit.active != "active":
            found.append(UnitFailed(unit=name, state=unit.active, result=unit.result))
    if seen.slot is not None:
        found.append(seen.slot)
    return tuple(found)

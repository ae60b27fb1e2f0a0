"""Times as the site's documents write them, and intervals as the clock reports them.

- A time is RFC 3339 UTC with exactly six digits of microseconds and `Z`; nothing else parses.
- The clock never gives a point in time, only `Interval`: true time lies somewhere from `earliest` to `latest`.
  Whoever compares an interval with a limit has to say what happens when the limit lies inside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)


def parse_time(text: str) -> datetime | None:
    """The aware UTC time that `text` spells, or None where it is not the one spelling of a time."""
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def format_time(moment: datetime) -> str:
    """The one spelling of an aware time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "Z"


@dataclass(frozen=True, slots=True)
class Interval:
    """True time is not before `earliest` and not after `latest` (both aware)."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """Something holds from `since` up to, not including, `until`."""

    since: datetime
    until: datetime

    def surely_holds(self, at: Interval) -> bool:
        """Whether all of `at` lies inside the window."""
        return self.since <= at.earliest and at.latest < self.until

    def surely_over(self, at: Interval) -> bool:
        """Whether all of `at` lies past the window's end."""
        return at.earliest >= self.until

    def may_hold(self, at: Interval) -> bool:
        """Whether any of `at` lies inside the window."""
        return at.latest >= self.since and at.earliest < self.until

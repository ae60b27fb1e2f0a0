"""Bounded time, without input or output: the interval that holds true UTC, and whether it may be believed.

- The interval lies around *corrected* time (system clock plus chronyd's correction), half as wide as
  root dispersion + root delay / 2 + age of the last measurement x (chronyd's skew + the crystal's bound); a pending
  leap second adds a second on both sides. It means the same with a steered clock and with `chronyd -x`.
- Earlier readings bind later ones: an interval that has no point in common with what the earlier ones, carried
  forward by the raw crystal within its bound, leave possible is refused. A lie that begins while the station runs and
  a drag beyond the crystal's bound are found like this; a slower drag is not.
- After the system clock jumped or the station slept, nothing counts until chronyd has measured again.
- Never before a floor: an interval wholly before one is refused, one that straddles it is cut.
- An independent sample must agree, its own uncertainty and its age allowed for.

Statuses are ClockBound's: Unknown, Synchronized, FreeRunning (no source answers now), Disrupted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appliance.clock.errors import (
    ClockBeforeFloor,
    ClockError,
    ClockInconsistent,
    ClockJumped,
    ClockUnsynchronised,
    SampleImplausible,
    SampleMissing,
    StationSuspended,
    StratumImplausible,
    WidthUnusable,
)
from appliance.clock.reading import Reading

MAX_STRATUM = 15
MAX_WIDTH_NS = 3_600 * 10**9
"""An interval of more than an hour is a chronyd that knows nothing, whatever the policy."""
_JUMP_NS = 10_000_000
_LEAP_NS = 10**9
_PPM = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS = 4_102_444_800 * 10**9  # the year 2100: what a proof of today cannot be about


@dataclass(frozen=True)
class Instant:
    """One look at the machine's clocks, all in ns: `realtime` is the one people set; `boottime` runs on through a
    suspend, `monotonic` does not; `raw` is the crystal that nobody steers (and stops in a suspend, too). `torn`: how
    long the look took, so how far apart the four may be."""

    realtime: int
    boottime: int
    monotonic: int
    raw: int
    torn: int = 0


@dataclass(frozen=True)
class Interval:
    """True UTC lies in [earliest, latest] (ns since 1970) at the instant whose raw time is `raw`."""

    earliest: int
    latest: int
    raw: int

    def at(self, raw: int, crystal_ppm: int) -> Interval:
        """The same knowledge at a later raw time, by a crystal within its bound."""
        elapsed = raw - self.raw
        drift = abs(elapsed) * crystal_ppm // _PPM + 1
        return Interval(self.earliest + elapsed - drift, self.latest + elapsed + drift, raw)

    def gap(self, other: Interval) -> int:
        """How far two intervals of one instant are apart, ns; 0 where they have a point in common."""
        return max(0, self.earliest - other.latest, other.earliest - self.latest)

    def within(self, other: Interval) -> Interval:
        return Interval(max(self.earliest, other.earliest), min(self.latest, other.latest), self.raw)


@dataclass(frozen=True)
class Memory:
    """What earlier looks leave behind. `possible`: what all earlier readings of this boot allow; `disrupted`: why
    nothing counts until the reference time is another than `disrupted_reference`."""

    last: Instant | None = None
    possible: Interval | None = None
    disrupted: ClockError | None = None
    disrupted_reference: int | None = None


@dataclass(frozen=True)
class Look:
    """Everything one verdict is made from: chronyd's reading, the clocks before and after it was asked for, the
    independent sample's interval (or why there is none, or None where nobody samples) and how each source is
    authenticated."""

    reading: Reading
    before: Instant
    after: Instant
    sample: Interval | str | None = None
    authentication: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """`crystal_ppm`: the stated bound of the station's crystal; `floor`: UTC in ns that is certainly past;
    `sample_server`, `sample_max_age_s`: where the independent sample comes from and how old it may be (None: no
    sample is asked for)."""

    crystal_ppm: int
    floor: int
    sample_server: str | None = None
    sample_max_age_s: int = 0


@dataclass(frozen=True)
class Verdict:
    """`interval` is None while the status is Unknown. A refusal means: do not sign."""

    status: str
    interval: Interval | None
    sources: tuple[str, ...]
    plausible: bool | None
    refusal: ClockError | None


def interval_of(reading: Reading, before: Instant, after: Instant, crystal_ppm: int) -> Interval:
    """Where true UTC lies at `after`; the reading was taken between the two instants."""
    tracking = reading.tracking
    centre = after.realtime + tracking.system_ns
    age = max(0, centre - tracking.reference_ns)
    half = tracking.root_dispersion_ns + (abs(tracking.root_delay_ns) + 1) // 2
    half += age * (tracking.skew_ppb + crystal_ppm * 1000) // 10**9 + 1
    half += (after.raw - before.raw) // 1000  # chronyd's correction may run at up to 500 ppm while we ask for it
    half += after.torn
    if tracking.leap in {"insert", "delete"}:
        half += _LEAP_NS
    return Interval(centre - half, centre + half, after.raw)


def noticed(memory: Memory, now: Instant, reference_ns: int | None) -> Memory:
    """The memory after a look at the clocks: a jump or a suspend since the last look is kept until chronyd has taken
    another measurement than the one of `reference_ns`."""
    last = memory.last
    memory = dataclasses.replace(memory, last=now)
    if memory.disrupted is not None and memory.disrupted_reference is None:
        memory = dataclasses.replace(memory, disrupted_reference=reference_ns)
    if last is not None:
        asleep = (now.boottime - now.monotonic) - (last.boottime - last.monotonic)
        jump = (now.realtime - now.boottime) - (last.realtime - last.boottime)
        noise = _JUMP_NS + now.torn + last.torn
        why: ClockError | None = None
        if asleep > noise:
            why = StationSuspended(suspended_us=asleep // 1000)
            # The raw crystal stood still for a time that only the battery clock knows: start anew, above the floor.
            memory = dataclasses.replace(memory, possible=None)
        elif abs(jump) > noise:
            why = ClockJumped(jump_us=jump // 1000)
        if why is not None:
            return dataclasses.replace(memory, disrupted=why, disrupted_reference=reference_ns)
    if memory.disrupted is not None and reference_ns not in {None, memory.disrupted_reference}:
        memory = dataclasses.replace(memory, disrupted=None, disrupted_reference=None)
    return memory


def judge(memory: Memory, look: Look, rules: Rules) -> tuple[Verdict, Memory]:
    """The verdict on one look, and what the next one has to remember."""
    reading, after, authentication = look.reading, look.after, look.authentication
    tracking = reading.tracking
    memory = noticed(memory, after, tracking.reference_ns)
    followed = [source for source in reading.sources if source.selected and source.reachable]
    sources = tuple(
        f"{source.name} stratum={source.stratum} auth={authentication.get(source.name, 'unread')}"
        for source in reading.sources
        if source.selected
    )
    if tracking.leap == "unsynchronised" or tracking.reference_ns == 0:
        refusal = ClockUnsynchronised(leap=tracking.leap, stratum=tracking.stratum)
        return Verdict("Unknown", None, sources, None, refusal), memory
    if not 1 <= tracking.stratum <= MAX_STRATUM:
        refused = StratumImplausible(stratum=tracking.stratum, limit=MAX_STRATUM)
        return Verdict("Unknown", None, sources, None, refused), memory
    interval = interval_of(reading, look.before, after, rules.crystal_ppm)
    width = interval.latest - interval.earliest
    if width > MAX_WIDTH_NS or interval.earliest < 0 or interval.latest > _LAST_NS:
        wide = WidthUnusable(width_us=width // 1000, limit_us=MAX_WIDTH_NS // 1000)
        return Verdict("Unknown", None, sources, None, wide), memory
    plausible, doubt = _compare(interval, look.sample, rules)
    status = "Synchronized" if followed else "FreeRunning"

    possible = memory.possible.at(interval.raw, rules.crystal_ppm) if memory.possible else interval
    gap = interval.gap(possible)
    if memory.disrupted is not None:
        return Verdict("Disrupted", interval, sources, plausible, memory.disrupted), memory
    if gap:
        inconsistent = ClockInconsistent(gap_us=gap // 1000, crystal_ppm=rules.crystal_ppm)
        return Verdict("Disrupted", interval, sources, plausible, inconsistent), memory
    if interval.latest < rules.floor:
        early = ClockBeforeFloor(latest=rfc3339(interval.latest), floor=rfc3339(rules.floor))
        return Verdict(status, interval, sources, plausible, early), memory
    if doubt is not None:
        return Verdict(status, interval, sources, plausible, doubt), memory
    memory = dataclasses.replace(memory, possible=interval.within(possible))
    cut = dataclasses.replace(interval, earliest=max(interval.earliest, rules.floor))
    return Verdict(status, cut, sources, plausible, None), memory


def rfc3339(ns: int, *, up: bool = False) -> str:
    """A time as documents write it: UTC, microseconds, rounded down (or up, for a latest bound)."""
    us = -(-ns // 1000) if up else ns // 1000
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _compare(interval: Interval, sample: Interval | str | None, rules: Rules) -> tuple[bool | None, ClockError | None]:
    if rules.sample_server is None:
        return None, None
    server, max_age_s = rules.sample_server, rules.sample_max_age_s
    if not isinstance(sample, Interval):
        why = sample or "none was taken yet"
        return None, SampleMissing(server=server, max_age_s=max_age_s, why=why)
    if interval.raw - sample.raw > max_age_s * 10**9:
        return None, SampleMissing(server=server, max_age_s=max_age_s, why="the last one is too old")
    gap = interval.gap(sample.at(interval.raw, rules.crystal_ppm))
    if gap:
        return False, SampleImplausible(server=server, gap_us=gap // 1000)
    return True, None

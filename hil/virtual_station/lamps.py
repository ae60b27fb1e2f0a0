"""Which sign the lamps show, as a person at the bench would tell: from when they changed.

- What was seen is compared with every sign of the LED language (appliance.panel.lights), wherever in its cycle the
  looking began. The nearest is the answer, if it is near enough and clearly nearer than the next: an emulated station
  is uneven.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from appliance.panel.lights import LAMPS, PATTERNS, SLOT_MS, SLOTS, Pattern

_STEP_MS = 50
_NEAR = 0.16
_CLEARER = 0.05

Changes = Mapping[str, Sequence[tuple[float, bool]]]


def recognise(changes: Changes, before: Mapping[str, bool], seconds: float) -> str | None:
    """The name of the sign that was shown, or None. `before`: which lamps burned when looking began."""
    seen = _sampled(changes, before, seconds)
    ranked = sorted((_distance(seen, pattern), pattern.name) for pattern in PATTERNS.values())
    (best, name), (second, _other) = ranked[0], ranked[1]
    return name if best <= _NEAR and second - best >= _CLEARER else None


def _sampled(changes: Changes, before: Mapping[str, bool], seconds: float) -> list[tuple[bool, ...]]:
    samples = []
    for step in range(int(seconds * 1000) // _STEP_MS):
        now = step * _STEP_MS / 1000
        samples.append(tuple(_level(changes[lamp], before.get(lamp, False), now) for lamp in LAMPS))
    return samples


def _level(changes: Sequence[tuple[float, bool]], level: bool, now: float) -> bool:
    for at, high in changes:
        if at > now:
            break
        level = high
    return level


def _distance(seen: Sequence[tuple[bool, ...]], pattern: Pattern) -> float:
    """The share of (moment, lamp) in which the pattern differs from what was seen, at its best moment to begin."""
    slots, cycle = pattern.slots(), SLOTS * SLOT_MS
    best = 1.0
    for offset in range(0, cycle, _STEP_MS):
        wrong = 0
        for step, levels in enumerate(seen):
            expected = slots[(step * _STEP_MS + offset) % cycle // SLOT_MS]
            wrong += sum(one != other for one, other in zip(levels, expected, strict=True))
        best = min(best, wrong / (len(seen) * len(LAMPS)))
    return best

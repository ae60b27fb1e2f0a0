"""A gang of boards as one person sees it: one sign for all of them, and a word for each position. Pure.

- The sign for all is that of the worst: attention, then fail, then refused. It is `pass` where *every* position passed.
- Positions are numbered from 0 in records and from 1 for people; the first is the leftmost.
- A position's own sign is dark until the whole gang has ended: nobody reaches into a fixture that is being worked on.
- A position's `pass` is shown as long as the sign for all would be; what is wrong stays until the next press or scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.panel.face import Outcome, verdict_pattern
from appliance.panel.lights import PATTERNS, POSITION_PATTERNS, Pattern

_WORST_FIRST = ("attention", "fail", "refused", "pass")
_SHOWN_WITH = frozenset({"pass", "fail", "refused", "attention", "stopped"})
"""Signs for all with which a position's own says something; with any other (a fault, a gate) it is dark."""


@dataclass(frozen=True, slots=True)
class Place:
    """One position: where its unit is, or how it ended."""

    stage: str
    permille: int
    outcome: Outcome | None


def combined(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome that stands for all of them."""
    worst = min(outcomes, key=lambda one: _WORST_FIRST.index(verdict_pattern(one)))
    said = [
        f"Position {number}: {_headline(one)}. {one.text}".strip()
        for number, one in enumerate(outcomes, 1)
        if verdict_pattern(one) != "pass"
    ]
    passed = [str(number) for number, one in enumerate(outcomes, 1) if verdict_pattern(one) == "pass"]
    if said and passed:
        said.append(f"Passed: {', '.join(passed)}.")
    return Outcome(worst.verdict, " ".join(said), worst.recovered, ago_ms=0, positions=tuple(outcomes))


def progress(places: Sequence[Place]) -> str:
    """Where each position is, in one line."""
    return ", ".join(
        f"{number} ended" if place.outcome is not None else f"{number} {place.stage} {place.permille // 10} %"
        for number, place in enumerate(places, 1)
    )


def signs(outcome: Outcome | None, *, shown: Pattern, pass_ms: int) -> tuple[Pattern, ...]:
    """What each position's lamps show while the panel shows `shown` after an outcome; none, where it was no gang's."""
    if outcome is None:
        return ()
    names = [verdict_pattern(one) for one in outcome.positions]
    stale = outcome.ago_ms >= pass_ms
    return tuple(
        POSITION_PATTERNS["dark" if shown.name not in _SHOWN_WITH or (name == "pass" and stale) else name]
        for name in names
    )


def _headline(outcome: Outcome) -> str:
    return PATTERNS[verdict_pattern(outcome)].text.partition(".")[0]

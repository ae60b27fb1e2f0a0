"""Which pattern a person sees now. Pure: what is known goes in, one pattern and one text come out.

- A stopped line is shown over everything; then a fault of the station; then the unit that is being worked on; then
  the last unit's verdict; then closed gates; then what is missing before the next press.
- `pass` is shown for a unit that passed, was proven and not found unfinished after a restart; nothing else is green.
- A recovered unit asks for attention whatever its verdict: nobody watched it, another board may be in the fixture now.
- A pass is shown for a while only (a green lamp must not vouch for the *next* board); anything else until the next
  press or scan, but that "not done" gives way to the closed gate that is still the reason.
- A station without a site says so at once, and while the others are still starting: they cannot change it.
- A closed gate is shown by its family; a refusal of a family that nobody knows is a fault, not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.panel.lights import PATTERNS, Pattern

WAITING = "waiting"
"""The stage that the line reports while a unit's evidence waits for a gate to open."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed gate as its room told it, or (`service`) a room that does not answer."""

    code: str
    operator: str
    action: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last press ended; `ago_ms` since then. Of a gang: what stands for all, and each position's own."""

    verdict: str
    text: str
    recovered: bool
    ago_ms: int
    positions: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """All that the face depends on."""

    heard: bool
    silent: bool
    stopped: bool
    fault: str
    working: bool
    stage: str
    permille: int
    outcome: Outcome | None
    closed: Sequence[Closed]
    signed_in: bool
    order: bool
    notice: str
    pass_ms: int
    asked: bool = True
    """Whether signer, recorder and site have been asked at all, so that `closed` says something."""
    unsited: Closed | None = None
    """Why there is no site on the card, which stays so until the next boot whatever the others say when they are up."""
    progress: str = ""
    """Of a gang: where each position is."""


_FAMILIES = {
    "PL-REC-03": "gate_release",
    "PL-REC-050": "not_enrolled",
    "PL-CLK": "gate_clock",
    "PL-HSM": "gate_signer",
    "PL-SGN": "gate_signer",
    "PL-SGN-010": "not_enrolled",
    "PL-STA-003": "not_enrolled",
    "PL-SGN-011": "not_enrolled",
    "PL-SGN-02": "gate_clock",
    "PL-SGN-023": "gate_release",
    "PL-SGN-04": "gate_release",
    "PL-SIT": "gate_release",
    "PL-INT": "gate_release",
    "PL-REC": "gate_log",
    "PL-EVD": "gate_log",
    "PL-DUR": "gate_log",
}
_SERVICES = {"clock": "gate_clock", "signer": "gate_signer", "recorder": "gate_log"}


def family(closed: Closed) -> str:
    """The pattern of a closed gate."""
    if closed.service:
        return _SERVICES.get(closed.service, "fault")
    known = [prefix for prefix in _FAMILIES if closed.code.startswith(prefix)]
    return _FAMILIES[max(known, key=len)] if known else "fault"


def choose(view: View) -> tuple[Pattern, str]:
    """The pattern to show and the sentence that goes with it."""
    name, text = _choose(view)
    pattern = PATTERNS[name]
    said = " ".join(part for part in (text or pattern.text, view.notice) if part)
    return pattern, said


def _choose(view: View) -> tuple[str, str]:
    if view.stopped:
        return "stopped", _and(PATTERNS["stopped"].text, view.outcome.text if view.outcome else "")
    if view.silent and (view.heard or view.unsited is None):
        return ("fault" if view.heard else "starting"), ""
    if view.fault:
        return "fault", view.fault
    if view.working:
        if view.stage == WAITING and view.closed:
            return family(view.closed[0]), _and("The board waits for its proof.", _sentence(view.closed[0]))
        return "running", _and(PATTERNS["running"].text, view.progress or f"{view.stage} {view.permille // 10} %")
    if view.outcome is not None:
        name = verdict_pattern(view.outcome)
        gives_way = name == "pass" or (name == "refused" and view.closed)
        if not gives_way or view.outcome.ago_ms < view.pass_ms:
            return name, _and(PATTERNS[name].text, view.outcome.text)
    if not view.asked:
        return ("starting", "") if view.unsited is None else (family(view.unsited), _sentence(view.unsited))
    if view.closed:
        return family(view.closed[0]), _sentence(view.closed[0])
    if not view.signed_in:
        return "signed_out", ""
    if not view.order:
        return "no_order", ""
    return "ready", ""


def verdict_pattern(outcome: Outcome) -> str:
    """The pattern that an outcome calls for."""
    if outcome.recovered or outcome.verdict == "quarantined":
        return "attention"
    return {"pass": "pass", "fail": "fail"}.get(outcome.verdict, "refused")


def _sentence(closed: Closed) -> str:
    return f"{closed.operator} {closed.action} ({closed.code})"


def _and(first: str, second: str) -> str:
    return f"{first} {second}" if second else first

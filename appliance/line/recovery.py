"""What becomes of a press that was unfinished when the line started. A pure table; it is asked once per press.

- What the log says is so: a manifest of this press ends it, whatever the journal remembers.
- A refusal that is in the refusal journal, or owed to it, is not made a second time.
- Observations that were about to be signed are signed as they were: the signer gives the same manifest again.
- Otherwise a unit with a reservation is quarantined, whatever its flash holds: nothing is tried again blind.
- A unit without one was not touched: aborted; the person presses again.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import from_record
from appliance.line.cycle import Cycle
from appliance.line.errors import FoundInterrupted, FoundUntouched
from appliance.line.journal import Doc, OpenUnit

NO_PROBE: Doc = {"kind": "none", "id": "none"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the recorder knows of the press: the logged verdict, a refusal journalled (or owed), a reservation."""

    logged: str | None
    journalled: bool
    reserved: bool


def resolve(unit: OpenUnit, known: Known) -> tuple[Cycle, Doc]:
    """The cycle, at the point from which it goes on, and the observations that its evidence is made of."""
    observations = unit.observations or _from_intent(unit, known)
    said = observations["refusal"]
    cycle = Cycle.resumed(
        observations["verdict"],
        None if said is None else from_record(said),
        stop=unit.stop,
        reserved=known.reserved and not known.journalled,
    )
    if known.logged is not None:
        cycle.appended(known.logged)
    elif known.journalled:
        cycle.unsigned()
        cycle.journalled()
    return cycle, observations


def _from_intent(unit: OpenUnit, known: Known) -> Doc:
    uncertain = known.reserved or unit.furthest == "program"
    refusal = FoundInterrupted(stage=unit.furthest) if uncertain else FoundUntouched()
    return {
        "verdict": "quarantined" if uncertain else "aborted",
        "refusal": refusal.as_record(),
        "device": unit.device,
        "measurement": None,
        "probe": unit.probe or NO_PROBE,
        "stages": [],
    }

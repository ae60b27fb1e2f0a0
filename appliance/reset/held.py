"""Reads what the station holds, as root, from the recorder's files; nothing is written."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import ProoflineError
from appliance.recorder.heads import read_heads
from appliance.reset.decide import Held
from appliance.reset.errors import RecordsUnreadable

RECORDER = "var/lib/proofline/recorder"
MARK = "var/lib/proofline/reset/ordered.json"
REFUSED = "var/lib/proofline/reset/refused.json"
"""Below the shared part of the state partition, /state/shared."""


def read_held(shared: Path) -> Held:
    """What lies in the shared part of a state partition. RecordsUnreadable where that cannot be told to the end."""
    try:
        state = (shared / "state-id").read_text("ascii").strip()
        heads = read_heads(shared / RECORDER)
    except (OSError, UnicodeDecodeError, ProoflineError) as error:
        raise RecordsUnreadable(why=str(error)) from error
    return Held(state, heads)

"""A card that `proofline image write` wrote, after its first boot, as `proofline image verify` sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.card import check
from appliance.card.record import read_record
from appliance.errors import ProoflineError
from hil.virtual_station import shared
from hil.virtual_station.places import SCRATCH


def told(card: Path) -> dict[str, str]:
    """What is said of a card in which nothing is wrong."""
    findings = list(check.card(card, read_record(SCRATCH / "out" / "build.json")))
    assert [one for one in findings if isinstance(one, ProoflineError)] == []
    return dict(one for one in findings if not isinstance(one, ProoflineError))


@pytest.mark.parametrize("enrolled", [True, False])
def test_its_station_took_it_over_and_nothing_that_was_written_changed(enrolled: bool) -> None:
    begun = shared.enrolled() if enrolled else shared.fresh()
    about = told(begun.frozen.card)
    assert about["table"] == "both copies good, 10 partitions"
    assert about["slots"].endswith("is in slot a, byte for byte")
    assert "a: 9 attempts left, found good" in about["slot state"]
    assert about["state"].startswith("proofline-state, ")
    assert about.get("station") == ("bench-01 at site demo" if enrolled else None)
    assert ("not enrolled" in about.get("site", "")) is not enrolled
    assert "GPT" not in begun.console, "U-Boot has nothing to say of the table"

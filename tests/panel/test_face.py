"""What a person sees, for everything that can be known."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from appliance.panel.face import Closed, Outcome, View, choose, family

READY = View(
    heard=True,
    silent=False,
    stopped=False,
    fault="",
    working=False,
    stage="",
    permille=0,
    outcome=None,
    closed=(),
    signed_in=True,
    order=True,
    notice="",
    pass_ms=20_000,
)
CLOCK = Closed("PL-CLK-003", "The time is unsure.", "Wait.")
NO_SITE = Closed("PL-STA-003", "Not enrolled.", "Write the card.")
PASS = Outcome("pass", "", recovered=False, ago_ms=100)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({}, "ready"),
        ({"signed_in": False}, "signed_out"),
        ({"order": False}, "no_order"),
        ({"working": True}, "running"),
        ({"working": True, "closed": (CLOCK,)}, "running"),
        ({"working": True, "stage": "waiting", "closed": (CLOCK,)}, "gate_clock"),
        ({"closed": (CLOCK,)}, "gate_clock"),
        ({"outcome": PASS}, "pass"),
        ({"outcome": replace(PASS, ago_ms=20_000)}, "ready"),
        ({"outcome": replace(PASS, recovered=True)}, "attention"),
        ({"outcome": Outcome("fail", "why", recovered=False, ago_ms=10**9)}, "fail"),
        ({"outcome": Outcome("refused", "why", recovered=False, ago_ms=0)}, "refused"),
        ({"outcome": Outcome("refused", "why", recovered=False, ago_ms=10**9)}, "refused"),
        ({"outcome": Outcome("refused", "why", recovered=False, ago_ms=10), "closed": (CLOCK,)}, "refused"),
        ({"outcome": Outcome("refused", "why", recovered=False, ago_ms=10**9), "closed": (CLOCK,)}, "gate_clock"),
        ({"outcome": Outcome("fail", "why", recovered=False, ago_ms=10**9), "closed": (CLOCK,)}, "fail"),
        ({"outcome": Outcome("aborted", "why", recovered=False, ago_ms=0)}, "refused"),
        ({"outcome": Outcome("quarantined", "why", recovered=False, ago_ms=0)}, "attention"),
        ({"outcome": PASS, "working": True}, "running"),
        ({"outcome": PASS, "fault": "no proof"}, "fault"),
        ({"outcome": PASS, "silent": True}, "fault"),
        ({"working": True, "silent": True}, "fault"),
        ({"silent": True, "heard": False}, "starting"),
        ({"asked": False}, "starting"),
        ({"asked": False, "working": True}, "running"),
        ({"silent": True, "heard": False, "asked": False, "unsited": NO_SITE}, "not_enrolled"),
        ({"silent": True, "heard": False, "closed": (NO_SITE,), "unsited": NO_SITE}, "not_enrolled"),
        ({"silent": True, "unsited": NO_SITE}, "fault"),
        ({"silent": True, "heard": False, "stopped": True, "unsited": NO_SITE}, "stopped"),
        (
            {
                "silent": True,
                "heard": False,
                "asked": False,
                "unsited": NO_SITE,
                "outcome": Outcome("refused", "why", recovered=False, ago_ms=0),
            },
            "refused",
        ),
        ({"outcome": PASS, "stopped": True}, "stopped"),
        ({"silent": True, "stopped": True}, "stopped"),
    ],
)
def test_pattern(change: dict[str, Any], pattern: str) -> None:
    assert choose(replace(READY, **change))[0].name == pattern


@pytest.mark.parametrize(
    ("closed", "pattern"),
    [
        (Closed("PL-CLK-001", "", ""), "gate_clock"),
        (Closed("PL-SGN-021", "", ""), "gate_clock"),
        (Closed("PL-HSM-003", "", ""), "gate_signer"),
        (Closed("PL-SGN-012", "", ""), "gate_signer"),
        (Closed("PL-SGN-010", "", ""), "not_enrolled"),
        (Closed("PL-REC-050", "", ""), "not_enrolled"),
        (Closed("PL-SGN-023", "", ""), "gate_release"),
        (Closed("PL-SGN-042", "", ""), "gate_release"),
        (Closed("PL-SIT-080", "", ""), "gate_release"),
        (Closed("PL-REC-031", "", ""), "gate_release"),
        (Closed("PL-REC-003", "", ""), "gate_log"),
        (Closed("PL-DUR-003", "", ""), "gate_log"),
        (Closed("PL-IPC-001", "", "", service="signer"), "gate_signer"),
        (Closed("PL-IPC-002", "", "", service="recorder"), "gate_log"),
        (Closed("PL-IPC-001", "", "", service="clock"), "gate_clock"),
        (Closed("PL-XXX-001", "", ""), "fault"),
    ],
)
def test_a_closed_gate_shows_its_family(closed: Closed, pattern: str) -> None:
    assert family(closed) == pattern


def test_the_text_says_why_and_what_to_do() -> None:
    _, text = choose(replace(READY, closed=(CLOCK,), notice="Label X."))
    assert text == "The time is unsure. Wait. (PL-CLK-003) Label X."


def test_green_only_for_a_fresh_proven_pass_that_somebody_watched() -> None:
    outcomes = [None] + [
        Outcome(verdict, "", recovered=recovered, ago_ms=ago_ms)
        for verdict, recovered, ago_ms in product(
            ("pass", "fail", "refused", "aborted", "quarantined"), (False, True), (0, 20_000)
        )
    ]
    for outcome, silent, stopped, fault, working in product(
        outcomes, (False, True), (False, True), ("", "x"), (False, True)
    ):
        view = replace(READY, outcome=outcome, silent=silent, stopped=stopped, fault=fault, working=working)
        green = choose(view)[0].name == "pass"
        undisturbed = not (silent or stopped or fault or working)
        assert green == (undisturbed and outcome == Outcome("pass", "", recovered=False, ago_ms=0))

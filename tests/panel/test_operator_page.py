"""The operator's page tells of every sign that the panel can show."""

from __future__ import annotations

from pathlib import Path

from appliance.panel.lights import PATTERNS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operator.md"
_ROWS = {
    "starting": "all dark",
    "signed_out": "middle, one flash",
    "no_order": "middle, two long flashes",
    "ready": "middle steady",
    "running": "middle blinks evenly",
    "pass": "right steady, short beep",
    "fail": "left steady, long beep",
    "refused": "left long on, short off; two beeps",
    "attention": "left steady, middle on and off",
    "stopped": "left flickers, beeps on and on",
    "fault": "left and middle together, slowly",
    "gate_clock": "left, 2 flashes",
    "gate_signer": "left, 3 flashes",
    "gate_release": "left, 4 flashes",
    "gate_log": "left, one short and one long flash",
    "not_enrolled": "left and middle in turn",
}


def test_every_sign_has_one_row_and_no_row_is_left_over() -> None:
    assert _ROWS.keys() == PATTERNS.keys()
    rows = [line.split("|")[1].strip() for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert sorted(rows[1:]) == sorted(_ROWS.values())

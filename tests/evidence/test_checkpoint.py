"""C2SP checkpoints: one row for every way to be wrong."""

from __future__ import annotations

import base64

import pytest

from appliance.evidence import checkpoint, merkle
from tests.evidence.formats import GOOD_NOTE, ORIGIN, ROOT, code_of


def body(*lines: str) -> str:
    return "".join(f"{one}\n" for one in lines)


B64_ROOT = base64.b64encode(ROOT).decode()
BAD_BODIES = [
    ("no end", f"{ORIGIN}\n12\n{B64_ROOT}", "PL-EVD-050"),
    ("two lines", body(ORIGIN, "12"), "PL-EVD-050"),
    ("an empty origin", body("", "12", B64_ROOT), "PL-EVD-050"),
    ("another log", body("demo.example/bench-02", "12", B64_ROOT), "PL-EVD-051"),
    ("a longer origin", body(ORIGIN + "/", "12", B64_ROOT), "PL-EVD-051"),
    ("a leading zero", body(ORIGIN, "012", B64_ROOT), "PL-EVD-052"),
    ("a sign", body(ORIGIN, "+12", B64_ROOT), "PL-EVD-052"),
    ("a negative size", body(ORIGIN, "-1", B64_ROOT), "PL-EVD-052"),
    ("other digits", body(ORIGIN, "\u0661\u0662", B64_ROOT), "PL-EVD-052"),
    ("an empty size", body(ORIGIN, "", B64_ROOT), "PL-EVD-052"),
    ("a size beyond 2^63", body(ORIGIN, "9223372036854775808", B64_ROOT), "PL-EVD-052"),
    ("a huge size", body(ORIGIN, "9" * 5000, B64_ROOT), "PL-EVD-052"),
    ("a root in hex", body(ORIGIN, "12", ROOT.hex()), "PL-EVD-053"),
    ("a short root", body(ORIGIN, "12", base64.b64encode(ROOT[:31]).decode()), "PL-EVD-053"),
    ("loose base64", body(ORIGIN, "12", B64_ROOT.rstrip("=")), "PL-EVD-053"),
    ("an empty extension", body(ORIGIN, "12", B64_ROOT, "a", "", "b"), "PL-EVD-054"),
    ("nine extensions", body(ORIGIN, "12", B64_ROOT, *"abcdefghi"), "PL-EVD-054"),
]


@pytest.mark.parametrize(("text", "code"), [row[1:] for row in BAD_BODIES], ids=[row[0] for row in BAD_BODIES])
def test_bad_checkpoint(text: str, code: str) -> None:
    assert checkpoint.parse(GOOD_NOTE, ORIGIN)[0] == checkpoint.Checkpoint(ORIGIN, 12, ROOT)
    assert code_of(lambda: checkpoint.parse_body(text, ORIGIN)) == code


def test_a_checkpoint_may_have_extensions_and_no_entries() -> None:
    found = checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT, ("a", "b"))
    assert checkpoint.parse_body(checkpoint.encode_body(found), ORIGIN) == found
    broken = checkpoint.Checkpoint(ORIGIN, 0, merkle.EMPTY_ROOT, ("a\nb",))
    assert code_of(lambda: checkpoint.encode_body(broken)) == "PL-EVD-050"

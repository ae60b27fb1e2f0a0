"""What a verification says to the person who asked, and to a program that did.

- First the answer, then what the evidence is about, then what was checked, then what was *not*: nobody should have to
  guess what a "true" leaves open.
- Plain text for people, one JSON object for programs, from the same `Report`.
- Text out of evidence is printed with everything that is not printable made visible: a document cannot draw on the
  reader's terminal.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify.errors import BAD_INPUT, FALSE, TRUE, UNDECIDED

_WORDS = {TRUE: "TRUE", FALSE: "FALSE", UNDECIDED: "COULD NOT BE CHECKED", BAD_INPUT: "BAD INPUT"}
_LABEL = 14
_WIDTH = 100

Row = tuple[str, str]


@dataclass(slots=True)
class Report:
    """An answer in the making. Rows are (label, text); `level` is the assurance word, empty where none applies."""

    question: str
    headline: str = ""
    outcome: int = TRUE
    level: str = ""
    facts: list[Row] = field(default_factory=list)
    checked: list[Row] = field(default_factory=list)
    unchecked: list[Row] = field(default_factory=list)
    refusal: ProoflineError | None = None


def as_text(report: Report) -> str:
    """The report for a person; ends with a newline."""
    lines = [_clean(report.question), *_rows(report.facts), ""]
    lines += textwrap.wrap(f"{_WORDS[report.outcome]}: {_clean(report.headline)}", _WIDTH, subsequent_indent="  ")
    if report.refusal is not None:
        lines += _rows(
            [
                ("why", f"{report.refusal.engineer_sentence()} [{report.refusal.code}]"),
                ("next", report.refusal.action),
            ]
        )
    for title, rows in (("Checked", report.checked), ("NOT checked", report.unchecked)):
        if rows:
            lines += ["", title, *_rows(rows)]
    return "\n".join(lines) + "\n"


def as_json(report: Report) -> str:
    """The report for a program: one line of canonical JSON, newline included."""
    document = {
        "question": report.question,
        "outcome": report.outcome,
        "answer": _WORDS[report.outcome].lower(),
        "headline": report.headline,
        "level": report.level or None,
        "facts": dict(report.facts),
        "checked": [{"what": what, "found": found} for what, found in report.checked],
        "not_checked": [{"what": what, "why": why} for what, why in report.unchecked],
        "refusal": None if report.refusal is None else report.refusal.as_record(),
    }
    return strict_json.encode(document).decode() + "\n"


def _rows(rows: list[Row]) -> list[str]:
    lines: list[str] = []
    for label, words in rows:
        lines += textwrap.wrap(
            _clean(words),
            _WIDTH,
            initial_indent=f"  {_clean(label):<{_LABEL}}",
            subsequent_indent=" " * (_LABEL + 2),
            break_on_hyphens=False,
        )
    return lines


def _clean(words: str) -> str:
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in words)

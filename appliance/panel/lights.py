"""The LED language: what each pattern shows, as data.

- Three lamps in a row, always in this order: left (red), middle (blue), right (green). Meaning is in *position and
  rhythm*; colour repeats it for those who see it.
- The right lamp is lit in one pattern only, steadily: `pass`, "there is a proof". There is no other use of it.
- The left lamp is lit whenever something is wrong, and never while a unit is worked on. A failed unit therefore cannot
  look like a running one, not even where one lamp is dead.
- The left lamp counts for a closed gate: 2 flashes the clock, 3 the signing key, 4 the release or order; a short and a
  long one the log. Any two patterns differ for 400 ms in each cycle at least, wherever one begins to look.
- A gang fixture may have two lamps more at each position, left (red) and right (green), which are dark while units are
  worked on. Right, steadily: this board has its proof. Left, in the rhythm that the panel's left lamp has: it has not.
- Every pattern repeats after 20 slots of 200 ms, so any two of them can be compared over one cycle.

Pure: `lit` says which lamps burn at a moment; `appliance.panel.pins` makes it so. docs/operator.md shows this table.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOT_MS = 200
SLOTS = 20
LAMPS = ("red", "blue", "green")
"""From left to right."""

_OFF = "." * SLOTS
_STEADY = "x" * SLOTS


@dataclass(frozen=True, slots=True)
class Pattern:
    """One sign. `red`, `blue`, `green`: 20 slots, `x` is lit; `buzzer`: sounded on entry, or for ever (`repeats`)."""

    name: str
    red: str
    blue: str
    green: str
    text: str
    buzzer: str = ""
    repeats: bool = False

    def slots(self) -> tuple[tuple[bool, bool, bool], ...]:
        """The cycle, slot by slot: which of left, middle and right is lit."""
        return tuple((r == "x", b == "x", g == "x") for r, b, g in zip(self.red, self.blue, self.green, strict=True))


PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern("starting", _OFF, _OFF, _OFF, "The station is starting."),
        Pattern("signed_out", _OFF, "xx..................", _OFF, "Scan your badge."),
        Pattern("no_order", _OFF, "xxxx..xxxx..........", _OFF, "Scan a work order."),
        Pattern("ready", _OFF, _STEADY, _OFF, "Ready. Put a board in and press."),
        Pattern("running", _OFF, "xx..xx..xx..xx..xx..", _OFF, "Working. Do not touch the board."),
        Pattern("pass", _OFF, _OFF, _STEADY, "PASS. The proof is in the log.", buzzer="x"),
        Pattern("fail", _STEADY, _OFF, _OFF, "FAIL. Put the board aside.", buzzer="xxxxxxxx"),
        Pattern("refused", "xxxxxxxxxxxxxxx.....", _OFF, _OFF, "NOT DONE. The board was not changed.", buzzer="xx.xx"),
        Pattern(
            "attention",
            _STEADY,
            "xxxxxx....xxxxxx....",
            _OFF,
            "CHECK THIS BOARD. Its work was interrupted. Put it aside.",
            buzzer="xxxx.xxxx",
        ),
        Pattern(
            "stopped",
            "x.x.x.x.x.x.x.x.x.x.",
            _OFF,
            _OFF,
            "LINE STOPPED. Call a lead.",
            buzzer="xx........xx........",
            repeats=True,
        ),
        Pattern(
            "fault",
            "xxxxxxxxxx..........",
            "xxxxxxxxxx..........",
            _OFF,
            "STATION FAULT. Put the board aside and call the line engineer.",
            buzzer="xxxx....xxxx",
        ),
        Pattern("gate_clock", "xx..xx..............", _OFF, _OFF, "The station is not sure of the time."),
        Pattern("gate_signer", "xx..xx..xx..........", _OFF, _OFF, "The signing key is not available."),
        Pattern("gate_release", "xx..xx..xx..xx......", _OFF, _OFF, "There is no valid release or work order."),
        Pattern("gate_log", "xx..xxxxxx..........", _OFF, _OFF, "The log cannot take more units."),
        Pattern("not_enrolled", "xxxxx.....xxxxx.....", ".....xxxxx.....xxxxx", _OFF, "This station is not enrolled."),
    )
}


POSITION_PATTERNS: dict[str, Pattern] = {
    pattern.name: pattern
    for pattern in (
        Pattern("dark", _OFF, _OFF, _OFF, "Nothing is said about this board."),
        Pattern("pass", _OFF, _OFF, _STEADY, "This board passed."),
        Pattern("fail", _STEADY, _OFF, _OFF, "This board failed."),
        Pattern("refused", PATTERNS["refused"].red, _OFF, _OFF, "This board was not changed."),
        Pattern("attention", "xxxxxx....xxxxxx....", _OFF, _OFF, "Check this board."),
    )
}
"""What the two lamps at a position of a gang fixture show; there is no middle one."""


def lit(pattern: Pattern, elapsed_ms: int) -> dict[str, bool]:
    """Which lamps (and `buzzer`) are on, `elapsed_ms` after the pattern was chosen."""
    slot = elapsed_ms // SLOT_MS
    at = slot % SLOTS
    lamps = dict(zip(LAMPS, pattern.slots()[at], strict=True))
    sound = slot % SLOTS if pattern.repeats else slot
    return {**lamps, "buzzer": sound < len(pattern.buzzer) and pattern.buzzer[sound] == "x"}


def rhythm(slots: str) -> str:
    """A lamp's rhythm in words where there is one: `off`, `steady`, or the slots themselves."""
    return {_OFF: "off", _STEADY: "steady"}.get(slots, slots)

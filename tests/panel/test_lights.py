"""The LED language holds without colours, and with a dead lamp."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from appliance.panel.lights import LAMPS, PATTERNS, SLOT_MS, SLOTS, Pattern, lit, rhythm

Cycle = tuple[tuple[bool, bool, bool], ...]

LEAST_MS = 400
"""A person who looks for a whole cycle sees a difference that lasts this long."""


def difference_ms(one: Cycle, other: Cycle) -> int:
    """How long two signs differ within a cycle, at the shift at which they look most alike."""
    return SLOT_MS * min(
        sum(a != b for a, b in zip(one, other[shift:] + other[:shift], strict=True)) for shift in range(SLOTS)
    )


def without(pattern: Pattern, dead: int) -> Cycle:
    return tuple((r and dead != 0, b and dead != 1, g and dead != 2) for r, b, g in pattern.slots())


def test_every_pattern_is_one_whole_cycle() -> None:
    for pattern in PATTERNS.values():
        for lamp in LAMPS:
            assert len(getattr(pattern, lamp)) == SLOTS
            assert set(getattr(pattern, lamp)) <= {"x", "."}
        assert pattern.text


@pytest.mark.parametrize(("one", "other"), list(combinations(PATTERNS, 2)))
def test_two_patterns_differ_in_monochrome_whenever_one_starts_to_look(one: str, other: str) -> None:
    assert difference_ms(PATTERNS[one].slots(), PATTERNS[other].slots()) >= LEAST_MS


def test_the_right_lamp_is_lit_for_a_proof_alone_and_steadily() -> None:
    assert PATTERNS["pass"].green == "x" * SLOTS
    assert all("x" not in pattern.green for name, pattern in PATTERNS.items() if name != "pass")


@pytest.mark.parametrize("name", ["fail", "refused", "attention", "stopped", "fault"])
def test_whatever_is_wrong_lights_the_left_lamp_and_sounds(name: str) -> None:
    assert "x" in PATTERNS[name].red
    assert PATTERNS[name].buzzer


@pytest.mark.parametrize("good", ["running", "ready", "pass", "signed_out", "no_order"])
def test_what_is_right_never_lights_the_left_lamp(good: str) -> None:
    assert "x" not in PATTERNS[good].red


@pytest.mark.parametrize("dead", [0, 1, 2])
@pytest.mark.parametrize("bad", ["fail", "refused", "attention"])
@pytest.mark.parametrize("other", ["running", "pass", "ready"])
def test_with_one_dead_lamp_a_bad_unit_still_looks_like_no_other(dead: int, bad: str, other: str) -> None:
    alike = without(PATTERNS[other], dead)
    if not any(any(slot) for slot in alike):
        return  # with that lamp dead, `other` shows nothing at all: nobody takes the dark for an answer
    assert difference_ms(without(PATTERNS[bad], dead), alike) >= LEAST_MS


def test_closed_gates_count_their_flashes() -> None:
    flashes = {
        name: [len(flash) for flash in PATTERNS[f"gate_{name}"].red.split(".") if flash]
        for name in ("clock", "signer", "release", "log")
    }
    assert flashes == {"clock": [2, 2], "signer": [2, 2, 2], "release": [2, 2, 2, 2], "log": [2, 6]}


def test_distinguishing_is_no_matter_of_one_colour() -> None:
    """Any relabelling of colours leaves positions, and positions alone tell pass, fail and running apart."""
    for order in permutations(range(3)):
        seen = {name: tuple(tuple(slot[i] for i in order) for slot in PATTERNS[name].slots()) for name in PATTERNS}
        assert len(set(seen.values())) == len(PATTERNS)


def test_lamps_follow_the_slots_and_repeat() -> None:
    clock = PATTERNS["gate_clock"]
    shown = [lit(clock, ms)["red"] for ms in range(0, 2 * SLOTS * SLOT_MS, SLOT_MS)]
    assert shown == [slot == "x" for slot in clock.red * 2]


def test_a_verdict_sounds_once_and_a_stopped_line_goes_on() -> None:
    cycle_ms = SLOTS * SLOT_MS
    assert lit(PATTERNS["fail"], 0)["buzzer"]
    assert not any(lit(PATTERNS["fail"], cycle_ms + ms)["buzzer"] for ms in range(0, cycle_ms, SLOT_MS))
    assert lit(PATTERNS["stopped"], 5 * cycle_ms)["buzzer"]


def test_rhythm_has_words_for_the_plain_ones() -> None:
    assert rhythm("." * SLOTS) == "off"
    assert rhythm("x" * SLOTS) == "steady"
    assert rhythm(PATTERNS["gate_clock"].red) == PATTERNS["gate_clock"].red

"""Bounded time without a chronyd: what the interval is, and what makes it unbelievable."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock.errors import ChronyUnreadable, ClockError
from appliance.clock.interval import Instant, Interval, Look, Memory, Rules, Verdict, interval_of, judge, rfc3339
from appliance.clock.reading import Reading, Source, Tracking, parse, parse_authentication
from appliance.clock.sample import interval_of as sample_interval

T0 = 1_795_000_000 * 10**9
SECOND = 10**9
MS = 10**6
TRACKING = "7F000001,127.0.0.1,9,1795349859.438323693,-0.000001242,-0.000000024,0.000000371,0.015,-0.001,0.131,"
TRACKING += "0.000005884,0.000000839,0.3,Normal"
SOURCE = "^,*,127.0.0.1,8,-1,377,1,0.000000712,0.000000702,0.000003747"
RULES = Rules(crystal_ppm=100, floor=0)


def instant(seconds: float, *, jump: int = 0, asleep: int = 0) -> Instant:
    """The clocks some time after T0, after someone had set the clock or the station had slept."""
    raw = round(seconds * SECOND)
    return Instant(T0 + raw + jump + asleep, raw + asleep, raw, raw)


def reading(at: Instant, *, reachable: bool = True, **tracking: Any) -> Reading:
    """Measured a second before `at`; exact but for a millisecond of root dispersion."""
    facts: dict[str, Any] = {
        "stratum": 3,
        "reference_ns": at.realtime - SECOND,
        "system_ns": 0,
        "skew_ppb": 0,
        "root_delay_ns": 0,
        "root_dispersion_ns": MS,
        "leap": "normal",
        **tracking,
    }
    return Reading(Tracking(**facts), (Source("192.0.2.1", 2, selected=reachable, reachable=reachable),))


def look(at: Instant, *, sample: Interval | str | None = None, **facts: Any) -> Look:
    return Look(reading(at, **facts), at, at, sample)


def verdicts(*looks: Look, rules: Rules = RULES) -> list[Verdict]:
    memory, found = Memory(), []
    for each in looks:
        verdict, memory = judge(memory, each, rules)
        found.append(verdict)
    return found


def codes(*looks: Look, rules: Rules = RULES) -> list[str]:
    return [verdict.refusal.code if verdict.refusal else "" for verdict in verdicts(*looks, rules=rules)]


def test_a_report_of_chrony_4_is_read() -> None:
    found = parse(f"{TRACKING}\n{SOURCE}\n")
    assert found.tracking.system_ns == -1242
    assert found.tracking.skew_ppb == 131
    assert found.sources == (Source("127.0.0.1", 8, selected=True, reachable=True),)
    assert parse_authentication("192.0.2.1,NTS,1,15,256,33,0,0,8,100\n") == {"192.0.2.1": "nts"}


@pytest.mark.parametrize(
    "report",
    [
        "",
        "506 Cannot talk to daemon",
        TRACKING.rpartition(",")[0],
        TRACKING + ",",
        TRACKING.replace("Normal", "normal"),
        TRACKING.replace("1795349859", "-1795349859"),
        TRACKING.replace("-0.000001242", "-0.0000012420"),
        TRACKING.replace("-0.000001242", "1e-6"),
        TRACKING.replace("-0.000001242", "nan"),
        TRACKING.replace("-0.000001242", "٣.000001242"),
        TRACKING.replace("0.131", "-0.131"),
        TRACKING.replace(",9,", ",999,"),
        f"{TRACKING}\n{SOURCE}\n\n",
        f"{TRACKING}\n{SOURCE.replace('377', '778')}",
        f"{TRACKING}\n{SOURCE.replace('377', '777')}",
        f"{TRACKING}\n{SOURCE.replace('^', '!')}",
        f"{TRACKING}\n{SOURCE.replace('*', 'o')}",
        f"{TRACKING}\n{SOURCE.replace('127.0.0.1', 'a b')}",
        TRACKING + f"\n{SOURCE}" * 65,
        "," * 20_000,
    ],
)
def test_a_report_of_another_form_is_refused(report: str) -> None:
    with pytest.raises(ChronyUnreadable):
        parse(report)


@given(st.text(max_size=400) | st.lists(st.sampled_from([TRACKING, SOURCE, "", ","]), max_size=4).map("\n".join))
def test_any_report_is_read_or_refused_by_name(report: str) -> None:
    for read in (parse, parse_authentication):
        with contextlib.suppress(ChronyUnreadable):
            read(report)


def test_the_interval_holds_every_part_of_the_error() -> None:
    at = instant(0)
    found = interval_of(
        reading(at, root_dispersion_ns=3 * MS, root_delay_ns=4 * MS, skew_ppb=100_000, reference_ns=T0 - 1000 * SECOND),
        at,
        at,
        crystal_ppm=100,
    )
    # 3 ms + 4 ms / 2 + 1000 s x (100 ppm + 100 ppm)
    assert found.latest - T0 == pytest.approx(205 * MS, abs=2)
    assert T0 - found.earliest == pytest.approx(205 * MS, abs=2)


def test_a_look_that_took_long_is_allowed_for() -> None:
    at = dataclasses.replace(instant(1, jump=15 * MS), torn=20 * MS)
    found = interval_of(reading(at), at, at, crystal_ppm=100)
    assert found.latest - found.earliest > 42 * MS
    assert codes(look(instant(0)), look(at, system_ns=-15 * MS)) == ["", ""]


def test_the_interval_lies_around_the_corrected_time() -> None:
    at = instant(0)
    found = interval_of(reading(at, system_ns=30 * SECOND, reference_ns=T0 + 29 * SECOND), at, at, crystal_ppm=100)
    assert found.earliest <= T0 + 30 * SECOND <= found.latest
    assert found.latest - found.earliest < 3 * MS


@given(
    error=st.integers(-(10**9), 10**9),
    dispersion=st.integers(0, 10**9),
    delay=st.integers(-(10**9), 10**9),
    slack=st.integers(0, 100),
)
def test_true_time_is_inside_whenever_chronyds_bound_is_right(
    error: int, dispersion: int, delay: int, slack: int
) -> None:
    at = instant(0)
    bound = dispersion + abs(delay) // 2
    true_utc = T0 + error + bound * (slack - 50) // 50
    found = interval_of(
        reading(at, system_ns=error, root_dispersion_ns=dispersion, root_delay_ns=delay), at, at, crystal_ppm=1
    )
    assert found.earliest <= true_utc <= found.latest


@pytest.mark.parametrize(
    ("facts", "status", "code"),
    [
        ({}, "Synchronized", ""),
        ({"reachable": False}, "FreeRunning", ""),
        ({"leap": "unsynchronised"}, "Unknown", "PL-CLK-003"),
        ({"reference_ns": 0}, "Unknown", "PL-CLK-003"),
        ({"stratum": 0}, "Unknown", "PL-CLK-004"),
        ({"stratum": 16}, "Unknown", "PL-CLK-004"),
        ({"root_dispersion_ns": 1800 * SECOND}, "Unknown", "PL-CLK-013"),
        ({"system_ns": -T0}, "Unknown", "PL-CLK-013"),
        ({"system_ns": 3 * 10**18}, "Unknown", "PL-CLK-013"),
    ],
)
def test_status_and_refusal(facts: dict[str, Any], status: str, code: str) -> None:
    (verdict,) = verdicts(look(instant(0), **facts))
    assert (verdict.status, verdict.refusal.code if verdict.refusal else "") == (status, code)
    assert (verdict.interval is None) == (status == "Unknown")


def test_a_leap_second_to_come_makes_the_interval_wider() -> None:
    (verdict,) = verdicts(look(instant(0), leap="insert"))
    assert verdict.interval is not None
    assert verdict.interval.latest - verdict.interval.earliest > 2 * SECOND


def test_a_jump_counts_until_chronyd_has_measured_again() -> None:
    before = instant(0)
    jumped, later = instant(1, jump=SECOND), instant(2, jump=SECOND)
    old: dict[str, Any] = {"reference_ns": before.realtime - SECOND, "system_ns": -SECOND}
    found = codes(look(before), look(jumped, **old), look(later, **old), look(later, system_ns=-SECOND))
    assert found == ["", "PL-CLK-005", "PL-CLK-005", ""]


def test_a_suspend_counts_until_chronyd_has_measured_again() -> None:
    old = instant(0).realtime - SECOND
    slept = instant(1, asleep=100 * SECOND)
    assert codes(look(instant(0)), look(slept, reference_ns=old), look(slept)) == ["", "PL-CLK-006", ""]


def test_a_time_that_earlier_readings_rule_out_is_refused_until_it_is_mended() -> None:
    looks = [look(instant(0)), look(instant(1), system_ns=30 * SECOND), look(instant(2), system_ns=-MS)]
    found = verdicts(*looks)
    assert [verdict.status for verdict in found] == ["Synchronized", "Disrupted", "Synchronized"]
    assert found[1].refusal is not None
    assert found[1].refusal.code == "PL-CLK-007"


@pytest.mark.parametrize(("drag_ppm", "caught"), [(0, False), (90, False), (-90, False), (150, True), (-150, True)])
def test_a_drag_beyond_the_crystals_bound_is_caught(drag_ppm: int, caught: bool) -> None:
    seconds = range(0, 600, 10)
    looks = [look(instant(s), system_ns=s * drag_ppm * 1000, reference_ns=T0 + s * SECOND) for s in seconds]
    assert ("PL-CLK-007" in codes(*looks)) == caught


def test_nothing_is_before_the_floor() -> None:
    floor = T0 + 10 * SECOND
    rules = dataclasses.replace(RULES, floor=floor)
    (wholly,) = verdicts(look(instant(0)), rules=rules)
    assert wholly.refusal is not None
    assert wholly.refusal.code == "PL-CLK-008"
    (partly,) = verdicts(look(instant(10)), rules=rules)
    assert partly.interval is not None
    assert partly.interval.earliest == floor


@pytest.mark.parametrize(
    ("sample", "code", "plausible"),
    [
        (None, "PL-CLK-009", None),
        ("timed out", "PL-CLK-009", None),
        (Interval(T0, T0, 0), "", True),
        (Interval(T0 + SECOND, T0 + SECOND, 0), "PL-CLK-010", False),
        (Interval(T0 - SECOND, T0 - SECOND, 0), "PL-CLK-010", False),
        (Interval(T0 - 9 * SECOND, T0 - 9 * SECOND, -9 * SECOND), "PL-CLK-009", None),
    ],
)
def test_the_sample_must_agree(sample: Interval | str | None, code: str, plausible: bool | None) -> None:
    rules = dataclasses.replace(RULES, sample_server="192.0.2.2:123", sample_max_age_s=8)
    (verdict,) = verdicts(look(instant(0), sample=sample), rules=rules)
    assert (verdict.refusal.code if verdict.refusal else "") == code
    assert verdict.plausible is plausible


@pytest.mark.parametrize(
    "facts",
    [{"stratum": 0}, {"stratum": 16}, {"leap": 3}, {"offset_s": float("nan")}, {"delay_s": float("inf")}],
)
def test_an_answer_that_is_no_time_is_no_sample(facts: dict[str, Any]) -> None:
    honest: dict[str, Any] = {"offset_s": 0.1, "delay_s": 0.01, "dispersion_s": 0.0, "stratum": 2, "leap": 0}
    assert isinstance(sample_interval(realtime=T0, raw=0, **honest), Interval)
    assert isinstance(sample_interval(realtime=T0, raw=0, **{**honest, **facts}), str)


def test_times_are_rounded_outwards() -> None:
    assert rfc3339(T0 + 1) == "2026-11-18T11:06:40.000000Z"
    assert rfc3339(T0 + 1, up=True) == "2026-11-18T11:06:40.000001Z"


def test_every_refusal_of_the_clock_says_what_to_do() -> None:
    assert all(error.action and error.engineer for error in ClockError.__subclasses__())

"""When a boot is good: causes inside the image speak against it, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.update.errors import HealthError, SlotUnreadable, SystemSilent
from appliance.update.units import parse
from appliance.update.verdict import UNITS, VERBS, Observed, Unit, causes, unit_of

STARTED = Unit("active", "success", 0, 1_000_000)
FED = replace(STARTED, fed_us=21_000_000)
PLAIN = Unit("active", "success", 0, 0)
BEFORE = {**{unit_of(role): STARTED for role in VERBS}, **dict.fromkeys(UNITS, PLAIN)}
AFTER = {**{unit_of(role): FED for role in VERBS}, **dict.fromkeys(UNITS, PLAIN)}
GOOD = Observed({}, BEFORE, AFTER, None, 240)


def seen(**changes: Unit) -> Observed:
    units = {(name if name.endswith(".service") else unit_of(name)): unit for name, unit in changes.items()}
    return replace(GOOD, after={**AFTER, **units})


def codes(observed: Observed) -> list[str]:
    return [cause.code for cause in causes(observed)]


def test_a_boot_whose_services_answer_and_whose_slot_was_read_is_good() -> None:
    assert codes(GOOD) == []


@pytest.mark.parametrize("role", VERBS)
def test_a_service_that_does_not_answer_is_a_cause(role: str) -> None:
    assert codes(replace(GOOD, silent={role: "no connection"})) == ["PL-HLT-001"]


@pytest.mark.parametrize("role", VERBS)
def test_a_watchdog_that_nobody_feeds_is_a_cause(role: str) -> None:
    assert codes(seen(**{role: STARTED})) == ["PL-HLT-003"]


@pytest.mark.parametrize("role", sorted(VERBS.keys() - {"signer"}))
def test_a_service_that_starts_again_is_a_cause(role: str) -> None:
    assert codes(seen(**{role: replace(FED, restarts=1)})) == ["PL-HLT-002"]


@pytest.mark.parametrize("active", ["active", "activating", "deactivating"])
def test_a_signer_that_waits_for_its_token_is_none(active: str) -> None:
    assert codes(seen(signer=Unit(active, "exit-code", 9, 0))) == []


@pytest.mark.parametrize("state", ["failed", "inactive", "activating"])
def test_a_firewall_that_is_not_up_is_a_cause(state: str) -> None:
    assert codes(seen(**{"nftables.service": Unit(state, "exit-code", 0, 0)})) == ["PL-HLT-004"]


def test_a_block_that_cannot_be_read_is_a_cause() -> None:
    assert codes(replace(GOOD, slot=SlotUnreadable(device="dm-0", at=4096, size=8192, why="EIO"))) == ["PL-HLT-007"]


def test_all_causes_are_told() -> None:
    observed = replace(
        seen(clock=STARTED, line=replace(FED, restarts=2)), silent={"panel": "gone"}, slot=SlotUnreadable()
    )
    assert codes(observed) == ["PL-HLT-003", "PL-HLT-002", "PL-HLT-001", "PL-HLT-007"]


SHOWN = """\
Id=proofline-clock.service
ActiveState=active
Result=success
NRestarts=2
WatchdogTimestampMonotonic=48213577

Id=nftables.service
ActiveState=failed
Result=exit-code
NRestarts=0
WatchdogTimestampMonotonic=0
"""


def test_what_systemd_shows_is_read() -> None:
    assert parse(SHOWN) == {
        "proofline-clock.service": Unit("active", "success", 2, 48_213_577),
        "nftables.service": Unit("failed", "exit-code", 0, 0),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Id=x",
        "ActiveState=active",
        SHOWN.replace("NRestarts=2", "NRestarts=two"),
        SHOWN.replace("Id=nftables.service\n", ""),
        SHOWN.replace("48213577", "[not set]"),
        "System has not been booted with systemd as init system",
    ],
)
def test_what_systemd_does_not_say_is_no_health(text: str) -> None:
    with pytest.raises(SystemSilent):
        parse(text)


@given(st.text(alphabet=st.sampled_from("Id=ActiveState\nNRestarts 01.")))
def test_any_text_is_units_or_a_refusal(text: str) -> None:
    try:
        parse(text)
    except HealthError:
        pass

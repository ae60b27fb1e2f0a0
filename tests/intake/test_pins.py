"""Pins are part of the site's approved word: read at the desk, at intake and by the line, by one strict reader."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.intake.pins import check_pins, pin_set_of, pin_sets
from appliance.verify.site import SiteTrust
from appliance.verify.site_catalogue import check_references
from tests.release.forge import Forge, Memory

CHIP = {"kind": "gpiochip", "path": "/dev/gpiochip0"}
GOOD: dict[str, Any] = {
    "schema": 1,
    "pin_sets": [{"name": "a", "backend": CHIP, "pins": {"swclk": 25, "swdio": 24, "nreset": 18}}],
}


def site(pins: object = GOOD, *, station: str = "bench-01", probe: str = "gpioswd:a") -> SiteTrust:
    forge = Forge()
    forge.documents[f"pins/{station}.json"] = pins
    forge.documents["settings/bench-01.json"]["probe"] = probe
    files = forge.files()
    return SiteTrust.verify(Memory(files), files["metadata/1.root.json"])


def test_a_gpio_probe_hangs_on_the_pins_that_the_site_approved() -> None:
    trust = site()
    check_references(trust)
    check_pins(trust)
    found = pin_set_of(pin_sets(trust, "bench-01"), "gpioswd:a")
    assert found is not None
    assert found.name == "a"
    assert pin_sets(trust, "bench-02") == ()
    assert pin_set_of((), "vnucleo:a") is None


def changed(**fields: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(GOOD))
    document["pin_sets"][0].update(fields)
    return document


@pytest.mark.parametrize(
    ("pins", "code"),
    [
        (changed(pins={"swclk": 25, "swdio": 25}), "PL-SWD-004"),
        (changed(pins={"swclk": 2500, "swdio": 24}), "PL-SWD-003"),
        (changed(pins={"swclk": 25}), "PL-SWD-002"),
        (changed(backend={"kind": "spi"}), "PL-SWD-006"),
        (changed(name="b"), "PL-SWD-007"),
        ({**GOOD, "pin_sets": GOOD["pin_sets"] * 2}, "PL-SWD-005"),
        ({**GOOD, "schema": 2}, "PL-SWD-002"),
        (b"{", "PL-SWD-002"),
    ],
)
def test_pins_that_cannot_be_are_refused_before_they_are_staged(pins: object, code: str) -> None:
    trust = site(pins)
    with pytest.raises(ProoflineError) as refusal:
        check_pins(trust)
    assert refusal.value.code == code


def test_a_gpio_probe_without_pins_is_refused() -> None:
    trust = site(probe="gpioswd:other")
    with pytest.raises(ProoflineError) as refusal:
        check_pins(trust)
    assert refusal.value.code == "PL-SWD-007"


def test_pins_of_a_station_that_nobody_approved_are_refused() -> None:
    with pytest.raises(ProoflineError) as refusal:
        check_references(site(station="bench-77"))
    assert refusal.value.code == "PL-SIT-070"

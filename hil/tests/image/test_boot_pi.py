"""The same card in the nearest thing to a Raspberry Pi that there is here: QEMU's Pi 3, from the real U-Boot on.

QEMU models no network and no inputs of its pins, so nothing is pressed; the card, its slots and the boot are the Pi's.
Nor does it model a TPM on the header's bus: what is seen is how a Pi without one asks, is not answered, and lets go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from hil.virtual_station.card import Card, lines
from hil.virtual_station.station import VirtualStation

FUNCTIONS = 0x3F200000
"""GPFSEL0 and 1: three bits a pin, 0 for an input, 4 for alternative function 0 (BCM2835 ARM Peripherals 6.1)."""
ERRORS = {
    r"^tpm_tis_spi spi0\.1: probe with driver tpm_tis_spi failed with error -110$": "nothing hangs on the header's bus",
    r"^bcm2835-power .*: ASB register ID returned 0x00000000$": "the emulator has no such block",
    r"^raspberrypi-exp-gpio .*: Failed to get GPIO \d config": "the emulated firmware knows nothing of its own pins",
    r"^pwrseq_simple wifi-pwrseq: ": "the radio's reset is one of those; no station has a radio",
    r"^efifb: cannot acquire aperture$|^efi-framebuffer ": "the picture that U-Boot leaves has an owner; nobody looks",
}
"""What the kernel may call an error here, and why it may."""


@dataclass
class Visit:
    """What one boot brought."""

    console: str
    functions: dict[int, int]
    journal: list[dict[str, Any]]
    card: Card


@pytest.fixture(scope="module")
def visit() -> Visit:
    """A card's first boot, until the station has said why it is not ready and has written it down."""
    with VirtualStation("pi", board="raspi3b") as station:
        station.power_on()
        station.wait_console(r"proofline: slot a; attempts left a=2 b=0", timeout_s=300)
        station.wait_console(r"proofline: not ready: not_enrolled", timeout_s=1200)
        assert station.qmp is not None
        told = station.qmp.ask("human-monitor-command", **{"command-line": f"xp /2xw {FUNCTIONS:#x}"})
        low, high = (int(word, 16) for word in re.findall(r" (0x[0-9a-f]{8})\b", told))
        functions = {pin: (low if pin < 10 else high) >> 3 * (pin % 10) & 7 for pin in range(20)}
        console = station.console()
        station.wait_journal("proofline: not ready: not_enrolled", timeout_s=600)
        station.power_cut()
        return Visit(console, functions, station.card.journal(), station.card)


def test_the_card_starts_in_a_pi_3_and_says_why_it_is_not_ready(visit: Visit) -> None:
    assert "proofline: not ready: not_enrolled" in visit.console
    assert "proofline-state" in visit.card.partitions()


def test_no_unit_failed(visit: Visit) -> None:
    failed = [one for one in visit.journal if "Failed with result" in str(one.get("MESSAGE"))]
    assert failed == [], lines(failed)


def test_a_tpm_was_asked_for_once_on_the_headers_bus_and_the_state_says_that_there_is_none(visit: Visit) -> None:
    assert "proofline: state: plain: this machine has no TPM" in visit.console
    asked = [one for one in visit.journal if "tpm_tis_spi spi0.1" in str(one.get("MESSAGE"))]
    assert len(asked) == 1, lines(asked)


def test_without_a_tpm_the_pins_of_the_bus_are_inputs_again_and_stay_so(visit: Visit) -> None:
    """A whole boot later: neither udev nor anybody else has loaded the driver again."""
    assert {pin: visit.functions[pin] for pin in (7, 8, 9, 10, 11)} == dict.fromkeys((7, 8, 9, 10, 11), 0)


def test_every_error_in_the_journal_has_its_reason(visit: Visit) -> None:
    errors = [one for one in visit.journal if int(one.get("PRIORITY", 6)) <= 3]
    unexplained = [one for one in errors if not any(re.search(known, str(one["MESSAGE"])) for known in ERRORS)]
    assert unexplained == [], lines(unexplained)

"""The same card in the nearest thing to a Raspberry Pi that there is here: QEMU's Pi 3, from the real U-Boot on.

QEMU models no network and no inputs of its pins, so nothing is pressed; the card, its slots and the boot are the Pi's.
"""

from __future__ import annotations

from hil.virtual_station.card import Card
from hil.virtual_station.station import VirtualStation


def test_the_card_starts_in_a_pi_3_and_says_why_it_is_not_ready() -> None:
    with VirtualStation("pi", board="raspi3b") as station:
        station.power_on()
        station.wait_console(r"proofline: slot a; attempts left a=2 b=0", timeout_s=300)
        station.wait_console(r"proofline: not ready: not_enrolled", timeout_s=1200)
        station.power_cut()
        card = Card(station.disk)
        assert "proofline-state" in card.partitions()
        failed = [one["MESSAGE"] for one in card.journal() if "Failed with result" in str(one.get("MESSAGE"))]
        assert failed == []

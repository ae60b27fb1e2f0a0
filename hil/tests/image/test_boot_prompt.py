"""Whoever stands at a Pi's serial line gets no prompt, whatever they type and whenever: Debian's real U-Boot for it."""

from __future__ import annotations

from hil.virtual_station.errors import NotSeen
from hil.virtual_station.station import VirtualStation

TYPED = b"\x03 \r\nversion\r\n" * 400
"""Ctrl-C, a key, and a command, over and over."""
PROMPT = "U-Boot> "


def test_no_key_stops_the_boot_of_a_pi() -> None:
    with VirtualStation("prompt-closed", board="raspi3b") as station:
        station.power_on(typed=TYPED)
        station.wait_console(r"proofline: slot a; attempts left", timeout_s=300)
        assert PROMPT not in station.console()
        assert "Hit any key" not in station.console()


def test_without_the_baked_environment_the_same_keys_get_one() -> None:
    """The test before can fail; and what the environment is worth to somebody who has the card: nothing."""
    with VirtualStation("prompt-open", board="raspi3b") as station:
        start, size = station.card.place("proofline-boot")
        with station.disk.open("rb") as card:
            card.seek(start)
            at = card.read(size).index(b"arch=arm\0baudrate=")
        station.card.flip("proofline-boot", at)
        station.power_on(typed=TYPED)
        station.wait_console(PROMPT, timeout_s=300)


def test_a_pi_with_nothing_to_start_asks_nobody() -> None:
    with VirtualStation("prompt-nothing", board="raspi3b") as station:
        start, size = station.card.place("proofline-boot")
        with station.disk.open("r+b") as card:
            card.seek(start)
            name = card.read(size).index(b"BOOT    SCR")
            card.seek(start + name)
            card.write(b"NOTHING SCR")
        station.power_on(typed=TYPED)
        try:
            station.wait_off(timeout_s=300)
        except NotSeen as error:
            raise AssertionError("it neither starts nor resets") from error
        assert PROMPT not in station.console()

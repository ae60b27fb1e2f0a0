"""A station's pins are settings like any other: approved at the desk, and read strictly before they are staged.

`pins/<station>.json` is what `appliance.swd.settings` reads. Desk and intake both read it, so that a pin used twice is
found by whoever writes it and not by the first board on the station.
"""

from __future__ import annotations

from appliance.swd import settings
from appliance.swd.settings import PinSet
from appliance.verify.site_catalogue import Catalogue

GPIO_PROBE = "gpioswd:"


def pin_sets(site: Catalogue, station: str) -> tuple[PinSet, ...]:
    """The station's pin sets; none where the site names none. Raises a `PL-SWD` refusal."""
    path = f"pins/{station}.json"
    return settings.parse(site.read(path)) if path in site.targets else ()


def pin_set_of(sets: tuple[PinSet, ...], probe: str) -> PinSet | None:
    """The pins behind a probe `gpioswd:<name>`; None for a probe of another kind. Raises a `PL-SWD` refusal."""
    if not probe.startswith(GPIO_PROBE):
        return None
    return settings.named(sets, probe.removeprefix(GPIO_PROBE))


def check_pins(site: Catalogue) -> None:
    """Refuse a site with pins that cannot be, or with a GPIO probe that no pins are named for."""
    for station in site.names("pins"):
        pin_sets(site, station)
    for station in site.names("settings"):
        sets = pin_sets(site, station)
        for probe in site.settings(station).probes:
            pin_set_of(sets, probe)

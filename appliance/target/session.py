"""The room's front door: one target, open for as long as one unit takes.

- One connection for the whole unit; closed whatever happens. Unless `release` let the board run, it stays halted.
- Nothing is retried here: an uncertain outcome is reported, not repaired.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from appliance.target.boards.profile import BoardProfile
from appliance.target.identify import DeviceIdentity, identify
from appliance.target.image import Image
from appliance.target.link import Link, connect, find_probe, named
from appliance.target.measure import Measurement, Mode, NamedRange, measure
from appliance.target.program import Erase, ProgramReport, Progress, program


class Target:
    """The board on the other end of the probe. Made by `open_target`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def identify(self) -> DeviceIdentity:
        """Who the silicon is; reads only. Raises `DeviceRefused`, `LinkError`."""
        return identify(self._link)

    def program(self, image: Image, progress: Progress | None = None, erase: Erase = Erase.NEEDED) -> ProgramReport:
        """Makes the flash hold `image` and nothing else; `progress(done, total)` in bytes.

        Raises `DeviceRefused`, `LinkError`, `MeasurementError` (the blank check did not come about), all with the flash
        untouched, and `FlashUncertain`. Whether it came out right is what `measure` says, not this.
        """
        return program(self._link, image, progress or _silent, erase)

    def measure(self, image_ranges: Sequence[NamedRange], mode: Mode = "stub") -> Measurement:
        """What all of the flash holds: the ranges' SHA-256, the rest erased or not.

        Raises `MeasurementError`, `DeviceRefused`.
        """
        return measure(self._link, image_ranges, mode)

    def release(self, *, run: bool) -> None:
        """Lets the board run from reset, with no trace of the debugger; or leaves it halted. Raises `LinkError`."""
        if run:
            with named("release"):
                self._link.run_from_reset()


@contextmanager
def open_target(
    probe_uid: str, profile: BoardProfile, *, swclk_hz: int, cancel: threading.Event | None = None
) -> Iterator[Target]:
    """The target behind the probe with this unique id (`<plug-in>:<id>` or `<id>`), connected under reset and halted.

    Setting `cancel` from another thread stops the work between transfers. Raises `LinkError`.
    """
    with open_target_on(find_probe(probe_uid), profile, swclk_hz=swclk_hz, cancel=cancel) as target:
        yield target


@contextmanager
def open_target_on(
    probe: Any, profile: BoardProfile, *, swclk_hz: int, cancel: threading.Event | None = None
) -> Iterator[Target]:
    """As `open_target`, on a pyOCD `DebugProbe` object that the caller has found already."""
    with connect(probe, profile, swclk_hz=swclk_hz, cancel=cancel) as link:
        yield Target(link)


def _silent(done: int, total: int) -> None:
    """No progress wanted."""
    del done, total

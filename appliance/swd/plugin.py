"""The entry point by which pyOCD finds the probe `gpioswd` (group `pyocd.probe`).

A module of its own: pyOCD loads it in the middle of importing its probes, when no probe class can be defined yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyocd.core.plugin import Plugin

if TYPE_CHECKING:
    from appliance.swd.probe import GpioSwdProbe


class GpioSwdPlugin(Plugin):  # type: ignore[misc]  # pyOCD has no annotations
    """Makes `gpioswd` known to pyOCD."""

    def should_load(self) -> bool:
        """Always; where no pin sets are named, there are simply no probes."""
        return True

    def load(self) -> type[GpioSwdProbe]:
        """The probe class."""
        from appliance.swd.probe import GpioSwdProbe  # see the module's description

        return GpioSwdProbe

    @property
    def name(self) -> str:
        """The probe's type in a unique id."""
        return "gpioswd"

    @property
    def description(self) -> str:
        """For `pyocd list --plugins`."""
        return "SWD over GPIO (Proofline)"

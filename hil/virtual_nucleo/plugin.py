"""Makes the probe type ``vnucleo`` known to pyOCD (entry point group ``pyocd.probe``)."""

from __future__ import annotations

from pyocd.core.plugin import Plugin
from pyocd.probe.debug_probe import DebugProbe

from hil.virtual_nucleo.pyocd_probe import VirtualNucleoProbe


class VirtualNucleoPlugin(Plugin):  # type: ignore[misc]  # pyOCD has no annotations that mypy may read
    """What pyOCD asks a plug-in."""

    def load(self) -> type[DebugProbe]:
        """The probe class."""
        return VirtualNucleoProbe

    @property
    def name(self) -> str:
        """The probe type in a unique id."""
        return "vnucleo"

    @property
    def description(self) -> str:
        """For ``pyocd list --plugins``."""
        return "virtual NUCLEO-F412ZG bench"

"""Makes the probe type `gpioswd` known to pyOCD (entry point group `pyocd.probe`)."""

from __future__ import annotations

from pyocd.core.options import OptionInfo
from pyocd.core.plugin import Plugin

from appliance.swd.pyocd_probe import RECORD_OPTION, GpioSwdProbe


class GpioSwdPlugin(Plugin):  # type: ignore[misc]  # pyOCD has no annotations
    """Where no pin sets are named, there are simply no probes."""

    def load(self) -> type[GpioSwdProbe]:
        """The probe class."""
        return GpioSwdProbe

    @property
    def name(self) -> str:
        """The probe's type in a unique id."""
        return "gpioswd"

    @property
    def description(self) -> str:
        """For `pyocd list --plugins`."""
        return "SWD over GPIO (Proofline)"

    @property
    def options(self) -> list[OptionInfo]:
        """For `pyocd -O`."""
        return [OptionInfo(RECORD_OPTION, str, None, "Record the wire into this VCD file.")]

"""The pyOCD probe `gpioswd`, importable in any order.

pyOCD loads its plug-ins in the middle of its own import, and the probe needs pyOCD: so pyOCD goes first.
"""

from __future__ import annotations

import pyocd  # noqa: F401  # see above

from appliance.swd.pyocd_probe import RECORD_OPTION, SETTINGS_VARIABLE, GpioSwdProbe

__all__ = ["RECORD_OPTION", "SETTINGS_VARIABLE", "GpioSwdProbe"]

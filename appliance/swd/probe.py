"""The pyOCD probe `gpioswd`, importable in any order.

pyOCD loads its plug-ins in the middle of its own import, and the probe needs pyOCD: so pyOCD goes first.
"""

from __future__ import annotations

import pyocd  # noqa: F401  # see above

from appliance.swd.pyocd_probe import SETTINGS_VARIABLE, GpioSwdProbe

__all__ = ["SETTINGS_VARIABLE", "GpioSwdProbe"]

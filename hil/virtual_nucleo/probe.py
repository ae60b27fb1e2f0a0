"""The pyOCD probe of the virtual bench, importable in any order.

pyOCD loads plug-ins in the middle of its own import, and the plug-in needs pyOCD: so pyOCD goes first.
"""

from __future__ import annotations

import pyocd  # noqa: F401 -- see above

from hil.virtual_nucleo.pyocd_probe import DOORS_VARIABLE, LocalLink, VirtualNucleoProbe

__all__ = ["DOORS_VARIABLE", "LocalLink", "VirtualNucleoProbe"]

"""Settings every test shares: Hypothesis keeps its examples with the other build products and never judges speed.

The programs that set-up put beside the interpreter (chronyd) are found as under `make`, whoever starts pytest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
set_hypothesis_home_dir(Path(__file__).parent / ".build" / "hypothesis")
settings.register_profile("proofline", deadline=None, print_blob=True)
settings.load_profile("proofline")

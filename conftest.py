"""Settings every test shares: Hypothesis keeps its examples with the other build products and never judges speed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir(Path(__file__).parent / ".build" / "hypothesis")
settings.register_profile("proofline", deadline=None, print_blob=True)
settings.load_profile("proofline")

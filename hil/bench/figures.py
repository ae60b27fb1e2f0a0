"""Printing and summing up figures."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Sequence


def show(figure: str, value: float, unit: str, reference: float | None = None, **explanation: object) -> None:
    """Print one figure; the ratio is value over reference."""
    ratio = None if not reference else round(value / reference, 4)
    line = {"figure": figure, "value": _plain(value), "unit": unit, "reference": _plain(reference), "ratio": ratio}
    print(json.dumps(line | explanation, ensure_ascii=False), flush=True)


def say(text: str) -> None:
    """What is being measured, for whoever waits."""
    print(f"# {text}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _plain(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")

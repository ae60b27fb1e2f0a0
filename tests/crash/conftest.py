"""Thousands of directories come and go here: they do so in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scratch import memory


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with memory(tmp_path) as place:
        yield place

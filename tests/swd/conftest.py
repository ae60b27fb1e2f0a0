"""Fixtures: the reference target on a port, connected where a test is about what follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.swd import pins
from appliance.swd.port import SwdPort
from tests.swd.reference_target import ReferenceTarget


@pytest.fixture
def target() -> ReferenceTarget:
    return ReferenceTarget()


@pytest.fixture
def port(target: ReferenceTarget) -> Iterator[SwdPort]:
    """Connected, debug powered up, 32-bit accesses with auto-increment."""
    with pins.on_object(target) as opened:
        opened.connect()
        opened.write_dp(0x4, 0x50000000)
        opened.write_dp(0x8, 0)
        opened.write_ap(0x0, 0x23000012)
        target.log.clear()
        yield opened

"""The clock service against a real chronyd that follows an honest, a lying and a silent server."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.clock.conftest import Bench

TENTH_S_US = 100_000


def until(bench: Bench, *codes: str, width_us: int = 10**9) -> dict[str, Any] | None:
    """The first verdict with one of these codes ("" = none) and at most this width; None when it did not come."""
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        if bench.code() in codes:
            verdict = bench.read()
            refusal = verdict.get("refusal")
            if (refusal["code"] if refusal else "") in codes and (verdict.get("width_us") or 0) <= width_us:
                return verdict
        time.sleep(0.1)
    return None


def bounds(verdict: dict[str, Any]) -> tuple[datetime, datetime]:
    earliest, latest = (datetime.fromisoformat(verdict[name]) for name in ("earliest", "latest"))
    return earliest, latest


def test_the_interval_holds_true_time_and_lies_are_refused_until_they_end(bench: Bench) -> None:
    bench.start_server()
    bench.start_chronyd()
    bench.start_clock()
    before = datetime.now(UTC)
    verdict = until(bench, "", width_us=TENTH_S_US)
    after = datetime.now(UTC)
    assert verdict is not None
    earliest, latest = bounds(verdict)
    assert earliest <= after
    assert latest >= before
    assert verdict["status"] == "Synchronized"
    assert verdict["plausible"] is True
    assert verdict["sources"] == ["127.0.0.1 stratum=2 auth=unread"]

    bench.tell(offset_ms=30_000)
    lie = until(bench, "PL-CLK-007", "PL-CLK-010")
    assert lie is not None
    bench.tell(offset_ms=0)
    assert until(bench, "") is not None

    bench.tell(silent=True)
    assert until(bench, "PL-CLK-009") is not None
    assert bench.read()["status"] == "FreeRunning"
    bench.stop("chronyd")
    stopped = until(bench, "PL-CLK-001")
    assert stopped is not None
    assert stopped["status"] == "Unknown"
    assert stopped.get("earliest") is None


def test_a_server_that_is_unsure_makes_the_interval_as_wide(bench: Bench) -> None:
    bench.start_server()
    bench.tell(root_dispersion_ms=2_000)
    bench.start_chronyd()
    bench.start_clock()
    verdict = until(bench, "", width_us=4_100_000)
    assert verdict is not None
    assert verdict["width_us"] >= 4_000_000


def test_a_system_clock_that_is_wrong_and_not_steered_is_corrected_by_the_interval(bench: Bench) -> None:
    bench.start_server()
    bench.tell(offset_ms=3_600_000)  # chronyd -x leaves the machine's clock an hour behind this server
    bench.start_chronyd()
    bench.start_clock()
    verdict = until(bench, "", width_us=TENTH_S_US)
    assert verdict is not None
    earliest, latest = bounds(verdict)
    offset_s = (earliest.timestamp() + latest.timestamp()) / 2 - time.time()
    assert 3_595 < offset_s < 3_605


def test_a_restart_does_not_forget_what_earlier_readings_allow(bench: Bench) -> None:
    bench.start_chronyd_server()
    bench.start_chronyd()
    bench.start_clock(sample=False)
    assert until(bench, "", width_us=TENTH_S_US) is not None
    state = bench.folder / "state" / "clock.json"
    deadline = time.monotonic() + 20
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    for name in ("clock", "chronyd", "server"):
        bench.stop(name)
    bench.start_server()
    bench.tell(offset_ms=60_000)
    bench.start_chronyd()
    bench.start_clock(sample=False)
    assert until(bench, "PL-CLK-007") is not None


def test_time_before_the_image_was_built_is_refused(bench: Bench) -> None:
    epoch = bench.folder / "clock-epoch"
    epoch.touch()
    built = time.time() + 86_400
    os.utime(epoch, (built, built))
    bench.start_server()
    bench.start_chronyd()
    bench.start_clock(epoch_file=os.fspath(epoch))
    assert until(bench, "PL-CLK-008") is not None

"""What the line loads after its start: in time, and never silently not."""

from __future__ import annotations

import sys
import threading

import pytest

from appliance.line import warm


def test_a_part_that_is_missing_stops_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "QUIET_S", 0.0)
    monkeypatch.setitem(sys.modules, "appliance.line.target_bench", None)
    up, stop, warming = threading.Event(), threading.Event(), warm.Warming()
    up.set()
    with pytest.raises(ImportError):
        warming.run(up, stop)
    assert stop.is_set()
    assert not warming.done()


def test_nothing_is_loaded_before_the_line_is_up() -> None:
    up, stop, warming = threading.Event(), threading.Event(), warm.Warming()
    thread = threading.Thread(target=warming.run, args=(up, stop))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert not warming.done()

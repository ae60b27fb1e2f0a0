"""The panel's configuration and the scanner's lines."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.panel import config, scanner
from appliance.panel.errors import ConfigWrong

PINS = {"button": 17, "red": 5, "blue": 6, "green": 13, "buzzer": 19}
GOOD = {"schema": 1, "pins": PINS, "scanner": "/dev/scanner"}


def test_a_good_configuration() -> None:
    found = config.parse(json.dumps({**GOOD, "pass_ms": 1000}).encode(), "panel.json")
    assert (found.pins["green"], found.heartbeat_ms, found.pass_ms) == (13, 5000, 1000)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"schema":1,"schema":1}',
        json.dumps({**GOOD, "schema": 2}).encode(),
        json.dumps({**GOOD, "colour": "red"}).encode(),
        json.dumps({**GOOD, "pins": {**PINS, "amber": 7}}).encode(),
        json.dumps({**GOOD, "pins": {"button": 17}}).encode(),
        json.dumps({**GOOD, "pins": {**PINS, "red": 17}}).encode(),
        json.dumps({**GOOD, "pins": {**PINS, "red": "17"}}).encode(),
        json.dumps({**GOOD, "pins": {**PINS, "red": True}}).encode(),
        json.dumps({**GOOD, "pins": {**PINS, "red": None}}).encode(),
        json.dumps({**GOOD, "pins": []}).encode(),
        json.dumps({**GOOD, "scanner": "scanner"}).encode(),
        json.dumps({**GOOD, "scanner": "/a\0b"}).encode(),
        json.dumps({**GOOD, "scanner": 5}).encode(),
        json.dumps({**GOOD, "heartbeat_ms": 1}).encode(),
        json.dumps({**GOOD, "pass_ms": "5000"}).encode(),
        json.dumps({**GOOD, "debounce_ms": True}).encode(),
        b"x" * 70_000,
    ],
)
def test_a_broken_configuration_is_refused_by_name(document: bytes) -> None:
    with pytest.raises(ConfigWrong):
        config.parse(document, "panel.json")


def test_a_missing_configuration_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("", os.fspath(tmp_path / "none"), os.fspath(tmp_path)):
        with pytest.raises(ConfigWrong):
            config.load({"PROOFLINE_PANEL_CONFIG": name})


@given(st.binary(max_size=300))
def test_any_bytes_as_configuration_are_refused_by_name(document: bytes) -> None:
    with pytest.raises(ConfigWrong):
        config.parse(document, "panel.json")


@given(st.lists(st.binary(max_size=2000), max_size=10))
def test_lines_are_the_same_however_the_bytes_arrive_and_never_long(pieces: list[bytes]) -> None:
    whole, split = scanner.Lines(), scanner.Lines()
    data = b"".join(pieces)
    lines = [line for piece in pieces for line in split.feed(piece)]
    assert lines == whole.feed(data)
    assert all(0 < len(line.encode()) <= 3 * scanner.MAX_LINE for line in lines)
    assert all("\r" not in line and "\n" not in line for line in lines)


def test_a_fifo_is_read_across_writers_and_a_missing_one_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "scanner"
    os.mkfifo(path)
    heard: list[str] = []
    two = threading.Event()
    stopping = threading.Event()

    def on_line(text: str) -> None:
        heard.append(text)
        if len(heard) == 2:
            two.set()

    reader = threading.Thread(target=scanner.read, args=(path, on_line, stopping))
    reader.start()
    for text in (b"one\r\n", b"two\n"):
        with path.open("wb") as fifo:
            fifo.write(text)
    assert two.wait(20)
    stopping.set()
    reader.join()
    assert heard == ["one", "two"]

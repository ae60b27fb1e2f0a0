"""The clock's configuration and memory, read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock.config import Kept, epoch_ns, load, parse_config, save
from appliance.clock.errors import ClockConfigWrong, ClockStateDamaged
from appliance.clock.interval import Interval

GOOD: dict[str, Any] = {
    "schema": 1,
    "chronyc": ["-h", "127.0.0.1", "-p", "10323"],
    "sample": {"host": "192.0.2.1", "port": 123, "max_age_s": 900},
}


def test_a_good_configuration_is_read() -> None:
    config = parse_config(json.dumps(GOOD).encode())
    assert config.chronyc == ("-h", "127.0.0.1", "-p", "10323")
    assert config.crystal_ppm == 100
    assert parse_config(json.dumps({**GOOD, "sample": None}).encode()).sample is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": 2}, "schema"),
        ({"surprise": 1}, "surprise"),
        ({"chronyc": []}, "chronyc"),
        ({"chronyc": "-h"}, "chronyc"),
        ({"chronyc": ["-h; reboot"]}, "chronyc"),
        ({"chronyc": ["-h", 1]}, "chronyc"),
        ({"sample": {}}, "sample"),
        ({"sample": {**GOOD["sample"], "host": "-x"}}, "sample.host"),
        ({"sample": {**GOOD["sample"], "port": 0}}, "sample.port"),
        ({"sample": {**GOOD["sample"], "port": True}}, "sample.port"),
        ({"sample": {**GOOD["sample"], "max_age_s": 10**9}}, "sample.max_age_s"),
        ({"crystal_ppm": 501}, "crystal_ppm"),
        ({"epoch_file": "here"}, "epoch_file"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ClockConfigWrong) as refusal:
        parse_config(json.dumps({**GOOD, **change}).encode())
    assert refusal.value.details["field"] == field


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_refused(document: bytes) -> None:
    with pytest.raises(ClockConfigWrong):
        parse_config(document)


def test_the_memory_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    assert load(path) is None
    for kept in (Kept(5, "ab", None), Kept(7, "cd", Interval(1, 2, 3))):
        save(path, kept)
        assert load(path) == kept


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b'{"boot_id":"a","floor":-1,"possible":null,"schema":1}',
        b'{"boot_id":"a","floor":1,"possible":[1,2],"schema":1}',
        b'{"boot_id":"a","floor":1,"possible":["1",2,3],"schema":1}',
        b'{"boot_id":1,"floor":1,"possible":null,"schema":1}',
        b'{"boot_id":"a","floor":1,"possible":null,"schema":2}',
        b'{"boot_id":"a","floor":1,"floor":1,"possible":null,"schema":1}',
    ],
)
def test_a_damaged_memory_is_refused(tmp_path: Path, document: bytes) -> None:
    path = tmp_path / "clock.json"
    path.write_bytes(document)
    with pytest.raises(ClockStateDamaged):
        load(path)


def test_the_epoch_is_the_files_age(tmp_path: Path) -> None:
    epoch = tmp_path / "clock-epoch"
    assert epoch_ns(epoch) == 0
    epoch.touch()
    assert epoch_ns(epoch) == epoch.stat().st_mtime_ns

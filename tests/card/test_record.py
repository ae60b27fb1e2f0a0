"""The build record: what is taken for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.card.errors import CardInputUnreadable, RecordMalformed
from appliance.card.record import parse_record, read_record
from tests.card.workbench import Build

GOOD: dict[str, Any] = {"schema": 1, "version": "0.1.0", "artefacts": {"disk.raw": "0" * 64}, "sizes": {"disk.raw": 5}}


def test_a_record_says_what_is_shipped(build: Build) -> None:
    record = read_record(build.record)
    assert (record.version, record.sizes["disk.raw"]) == ("0.1.0", build.disk.stat().st_size)
    assert parse_record(json.dumps(GOOD | {"inputs": {}, "tools": []}).encode(), "x").artefacts == GOOD["artefacts"]


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"schema": None},
        {"version": 1},
        {"artefacts": None},
        {"artefacts": []},
        {"artefacts": {}},
        {"artefacts": {"disk.raw": "0" * 63}},
        {"artefacts": {"disk.raw": "A" * 64}},
        {"artefacts": {"disk.raw": None}},
        {"artefacts": {"disk.raw": "0" * 64, "../root": "0" * 64}},
        {"artefacts": {"disk.raw": "0" * 64, "": "0" * 64}},
        {"sizes": None},
        {"sizes": {"disk.raw": -1}},
        {"sizes": {"disk.raw": True}},
        {"sizes": {"disk.raw": "5"}},
        {"sizes": {"other": 5}},
    ],
    ids=str,
)
def test_a_record_that_is_not_one_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RecordMalformed):
        parse_record(json.dumps(GOOD | changes).encode(), "build.json")


@given(st.binary(max_size=200))
def test_anything_else_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(RecordMalformed):
        parse_record(data, "build.json")


def test_a_record_that_is_not_there_or_endless_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardInputUnreadable):
        read_record(tmp_path / "build.json")
    (tmp_path / "build.json").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(RecordMalformed):
        read_record(tmp_path / "build.json")

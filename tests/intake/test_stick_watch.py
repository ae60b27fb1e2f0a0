"""A stick that is plugged in is imported once, by itself, and what came of it is told."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.intake import stick as sticks
from appliance.intake.media import Medium
from appliance.intake.on_record import OnRecord
from appliance.intake.service import NoIntake
from appliance.intake.stick import Stick, watch
from appliance.intake.stick_errors import StickPulled
from appliance.station import NotEnrolled
from tests.intake.fatforge import Forge
from tests.intake.test_intake import Station, newer, station, station_files

__all__ = ["station"]


class Port:
    """The intake port: what is plugged in, look by look, until the looks are over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, looks: list[str | None]) -> None:
        self.device = folder / "stick"
        self._looks = iter(looks)
        self.stopping = threading.Event()
        monkeypatch.setattr(sticks, "_LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(sticks, "plugged", self._plugged)

    def _plugged(self, device: Path) -> str | None:
        assert device == self.device
        try:
            return next(self._looks)
        except StopIteration:
            self.stopping.set()
            return None


class Heard:
    """A taker that only notes."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, source: str, medium: Callable[[], Medium], *, on_record: OnRecord | None = None) -> dict[str, Any]:
        assert on_record is None  # each plug is somebody's deed
        try:
            medium().entries("", 100)
            self.taken.append(source)
        except ProoflineError as refusal:
            self.taken.append(refusal.code)
            raise
        return {}


def with_carrier(device: Path, files: dict[str, bytes]) -> None:
    device.write_bytes(Forge(bits=16, files={f"proofline/{path}": one for path, one in files.items()}).volume)


def test_each_plug_is_one_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, station: Station) -> None:
    port = Port(monkeypatch, tmp_path, [None, "7", "7", "7", None, "7", "8", "8", None, "9"])
    with_carrier(port.device, station_files(station))
    heard = Heard()
    watch(heard, port.stopping, port.device)
    assert heard.taken == ["stick"] * 3


def test_a_stick_brings_a_carrier_as_a_folder_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    port = Port(monkeypatch, tmp_path, ["1"])
    with_carrier(port.device, newer(station))
    caplog.set_level(logging.INFO, "proofline.intake")
    watch(station.intake, port.stopping, port.device)
    assert station.staged().versions.targets == 4
    last = {"when": "2026-11-22T12:00:00.005000Z", "from": "stick", "result": "accepted"}
    assert station.intake.describe(None)["last_carrier"] == last  # type: ignore[arg-type]  # the caller does not matter
    assert [record.message for record in caplog.records] == [
        "a stick is plugged in: reading it",
        "carrier from stick: targets 4, generation 2",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(100_000), "PL-STK-011"),
        (bytes(Forge(bits=16, files={"holiday/sea.jpg": b"sea"}).volume), "PL-STK-030"),
        (bytes(Forge(bits=16, files={"proofline/README.txt": b"hello"}).volume), "PL-INT-003"),
        (bytes(Forge(bits=16, files={"proofline/metadata/timestamp.json": b"{}"}).volume), "PL-SIT-004"),
    ],
)
def test_what_is_no_carrier_is_told_journalled_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, station: Station, content: bytes, expected: str
) -> None:
    port = Port(monkeypatch, tmp_path, ["1", "1", "1"])
    port.device.write_bytes(content)
    before = station.picture()
    watch(station.intake, port.stopping, port.device)
    assert station.journal == [expected]
    assert station.picture() == before
    assert station.intake.describe(None)["last_carrier"]["result"] == expected  # type: ignore[arg-type]  # likewise


def test_a_stick_that_is_gone_before_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = Port(monkeypatch, tmp_path, ["1"] * 10)
    heard = Heard()
    watch(heard, port.stopping, port.device)
    assert heard.taken == [StickPulled.code]


def test_a_station_without_a_site_refuses_a_stick_by_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, station: Station
) -> None:
    port = Port(monkeypatch, tmp_path, ["1"])
    with_carrier(port.device, station_files(station))
    journal: list[str] = []
    closed = NoIntake(NotEnrolled(path="/site"), lambda refusal: journal.append(refusal.code))
    watch(closed, port.stopping, port.device)
    assert journal == ["PL-STA-003"]


def test_a_stick_that_fails_while_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "stick"
    with_carrier(place, {"metadata/timestamp.json": bytes(100_000)})
    descriptor = os.open(place, os.O_RDONLY)
    one = Stick(descriptor)
    for number, expected in ((5, "PL-STK-001"), (19, "PL-STK-002")):  # EIO, ENODEV

        def failing(*_: object, number: int = number) -> bytes:
            raise OSError(number, "as the kernel says")

        with monkeypatch.context() as patched, one.reading("metadata/timestamp.json") as read:
            patched.setattr(os, "pread", failing)
            with pytest.raises(ProoflineError, match=expected):
                read(4_096)
    os.close(descriptor)


def test_only_a_block_device_is_a_stick(tmp_path: Path) -> None:
    (tmp_path / "stick").write_bytes(b"x")
    assert sticks.plugged(tmp_path / "stick") is None
    assert sticks.plugged(tmp_path / "nothing") is None

"""The same through the front door: a bench in another process, its probe found by its unique id."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.target.errors import FlashUncertain, ProbeMissing, TargetSilent
from appliance.target.session import open_target
from hil.tests.target.sabotage import PROFILE, SWCLK_HZ, UID
from hil.tests.target.test_unit import firmware

PROBE = "vnucleo:bench"


class Hands:
    """A person at the bench, by its control door."""

    def __init__(self, door: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(door))
        self._file = self._socket.makefile("rw")

    def do(self, verb: str, **what: Any) -> dict[str, Any]:
        self._file.write(json.dumps({"do": verb, **what}) + "\n")
        self._file.flush()
        answer: dict[str, Any] = json.loads(self._file.readline())
        assert answer["ok"], answer
        return answer

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Hands, subprocess.Popen[str]]]:
    probe, control = tmp_path / "probe", tmp_path / "control"
    command = [sys.executable, "-m", "hil.virtual_nucleo.server", "--name", "bench", "--insert", UID.hex()]
    command += ["--socket", str(probe), "--control", str(control), "--drawer", str(tmp_path / "drawer")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "bench ready\n"
        monkeypatch.setenv("PROOFLINE_BENCH", str(probe))
        hands = Hands(control)
        yield hands, server
        hands.close()
        server.kill()


def test_two_units_in_a_row(bench: tuple[Hands, subprocess.Popen[str]]) -> None:
    hands, _ = bench
    image = firmware()
    for uid in (UID, UID[:-1] + b"5"):
        if uid != UID:
            hands.do("remove")
            hands.do("insert", uid=uid.hex())
        with open_target(PROBE, PROFILE, swclk_hz=SWCLK_HZ) as target:
            assert target.identify().uid == uid
            target.program(image)
            assert target.measure(image.ranges()).deviations(image.ranges()) == ()
            target.release(run=True)
        assert f"uid={uid.hex()}\r\n" in hands.do("uart", run_ms=50, baud=115200)["text"]


def test_empty_fixture_is_silent(bench: tuple[Hands, subprocess.Popen[str]]) -> None:
    hands, _ = bench
    hands.do("remove")
    with pytest.raises(TargetSilent), open_target(PROBE, PROFILE, swclk_hz=SWCLK_HZ):
        pass


def test_bench_that_dies_while_programming_leaves_an_uncertain_unit(
    bench: tuple[Hands, subprocess.Popen[str]],
) -> None:
    _, server = bench

    def die(done: int, total: int) -> None:
        if done > total // 8:
            server.kill()
            server.wait()

    with (
        open_target(PROBE, PROFILE, swclk_hz=SWCLK_HZ) as target,
        pytest.raises(FlashUncertain) as caught,
    ):
        target.program(firmware(size="full"), die)
    assert caught.value.details["cause"] == "PL-TGT-041"
    with pytest.raises(ProbeMissing), open_target(PROBE, PROFILE, swclk_hz=SWCLK_HZ):
        pass

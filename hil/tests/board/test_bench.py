"""The bench as a process: its two doors, fresh pyOCD processes, clients that die."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session

from hil.tests.board.tools import FLASH, UID, assemble, vectors
from hil.virtual_nucleo import requests
from hil.virtual_nucleo.link import BenchLink, bench_name
from hil.virtual_nucleo.probe import DOORS_VARIABLE, VirtualNucleoProbe

OTHER = "0011223344556677889900aa"
HELLO = """
    ldr r0, =0x40004800
    movs r1, #0x8b
    str r1, [r0, #8]
    movw r1, #0x2008
    str r1, [r0, #12]
    movs r1, #'H'
    bl put
    movs r1, #'i'
    bl put
    b .
put:
    ldr r2, [r0]
    lsls r2, r2, #24
    bpl put
    str r1, [r0, #4]
    bx lr
"""
"""115107 baud from 16 MHz."""
PYOCD = Path(sys.executable).with_name("pyocd")


@dataclass
class RunningBench:
    """A bench process and its control door."""

    process: subprocess.Popen[str]
    probe_door: Path
    control_door: Path
    drawer: Path

    def do(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One line at the control door."""
        return self.say(json.dumps({"do": verb, **arguments}).encode())

    def say(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(os.fspath(self.control_door))
            connection.sendall(line + b"\n")
            reply = json.loads(connection.makefile("rb").readline())
        assert isinstance(reply, dict)
        return reply

    def pyocd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A fresh pyOCD process with this bench as its only probe."""
        environment = {**os.environ, DOORS_VARIABLE: os.fspath(self.probe_door)}
        return subprocess.run(
            [PYOCD, *arguments], env=environment, cwd=self.drawer, capture_output=True, text=True, check=False
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RunningBench]:
    """A bench with one board in its fixture."""
    probe, control, drawer = tmp_path / "probe", tmp_path / "control", tmp_path / "drawer"
    command: list[str | Path] = [sys.executable, "-m", "hil.virtual_nucleo.server"]
    command += ["--socket", probe, "--control", control, "--drawer", drawer]
    command += ["--name", "bench-7", "--mode", "0660", "--insert", UID.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bench ready\n"
        yield RunningBench(process, probe, control, drawer)
        process.terminate()


def test_fresh_pyocd_processes_list_load_and_read_back(bench: RunningBench, tmp_path: Path) -> None:
    assert "bench-7" in bench.pyocd("list").stdout
    image = random.Random(1).randbytes(0x9000)
    path = tmp_path / "image.bin"
    path.write_bytes(image)
    common = ("-t", "stm32f412xg", "-u", "vnucleo:bench-7", "-O", "auto_unlock=false")
    loaded = bench.pyocd("load", *common, "--base-address", hex(FLASH), str(path))
    assert loaded.returncode == 0, loaded.stderr
    digest = bench.do("flash", length=len(image))
    assert digest["sha256"] == hashlib.sha256(image).hexdigest()
    wear = bench.do("wear")
    assert wear["programmed"] == len(image)
    assert wear["erases"] == [1, 1, 1] + [0] * 9
    shown = bench.pyocd(
        "commander", *common, "-c", f"savemem {FLASH:#x} {len(image)} back.bin", "-c", "read8 0x1fff7a10 12"
    )
    assert shown.returncode == 0, shown.stderr
    assert (bench.drawer / "back.bin").read_bytes() == image
    assert UID.hex() in shown.stdout.replace(" ", "").split("|")[0]


def test_probe_module_can_be_imported_before_pyocd(bench: RunningBench) -> None:
    code = (
        "from hil.virtual_nucleo.probe import VirtualNucleoProbe as P; print(P.get_all_connected_probes()[0].unique_id)"
    )
    environment = {**os.environ, DOORS_VARIABLE: os.fspath(bench.probe_door)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "bench-7\n"


def test_firmware_speaks_at_the_control_door(bench: RunningBench) -> None:
    bench.do("power", on=False)
    flash = bench.drawer / f"{UID.hex()}.flash"
    bench.do("remove")
    with flash.open("r+b") as file:  # a board programmed elsewhere is put in
        file.write(vectors(FLASH + 0x100) + assemble(HELLO, FLASH + 0x100))
    bench.do("insert", uid=UID.hex())
    assert bench.do("uart", run_ms=5, baud=115200, clear=True)["text"] == "Hi"
    assert bench.do("uart", run_ms=5)["text"] == ""
    bench.do("reset")
    assert bench.do("uart", run_ms=5)["text"] == "Hi"
    assert bench.do("led") == {"ok": True, "LD1": False, "LD2": False, "LD3": False}


def test_gdb_server_answers(bench: RunningBench) -> None:
    environment = {**os.environ, DOORS_VARIABLE: os.fspath(bench.probe_door)}
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    command: list[str | Path] = [PYOCD, "gdbserver", "-t", "stm32f412xg", "-u", "vnucleo:bench-7", "--port", str(port)]
    command += ["--telnet-port", "0", "-O", "auto_unlock=false"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert any("GDB server listening" in line for line in server.stderr)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as gdb:
            gdb.sendall(b"+$m1fff7a10,c#" + b"%02x" % (sum(b"m1fff7a10,c") & 0xFF))
            answer = b""
            while answer.count(b"#") < 1:
                piece = gdb.recv(100)
                assert piece, answer
                answer += piece
        server.kill()
    assert UID.hex().encode() in answer


def test_killed_client_frees_the_probe_and_the_next_one_repairs(bench: RunningBench, tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    image = random.Random(2).randbytes(0x80000)
    path.write_bytes(image)
    arguments = ["load", "-t", "stm32f412xg", "-u", "vnucleo:bench-7", "--base-address", hex(FLASH), str(path)]
    environment = {**os.environ, DOORS_VARIABLE: os.fspath(bench.probe_door)}
    client = subprocess.Popen([PYOCD, *arguments], env=environment, stderr=subprocess.DEVNULL)
    while bench.do("flash", length=0x20000)["erased"]:
        time.sleep(0.02)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert bench.do("read", length=len(image))["hex"] != image.hex()
    assert bench.pyocd(*arguments).returncode == 0
    assert bench.do("read", length=len(image))["hex"] == image.hex()


def test_client_killed_with_reset_low_lets_it_go(bench: RunningBench) -> None:
    link = BenchLink(os.fspath(bench.probe_door))
    link.open()
    link.request(requests.drive_reset(low=True))
    assert link.request(requests.sense_reset())[1] == 1
    link.close()
    again = BenchLink(os.fspath(bench.probe_door))
    again.open()
    assert again.request(requests.sense_reset())[1] == 0


def test_one_client_at_a_time(bench: RunningBench) -> None:
    first = BenchLink(os.fspath(bench.probe_door))
    first.open()
    with pytest.raises(ConnectionRefusedError):
        BenchLink(os.fspath(bench.probe_door)).open()
    assert bench_name(os.fspath(bench.probe_door)) == "bench-7", "a list still names it"
    first.close()
    second = BenchLink(os.fspath(bench.probe_door))
    second.open()


def test_doors_have_the_permissions_asked_for(bench: RunningBench) -> None:
    assert stat.S_IMODE(bench.probe_door.stat().st_mode) == 0o660
    assert stat.S_IMODE(bench.control_door.stat().st_mode) == 0o600


def attach(bench: RunningBench, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setenv(DOORS_VARIABLE, os.fspath(bench.probe_door))
    probe = VirtualNucleoProbe.get_probe_with_id("bench-7")
    assert probe is not None
    return Session(probe, target_override="stm32f412xg", options={"auto_unlock": False, "no_config": True})


def test_boards_are_swapped_and_keep_their_flash(bench: RunningBench, monkeypatch: pytest.MonkeyPatch) -> None:
    with attach(bench, monkeypatch) as session:
        target: Any = session.target
        target.write32(0x40023C04, 0x45670123)
        target.write32(0x40023C04, 0xCDEF89AB)
        target.write32(0x40023C10, 0x201)
        target.write32(FLASH, 0x12345678)
        target.flush()
    assert bench.do("remove") == {"ok": True, "uid": UID.hex()}
    assert bench.do("insert", uid=OTHER)["ok"]
    with attach(bench, monkeypatch) as session:
        other: Any = session.target
        assert bytes(other.read_memory_block8(0x1FFF7A10, 12)).hex() == OTHER
        assert other.read32(FLASH) == 0xFFFFFFFF
    assert bench.do("boards") == {"ok": True, "uids": sorted([OTHER, UID.hex()]), "inserted": OTHER}
    bench.do("remove")
    bench.do("insert", uid=UID.hex())
    assert bench.do("read", length=4)["hex"] == "78563412"


def test_empty_fixture_is_no_answer(bench: RunningBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.do("remove")
    with pytest.raises(exceptions.Error):
        attach(bench, monkeypatch).open()


def test_power_cut_and_back(bench: RunningBench, monkeypatch: pytest.MonkeyPatch) -> None:
    with attach(bench, monkeypatch) as session:
        target: Any = session.target
        bench.do("power", on=False)
        with pytest.raises(exceptions.TransferError):
            target.read32(0x20000000)
        bench.do("power", on=True)
    with attach(bench, monkeypatch) as session:
        assert session.target is not None


def test_supply_cut_in_the_middle_of_programming(bench: RunningBench, tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    path.write_bytes(random.Random(3).randbytes(0x10000))
    arguments = ["load", "-t", "stm32f412xg", "-u", "vnucleo:bench-7", "--erase", "sector"]
    arguments += ["--base-address", hex(FLASH), str(path)]
    bench.do("cut_after", us=2_200_000)  # one second of erasing, then pages
    assert bench.pyocd(*arguments).returncode != 0
    assert not bench.do("flash", length=0x10000)["erased"]
    bench.do("power", on=True)
    assert bench.pyocd(*arguments).returncode == 0
    assert bench.do("read", length=0x10000)["hex"] == path.read_bytes().hex()


def test_bench_that_dies_is_a_disconnected_probe(bench: RunningBench, monkeypatch: pytest.MonkeyPatch) -> None:
    session = attach(bench, monkeypatch)
    session.open()
    target: Any = session.target
    bench.process.kill()
    bench.process.wait()
    with pytest.raises(exceptions.ProbeDisconnected):
        target.read32(0x20000000)


BAD_LINES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"{}",
    b'{"do": 1}',
    b'{"do": "fly"}',
    b'{"do": ["insert"]}',
    b'{"do": "insert"}',
    b'{"do": "insert", "uid": 5}',
    b'{"do": "insert", "uid": "../../../../etc/passwd"}',
    b'{"do": "insert", "uid": "00112233445566778899aabb"}',
    b'{"do": "power", "on": "yes"}',
    b'{"do": "run", "ms": -1}',
    b'{"do": "run", "ms": 1e3}',
    b'{"do": "run", "ms": true}',
    b'{"do": "run", "ms": 99999999999}',
    b'{"do": "flash", "start": 1048577}',
    b'{"do": "flash", "start": 0, "length": 1048577}',
    b"\xff\xfe",
    b"[" * 5000,
]


def test_nonsense_at_the_control_door_is_refused_by_name(bench: RunningBench) -> None:
    for line in BAD_LINES:
        reply = bench.say(line)
        assert reply["ok"] is False, line
        assert reply["code"].startswith("PL-BRD-"), line
    assert bench.do("boards")["ok"]


@pytest.mark.parametrize(
    "frame",
    [
        b"?",
        b"W",
        b"W\x04\x00",
        b"w\x0d\xff\xff",
        b"S\x10\x00",
        b"r\x0d",
        b"C\x01",
        b"N",
        b"I\x00",
        b"C\x01\x00\x00\x00?",
    ],
)
def test_nonsense_at_the_probe_door_ends_the_connection_only(bench: RunningBench, frame: bytes) -> None:
    link = BenchLink(os.fspath(bench.probe_door))
    link.open()
    with pytest.raises(ConnectionResetError):
        link.request(frame)
    link.close()
    again = BenchLink(os.fspath(bench.probe_door))
    again.open()


def test_stop_ends_the_bench_and_its_doors(bench: RunningBench) -> None:
    assert bench.do("stop")["ok"]
    assert bench.process.wait(timeout=10) == 0
    assert not bench.probe_door.exists()
    assert not bench.control_door.exists()

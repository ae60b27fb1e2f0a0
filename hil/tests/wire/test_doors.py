"""The wire through sockets: who has it, what is nonsense, what is left when a client goes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.swd import pins
from appliance.swd.errors import PinsBusy
from hil.firmware import image_path
from hil.tests.board.tools import FLASH, SRAM
from hil.tests.wire.bench import WireBench, running
from hil.virtual_nucleo.wire_faults import Flip, LostAck, from_json

HELLO = struct.pack("<BBBBQ", 7, 0, 0, 0, 0x31504C5057445300)
LINE_RESET = "O" + "eg" * 52 + "df" * 8


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WireBench]:
    with running(tmp_path) as made:
        yield made


def connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(path)
    return connection


def greeted(bench: WireBench) -> socket.socket:
    connection = connect(bench.wire_door)
    connection.sendall(HELLO)
    assert connection.recv(8, socket.MSG_WAITALL) == HELLO[4:]
    return connection


def closed(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def reset_is_low(bench: WireBench) -> bool:
    """As a probe sees it that comes after everybody else."""
    with pins.on_socket(bench.wire_door) as port:
        return port.is_reset_low()


# -- the wire door -------------------------------------------------------------------------------------------------


def test_memory_travels_both_ways(bench: WireBench) -> None:
    data = random.Random(2).randbytes(0x1000)
    with pins.on_socket(bench.wire_door) as port:
        assert port.connect() == 0x2BA01477
        port.write_dp(0x4, 0x50000000)
        port.write_dp(0x8, 0)
        port.write_ap(0x0, 0x23000012)
        port.write_ap(0x4, SRAM)
        port.write_ap_block(0xC, data)
        port.write_ap(0x4, SRAM)
        assert port.read_ap_block(0xC, len(data) // 4) == data


def test_pyocd_process_programs_through_the_wire_door(bench: WireBench) -> None:
    image = image_path("1.0.0", "small", "bin").read_bytes()
    loaded = bench.pyocd("load", "--base-address", hex(FLASH), os.fspath(image_path("1.0.0", "small", "bin")))
    assert loaded.returncode == 0, loaded.stderr
    assert bench.do("flash", length=len(image))["sha256"] == hashlib.sha256(image).hexdigest()


def test_one_client_over_both_doors(bench: WireBench) -> None:
    with greeted(bench):
        for door in (bench.wire_door, bench.bitbang_door):
            with connect(door) as other:
                assert closed(other)
        with pytest.raises(PinsBusy):
            pins.on_socket(bench.wire_door)
    with greeted(bench):
        pass


def test_a_client_that_leaves_at_once_makes_room_at_once(bench: WireBench) -> None:
    for _ in range(50):
        greeted(bench).close()


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<BBBBQ", 1, 8, 3, 0, 0xA5),  # no greeting
        struct.pack("<BBBBQ", 7, 0, 0, 0, 1),
        HELLO + struct.pack("<BBBBQ", 1, 0, 1, 0, 0),
        HELLO + struct.pack("<BBBBQ", 1, 65, 1, 0, 0),
        HELLO + struct.pack("<BBBBQ", 2, 0, 0, 0, 0),
        HELLO + struct.pack("<BBBBQ", 2, 0, 0, 0, 1 << 40),
        HELLO + struct.pack("<BBBBQ", 3, 2, 0, 0, 0),
        HELLO + struct.pack("<BBBBQ", 4, 9, 0, 0, 0),
        HELLO + struct.pack("<BBBBQ", 0, 0, 0, 0, 0),
        HELLO + struct.pack("<BBBBQ", 99, 0, 0, 0, 0),
    ],
)
def test_nonsense_ends_the_connection_only(bench: WireBench, bytes_: bytes) -> None:
    with connect(bench.wire_door) as connection:
        connection.sendall(bytes_)
        if bytes_.startswith(HELLO):
            connection.recv(8, socket.MSG_WAITALL)
        assert closed(connection)
    with greeted(bench):
        pass


def test_requests_may_arrive_in_pieces(bench: WireBench) -> None:
    with greeted(bench) as connection:
        request = struct.pack("<BBBBQ", 1, 8, 2, 0, 0)
        for byte in request:
            connection.sendall(bytes([byte]))
        assert connection.recv(8, socket.MSG_WAITALL) == struct.pack("<Q", 0xFF)


def test_a_killed_client_lets_go_of_reset(bench: WireBench) -> None:
    code = (
        "import sys, time; from appliance.swd import pins; port = pins.on_socket(sys.argv[1]);"
        "port.assert_reset(asserted=True); assert port.is_reset_low(); print('low', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, bench.wire_door], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "low\n"
        client.send_signal(signal.SIGKILL)
    assert not reset_is_low(bench)


def test_the_supply_stays_as_a_client_left_it(bench: WireBench) -> None:
    with pins.on_socket(bench.wire_door) as port:
        port.switch_power(on=False)
        assert not port.is_powered()
    assert not bench.do("led")["LD1"]
    with greeted(bench) as connection:
        connection.sendall(struct.pack("<BBBBQ", 4, 1, 0, 0, 0))
        assert connection.recv(8, socket.MSG_WAITALL) == bytes(8)


def test_waiting_takes_the_target_s_time(bench: WireBench) -> None:
    with pins.on_socket(bench.wire_door) as port:
        before = bench.do("time")["virtual_us"]
        port.wait(3_000_000_000)
        assert bench.do("time")["virtual_us"] - before >= 3_000_000


def test_a_silent_client_is_a_sleeping_one(bench: WireBench) -> None:
    with greeted(bench) as connection:
        before = bench.do("time")["virtual_us"]
        time.sleep(0.05)
        connection.sendall(struct.pack("<BBBBQ", 4, 0, 0, 0, 0))
        connection.recv(8, socket.MSG_WAITALL)
        assert bench.do("time")["virtual_us"] - before >= 50_000


def test_faults_are_planned_at_the_control_door(bench: WireBench) -> None:
    with pins.on_socket(bench.wire_door) as port:
        port.connect()
        plan = [{"fault": "lost-ack", "transfer": 1}, {"fault": "flip", "transfer": 5, "offset": 20}]
        assert bench.do("faults", plan=plan)["happened"] == []
        port.read_dp(0x0)
        with pytest.raises(Exception, match="PL-SWD"):
            port.read_dp(0x0)
        assert bench.do("faults")["happened"] == plan[:1]
    assert from_json(plan).faults == (LostAck(1), Flip(5, 20))


@pytest.mark.parametrize(
    "plan",
    [
        {},
        "flip",
        [[]],
        [{}],
        [{"fault": "earthquake"}],
        [{"fault": "flip", "transfer": 1}],
        [{"fault": "flip", "transfer": 1, "offset": 0}],
        [{"fault": "flip", "transfer": -1, "offset": 1}],
        [{"fault": "flip", "transfer": True, "offset": 1}],
        [{"fault": "flip", "transfer": 1, "offset": 1, "more": 1}],
        [{"fault": "stuck", "transfer": 1, "offset": 1, "cycles": 5, "level": 2}],
        [{"fault": "power-lost-erasing", "nth": 0, "fraction": 1}],
        [{"fault": "power-lost-erasing", "nth": 0, "fraction": "half"}],
        [{"fault": "lost-ack", "transfer": 1 << 80}],
        [{"fault": "lost-ack", "transfer": 1}] * 257,
    ],
)
def test_a_plan_that_is_none_is_refused_by_name(bench: WireBench, plan: object) -> None:
    assert bench.do("faults", plan=plan)["code"] == "PL-BRD-002"
    assert json.dumps(bench.do("faults")["happened"]) == "[]"


# -- the bitbang door ----------------------------------------------------------------------------------------------


def test_bits_by_single_characters(bench: WireBench) -> None:
    """OpenOCD developer's guide, remote_bitbang: d, e, f, g write; O, o direction; c reads."""
    selection = "".join("eg" if 0xE79E >> bit & 1 else "df" for bit in range(16))
    request = "".join("eg" if 0xA5 >> bit & 1 else "df" for bit in range(8))
    with connect(bench.bitbang_door) as connection:
        connection.sendall((LINE_RESET[:105] + selection + LINE_RESET + request + "o" + "dcf" * 38 + "O").encode())
        seen = connection.recv(38, socket.MSG_WAITALL).decode()
        bits = sum(int(level) << at for at, level in enumerate(seen))
        assert bits >> 1 & 7 == 1
        assert bits >> 4 & 0xFFFFFFFF == 0x2BA01477
        connection.sendall(b"BbRzZ")
        assert connection.recv(1) == b"1", "TDO is not wired"
        connection.sendall(b"s")
        connection.sendall(b"Q")
        assert closed(connection)
    assert not reset_is_low(bench)


@pytest.mark.parametrize("character", [b"x", b"\x00", b"D", b"\xff", b"\n"])
def test_other_characters_end_the_connection(bench: WireBench, character: bytes) -> None:
    with connect(bench.bitbang_door) as connection:
        connection.sendall(character)
        assert closed(connection)


def test_reset_and_sleep_by_characters(bench: WireBench) -> None:
    with connect(bench.bitbang_door) as connection:
        before = bench.do("time")["virtual_us"]
        connection.sendall(b"s" + b"Z" * 20 + b"r" + b"z" * 500 + b"R")
        connection.recv(1)
        assert bench.do("time")["virtual_us"] - before >= 20_500


def test_bitbang_on_a_port_of_the_loopback_interface(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET) as scout:
        scout.bind(("127.0.0.1", 0))
        port = scout.getsockname()[1]
    with running(tmp_path, bitbang=str(port)), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"oc")
        assert connection.recv(1) == b"1"

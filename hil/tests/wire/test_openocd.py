"""Two debuggers that know nothing of each other on the same silicon: OpenOCD, and pyOCD over our own pins.

Neither the bits, nor the flash driver, nor the loader that runs on the target are ours on OpenOCD's side.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.firmware import image_path
from hil.tests.board.tools import FLASH, UID
from hil.tests.wire import bench as bench_module
from hil.tests.wire.bench import WireBench, find_openocd, running

FIRMWARE = image_path("1.0.0", "small", "hex")
CELLS = image_path("1.0.0", "small", "bin").read_bytes()
OTHER = image_path("1.1.0", "small", "hex")
OTHER_CELLS = image_path("1.1.0", "small", "bin").read_bytes()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireBench]:
    with running(tmp_path_factory.mktemp("bench")) as made:
        yield made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_openocd_reads_the_ids(bench: WireBench) -> None:
    said = bench.openocd("init", "reset halt", "dap info 0", "mdb 0x1fff7a10 12", "mdw 0xe0042000")
    assert "SWD DPIDR 0x2ba01477" in said
    assert "Cortex-M4 r0p1 processor detected" in said
    assert "target has 6 breakpoints, 4 watchpoints" in said
    assert re.search(r"0x1fff7a10: " + " ".join(f"{byte:02x}" for byte in UID), said)
    assert re.search(r"0xe0042000: [0-9a-f]{5}441", said), "DBGMCU_IDCODE of an STM32F412 (RM0402 30.6.1)"


def test_openocd_programs_verifies_and_reads_back_and_pyocd_agrees(bench: WireBench) -> None:
    said = bench.openocd(
        "init",
        "reset halt",
        "flash probe 0",
        f"flash write_image erase {FIRMWARE}",
        f"verify_image {FIRMWARE}",
        f"dump_image openocd.bin {FLASH:#x} {len(CELLS)}",
    )
    assert "device id = 0x30006441" in said
    assert "flash size = 1024 KiB" in said
    assert (bench.folder / "openocd.bin").read_bytes() == CELLS
    assert bench.do("flash", length=len(CELLS))["sha256"] == sha256(CELLS), "the cells themselves"
    wear = bench.do("wear")
    assert wear["erases"][0] >= 1

    shown = bench.pyocd("commander", "-c", f"savemem {FLASH:#x} {len(CELLS)} pyocd.bin")
    assert shown.returncode == 0, shown.stderr
    assert (bench.folder / "pyocd.bin").read_bytes() == CELLS


def test_pyocd_programs_over_our_pins_and_openocd_agrees(bench: WireBench) -> None:
    loaded = bench.pyocd("load", str(OTHER))
    assert loaded.returncode == 0, loaded.stderr
    assert bench.do("flash", length=len(OTHER_CELLS))["sha256"] == sha256(OTHER_CELLS)
    bench.openocd(
        "init",
        "reset halt",
        f"verify_image {OTHER}",
        f"dump_image back.bin {FLASH:#x} {len(OTHER_CELLS)}",
    )
    assert (bench.folder / "back.bin").read_bytes() == OTHER_CELLS
    refused = bench.run_openocd("init", "reset halt", f"verify_image {FIRMWARE}")
    assert refused.returncode != 0, "another image does not verify"


def test_openocd_moves_memory_steps_and_stops_at_breakpoints(bench: WireBench) -> None:
    data = random.Random(5).randbytes(0x400)
    (bench.folder / "in.bin").write_bytes(data)
    said = bench.openocd(
        "init",
        "reset halt",
        "load_image in.bin 0x20001000 bin",
        "dump_image out.bin 0x20001000 0x400",
        "mwh 0x20002000 0xbf00 8",  # nops, then a branch to itself
        "mwh 0x20002010 0xe7fe",
        "reg pc 0x20002000",
        "step",
        "set stepped [reg pc]",
        "bp 0x20002008 2",
        "resume",
        "wait_halt 1000",
        "set stopped [reg pc]",
        "echo [list $stepped $stopped]",
    )
    assert (bench.folder / "out.bin").read_bytes() == data
    assert re.search(r"0x20002002.*0x20002008", said, re.DOTALL)


def test_openocd_is_told_of_bus_errors_and_recovers(bench: WireBench) -> None:
    said = bench.openocd(
        "init", "reset halt", "echo [catch {mdw 0x60000000}]", "mww 0x20000000 0x600df00d", "mdw 0x20000000"
    )
    assert re.search(r"^1$", said, re.MULTILINE)
    assert "0x20000000: 600df00d" in said


def test_openocd_resets_by_the_pin(bench: WireBench) -> None:
    said = bench.openocd(
        "reset_config srst_only srst_nogate connect_assert_srst", "init", "reset halt", "mdw 0x40023874"
    )
    flags = re.search(r"0x40023874: ([0-9a-f]{8})", said)
    assert flags
    assert int(flags[1], 16) >> 26 & 1, "RCC_CSR.PINRSTF (RM0402 6.3.21)"


def test_without_openocd_the_test_fails_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openocd_esp32", None)
    with pytest.raises(AssertionError, match="openocd-esp32"):
        find_openocd()
    assert Path(bench_module.__file__).exists()

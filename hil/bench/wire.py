"""The wire: what our SWD costs in clock cycles and in time, beside an OpenOCD that nobody here wrote on the same wire.

- `swd_cycles_vs_openocd`: SWCLK cycles to write 64 KiB of RAM and read them back, both hosts in turn on one board.
  The board counts the cycles; neither host is asked.
- `swd_write_efficiency`: 46 cycles a word (ADIv5.2 B4.2: request, turnarounds, acknowledgement, data) over what ours
  took for a block write.
- `swd_core_mhz`: the C core on pins that go nowhere: what is left when pins cost nothing.
- `wire_64k_seconds`: wall seconds to program and measure a 64 KiB image, over the wire's socket.
- Ours is pyOCD over `gpioswd`, as a station uses it; OpenOCD is asked through its own Tcl console.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyocd.core.session import Session

from appliance.swd import pins
from appliance.swd.port import AP
from appliance.swd.probe import GpioSwdProbe
from appliance.swd.settings import parse
from appliance.target.boards import profile_for
from appliance.target.image import parse_image
from appliance.target.session import open_target_on
from hil.bench.figures import say, show
from hil.firmware import image_path
from hil.tests.wire.bench import WireBench, running

_PART = "stm32f412xg"
_SWCLK_HZ = 4_000_000
_LENGTH = 64 * 1024
_WORDS = _LENGTH // 4
_RAM, _FLASH = 0x2000_1000, 0x0800_0000
_CYCLES_A_WORD = 46
_END_OF_COMMAND = b"\x1a"  # OpenOCD's manual, "Tcl RPC server"
_NULL_SECONDS = 2.0
_LEAST_MHZ, _MOST_SECONDS = 25, 10


def figures(folder: Path) -> None:
    """All of them."""
    folder.mkdir(parents=True)
    with running(folder) as bench:
        _cycles(bench)
        _programming(bench)
    _core()


def _cycles(bench: WireBench) -> None:
    say("64 KiB of RAM written and read back: OpenOCD (half a minute: it waits for each bit that it reads), then ours")
    data = random.Random(64).randbytes(_LENGTH)
    their_write, their_read = _by_openocd(bench, data)
    our_write, our_read = _by_ours(bench, data)
    show(
        "swd_cycles_vs_openocd",
        our_write + our_read,
        "SWCLK cycles",
        their_write + their_read,
        reference_is="load_image and dump_image of the locked OpenOCD over remote_bitbang, same board, same run",
        bytes_each_way=_LENGTH,
        a_word_written={"ours": round(our_write / _WORDS, 3), "openocd": round(their_write / _WORDS, 3)},
        a_word_read={"ours": round(our_read / _WORDS, 3), "openocd": round(their_read / _WORDS, 3)},
        difference="8 idle clocks: OpenOCD's follow each access, ours each operation (here a block of up to 4 KiB)",
    )
    show(
        "swd_write_efficiency",
        _CYCLES_A_WORD * _WORDS / our_write,
        "of 46 cycles a word",
        1,
        reference_is="nothing on the wire but the words",
        words=_WORDS,
        cycles=our_write,
        the_rest="an address for each 4 KiB, where this part's TAR wraps, RDBUFF and idle clocks at the end",
    )


def _by_openocd(bench: WireBench, data: bytes) -> tuple[int, int]:
    (bench.folder / "in.bin").write_bytes(data)
    with openocd_on(bench) as command:
        command("reset halt")
        command("poll off")  # or its looks at the core are counted as well
        write = _counted(bench, lambda: command(f"load_image in.bin {_RAM:#x} bin"))
        read = _counted(bench, lambda: command(f"dump_image out.bin {_RAM:#x} {_LENGTH}"))
    if (bench.folder / "out.bin").read_bytes() != data:
        raise RuntimeError("OpenOCD read back something else")
    return write, read


def _by_ours(bench: WireBench, data: bytes) -> tuple[int, int]:
    words = list(memoryview(data).cast("I"))
    options = {"frequency": _SWCLK_HZ, "auto_unlock": False, "cache.enable_memory": False}
    back: list[int] = []
    with Session(gpio_probe(bench), target_override=_PART, options=options) as session:
        core = session.target.primary_core
        core.halt()

        def write_all() -> None:
            core.write_memory_block32(_RAM, words)
            core.flush()

        write = _counted(bench, write_all)
        read = _counted(bench, lambda: back.extend(core.read_memory_block32(_RAM, _WORDS)))
    if back != words:
        raise RuntimeError("something else was read back")
    return write, read


def _counted(bench: WireBench, work: Callable[[], object]) -> int:
    before = bench.do("time")["swclk_cycles"]
    work()
    return int(bench.do("time")["swclk_cycles"]) - int(before)


def _programming(bench: WireBench) -> None:
    say("a 64 KiB image programmed and measured over the wire")
    profile = profile_for(_PART)
    start = image_path("1.0.0", "small", "bin").read_bytes()
    noise = random.Random(65).randbytes(_LENGTH - len(start))
    image = parse_image(start + noise, "bin", profile, _FLASH)
    began, before = time.perf_counter(), bench.do("time")
    with open_target_on(gpio_probe(bench), profile, swclk_hz=_SWCLK_HZ) as target:
        connected = time.perf_counter()
        target.program(image)
        programmed = time.perf_counter()
        deviations = target.measure(image.ranges()).deviations(image.ranges())
        ended, after = time.perf_counter(), bench.do("time")
    if deviations:
        raise RuntimeError(f"the flash is not as it should be: {deviations}")
    show(
        "wire_64k_seconds",
        ended - began,
        "s",
        _MOST_SECONDS,
        reference_is="the limit",
        connect_s=round(connected - began, 3),
        program_s=round(programmed - connected, 3),
        measure_s=round(ended - programmed, 3),
        swclk_hz=_SWCLK_HZ,
        swclk_cycles=after["swclk_cycles"] - before["swclk_cycles"],
        virtual_s=round((after["virtual_us"] - before["virtual_us"]) / 1e6, 3),
    )


def _core() -> None:
    say("the C core on pins that go nowhere")
    block = bytes(4 * 64 * 1024)
    with pins.on_null() as port:
        port.run([(AP | 0xC, block)])
        before, began = port.counters, time.perf_counter()
        while (took := time.perf_counter() - began) < _NULL_SECONDS:
            port.run([(AP | 0xC, block)])
        after = port.counters
    show(
        "swd_core_mhz",
        (after.cycles - before.cycles) / took / 1e6,
        "MHz of SWCLK",
        _LEAST_MHZ,
        reference_is="the limit",
        transfers=after.transfers - before.transfers,
        pins="each edge a volatile store, each sample a volatile load, one thread",
    )


def gpio_probe(bench: WireBench) -> GpioSwdProbe:
    pin_set = {"name": "bench", "backend": {"kind": "socket", "path": bench.wire_door}}
    (parsed,) = parse(json.dumps({"schema": 1, "pin_sets": [pin_set]}).encode())
    return GpioSwdProbe(parsed)


@contextmanager
def openocd_on(bench: WireBench) -> Iterator[Callable[[str], str]]:
    """An OpenOCD that has connected, and takes commands until the end; each returns when it is done."""
    with (
        (bench.folder / "openocd.log").open("w") as log,
        subprocess.Popen(
            bench.openocd_command("tcl port pipe", "init"),
            cwd=bench.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        into, out = process.stdin, process.stdout

        def command(text: str) -> str:
            into.write(text.encode() + _END_OF_COMMAND)
            into.flush()
            return _reply(out)

        yield command
        into.close()  # its end of input is the end of OpenOCD


def _reply(out: IO[bytes]) -> str:
    reply = bytearray()
    while not reply.endswith(_END_OF_COMMAND):
        byte = out.read(1)
        if not byte:
            raise RuntimeError("OpenOCD has ended; openocd.log says why")
        reply += byte
    return reply[:-1].decode()

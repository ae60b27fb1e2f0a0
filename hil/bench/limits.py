"""Programming and measuring against the silicon's own limits, in the board's virtual time.

- `program_512k_vs_limit`: a 512 KiB image onto a board that holds another one, from the blank check to the last word
  programmed and read back, against the sectors' erase times plus 16 us a word (data sheet DS11139, x32, typical).
- `measure_share`: the measurement of all the flash, on top of it.
- Over the virtual wire at 4 MHz SWCLK, through pyOCD and `gpioswd` as a station does it; deterministic. pyOCD's own
  programmer does the same on the same wire.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pyocd.core.session import Session
from pyocd.flash.file_programmer import FileProgrammer

from appliance.swd import pins
from appliance.swd.probe import GpioSwdProbe
from appliance.swd.settings import parse
from appliance.target.boards import profile_for
from appliance.target.image import Image, parse_image
from appliance.target.session import open_target_on
from hil.bench.figures import say, show
from hil.bench.wire import gpio_probe, openocd_on
from hil.firmware import Version, image_path
from hil.tests.wire.bench import running
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.flash import CR_PG, PROGRAM_PS, sector_erase_ps
from hil.virtual_nucleo.flash_array import SECTORS
from hil.virtual_nucleo.vtime import PS_PER_MS, PS_PER_S, PS_PER_US
from hil.virtual_nucleo.wire import Wire

_PROFILE = profile_for("stm32f412xg")
_SWCLK_HZ = 4_000_000
_BYTES = 512 * 1024
_X32 = 2
_PIN_SETS = b'{"schema":1,"pin_sets":[{"name":"limit","backend":{"kind":"socket","path":"/nowhere"}}]}'
_LEAST_RATIO, _MOST_SHARE = 0.90, 0.05


@dataclass
class _Parts:
    """Virtual seconds, and when the first erase and the first word began."""

    total: float = 0.0
    first: dict[str, float] = field(default_factory=dict)

    def told(self) -> dict[str, float]:
        erase, program = self.first["erase"], self.first["program"]
        return {
            "before_the_first_erase_s": round(erase, 4),
            "erase_s": round(program - erase, 4),
            "program_s": round(self.total - program, 4),
        }


def figures(folder: Path) -> None:
    """Both."""
    say("512 KiB onto a written board: ours, then pyOCD's own programmer, then OpenOCD, in virtual time")
    erase_s = sum(sector_erase_ps(s.size, _X32) for s in SECTORS if s.offset < _BYTES) / PS_PER_S
    program_s = _BYTES // 4 * PROGRAM_PS / PS_PER_S
    limit_s = erase_s + program_s
    ours, measure_s = _ours()
    theirs = _pyocds()
    openocd_s = _openocds(folder)
    show(
        "program_512k_vs_limit",
        _BYTES / 1e3 / ours.total,
        "kB/s",
        _BYTES / 1e3 / limit_s,
        reference_is="the flash never idle: erase and program times of the data sheet alone",
        at_least=_LEAST_RATIO,
        virtual_s=round(ours.total, 4),
        limit_s={"erase": erase_s, "program": round(program_s, 4), "all": round(limit_s, 4)},
        parts=ours.told(),
        pyocd_virtual_s=round(theirs.total, 4),
        pyocd_parts=theirs.told(),
        openocd_virtual_s=round(openocd_s, 2),
        openocd_note="flash write_image erase; it sleeps between polls on the host's clock; the board's goes on then",
        swclk_hz=_SWCLK_HZ,
        constants={
            "sector_erase_ms": {f"{s.size // 1024} KiB": sector_erase_ps(s.size, _X32) // PS_PER_MS for s in SECTORS},
            "word_us": PROGRAM_PS // PS_PER_US,
        },
        cycle_model="hil/virtual_nucleo/README.md: 1 an instruction, 2 a load or store, 3 a branch; SRAM code pays "
        "one more for each; the wire 46 SWCLK a word; core and flash go on while the wire is busy",
    )
    show(
        "measure_share",
        measure_s,
        "s",
        ours.total,
        reference_is="our programming, above",
        at_most=_MOST_SHARE,
        share_of_the_limit=round(measure_s / limit_s, 4),
        what="reset, stub onto the wire and back, SHA-256 of 512 KiB, the other 512 KiB read as erased, all at 100 MHz",
    )


def _ours() -> tuple[_Parts, float]:
    board = _written_board()
    image = _image("1.1.0")
    with open_target_on(_probe(board), _PROFILE, swclk_hz=_SWCLK_HZ) as target:
        parts = _timed(board, lambda: target.program(image))
        before = board.virtual_seconds
        measurement = target.measure(image.ranges())
        measure_s = board.virtual_seconds - before
    if measurement.deviations(image.ranges()):
        raise RuntimeError("the board does not hold the image")
    return parts, measure_s


def _pyocds() -> _Parts:
    board = _written_board()
    path = image_path("1.1.0", "full", "hex")
    options = {"frequency": _SWCLK_HZ, "auto_unlock": False, "hide_programming_progress": True, "smart_flash": False}
    with Session(_probe(board), target_override=_PROFILE.pyocd_target, options=options, no_config=True) as session:
        session.target.reset_and_halt()
        return _timed(board, lambda: FileProgrammer(session, chip_erase="sector").program(os.fspath(path)))


def _openocds(folder: Path) -> float:
    """What the board's clock says of the locked OpenOCD doing the same through its own door."""
    folder.mkdir(parents=True)
    new = folder / "new.bin"
    new.write_bytes(image_path("1.1.0", "full", "bin").read_bytes())
    with running(folder) as bench:
        with open_target_on(gpio_probe(bench), _PROFILE, swclk_hz=_SWCLK_HZ) as target:
            target.program(_image("1.0.0"))
        with openocd_on(bench) as command:
            command("reset halt")
            before = bench.do("time")["virtual_us"]
            command("flash write_image erase new.bin 0x08000000 bin")
            took_us = bench.do("time")["virtual_us"] - before
        if bench.do("flash", start=0, length=_BYTES)["sha256"] != sha256(new.read_bytes()).hexdigest():
            raise RuntimeError("OpenOCD did not program the image")
    return float(took_us) / 1e6


def _timed(board: Board, work: Callable[[], object]) -> _Parts:
    """The flash controller itself is asked when it began what."""
    flash, parts, started = board.soc.flash, _Parts(), board.virtual_seconds
    told = flash.on_busy

    def note() -> None:
        parts.first.setdefault("program" if flash.cr & CR_PG else "erase", board.virtual_seconds - started)
        told()

    flash.on_busy = note
    try:
        work()
    finally:
        flash.on_busy = told
    parts.total = board.virtual_seconds - started
    return parts


def _written_board() -> Board:
    board = Board(bytes.fromhex("010000000b42454e43483033"))
    board.array.main[:_BYTES] = _image("1.0.0").segments[0].data
    board.power_on()
    return board


def _image(version: Version) -> Image:
    return parse_image(image_path(version, "full", "elf").read_bytes(), "elf", _PROFILE)


def _probe(board: Board) -> Any:
    wire = Wire(board.soc)
    (pin_set,) = parse(_PIN_SETS)
    return GpioSwdProbe(pin_set, opener=lambda _: pins.on_capsule(wire.capsule()))

"""The cycle meter's Python side: how long a Cortex-M4 needs for what Unicorn executes.

* The model is stated in ``README.md`` ("Cycle model") and errs on the slow side.
* Counting happens in C, in a hook that Unicorn calls at each basic block; the same code gives the same count.
* Whoever changes code in memory calls :meth:`CycleMeter.forget`.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.virtual_nucleo.faults import BenchError


class _Region(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("host", ctypes.c_void_p),
        ("system_bus", ctypes.c_uint32),
        ("line_wait", ctypes.c_uint32),
    )


class _Meter(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_uint64),
        ("limit", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("engine", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("generation", ctypes.c_uint32),
        ("regions", ctypes.c_uint32),
        ("region", _Region * 4),
    )


@dataclass(frozen=True)
class CodeRegion:
    """Where code may lie: target address, length, address in this process, and how it is fetched."""

    start: int
    length: int
    host: int
    system_bus: bool
    line_wait: int = 0


def _library() -> ctypes.CDLL:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_cycles" + suffix)
        if path.exists():
            return ctypes.CDLL(str(path))
    raise BenchError("the cycle meter is not built: pip install --no-deps --no-build-isolation -e hil")


class CycleMeter:
    """Counts core cycles of one Unicorn engine; ``cycles`` only grows between :meth:`arm` calls."""

    def __init__(self, engine: int, stop: int) -> None:
        """*engine* and *stop* are the addresses of the ``uc_engine`` and of ``uc_emu_stop``."""
        library = _library()
        library.meter_size.restype = ctypes.c_size_t
        self._memory = ctypes.create_string_buffer(library.meter_size())
        self._meter = _Meter.from_buffer(self._memory)
        self.fields: Any = self._meter
        """The shared structure itself, for the hottest readers: ``cycles``, ``limit``, ``address``."""
        self._meter.engine = engine
        self._meter.stop = stop
        self._meter.generation = 1
        self.hook = ctypes.cast(library.meter_block, ctypes.c_void_p).value
        self.user_data = ctypes.addressof(self._memory)

    def regions(self, regions: tuple[CodeRegion, ...]) -> None:
        """Say where code lies; unknown addresses cost one cycle a halfword."""
        for index, region in enumerate(regions):
            self._meter.region[index] = _Region(
                region.start, region.length, region.host, int(region.system_bus), region.line_wait
            )
        self._meter.regions = len(regions)
        self.forget()

    def forget(self) -> None:
        """Code may have changed: evaluate every block again."""
        self._meter.generation = (self._meter.generation + 1) & 0xFFFFFFFF

    def arm(self, budget: int) -> None:
        """Start at zero and stop the engine at the first block that begins after *budget* cycles."""
        self._meter.cycles = 0
        self._meter.limit = budget

    def stop_soon(self) -> None:
        """Stop the engine at the next block."""
        self._meter.limit = 0

    @property
    def cycles(self) -> int:
        """Cycles used since :meth:`arm`."""
        return int(self._meter.cycles)

    @property
    def address(self) -> int:
        """Where the block being executed begins."""
        return int(self._meter.address)

    @property
    def limit(self) -> int:
        """The budget given to :meth:`arm`."""
        return int(self._meter.limit)

    def add(self, cycles: int) -> None:
        """The core waited (a stalled bus, a polling loop that could not end earlier)."""
        self._meter.cycles += cycles

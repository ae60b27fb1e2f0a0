"""The pyOCD debug probe ``vnucleo``: pyOCD's probe interface on the bench's transfers.

* ``vnucleo:<name>`` is the probe of the bench whose probe door is the socket in ``PROOFLINE_BENCH``; several doors
  may be given, separated by ``:``. The name is the bench's own.
* Writes that cannot fail (SELECT, CSW, TAR) are collected and go out with the next access. Memory writes go out at once
  and are checked: pyOCD caches what it wrote, and drops its caches only where the error appears.
* Import it as ``hil.virtual_nucleo.probe``: pyOCD loads its plug-ins while it is itself being imported.
* FAULT is TransferFaultError, exhausted WAIT TransferTimeoutError, no answer TransferProtocolError.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pyocd.core import exceptions
from pyocd.probe.debug_probe import DebugProbe

from hil.virtual_nucleo import requests
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import RDBUFF, Ack
from hil.virtual_nucleo.link import BenchLink, bench_name
from hil.virtual_nucleo.swd_port import SwdPort

DOORS_VARIABLE = "PROOFLINE_BENCH"
_QUEUE_LIMIT = 32 * 1024
_DATA_REGISTERS = {0x0C, 0x10, 0x14, 0x18, 0x1C}
"""DRW and BD0 to BD3 of a MEM-AP."""


class Link(Protocol):
    """How requests reach a port."""

    def open(self) -> None:
        """Take the probe; raises OSError when it is in use or gone."""

    def close(self) -> None:
        """Let it go."""

    def request(self, data: bytes) -> bytes:
        """Do a request; returns its reply. Raises OSError when the bench is gone."""


class LocalLink:
    """A port in this process."""

    def __init__(self, port: SwdPort) -> None:
        self._port = port

    def open(self) -> None:
        """Nothing to take."""

    def close(self) -> None:
        """Nothing to let go."""

    def request(self, data: bytes) -> bytes:
        """Do it at once."""
        return requests.execute(self._port, data)


class VirtualNucleoProbe(DebugProbe):  # type: ignore[misc]  # pyOCD has no annotations that mypy may read
    """A debug probe wired to a bench's connector."""

    def __init__(self, link: Link, name: str) -> None:
        super().__init__()
        self._link = link
        self._name = name
        self._is_open = False
        self._protocol: DebugProbe.Protocol | None = None
        self._queue = bytearray()
        self._last_was_ap_write = False
        self._reset_low = False

    @classmethod
    def on_board(cls, board: Board) -> VirtualNucleoProbe:
        """A probe on *board* in this process."""
        return cls(LocalLink(board.port), "local")

    @classmethod
    def get_all_connected_probes(
        cls, unique_id: str | None = None, is_explicit: bool = False
    ) -> Sequence[VirtualNucleoProbe]:
        """Every bench whose door is named in the environment and answers."""
        found = []
        for door in filter(None, os.environ.get(DOORS_VARIABLE, "").split(":")):
            name = bench_name(door)
            if name is not None:
                found.append(cls(BenchLink(door), name))
        return found

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> VirtualNucleoProbe | None:
        """The bench of that name."""
        return next((probe for probe in cls.get_all_connected_probes() if probe.unique_id == unique_id), None)

    # -- what it is --------------------------------------------------------------------------------------------

    @property
    def vendor_name(self) -> str:
        """Maker, for lists."""
        return "Proofline"

    @property
    def product_name(self) -> str:
        """Product, for lists."""
        return "Virtual NUCLEO-F412ZG bench"

    @property
    def unique_id(self) -> str:
        """The bench's name."""
        return self._name

    @property
    def supported_wire_protocols(self) -> Sequence[DebugProbe.Protocol]:
        """SWD only."""
        return [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]

    @property
    def wire_protocol(self) -> DebugProbe.Protocol | None:
        """SWD once connected."""
        return self._protocol

    @property
    def is_open(self) -> bool:
        """Whether the probe is taken."""
        return self._is_open

    @property
    def capabilities(self) -> set[DebugProbe.Capability]:
        """Raw sequences out; AP selection and DP banks are pyOCD's to manage."""
        return {DebugProbe.Capability.SWJ_SEQUENCE}

    # -- connection --------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the probe."""
        try:
            self._link.open()
        except OSError as error:
            raise exceptions.ProbeError(f"bench {self._name}: {error}") from error
        self._is_open = True

    def close(self) -> None:
        """Send what is left and let the probe go."""
        if self._is_open:
            try:
                self.flush()
            except exceptions.Error:
                pass  # nobody is left to tell
            self._link.close()
            self._is_open = False

    def connect(self, protocol: DebugProbe.Protocol | None = None) -> None:
        """Drive the wire."""
        if protocol not in {None, DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD}:
            raise exceptions.ProbeError("only SWD is wired")
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        """Stop driving the wire."""
        self.flush()
        self._protocol = None

    def set_clock(self, frequency: float) -> None:
        """SWCLK in hertz."""
        self._enqueue(requests.clock(int(frequency)))
        if self._is_open:
            self.flush()

    def swj_sequence(self, length: int, bits: int) -> None:
        """Clock bits out."""
        self._enqueue(requests.sequence(length, bits))
        self.flush()

    def reset(self) -> None:
        """Pulse NRST for the configured times, which are virtual."""
        self.assert_reset(True)
        self._enqueue(requests.idle(int(self._option("reset.hold_time") * 1e6)))
        self.assert_reset(False)
        self._send(requests.idle(int(self._option("reset.post_delay") * 1e6)))

    def _option(self, name: str) -> float:
        value = self.session.options.get(name) if self.session is not None else None
        return float(value) if value is not None else 0.1

    def assert_reset(self, asserted: bool) -> None:
        """Drive NRST low, or let it go."""
        self._enqueue(requests.drive_reset(low=asserted))
        self.flush()
        self._reset_low = asserted

    def is_reset_asserted(self) -> bool:
        """Whether NRST is low, whoever holds it."""
        return bool(self._send(requests.sense_reset())[0])

    # -- transfers ---------------------------------------------------------------------------------------------

    def _enqueue(self, operation: bytes, *, ap_write: bool = False) -> None:
        self._queue += operation
        self._last_was_ap_write = ap_write
        if len(self._queue) >= _QUEUE_LIMIT:
            self.flush()

    def _send(self, operation: bytes = b"") -> bytes:
        """Send the queue and *operation*; returns the operation's data."""
        checked = not operation and self._last_was_ap_write
        if checked:
            operation = requests.read(ap=False, address=RDBUFF)
        data = bytes(self._queue) + operation
        self._queue.clear()
        self._last_was_ap_write = False
        if not data:
            return b""
        try:
            reply = self._link.request(data)
        except OSError as error:
            raise exceptions.ProbeDisconnected(f"bench {self._name}: {error}") from error
        if reply[0] == Ack.OK:
            return reply[1:]
        if reply[0] == Ack.FAULT:
            raise exceptions.TransferFaultError
        if reply[0] == Ack.WAIT:
            raise exceptions.TransferTimeoutError
        raise exceptions.TransferProtocolError("no answer on the wire")

    def flush(self) -> None:
        """Send what has been collected, and find out whether it arrived."""
        self._send()

    def read_dp(self, addr: int, now: bool = True) -> int | Callable[[], int]:
        """Read a DP register."""
        (value,) = struct.unpack("<I", self._send(requests.read(ap=False, address=addr)))
        return value if now else lambda: value

    def write_dp(self, addr: int, data: int) -> None:
        """Write a DP register."""
        self._enqueue(requests.write(ap=False, address=addr, value=data), ap_write=self._last_was_ap_write)

    def read_ap(self, addr: int, now: bool = True) -> int | Callable[[], int]:
        """Read an AP register."""
        (value,) = struct.unpack("<I", self._send(requests.read(ap=True, address=addr)))
        return value if now else lambda: value

    def write_ap(self, addr: int, data: int) -> None:
        """Write an AP register."""
        self._enqueue(requests.write(ap=True, address=addr, value=data), ap_write=True)
        if addr & 0xFF in _DATA_REGISTERS:
            self.flush()

    def read_ap_multiple(self, addr: int, count: int = 1, now: bool = True) -> Any:
        """Read an AP register *count* times."""
        values = list(struct.unpack(f"<{count}I", self._send(requests.read_block(addr, count))))
        return values if now else lambda: values

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        """Write an AP register once for each value."""
        self._enqueue(requests.write_block(addr, struct.pack(f"<{len(values)}I", *values)))
        self.flush()

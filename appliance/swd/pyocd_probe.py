"""The pyOCD probe `gpioswd:<name>`: pyOCD's probe interface on an SWD port.

- `PROOFLINE_GPIOSWD` names a settings file (`appliance.swd.settings`); each of its pin sets is a probe by its name.
- Accesses are collected and go out as one operation with the next read that is wanted now, `flush`, or when there are
  many. AP reads with `now=False` stay posted meanwhile. A refusal of a collected access is raised where the operation
  was sent, and again wherever a read of that operation is asked for its value.
- Refusals come as the exceptions that pyOCD's own recovery acts on: FAULT as TransferFaultError (it clears the sticky
  flags), exhausted WAIT as TransferTimeoutError (it aborts the access), everything that leaves the protocol in doubt as
  TransferProtocolError (it resets the line). Their cause is ours, with code and sentence.
- With pyOCD's option `gpioswd.record` a session is recorded and written as a VCD file when the probe closes.
- AP selection and DP banks are left to pyOCD; the probe claims neither.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyocd.core import exceptions
from pyocd.probe.debug_probe import DebugProbe

from appliance.swd import capture, pins, settings, vcd
from appliance.swd.errors import Cancelled, PinsUnavailable, SwdError, TargetFaulted, TargetWaiting, WireError
from appliance.swd.port import ABORT, AP, CTRL_STAT, READ, Access, SwdPort
from appliance.swd.sequences import Sequence as WireSequence
from appliance.swd.settings import GpioChip, GpioMem, PinSet
from appliance.swd.swo import SwoReader

LOG = logging.getLogger(__name__)

SETTINGS_VARIABLE = "PROOFLINE_GPIOSWD"
RECORD_OPTION = "gpioswd.record"
_ACCESSES_LIMIT, _WORDS_LIMIT = 256, 16 * 1024
_SWJ_LIMIT = 4096

_T = TypeVar("_T")


class _Read:
    """A read that has been collected: its words, or why there are none."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.refusal: SwdError | None = None


class GpioSwdProbe(DebugProbe):  # type: ignore[misc]  # pyOCD has no annotations
    """A set of pins as a debug probe. `opener` turns the set into a port, once a session."""

    def __init__(self, pin_set: PinSet, opener: Callable[[PinSet], SwdPort] = pins.open_port) -> None:
        super().__init__()
        self._pin_set = pin_set
        self._opener = opener
        self._opened: SwdPort | None = None
        self._protocol: DebugProbe.Protocol | None = None
        self._accesses: list[Access] = []
        self._reads: list[_Read] = []
        self._words = 0
        self._trace: SwoReader | None = None

    @classmethod
    def get_all_connected_probes(
        cls,
        unique_id: str | None = None,  # noqa: ARG003  # pyOCD filters by itself
        is_explicit: bool = False,  # noqa: FBT001, FBT002  # pyOCD's signature
    ) -> Sequence[GpioSwdProbe]:
        """A probe for every pin set in the settings file; whether a board hangs on it is not known before `open`."""
        path = os.environ.get(SETTINGS_VARIABLE)
        if not path:
            return []
        try:
            return [cls(pin_set) for pin_set in settings.load(path)]
        except SwdError as error:
            if is_explicit:
                raise exceptions.ProbeError(str(error)) from error
            LOG.error("%s", error)  # noqa: TRY400  # other probes are looked for, and the sentence says it all
            return []

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> GpioSwdProbe | None:  # noqa: FBT001, FBT002  # pyOCD's signature
        """The probe of that name, or None."""
        probes = cls.get_all_connected_probes(unique_id, is_explicit)
        return next((probe for probe in probes if probe.unique_id == unique_id), None)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def vendor_name(self) -> str:
        """Maker, for lists."""
        return "Proofline"

    @property
    def product_name(self) -> str:
        """Product, for lists."""
        backend = self._pin_set.backend
        if isinstance(backend, GpioChip):
            return "SWD over a GPIO character device"
        return "SWD over memory-mapped GPIO" if isinstance(backend, GpioMem) else "SWD over a virtual wire"

    @property
    def unique_id(self) -> str:
        """The pin set's name."""
        return self._pin_set.name

    @property
    def supported_wire_protocols(self) -> Sequence[DebugProbe.Protocol]:
        """SWD."""
        return [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]

    @property
    def wire_protocol(self) -> DebugProbe.Protocol | None:
        """SWD once connected, None before."""
        return self._protocol

    @property
    def is_open(self) -> bool:
        """Whether the pins are taken."""
        return self._opened is not None

    @property
    def capabilities(self) -> set[DebugProbe.Capability]:
        """Raw sequences both ways and the reset pin; trace where a serial port listens to SWO."""
        return {
            DebugProbe.Capability.SWJ_SEQUENCE,
            DebugProbe.Capability.SWD_SEQUENCE,
            DebugProbe.Capability.PIN_ACCESS,
        } | ({DebugProbe.Capability.SWO} if self._pin_set.swo else set())

    @property
    def port(self) -> SwdPort:
        """The open port; for recordings, counters and cancellation."""
        if self._opened is None:
            raise exceptions.ProbeError(f"{self.unique_id} is not open")
        return self._opened

    # -- connection ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Takes the pins."""
        try:
            self._opened = self._opener(self._pin_set)
        except SwdError as error:
            raise exceptions.ProbeError(str(error)) from error
        if self._option(RECORD_OPTION):
            self._opened.start_recording()

    def close(self) -> None:
        """Sends what is left and lets the pins go."""
        if self._opened is None:
            return
        try:
            self.flush()
        except exceptions.Error as error:
            LOG.debug("left behind when closing: %s", error)
        finally:
            self.swo_stop()
            path = self._option(RECORD_OPTION)
            if path:
                _write_recording(self._opened, Path(str(path)))
            self._opened.close()
            self._opened = None
            self._protocol = None

    def _option(self, name: str) -> object:
        return self.session.options.get(name) if self.session is not None else None

    def connect(self, protocol: DebugProbe.Protocol | None = None) -> None:
        """Drives the wire. Selecting SWD is pyOCD's business (`swj_sequence`)."""
        if protocol not in {None, DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD}:
            raise exceptions.ProbeError(f"unsupported wire protocol {protocol}")
        with self._raising():
            self.port.drive_pins(driven=True)
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        """Lets the wire float."""
        try:
            self.flush()
        finally:
            self._protocol = None
            with self._raising():
                self.port.drive_pins(driven=False)

    def set_clock(self, frequency: float) -> None:
        """SWCLK in hertz, bounded by the pin set's `max_hz`."""
        hz = max(1, min(int(frequency), self._pin_set.max_hz))
        if hz != int(frequency):
            LOG.info("%s: SWCLK is bounded to %d Hz", self.unique_id, hz)
        with self._raising():
            self._send()
            self.port.set_clock(hz)

    def cancel(self) -> None:
        """Ends the running operation between two transfers; callable from another thread."""
        self.port.cancel()

    # -- reset and pins --------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Pulses nRESET for the session's `reset.hold_time`, then waits for its `reset.post_delay`."""
        self.assert_reset(asserted=True)
        self._wait("reset.hold_time")
        self.assert_reset(asserted=False)
        self._wait("reset.post_delay")

    def assert_reset(self, asserted: bool) -> None:  # noqa: FBT001  # pyOCD's signature
        """Pulls nRESET low, or lets it go."""
        with self._raising():
            self._send()
            self.port.assert_reset(asserted=asserted)

    def is_reset_asserted(self) -> bool:
        """Whether nRESET is low, whoever holds it."""
        with self._raising():
            self._send()
            return self.port.is_reset_low()

    def _wait(self, option: str) -> None:
        value = self._option(option)
        with self._raising():
            self.port.wait(int((value if isinstance(value, int | float) else 0.1) * 1e9))

    def get_accessible_pins(self, group: DebugProbe.PinGroup) -> tuple[int, int]:
        """Readable and writable pins. SWCLK and SWDIO cannot be had without clocking the target."""
        mask = int(DebugProbe.ProtocolPin.nRESET) if group is DebugProbe.PinGroup.PROTOCOL_PINS else 0
        return mask, mask

    def read_pins(self, group: DebugProbe.PinGroup, mask: int) -> int:
        """Levels of the accessible pins in `mask`."""
        wanted = mask & self.get_accessible_pins(group)[0]
        return wanted if wanted and not self.is_reset_asserted() else 0

    def write_pins(self, group: DebugProbe.PinGroup, mask: int, value: int) -> None:
        """Sets the accessible pins in `mask`."""
        wanted = mask & self.get_accessible_pins(group)[1]
        if wanted:
            self.assert_reset(asserted=not value & wanted)

    # -- trace -----------------------------------------------------------------------------------------------------

    def swo_start(self, baudrate: float) -> None:
        """Listens to SWO."""
        if self._pin_set.swo is None:
            raise exceptions.ProbeError(f"{self.unique_id} has no serial port on SWO")
        self.swo_stop()
        try:
            self._trace = SwoReader(self._pin_set.swo, int(baudrate))
        except SwdError as error:
            raise exceptions.ProbeError(str(error)) from error

    def swo_stop(self) -> None:
        """Listens no more."""
        if self._trace is not None:
            self._trace.close()
            self._trace = None

    def swo_read(self) -> bytearray:
        """What the target has said since the last read."""
        with self._raising():
            return bytearray(self._trace.read() if self._trace is not None else b"")

    # -- sequences -------------------------------------------------------------------------------------------------

    def swj_sequence(self, length: int, bits: int) -> None:
        """Drives `bits` as they are; a data line that does not follow is a protocol error, named for what it is."""
        if not 0 <= length <= _SWJ_LIMIT:
            raise exceptions.ProbeError(f"a sequence of {length} bits")
        with self._raising():
            self._send()
            self.port.say(WireSequence(length, bits))

    def swd_sequence(self, sequences: Sequence[tuple[int] | tuple[int, int]]) -> tuple[int, Sequence[bytes]]:
        """Runs of 1 to 64 cycles: `(count, bits)` driven, `(count,)` read; status 0 and the reads' bits."""
        seen: list[bytes] = []
        with self._raising():
            self._send()
            for each in sequences:
                if not 1 <= each[0] <= 64:
                    raise exceptions.ProbeError(f"a run of {each[0]} cycles")
                if len(each) == 2:
                    self.port.sequence(each[0], each[1])
                else:
                    seen.append(self.port.listen(each[0]).to_bytes((each[0] + 7) // 8, "little"))
        return 0, seen

    # -- transfers -------------------------------------------------------------------------------------------------

    def read_dp(self, addr: int, now: bool = True) -> int | Callable[[], int]:  # noqa: FBT001, FBT002  # pyOCD's signature
        """A DP register."""
        return self._read(addr & 0xC | READ, 1, _word, now=now)

    def write_dp(self, addr: int, data: int) -> None:
        """A DP register. Writes that change how the port behaves go out at once."""
        self._collect(addr & 0xC, data, 1)
        if addr & 0xC in {ABORT, CTRL_STAT}:
            self.flush()

    def read_ap(self, addr: int, now: bool = True) -> int | Callable[[], int]:  # noqa: FBT001, FBT002  # pyOCD's signature
        """An AP register of the selected bank."""
        return self._read(addr & 0xC | AP | READ, 1, _word, now=now)

    def write_ap(self, addr: int, data: int) -> None:
        """An AP register of the selected bank."""
        self._collect(addr & 0xC | AP, data, 1)

    def read_ap_multiple(
        self,
        addr: int,
        count: int = 1,
        now: bool = True,  # noqa: FBT001, FBT002  # pyOCD's signature
    ) -> Sequence[int] | Callable[[], Sequence[int]]:
        """An AP register `count` times."""
        return self._read(addr & 0xC | AP | READ, count, _list, now=now)

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        """An AP register once for each value."""
        words = b"".join(value.to_bytes(4, "little") for value in values)
        self._collect(addr & 0xC | AP, words, len(values))

    def flush(self) -> None:
        """Performs what has been collected, and knows how it ended."""
        with self._raising():
            self._send()

    def _read(self, request: int, count: int, decode: Callable[[bytes], _T], *, now: bool) -> _T | Callable[[], _T]:
        self._collect(request, count, count)
        read = _Read()
        self._reads.append(read)

        def value() -> _T:
            with self._raising():
                if read.data is None and read.refusal is None:
                    self._send()
                if read.data is None:
                    raise read.refusal or SwdError()
                return decode(read.data)

        return value() if now else value

    def _collect(self, request: int, payload: int | bytes, words: int) -> None:
        if self._words + words > _WORDS_LIMIT or len(self._accesses) >= _ACCESSES_LIMIT:
            self.flush()
        self._accesses.append((request, payload))
        self._words += words

    def _send(self) -> None:
        accesses, reads = self._accesses, self._reads
        if not accesses:
            return
        self._accesses, self._reads, self._words = [], [], 0
        try:
            for read, data in zip(reads, self.port.run(accesses), strict=True):
                read.data = data
        except SwdError as error:
            for read in reads:
                read.refusal = error
            raise

    @contextmanager
    def _raising(self) -> Iterator[None]:
        try:
            yield
        except TargetFaulted as error:
            raise exceptions.TransferFaultError(str(error)) from error
        except TargetWaiting as error:
            raise exceptions.TransferTimeoutError(str(error)) from error
        except Cancelled as error:
            raise exceptions.ProbeError(str(error)) from error  # nothing to recover from: somebody wanted it
        except WireError as error:
            raise exceptions.TransferProtocolError(str(error)) from error
        except SwdError as error:
            raise exceptions.ProbeDisconnected(str(error)) from error


def _write_recording(port: SwdPort, path: Path) -> None:
    data, overflowed = port.stop_recording()
    if overflowed:
        LOG.warning("%s holds only the beginning: more happened than a recording keeps", path)
    try:
        with path.open("w", encoding="ascii") as file:
            file.writelines(vcd.write(capture.waveform(capture.events(data))))
    except OSError as error:
        raise exceptions.ProbeError(str(PinsUnavailable(path=str(path), why=str(error)))) from error


def _word(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _list(data: bytes) -> list[int]:
    return list(memoryview(data).cast("I")) if len(data) else []

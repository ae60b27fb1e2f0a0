"""What a probe asks of a port, as bytes: the same for a probe in this process and for one behind a socket.

* A request is a run of operations; they are done in order and stop at the first one that is not acknowledged.
* The reply is the last acknowledgement, then the data of every read that was done.
* WAIT is retried here, next to the wire, with the patience of a real probe; what comes back is final.

Operations (little-endian): ``W reg u32``, ``R reg``, ``w reg u16 words``, ``r reg u16``, ``S u16 bits``, ``C u32``
(SWCLK in Hz), ``N u8`` (NRST), ``n`` (NRST level), ``I u32`` (idle microseconds). ``reg`` is A[3:2], plus 1 for an AP.
"""

from __future__ import annotations

import struct

from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.faults import DoorError
from hil.virtual_nucleo.swd_port import SwdPort
from hil.virtual_nucleo.vtime import PS_PER_US

MAX_REQUEST = 1 << 20
MAX_WORDS = 0xFFFF
_WAIT_RETRIES = 100


def write(*, ap: bool, address: int, value: int) -> bytes:
    """Write a DP or AP register."""
    return struct.pack("<cBI", b"W", address & 0xC | ap, value)


def read(*, ap: bool, address: int) -> bytes:
    """Read a DP register, or an AP register through RDBUFF; four bytes of data."""
    return struct.pack("<cB", b"R", address & 0xC | ap)


def write_block(address: int, data: bytes) -> bytes:
    """Write an AP register once for each word of *data*; errors of the last word included."""
    return struct.pack("<cBH", b"w", address & 0xC | 1, len(data) // 4) + data


def read_block(address: int, count: int) -> bytes:
    """Read an AP register *count* times; four bytes of data each."""
    return struct.pack("<cBH", b"r", address & 0xC | 1, count)


def sequence(length: int, bits: int) -> bytes:
    """Clock bits out, LSB first."""
    return struct.pack("<cH", b"S", length) + bits.to_bytes((length + 7) // 8, "little")


def clock(hertz: int) -> bytes:
    """Set the SWCLK frequency."""
    return struct.pack("<cI", b"C", hertz)


def drive_reset(*, low: bool) -> bytes:
    """Drive NRST low or release it."""
    return struct.pack("<cB", b"N", low)


def sense_reset() -> bytes:
    """Read NRST; one byte of data, 1 when it is low."""
    return b"n"


def idle(microseconds: int) -> bytes:
    """Leave the wire alone for a while."""
    return struct.pack("<cI", b"I", microseconds)


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        part = self._data[self._at : self._at + count]
        if len(part) != count:
            raise DoorError("request ends inside an operation")
        self._at += count
        return part

    def unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))


def execute(port: SwdPort, request: bytes) -> bytes:
    """Do *request* on *port*; returns the reply. :raises DoorError: when it is not a request."""
    cursor = _Cursor(request)
    out = bytearray()
    ack = Ack.OK
    while cursor.more and ack is Ack.OK:
        verb = cursor.take(1)
        if verb == b"S":
            (length,) = cursor.unpack("H")
            port.sequence(length, int.from_bytes(cursor.take((length + 7) // 8), "little"))
        elif verb == b"C":
            port.swclk_hz = max(cursor.unpack("I")[0], 1)
        elif verb == b"N":
            port.reset_pin(bool(cursor.unpack("B")[0]))
        elif verb == b"n":
            out.append(port.reset_pin_low)
        elif verb == b"I":
            port.idle(cursor.unpack("I")[0] * PS_PER_US)
        else:
            ack = _access(port, verb, cursor, out)
    return bytes([ack]) + bytes(out)


def _access(port: SwdPort, verb: bytes, cursor: _Cursor, out: bytearray) -> Ack:
    (register,) = cursor.unpack("B")
    ap, address = bool(register & 1), register & 0xC
    ack, data = Ack.WAIT, b""
    if verb == b"W":
        (value,) = cursor.unpack("I")
        for _ in range(_WAIT_RETRIES):
            ack, _ignored = port.transfer(ap=ap, read=False, address=address, value=value)
            if ack is not Ack.WAIT:
                break
    elif verb == b"R":
        for _ in range(_WAIT_RETRIES):
            if ap:
                ack, data = port.read_block(address, 1)
            else:
                ack, word = port.transfer(ap=False, read=True, address=address)
                data = word.to_bytes(4, "little")
            if ack is not Ack.WAIT:
                break
    elif verb == b"w":
        (count,) = cursor.unpack("H")
        ack = port.write_block(address, cursor.take(4 * count))
    elif verb == b"r":
        (count,) = cursor.unpack("H")
        ack, data = port.read_block(address, count)
    else:
        raise DoorError(f"no such operation: {verb!r}")
    if ack is Ack.OK:
        out += data
    return ack

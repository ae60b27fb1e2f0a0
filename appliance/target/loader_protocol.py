"""The mailbox and the ring of the loader: `stub/loader.h` is their other side.

- Pure. A request, a page and a report are sealed by CRCs that start from the run's nonce: what was damaged on its way
  is refused on the target before it is programmed, and what another run left in RAM is neither page nor report.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from appliance.target.errors import DebuggerFault

REQUEST_MAGIC = 0x504C4C51
REPORT_MAGIC = 0x504C4C53
MAX_SECTORS = 32

_REQUEST = struct.Struct(f"<{11 + MAX_SECTORS}I")
_REPORT = struct.Struct("<10I")
_WORD = struct.Struct("<I")
_FOOTER = struct.Struct("<III")
_FOOTER_LENGTH = _FOOTER.size + 2 * _WORD.size
REPORT_OFFSET = _REQUEST.size + _WORD.size
REPORT_LENGTH = _REPORT.size + _WORD.size
WAKE_OFFSET = REPORT_OFFSET + REPORT_LENGTH
NEVER = 0xFFFF_FFFF
"""For `wake`: no page is that many."""


class Status(IntEnum):
    """Why the loader is halted."""

    PAUSED = 1
    DONE = 2
    BAD_REQUEST = 3
    CLOSED = 4
    ERASE_FAILED = 5
    PROGRAM_FAILED = 6
    PAGE_REFUSED = 7
    STARVED = 8


@dataclass(frozen=True)
class Ring:
    """`slots` slots of `slot_length` bytes from `start` on."""

    start: int
    slots: int
    slot_length: int

    @property
    def page_length(self) -> int:
        """How many bytes of an image one slot takes at most."""
        return self.slot_length - _FOOTER_LENGTH


@dataclass(frozen=True)
class Page:
    """Whole words for one place in flash."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Job:
    """What the loader is to do: erase the sectors by number, then program `pages` pages inside [low, high).

    It waits `patience` rounds for a page, each some 22 ms at its working speed, before it gives up.
    """

    nonce: int
    bits: int
    low: int
    high: int
    ring: Ring
    pages: int
    patience: int
    sectors: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """How far the loader is. `raised`: the core runs at its working speed. The rest tells where a failure was."""

    status: Status
    raised: bool
    erased: int
    programmed: int
    address: int
    sr: int
    found: int
    wanted: int


def request(job: Job) -> bytes:
    """The mailbox before the loader starts: the request, no report, nothing to wake for."""
    assert len(job.sectors) <= MAX_SECTORS
    raw = _REQUEST.pack(
        REQUEST_MAGIC,
        job.nonce,
        {8: 0, 16: 1, 32: 2}[job.bits],
        job.low,
        job.high,
        job.ring.start,
        job.ring.slots,
        job.ring.slot_length,
        job.pages,
        job.patience,
        len(job.sectors),
        *job.sectors,
        *(0 for _ in range(MAX_SECTORS - len(job.sectors))),
    )
    return raw + _WORD.pack(zlib.crc32(raw)) + bytes(REPORT_LENGTH) + wake(NEVER)


def wake(pages: int) -> bytes:
    """The word at `WAKE_OFFSET` that makes the loader pause once `pages` pages are programmed."""
    return _WORD.pack(pages)


def slot(job: Job, sequence: int, page: Page) -> tuple[int, bytes]:
    """Where in RAM page number `sequence` goes, and what: data, footer, CRC and, last, the bell."""
    assert 0 < len(page.data) <= job.ring.page_length
    assert not len(page.data) % 4
    body = page.data + _FOOTER.pack(page.address, len(page.data), sequence)
    raw = body + _WORD.pack(zlib.crc32(body, job.nonce)) + _WORD.pack(job.nonce ^ sequence)
    end = job.ring.start + (sequence % job.ring.slots + 1) * job.ring.slot_length
    return end - len(raw), raw


def believe(raw: bytes, job: Job) -> Report:
    """The report in the `REPORT_LENGTH` bytes at `REPORT_OFFSET`. Raises `DebuggerFault` if it is not this run's."""
    magic, nonce, status, clock, *numbers = _REPORT.unpack_from(raw)
    (seal,) = _WORD.unpack_from(raw, _REPORT.size)
    sound = magic == REPORT_MAGIC and nonce == job.nonce and seal == zlib.crc32(raw[: _REPORT.size], nonce)
    if not sound or status not in set(Status):
        raise DebuggerFault(stage="program", reason="the loader's report is damaged or of another run")
    return Report(Status(status), clock == 1, *numbers)

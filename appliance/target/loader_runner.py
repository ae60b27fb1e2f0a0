"""Runs the loader on the target: what to erase, then page after page, the wire and the flash at work side by side.

- A `Loader` says nothing about the flash before `start`; from then on nobody may say "untouched" but the loader itself.
- Pages are written into free slots of the ring only. The core pauses when there is room again, so that nobody polls a
  running core's memory; each pause costs a few accesses for some 64 KiB.
- A loader that stops early comes out as `LoaderStopped`, with its report.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from appliance.target.boards.profile import Sector
from appliance.target.errors import DebuggerFault
from appliance.target.link import Link
from appliance.target.loader_protocol import (
    REPORT_LENGTH,
    REPORT_OFFSET,
    WAKE_OFFSET,
    Job,
    Page,
    Report,
    Ring,
    Status,
    believe,
    request,
    slot,
    wake,
)
from appliance.target.stub_blob import place

# Well beyond the data sheet's longest at x8: 34 s for all sectors, 13 s for a ring of pages.
_ERASE_TIMEOUT_S = 128.0
_PROGRAM_TIMEOUT_S = 52.0
_BREAKPOINT_LENGTH = 2
PATIENCE = 450
"""Rounds (`Job.patience`): some 10 s, longer than any hiccup of a station that will still bring its page."""


class LoaderStopped(Exception):
    """The loader ended before its job; `report` says where and why."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.status.name)
        self.report = report


class Loader:
    """One run on one device. `programmed` counts the pages that the flash is known to hold."""

    def __init__(
        self, link: Link, sectors: Sequence[Sector], pages: Sequence[Page], bits: int, patience: int = PATIENCE
    ) -> None:
        profile = link.profile
        self._link = link
        self._stub = profile.loader.stub
        self._pages = pages
        self._job = Job(
            nonce=secrets.randbits(32),
            bits=bits,
            low=profile.flash_start,
            high=profile.flash_end,
            ring=Ring(profile.loader.ring, profile.loader.slots, profile.loader.slot_length),
            pages=len(pages),
            patience=patience,
            sectors=tuple(profile.sectors.index(sector) for sector in sectors),
        )
        self._code = range(0)
        self._stopped_at = 0
        self._fed = 0
        self._stage = "erase" if sectors else "program"
        self.programmed = 0

    def place(self) -> None:
        """Code, request and, where nothing is to be erased first, the first page go into RAM."""
        self._code = place(self._link, self._stub, request(self._job), "program")
        if not self._job.sectors:
            self._feed(1)

    def start(self) -> None:
        """From here on the flash changes. While sectors are erased the ring fills."""
        self._link.start({"pc": self._stub.load_address, "sp": self._stub.stack_top})

    def finish_erasing(self) -> Report:
        """Waits until all sectors are erased. Raises `LoaderStopped`."""
        self._feed(self._job.ring.slots)
        report = self._halted(_ERASE_TIMEOUT_S)
        self._stage = "program"
        self._go_on()
        return report

    def advance(self) -> Report:
        """Fills the ring and waits until there is room in it again, or nothing left to do. Raises `LoaderStopped`."""
        slots = self._job.ring.slots
        self._feed(self.programmed + slots)
        last = self._fed == len(self._pages)
        if not last:
            self._link.write(self._stub.mailbox + WAKE_OFFSET, wake(self._fed - slots // 2))
        report = self._halted(_PROGRAM_TIMEOUT_S)
        self.programmed = report.programmed
        if report.status is Status.PAUSED:
            self._go_on()
        return report

    def _feed(self, until: int) -> None:
        for sequence in range(self._fed, min(until, len(self._pages))):
            self._link.stop_if_cancelled(self._stage)
            self._link.write(*slot(self._job, sequence, self._pages[sequence]))
            self._fed = sequence + 1

    def _halted(self, timeout_s: float) -> Report:
        self._stopped_at = self._link.wait_halted(timeout_s, self._stage)
        if self._stopped_at not in self._code:
            raise DebuggerFault(
                stage=self._stage, reason=f"the core stopped at {self._stopped_at:#010x}, outside the loader"
            )
        report = believe(self._link.read(self._stub.mailbox + REPORT_OFFSET, REPORT_LENGTH), self._job)
        if report.status not in {Status.PAUSED, Status.DONE}:
            raise LoaderStopped(report)
        return report

    def _go_on(self) -> None:
        self._link.go_on_at(self._stopped_at + _BREAKPOINT_LENGTH)

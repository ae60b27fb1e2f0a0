"""Programming: the image into a flash that is erased everywhere else.

- Sectors that are not blank are erased, all of the device's, whatever the image covers; `Erase.ALL` erases the blank
  ones too (after an interrupted unit a sector may read blank and not be). Blank means: the silicon read it so, now.
- Every word that the image touches is written, none is compared or skipped, and as many bits at a time as the supply
  allows. A page that was damaged on its way is not programmed. Whether it all came out right is not said here:
  `measure` says it.
- Before the first erase or program command errors are what they are; after it they are `FlashUncertain`.
- Our loader does the work on the target (`stub/loader.c`), which programs while the next pages are on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from appliance.target.boards.profile import Sector
from appliance.target.errors import DebuggerFault, FlashRejected, FlashUncertain, TargetError
from appliance.target.identify import require_writable
from appliance.target.image import Image
from appliance.target.link import Link, named
from appliance.target.loader_protocol import Page, Report, Status
from appliance.target.loader_runner import Loader, LoaderStopped
from appliance.target.pages import pages_of
from appliance.target.stub_protocol import Kind, Question
from appliance.target.stub_runner import ask

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) as the work goes on; it must be quick and must not raise."""


class Erase(Enum):
    """Which sectors are erased: those that are not blank, or all."""

    NEEDED = "needed"
    ALL = "all"


@dataclass(frozen=True)
class ProgramReport:
    """What was done: the erased sectors, the pages written and the image's bytes in them, and how: `bits` at a time."""

    erased: tuple[Sector, ...]
    pages: int
    length: int
    bits: int


@dataclass
class _Effects:
    """How far the flash was changed, for whoever has to say what is uncertain."""

    total: int
    begun: bool = False
    stage: str = "erase"
    address: int = 0
    done: int = 0

    def facts(self) -> dict[str, Any]:
        return {"stage": self.stage, "address": hex(self.address), "done": self.done, "total": self.total}


def program(link: Link, image: Image, progress: Progress, erase: Erase) -> ProgramReport:
    """Makes the flash hold `image` and nothing else. Raises what `Target.program` says."""
    assert image.part == link.profile.part
    require_writable(link)
    with named("blank check"):
        sectors = link.profile.sectors if erase is Erase.ALL else _written_sectors(link)
        bits = link.profile.parallelism(link.supply_mv())
    pages = pages_of(image, link.profile)
    effects = _Effects(total=image.length)
    try:
        with named("program"):
            _erase_and_program(link, sectors, pages, bits, effects, progress)
    except FlashUncertain:
        link.stop()
        raise
    except TargetError as error:
        if not effects.begun:
            raise
        link.stop()
        raise FlashUncertain(**effects.facts(), cause=error.code, reason=error.engineer_sentence()) from error
    return ProgramReport(erased=sectors, pages=len(pages), length=image.length, bits=bits)


def _written_sectors(link: Link) -> tuple[Sector, ...]:
    """The sectors in which the silicon reads anything but 0xFF."""
    questions = tuple(Question(Kind.ERASED, sector.start, sector.length) for sector in link.profile.sectors)
    answers = ask(link, questions, "blank check").answers
    return tuple(sector for sector, answer in zip(link.profile.sectors, answers) if answer.first_written != sector.end)


def _erase_and_program(
    link: Link, sectors: Sequence[Sector], pages: Sequence[Page], bits: int, effects: _Effects, progress: Progress
) -> None:
    loader = Loader(link, sectors, pages, bits)
    loader.place()
    link.stop_if_cancelled("program")
    effects.begun = True
    try:
        if sectors:
            effects.address = sectors[0].start
            loader.start()
            loader.finish_erasing()
            effects.stage, effects.address = "program", pages[0].address
        else:
            effects.stage, effects.address = "program", pages[0].address
            loader.start()
        while loader.programmed < len(pages):
            loader.advance()
            _note(effects, pages, loader.programmed)
            progress(effects.done, effects.total)
    except LoaderStopped as stopped:
        _explain(stopped.report, sectors, pages, effects)


def _note(effects: _Effects, pages: Sequence[Page], programmed: int) -> None:
    effects.done = min(effects.total, sum(len(page.data) for page in pages[:programmed]))
    if programmed < len(pages):
        effects.address = pages[programmed].address


_UNTOUCHED = {
    Status.BAD_REQUEST: "the loader's request was damaged in RAM",
    Status.CLOSED: "the flash interface does not open",
}
_UNFINISHED = {
    Status.PAGE_REFUSED: "the page was damaged on its way and is not programmed",
    Status.STARVED: "the loader waited in vain for the page",
}


def _explain(report: Report, sectors: Sequence[Sector], pages: Sequence[Page], effects: _Effects) -> None:
    """Raises what a loader's failure is."""
    if report.status in _UNTOUCHED:
        effects.begun = False
        raise DebuggerFault(stage=effects.stage, reason=_UNTOUCHED[report.status])
    _note(effects, pages, report.programmed)
    if report.status in _UNFINISHED:
        raise DebuggerFault(stage=effects.stage, reason=_UNFINISHED[report.status])
    if report.status is Status.ERASE_FAILED:
        effects.stage, effects.address = "erase", sectors[report.erased].start
    else:
        effects.done = min(effects.total, effects.done + report.address - effects.address)
        effects.address = report.address
    result = f"FLASH_SR {report.sr:#x}" if report.sr else f"{report.found:#010x} read back for {report.wanted:#010x}"
    raise FlashRejected(**effects.facts(), result=result, cause=DebuggerFault.code)

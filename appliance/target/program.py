"""Programming: the image into a flash that is erased everywhere else.

- Sectors that are not blank are erased, all of the device's, whatever the image covers; `Erase.ALL` erases the blank
  ones too (after an interrupted unit a sector may read blank and not be). Blank means: the silicon read it so, now.
- Every page that the image touches is written, none is compared or skipped. Whether it all came out right is not
  said here: `measure` says it.
- Before the first erase or program command errors are what they are; after it they are `FlashUncertain`.
- pyOCD's flash algorithm does the work on the target, double-buffered where it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyocd.core import exceptions
from pyocd.core.memory_map import MemoryType
from pyocd.flash.flash import Flash

from appliance.target.boards.profile import Sector
from appliance.target.errors import FlashRejected, FlashUncertain, TargetError
from appliance.target.identify import require_writable
from appliance.target.image import Image
from appliance.target.link import Link, named
from appliance.target.stub_protocol import Kind, Question
from appliance.target.stub_runner import ask

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after every page; it must be quick and must not raise."""

_ERASED = 0xFF


class Erase(Enum):
    """Which sectors are erased: those that are not blank, or all."""

    NEEDED = "needed"
    ALL = "all"


@dataclass(frozen=True)
class ProgramReport:
    """What was done: the erased sectors, the pages written and the image's bytes in them."""

    erased: tuple[Sector, ...]
    pages: int
    length: int


@dataclass(frozen=True)
class _Page:
    address: int
    data: bytes


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
    effects = _Effects(total=image.length)
    try:
        with named("program"):
            pages = _erase_and_program(link, image, sectors, effects, progress)
    except TargetError as error:
        if not effects.begun:
            raise
        failure = error.__cause__
        if isinstance(failure, exceptions.FlashFailure) and failure.result_code not in {None, Flash.TIMEOUT_ERROR}:
            raise FlashRejected(**effects.facts(), result=failure.result_code, cause=error.code) from error
        raise FlashUncertain(**effects.facts(), cause=error.code, reason=error.engineer_sentence()) from error
    return ProgramReport(erased=sectors, pages=pages, length=image.length)


def _written_sectors(link: Link) -> tuple[Sector, ...]:
    """The sectors in which the silicon reads anything but 0xFF."""
    questions = tuple(Question(Kind.ERASED, sector.start, sector.length) for sector in link.profile.sectors)
    answers = ask(link, questions, "blank check").answers
    return tuple(sector for sector, answer in zip(link.profile.sectors, answers) if answer.first_written != sector.end)


def _erase_and_program(
    link: Link, image: Image, sectors: tuple[Sector, ...], effects: _Effects, progress: Progress
) -> int:
    pages = 0
    for region in link.session.target.memory_map.iter_matching_regions(type=MemoryType.FLASH):
        flash = region.flash
        for sector in (s for s in sectors if region.contains_address(s.start)):
            link.stop_if_cancelled("erase")
            flash.init(flash.Operation.ERASE)
            effects.begun, effects.address = True, sector.start
            flash.erase_sector(sector.start)
        flash.uninit()
    effects.stage = "program"
    for region in link.session.target.memory_map.iter_matching_regions(type=MemoryType.FLASH):
        inside = list(_pages(image, region.start, region.end + 1, region.page_size))
        if inside:
            _program_region(link, region.flash, inside, effects, progress)
            pages += len(inside)
    return pages


def _program_region(link: Link, flash: Any, pages: list[_Page], effects: _Effects, progress: Progress) -> None:
    """The next page goes into the other buffer while the target programs this one."""
    timeout_s = link.session.options.get("flash.timeout.program")
    buffers = flash.page_buffer_count
    flash.init(flash.Operation.PROGRAM)
    flash.load_page_buffer(0, pages[0].address, pages[0].data)
    for index, page in enumerate(pages):
        link.stop_if_cancelled("program")
        effects.begun, effects.address = True, page.address
        flash.start_program_page_with_buffer(index % buffers, page.address)
        following = pages[index + 1] if index + 1 < len(pages) else None
        if following and buffers > 1:
            flash.load_page_buffer((index + 1) % buffers, following.address, following.data)
        result = flash.wait_for_completion(timeout=timeout_s)
        if result:
            raise exceptions.FlashProgramFailure("program page", address=page.address, result_code=result)
        if following and buffers == 1:
            flash.load_page_buffer(0, following.address, following.data)
        effects.done = min(effects.total, effects.done + len(page.data))
        progress(effects.done, effects.total)
    flash.cleanup()


def _pages(image: Image, start: int, end: int, size: int) -> Iterator[_Page]:
    """The image's pages inside [start, end), whole, with 0xFF where the image says nothing."""
    pages: dict[int, bytearray] = {}
    for segment in image.segments:
        first, last = max(segment.start, start), min(segment.end, end)
        address = first
        while address < last:
            base = address - address % size
            stop = min(base + size, last)
            page = pages.setdefault(base, bytearray([_ERASED]) * size)
            page[address - base : stop - base] = segment.data[address - segment.start : stop - segment.start]
            address = stop
    for base in sorted(pages):
        yield _Page(base, bytes(pages[base]))

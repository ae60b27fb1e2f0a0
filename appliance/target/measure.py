"""What is in the flash, all of it, whoever programmed it.

- Independent of the programmer: the device is reset first, nothing that programming knew or left behind is used, and
  every byte of the flash is in exactly one range: hashed, proven erased, or reported as not erased.
- `stub`: the silicon hashes itself at full speed and answers under a nonce. `readback`: the station reads and hashes,
  where the RAM does not allow a stub. Both give the same `Measurement` but for its method.
- Saying what *ought* to be there is the caller's business (`deviations`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from appliance.target.boards.profile import BoardProfile
from appliance.target.errors import LinkError, MeasurementInterrupted, RangeOutsideFlash
from appliance.target.identify import require_readable
from appliance.target.image import ImageRange, gaps
from appliance.target.link import Link, named
from appliance.target.stub_protocol import Kind, Question
from appliance.target.stub_runner import ask

Mode = Literal["stub", "readback"]
Method = Literal["on-target-sha256", "read-back"]

_METHODS: dict[Mode, Method] = {"stub": "on-target-sha256", "readback": "read-back"}
_CHUNK = 16 * 1024


class NamedRange(Protocol):
    """Anything with a name, a start and a length: an `ImageRange`, or a range of a release."""

    @property
    def name(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...


@dataclass(frozen=True)
class MeasuredRange:
    """The SHA-256 (lower-case hex) of what is in [start, start + length)."""

    name: str
    start: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Span:
    """[start, start + length), in bytes."""

    start: int
    length: int


@dataclass(frozen=True)
class Measurement:
    """All of the flash: `ranges` hashed, `erased` proven to read 0xFF, `unerased` starting with a byte that is not."""

    method: Method
    ranges: tuple[MeasuredRange, ...]
    erased: tuple[Span, ...]
    unerased: tuple[Span, ...]

    def deviations(self, expected: Iterable[ImageRange]) -> tuple[str, ...]:
        """A sentence for each difference from the allowlist `expected`; empty when the flash is as it must be."""
        wanted = {(r.name, r.start, r.length): r.sha256 for r in expected}
        found = {(r.name, r.start, r.length): r.sha256 for r in self.ranges}
        return (
            *(f"range {key[0]} was not measured" for key in wanted if key not in found),
            *(f"range {key[0]} is not in the allowlist" for key in found if key not in wanted),
            *(
                f"range {key[0]} at {key[1]:#x} has SHA-256 {found[key]}, not {wanted[key]}"
                for key in wanted
                if key in found and found[key] != wanted[key]
            ),
            *(f"{span.length} bytes from {span.start:#x} are not erased" for span in self.unerased),
        )


def measure(link: Link, ranges: Sequence[NamedRange], mode: Mode) -> Measurement:
    """Measures all of the flash. Raises `MeasurementError`, `DeviceRefused`."""
    ordered = _in_order(ranges, link.profile)
    try:
        with named("measure"):
            link.reset_and_halt()
        require_readable(link)
        pieces = _pieces_to_prove_erased(ordered, link.profile)
        with named("measure"):
            if mode == "stub":
                digests, stops = _by_stub(link, ordered, pieces)
            else:
                digests, stops = _by_reading(link, ordered, pieces)
    except LinkError as error:
        raise MeasurementInterrupted(cause=error.code, reason=error.engineer_sentence()) from error
    erased = [Span(p.start, stop - p.start) for p, stop in zip(pieces, stops) if stop > p.start]
    unerased = [Span(stop, p.start + p.length - stop) for p, stop in zip(pieces, stops) if stop < p.start + p.length]
    return Measurement(
        method=_METHODS[mode],
        ranges=tuple(MeasuredRange(r.name, r.start, r.length, d) for r, d in zip(ordered, digests)),
        erased=_joined(erased),
        unerased=tuple(unerased),
    )


def _in_order(ranges: Sequence[NamedRange], profile: BoardProfile) -> list[NamedRange]:
    ordered = sorted(ranges, key=lambda r: r.start)
    end = profile.flash_start
    for one in ordered:
        if one.length <= 0 or one.start < end or not profile.in_flash(one.start, one.length):
            raise RangeOutsideFlash(name=one.name, start=hex(one.start), length=one.length, part=profile.part)
        end = one.start + one.length
    return ordered


def _pieces_to_prove_erased(ordered: Sequence[NamedRange], profile: BoardProfile) -> list[Span]:
    """Everything outside the ranges, cut at the sectors' borders, so that one stray byte does not taint the rest."""
    pieces = []
    for start, length in gaps(((r.start, r.length) for r in ordered), profile.flash_start, profile.flash_end):
        for sector in profile.sectors:
            first, last = max(start, sector.start), min(start + length, sector.end)
            if first < last:
                pieces.append(Span(first, last - first))
    return pieces


def _by_stub(link: Link, ranges: Sequence[NamedRange], pieces: Sequence[Span]) -> tuple[list[str], list[int]]:
    """The ranges' digests, and for each piece the first address that is not erased (or its end)."""
    questions = (
        *(Question(Kind.HASH, r.start, r.length) for r in ranges),
        *(Question(Kind.ERASED, p.start, p.length) for p in pieces),
    )
    answers = ask(link, questions, "measure").answers
    return (
        [answer.digest.hex() for answer in answers[: len(ranges)]],
        [answer.first_written for answer in answers[len(ranges) :]],
    )


def _by_reading(link: Link, ranges: Sequence[NamedRange], pieces: Sequence[Span]) -> tuple[list[str], list[int]]:
    """The same as `_by_stub`, by the debugger's own reads."""
    return [_hash(link, r) for r in ranges], [_first_written(link, p) for p in pieces]


def _hash(link: Link, one: NamedRange) -> str:
    digest = hashlib.sha256()
    for start, length in _chunks(one.start, one.length):
        link.stop_if_cancelled("measure")
        digest.update(link.read(start, length))
    return digest.hexdigest()


def _first_written(link: Link, piece: Span) -> int:
    for start, length in _chunks(piece.start, piece.length):
        link.stop_if_cancelled("measure")
        clean = link.read(start, length)
        rest = clean.lstrip(b"\xff")
        if rest:
            return start + length - len(rest)
    return piece.start + piece.length


def _chunks(start: int, length: int) -> Iterable[tuple[int, int]]:
    for offset in range(0, length, _CHUNK):
        yield start + offset, min(_CHUNK, length - offset)


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].start + joined[-1].length == span.start:
            joined[-1] = Span(joined[-1].start, joined[-1].length + span.length)
        else:
            joined.append(span)
    return tuple(joined)

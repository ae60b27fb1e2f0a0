"""A device's flash against what a release allows: the same question that the station asks, asked by anybody.

- The approved ranges must all be there, each with its approved digest, and nothing else may be: what is outside them
  is erased (every byte 0xFF).
- A measurement comes as the object that a manifest holds, as a raw dump (with the address of its first byte), or as
  an Intel HEX dump; a dump proves only what it covers, and how much that is, is said.
- Intel HEX is read strictly: every line's length and checksum, ascending without overlap, ended by its end record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.evidence.tables import MEASUREMENT_DOCUMENT
from appliance.verify.errors import FlashNotErased, HexMalformed, MeasurementMalformed, RangeDiffers, RangesDiffer
from appliance.verify.site_documents import FlashRange, Release

MAX_DUMP_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes as they stand in flash from address `start`."""

    start: int
    content: bytes

    @property
    def end(self) -> int:
        return self.start + len(self.content)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was shown. `outside_bytes`: how many bytes outside the image were seen, or said, to be erased."""

    release: str
    ranges: tuple[FlashRange, ...]
    outside_bytes: int
    source: str


def check_dump(release: Release, segments: Sequence[Segment], source: str) -> Measured:
    """The dump holds the release and nothing else, or a `PL-VRF-061` to `-063` refusal."""
    outside = 0
    for one in release.ranges:
        content = _cut(segments, one.start, one.length)
        if content is None:
            raise RangesDiffer(why=f"the dump does not hold all of {one.name}")
        _check_range(one, sha256(content).hexdigest())
    for segment in segments:
        for start, end in _gaps(segment, release.ranges):
            gap = segment.content[start - segment.start : end - segment.start]
            if gap.strip(b"\xff"):
                at = next(at for at, byte in enumerate(gap) if byte != 0xFF)
                raise FlashNotErased(address=hex(start + at))
            outside += end - start
    return Measured(f"{release.sku} {release.version}", release.ranges, outside, source)


def check_report(release: Release, document: bytes) -> Measured:
    """The measurement object in `document` is the release's, or a `PL-VRF-061` to `-064` refusal."""
    try:
        report: Any = MEASUREMENT_DOCUMENT.read(strict_json.encode(strict_json.decode(document)))
    except EvidenceError as error:
        raise MeasurementMalformed(why=error.engineer_sentence()) from None
    found: dict[int, Mapping[str, Any]] = {one["start"]: one for one in report["ranges"]}
    if len(report["ranges"]) != len(release.ranges) or found.keys() != {one.start for one in release.ranges}:
        raise RangesDiffer(why=f"{len(report['ranges'])} ranges measured, {len(release.ranges)} approved")
    for one in release.ranges:
        if found[one.start]["length"] != one.length:
            raise RangesDiffer(why=f"{one.name} has {one.length} bytes")
        _check_range(one, found[one.start]["sha256"])
    for span in report["unerased"]:
        raise FlashNotErased(address=hex(span["start"]))
    outside = sum(span["length"] for span in report["erased"])
    return Measured(f"{release.sku} {release.version}", release.ranges, outside, report["method"])


def parse_hex(document: bytes) -> tuple[Segment, ...]:
    """The segments of an Intel HEX file, adjacent records joined, or `PL-VRF-065`."""
    try:
        lines = document.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise HexMalformed(line=0, why="it is not ASCII") from None
    runs: list[tuple[int, bytearray]] = []
    base, ended = 0, False
    for number, line in enumerate(lines, 1):
        if ended:
            raise HexMalformed(line=number, why="something follows the end record")
        kind, offset, content = _hex_record(line, number)
        if kind == 0:
            start = base + offset
            if runs and start < runs[-1][0] + len(runs[-1][1]):
                raise HexMalformed(line=number, why="records overlap or are not in address order")
            if runs and start == runs[-1][0] + len(runs[-1][1]):
                runs[-1][1].extend(content)
            else:
                runs.append((start, bytearray(content)))
        elif kind == 1:
            ended = True
        elif kind in (2, 4) and len(content) == 2:
            base = int.from_bytes(content, "big") << (4 if kind == 2 else 16)
        elif kind not in (3, 5):
            raise HexMalformed(line=number, why=f"record type {kind} is unknown or has a wrong length")
    if not ended:
        raise HexMalformed(line=len(lines), why="the end record is missing")
    return tuple([Segment(start, bytes(content)) for start, content in runs])


def _hex_record(line: str, number: int) -> tuple[int, int, bytes]:
    try:
        record = bytes.fromhex(line[1:])
    except ValueError:
        record = b""
    if line[:1] != ":" or len(record) < 5 or 2 * len(record) != len(line) - 1:
        raise HexMalformed(line=number, why="it is no record")
    if len(record) != record[0] + 5:
        raise HexMalformed(line=number, why="its length is wrong")
    if sum(record) & 0xFF:
        raise HexMalformed(line=number, why="its checksum is wrong")
    return record[3], int.from_bytes(record[1:3], "big"), record[4:-1]


def _check_range(approved: FlashRange, found: str) -> None:
    if found != approved.sha256:
        raise RangeDiffers(name=approved.name, start=hex(approved.start), found=found, expected=approved.sha256)


def _cut(segments: Sequence[Segment], start: int, length: int) -> bytes | None:
    for one in segments:
        if one.start <= start and start + length <= one.end:
            return one.content[start - one.start : start - one.start + length]
    return None


def _gaps(segment: Segment, ranges: Sequence[FlashRange]) -> list[tuple[int, int]]:
    """The parts of a segment that no range covers, as (start, end)."""
    gaps: list[tuple[int, int]] = []
    at = segment.start
    for one in ranges:
        if one.start >= segment.end or one.start + one.length <= at:
            continue
        if one.start > at:
            gaps.append((at, one.start))
        at = one.start + one.length
    if at < segment.end:
        gaps.append((at, segment.end))
    return gaps

"""A device's flash against a release, from a measurement, a raw dump or an Intel HEX dump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.evidence import strict_json
from appliance.verify.errors import VerifyError
from appliance.verify.measurement import Segment, check_dump, check_report, parse_hex
from tests.evidence.samples import Doc
from tests.release.forge import IMAGE, START
from tests.verify.workshop import Site

RELEASE = Site().trust().release("demo", "1.0.0")
(RANGE,) = RELEASE.ranges
END = START + len(IMAGE)


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(ProoflineError) as found:
        act()
    return found.value.code


def report() -> Doc:
    one = {"name": RANGE.name, "start": RANGE.start, "length": RANGE.length, "sha256": RANGE.sha256}
    return {
        "method": "read-back",
        "ranges": [{**one, "expected": RANGE.sha256}],
        "erased": [{"start": END, "length": 4096}],
        "unerased": [],
    }


def test_good_measurements_hold() -> None:
    assert check_report(RELEASE, strict_json.encode(report())).outside_bytes == 4096
    whole = IMAGE + b"\xff" * 100
    assert check_dump(RELEASE, [Segment(START, whole)], "raw").outside_bytes == 100
    before = Segment(START - 8, b"\xff" * 8 + IMAGE)
    assert check_dump(RELEASE, [before], "raw").outside_bytes == 8
    apart = [Segment(START, IMAGE), Segment(END + 64, b"\xff" * 3)]
    assert check_dump(RELEASE, apart, "raw").outside_bytes == 3


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ([Segment(START, b"\x01" + IMAGE[1:])], "PL-VRF-061"),
        ([Segment(START, IMAGE[:-1])], "PL-VRF-062"),
        ([Segment(START + 4, IMAGE)], "PL-VRF-062"),
        ([], "PL-VRF-062"),
        ([Segment(START, IMAGE + b"\xff\xfe")], "PL-VRF-063"),
        ([Segment(START - 1, b"\x00" + IMAGE)], "PL-VRF-063"),
        ([Segment(START, IMAGE), Segment(END + 64, b"\x00")], "PL-VRF-063"),
    ],
)
def test_a_dump_of_something_else(segments: list[Segment], code: str) -> None:
    assert refused(lambda: check_dump(RELEASE, segments, "raw")) == code


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda d: d["ranges"][0].update(sha256="00" * 32), "PL-VRF-061"),
        (lambda d: d["ranges"][0].update(length=RANGE.length + 1), "PL-VRF-062"),
        (lambda d: d["ranges"][0].update(start=RANGE.start + 4), "PL-VRF-062"),
        (lambda d: d["ranges"].append({**d["ranges"][0], "start": END}), "PL-VRF-062"),
        (lambda d: d["ranges"].append(d["ranges"][0]), "PL-VRF-062"),
        (lambda d: d["unerased"].append({"start": END, "length": 1}), "PL-VRF-063"),
        (lambda d: d.pop("erased"), "PL-VRF-064"),
        (lambda d: d.update(method="believed"), "PL-VRF-064"),
        (lambda d: d["ranges"].clear(), "PL-VRF-064"),
    ],
)
def test_a_report_of_something_else(edit: Callable[[Any], object], code: str) -> None:
    document = report()
    edit(document)
    assert refused(lambda: check_report(RELEASE, strict_json.encode(document))) == code


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":1}'])
def test_what_is_no_report(document: bytes) -> None:
    assert refused(lambda: check_report(RELEASE, document)) == "PL-VRF-064"


def record(kind: int, offset: int, content: bytes) -> str:
    body = bytes([len(content), offset >> 8, offset & 0xFF, kind]) + content
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()


def hex_file(segments: list[Segment], size: int = 16) -> bytes:
    lines = []
    for segment in segments:
        for at in range(0, len(segment.content), size):
            address = segment.start + at
            lines.append(record(4, 0, (address >> 16).to_bytes(2, "big")))
            lines.append(record(0, address & 0xFFFF, segment.content[at : at + size]))
    return "\r\n".join([*lines, record(5, 0, bytes(4)), record(1, 0, b""), ""]).encode()


def test_a_hex_dump_is_read_as_it_stands() -> None:
    segments = [Segment(START, IMAGE), Segment(END + 256, b"\xff" * 32)]
    assert list(parse_hex(hex_file(segments))) == segments
    assert check_dump(RELEASE, parse_hex(hex_file(segments)), "hex").outside_bytes == 32
    paragraph = "\n".join([record(2, 0, b"\x10\x00"), record(0, 4, b"ab"), record(1, 0, b"")]).encode()
    assert parse_hex(paragraph) == (Segment(0x10004, b"ab"),)


GOOD = record(0, 0, b"abcd")
LAST = record(1, 0, b"")


@pytest.mark.parametrize(
    "lines",
    [
        [GOOD],
        [],
        [GOOD, LAST, GOOD],
        [GOOD[:-2] + "00", LAST],
        [GOOD[:-2], LAST],
        [GOOD[1:], LAST],
        [":" + "0" * 7, LAST],
        [GOOD.replace("0", "O", 1), LAST],
        [":0 " + GOOD[2:], LAST],
        [GOOD, GOOD, LAST],
        [record(0, 8, b"ab"), GOOD, LAST],
        [record(4, 0, b"\x08"), LAST],
        [record(9, 0, b""), LAST],
        [GOOD, "", LAST],
        ["\u0661", LAST],
    ],
)
def test_what_is_no_hex_file(lines: list[str]) -> None:
    assert parse_hex(f"{GOOD}\n{LAST}".encode()) == (Segment(0, b"abcd"),)
    assert refused(lambda: parse_hex("\n".join(lines).encode())) == "PL-VRF-065"


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([GOOD, LAST, ":00", "x"])).map(lambda rows: "\n".join(rows).encode())
)
def test_any_bytes_are_a_hex_file_or_refused(document: bytes) -> None:
    try:
        parse_hex(document)
    except VerifyError:
        pass


@given(st.binary(max_size=100))
def test_any_bytes_are_a_report_or_refused(document: bytes) -> None:
    try:
        check_report(RELEASE, document)
    except VerifyError:
        pass

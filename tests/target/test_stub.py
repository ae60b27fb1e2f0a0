"""Only an answer of the measuring stub from this very run is believed."""

from __future__ import annotations

import hashlib
import struct
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.target.boards import known_parts, profile_for
from appliance.target.errors import MeasurementError, StubDidNotRun, StubSealBroken
from appliance.target.stub_protocol import (
    MAX_RANGES,
    RESULT_MAGIC,
    RESULT_OFFSET,
    Kind,
    Question,
    believe,
    request,
    result_length,
)

NONCE = bytes(range(32))
QUESTIONS = (
    Question(Kind.HASH, 0x0800_0000, 100),
    Question(Kind.ERASED, 0x0800_4000, 0x4000),
    Question(Kind.ERASED, 0x0800_8000, 0x4000),
)
DIGEST = hashlib.sha256(b"flash").digest()


def _answers(first_written: int = 0x0800_9000, clean: int = 0) -> bytes:
    return DIGEST + struct.pack("<II24x", 1, 0x0800_8000) + struct.pack("<II24x", clean, first_written)


def _result(
    *,
    nonce: bytes = NONCE,
    questions: tuple[Question, ...] = QUESTIONS,
    answers: bytes | None = None,
    magic: int = RESULT_MAGIC,
    status: int = 1,
    count: int = 3,
) -> bytes:
    body = _answers() if answers is None else answers
    table = b"".join(struct.pack("<III", q.start, q.length, q.kind) for q in questions)
    seal = hashlib.sha256(nonce + table + struct.pack("<I", 1) + body).digest()
    return struct.pack("<IIII", magic, status, 1, count) + seal + body


def test_stub_mailbox_and_stack_do_not_touch() -> None:
    for part in known_parts():
        profile = profile_for(part)
        code = resources.files("appliance.target.stub").joinpath(profile.stub.blob).read_bytes()
        mailbox_end = profile.stub.mailbox + RESULT_OFFSET + 48 + 32 * MAX_RANGES
        assert profile.stub.load_address + len(code) <= profile.stub.mailbox
        assert mailbox_end <= profile.stub.stack_top - 0x400
        assert profile.in_ram(profile.stub.stack_top)


def test_answers_of_this_run_are_believed() -> None:
    answers = believe(_result(), NONCE, QUESTIONS)
    assert answers.raised
    assert [a.digest for a in answers.answers] == [DIGEST, b"", b""]
    assert [a.first_written for a in answers.answers[1:]] == [0x0800_8000, 0x0800_9000]
    assert len(_result()) == result_length(QUESTIONS)


@pytest.mark.parametrize(
    ("result", "refusal"),
    [
        (bytes(result_length(QUESTIONS)), StubDidNotRun),
        (b"\xff" * result_length(QUESTIONS), StubDidNotRun),
        (_result(magic=RESULT_MAGIC ^ 1), StubDidNotRun),
        (_result(status=2), StubDidNotRun),
        (_result(count=2), StubSealBroken),
        (_result(nonce=bytes(32)), StubSealBroken),
        (_result(questions=QUESTIONS[:2]), StubSealBroken),
        (_result(questions=(Question(Kind.HASH, 0x0800_0004, 100), *QUESTIONS[1:])), StubSealBroken),
        (_result()[:-1] + b"\1", StubSealBroken),
        (_result(answers=_answers(first_written=0x0800_C000)), StubSealBroken),
        (_result(answers=_answers(first_written=0x0800_9000, clean=1)), StubSealBroken),
        (_result(answers=_answers(first_written=0x0800_0000)), StubSealBroken),
    ],
    ids=[
        "never-ran", "blank-ram", "magic", "bad-request", "count", "stale-nonce", "fewer-questions", "other-questions",
        "flipped-bit", "dirty-but-at-the-end", "clean-but-inside", "outside-its-range",
    ],
)  # fmt: skip
def test_answers_of_another_run_are_not(result: bytes, refusal: type[MeasurementError]) -> None:
    with pytest.raises(MeasurementError) as caught:
        believe(result, NONCE, QUESTIONS)
    assert type(caught.value) is refusal


@given(st.binary(min_size=result_length(QUESTIONS), max_size=result_length(QUESTIONS)))
def test_whatever_lies_in_ram_is_believed_or_named(result: bytes) -> None:
    with pytest.raises(MeasurementError):
        believe(result, NONCE, QUESTIONS)
    with pytest.raises(MeasurementError):
        believe(struct.pack("<IIII", RESULT_MAGIC, 1, 1, 3) + result[16:], NONCE, QUESTIONS)


def test_request_fills_the_mailbox_up_to_the_result_at_most() -> None:
    assert len(request(NONCE, (QUESTIONS[0],) * MAX_RANGES)) == RESULT_OFFSET

"""The mailbox of the measuring stub: how a request is written and an answer believed. `stub/stub.h` is its other side.

- Pure. An answer counts only if its magic, its count and its seal fit this request's nonce: RAM that still holds the
  last run, a stub that never ran and one that died half way all look like no answer.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum

from appliance.target.errors import StubDidNotRun, StubSealBroken

REQUEST_MAGIC = 0x504C5251
RESULT_MAGIC = 0x504C5253
MAX_RANGES = 64
NONCE_BYTES = 32

_REQUEST_HEAD = struct.Struct(f"<II{NONCE_BYTES}s")
_RANGE = struct.Struct("<III")
_RESULT_HEAD = struct.Struct("<IIII32s")
_ANSWER_BYTES = 32
RESULT_OFFSET = _REQUEST_HEAD.size + MAX_RANGES * _RANGE.size
_STATUS_DONE = 1


class Kind(IntEnum):
    """What is asked about a range."""

    HASH = 1
    ERASED = 2


@dataclass(frozen=True)
class Question:
    """One range, in bytes of the target's address space."""

    kind: Kind
    start: int
    length: int


@dataclass(frozen=True)
class Answer:
    """`digest` for HASH. For ERASED `first_written` is the first address that is not 0xFF, or the range's end."""

    digest: bytes
    first_written: int


@dataclass(frozen=True)
class Answers:
    """All answers of one run, in the order of the questions. `raised`: the core ran at its measuring speed."""

    raised: bool
    answers: tuple[Answer, ...]


def request(nonce: bytes, questions: tuple[Question, ...]) -> bytes:
    """The request's bytes for the start of the mailbox; at most `MAX_RANGES` questions, a nonce of `NONCE_BYTES`."""
    assert len(nonce) == NONCE_BYTES
    assert len(questions) <= MAX_RANGES
    return _REQUEST_HEAD.pack(REQUEST_MAGIC, len(questions), nonce) + _table(questions)


def result_length(questions: tuple[Question, ...]) -> int:
    """How many bytes to read at mailbox + `RESULT_OFFSET`."""
    return _RESULT_HEAD.size + _ANSWER_BYTES * len(questions)


def believe(result: bytes, nonce: bytes, questions: tuple[Question, ...]) -> Answers:
    """The answers in `result`. Raises `StubDidNotRun`, `StubSealBroken`."""
    magic, status, clock, count, seal = _RESULT_HEAD.unpack_from(result)
    if magic != RESULT_MAGIC:
        raise StubDidNotRun(reason=f"no result in its mailbox (magic {magic:#010x})")
    if status != _STATUS_DONE:
        raise StubDidNotRun(reason=f"it refused the request (status {status})")
    if count != len(questions):
        raise StubSealBroken(reason=f"{count} answers to {len(questions)} questions")
    raw = result[_RESULT_HEAD.size : _RESULT_HEAD.size + _ANSWER_BYTES * count]
    if hashlib.sha256(nonce + _table(questions) + struct.pack("<I", clock) + raw).digest() != seal:
        raise StubSealBroken(reason="its seal does not fit the nonce, the questions and the answers")
    blocks = [raw[i : i + _ANSWER_BYTES] for i in range(0, len(raw), _ANSWER_BYTES)]
    return Answers(clock == 1, tuple(_answer(question, block) for question, block in zip(questions, blocks)))


def _answer(question: Question, block: bytes) -> Answer:
    if question.kind is Kind.HASH:
        return Answer(digest=block, first_written=question.start)
    clean, stop = struct.unpack_from("<II", block)
    end = question.start + question.length
    if not question.start <= stop <= end or bool(clean) != (stop == end):
        raise StubSealBroken(reason=f"its answer about {question.start:#x} contradicts itself")
    return Answer(digest=b"", first_written=stop)


def _table(questions: tuple[Question, ...]) -> bytes:
    return b"".join(_RANGE.pack(q.start, q.length, q.kind) for q in questions)

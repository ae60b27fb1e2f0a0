"""Runs the measuring stub on the target and brings back answers that are from this run."""

from __future__ import annotations

import secrets

from appliance.target.errors import StubDidNotRun, TooManyRanges
from appliance.target.link import Link
from appliance.target.stub_blob import place
from appliance.target.stub_protocol import (
    MAX_RANGES,
    NONCE_BYTES,
    RESULT_OFFSET,
    Answers,
    Question,
    believe,
    request,
    result_length,
)

# At the 16 MHz after reset 1 MiB takes 3 s; more means that the core is not running our code.
_TIMEOUT_S = 15.0
# What the stub may change in the core: everything a C function may, and the interrupt mask.
_CORE_REGISTERS = [*(f"r{i}" for i in range(13)), "sp", "lr", "pc", "xpsr", "primask"]


def ask(link: Link, questions: tuple[Question, ...], stage: str) -> Answers:
    """The silicon's own answers. Clock, flash interface and core registers are as before when this returns.

    Raises `MeasurementError` and, unnamed, what `named` is for.
    """
    if len(questions) > MAX_RANGES:
        raise TooManyRanges(count=len(questions), limit=MAX_RANGES)
    stub = link.profile.stub
    nonce = secrets.token_bytes(NONCE_BYTES)
    saved = link.core.read_core_registers_raw(_CORE_REGISTERS)
    code = place(link, stub, request(nonce, questions), stage)
    link.write(stub.mailbox + RESULT_OFFSET, bytes(result_length(questions)))
    try:
        stopped_at = link.call({"pc": stub.load_address, "sp": stub.stack_top}, _TIMEOUT_S, stage)
    except TimeoutError as error:
        raise StubDidNotRun(reason=str(error)) from error
    if stopped_at not in code:
        raise StubDidNotRun(reason=f"the core stopped at {stopped_at:#010x}, outside the stub")
    result = link.read(stub.mailbox + RESULT_OFFSET, result_length(questions))
    link.core.write_core_registers_raw(_CORE_REGISTERS, saved)
    return believe(result, nonce, questions)

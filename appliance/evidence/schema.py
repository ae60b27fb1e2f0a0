"""A small table language for documents: what each field is, checked at a glance, explained at leisure.

- A table becomes one regular expression over the canonical spelling (`strict_json.encode`). A document that matches is
  canonical, complete, has nothing unknown, and every value has its form and range: one pass proves all of it.
- A document that does not match is read the thorough way, which says what is wrong and where. The thorough way decides;
  the expression is only the quick way to a yes (the tests hold the two against each other).
- `record` refuses missing and unknown fields alike; every text has a pattern and so a length; every number a range;
  every list a length.

Nothing here knows a document: `tables` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from appliance.evidence import strict_json
from appliance.evidence.errors import (
    EvidenceError,
    FieldFormWrong,
    FieldMissing,
    FieldOutOfRange,
    FieldTypeWrong,
    FieldUnknown,
)
from appliance.evidence.strict_json import Json

_load = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class Check:
    """`form`: a regular expression for the canonical spelling; `fault(value, where)`: what is wrong, if anything."""

    form: str
    fault: Callable[[Json, str], EvidenceError | None]


class Table:
    """A document's table, ready to read documents with. `name` is how faults call the document."""

    def __init__(self, check: Check, name: str, max_bytes: int) -> None:
        self._form = check.form
        self._fault = check.fault
        self._name = name
        self._max_bytes = max_bytes

    @cached_property
    def _match(self) -> Callable[[str], re.Match[str] | None]:
        # compiled by the first document: all tables together cost a start seconds on the smallest hardware
        return re.compile(self._form).fullmatch

    def glance(self, document: bytes) -> Json:
        """The value of a document that is as it should be, or None: `read` knows why."""
        if len(document) > self._max_bytes:
            return None
        try:
            text = document.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return _load(text) if self._match(text) else None

    def read(self, document: bytes) -> Json:
        """The value of `document`, or a `PL-EVD-001` to `-009`, `-072` to `-076` refusal."""
        value = self.glance(document)
        if value is None:
            value = strict_json.decode(document, max_bytes=self._max_bytes)
            if fault := self._fault(value, self._name):
                raise fault
            strict_json.decode_canonical(document, max_bytes=self._max_bytes)
        return value


def text(pattern: str, meaning: str) -> Check:
    """Text that `pattern` matches from end to end; `meaning` says what it is in words.

    The pattern admits neither `"` nor a backslash nor control characters, so that text and spelling are the same.
    """

    def fault(value: Json, where: str) -> EvidenceError | None:
        if type(value) is not str:
            return _type_fault(value, where, "text")
        return (
            None
            if re.fullmatch(pattern, value)
            else FieldFormWrong(where=where, found=repr(value[:80]), expected=meaning)
        )

    return Check(f'"(?:{pattern})"', fault)


def prose(limit: int) -> Check:
    """Words for people: up to `limit` characters, none of them a control character."""
    pattern = rf"[^\x00-\x1f\x7f-\x9f]{{0,{limit}}}"

    def fault(value: Json, where: str) -> EvidenceError | None:
        if type(value) is not str:
            return _type_fault(value, where, "text")
        expected = f"at most {limit} characters without control characters"
        return (
            None
            if re.fullmatch(pattern, value)
            else FieldFormWrong(where=where, found=repr(value[:80]), expected=expected)
        )

    return Check(rf'"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\["\\]){{0,{limit}}}"', fault)


def one_of(*values: str) -> Check:
    """One of these words."""
    return text("|".join(map(re.escape, values)), " or ".join(values))


def integer(low: int, high: int) -> Check:
    """An integer from `low` (0 or 1, unless `high` is one digit) to `high` (one digit, or nines)."""
    if high < 10:
        form = f"[{low}-{high}]"
    else:
        if low not in (0, 1) or str(high).strip("9"):
            raise ValueError("this range has no short expression")
        form = f"[1-9][0-9]{{0,{len(str(high)) - 1}}}" + ("|0" if low == 0 else "")

    def fault(value: Json, where: str) -> EvidenceError | None:
        if type(value) is not int:
            return _type_fault(value, where, "integer")
        return None if low <= value <= high else FieldOutOfRange(where=where, found=value, low=low, high=high)

    return Check(f"(?:{form})", fault)


def nothing() -> Check:
    """Always null: a place kept for a later version."""
    return Check("null", lambda value, where: None if value is None else _type_fault(value, where, "null"))


def null_or(check: Check) -> Check:
    """Null, or what `check` says."""
    return Check(f"(?:null|{check.form})", lambda value, where: None if value is None else check.fault(value, where))


def listing(check: Check, low: int, high: int) -> Check:
    """A list of `low` (0 or 1) to `high` items, each as `check` says."""

    def fault(value: Json, where: str) -> EvidenceError | None:
        if type(value) is not list:
            return _type_fault(value, where, "list")
        if not low <= len(value) <= high:
            return FieldOutOfRange(where=f"length of {where}", found=len(value), low=low, high=high)
        return next((one for at, item in enumerate(value) if (one := check.fault(item, f"{where}[{at}]"))), None)

    items = f"{check.form}(?:,{check.form}){{0,{high - 1}}}"
    return Check(rf"\[{items}\]" if low else rf"\[(?:{items})?\]", fault)


def record(**fields: Check) -> Check:
    """An object with exactly these fields."""
    names = sorted(fields)

    def fault(value: Json, where: str) -> EvidenceError | None:
        if type(value) is not dict:
            return _type_fault(value, where, "object")
        for name in sorted(fields.keys() - value.keys()):
            return FieldMissing(where=f"{where}.{name}")
        for name in sorted(value.keys() - fields.keys()):
            return FieldUnknown(where=f"{where}.{name[:80]}")
        return next((one for name in names if (one := fields[name].fault(value[name], f"{where}.{name}"))), None)

    return Check(r"\{" + ",".join(f'"{name}":{fields[name].form}' for name in names) + r"\}", fault)


_NAMES = {dict: "object", list: "list", str: "text", int: "integer", bool: "boolean", type(None): "null"}


def _type_fault(value: Json, where: str, expected: str) -> EvidenceError:
    return FieldTypeWrong(where=where, found=_NAMES.get(type(value), type(value).__name__), expected=expected)

"""Reading one approved JSON document field by field, leaving nothing unread.

- `load` accepts strict JSON of schema 1 whose top is an object; `Fields` refuses a missing field, an unknown one and a
  wrong type before anybody looks at values.
- A value outside its rule is refused with the document's own error class, naming the field and the rule.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError, JsonDuplicateKey
from appliance.verify.site_errors import (
    DocumentDuplicateKey,
    DocumentNameWrong,
    DocumentNotJson,
    DocumentSchemaUnknown,
    FieldLengthWrong,
    FieldMissing,
    FieldTimeMalformed,
    FieldTypeWrong,
    FieldUnknown,
    SiteError,
    WindowEmpty,
)
from appliance.verify.site_times import Window, parse_time

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Ids that become file names: SKUs, versions, orders, stations, file names. Never `.` or `..`, never a separator."""
PERSON = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
TICKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/#:-]{0,63}", re.ASCII)
HEX_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,128}")
"""One line of text for people."""

MAX_DOCUMENT = 1 << 20
NAME_RULE = "letters, digits, dot, underscore and hyphen, 64 at most, not starting with a sign"

_T = TypeVar("_T")
_TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "an integer",
    bool: "true or false",
    type(None): "null",
}


class Fields:
    """One JSON object that has exactly the fields `required` (and possibly some of `optional`)."""

    def __init__(
        self,
        value: object,
        *,
        path: str,
        refused: type[SiteError],
        required: Collection[str],
        optional: Collection[str] = (),
        where: str = "",
    ) -> None:
        self._path, self._refused, self._where = path, refused, where
        if type(value) is not dict:
            raise FieldTypeWrong(path=path, field=where or "the document", found=_kind(value), expected="an object")
        self._value: dict[str, object] = value
        for name in required:
            if name not in value:
                raise FieldMissing(path=path, field=self.at(name))
        for name in value:
            if name not in required and name not in optional:
                raise FieldUnknown(path=path, field=self.at(name))

    @property
    def values(self) -> Mapping[str, object]:
        """The object itself, for fields whose wrong values have errors of their own."""
        return self._value

    def at(self, name: str) -> str:
        """The field's place in the document, for refusals."""
        return f"{self._where}.{name}" if self._where else name

    def has(self, name: str) -> bool:
        """Whether an optional field is there and not null."""
        return self._value.get(name) is not None

    def refuse(self, name: str, expected: str) -> SiteError:
        """The document's own refusal of a value."""
        return self._refused(
            path=self._path, field=self.at(name), found=repr(self._value[name])[:80], expected=expected
        )

    def text(self, name: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self._typed(name, str)
        assert isinstance(value, str)
        if not pattern.fullmatch(value):
            raise self.refuse(name, expected)
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        value = self._typed(name, int)
        assert isinstance(value, int)
        if not low <= value <= high:
            raise self.refuse(name, f"{low} to {high} is allowed")
        return value

    def one_of(self, name: str, choices: Collection[str]) -> str:
        value = self._typed(name, str)
        assert isinstance(value, str)
        if value not in choices:
            raise self.refuse(name, f"one of {', '.join(sorted(choices))} is allowed")
        return value

    def false(self, name: str, why: str) -> None:
        """A switch that exists but must stay off."""
        if self._typed(name, bool):
            raise self.refuse(name, why)

    def texts(self, name: str, pattern: re.Pattern[str], expected: str, *, low: int, high: int) -> tuple[str, ...]:
        """A list of distinct texts."""
        values = self._list(name, low, high)
        for value in values:
            if type(value) is not str:
                raise FieldTypeWrong(path=self._path, field=f"{self.at(name)}[]", found=_kind(value), expected="text")
            if not pattern.fullmatch(value):
                raise self.refuse(name, expected)
        if len(set(map(str, values))) != len(values):
            raise self.refuse(name, "each may stand there once")
        return tuple(map(str, values))

    def window(self, since: str, until: str) -> Window:
        """Two times of which the second is later."""
        first, second = self._time(since), self._time(until)
        window = Window(first, second)
        if not first < second:
            raise WindowEmpty(path=self._path, field=self.at(until), until=str(self._value[until]))
        return window

    def moment(self, name: str) -> str:
        """A time, kept as it is written."""
        self._time(name)
        return str(self._value[name])

    def part(self, name: str, required: Collection[str], optional: Collection[str] = ()) -> Fields:
        return Fields(
            self._value[name],
            path=self._path,
            refused=self._refused,
            required=required,
            optional=optional,
            where=self.at(name),
        )

    def parts(
        self, name: str, required: Collection[str], optional: Collection[str] = (), *, low: int, high: int
    ) -> Iterator[Fields]:
        for index, value in enumerate(self._list(name, low, high)):
            yield Fields(
                value,
                path=self._path,
                refused=self._refused,
                required=required,
                optional=optional,
                where=f"{self.at(name)}[{index}]",
            )

    def _list(self, name: str, low: int, high: int) -> list[object]:
        value = self._typed(name, list)
        assert isinstance(value, list)
        if not low <= len(value) <= high:
            raise FieldLengthWrong(path=self._path, field=self.at(name), found=len(value), low=low, high=high)
        return value

    def _time(self, name: str) -> datetime:
        value = self._typed(name, str)
        moment = parse_time(str(value))
        if moment is None:
            raise FieldTimeMalformed(path=self._path, field=self.at(name), found=repr(value)[:60])
        return moment

    def _typed(self, name: str, kind: type) -> object:
        value = self._value[name]
        if type(value) is not kind:
            raise FieldTypeWrong(path=self._path, field=self.at(name), found=_kind(value), expected=_TYPE_NAMES[kind])
        return value


def load(
    document: bytes,
    *,
    path: str,
    refused: type[SiteError],
    max_bytes: int,
    required: Collection[str],
    optional: Collection[str] = (),
) -> Fields:
    """The fields of a schema 1 document, or a `PL-SIT-040` to `-049` refusal."""
    try:
        value = strict_json.decode(document, max_bytes=max_bytes)
    except JsonDuplicateKey as error:
        raise DocumentDuplicateKey(path=path, why=error.engineer_sentence()) from None
    except EvidenceError as error:
        raise DocumentNotJson(path=path, why=error.engineer_sentence()) from None
    if type(value) is dict and "schema" in value:
        schema = value.get("schema")
        if type(schema) is not int or schema != 1:
            raise DocumentSchemaUnknown(path=path, found=repr(schema)[:40])
    return Fields(value, path=path, refused=refused, required=("schema", *required), optional=optional)


def _kind(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "something else")


def once(values: Iterable[str], *, refused: type[SiteError], path: str, field: str) -> None:
    """Refuse a list in which a value stands twice."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise refused(path=path, field=field, found=value)
        seen.add(value)


def filed(parsed: _T, path: str, expected: str, field: str, found: str) -> _T:
    """`parsed`, where the document lies at the path that its own content calls for."""
    if path != expected:
        raise DocumentNameWrong(path=path, field=field, found=found)
    return parsed

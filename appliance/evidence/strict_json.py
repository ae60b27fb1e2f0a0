"""JSON that has one reading only.

- Input is bounded UTF-8 without a byte order mark; nothing follows the document but white space.
- A key appears once in an object; there are no floats, NaN or Infinity; integers fit 64 bits; text holds no
  unpaired surrogate; nesting is bounded.
- `encode` gives the one canonical form of a value: keys sorted by code point, no spaces, UTF-8, `"` and `\\`
  and control characters escaped and nothing else. Everything that Proofline signs or hashes is encoded by it.

Both directions refuse with an `EvidenceError`; nothing else escapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NoReturn

from appliance.evidence.errors import (
    JsonDuplicateKey,
    JsonEncodingWrong,
    JsonMalformed,
    JsonNotCanonical,
    JsonNotEncodable,
    JsonNumberRefused,
    JsonSurrogate,
    JsonTooDeep,
    JsonTooLarge,
)

Json = object
"""What `decode` returns: dict, list, str, int, bool or None, nested. Callers narrow it by checking it."""

MAX_BYTES = 65_535
MAX_DEPTH = 16
_INTEGER_LIMIT = 1 << 63
_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse_float(text: str) -> NoReturn:
    raise JsonNumberRefused(number=text[:40])


def _read_integer(text: str) -> int:
    # 20 characters hold every 64-bit integer; longer digits are refused before they cost quadratic time.
    if len(text) > 20 or not -_INTEGER_LIMIT <= (value := int(text)) < _INTEGER_LIMIT or text == "-0":
        raise JsonNumberRefused(number=text[:40])
    return value


def _read_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonDuplicateKey(key=repr(key[:80]))
            seen.add(key)
    return found


_scan = json.JSONDecoder(
    object_pairs_hook=_read_object,
    parse_float=_refuse_float,
    parse_int=_read_integer,
    parse_constant=_refuse_float,
    strict=True,
).decode


def decode(document: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Json:
    """The value of `document`, or a `PL-EVD-001` to `-007` refusal."""
    if len(document) > max_bytes:
        raise JsonTooLarge(size=len(document), limit=max_bytes)
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonEncodingWrong(why=f"byte {error.start}: {error.reason}") from None
    if text.startswith("\ufeff"):
        raise JsonEncodingWrong(why="it starts with a byte order mark")
    try:
        value: Json = _scan(text)
    except json.JSONDecodeError as error:
        raise JsonMalformed(why=f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise JsonTooDeep(limit=max_depth) from None
    # UTF-8 cannot carry a surrogate, so only an escape can: the search is skipped for nearly every document.
    if "\\u" in text and _holds_surrogate(value):
        raise JsonSurrogate
    if text.count("{") + text.count("[") > max_depth:
        _check_depth(value, max_depth)
    return value


def decode_canonical(document: bytes, *, max_bytes: int = MAX_BYTES) -> Json:
    """The value of a `document` that is spelled as `encode` spells it, or a `PL-EVD-001` to `-009` refusal."""
    value = decode(document, max_bytes=max_bytes)
    if encode(value) != document:
        raise JsonNotCanonical
    return value


def _children(values: list[Json]) -> list[Json]:
    found: list[Json] = []
    for value in values:
        if type(value) is dict:
            found.extend(value.values())
        elif type(value) is list:
            found.extend(value)
    return found


def _check_depth(value: Json, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        level = [child for child in _children(level) if type(child) is dict or type(child) is list]
        if not level:
            return
    raise JsonTooDeep(limit=max_depth)


def _holds_surrogate(value: Json) -> bool:
    level = [value]
    while level:
        for item in level:
            if type(item) is str and _SURROGATE.search(item):
                return True
            if type(item) is dict and any(_SURROGATE.search(key) for key in item):
                return True
        level = _children(level)
    return False


_write = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=True
).encode


def encode(value: Json) -> bytes:
    """The canonical form of `value`: what is signed and hashed. Tuples become lists."""
    text = _write(_plain(value, "value", 0))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise JsonSurrogate from None


def _plain(value: Json, where: str, depth: int) -> Json:
    if value is None or type(value) is str or type(value) is bool:
        return value
    if type(value) is int:
        if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
            raise JsonNumberRefused(number=hex(value)[:40])
        return value
    if depth >= MAX_DEPTH:
        raise JsonTooDeep(limit=MAX_DEPTH)
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str:
                raise JsonNotEncodable(where=f"a key of {where}", kind=type(key).__name__)
        return {key: _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{at}]", depth + 1) for at, item in enumerate(value)]
    raise JsonNotEncodable(where=where, kind=type(value).__name__)

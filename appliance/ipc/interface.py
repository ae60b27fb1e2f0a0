"""Varlink interface descriptions: parsed once, then the law for every argument and every reply.

- Unknown, missing and mistyped fields are refused by name; an optional field may be absent or null.
- Types are those of the Varlink interface definition language: bool, int, float, string, object, enums, structs,
  `[]T`, `[string]T`, `?T` and named types. (https://varlink.org/Interface-Definition)
- Pure: no I/O, and no value is changed by checking it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.ipc.errors import BadArguments, InterfaceMalformed

_TOKEN = re.compile(r"(?P<skip>(?:\s+|#[^\n]*)+)|(?P<token>->|\[\]|\[string\]|[A-Za-z][A-Za-z0-9_.-]*|[?():,])")
_SCALARS = frozenset({"bool", "int", "float", "string", "object"})
_INT_MAX = 2**63 - 1


@dataclass(frozen=True)
class Scalar:
    name: str


@dataclass(frozen=True)
class Named:
    name: str


@dataclass(frozen=True)
class Optional:
    of: Type


@dataclass(frozen=True)
class Array:
    of: Type


@dataclass(frozen=True)
class Dict:
    of: Type


@dataclass(frozen=True)
class Enum:
    values: tuple[str, ...]


@dataclass(frozen=True)
class Struct:
    fields: tuple[tuple[str, Type], ...]


Type = Scalar | Named | Optional | Array | Dict | Enum | Struct


@dataclass(frozen=True)
class Method:
    name: str
    takes: Struct
    gives: Struct


@dataclass(frozen=True)
class Interface:
    """One parsed description. `text` is what introspection shows."""

    name: str
    text: str
    types: Mapping[str, Type]
    methods: Mapping[str, Method]
    errors: Mapping[str, Struct]

    def check_arguments(self, verb: str, value: object) -> dict[str, Any]:
        """The arguments with every declared field present (None where an optional one is absent), or BadArguments."""
        return self._complete(verb, self.methods[verb].takes, value)

    def check_reply(self, verb: str, value: object) -> dict[str, Any]:
        """Likewise for the reply of a method."""
        return self._complete(verb, self.methods[verb].gives, value)

    def _complete(self, verb: str, struct: Struct, value: object) -> dict[str, Any]:
        self._check(verb, "parameters", struct, value)
        given = value if isinstance(value, dict) else {}
        return {name: given.get(name) for name, _ in struct.fields}

    def _check(self, verb: str, field: str, kind: Type, value: object) -> None:
        match kind:
            case Optional(of):
                if value is not None:
                    self._check(verb, field, of, value)
            case Named(name):
                self._check(verb, field, self.types[name], value)
            case Scalar(name):
                if not _is_scalar(name, value):
                    raise BadArguments(verb=verb, field=field, why=f"not of type {name}")
            case Enum(values):
                if value not in values:
                    raise BadArguments(verb=verb, field=field, why=f"none of {', '.join(values)}")
            case Array(of):
                if not isinstance(value, list):
                    raise BadArguments(verb=verb, field=field, why="not an array")
                for index, item in enumerate(value):
                    self._check(verb, f"{field}[{index}]", of, item)
            case Dict(of):
                if not isinstance(value, dict):
                    raise BadArguments(verb=verb, field=field, why="not a dictionary")
                for key, item in value.items():
                    self._check(verb, f"{field}[{key!r}]", of, item)
            case Struct(fields):
                if not isinstance(value, dict):
                    raise BadArguments(verb=verb, field=field, why="not an object")
                unknown = value.keys() - {name for name, _ in fields}
                if unknown:
                    raise BadArguments(verb=verb, field=f"{field}.{min(unknown)}", why="unknown field")
                for name, of in fields:
                    if name not in value and not isinstance(of, Optional):
                        raise BadArguments(verb=verb, field=f"{field}.{name}", why="missing")
                    self._check(verb, f"{field}.{name}", of, value.get(name))


def _is_scalar(name: str, value: object) -> bool:
    match name:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _INT_MAX
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case _:
            return isinstance(value, dict)


def parse(text: str) -> Interface:
    """Parse one interface description; InterfaceMalformed when it is not one."""
    reader = _Reader(text)
    reader.expect("interface")
    name = reader.next()
    types: dict[str, Type] = {}
    methods: dict[str, Method] = {}
    errors: dict[str, Struct] = {}
    while (keyword := reader.next_or_end()) is not None:
        member = reader.next()
        if member in types or member in methods or member in errors:
            raise InterfaceMalformed(near=member, why="defined twice")
        match keyword:
            case "type":
                types[member] = reader.type()
            case "method":
                takes = reader.struct()
                reader.expect("->")
                methods[member] = Method(member, takes, reader.struct())
            case "error":
                errors[member] = reader.struct()
            case _:
                raise InterfaceMalformed(near=keyword, why="expected type, method or error")
    for used in reader.named:
        if used not in types:
            raise InterfaceMalformed(near=used, why="unknown type")
    return Interface(name, text, types, methods, errors)


class _Reader:
    def __init__(self, text: str) -> None:
        self.named: set[str] = set()
        self._tokens: list[str] = []
        position = 0
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise InterfaceMalformed(near=text[position : position + 20], why="unexpected character")
            position = found.end()
            if found["token"]:
                self._tokens.append(found["token"])
        self._tokens.reverse()

    def next_or_end(self) -> str | None:
        return self._tokens.pop() if self._tokens else None

    def next(self) -> str:
        token = self.next_or_end()
        if token is None:
            raise InterfaceMalformed(near="end", why="unexpected end")
        return token

    def expect(self, wanted: str) -> None:
        if (token := self.next()) != wanted:
            raise InterfaceMalformed(near=token, why=f"expected {wanted}")

    def struct(self) -> Struct:
        kind = self.type()
        if not isinstance(kind, Struct):
            raise InterfaceMalformed(near="(", why="expected a struct")
        return kind

    def type(self) -> Type:
        match token := self.next():
            case "?":
                return Optional(self.type())
            case "[]":
                return Array(self.type())
            case "[string]":
                return Dict(self.type())
            case "(":
                return self._struct_or_enum()
            case _ if token in _SCALARS:
                return Scalar(token)
            case _ if token[0].isupper():
                self.named.add(token)
                return Named(token)
            case _:
                raise InterfaceMalformed(near=token, why="expected a type")

    def _struct_or_enum(self) -> Struct | Enum:
        fields: list[tuple[str, Type]] = []
        values: list[str] = []
        while (token := self.next()) != ")":
            separator = self.next()
            if separator == ":":
                fields.append((token, self.type()))
                separator = self.next()
            else:
                values.append(token)
            if separator == ")":
                break
            if separator != ",":
                raise InterfaceMalformed(near=separator, why="expected , or )")
        if fields and values:
            raise InterfaceMalformed(near=values[0], why="neither a struct nor an enum")
        return Enum(tuple(values)) if values else Struct(tuple(fields))

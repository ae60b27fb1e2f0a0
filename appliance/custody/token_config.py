"""Where the signer finds its token and its keys: a strict JSON file, and the PIN in a credential file of its own.

{"schema": 1, "module": "/usr/lib/softhsm/libsofthsm2.so", "token": {"label": "bench-01"} or {"serial": "..."},
 "pin_file": "/run/credentials/.../pin", "keys": {"manifest": {"label": "manifest"}, "checkpoint": {"id": "02"}}}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from appliance.custody.errors import PinUnreadable, TokenConfigWrong
from appliance.custody.policy import NEEDED, POLICY
from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError

_TEXT = re.compile(r"[ -~]{1,64}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,32}")
_MAX_PIN = 256


@dataclass(frozen=True)
class KeyName:
    """How a key is found on the token: by its CKA_LABEL, its CKA_ID, or both."""

    label: str | None
    id: bytes | None

    def __str__(self) -> str:
        parts = [f"label {self.label}"] if self.label is not None else []
        return ", ".join(parts + ([f"id {self.id.hex()}"] if self.id is not None else []))


@dataclass(frozen=True)
class TokenConfig:
    """A token is found by its serial, its label, or both; never by its slot."""

    module: str
    label: str | None
    serial: str | None
    pin_file: Path
    keys: dict[str, KeyName]

    def __str__(self) -> str:
        parts = [f"labelled {self.label}"] if self.label is not None else []
        return " ".join(parts + ([f"with serial {self.serial}"] if self.serial is not None else []))


def parse(document: bytes) -> TokenConfig:
    """The configuration in a JSON document; TokenConfigWrong names the field that is not right."""
    try:
        value = strict_json.decode(document, max_bytes=16_384)
    except EvidenceError as error:
        _wrong("document", str(error))
    if not isinstance(value, dict) or value.get("schema") != 1:
        _wrong("schema", "must be 1")
    fields = {"schema", "module", "token", "pin_file", "keys"}
    if odd := value.keys() ^ fields:
        _wrong(min(odd), "unknown" if min(odd) in value else "missing")
    label, serial = _pair("token", value["token"], "label", "serial")
    keys = value["keys"]
    if not isinstance(keys, dict):
        _wrong("keys", "must be an object")
    for purpose in NEEDED:
        if purpose not in keys:
            _wrong(f"keys.{purpose}", "missing")
    return TokenConfig(
        module=str(_path("module", value["module"])),
        label=_text("token.label", label),
        serial=_text("token.serial", serial),
        pin_file=_path("pin_file", value["pin_file"]),
        keys={purpose: _key(purpose, key) for purpose, key in keys.items()},
    )


def read_pin(path: Path) -> str:
    """The PIN: the one line of a file. PinUnreadable tells why not, never what was read."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_PIN + 1)
    except OSError as error:
        raise PinUnreadable(why=f"{type(error).__name__} {error.errno}") from None
    pin = content.removesuffix(b"\n")
    if not pin or len(content) > _MAX_PIN or b"\n" in pin:
        raise PinUnreadable(why="it is not one line")
    try:
        return pin.decode()
    except UnicodeDecodeError:
        raise PinUnreadable(why="it is not UTF-8") from None


def _key(purpose: str, value: object) -> KeyName:
    if purpose not in POLICY:
        _wrong(f"keys.{purpose[:40]}", "no such purpose")
    label, identity = _pair(f"keys.{purpose}", value, "label", "id")
    if identity is not None and (not isinstance(identity, str) or not _HEX.fullmatch(identity)):
        _wrong(f"keys.{purpose}.id", "must be hex digits")
    return KeyName(_text(f"keys.{purpose}.label", label), bytes.fromhex(identity) if identity is not None else None)


def _pair(field: str, value: object, first: str, second: str) -> tuple[object, object]:
    if not isinstance(value, dict) or not value or not value.keys() <= {first, second}:
        _wrong(field, f"must be an object of {first}, {second} or both")
    return value.get(first), value.get(second)


def _text(field: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        _wrong(field, "must be 1 to 64 printable characters")
    return value


def _path(field: str, value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        _wrong(field, "must be an absolute path")
    return Path(value)


def _wrong(field: str, why: str) -> NoReturn:
    raise TokenConfigWrong(field=field, why=why)

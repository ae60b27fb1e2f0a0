"""The pin settings: what is taken, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.swd import settings
from appliance.swd.errors import (
    BackendUnknown,
    OtherSoc,
    PinNumberWrong,
    PinSetMissing,
    PinSetNamedTwice,
    PinSettingsError,
    PinSettingsMalformed,
    PinSettingsUnreadable,
    PinUsedTwice,
    PowerNotSwitched,
)
from appliance.swd.pins import _refuse_other_soc
from appliance.swd.settings import GpioChip, GpioMem, Pins, PinSet, WireSocket


def document() -> dict[str, Any]:
    return {
        "schema": 1,
        "pin_sets": [
            {
                "name": "left",
                "backend": {"kind": "gpiomem", "path": "/dev/gpiomem", "soc": "bcm2711"},
                "pins": {"swclk": 25, "swdio": 24, "nreset": 18, "power": 23, "power_active": "low"},
                "max_hz": 4_000_000,
                "wait_ms": 250,
                "swo": "/dev/serial0",
            },
            {
                "name": "right",
                "backend": {"kind": "gpiochip", "path": "/dev/gpiochip0"},
                "pins": {"swclk": 5, "swdio": 6, "swdio_pull": "none", "nreset_pull": "down"},
            },
            {"name": "virtual.1", "backend": {"kind": "socket", "path": "/run/wire"}},
        ],
    }


def test_every_kind_is_read() -> None:
    left, right, virtual = settings.parse(json.dumps(document()).encode())
    assert left == PinSet(
        "left",
        GpioMem("/dev/gpiomem", "bcm2711", Pins(25, 24, 18, 23, True, "up", "up")),
        4_000_000,
        250,
        "/dev/serial0",
    )
    assert right == PinSet(
        "right", GpioChip("/dev/gpiochip0", Pins(5, 6, None, None, False, "none", "down")), settings.MAX_HZ, 100, None
    )
    assert virtual.backend == WireSocket("/run/wire")
    assert settings.named((left, right, virtual), "right") is right
    with pytest.raises(PinSetMissing):
        settings.named((left, right), "middle")


def test_a_lock_needs_switched_power() -> None:
    left, right, virtual = settings.parse(json.dumps(document()).encode())
    left.require_switched_power()
    virtual.require_switched_power()
    with pytest.raises(PowerNotSwitched):
        right.require_switched_power()


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(root: Any) -> None:
        for step in path[:-1]:
            root = root[step]
        root[path[-1]] = value

    return change


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(root: Any) -> None:
        for step in path[:-1]:
            root = root[step]
        del root[path[-1]]

    return change


SET = ("pin_sets", 0)
PINS = (*SET, "pins")
BACKEND = (*SET, "backend")

BAD: list[tuple[Callable[[dict[str, Any]], None], type[PinSettingsError]]] = [
    (put("schema", value=2), PinSettingsMalformed),
    (put("schema", value=True), PinSettingsMalformed),
    (drop("schema"), PinSettingsMalformed),
    (put("extra", value=1), PinSettingsMalformed),
    (put("pin_sets", value=[]), PinSettingsMalformed),
    (put("pin_sets", value={}), PinSettingsMalformed),
    (put("pin_sets", value=[document()["pin_sets"][2]] * 65), PinSettingsMalformed),
    (put("pin_sets", 0, value="left"), PinSettingsMalformed),
    (put(*SET, "name", value="Left"), PinSettingsMalformed),
    (put(*SET, "name", value=""), PinSettingsMalformed),
    (put(*SET, "name", value="a" * 64), PinSettingsMalformed),
    (put(*SET, "name", value="right"), PinSetNamedTwice),
    (drop(*SET, "name"), PinSettingsMalformed),
    (put(*SET, "colour", value="red"), PinSettingsMalformed),
    (put(*BACKEND, "kind", value="spi"), BackendUnknown),
    (drop(*BACKEND, "kind"), BackendUnknown),
    (put(*SET, "backend", value=None), BackendUnknown),
    (put(*BACKEND, "path", value="dev/gpiomem"), PinSettingsMalformed),
    (put(*BACKEND, "path", value="/dev/\0"), PinSettingsMalformed),
    (put(*BACKEND, "path", value="/" + "a" * 200), PinSettingsMalformed),
    (drop(*BACKEND, "path"), PinSettingsMalformed),
    (put(*BACKEND, "soc", value="bcm2712"), PinSettingsMalformed),
    (drop(*BACKEND, "soc"), PinSettingsMalformed),
    (put(*BACKEND, "speed", value=1), PinSettingsMalformed),
    (put("pin_sets", 1, "backend", "soc", value="bcm2711"), PinSettingsMalformed),
    (put("pin_sets", 2, "pins", value={"swclk": 1, "swdio": 2}), PinSettingsMalformed),
    (put("pin_sets", 2, "backend", "extra", value=1), PinSettingsMalformed),
    (drop(*PINS), PinSettingsMalformed),
    (drop(*PINS, "swclk"), PinSettingsMalformed),
    (drop(*PINS, "swdio"), PinSettingsMalformed),
    (put(*PINS, "tdi", value=3), PinSettingsMalformed),
    (put(*PINS, "swclk", value=28), PinNumberWrong),
    (put(*PINS, "swdio", value=-1), PinNumberWrong),
    (put(*PINS, "swdio", value="24"), PinNumberWrong),
    (put(*PINS, "swclk", value=True), PinNumberWrong),
    (put(*PINS, "swclk", value=None), PinNumberWrong),
    (put(*PINS, "nreset", value=99), PinNumberWrong),
    (put(*PINS, "power", value="on"), PinNumberWrong),
    (put("pin_sets", 1, "pins", "swclk", value=1024), PinNumberWrong),
    (put(*PINS, "swdio", value=25), PinUsedTwice),
    (put(*PINS, "power", value=18), PinUsedTwice),
    (put("pin_sets", 1, value=document()["pin_sets"][0] | {"name": "twin"}), PinUsedTwice),
    (put("pin_sets", 1, value=document()["pin_sets"][2] | {"name": "virtual.2"}), PinUsedTwice),
    (drop(*PINS, "power"), PinSettingsMalformed),  # power_active is left without its line
    (put(*PINS, "power_active", value="yes"), PinSettingsMalformed),
    (put(*PINS, "swdio_pull", value="UP"), PinSettingsMalformed),
    (put(*PINS, "nreset_pull", value=1), PinSettingsMalformed),
    (put(*SET, "max_hz", value=0), PinSettingsMalformed),
    (put(*SET, "max_hz", value=10**9), PinSettingsMalformed),
    (put(*SET, "max_hz", value=True), PinSettingsMalformed),
    (put(*SET, "wait_ms", value=0), PinSettingsMalformed),
    (put(*SET, "wait_ms", value=60_001), PinSettingsMalformed),
    (put(*SET, "swo", value="serial0"), PinSettingsMalformed),
]


@pytest.mark.parametrize(("change", "refusal"), BAD)
def test_what_is_wrong_is_refused_by_name(
    change: Callable[[dict[str, Any]], None], refusal: type[PinSettingsError]
) -> None:
    changed = document()
    change(changed)
    with pytest.raises(PinSettingsError) as caught:
        settings.parse(json.dumps(changed).encode())
    assert type(caught.value) is refusal
    assert "?" not in caught.value.engineer_sentence()


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b'{"schema":1', b'{"schema":1,"schema":1,"pin_sets":[]}', b"\xff", b" " * 70_000]
)
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(PinSettingsMalformed):
        settings.parse(text)


def test_a_file_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "pins.json"
    with pytest.raises(PinSettingsUnreadable):
        settings.load(path)
    path.write_text(json.dumps(document()))
    assert len(settings.load(path)) == 3
    with pytest.raises(PinSettingsUnreadable):
        settings.load("/dev/\0")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.sampled_from(["left", "/dev/x", "up", "gpiomem", "socket"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["schema", "pin_sets", "name", "backend", "kind", "path", "pins", "swclk", "swdio", "swo"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(_json)
def test_no_document_raises_anything_but_ours(value: object) -> None:
    try:
        settings.parse(json.dumps({"schema": 1, "pin_sets": [value]}).encode())
    except PinSettingsError:
        pass


@pytest.mark.parametrize(
    ("compatible", "good"),
    [
        (b"raspberrypi,4-model-b\0brcm,bcm2711\0", True),
        (b"raspberrypi,3-model-b\0brcm,bcm2837\0", False),
        (b"raspberrypi,5-model-b\0brcm,bcm2712\0", False),
        (b"linux,dummy-virt\0", False),
    ],
)
def test_registers_of_another_family_are_not_touched(tmp_path: Path, compatible: bytes, good: bool) -> None:
    tree = tmp_path / "compatible"
    tree.write_bytes(compatible)
    if good:
        _refuse_other_soc("bcm2711", tree)
    else:
        with pytest.raises(OtherSoc):
            _refuse_other_soc("bcm2711", tree)
    _refuse_other_soc("bcm2711", tmp_path / "none")

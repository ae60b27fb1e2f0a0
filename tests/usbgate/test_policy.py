"""What may be plugged in where, and the image's own map of its ports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.usbgate import config
from appliance.usbgate.descriptors import parse
from appliance.usbgate.errors import (
    ConfigWrong,
    MachineUnknown,
    MoreThanAStick,
    NotAStick,
    NotOurOwn,
    PortClosed,
    UsbError,
)
from appliance.usbgate.policy import Admitted, Board, Place, decide
from tests.usbgate.devices import (
    HUB,
    KEYBOARD,
    KEYBOARD_PLUG,
    OWN_HUB,
    ST_LINK,
    STICK,
    TYPING_STICK,
    UAS,
    UAS_STICK,
    Config,
    Iface,
    Plug,
)

BAKED = Path(__file__).parents[2] / "systemd" / "share" / "usbgate.json"
PI = Board("0000:01:00.0", "1.3", {"1": (0x2109, 0x3431)})
INTAKE = Place("0000:01:00.0", "1.3")


@pytest.mark.parametrize("plug", [STICK, UAS_STICK], ids=["bulk-only", "uas as well"])
def test_a_stick_at_the_intake_port_is_let_in_by_its_one_interface(plug: Plug) -> None:
    assert decide(parse(plug.bytes()), INTAKE, PI) == Admitted("stick", frozenset({0}))


def test_the_boards_own_hub_is_let_in_at_its_own_place() -> None:
    assert decide(parse(OWN_HUB.bytes()), Place("0000:01:00.0", "1"), PI) == Admitted("own", frozenset({0}))


OTHER_HUB = Plug(ids=(0x05E3, 0x0610), kind=HUB).having(Iface(0, HUB, 0, (0x81,)))
REFUSED = {
    "a stick at another port": (STICK, Place("0000:01:00.0", "1.4"), PortClosed),
    "a stick at another controller": (STICK, Place("fe980000.usb", "1.3"), PortClosed),
    "a stick behind a hub at the intake port": (STICK, Place("0000:01:00.0", "1.3.1"), PortClosed),
    "a stick where the hub is": (STICK, Place("0000:01:00.0", "1"), NotOurOwn),
    "another hub where the hub is": (OTHER_HUB, Place("0000:01:00.0", "1"), NotOurOwn),
    "the own hub at another port": (OWN_HUB, Place("0000:01:00.0", "2"), PortClosed),
    "a hub at the intake port": (OTHER_HUB, INTAKE, NotAStick),
    "the own hub's ids at the intake port": (OWN_HUB, INTAKE, NotAStick),
    "a keyboard": (KEYBOARD_PLUG, INTAKE, NotAStick),
    "a keyboard at another port": (KEYBOARD_PLUG, Place("0000:01:00.0", "1.1"), PortClosed),
    "a stick that types": (TYPING_STICK, INTAKE, MoreThanAStick),
    "a probe with a drive": (ST_LINK, INTAKE, MoreThanAStick),
    "two drives in one": (STICK.having(Iface(), Iface(1, endpoints=(0x83, 0x04))), INTAKE, MoreThanAStick),
    "a drive that becomes a keyboard by alternate setting": (
        STICK.having(Iface(), Iface(kind=KEYBOARD, alternate=1, endpoints=(0x81,))),
        INTAKE,
        MoreThanAStick,
    ),
    "a keyboard that becomes a drive by alternate setting": (
        STICK.having(Iface(kind=KEYBOARD, endpoints=(0x81,)), Iface(alternate=1)),
        INTAKE,
        MoreThanAStick,
    ),
    "a keyboard in a second configuration": (
        Plug(configs=(Config(), Config((Iface(0, KEYBOARD, endpoints=(0x81,)),), value=2))),
        INTAKE,
        MoreThanAStick,
    ),
    "an empty second configuration": (Plug(configs=(Config(), Config((), value=2))), INTAKE, MoreThanAStick),
    "a drive that only speaks UAS": (STICK.having(Iface(kind=UAS)), INTAKE, NotAStick),
    "a floppy drive": (STICK.having(Iface(kind=(8, 4, 0))), INTAKE, NotAStick),
    "a drive with another one's class": (Plug(kind=HUB), INTAKE, MoreThanAStick),
    "a device without interfaces": (Plug(configs=(Config(()),)), INTAKE, NotAStick),
}


@pytest.mark.parametrize(("plug", "place", "refusal"), REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_stays_refused_by_name(plug: Plug, place: Place, refusal: type[UsbError]) -> None:
    with pytest.raises(refusal) as found:
        decide(parse(plug.bytes()), place, PI)
    assert str(place) in found.value.engineer_sentence()


def test_a_machine_without_a_map_has_every_port_closed() -> None:
    with pytest.raises(PortClosed):
        decide(parse(STICK.bytes()), INTAKE, None)


def test_the_images_map_is_read_for_each_of_its_boards() -> None:
    boards = config.parse(BAKED.read_bytes(), "usbgate.json")
    virt = config.board_of(boards, ("linux,dummy-virt",))
    assert decide(parse(STICK.bytes()), Place("0000:00:02.0", "1"), virt).what == "stick"
    pi = config.board_of(boards, ("raspberrypi,4-model-b", "brcm,bcm2711"))
    assert decide(parse(STICK.bytes()), INTAKE, pi).what == "stick"
    with pytest.raises(MachineUnknown, match="acme,one"):
        config.board_of(boards, ("acme,one",))


ENTRY: dict[str, object] = {"controller": "x", "intake": "1", "own": {}}
BAD_ENTRIES: list[object] = [
    [],
    {},
    {**ENTRY, "more": 1},
    {**ENTRY, "controller": 1},
    {**ENTRY, "controller": "a/b"},
    {**ENTRY, "controller": ""},
    {**ENTRY, "intake": 1},
    {**ENTRY, "intake": "0"},
    {**ENTRY, "intake": "1."},
    {**ENTRY, "intake": "1.2.3.4.5.6.7"},
    {**ENTRY, "own": []},
    {**ENTRY, "own": {"x": "2109:3431"}},
    {**ENTRY, "own": {"1": "2109:3431"}},
    {**ENTRY, "own": {"2": "2109"}},
    {**ENTRY, "own": {"2": 21093431}},
]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"schema":1,"schema":1,"boards":{}}',
        b'{"schema":2,"boards":{}}',
        b'{"schema":1,"boards":[]}',
        b'{"schema":1,"boards":{},"more":1}',
        *(json.dumps({"schema": 1, "boards": {"b": entry}}).encode() for entry in BAD_ENTRIES),
    ],
)
def test_a_broken_map_is_refused_by_name(document: bytes) -> None:
    with pytest.raises(ConfigWrong):
        config.parse(document, "usbgate.json")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_map_or_a_refusal(document: bytes) -> None:
    try:
        config.parse(document, "usbgate.json")
    except ConfigWrong:
        pass

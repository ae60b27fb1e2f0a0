"""Descriptors: what real devices tell is read; what does not add up is refused by name, whatever it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.usbgate.descriptors import MAX_BYTES, Kind, parse
from appliance.usbgate.errors import DescriptorsMalformed, DescriptorsTooLong, UsbError
from tests.usbgate.devices import KEYBOARD_PLUG, OWN_HUB, ST_LINK, STICK, TYPING_STICK, UAS_STICK, Config, Iface, Plug

PLUGS = [STICK, UAS_STICK, TYPING_STICK, KEYBOARD_PLUG, OWN_HUB, ST_LINK]
GOOD = STICK.bytes()


@pytest.mark.parametrize("plug", PLUGS, ids=["stick", "uas", "typing", "keyboard", "hub", "st-link"])
def test_a_device_is_read_as_it_was_built(plug: Plug) -> None:
    device = parse(plug.bytes())
    assert (device.vendor, device.product) == plug.ids
    assert device.kind == Kind(*plug.kind)
    read = [(one.number, one.alternate, one.kind, one.endpoints) for one in device.interfaces]
    built = [one for config in plug.configs for one in config.ifaces]
    assert read == [(one.number, one.alternate, Kind(*one.kind), one.endpoints) for one in built]


def bent(at: int, *values: int) -> bytes:
    return GOOD[:at] + bytes(values) + GOOD[at + len(values) :]


# The stick: device 0-17, configuration 18-26, interface 27-35, endpoints 36-42 and 43-49.
BAD = {
    "nothing": b"",
    "one byte": GOOD[:1],
    "half a device": GOOD[:12],
    "no configuration": GOOD[:18],
    "half a configuration": GOOD[:22],
    "half an interface": GOOD[:30],
    "one endpoint short": GOOD[:43],
    "the last byte missing": GOOD[:-1],
    "a byte too many": GOOD + b"\0",
    "a configuration too many": GOOD + GOOD[18:],
    "device of 17 bytes": bent(0, 17),
    "device of length 0": bent(0, 0),
    "device of another type": bent(1, 2),
    "endpoint 0 of 7 bytes": bent(7, 7),
    "endpoint 0 of 0 bytes": bent(7, 0),
    "no configuration announced": bent(17, 0),
    "two configurations announced": bent(17, 2),
    "255 configurations announced": bent(17, 255),
    "configuration of 8 bytes": bent(18, 8),
    "configuration of another type": bent(19, 4),
    "total shorter than itself": bent(20, 8, 0),
    "total in the middle of an interface": bent(20, 12, 0),
    "total before the last endpoint": bent(20, 25, 0),
    "total past the end": bent(20, 33, 0),
    "total of 64 KiB": bent(20, 0xFF, 0xFF),
    "two interfaces announced": bent(22, 2),
    "no interface announced": bent(22, 0),
    "configuration value 0": bent(23, 0),
    "interface of 8 bytes": bent(27, 8),
    "interface of length 1": bent(27, 1),
    "a string in its place": bent(28, 3),
    "a device in its place": bent(28, 1),
    "a configuration in its place": bent(28, 2),
    "interface number 32": bent(29, 32),
    "alternate 1 without 0": bent(30, 1),
    "three endpoints announced": bent(31, 3),
    "one endpoint announced": bent(31, 1),
    "no endpoint announced": bent(31, 0),
    "endpoint of 6 bytes": bent(36, 6),
    "endpoint of 8 bytes": bent(36, 8),
    "endpoint of length 0": bent(36, 0),
    "endpoint past the end": bent(43, 9),
    "a device among endpoints": bent(37, 1),
    "a string among endpoints": bent(37, 3),
    "a configuration among endpoints": bent(37, 2),
    "endpoint 0": bent(38, 0x80),
    "endpoint with reserved bits": bent(38, 0x91),
    "one endpoint twice": bent(38, 0x02),
    "an interface twice": STICK.having(Iface(), Iface()).bytes(),
    "two configurations of one value": Plug(configs=(Config(), Config())).bytes(),
    "endpoint outside an interface": Plug(configs=(Config(extra=GOOD[36:43]),)).bytes(),
    "class descriptor of length 0": STICK.having(Iface(extra=b"\0\x24\0")).bytes(),
    "class descriptor past the end": STICK.having(Iface(endpoints=(), extra=b"\x40\x24\0")).bytes(),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_does_not_add_up_is_refused(data: bytes) -> None:
    with pytest.raises(DescriptorsMalformed):
        parse(data)


def test_more_than_any_device_needs_is_refused_unread() -> None:
    with pytest.raises(DescriptorsTooLong):
        parse(GOOD + bytes(MAX_BYTES))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_device_or_a_refusal(data: bytes) -> None:
    try:
        parse(data)
    except UsbError:
        pass


@settings(max_examples=400)
@given(st.sampled_from(PLUGS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.data())
def test_a_bent_device_is_a_device_or_a_refusal(plug: Plug, bends: list[tuple[int, int]], data: st.DataObject) -> None:
    told = bytearray(plug.bytes())
    for at, value in bends:
        told[at % len(told)] = value
    cut = data.draw(st.integers(0, len(told)))
    try:
        device = parse(bytes(told[:cut]))
    except UsbError:
        return
    assert all(len(set(one.endpoints)) == len(one.endpoints) for one in device.interfaces)

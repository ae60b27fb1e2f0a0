"""What a USB device says of itself: the kernel's `descriptors` file, read strictly (USB 2.0 section 9.6, USB 3.2 9.6).

- The device descriptor, then each configuration with all that belongs to it, as the device sent them. Nothing is
  believed that does not add up: lengths, counts, numbers that occur twice, endpoints that cannot be.
- What is not needed for a decision (class-specific and vendor-specific descriptors, companions, strings) is stepped
  over by its length; a device, configuration or string descriptor in their midst is refused.
- Pure, and bounded by `MAX_BYTES`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NoReturn

from appliance.usbgate.errors import DescriptorsMalformed, DescriptorsTooLong

MAX_BYTES = 16 * 1024
_DEVICE, _CONFIGURATION, _STRING, _INTERFACE, _ENDPOINT = 1, 2, 3, 4, 5
_LENGTHS = {_DEVICE: (18,), _CONFIGURATION: (9,), _INTERFACE: (9,), _ENDPOINT: (7, 9)}
_MAX_INTERFACES = 32
_MAX_PACKET_0 = (8, 9, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Kind:
    """Class, subclass and protocol."""

    cls: int
    subclass: int
    protocol: int

    def __str__(self) -> str:
        return f"{self.cls:02x}/{self.subclass:02x}/{self.protocol:02x}"


@dataclass(frozen=True, slots=True)
class Interface:
    """One alternate setting of an interface. `endpoints`: their addresses, 0x80 set for IN."""

    number: int
    alternate: int
    kind: Kind
    endpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Configuration:
    value: int
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class Device:
    vendor: int
    product: int
    release: int
    kind: Kind
    configurations: tuple[Configuration, ...]

    def __str__(self) -> str:
        return f"{self.vendor:04x}:{self.product:04x}"

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """Every alternate setting of every configuration."""
        return tuple(one for configuration in self.configurations for one in configuration.interfaces)


def parse(data: bytes) -> Device:
    """The device in the bytes of its `descriptors` file; DescriptorsTooLong or DescriptorsMalformed."""
    if len(data) > MAX_BYTES:
        raise DescriptorsTooLong(limit=MAX_BYTES)
    head = _descriptor(data, 0, len(data))
    if head[1] != _DEVICE:
        _malformed(0, f"type {head[1]} where the device descriptor should be")
    cls, subclass, protocol, packet = head[4:8]
    vendor, product, release = struct.unpack_from("<HHH", head, 8)
    count = head[17]
    if packet not in _MAX_PACKET_0:
        _malformed(7, f"packets of {packet} bytes on endpoint 0")
    if count == 0:
        _malformed(17, "no configuration")
    configurations: list[Configuration] = []
    at = len(head)
    for _ in range(count):
        configuration, at = _configuration(data, at)
        if configuration.value in {one.value for one in configurations}:
            _malformed(at, f"configuration {configuration.value} twice")
        configurations.append(configuration)
    if at != len(data):
        _malformed(at, f"{len(data) - at} bytes after the last of {count} configurations")
    return Device(vendor, product, release, Kind(cls, subclass, protocol), tuple(configurations))


def _configuration(data: bytes, start: int) -> tuple[Configuration, int]:
    head = _descriptor(data, start, len(data))
    if head[1] != _CONFIGURATION:
        _malformed(start, f"type {head[1]} where a configuration should be")
    (total,) = struct.unpack_from("<H", head, 2)
    end = start + total
    if total < len(head) or end > len(data):
        _malformed(start + 2, f"a configuration of {total} bytes, with {len(data) - start} there")
    found: list[Interface] = []
    at = start + len(head)
    while at < end:
        body = _descriptor(data, at, end)
        kind = body[1]
        if kind == _INTERFACE:
            interface, at = _interface(data, at, end)
            if any((one.number, one.alternate) == (interface.number, interface.alternate) for one in found):
                _malformed(at, f"interface {interface.number} alternate {interface.alternate} twice")
            found.append(interface)
            continue
        if kind in {_DEVICE, _CONFIGURATION, _STRING, _ENDPOINT}:
            _malformed(at, f"type {kind} outside its place")
        at += len(body)
    numbers = {one.number for one in found}
    if len(numbers) != head[4]:
        _malformed(start + 4, f"{head[4]} interfaces are announced, {len(numbers)} are there")
    if any(all(one.alternate for one in found if one.number == number) for number in numbers):
        _malformed(start, "an interface without its alternate setting 0")
    if head[5] == 0:
        _malformed(start + 5, "configuration 0 means: not configured")
    return Configuration(head[5], tuple(found)), end


def _interface(data: bytes, start: int, end: int) -> tuple[Interface, int]:
    """An interface with what follows it, up to the next interface."""
    head = _descriptor(data, start, end)
    number, alternate, count, cls, subclass, protocol = head[2:8]
    if number >= _MAX_INTERFACES:
        _malformed(start + 2, f"interface number {number}")
    endpoints: list[int] = []
    at = start + len(head)
    while at < end:
        body = _descriptor(data, at, end)
        if body[1] == _INTERFACE:
            break
        if body[1] in {_DEVICE, _CONFIGURATION, _STRING}:
            _malformed(at, f"type {body[1]} within an interface")
        if body[1] == _ENDPOINT:
            endpoints.append(_endpoint(body, at))
        at += len(body)
    if len(endpoints) != count or len(set(endpoints)) != count:
        _malformed(start + 4, f"{count} endpoints are announced, {len(set(endpoints))} different ones are there")
    return Interface(number, alternate, Kind(cls, subclass, protocol), tuple(endpoints)), at


def _endpoint(body: bytes, at: int) -> int:
    address = body[2]
    if address & 0x70 or not address & 0x0F:
        _malformed(at + 2, f"endpoint address {address:#04x}")
    return address


def _descriptor(data: bytes, at: int, end: int) -> bytes:
    """The descriptor at `at`, whole, of a length that its type may have."""
    if end - at < 2:
        _malformed(at, "the bytes end in the middle of a descriptor")
    length, kind = data[at], data[at + 1]
    if length < 2 or at + length > end:
        _malformed(at, f"a descriptor of {length} bytes, with {end - at} there")
    if length not in _LENGTHS.get(kind, (length,)):
        _malformed(at, f"a descriptor of type {kind} with {length} bytes")
    return data[at : at + length]


def _malformed(at: int, why: str) -> NoReturn:
    raise DescriptorsMalformed(at=at, why=why)

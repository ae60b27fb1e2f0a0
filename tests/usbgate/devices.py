"""Devices as their descriptors: what real ones tell, built field by field so that tests can bend any of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

STORAGE = (0x08, 0x06, 0x50)
UAS = (0x08, 0x06, 0x62)
KEYBOARD = (0x03, 0x01, 0x01)
HUB = (0x09, 0x00, 0x01)
VENDOR = (0xFF, 0xFF, 0xFF)


@dataclass(frozen=True)
class Iface:
    number: int = 0
    kind: tuple[int, int, int] = STORAGE
    alternate: int = 0
    endpoints: tuple[int, ...] = (0x81, 0x02)
    extra: bytes = b""

    def bytes(self) -> bytes:
        head = bytes((9, 4, self.number, self.alternate, len(self.endpoints), *self.kind, 0))
        ends = b"".join(struct.pack("<BBBBHB", 7, 5, address, 2, 512, 0) for address in self.endpoints)
        return head + self.extra + ends


@dataclass(frozen=True)
class Config:
    ifaces: tuple[Iface, ...] = (Iface(),)
    value: int = 1
    extra: bytes = b""

    def bytes(self) -> bytes:
        body = self.extra + b"".join(one.bytes() for one in self.ifaces)
        count = len({one.number for one in self.ifaces})
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), count, self.value, 0, 0x80, 100) + body


@dataclass(frozen=True)
class Plug:
    """A device. The default is a plain stick."""

    configs: tuple[Config, ...] = (Config(),)
    ids: tuple[int, int] = (0x0781, 0x5567)
    kind: tuple[int, int, int] = (0, 0, 0)

    def bytes(self) -> bytes:
        head = struct.pack(
            "<BBHBBBBHHHBBBB", 18, 1, 0x0200, *self.kind, 64, *self.ids, 0x0100, 1, 2, 3, len(self.configs)
        )
        return head + b"".join(one.bytes() for one in self.configs)

    def having(self, *ifaces: Iface) -> Plug:
        return replace(self, configs=(Config(ifaces),))


STICK = Plug()
UAS_STICK = STICK.having(Iface(), Iface(kind=UAS, alternate=1, endpoints=(0x81, 0x02, 0x83, 0x04)))
TYPING_STICK = STICK.having(Iface(), Iface(1, KEYBOARD, endpoints=(0x83,)))
KEYBOARD_PLUG = Plug(ids=(0x046D, 0xC31C)).having(Iface(0, KEYBOARD, endpoints=(0x81,)))
OWN_HUB = Plug(ids=(0x2109, 0x3431), kind=HUB).having(Iface(0, (9, 0, 1), 0, (0x81,)), Iface(0, (9, 0, 2), 1, (0x81,)))
# The ST-Link/V2-1 of a Nucleo: debug, mass storage, a serial port of two interfaces.
ST_LINK = Plug(ids=(0x0483, 0x374B), kind=(0xEF, 2, 1)).having(
    Iface(0, VENDOR, endpoints=(0x81, 0x01, 0x82)),
    Iface(1, STORAGE, endpoints=(0x83, 0x03)),
    Iface(2, (2, 2, 1), endpoints=(0x85,), extra=bytes.fromhex("0524001001042402020524060203")),
    Iface(3, (0x0A, 0, 0), endpoints=(0x86, 0x06)),
)

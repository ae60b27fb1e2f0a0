"""Who the silicon says it is, read before anything else is done to it.

- Reading only. A device that answers but must not be programmed comes out as `DeviceRefused`; a locked one does not:
  its protection level is part of its identity, and the registry decides what its appearance means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.target.boards.profile import BoardProfile
from appliance.target.errors import ImplausibleUid, TargetLocked, WriteProtected, WrongPart
from appliance.target.link import Link, named

# ARMv7-M C1.2.6: PIDR4-7 lie before PIDR0-3, 12 registers from the end of a component's 4 KiB.
_PIDR4_OFFSET = 0xFD0
_IDCODE_DEVICE_MASK = 0xFFF


@dataclass(frozen=True)
class DeviceIdentity:
    """`uid`: bytes in address order. `rom`: the ROM table's 64-bit peripheral id. `rdp`: 0, 1 or 2."""

    part: str
    uid: bytes
    dpidr: int
    idcode: int
    rom: int
    rdp: int
    flash_kib: int
    option_control: int

    def as_record(self) -> dict[str, Any]:
        """The `device` object of a manifest."""
        return {
            "part": self.part,
            "uid": self.uid.hex(),
            "dpidr": f"{self.dpidr:#010x}",
            "idcode": f"{self.idcode:#010x}",
            "rom": f"{self.rom:#018x}",
            "rdp": self.rdp,
            "flash_kib": self.flash_kib,
        }


def identify(link: Link) -> DeviceIdentity:
    """The identity of the connected device. Raises `DeviceRefused`, `LinkError`."""
    profile = link.profile
    with named("identify"):
        # From the debug port inwards: another part may have nothing at the next address.
        dpidr = int(link.session.target.dp.dpidr.idr)
        _require(profile, "DPIDR", dpidr, profile.dpidr)
        idcode = link.read32(profile.idcode_address)
        _require(profile, "DBGMCU_IDCODE's device id", idcode & _IDCODE_DEVICE_MASK, profile.device_id)
        flash_kib = int.from_bytes(link.read(profile.flash_size_address, 2), "little")
        _require(profile, "the flash size in KiB", flash_kib, profile.flash_length // 1024)
        optcr = link.read32(profile.option_register)
        uid = link.read(profile.uid_address, profile.uid_length)
        rom = _peripheral_id(link, int(link.session.target.first_ap.rom_addr))
    fault = profile.uid_fault(uid)
    if fault is not None:
        raise ImplausibleUid(uid=uid.hex(), reason=fault)
    return DeviceIdentity(
        part=profile.part,
        uid=uid,
        dpidr=dpidr,
        idcode=idcode,
        rom=rom,
        rdp=profile.rdp_level(optcr),
        flash_kib=flash_kib,
        option_control=optcr,
    )


def require_writable(link: Link) -> None:
    """Raises `TargetLocked`, `WriteProtected` unless all of the flash may be erased and programmed."""
    profile = link.profile
    with named("option bytes"):
        optcr = link.read32(profile.option_register)
    _require_unlocked(profile, optcr)
    closed = [sector for sector in profile.write_protected(optcr) if sector < len(profile.sectors)]
    if closed:
        raise WriteProtected(sectors=", ".join(map(str, closed)), optcr=f"{optcr:#010x}")


def require_readable(link: Link) -> None:
    """Raises `TargetLocked` when the flash is closed to a debugger."""
    with named("option bytes"):
        optcr = link.read32(link.profile.option_register)
    _require_unlocked(link.profile, optcr)


def _require_unlocked(profile: BoardProfile, optcr: int) -> None:
    rdp = profile.rdp_level(optcr)
    if rdp:
        raise TargetLocked(rdp=rdp)


def _peripheral_id(link: Link, table: int) -> int:
    registers = link.core.read_memory_block32(table + _PIDR4_OFFSET, 8)
    low = sum((word & 0xFF) << 8 * index for index, word in enumerate(registers[4:]))
    high = sum((word & 0xFF) << 8 * index for index, word in enumerate(registers[:4]))
    return int(high << 32 | low)


def _require(profile: BoardProfile, register: str, actual: int, expected: int) -> None:
    if actual != expected:
        raise WrongPart(register=register, actual=hex(actual), part=profile.part, expected=hex(expected))

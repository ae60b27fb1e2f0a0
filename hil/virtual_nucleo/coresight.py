"""CoreSight identification: the ROM table and every component's PIDR/CIDR (ADIv5.2 D1, RM0402 30.8).

Values are those of an STM32F412: ARM's Cortex-M4 components (Cortex-M4 TRM tables 2-x, ETM-M4 and TPIU TRMs) and
ST's ROM table (designer 0x20, part 0x441).
"""

from __future__ import annotations

ROM_TABLE = 0xE00FF000
_ROM_ENTRIES = (0xFFF0F003, 0xFFF02003, 0xFFF03003, 0xFFF01003, 0xFFF41003, 0xFFF42003, 0x00000000)
"""SCS, DWT, FPB, ITM, TPIU, ETM as offsets from the table, all present (Cortex-M4 TRM table 2-5)."""


def _ids(part: int, designer: int, component_class: int, *, revision: int = 0, continuation: int = 4) -> bytes:
    """PIDR4 to PIDR7, PIDR0 to PIDR3, CIDR0 to CIDR3: the words from offset 0xFD0."""
    pidr = (
        part & 0xFF,
        part >> 8 & 0xF | (designer & 0xF) << 4,
        designer >> 4 & 0x7 | 0x8 | revision << 4,
        0,
    )
    cidr = (0x0D, component_class << 4, 0x05, 0xB1)
    return bytes((continuation, 0, 0, 0, *pidr, *cidr))


_ARM = 0x3B
_COMPONENTS = {
    0xE000E000: (_ids(0x00C, _ARM, 0xE), 0),
    0xE0001000: (_ids(0x002, _ARM, 0xE, revision=3), 0),
    0xE0002000: (_ids(0x003, _ARM, 0xE, revision=2), 0),
    0xE0000000: (_ids(0x001, _ARM, 0xE, revision=3), 0),
    0xE0040000: (_ids(0x9A1, _ARM, 0x9), 0x11),
    0xE0041000: (_ids(0x925, _ARM, 0x9), 0x13),
    ROM_TABLE: (_ids(0x441, 0x20, 0x1, continuation=0), 0),
}


def identification(base: int, offset: int) -> int | None:
    """The word at *offset* (0xFC8 and up) of the component at *base*; None where it has no such register."""
    component = _COMPONENTS.get(base)
    if component is None or offset < 0xFC8:
        return None
    ids, device_type = component
    if offset >= 0xFD0:
        return ids[(offset - 0xFD0) >> 2]
    return device_type if offset == 0xFCC else 0


def rom_table(offset: int) -> int:
    """A word of the ROM table; MEMTYPE says that system memory is on the bus too (ADIv5.2 D3.1.3)."""
    if offset >> 2 < len(_ROM_ENTRIES):
        return _ROM_ENTRIES[offset >> 2]
    if offset == 0xFCC:
        return 1
    return identification(ROM_TABLE, offset) or 0

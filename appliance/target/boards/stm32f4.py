"""STM32F4: RM0402 (STM32F412) and its data sheet DS11139."""

from __future__ import annotations

from appliance.target.boards.profile import BoardProfile, LoaderProfile, Sector, StubProfile

_KIB = 1024

# RM0402 31.2: word 0 is the die's X/Y coordinate, byte 4 the wafer's number, bytes 5 to 11 the lot in ASCII.
_UID_LOT = slice(5, 12)

# What test benches, simulators and cloned parts are seen to answer.
_KNOWN_DEFAULTS = frozenset(
    bytes.fromhex(uid)
    for uid in (
        "000102030405060708090a0b",
        "0102030405060708090a0b0c",
        "00112233445566778899aabb",
        "0123456789abcdef01234567",
        "78563412efcdab8978563412",
        "efbeaddeefbeaddeefbeadde",
        "deadbeefdeadbeefdeadbeef",
    )
)


def uid_fault(uid: bytes) -> str | None:
    """Why no genuine part of the family carries `uid` (12 bytes in address order), or None."""
    if uid == bytes(len(uid)):
        return "all bits are 0"
    if uid == b"\xff" * len(uid):
        return "all bits are 1"
    if uid in _KNOWN_DEFAULTS:
        return "it is a well-known default"
    if len({uid[0:4], uid[4:8], uid[8:12]}) == 1:
        return "its three words are the same"
    if not all(0x20 <= byte < 0x7F for byte in uid[_UID_LOT]):
        return "its lot number is not ASCII"
    if not any(chr(byte).isalnum() for byte in uid[_UID_LOT]):
        return "its lot number is blank"
    return None


def rdp_level(optcr: int) -> int:
    """The read-out protection level by FLASH_OPTCR (RM0402 3.8.5): 0xAA is level 0, 0xCC level 2, all else level 1."""
    return {0xAA: 0, 0xCC: 2}.get(optcr >> 8 & 0xFF, 1)


def write_protected(optcr: int) -> tuple[int, ...]:
    """The sectors that FLASH_OPTCR closes: nWRP bits 16 to 27 are 0 for protected (RM0402 3.6.4, SPRMOD 0).

    With SPRMOD (bit 31) set the bits mean read-out protection by sector, closed where they are 1 (RM0402 3.6.5).
    """
    bits = optcr >> 16 & 0xFFF
    closed = bits if optcr >> 31 else ~bits
    return tuple(sector for sector in range(12) if closed >> sector & 1)


def _sectors(*lengths_kib: int) -> tuple[Sector, ...]:
    sectors = []
    start = 0x0800_0000
    for length in lengths_kib:
        sectors.append(Sector(start, length * _KIB))
        start += length * _KIB
    return tuple(sectors)


STM32F412XG = BoardProfile(
    part="stm32f412xg",
    pyocd_target="stm32f412xg",
    flash_start=0x0800_0000,
    sectors=_sectors(16, 16, 16, 16, 64, *[128] * 7),
    ram_start=0x2000_0000,
    ram_length=256 * _KIB,
    uid_address=0x1FFF_7A10,
    uid_length=12,
    flash_size_address=0x1FFF_7A22,
    idcode_address=0xE004_2000,
    device_id=0x441,
    dpidr=0x2BA0_1477,
    option_register=0x4002_3C14,
    # RM0402 30.16: DBGMCU_CR, APB1_FZ and APB2_FZ survive a system reset.
    debug_freeze_registers=(0xE004_2004, 0xE004_2008, 0xE004_200C),
    supply_mv=3000,
    # DS11139, "Flash memory programming": what VDD each FLASH_CR.PSIZE needs.
    parallelism_mv=(1700, 2100, 2700),
    stub=StubProfile(blob="stub_stm32f412.bin", load_address=0x2001_0000, mailbox=0x2001_1800, stack_top=0x2001_4000),
    loader=LoaderProfile(
        stub=StubProfile(
            blob="loader_stm32f412.bin", load_address=0x2001_0000, mailbox=0x2001_1800, stack_top=0x2001_4000
        ),
        ring=0x2002_0000,
        slots=16,
        slot_length=8 * _KIB,
    ),
    uid_fault=uid_fault,
    rdp_level=rdp_level,
    write_protected=write_protected,
)

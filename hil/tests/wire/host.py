"""A second host for the wire's tests, written from ADIv5.2 B4 alone: bits, turnaround, parity, and nothing clever."""

from __future__ import annotations

from dataclasses import dataclass

from hil.virtual_nucleo.dp import Ack
from hil.virtual_nucleo.wire import Wire

DPIDR, ABORT, CTRL_STAT, SELECT, RESEND, RDBUFF = 0x0, 0x0, 0x4, 0x8, 0x8, 0xC
CSW, TAR, DRW = 0x0, 0x4, 0xC
SRAM, FLASH, DHCSR = 0x20000000, 0x08000000, 0xE000EDF0
KEYR, SR, CR = 0x40023C04, 0x40023C0C, 0x40023C10
POWER_UP = 0x50000000
ORUNDETECT, STICKYORUN, STICKYERR, WDATAERR = 1 << 0, 1 << 1, 1 << 5, 1 << 7
JTAG_TO_SWD, SWD_TO_JTAG, SWD_TO_DORMANT = 0xE79E, 0xE73C, 0xE3BC
JTAG_TO_DORMANT = 0x33BBBBBA
ALERT = 0x19BC0EA2_E3DDAFE9_86852D95_6209F392


def parity(value: int) -> int:
    """1 when *value* has an odd number of ones."""
    return value.bit_count() & 1


def request(*, ap: bool, read: bool, address: int) -> int:
    """The eight bits of a request: start, APnDP, RnW, A[2:3], parity, stop, park (B4.2.2)."""
    bits = int(ap) | int(read) << 1 | (address >> 2 & 3) << 2
    return 1 | bits << 1 | parity(bits) << 5 | 1 << 7


@dataclass(frozen=True)
class Reply:
    """What came back: the acknowledgement's bits as read, the data, and whether its parity was right."""

    ack: int
    data: int = 0
    parity_good: bool = True


class Refused(Exception):
    """A transfer was not acknowledged with OK."""

    def __init__(self, ack: int) -> None:
        super().__init__(f"{ack:03b}")
        self.ack = ack


class Host:
    """Toggles the pins of *wire*."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.turnaround = 1
        self.data_always = False

    def drive(self, count: int, bits: int) -> int:
        """*count* cycles with the host's bits on SWDIO; the levels seen."""
        seen = 0
        for at in range(0, count, 64):
            length = min(64, count - at)
            seen |= self.wire.exchange(length, bits >> at & (1 << length) - 1, True) << at
        return seen

    def release(self, count: int) -> int:
        """*count* cycles with SWDIO let go; the levels seen."""
        return self.wire.exchange(count, 0, False)

    def idle(self, count: int = 8) -> None:
        self.drive(count, 0)

    def line_reset(self, ones: int = 50, zeros: int = 2) -> None:
        self.drive(ones, (1 << ones) - 1)
        self.drive(zeros, 0) if zeros else None

    def select_swd(self) -> None:
        """From JTAG: a run of ones, the sequence, a line reset (B5.2.1)."""
        self.drive(50, (1 << 50) - 1)
        self.drive(16, JTAG_TO_SWD)
        self.line_reset()

    def transfer(self, *, ap: bool, read: bool, address: int, value: int = 0, bad_parity: bool = False) -> Reply:
        """One transfer, all phases of it."""
        self.drive(8, request(ap=ap, read=read, address=address))
        ack = self.release(self.turnaround + 3) >> self.turnaround & 7
        if ack != Ack.OK and not (self.data_always and ack in {Ack.WAIT, Ack.FAULT}):
            self.release(self.turnaround)
            return Reply(ack)
        if read:
            seen = self.release(33)
            self.release(self.turnaround)
            data = seen & 0xFFFFFFFF
            return Reply(ack, data, seen >> 32 == parity(data))
        self.release(self.turnaround)
        self.drive(33, value | (parity(value) ^ bad_parity) << 32)
        return Reply(ack)

    # -- registers ---------------------------------------------------------------------------------------------

    def _checked(self, reply: Reply) -> int:
        if reply.ack != Ack.OK:
            raise Refused(reply.ack)
        assert reply.parity_good
        return reply.data

    def dp_read(self, address: int) -> int:
        return self._checked(self.transfer(ap=False, read=True, address=address))

    def dp_write(self, address: int, value: int) -> None:
        self._checked(self.transfer(ap=False, read=False, address=address, value=value))

    def ap_post(self, address: int) -> int:
        """An AP read: what it returns is the one before it."""
        return self._checked(self.transfer(ap=True, read=True, address=address))

    def ap_read(self, address: int) -> int:
        self.ap_post(address)
        return self.dp_read(RDBUFF)

    def ap_write(self, address: int, value: int) -> None:
        self._checked(self.transfer(ap=True, read=False, address=address, value=value))

    # -- memory ------------------------------------------------------------------------------------------------

    def connect(self) -> int:
        """SWD, DPIDR, no errors, power, AP 0, word accesses with increment."""
        self.select_swd()
        identity = self.dp_read(DPIDR)
        self.dp_write(ABORT, 0x1E)
        self.dp_write(CTRL_STAT, POWER_UP)
        self.dp_write(SELECT, 0)
        self.ap_write(CSW, 0x23000012)
        return identity

    def read(self, address: int) -> int:
        self.ap_write(TAR, address)
        return self.ap_read(DRW)

    def write(self, address: int, value: int) -> None:
        self.ap_write(TAR, address)
        self.ap_write(DRW, value)
        self.dp_read(RDBUFF)
        self.idle()

    def halt(self) -> None:
        self.write(DHCSR, 0xA05F0003)
        assert self.read(DHCSR) >> 17 & 1

    def unlock(self) -> None:
        if self.read(CR) >> 31:
            self.write(KEYR, 0x45670123)
            self.write(KEYR, 0xCDEF89AB)

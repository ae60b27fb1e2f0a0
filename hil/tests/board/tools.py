"""A second, tiny debugger for the board's tests: plain ADIv5 transfers, no pyOCD, nothing clever."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.dp import Ack

UID = bytes.fromhex("004100293438510f34373636")
FLASH = 0x08000000
SRAM = 0x20000000
ACR, KEYR, OPTKEYR, SR, CR, OPTCR = (0x40023C00 + offset for offset in (0, 4, 8, 0xC, 0x10, 0x14))
DHCSR, DCRSR, DCRDR, DEMCR = 0xE000EDF0, 0xE000EDF4, 0xE000EDF8, 0xE000EDFC
CTRL_STAT, SELECT, RDBUFF, ABORT = 0x4, 0x8, 0xC, 0x0
CSW, TAR, DRW = 0x0, 0x4, 0xC
S_HALT, S_LOCKUP = 1 << 17, 1 << 19


class Refused(Exception):
    """A transfer was not acknowledged with OK."""

    def __init__(self, ack: Ack) -> None:
        super().__init__(ack.name)
        self.ack = ack


@functools.cache
def assemble(source: str, address: int = SRAM) -> bytes:
    """Thumb code for a Cortex-M4, linked at *address*, by the GNU assembler."""
    with tempfile.TemporaryDirectory() as folder:
        text, objects, linked, binary = (Path(folder) / name for name in ("a.s", "a.o", "a.elf", "a.bin"))
        text.write_text(f".syntax unified\n.thumb\n.cpu cortex-m4\n.fpu fpv4-sp-d16\n{source}\n")
        subprocess.run(["arm-none-eabi-as", "-o", objects, text], check=True)
        subprocess.run(["arm-none-eabi-ld", f"-Ttext=0x{address:x}", "-e", "0", "-o", linked, objects], check=True)
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", linked, binary], check=True)
        return binary.read_bytes()


def vectors(*entries: int, stack: int = SRAM + 0x10000) -> bytes:
    """A vector table: initial stack, then *entries* (Thumb bit added; 0 stays 0), 64 words in all."""
    words = [stack, *((entry | 1) if entry else 0 for entry in entries)]
    return b"".join(word.to_bytes(4, "little") for word in words + [0] * (64 - len(words)))


def burn(board: Board, image: bytes, offset: int = 0) -> None:
    """Put *image* in flash by the back door: how it got there is not the test's subject."""
    board.array.main[offset : offset + len(image)] = image
    board.soc.core.code_changed()


class Debugger:
    """SWD transfers on a board's connector."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.port = board.port

    def select_swd(self) -> None:
        """JTAG-to-SWD with line resets around it, then idle (ADIv5.2 B5.2.1)."""
        self.port.sequence(56, (1 << 56) - 1)
        self.port.sequence(16, 0xE79E)
        self.port.sequence(56, (1 << 56) - 1)
        self.port.sequence(8, 0)

    def connect(self) -> int:
        """Select SWD, read DPIDR, clear errors, power up; returns DPIDR."""
        self.select_swd()
        idr = self.dp_read(0)
        self.dp_write(ABORT, 0x1E)
        self.dp_write(CTRL_STAT, 0x50000000)
        self.dp_write(SELECT, 0)
        return idr

    def _transfer(self, *, ap: bool, read: bool, address: int, value: int = 0) -> int:
        ack, data = self.port.transfer(ap=ap, read=read, address=address, value=value)
        if ack is not Ack.OK:
            raise Refused(ack)
        return data

    def dp_read(self, address: int) -> int:
        return self._transfer(ap=False, read=True, address=address)

    def dp_write(self, address: int, value: int) -> None:
        self._transfer(ap=False, read=False, address=address, value=value)

    def ap_read(self, address: int) -> int:
        """An AP register in the selected bank, through RDBUFF."""
        self._transfer(ap=True, read=True, address=address)
        return self.dp_read(RDBUFF)

    def ap_write(self, address: int, value: int) -> None:
        """An AP register in the selected bank; a late error is found through RDBUFF."""
        self._transfer(ap=True, read=False, address=address, value=value)
        self.dp_read(RDBUFF)

    def read(self, address: int, size: int = 4) -> int:
        self.ap_write(CSW, 0x23000000 | {1: 0, 2: 1, 4: 2}[size])
        self.ap_write(TAR, address)
        return self.ap_read(DRW) >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, value: int, size: int = 4) -> None:
        self.ap_write(CSW, 0x23000000 | {1: 0, 2: 1, 4: 2}[size])
        self.ap_write(TAR, address)
        self.ap_write(DRW, value << 8 * (address & 3))

    def clear_errors(self) -> None:
        self.dp_write(ABORT, 0x1E)

    def faults(self, address: int, *, write: int | None = None, size: int = 4) -> bool:
        """Whether an access is answered with a bus error; leaves no sticky error behind."""
        try:
            if write is None:
                self.read(address, size)
            else:
                self.write(address, write, size)
        except Refused as refused:
            if refused.ack is not Ack.FAULT or not self.dp_read(CTRL_STAT) & 1 << 5:
                raise  # only STICKYERR explains a FAULT
            self.clear_errors()
            return True
        return False

    def load(self, address: int, data: bytes) -> None:
        data += bytes(-len(data) % 4)
        self.ap_write(CSW, 0x23000012)
        self.ap_write(TAR, address)
        for index in range(0, len(data), 4):
            self.ap_write(DRW, int.from_bytes(data[index : index + 4], "little"))

    # -- the core ----------------------------------------------------------------------------------------------

    def halt(self) -> None:
        self.write(DHCSR, 0xA05F0003)
        assert self.read(DHCSR) & S_HALT

    def resume(self) -> None:
        self.write(DHCSR, 0xA05F0001)

    def step(self) -> None:
        self.write(DHCSR, 0xA05F0005)
        assert self.wait_halted()

    def wait_halted(self, polls: int = 50) -> bool:
        return any(self.read(DHCSR) & S_HALT for _ in range(polls))

    def register(self, selector: int) -> int:
        self.write(DCRSR, selector)
        return self.read(DCRDR)

    def set_register(self, selector: int, value: int) -> None:
        self.write(DCRDR, value)
        self.write(DCRSR, 1 << 16 | selector)

    def run(self, code: bytes, *arguments: int, at: int = SRAM, polls: int = 50) -> int:
        """Load *code*, run it from its beginning until it halts (a BKPT); returns r0."""
        self.halt()
        self.load(at, code)
        for index, value in enumerate(arguments):
            self.set_register(index, value)
        self.set_register(13, SRAM + 0x8000)
        self.set_register(16, 1 << 24)
        self.set_register(15, at)
        self.resume()
        assert self.wait_halted(polls), "the code did not end"
        return self.register(0)

    # -- flash by registers ------------------------------------------------------------------------------------

    def unlock(self) -> None:
        if self.read(CR) >> 31:
            self.write(KEYR, 0x45670123)
            self.write(KEYR, 0xCDEF89AB)
        assert not self.read(CR) >> 31

    def wait_flash(self) -> int:
        """Wait for BSY to go; returns the error flags."""
        for _ in range(100):
            status = self.read(SR)
            if not status >> 16 & 1:
                return status
            self.port.idle(200 * 10**9)
        raise AssertionError("BSY for ever")

    def erase_sector(self, number: int, psize: int = 2) -> int:
        self.write(CR, psize << 8 | 1 << 1 | number << 3)
        self.write(CR, psize << 8 | 1 << 1 | number << 3 | 1 << 16)
        return self.wait_flash()

    def program(self, address: int, value: int, size: int = 4, psize: int = 2) -> int:
        self.write(CR, psize << 8 | 1)
        self.write(address, value, size)
        return self.wait_flash()

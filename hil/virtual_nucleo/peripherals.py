"""The peripherals that firmware on this board uses: USART3, GPIO, RNG, IWDG, DBGMCU, SYSCFG.

* A peripheral whose clock is off reads as zero and ignores writes (RM0402 6.2).
* USART3 goes to the debugger's virtual COM port on PD8/PD9 (UM1974 6.9): its characters are recorded with the baud
  rate that the clock tree and BRR give, and take that time to send.
* Everything else in the peripheral space reads as zero and ignores writes; README.md lists what that is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from hil.virtual_nucleo.clocks import LSI_HZ, Clocks
from hil.virtual_nucleo.vtime import PS_PER_S, Timebase

USART3 = 0x40004800
GPIO_BASE = 0x40020000
RNG = 0x50060800
IWDG = 0x40003000
DBGMCU = 0xE0042000
SYSCFG = 0x40013800

DBGMCU_IDCODE = 0x30006441
"""STM32F412 (DEV_ID 0x441), revision C (REV_ID 0x3000; RM0402 30.6.1)."""


@dataclass(frozen=True)
class SerialCharacter:
    """One frame as a receiver sees it: when its stop bit ended, its data bits, its baud rate (0: line too odd)."""

    at_ps: int
    data: int
    baud: int


class Usart:
    """A USART as RM0402 chapter 25 has it, transmit side and register file (receiver: nothing is connected)."""

    def __init__(self, time: Timebase, clocks: Clocks) -> None:
        self._time = time
        self._clocks = clocks
        self.sent: list[SerialCharacter] = []
        self.reset()

    def reset(self) -> None:
        """Registers to their reset values; what was sent stays sent."""
        self._registers = [0] * 7
        self._shift_free_at = 0
        self._holding_until = 0

    @property
    def baud(self) -> int:
        """From PCLK1, BRR and OVER8 (RM0402 25.4.4); 0 while BRR is 0."""
        brr = self._registers[2]
        if not brr:
            return 0
        if self._registers[3] & 1 << 15:
            brr = (brr & ~0xF) | (brr & 7) << 1
            return 2 * self._clocks.pclk1_hz // brr
        return self._clocks.pclk1_hz // brr

    def read32(self, offset: int) -> int:
        """Read a register; a core that polls TXE or TC waits for it."""
        index = offset >> 2
        if index == 0:
            now = self._time.now
            value = (now >= self._holding_until) << 7 | (now >= self._shift_free_at) << 6
            if value != 0xC0:
                self._time.spin(self._holding_until if not value & 0x80 else self._shift_free_at)
            return value
        return self._registers[index] if 1 < index < 7 else 0

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write a register; DR with UE and TE set sends a frame."""
        index = offset >> 2
        if index == 1:
            self._send(value)
        elif 1 < index < 7:
            self._registers[index] = value & mask & 0xFFFF | self._registers[index] & ~mask

    def _send(self, value: int) -> None:
        cr1, baud = self._registers[3], self.baud
        if (cr1 & (1 << 13 | 1 << 3)) != (1 << 13 | 1 << 3) or not baud:
            return
        now = self._time.now
        bits = 10 + (cr1 >> 12 & 1)
        begin = max(now, self._shift_free_at)
        if begin > now and now < self._holding_until:
            return  # the holding register is full: the old character is overwritten before it is shifted
        self._holding_until = begin
        self._shift_free_at = begin + bits * PS_PER_S // baud
        self.sent.append(SerialCharacter(self._shift_free_at, value & (0x1FF if bits == 11 else 0xFF), baud))


class Gpio:
    """Ports A to H: registers and pin levels (RM0402 chapter 7); inputs float low but for their pulls."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self.reset()

    def reset(self) -> None:
        """Register reset values (RM0402 7.4.1 to 7.4.4)."""
        self._ports = [[0] * 10 for _ in range(8)]
        for port, mode, speed, pull in ((0, 0x0C000000, 0x0C000000, 0x64000000), (1, 0x280, 0xC0, 0x100)):
            self._ports[port][0], self._ports[port][2], self._ports[port][3] = mode, speed, pull
        self._ports[0][0] = 0xA8000000

    def output(self, port: int, pin: int) -> bool | None:
        """Level that *pin* of *port* (0 = A) is driven to; None when it is not a general-purpose output."""
        registers = self._ports[port]
        if registers[0] >> 2 * pin & 3 != 1:
            return None
        return bool(registers[5] >> pin & 1)

    def read32(self, offset: int) -> int:
        """Read a register of the port that *offset* (from GPIOA) falls in."""
        port, index = offset >> 10, (offset & 0x3FF) >> 2
        if port >= 8 or index >= 10 or not self._clocks.enabled(0x30, port):
            return 0
        registers = self._ports[port]
        if index == 4:
            level = 0
            for pin in range(16):
                driven = self.output(port, pin)
                pulled = registers[3] >> 2 * pin & 3 == 1
                level |= (pulled if driven is None else driven) << pin
            return level
        return 0 if index == 6 else registers[index]

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write a register of the port that *offset* falls in; BSRR sets and resets ODR bits."""
        port, index = offset >> 10, (offset & 0x3FF) >> 2
        if port >= 8 or index >= 10 or not self._clocks.enabled(0x30, port):
            return
        registers = self._ports[port]
        value &= mask
        if index == 6:
            registers[5] = registers[5] & ~(value >> 16) | value & 0xFFFF
        elif index != 4:
            registers[index] = value | registers[index] & ~mask


class Rng:
    """The random number generator (RM0402 chapter 24): needs RNGEN and a running 48 MHz clock.

    Its stream is seeded by the board, so that runs repeat.
    """

    def __init__(self, time: Timebase, clocks: Clocks, seed: bytes) -> None:
        self._time = time
        self._clocks = clocks
        self._seed = seed
        self._drawn = 0
        self.reset()

    def reset(self) -> None:
        """Registers to zero; the noise source goes on."""
        self._control = 0
        self._ready_at: int | None = None
        self._began = 0

    def _word_ready(self) -> bool:
        """Whether a word waits; it takes 40 periods of the RNG clock, from when that clock is there."""
        hertz = self._clocks.pll48_hz()
        if not self._control & 4 or not hertz:
            self._ready_at = None
            return False
        if self._ready_at is None:
            self._ready_at = max(self._began, self._clocks.pll_ready_at) + 40 * PS_PER_S // hertz
        return self._time.now >= self._ready_at

    def read32(self, offset: int) -> int:
        """CR, SR (DRDY, CECS) or DR, which reads as zero until a word is ready."""
        if not self._clocks.enabled(0x34, 6):
            return 0
        if offset == 0x00:
            return self._control
        ready = self._word_ready()
        if offset == 0x04:
            if self._control & 4 and self._ready_at is None:
                return 1 << 1  # CECS: no usable clock
            if not ready and self._ready_at is not None:
                self._time.spin(self._ready_at)
            return int(ready)
        if offset == 0x08 and ready:
            self._ready_at, self._began = None, self._time.now
            self._drawn += 1
            digest = hashlib.sha256(self._seed + self._drawn.to_bytes(8, "little")).digest()
            return int.from_bytes(digest[:4], "little")
        return 0

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write CR."""
        if offset == 0x00 and self._clocks.enabled(0x34, 6):
            if value & 4 and not self._control & 4:
                self._began = self._time.now
            self._control = value & 0xC


class Watchdog:
    """The independent watchdog (RM0402 chapter 20), clocked by LSI; ``deadline`` is when it resets the device."""

    def __init__(self, time: Timebase) -> None:
        self._time = time
        self.frozen: Callable[[], bool] = lambda: False
        self.reset()

    def reset(self) -> None:
        """Stopped, longest timeout, registers protected."""
        self._prescaler = 0
        self._reload = 0xFFF
        self._open = False
        self.deadline: int | None = None

    def start(self) -> None:
        """Key 0xCCCC, or the option byte."""
        self._feed()

    def _feed(self) -> None:
        divider = 4 << min(self._prescaler, 6)
        self.deadline = self._time.now + (self._reload + 1) * divider * PS_PER_S // LSI_HZ

    def read32(self, offset: int) -> int:
        """PR and RLR; SR is always idle."""
        return {0x04: self._prescaler, 0x08: self._reload}.get(offset, 0)

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """KR, and PR and RLR after key 0x5555."""
        if offset == 0x00:
            self._open = value & 0xFFFF == 0x5555
            if value & 0xFFFF == 0xCCCC or (value & 0xFFFF == 0xAAAA and self.deadline is not None):
                self._feed()
        elif offset == 0x04 and self._open:
            self._prescaler = value & 7
        elif offset == 0x08 and self._open:
            self._reload = value & 0xFFF


class Dbgmcu:
    """The MCU debug component (RM0402 30.16); reset only with power."""

    def __init__(self) -> None:
        self.power_on()

    def power_on(self) -> None:
        """Power-on reset, the only one it has."""
        self._registers = {0x04: 0, 0x08: 0, 0x0C: 0}

    def read32(self, offset: int) -> int:
        """IDCODE, CR, APB1_FZ, APB2_FZ."""
        return DBGMCU_IDCODE if offset == 0 else self._registers.get(offset, 0)

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """CR and the freeze registers keep what is written."""
        if offset in self._registers:
            self._registers[offset] = value & mask | self._registers[offset] & ~mask

    @property
    def freezes_watchdog(self) -> bool:
        """DBG_IWDG_STOP (APB1_FZ bit 12)."""
        return bool(self._registers[0x08] & 1 << 12)


class Syscfg:
    """SYSCFG's memory remap (RM0402 8.2.1): what lies at address zero."""

    def __init__(self) -> None:
        self.on_remap: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """MEM_MODE follows BOOT0, which the board ties low: main flash."""
        self.memory_mode = 0

    def read32(self, offset: int) -> int:
        """MEMRMP; the rest reads as zero."""
        return self.memory_mode if offset == 0 else 0

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """MEMRMP.MEM_MODE."""
        if offset == 0:
            self.memory_mode = value & 3
            self.on_remap()

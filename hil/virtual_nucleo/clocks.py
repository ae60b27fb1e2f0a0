"""The clock tree and core voltage: RCC (RM0402 chapter 6) and PWR (chapter 5), as far as firmware needs them.

* Oscillators and the PLL become ready after the data sheet's start-up times, not at once.
* The board feeds 8 MHz from its debugger into OSC_IN (UM1974 6.8.1): HSE needs HSEBYP; there is no crystal.
* HCLK is checked against the wait states at 2.7 V to 3.6 V (RM0402 table 6) and the VOS scale (data sheet,
  "General operating conditions"); beyond either, flash reads cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Callable

from hil.virtual_nucleo.vtime import PS_PER_MS, PS_PER_US, Timebase

RCC = 0x40023800
PWR = 0x40007000

HSI_HZ = 16_000_000
HSE_HZ = 8_000_000
LSI_HZ = 32_000
HSI_START_PS = 4 * PS_PER_US
HSE_START_PS = 2 * PS_PER_MS
PLL_LOCK_PS = 200 * PS_PER_US
LSI_START_PS = 40 * PS_PER_US
VOS_READY_PS = 100 * PS_PER_US

CR, PLLCFGR, CFGR, CSR = 0x00, 0x04, 0x08, 0x74
_RESET = {CR: 0x83, PLLCFGR: 0x24003010, 0x30: 0, 0x50: 0x00000000, CSR: 0x0E000000}
_WAIT_STATE_LIMITS = (30_000_000, 64_000_000, 90_000_000, 100_000_000)
_VOS_LIMITS = {1: 64_000_000, 2: 84_000_000, 3: 100_000_000}


class Clocks:
    """RCC and PWR registers, and the frequencies that follow from them."""

    def __init__(self, time: Timebase) -> None:
        self._time = time
        self.on_change: Callable[[], None] = lambda: None
        self.reset_flags = 0
        self.reset()

    def reset(self) -> None:
        """System reset. RCC_CSR's reset flags survive; see :meth:`note_reset`."""
        self._registers = dict(_RESET)
        self._ready_at = {"HSI": 0}
        self._pwr_cr = 0xC000
        self._vos_ready_at = 0
        self._refresh()

    def note_reset(self, flags: int) -> None:
        """Add *flags* (RCC_CSR bits 31:25, RM0402 6.3.21) to the reset causes that software can read."""
        self.reset_flags |= flags

    # -- frequencies -------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        cfgr = self._registers.get(CFGR, 0)
        source = cfgr & 3
        if source == 1:
            sysclk = HSE_HZ
        elif source == 2:
            sysclk = self.pll_hz
        else:
            sysclk = HSI_HZ
        hpre = cfgr >> 4 & 0xF
        self.sysclk_hz = max(sysclk, 1)
        self.hclk_hz = max(sysclk >> (0, 1, 2, 3, 4, 6, 7, 8, 9)[hpre - 7] if hpre >= 8 else sysclk, 1)
        self.pclk1_hz = self._apb(cfgr >> 10 & 7)
        self.pclk2_hz = self._apb(cfgr >> 13 & 7)
        self.on_change()

    def _apb(self, ppre: int) -> int:
        return max(self.hclk_hz >> (ppre - 3) if ppre >= 4 else self.hclk_hz, 1)

    @property
    def pll_hz(self) -> int:
        """PLL output P: input / M * N / P (RM0402 6.3.2)."""
        value = self._registers[PLLCFGR]
        divide, multiply = value & 0x3F, value >> 6 & 0x1FF
        source = HSE_HZ if value & 1 << 22 else HSI_HZ
        return source * multiply // max(divide, 1) // ((value >> 16 & 3) * 2 + 2)

    def pll48_hz(self) -> int:
        """PLL output Q, the RNG's and USB's clock; 0 while the PLL is not ready."""
        value = self._registers[PLLCFGR]
        if not self._is_ready("PLL"):
            return 0
        source = HSE_HZ if value & 1 << 22 else HSI_HZ
        return source * (value >> 6 & 0x1FF) // max(value & 0x3F, 1) // max(value >> 24 & 0xF, 1)

    @property
    def pll_ready_at(self) -> int:
        """When the PLL became, or becomes, ready; 0 while it is off."""
        return self._ready_at.get("PLL", 0)

    @property
    def vos(self) -> int:
        """Voltage scale as in PWR_CR.VOS (3 = scale 1); scale 3 until the PLL runs (RM0402 5.4.1)."""
        return (self._pwr_cr >> 14 & 3) or 1

    def too_fast(self, wait_states: int) -> bool:
        """Whether HCLK is beyond what *wait_states* and the voltage scale allow."""
        limit = _WAIT_STATE_LIMITS[min(wait_states, 3)]
        return self.hclk_hz > min(limit, _VOS_LIMITS[self.vos])

    def enabled(self, register: int, bit: int) -> bool:
        """Whether a peripheral's clock is on: its bit in an AHBxENR/APBxENR at offset *register*."""
        return bool(self._registers.get(register, 0) >> bit & 1)

    def _is_ready(self, name: str) -> bool:
        at = self._ready_at.get(name)
        return at is not None and self._time.now >= at

    # -- RCC registers -----------------------------------------------------------------------------------------

    def read32(self, offset: int) -> int:
        """Read an RCC register; ready flags follow time, and a core that polls them waits."""
        value = self._registers.get(offset, 0)
        if offset == CR:
            for name, bit in (("HSI", 1), ("HSE", 17), ("PLL", 25)):
                value = value & ~(1 << bit) | self._is_ready(name) << bit
            pending = [at for at in self._ready_at.values() if at > self._time.now]
            if pending:
                self._time.spin(min(pending))
        elif offset == CFGR:
            value = value & ~0xC | (value & 3) << 2  # SWS: a switch takes a few cycles, none of them visible
        elif offset == CSR:
            value = value & 0x1 | self._is_ready("LSI") << 1 | self.reset_flags
            if value & 1 and not value & 2:
                self._time.spin(self._ready_at["LSI"])
        return value

    def write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write the lanes of *mask* of an RCC register."""
        value = value & mask | self._registers.get(offset, 0) & ~mask
        if offset == CR:
            self._write_cr(value)
        elif offset == PLLCFGR:
            if not self._registers[CR] & 1 << 24:  # RM0402 6.3.2: only while the PLL is off
                self._registers[PLLCFGR] = value
        elif offset == CFGR:
            self._write_cfgr(value)
        elif offset == CSR:
            if value & 1 << 24:
                self.reset_flags = 0
            self._switch("LSI", bool(value & 1), LSI_START_PS)
            self._registers[CSR] = value & 1
        else:
            self._registers[offset] = value
        self._refresh()

    def _write_cr(self, value: int) -> None:
        used = self._registers.get(CFGR, 0) & 3
        if used == 0:
            value |= 1  # the oscillator that drives SYSCLK cannot be stopped (RM0402 6.3.1)
        elif used == 1:
            value |= 1 << 16
        else:
            value |= 1 << 24
        self._switch("HSI", bool(value & 1), HSI_START_PS)
        if bool(value & 1 << 16) and not value & 1 << 18:
            self._ready_at.pop("HSE", None)  # no crystal is fitted
        else:
            self._switch("HSE", bool(value & 1 << 16), HSE_START_PS)
        source = "HSE" if self._registers[PLLCFGR] & 1 << 22 else "HSI"
        self._switch("PLL", bool(value & 1 << 24) and source in self._ready_at, PLL_LOCK_PS)
        self._registers[CR] = value & 0x050DFFF9

    def _switch(self, name: str, on: bool, start_ps: int) -> None:
        if on:
            self._ready_at.setdefault(name, self._time.now + start_ps)
        else:
            self._ready_at.pop(name, None)

    def _write_cfgr(self, value: int) -> None:
        wanted = value & 3
        ready = {0: "HSI", 1: "HSE", 2: "PLL"}.get(wanted)
        if ready is None or not self._is_ready(ready):
            value = value & ~3 | self._registers.get(CFGR, 0) & 3  # a source that is not ready is not taken
        self._registers[CFGR] = value & ~0xC

    # -- PWR registers -----------------------------------------------------------------------------------------

    def pwr_read32(self, offset: int) -> int:
        """Read PWR_CR or PWR_CSR; VOSRDY follows a change of scale after a while."""
        if offset == 0x00:
            return self._pwr_cr
        if offset == 0x04:
            if self._time.now < self._vos_ready_at:
                self._time.spin(self._vos_ready_at)
                return 0
            return 1 << 14
        return 0

    def pwr_write32(self, offset: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write PWR_CR; VOS can change only while the PLL is off (RM0402 5.4.1)."""
        if offset != 0x00:
            return
        value = value & mask | self._pwr_cr & ~mask
        if (value ^ self._pwr_cr) & 0xC000:
            if self._registers[CR] & 1 << 24:
                value = value & ~0xC000 | self._pwr_cr & 0xC000
            else:
                self._vos_ready_at = self._time.now + VOS_READY_PS
        self._pwr_cr = value
        self._refresh()

"""A NUCLEO-F412ZG on the bench: the hands on it, and the back door for independent checks.

One use::

    board = Board(uid=bytes.fromhex("00410029 3438510f 34373636"))
    board.power_on()
    ...                             # a probe on board.port flashes it
    board.press_reset()
    board.run_ms(50)
    board.uart_output()             # what the virtual COM port showed
    board.flash_sha256()            # what is really in the cells

* Nothing here goes through the debugger: ``flash``, ``sram`` and ``uart_output`` look at the silicon itself.
* A board made with *path* keeps flash and option bytes there, however its process ends.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hil.virtual_nucleo.flash_array import FLASH_SIZE, FlashArray
from hil.virtual_nucleo.option_bytes import FACTORY_OPTCR, OptionBytes
from hil.virtual_nucleo.soc import Soc
from hil.virtual_nucleo.swd_port import SwdPort
from hil.virtual_nucleo.vtime import PS_PER_MS, PS_PER_US

LED_PINS = {"LD1": (1, 0), "LD2": (1, 7), "LD3": (1, 14)}
"""PB0 green, PB7 blue, PB14 red (UM1974 6.5)."""


class Board:
    """One board. *uid* is the device's unique id as it lies at 0x1FFF7A10 (12 bytes)."""

    def __init__(self, uid: bytes, *, path: Path | None = None, port: SwdPort | None = None) -> None:
        if len(uid) != 12:
            raise ValueError("a unique id has 12 bytes")
        self.uid = uid
        seed = int.from_bytes(hashlib.sha256(uid).digest()[:8], "little")
        stored = FACTORY_OPTCR
        self._options_path = path.with_suffix(".options") if path is not None else None
        if self._options_path is not None and self._options_path.exists():
            stored = int(self._options_path.read_text(), 16)
        self.array = FlashArray(seed=seed, path=path)
        self.options = OptionBytes(stored)
        self.options.on_store = self._keep_options
        self.soc = Soc(uid, self.array, self.options, seed=seed & 0xFFFFFFFF)
        self.port = port if port is not None else SwdPort(self.soc)

    def _keep_options(self) -> None:
        if self._options_path is not None:
            self._options_path.write_text(f"{self.options.stored:08x}\n")

    # -- a person's hands --------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Plug the supply in."""
        self.port.lose_link()
        self.soc.power_on()

    def power_off(self) -> None:
        """Pull the supply, whatever is going on: a running erase or program stays half done."""
        self.soc.power_off()
        self.port.lose_link()

    def power_off_after(self, microseconds: int) -> None:
        """Pull the supply when that much virtual time has passed, whatever is going on then."""
        self.soc.power_cut_at = self.soc.time.now + microseconds * PS_PER_US

    def press_reset(self) -> None:
        """Push the black button for a millisecond."""
        self.soc.hold_reset(True)
        self.soc.pass_time(PS_PER_MS)
        self.soc.hold_reset(False)

    def run_ms(self, milliseconds: float) -> None:
        """Wait: the device goes on for that much virtual time."""
        self.soc.pass_time(int(milliseconds * PS_PER_MS))

    def close(self) -> None:
        """The board goes back into the drawer: what its file holds is on disk."""
        self.array.flush()

    # -- eyes --------------------------------------------------------------------------------------------------

    def uart_output(self, *, baud: int | None = None) -> bytes:
        """What USART3 has sent since power-on or :meth:`clear_uart`.

        With *baud*, as a receiver at that rate has it: characters more than 3 % off arrive as 0xFF noise.
        """
        characters = self.soc.usart3.sent
        if baud is None:
            return bytes(character.data & 0xFF for character in characters)
        return bytes(
            character.data & 0xFF if abs(character.baud - baud) * 100 <= 3 * baud else 0xFF for character in characters
        )

    def clear_uart(self) -> None:
        """Forget what USART3 has sent so far."""
        self.soc.usart3.sent.clear()

    def led(self, name: str) -> bool:
        """Whether LD1, LD2 or LD3 is lit."""
        return self.soc.powered and bool(self.soc.gpio.output(*LED_PINS[name]))

    # -- the back door -----------------------------------------------------------------------------------------

    @property
    def flash(self) -> bytes:
        """All of main flash as the cells have it."""
        return self.array.main[:]

    def flash_sha256(self, start: int = 0, length: int = FLASH_SIZE) -> str:
        """SHA-256 of a range of main flash (offset from its start), lower-case hex."""
        return hashlib.sha256(self.array.main[start : start + length]).hexdigest()

    @property
    def virtual_seconds(self) -> float:
        """Virtual time since the board was made."""
        return self.soc.time.now / 1e12

"""Serial wire output: the target's trace on the receive line of a serial port.

- The device is the pin set's `swo`; SWO is plain asynchronous serial (ITM in NRZ mode), 8 data bits, no parity.
- Only the rates that the kernel names are taken: who asks for another gets `SwoRateUnknown`, not a wrong one.
- Reading never waits: what has not arrived yet comes with the next read.
"""

from __future__ import annotations

import os
import termios
import tty

from appliance.swd.errors import PinsLost, PinsUnavailable, SwoRateUnknown

_READ_BYTES = 65_536
_RATES = {
    int(name[1:]): getattr(termios, name)
    for name in dir(termios)
    if name.startswith("B") and name[1:].isdigit() and int(name[1:]) >= 9600
}


class SwoReader:
    """An open trace. Raises `PinsUnavailable`, `SwoRateUnknown`."""

    def __init__(self, device: str, baud: int) -> None:
        if baud not in _RATES:
            raise SwoRateUnknown(baud=baud, known=", ".join(map(str, sorted(_RATES))))
        try:
            self._fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PinsUnavailable(path=device, why=str(error)) from error
        try:
            tty.setraw(self._fd, termios.TCSANOW)
            attributes = termios.tcgetattr(self._fd)
            attributes[4] = attributes[5] = _RATES[baud]
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            os.close(self._fd)
            raise PinsUnavailable(path=device, why=f"it is no serial device ({error})") from error

    def read(self) -> bytes:
        """What has arrived since the last read. Raises `PinsLost`."""
        try:
            return os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PinsLost(why=f"SWO: {error}") from error

    def close(self) -> None:
        """Ends the trace."""
        os.close(self._fd)

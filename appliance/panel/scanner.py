"""The scanner: lines of text from a FIFO or a serial device.

- A line ends with CR, LF or both; empty lines mean nothing. At most `MAX_LINE` bytes are kept of one line: a longer
  one is reported as one unreadable scan, however long it is.
- A device that is not there (yet, or any more) is tried again; that is no fault of the station.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

MAX_LINE = 512
_RETRY_S = 1.0
_POLL_S = 0.5


class Lines:
    """Bytes in, lines out. Pure but for its bounded memory of the line that is not complete yet."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes. Undecodable bytes become U+FFFD, which no code holds."""
        lines = []
        for byte in data:
            if byte in b"\r\n":
                if self._partial:
                    lines.append(self._partial.decode("utf-8", "replace"))
                    self._partial.clear()
            elif len(self._partial) < MAX_LINE:
                self._partial.append(byte)
        return lines


def read(path: Path, on_line: Callable[[str], None], stopping: threading.Event) -> None:
    """Report each line until told to stop."""
    while not stopping.is_set():
        try:
            # Both directions: a FIFO then stays open between two writers, and opening it does not wait for one.
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            stopping.wait(_RETRY_S)
            continue
        try:
            _read(descriptor, on_line, stopping)
        except OSError:
            stopping.wait(_RETRY_S)  # unplugged
        finally:
            os.close(descriptor)


def _read(descriptor: int, on_line: Callable[[str], None], stopping: threading.Event) -> None:
    lines = Lines()
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while not stopping.is_set():
        if not poller.poll(_POLL_S * 1000):
            continue
        data = os.read(descriptor, 4096)
        if not data:
            raise OSError("the scanner is gone")
        for line in lines.feed(data):
            on_line(line)

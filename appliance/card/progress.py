"""How far a long job is, for a person: a line that is rewritten on a terminal, and plain lines elsewhere.

- Says bytes, speed and the time that is left; speed and rest are those of the step since its beginning.
- Elsewhere than on a terminal: one line at the beginning, one every `EVERY_S` seconds, one at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

EVERY_S = 10.0
_BLINK_S = 0.2


def line(step: str, done: int, total: int, seconds: float) -> str:
    """`writing  512 of 1378 MB  38.1 MB/s  23 s left`."""
    text = f"{step}  {done / 1e6:.0f} of {total / 1e6:.0f} MB"
    if seconds <= 0 or not done:
        return text
    text += f"  {done / seconds / 1e6:.1f} MB/s"
    return f"{text}  {(total - done) * seconds / done:.0f} s left" if done < total else f"{text}  {seconds:.0f} s"


class Progress:
    """One person's view of one job of several steps."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._terminal = stream.isatty()
        self._step, self._total, self._started, self._told = "", 0, 0.0, 0.0

    def begin(self, step: str, total: int) -> None:
        """A step of `total` bytes begins."""
        self._step, self._total = step, total
        self._started = self._told = self._clock()
        self._tell(0)

    def reach(self, done: int) -> None:
        """So many bytes of the step are done; at the total, the step is."""
        now = self._clock()
        if done >= self._total or now - self._told >= (_BLINK_S if self._terminal else EVERY_S):
            self._told = now
            self._tell(done)

    def _tell(self, done: int) -> None:
        text = line(self._step, done, self._total, self._clock() - self._started)
        if not self._terminal:
            self._stream.write(f"{text}\n")
        else:
            self._stream.write(f"\r\x1b[K{text}" + ("\n" if done >= self._total else ""))
        self._stream.flush()

"""Virtual time: one integer of picoseconds that everything on a board agrees on.

* Nothing here reads the host's clock: the same accesses give the same times in every run.
* While the core executes, "now" is the start of its slice plus the cycles it has used (``cycles.py``);
  otherwise it is what the wire (SWCLK cycles) and the bench (waiting) have added.
* Time never goes backwards.
"""

from __future__ import annotations

from hil.virtual_nucleo.cycles import CycleMeter

PS_PER_S = 10**12
PS_PER_MS = 10**9
PS_PER_US = 10**6


class Timebase:
    """The board's clock. ``now`` is picoseconds since the board object was made, powered or not."""

    def __init__(self) -> None:
        self._base = 0
        self._meter: CycleMeter | None = None
        self._hz = 1

    @property
    def now(self) -> int:
        """This moment in picoseconds."""
        meter = self._meter
        if meter is None:
            return self._base
        cycles: int = meter.fields.cycles
        return self._base + cycles * PS_PER_S // self._hz

    def advance(self, ps: int) -> None:
        """Let *ps* picoseconds pass."""
        if self._meter is None:
            self._base += ps
        else:
            self._meter.add(-(-ps * self._hz // PS_PER_S))

    def at_least(self, when_ps: int) -> None:
        """Let time pass up to *when_ps*, if it has not already."""
        ahead = when_ps - self.now
        if ahead > 0:
            self.advance(ahead)

    def spin(self, when_ps: int) -> None:
        """A polling core would burn cycles until *when_ps*: burn them at once, but not past its slice.

        Without a running core this does nothing: a debugger's poll takes only its own time on the wire.
        """
        meter = self._meter
        if meter is None:
            return
        fields = meter.fields
        cycles: int = fields.cycles
        until = -(-(when_ps - self._base) * self._hz // PS_PER_S)
        fields.cycles = max(cycles, min(until, fields.limit))

    def enter_core(self, meter: CycleMeter, hz: int) -> None:
        """The core begins a slice at *hz*; its meter drives time until :meth:`leave_core`."""
        self._meter = meter
        self._hz = hz

    def leave_core(self) -> None:
        """The slice is over: what it used is history."""
        base = self.now
        self._meter = None
        self._base = base

    @property
    def in_core(self) -> bool:
        """Whether the core is executing, so that accesses are its own."""
        return self._meter is not None


def ps_to_cycles(ps: int, hz: int) -> int:
    """Cycles of *hz* that cover *ps*, rounded up."""
    return -(-ps * hz // PS_PER_S)

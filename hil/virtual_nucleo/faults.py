"""The named errors of the virtual bench.

Two of them are hardware events that modules hand to each other (a bus error is how an AHB slave answers),
the others tell a person what they did to the bench that it cannot do.
"""


class BenchError(Exception):
    """Base of everything this package raises; ``code`` is stable."""

    code = "PL-BRD-000"


class BusFault(BenchError):
    """An AHB error response at ``address`` (ARMv7-M B3.2.15 BFSR, ADIv5.2 C2.2.7 sticky error)."""

    code = "PL-BRD-001"

    def __init__(self, address: int, *, done: int = 0) -> None:
        super().__init__(f"bus error at 0x{address:08x}")
        self.address = address
        self.done = done
        """Bytes of a block access that completed before the error."""


class DoorError(BenchError):
    """A malformed or impossible message at one of the bench's doors."""

    code = "PL-BRD-002"


class NoSuchBoard(BenchError):
    """The bench has no board of that UID or name."""

    code = "PL-BRD-003"


class SlotError(BenchError):
    """The fixture is empty, or already holds a board."""

    code = "PL-BRD-004"

"""Runs `proofline` where every reach for a network, a process or a foreign library ends the interpreter with code 86.

    python -m tests.quality.without_reach verify ...

- Python's own audit events tell (PEP 578), so it does not matter which package reaches, or through which import.
- Loading of extension modules stays allowed: cryptography is one.
"""

from __future__ import annotations

import os
import sys

REACHED = 86
_EVENTS = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "pty.",
    "ctypes.dlopen",
)


def forbid_reach() -> None:
    """From here on, any of the events ends the process; there is no way back."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_EVENTS):
            os.write(2, f"reached out: {event} {arguments!r}\n".encode())
            os._exit(REACHED)

    sys.addaudithook(hook)


if __name__ == "__main__":
    forbid_reach()
    from appliance.cli import main

    sys.exit(main())

"""A recorder's socket that only listens: `python -m tests.intake.listener FILE` writes each refusal's code to a file.

It is the counterpart in intake's tests; the recorder itself is tested in its own room.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.ipc import Caller, serve
from appliance.ipc.client import interface_of


class Listener:
    """Answers JournalRefusal and nothing else."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._count = 0

    def journal_refusal(self, caller: Caller, kind: str, refusal: dict[str, Any], **_: object) -> dict[str, Any]:
        self._count += 1
        with self._file.open("a") as file:
            file.write(f"{caller.role} {kind} {refusal['code']}\n")
        return {"n": self._count}

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_, **__: {}


if __name__ == "__main__":
    methods = interface_of("recorder").methods
    access = {verb: frozenset({"intake"} if verb == "JournalRefusal" else ()) for verb in methods}
    serve("recorder", Listener(Path(sys.argv[1])), access)

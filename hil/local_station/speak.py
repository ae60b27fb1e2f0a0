"""Speak to the services under another user's uid: what a service, or whoever took it over, could say.

    with Voice(station.supervisor, "line") as line:
        line.call("signer", "SignManifest", press=..., observations=...)

The voice is a process of its own; the kernel vouches for its uid as it does for any service's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.errors import ProoflineError, from_record
from appliance.ipc import Client
from hil.local_station.place import CHECKOUT
from hil.local_station.supervisor import Supervisor, separate_users, uid_of


class Voice:
    """A caller with the uid of a role, or with any other uid. Needs root: RuntimeError otherwise."""

    def __init__(self, supervisor: Supervisor, role: str, *, uid: int | None = None) -> None:
        if not separate_users():
            raise RuntimeError("speaking under another uid needs root")
        identity = uid_of(role) if uid is None else uid
        become = ["setpriv", f"--reuid={identity}", f"--regid={identity}", "--clear-groups", "--no-new-privs", "--"]
        self._process = subprocess.Popen(
            [*become, sys.executable, "-m", "hil.local_station.speak", os.fspath(supervisor.run)],
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.fspath(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, service: str, verb: str, **parameters: object) -> dict[str, Any]:
        """Call a verb; its reply, or the refusal raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([service, verb, parameters]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "refusal" in answer:
            raise from_record(answer["refusal"])
        reply: dict[str, Any] = answer["reply"]
        return reply

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def main(run: Path) -> None:
    clients: dict[str, Client] = {}
    for line in sys.stdin:
        service, verb, parameters = json.loads(line)
        client = clients.setdefault(service, Client(service, run / f"{service}.sock"))
        try:
            answer: dict[str, Any] = {"reply": client.call(verb, **parameters)}
        except ProoflineError as refusal:
            answer = {"refusal": refusal.as_record()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

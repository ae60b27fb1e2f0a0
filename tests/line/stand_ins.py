"""Stand-ins behind real sockets, for tests that run the real panel or the real line as a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appliance.ipc import Client
from appliance.ipc.client import interface_of
from appliance.ipc.service import Service
from tests.release.forge import Forge, write

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = ("clock", "signer", "recorder", "line", "panel", "intake", "ops")


class ClockStandIn:
    """A clock that is sure of one moment."""

    def read(self, caller: object) -> dict[str, Any]:
        del caller
        moment = "2026-11-22T12:00:00.000000Z"
        return {
            "verdict": {
                "status": "Synchronized",
                "earliest": moment,
                "latest": moment,
                "width_us": 0,
                "sources": ["stand-in"],
            }
        }


class Station:
    """The surroundings of one service under test: site, staged generation, sockets; and what else is started."""

    def __init__(self, folder: Path, documents: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        for name in ("run", "site", "staged", "log", "state"):
            (folder / name).mkdir()
        files = (Forge() if documents is None else Forge(documents=dict(documents))).files()
        write(files, folder / "staged" / "gen-1")
        (folder / "staged" / "current").symlink_to("gen-1")
        (folder / "site" / "root.json").write_bytes(files["metadata/1.root.json"])
        about = {"schema": 1, "station": "bench-01", "site": "demo"}
        (folder / "site" / "station.json").write_text(json.dumps(about))
        self.peers = dict.fromkeys(ROLES, os.getuid())
        (folder / "peers.json").write_text(json.dumps(self.peers))
        self.environ = {
            "PROOFLINE_RUN": str(folder / "run"),
            "PROOFLINE_SITE": str(folder / "site"),
            "PROOFLINE_STAGED": str(folder / "staged"),
            "PROOFLINE_LOG": str(folder / "log"),
            "STATE_DIRECTORY": str(folder / "state"),
            "PROOFLINE_PEERS": str(folder / "peers.json"),
        }
        self._processes: list[subprocess.Popen[bytes]] = []
        self._listeners: list[socket.socket] = []

    def serve(self, role: str, implementation: object) -> None:
        """Answer for a role, from threads of this process."""
        methods = interface_of(role).methods
        service = Service(interface_of(role), implementation, dict.fromkeys(methods, frozenset(ROLES)), self.peers)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = self.folder / "run" / f"{role}.sock"
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen(16)
        self._listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=service.converse, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def start(self, module: str, **environ: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, **self.environ, **environ},
            cwd=CHECKOUT,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def client(self, role: str) -> Client:
        return Client(role, self.folder / "run" / f"{role}.sock", timeout_s=20)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def until(found: Callable[[], Any], what: str, *, patience_s: float = 30) -> Any:
    """What `found` gives as soon as it gives something; fails when nothing comes for long."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError(f"nothing came: {what}")

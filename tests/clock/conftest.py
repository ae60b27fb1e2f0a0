"""A real chronyd that touches no clock, a time server that can be told to lie, and the clock service beside them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ProoflineError
from appliance.ipc import Client
from hil.local_station import ntp_server

ROLES = ("clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "ops")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(question: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """The first true answer; the last one, whatever it is, when time is up."""
    deadline = time.monotonic() + within_s
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


@dataclass
class Bench:
    """One time server, one chronyd, one clock service, all in a scratch folder."""

    folder: Path
    ntp_port: int
    command_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def control(self) -> Path:
        return self.folder / "ntp.ctl"

    def tell(self, **wanted: int | bool) -> None:
        ntp_server.tell(self.control, **wanted)

    def start_server(self) -> None:
        where = ["--port", str(self.ntp_port), "--control", os.fspath(self.control)]
        self._start("server", [sys.executable, "-m", "hil.local_station.ntp_server", *where])
        assert eventually(self.control.exists)

    def start_chronyd_server(self) -> None:
        """An honest server that is a chronyd, too."""
        config = self.folder / "server.conf"
        config.write_text(
            f"port {self.ntp_port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 8\ncmdport 0\n"
            f"bindcmdaddress /\npidfile {self.folder}/server.pid\nuser root\n"
        )
        self._start("server", ["chronyd", "-x", "-d", "-f", os.fspath(config)])

    def start_chronyd(self) -> None:
        config = self.folder / "chronyd.conf"
        config.write_text(
            f"server 127.0.0.1 port {self.ntp_port} iburst minpoll -2 maxpoll 0\nport 0\n"
            f"cmdport {self.command_port}\nbindcmdaddress 127.0.0.1\npidfile {self.folder}/chronyd.pid\nuser root\n"
        )
        self._start("chronyd", ["chronyd", "-x", "-d", "-f", os.fspath(config)])

    def start_clock(self, *, sample: bool = True, **more: Any) -> None:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        peers = self.folder / "peers.json"
        peers.write_text(json.dumps(dict.fromkeys(ROLES, os.getuid())))
        asked = {"host": "127.0.0.1", "port": self.ntp_port, "max_age_s": 8} if sample else None
        config = {"schema": 1, "chronyc": ["-h", "127.0.0.1", "-p", str(self.command_port)], "sample": asked, **more}
        (self.folder / "clock-config.json").write_text(json.dumps(config))
        self._start(
            "clock",
            [sys.executable, "-m", "appliance.clock"],
            PROOFLINE_CLOCK_CONFIG=f"{self.folder}/clock-config.json",
            PROOFLINE_PEERS=os.fspath(peers),
            STATE_DIRECTORY=os.fspath(state),
            PROOFLINE_RUN=os.fspath(self.folder),
            PROOFLINE_SITE=os.fspath(self.folder),
            PROOFLINE_STAGED=os.fspath(self.folder),
            PROOFLINE_LOG=os.fspath(self.folder),
        )

    def _start(self, name: str, command: list[str], **environment: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        process.wait(10)

    def read(self) -> dict[str, Any]:
        with Client("clock", self.folder / "clock.sock") as client:
            verdict: dict[str, Any] = client.call("Read")["verdict"]
            return verdict

    def code(self) -> str:
        """The refusal's code now; "" for a verdict without one; "down" while the service is not there."""
        try:
            refusal = self.read().get("refusal")
        except ProoflineError:
            return "down"
        return refusal["code"] if refusal else ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, free_port(), free_port())
    yield bench
    for name in list(bench.processes):
        bench.stop(name)

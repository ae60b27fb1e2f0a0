"""The foreign parts of a bench: a time server that can lie, a real chronyd, the fixture with its boards.

- Each is a process of its own, started below the station's directory, and ended with it.
- chronyd runs with `-x`: it measures, and never touches this machine's clock.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hil.local_station import ntp_server
from hil.local_station.place import CHECKOUT, PROGRAMS

_SAMPLE_MAX_AGE_S = 8


class Daemon:
    """One process that lasts until it is closed. What it prints goes to `<directory>/<name>.txt`."""

    def __init__(self, directory: Path, name: str, command: Sequence[str], **environment: str) -> None:
        self.name = name
        self._output = (directory / f"{name}.txt").open("ab")
        self.process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, "PATH": PROGRAMS, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait_for(self, there: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
        """Wait until something is there; RuntimeError with what the process printed if it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not there():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {Path(self._output.name).read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Lines:
    """A door that takes one JSON object a line and answers with one; a refusal there is a RuntimeError here."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, **wish: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(60)
            door.connect(os.fspath(self._path))
            door.sendall(json.dumps(wish).encode() + b"\n")
            with door.makefile("rb") as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
        if not answer.get("ok"):
            raise RuntimeError(f"{wish}: {answer}")
        return answer


class Time:
    """An NTP server on loopback, and the chronyd that listens to it. `config` is what the clock service reads."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        self._control = directory / "ntp.ctl"
        served, commanded = free_udp_port(), free_udp_port()
        self._server = Daemon(
            directory,
            "ntp_server",
            [
                sys.executable,
                "-m",
                "hil.local_station.ntp_server",
                "--port",
                f"{served}",
                "--control",
                f"{self._control}",
            ],
        )
        self._server.wait_for(lambda: listens(self._control))
        configuration = directory / "chronyd.conf"
        configuration.write_text(
            f"server 127.0.0.1 port {served} iburst minpoll -2 maxpoll 0\n"
            f"port 0\ncmdport {commanded}\nbindcmdaddress 127.0.0.1\n"
            f"pidfile {directory / 'chronyd.pid'}\nuser {_user_name()}\n"
        )
        self._chronyd = Daemon(directory, "chronyd", ["chronyd", "-x", "-d", "-f", os.fspath(configuration)])
        self.config = directory / "clock.json"
        chronyc = ["-h", "127.0.0.1", "-p", str(commanded)]
        sample = {"host": "127.0.0.1", "port": served, "max_age_s": _SAMPLE_MAX_AGE_S}
        self.config.write_text(json.dumps({"schema": 1, "chronyc": chronyc, "sample": sample}))
        self.config.chmod(0o644)

    def lie(self, *, offset_ms: int) -> None:
        """Serve a time that is wrong by so much; 0 is honest again."""
        ntp_server.tell(self._control, offset_ms=offset_ms)

    def close(self) -> None:
        self._chronyd.close()
        self._server.close()


def listens(door: Path) -> bool:
    """Whether somebody answers at a socket: its file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        try:
            caller.connect(os.fspath(door))
        except OSError:
            return False
    return True


def free_udp_port() -> int:
    """A UDP port on loopback that nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name

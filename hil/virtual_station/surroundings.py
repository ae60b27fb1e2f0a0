"""What stands around an emulated station: its own network, time servers, web servers, and a TPM.

- Each station has a network of its own (a network namespace): the guest's 10.0.2.2 is a loopback that only its
  surroundings share, so two stations do not meet, port 123 is free, and no guest reaches this machine's network.
- Programs of the tools tree (QEMU, swtpm) and of this checkout (servers) run in it, and end with the station, or with
  the process that started them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hil.local_station import ntp_server
from hil.local_station.daemons import listens
from hil.virtual_station.machine import TPM_DOOR
from hil.virtual_station.places import CHECKOUT, SCRATCH, TREE, inside

NTP_PORT = 123
_PATIENCE_S = 30.0
_LEASH = ("setpriv", "--pdeathsig", "KILL", "--")


class Network:
    """A network of its own, for as long as this is open. What its programs print goes to `<folder>/<name>.txt`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder = subprocess.Popen(
            [*_LEASH, "unshare", "--net", "--", sys.executable, "-m", "hil.virtual_station.own_network"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._running: list[subprocess.Popen[bytes]] = []
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            self._holder.wait()
            raise RuntimeError("no network of its own: this needs root and unshare")

    def start(self, name: str, command: Sequence[str | os.PathLike[str]]) -> subprocess.Popen[bytes]:
        """Start a program in it, at the head of its own process group."""
        where = f"--net=/proc/{self._holder.pid}/ns/net"
        with (self.folder / f"{name}.txt").open("ab") as output:
            process = subprocess.Popen(
                [*_LEASH, "nsenter", where, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def start_in_tree(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program of the tools tree in it."""
        return self.start(name, [CHECKOUT / "image/builder/in_tree", TREE, CHECKOUT, SCRATCH, *command])

    def close(self) -> None:
        for process in (*self._running, self._holder):
            kill(process)
        if self._holder.stdout is not None:
            self._holder.stdout.close()


class TimeServer:
    """An NTP server at 10.0.2.2, honest until it is told otherwise."""

    def __init__(self, network: Network, name: str = "ntp") -> None:
        self._door = network.folder / f"{name}.ctl"
        self._process = network.start(
            name,
            [sys.executable, "-m", "hil.local_station.ntp_server", "--port", str(NTP_PORT), "--control", self._door],
        )
        _wait(lambda: listens(self._door), network.folder / f"{name}.txt", self._process)

    def tell(self, **wanted: int | bool) -> None:  # one value type a setting
        """Lie (offset_ms=), be unsure (root_dispersion_ms=, leap=), or fall silent (silent=True)."""
        ntp_server.tell(self._door, **wanted)

    def close(self) -> None:
        kill(self._process)


class WebServer:
    """A plain web server for one folder, at http://10.0.2.2/."""

    def __init__(self, network: Network, folder: Path, *, port: int = 80) -> None:
        command = [sys.executable, "-u", "-m", "http.server", str(port)]
        self._process = network.start("web", [*command, "--bind", "127.0.0.1", "--directory", folder])
        log = network.folder / "web.txt"
        _wait(lambda: "Serving HTTP" in log.read_text("utf-8", "replace"), log, self._process)

    def close(self) -> None:
        kill(self._process)


class Tpm:
    """A TPM 2.0 (swtpm) whose state lies in a folder of the scratch folder, over boots and over stations. How it comes
    into the guest: hil/virtual_station/tpm.py."""

    def __init__(self, network: Network, state: Path) -> None:
        state.mkdir(exist_ok=True)
        door = network.folder / TPM_DOOR
        door.unlink(missing_ok=True)
        self._process = network.start_in_tree(
            "swtpm",
            [
                *("swtpm", "socket", "--tpm2", "--terminate", "--flags", "not-need-init,startup-clear"),
                *("--tpmstate", f"dir={inside(state)},mode=0600", "--server", f"type=unixio,path={inside(door)}"),
            ],
        )
        _wait(door.exists, network.folder / "swtpm.txt", self._process)

    def close(self) -> None:
        kill(self._process)


def _wait(there: Callable[[], bool], log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not there():
        if process.poll() is not None or time.monotonic() > deadline:
            kill(process)
            raise RuntimeError(f"{log.stem} did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, now."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself
    process.wait()

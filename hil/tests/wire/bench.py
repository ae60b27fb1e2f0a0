"""A bench process with its wire doors open, and the programs that are let loose on it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.tests.board.tools import UID

PYOCD = Path(sys.executable).with_name("pyocd")
NO_OPENOCD = (
    "OpenOCD with remote_bitbang is not installed: the package openocd-esp32 (requirements/dev.txt) has wheels for "
    "x86_64 and aarch64 Linux only, and the wire is not proven without it."
)


@dataclass(frozen=True)
class WireBench:
    """A running bench, and where it is."""

    process: subprocess.Popen[str]
    folder: Path

    @property
    def wire_door(self) -> str:
        return os.fspath(self.folder / "wire")

    @property
    def bitbang_door(self) -> str:
        return os.fspath(self.folder / "bitbang")

    def do(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """One line at the control door."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(os.fspath(self.folder / "control"))
            connection.sendall(json.dumps({"do": verb, **arguments}).encode() + b"\n")
            reply = json.loads(connection.makefile("rb").readline())
        assert isinstance(reply, dict)
        return reply

    def openocd(self, *commands: str) -> str:
        """What a fresh OpenOCD says; it must succeed."""
        done = self.run_openocd(*commands)
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    def run_openocd(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """OpenOCD with its own configuration for the part, then *commands*."""
        command = self.openocd_command(*commands, "shutdown")
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)

    def openocd_command(self, *commands: str) -> list[str]:
        """The command line of an OpenOCD on this bench."""
        program, scripts = find_openocd()
        lines = [
            "adapter driver remote_bitbang",
            f"remote_bitbang host {self.bitbang_door}",
            "remote_bitbang port 0",
            "transport select swd",
            "source [find target/stm32f4x.cfg]",
            "stm32f4x.cpu configure -event reset-start {}",  # it sets a speed that remote_bitbang does not have
            "gdb port disabled",
            "tcl port disabled",
            "telnet port disabled",
            *commands,
        ]
        command = [os.fspath(program), "-s", os.fspath(scripts)]
        for line in lines:
            command += ["-c", line]
        return command

    def pyocd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A fresh pyOCD process that knows this bench as the pin set ``bench``, until it ends."""
        with self.start_pyocd(*arguments) as process:
            try:
                out, err = process.communicate(timeout=120)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start_pyocd(self, *arguments: str) -> subprocess.Popen[str]:
        """The same, still running. ``list`` takes no options of a connection."""
        settings = self.folder / "gpioswd.json"
        pin_set = {"name": "bench", "backend": {"kind": "socket", "path": self.wire_door}}
        settings.write_text(json.dumps({"schema": 1, "pin_sets": [pin_set]}))
        environment = {**os.environ, "PROOFLINE_GPIOSWD": os.fspath(settings)}
        common = ["-t", "stm32f412xg", "-u", "gpioswd:bench", "-f", "4m", "-O", "auto_unlock=false"]
        verb, *rest = arguments
        return subprocess.Popen(
            [PYOCD, verb, *(common if verb != "list" else ()), *rest],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def find_openocd() -> tuple[Path, Path]:
    """The program and its scripts. It is not a matter of taste whether it is there: without it, the test fails."""
    try:
        from openocd_esp32 import get_openocd_path, get_scripts_path
    except ImportError as error:
        raise AssertionError(NO_OPENOCD) from error
    return get_openocd_path(), get_scripts_path()


@contextmanager
def running(folder: Path, *, bitbang: str | None = None) -> Iterator[WireBench]:
    """A bench with one board in its fixture."""
    command: list[str] = [sys.executable, "-m", "hil.virtual_nucleo.server", "--insert", UID.hex(), "--mode", "0660"]
    for option in ("socket", "control", "wire", "drawer"):
        command += [f"--{option}", os.fspath(folder / option)]
    command += ["--bitbang", bitbang or os.fspath(folder / "bitbang")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "bench ready\n"
        yield WireBench(process, folder)
        process.terminate()

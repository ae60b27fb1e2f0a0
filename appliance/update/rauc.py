"""RAUC, asked over D-Bus by `busctl`: is this bundle signed by the keyring; install it.

- RAUC runs as root and is activated by the bus; only the updater's user may call it (the bus's policy).
- An installation has succeeded when the very process that began it has ended it without an error *and* says that the
  other slot is the one that starts next. A RAUC that died, or was started anew, has not succeeded.
- Its error texts are passed on, and never read for meaning.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from appliance.update.update_errors import BundleSignerRefused, InstallerSilent, InstallFailed

_NAME: Final = "de.pengutronix.rauc"
_INTERFACE: Final = "de.pengutronix.rauc.Installer"
_BUS: Final = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_PATIENCE_S: Final = 180
_POLL_S: Final = 2.0


class _Refused(Exception):
    """What the other side of the bus said."""


class Rauc:
    """RAUC's service. `bus`: how busctl finds the bus."""

    def __init__(self, bus: Sequence[str] = ("--system",), *, patience_s: float = 600.0) -> None:
        """`patience_s`: how long RAUC may take to start; the bus itself gives up waiting earlier."""
        self._bus = tuple(bus)
        self._patience_s = patience_s

    def check(self, bundle: Path, version: str, keyring: Path) -> None:
        """Have the signature checked against the keyring that RAUC is set up with. BundleSignerRefused: the caller has
        made sure that the bundle is the promoted one and in order, so what is left is who signed it."""
        self._reach()
        try:
            self._call(_NAME, "/", _INTERFACE, "InspectBundle", "sa{sv}", str(bundle), "0")
        except _Refused as error:
            self._operation(_NAME)
            raise BundleSignerRefused(version=version, keyring=keyring.name, why=str(error)) from None

    def install(self, bundle: Path, version: str, slot: str, say: Callable[[int], None]) -> None:
        """Install a bundle; the slot that starts next must be `slot`, as RAUC names it. `say` is told the percentage.
        InstallFailed, InstallerSilent."""
        self._reach()
        try:
            owner = str(self._call(*_BUS, "GetNameOwner", "s", _NAME)[0])
            self._call(owner, "/", _INTERFACE, "InstallBundle", "sa{sv}", str(bundle), "0")
            while True:
                operation, problem, percent = self._operation(owner)
                say(percent)
                if operation == "idle":
                    break
                time.sleep(_POLL_S)
            if problem:
                raise InstallFailed(version=version, why=problem)
            primary = str(self._call(owner, "/", _INTERFACE, "GetPrimary")[0])
        except _Refused as error:
            raise InstallFailed(version=version, why=str(error)) from None
        if primary != slot:
            raise InstallFailed(version=version, why=f"it ended well, and {primary} is next instead of {slot}")

    def _reach(self) -> None:
        """Have RAUC started, and wait until it answers. InstallerSilent."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                self._operation(_NAME)
            except InstallerSilent:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _operation(self, name: str) -> tuple[str, str, int]:
        """What RAUC does, its last problem, and how far it is. InstallerSilent."""
        try:
            told = self._ask("get-property", name, "/", _INTERFACE, "Operation", "LastError", "Progress")
            operation, problem, progress = (json.loads(line)["data"] for line in told.splitlines())
            return str(operation), str(problem), int(progress[0])
        except (_Refused, ValueError, KeyError, TypeError, IndexError) as error:
            raise InstallerSilent(why=str(error)) from None

    def _call(self, *words: str) -> list[Any]:
        told = self._ask("call", *words).strip()
        try:
            answer = json.loads(told) if told else {"data": []}
            found: list[Any] = answer["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise InstallerSilent(why=f"an answer that is none: {error}") from None
        return found

    def _ask(self, *words: str) -> str:
        command = ["busctl", "--json=short", f"--timeout={_PATIENCE_S}", *self._bus, *words]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S + 30, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallerSilent(why=str(error)) from None
        if done.returncode:
            raise _Refused(done.stderr.decode("utf-8", "replace").strip().removeprefix("Call failed: "))
        return done.stdout.decode("utf-8", "replace")

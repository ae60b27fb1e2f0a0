"""systemd's part of the station on a machine without the image: starts, watches and restarts the services.

- Keeps systemd's conventions, so that services cannot tell: LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG_USEC,
  STATE_DIRECTORY, own uid, no new privileges, no capabilities.
- The listening sockets belong to the supervisor: a service that dies and comes back loses no caller in the queue.
  Stopping a service closes its door as well: callers learn at once that nobody is there.
- A service that ends on its own account, or whose watchdog falls silent, is started again.
- Started as root, every service has a uid of its own; otherwise all share the caller's, and nothing that rests on
  peers can be shown (`separate_users` says which).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.local_station.place import PROGRAMS

ROLES = ("clock", "signer", "recorder", "line", "panel", "intake", "export", "usbgate", "health", "update")
_FIRST_UID = 64200
_WATCHDOG_US = 20_000_000
_RESTART_DELAY_S = 0.2
_BACKLOG = 64


class ServiceDidNotStart(Exception):
    """A service ended, or stayed silent, instead of saying READY=1."""


@dataclass(frozen=True)
class Unit:
    """One service. environment comes on top of what all services get."""

    role: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    listens: bool = True


def uid_of(role: str) -> int:
    """The uid of a role: its own where we are root, ours otherwise. `ops` is who runs the supervisor."""
    if os.geteuid() != 0 or role == "ops":
        return os.geteuid()
    return _FIRST_UID + ROLES.index(role)


def separate_users() -> bool:
    return os.geteuid() == 0


class Supervisor:
    """Runs units below one directory: `run/` (sockets), `state/<role>/`, `journal/<role>.txt` (what they print)."""

    def __init__(self, directory: Path, common: Mapping[str, str]) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.common = dict(common)
        self.peers = directory / "peers.json"
        self._services: dict[str, _Service] = {}
        for path in (directory, self.run, directory / "state", directory / "journal", directory / "notify"):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        self.peers.write_text(json.dumps({role: uid_of(role) for role in (*ROLES, "ops")}))
        self.peers.chmod(0o644)

    def start(self, unit: Unit, *, timeout_s: float = 30.0) -> None:
        """Start a unit and wait until it says that it is ready."""
        service = self._services.get(unit.role)
        if service is None:
            service = self._services[unit.role] = _Service(self, unit)
        service.unit = unit
        service.start(timeout_s)

    def stop(self, role: str) -> None:
        """SIGTERM, and SIGKILL where that does not help; the door is closed until the unit is started again."""
        self._services[role].stop()

    def kill(self, role: str) -> None:
        """SIGKILL, as a crash would; the service is restarted as after a crash."""
        self._services[role].kill()

    def pid(self, role: str) -> int:
        return self._services[role].pid

    def restarts(self, role: str) -> int:
        """How often a unit was started again after it ended by itself."""
        return self._services[role].restarts

    def wait_restarted(self, role: str, restarts: int, *, timeout_s: float = 30.0) -> None:
        """Wait until a unit was started more than `restarts` times again and is ready."""
        self._services[role].wait_ready(restarts, timeout_s)

    def journal(self, role: str) -> str:
        """What a unit has printed."""
        return (self.directory / "journal" / f"{role}.txt").read_text("utf-8", "replace")

    def state(self, role: str) -> Path:
        return self.directory / "state" / role

    def close(self) -> None:
        for service in reversed(self._services.values()):
            service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Service:
    def __init__(self, supervisor: Supervisor, unit: Unit) -> None:
        self.unit = unit
        self.pid = 0
        self.restarts = 0
        self._supervisor = supervisor
        self._wanted = False
        self._ready = threading.Condition()
        self._is_ready = False
        self._last_watchdog = 0.0
        self._uid = uid_of(unit.role)
        state = supervisor.state(unit.role)
        state.mkdir(exist_ok=True)
        os.chown(state, self._uid, self._uid if separate_users() else -1)
        state.chmod(0o700)
        self._listener: socket.socket | None = None
        self._notify = self._listen_for_notices()
        threading.Thread(target=self._hear_notices, daemon=True).start()

    def start(self, timeout_s: float) -> None:
        if self.pid:
            return
        self._wanted = True
        if self.unit.listens and self._listener is None:
            self._listener = self._listen()
        self._spawn()
        self.wait_ready(-1, timeout_s)

    def wait_ready(self, restarts: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        with self._ready:
            while not (self._is_ready and self.restarts > restarts):
                left = deadline - time.monotonic()
                if left <= 0 or not self._wanted:
                    raise ServiceDidNotStart(f"{self.unit.role}: {self._supervisor.journal(self.unit.role)[-2000:]}")
                self._ready.wait(min(left, 0.2))

    def stop(self) -> None:
        self._wanted = False
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if not self.pid:
            return
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + 5
        while self.pid and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.pid:
            self._signal(signal.SIGKILL)
        while self.pid:
            time.sleep(0.01)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        self.stop()
        self._notify.close()

    def _signal(self, number: int) -> None:
        pid = self.pid
        if not pid:  # ended, not started again yet; to the kernel 0 would mean us and all our children
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return

    def _spawn(self) -> None:
        role = self.unit.role
        environment = {
            "PATH": PROGRAMS,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._supervisor.common,
            "PROOFLINE_RUN": os.fspath(self._supervisor.run),
            "PROOFLINE_PEERS": os.fspath(self._supervisor.peers),
            "STATE_DIRECTORY": os.fspath(self._supervisor.state(role)),
            "NOTIFY_SOCKET": os.fspath(self._supervisor.directory / "notify" / role),
            "WATCHDOG_USEC": str(_WATCHDOG_US),
            **self.unit.environment,
        }
        output = os.open(
            self._supervisor.directory / "journal" / f"{role}.txt",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o644,
        )
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        if self._listener is not None:
            environment["LISTEN_FDS"] = "1"
            actions.append((os.POSIX_SPAWN_DUP2, self._listener.fileno(), 3))
        # $$ is the pid that the service will have: everything after it only execs.
        command = ["/bin/sh", "-c", 'cd / && LISTEN_PID=$$ exec "$@"', "sh"]
        if separate_users():
            command += ["setpriv", f"--reuid={self._uid}", f"--regid={self._uid}", "--clear-groups"]
            command += ["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--"]
        command += self.unit.command
        self._is_ready = False
        try:
            self.pid = os.posix_spawn("/bin/sh", command, environment, file_actions=actions, setsid=True)
        finally:
            os.close(output)
        threading.Thread(target=self._watch, args=(self.pid,), daemon=True).start()

    def _watch(self, pid: int) -> None:
        while True:
            ended, _status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if self._is_ready and time.monotonic() - self._last_watchdog > _WATCHDOG_US / 1e6:
                self._signal(signal.SIGABRT)
            time.sleep(0.02)
        with self._ready:
            self.pid = 0
            self._is_ready = False
        if not self._wanted:
            return
        time.sleep(_RESTART_DELAY_S)
        with self._ready:
            self.restarts += 1
        if self._wanted:
            self._spawn()

    def _listen(self) -> socket.socket:
        path = self._supervisor.run / f"{self.unit.role}.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(os.fspath(path))
        path.chmod(0o666)
        listener.listen(_BACKLOG)
        return listener

    def _listen_for_notices(self) -> socket.socket:
        path = self._supervisor.directory / "notify" / self.unit.role
        path.unlink(missing_ok=True)
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind(os.fspath(path))
        path.chmod(0o666)
        return notices

    def _hear_notices(self) -> None:
        while True:
            try:
                notice = self._notify.recv(4096)
            except OSError:
                return
            if not notice:
                return
            self._last_watchdog = time.monotonic()
            if b"READY=1" in notice:
                with self._ready:
                    self._is_ready = True
                    self._ready.notify_all()


def clean(directory: Path) -> None:
    """Remove a station's directory, whoever owns what is in it."""
    shutil.rmtree(directory, ignore_errors=True)

"""Serving one interface to the other services of the station.

- Who calls is what the kernel says (`SO_PEERCRED`), never what the message says; each verb lists the roles that
  may call it, and a verb without a list does not start.
- Arguments and replies are checked against the interface description.
- A refusal goes back to the caller. Anything else is a defect: it is logged and the process ends with a failure,
  so that the supervisor starts it afresh and recovery looks at what was left.
- systemd's conventions: LISTEN_FDS, READY=1, WATCHDOG=1 (only while `healthy()` says so), SIGTERM ends.
"""

from __future__ import annotations

import json
import logging
import os
import pwd
import re
import signal
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sdnotify

from appliance import __version__
from appliance.errors import ProoflineError
from appliance.ipc.client import interface_of
from appliance.ipc.errors import BadArguments, BadMessage, CallerNotAllowed, MessageTooLarge, UnknownCaller, UnknownVerb
from appliance.ipc.interface import Interface
from appliance.ipc.wire import Stream

log = logging.getLogger("proofline.ipc")

ROLES = ("usbgate", "clock", "signer", "recorder", "line", "panel", "intake", "export", "health", "update")
"""The services, each a user `proofline-<role>` of the image; `ops`, the technician, is root there."""

_LISTEN_FDS_START = 3
_BACKLOG = 64
_MAX_CONNECTIONS = 128
_SERVICE = "org.varlink.service"


@dataclass(frozen=True)
class Caller:
    """Who is on the other end, as the kernel knows them."""

    uid: int
    pid: int
    role: str


class Service:
    """One implementation behind one interface. `serve` runs it as a process; tests may call `handle` directly."""

    def __init__(
        self,
        interface: Interface,
        implementation: object,
        access: Mapping[str, frozenset[str]],
        peers: Mapping[str, int],
    ) -> None:
        if access.keys() != interface.methods.keys():
            odd = sorted(access.keys() ^ interface.methods.keys())
            raise TypeError(f"{interface.name}: access list and interface differ: {', '.join(odd)}")
        self._interface = interface
        self._access = access
        self._peers = peers
        self._handlers = {verb: getattr(implementation, _snake(verb)) for verb in interface.methods}

    def roles_of(self, uid: int) -> frozenset[str]:
        """The roles that run under a uid: one on a station, all of them where nobody is root."""
        return frozenset(role for role, owner in self._peers.items() if owner == uid)

    def handle(self, uid: int, pid: int, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one message. Only refusals are turned into replies; a defect propagates."""
        method = message.get("method")
        parameters = message.get("parameters", {})
        if not isinstance(method, str):
            return _error(f"{_SERVICE}.InvalidParameter", {"parameter": "method"})
        if message.keys() - {"method", "parameters", "oneway", "more"}:
            return _error(f"{_SERVICE}.InvalidParameter", {"parameter": min(message.keys())})
        interface, _, verb = method.rpartition(".")
        if interface == _SERVICE:
            return self._introspect(verb, parameters)
        try:
            return {"parameters": self._call(uid, pid, interface, verb, parameters)}
        except ProoflineError as refusal:
            return _error(f"{self._interface.name}.Refused", refusal.as_record())

    def _call(self, uid: int, pid: int, interface: str, verb: str, parameters: object) -> dict[str, Any]:
        if interface != self._interface.name or verb not in self._handlers:
            raise UnknownVerb(verb=f"{interface}.{verb}", interface=self._interface.name)
        roles = self.roles_of(uid)
        if not roles:
            raise UnknownCaller(uid=uid, verb=verb)
        allowed = roles & self._access[verb]
        if not allowed:
            log.warning("uid %d (%s) was refused %s", uid, ", ".join(sorted(roles)), verb)
            raise CallerNotAllowed(role=min(roles), uid=uid, verb=verb)
        arguments = self._interface.check_arguments(verb, parameters)
        reply = self._handlers[verb](Caller(uid, pid, min(allowed)), **arguments) or {}
        try:
            self._interface.check_reply(verb, reply)
        except BadArguments as error:
            raise TypeError(f"our own reply is not of the interface: {error}") from error
        return {name: value for name, value in reply.items() if value is not None}

    def _introspect(self, verb: str, parameters: object) -> dict[str, Any]:
        if verb == "GetInfo":
            names = [_SERVICE, self._interface.name]
            return {
                "parameters": {
                    "vendor": "Proofline",
                    "product": "Proofline station",
                    "version": __version__,
                    "url": "",
                    "interfaces": names,
                }
            }
        if verb == "GetInterfaceDescription":
            wanted = parameters.get("interface") if isinstance(parameters, dict) else None
            if wanted == self._interface.name:
                return {"parameters": {"description": self._interface.text}}
            return _error(f"{_SERVICE}.InterfaceNotFound", {"interface": str(wanted)})
        return _error(f"{_SERVICE}.MethodNotFound", {"method": verb})

    def converse(self, connection: socket.socket) -> None:
        """Answer one connection until it ends."""
        with connection:
            pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            stream = Stream(connection)
            try:
                while (message := stream.receive()) is not None:
                    reply = self.handle(uid, pid, message)
                    if not message.get("oneway"):
                        stream.send(reply)
            except (BadMessage, MessageTooLarge) as error:
                log.warning("uid %d: %s", uid, error)
            except OSError:
                pass  # the caller went away; it asks again if it wants to know


def serve(
    role: str,
    implementation: object,
    access: Mapping[str, frozenset[str]],
    *,
    healthy: Callable[[], bool] = lambda: True,
    on_stop: Callable[[], None] = lambda: None,
    daemon: Callable[[threading.Event], None] | None = None,
) -> None:
    """Serve a role's interface until SIGTERM or SIGINT. `daemon`, if given, runs beside it in a thread of its own
    with the event that says "stop"; when it ends before that, the process fails."""
    service = Service(interface_of(role), implementation, access, peers_here())
    listener = _listener(role)
    stopping = threading.Event()
    failed = threading.Event()

    def guarded(work: Callable[[], None], *, must_last: bool) -> None:
        try:
            work()
            if must_last and not stopping.is_set():
                raise RuntimeError("a thread that must last has ended")
        except BaseException:
            log.exception("%s: a defect; the process ends", role)
            failed.set()
            stopping.set()

    slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def converse(connection: socket.socket) -> None:
        try:
            guarded(lambda: service.converse(connection), must_last=False)
        finally:
            slots.release()

    def accept() -> None:
        while not stopping.is_set():
            slots.acquire()
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    threading.Thread(target=guarded, args=(accept,), kwargs={"must_last": True}, daemon=True).start()
    if daemon is not None:
        work = daemon
        threading.Thread(
            target=guarded, args=(lambda: work(stopping),), kwargs={"must_last": True}, daemon=True
        ).start()
    notifier = sdnotify.SystemdNotifier()
    notifier.notify("READY=1")
    # More often than the watchdog needs: a boot is found good when each service has fed it once more.
    interval_s = int(os.environ.get("WATCHDOG_USEC", "10000000")) / 6_000_000
    while not stopping.wait(interval_s):
        if healthy():
            notifier.notify("WATCHDOG=1")
    notifier.notify("STOPPING=1")
    on_stop()
    # Threads may be deep in a foreign library; durable state never depends on an orderly end.
    logging.shutdown()
    os._exit(1 if failed.is_set() else 0)


def peers_here() -> dict[str, int]:
    """role -> uid: what PROOFLINE_PEERS says, or else this system's own users. A role without a user cannot call."""
    told = os.environ.get("PROOFLINE_PEERS")
    if told is not None:
        peers: dict[str, int] = json.loads(Path(told).read_text("utf-8"))
        return peers
    peers = {"ops": 0}  # the technician's console is root's
    for role in ROLES:
        try:
            peers[role] = pwd.getpwnam(f"proofline-{role}").pw_uid
        except KeyError:
            log.warning("there is no user proofline-%s: nobody may call as %s", role, role)
    return peers


def _listener(role: str) -> socket.socket:
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_LISTEN_FDS_START)
    path = Path(os.environ["PROOFLINE_RUN"]) / f"{role}.sock"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    path.chmod(0o666)  # who may call what is decided per verb from the kernel's word, not by the file's mode
    listener.listen(_BACKLOG)
    return listener


def _error(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"error": name, "parameters": parameters}


def _snake(verb: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", verb).lower()

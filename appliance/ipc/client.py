"""Calling another service.

- A call is sent once. Where the connection breaks after sending, the outcome is unknown and the caller is told so
  (`CallInterrupted`): it asks for the outcome, it does not call again blindly.
- The peer's refusal is raised as the class it was there.
- Replies are checked against the interface: a peer of another version is refused, not guessed at.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.errors import from_record
from appliance.ipc.errors import BadMessage, CallInterrupted, MessageTooLarge, ServiceUnavailable
from appliance.ipc.interface import Interface, parse
from appliance.ipc.wire import Stream

_ROOMS = {
    "clock": "clock",
    "signer": "custody",
    "recorder": "recorder",
    "line": "line",
    "panel": "panel",
    "intake": "intake",
    "usbgate": "usbgate",
}


def interface_of(role: str) -> Interface:
    """The interface that a role serves, from the package."""
    name = f"io.proofline.{role}.varlink"
    return parse(resources.files("appliance").joinpath(_ROOMS[role], name).read_text("utf-8"))


class Client:
    """One service, seen from another. Threads may share it: each call in flight has a connection of its own."""

    def __init__(self, role: str, path: Path, *, timeout_s: float = 30.0) -> None:
        self.role = role
        self._path = path
        self._timeout_s = timeout_s
        self._interface = interface_of(role)
        self._idle: list[tuple[socket.socket, Stream]] = []
        self._lock = threading.Lock()

    @classmethod
    def for_role(cls, role: str, *, timeout_s: float = 30.0) -> Client:
        """The client of a role's socket in `PROOFLINE_RUN`."""
        return cls(role, Path(os.environ["PROOFLINE_RUN"]) / f"{role}.sock", timeout_s=timeout_s)

    def call(self, verb: str, /, **parameters: object) -> dict[str, Any]:
        """Call a method; its reply, complete. Raises the peer's refusal, ServiceUnavailable or CallInterrupted."""
        arguments = self._interface.check_arguments(verb, parameters)
        message = {
            "method": f"{self._interface.name}.{verb}",
            "parameters": {name: value for name, value in arguments.items() if value is not None},
        }
        connection, stream = self._connect()
        try:
            stream.send(message)
            reply = stream.receive()
        except (OSError, BadMessage) as error:
            connection.close()
            raise CallInterrupted(service=self.role, verb=verb, why=str(error)) from None
        except MessageTooLarge:
            connection.close()
            raise
        if reply is None:
            connection.close()
            raise CallInterrupted(service=self.role, verb=verb, why="the service closed the connection")
        with self._lock:
            self._idle.append((connection, stream))
        parameters_back = reply.get("parameters", {})
        if reply.get("error") is not None:
            raise from_record(parameters_back if isinstance(parameters_back, dict) else {})
        return self._interface.check_reply(verb, parameters_back)

    def close(self) -> None:
        with self._lock:
            for connection, _ in self._idle:
                connection.close()
            self._idle.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _connect(self) -> tuple[socket.socket, Stream]:
        with self._lock:
            while self._idle:
                connection, stream = self._idle.pop()
                if _alive(connection):
                    return connection, stream
                connection.close()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_s)
        try:
            connection.connect(os.fspath(self._path))
        except OSError as error:
            connection.close()
            raise ServiceUnavailable(service=self.role, why=str(error)) from None
        return connection, Stream(connection)


def _alive(connection: socket.socket) -> bool:
    """Whether an idle connection is still open: one with anything to read was closed by a peer that went away."""
    poller = select.poll()
    poller.register(connection, select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poller.poll(0)

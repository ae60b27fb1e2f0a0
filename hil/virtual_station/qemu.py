"""QEMU's two doors for a person's hands: QMP (the machine) and qtest (its pins).

- A call returns what QEMU answered; what QEMU says unasked (events, pins that moved) is kept with its time.
- Times are seconds of this process's monotonic clock: the outside's, not the guest's.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hil.virtual_station.places import short


class QemuGone(Exception):
    """QEMU closed the door, or never opened it."""


def connect(path: Path, *, timeout_s: float = 30.0) -> socket.socket:
    """Connect to a Unix socket that is about to appear."""
    deadline = time.monotonic() + timeout_s
    while True:
        door = socket.socket(socket.AF_UNIX)
        try:
            with short(path) as address:
                door.connect(address)
        except OSError:
            door.close()
            if time.monotonic() > deadline:
                raise QemuGone(f"{path.name} did not open in {timeout_s:.0f} s") from None
            time.sleep(0.05)
        else:
            return door


class _Lines:
    """A socket that speaks in lines: one question at a time, everything unasked goes to a listener."""

    def __init__(self, door: socket.socket, unasked: Callable[[str], bool]) -> None:
        self._door = door
        self._file = door.makefile("rw", encoding="utf-8", newline="\n")
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._unasked = unasked
        self._asking = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, line: str, *, timeout_s: float = 60.0) -> str:
        with self._asking:
            try:
                self._file.write(line + "\n")
                self._file.flush()
                answer = self._answers.get(timeout=timeout_s)
            except (OSError, queue.Empty) as error:
                raise QemuGone(f"no answer to {line[:60]!r}") from error
        if answer is None:
            raise QemuGone(f"closed before it answered {line[:60]!r}")
        return answer

    def close(self) -> None:
        self._door.close()

    def _read(self) -> None:
        try:
            for line in self._file:
                if not self._unasked(line):
                    self._answers.put(line)
        except (OSError, ValueError):
            pass  # closed while reading: whoever asks next is told
        self._answers.put(None)


class Qmp:
    """The machine's own door."""

    def __init__(self, path: Path) -> None:
        self.events: list[tuple[float, dict[str, Any]]] = []
        self._lines = _Lines(connect(path), self._unasked)
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> Any:
        """Execute a command; its return value."""
        answer = json.loads(self._lines.ask(json.dumps({"execute": command, "arguments": arguments})))
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def wait_event(self, name: str, *, since: float, timeout_s: float, **data: object) -> None:
        """Wait for an event that says at least `data`, at or after the moment `since`."""
        deadline = time.monotonic() + timeout_s
        while not any(
            at >= since and event["event"] == name and data.items() <= event.get("data", {}).items()
            for at, event in self.events
        ):
            if time.monotonic() > deadline:
                raise QemuGone(f"no {name} {data} in {timeout_s:.0f} s")
            time.sleep(0.05)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The machine stands still, and what it has written is in its files."""
        self.ask("stop")
        try:
            yield
        finally:
            self.ask("cont")

    def close(self) -> None:
        self._lines.close()

    def _unasked(self, line: str) -> bool:
        message = json.loads(line)
        if "event" in message:
            self.events.append((time.monotonic(), message))
        return "event" in message or "QMP" in message


class Pins:
    """The pins of the machine's one PL061 controller, seen from outside."""

    def __init__(self, path: Path, qmp: Qmp) -> None:
        self.moves: list[tuple[float, int, bool]] = []
        self.levels: dict[int, bool] = {}
        self._moved = threading.Condition()
        self._lines = _Lines(connect(path), self._unasked)
        (self._controller,) = [
            f"/machine/unattached/{one['name']}"
            for one in qmp.ask("qom-list", path="/machine/unattached")
            if "pl061" in one["type"]
        ]
        self._tell(f"irq_intercept_out {self._controller}")

    def drive(self, line: int, *, high: bool) -> None:
        """Set an input of the guest."""
        self._tell(f"set_irq_in {self._controller} unnamed-gpio-in {line} {int(high)}")

    def wait_move(self, since: int, timeout_s: float) -> int:
        """Wait until there are more than `since` moves; how many there are."""
        with self._moved:
            self._moved.wait_for(lambda: len(self.moves) > since, timeout_s)
            return len(self.moves)

    def close(self) -> None:
        self._lines.close()

    def _tell(self, line: str) -> None:
        answer = self._lines.ask(line)
        if not answer.startswith("OK"):
            raise RuntimeError(f"{line}: {answer.strip()}")

    def _unasked(self, line: str) -> bool:
        words = line.split()
        if words[:1] != ["IRQ"]:
            return False
        number, high = int(words[2]), words[1] == "raise"
        with self._moved:
            self.levels[number] = high
            self.moves.append((time.monotonic(), number, high))
            self._moved.notify_all()
        return True

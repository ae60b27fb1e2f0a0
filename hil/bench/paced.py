"""Boards that answer in their own time, cheaply: a session recorded on the virtual board, played back in real time.

    python -m hil.bench.paced record FILE ...      the server, and every request with its answer and its virtual time
    python -m hil.bench.paced play FILE ...        the server, whose board answers as recorded, and as late

- A virtual board executes its code on this machine's cores, so four of them together say nothing about four pieces of
  silicon. Played back they cost next to nothing: what is left on the cores is the station itself.
- A request that is not the recorded one ends the server: there is then no figure, rather than one of something else.
- The silicon's id in the answers is that of the board which was put in.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path

from hil.virtual_nucleo import requests, server
from hil.virtual_nucleo.bench import Bench
from hil.virtual_nucleo.board import Board
from hil.virtual_nucleo.swd_port import SwdPort
from hil.virtual_nucleo.vtime import PS_PER_S

_execute = requests.execute
_LEAST_SLEEP_S = 0.0005
"""Shorter waits are added up: the clock that wakes a sleeper is no finer."""


class RecordedBench(Bench):
    """Writes down the session of the last board that was put in."""

    def __init__(self, drawer: Path, file: Path) -> None:
        super().__init__(drawer)
        self._file = file

    def insert(self, uid: str, *, power: bool = True) -> Board:
        self._file.write_text(json.dumps({"uid": uid}) + "\n")
        return super().insert(uid, power=power)

    def execute(self, port: SwdPort, request: bytes) -> bytes:
        began = self.board.soc.time.now
        reply = _execute(port, request)
        step = [_text(request), _text(reply), (self.board.soc.time.now - began) / PS_PER_S]
        with self._file.open("a") as file:
            file.write(json.dumps(step) + "\n")
        return reply


class PlayedBench(Bench):
    """Answers from a recording. Every board that is put in begins it anew."""

    def __init__(self, drawer: Path, file: Path) -> None:
        super().__init__(drawer)
        head, *steps = file.read_text().splitlines()
        self._recorded_uid = bytes.fromhex(json.loads(head)["uid"])
        self._steps = [
            (base64.b64decode(request), base64.b64decode(reply), took_s)
            for request, reply, took_s in map(json.loads, steps)
        ]
        self._at = 0
        self._uid = b""
        self._owed_s = 0.0

    def insert(self, uid: str, *, power: bool = True) -> Board:
        self._at, self._uid, self._owed_s = 0, bytes.fromhex(uid), 0.0
        return super().insert(uid, power=power)

    def execute(self, port: SwdPort, request: bytes) -> bytes:
        del port
        recorded, reply, took_s = self._steps[self._at]
        if request != recorded:
            raise SystemExit(f"request {self._at} is not the recorded one")
        self._at += 1
        self._owed_s += took_s
        if self._owed_s >= _LEAST_SLEEP_S:
            began = time.monotonic()
            time.sleep(self._owed_s)
            self._owed_s -= time.monotonic() - began
        return reply.replace(self._recorded_uid, self._uid)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def main() -> None:
    kinds: dict[str, type[RecordedBench | PlayedBench]] = {"record": RecordedBench, "play": PlayedBench}
    kind, file = kinds[sys.argv.pop(1)], Path(sys.argv.pop(1))
    made: list[RecordedBench | PlayedBench] = []

    def make(drawer: Path) -> Bench:
        made.append(kind(drawer, file))
        return made[-1]

    def execute(port: SwdPort, request: bytes) -> bytes:
        return made[0].execute(port, request)

    setattr(server, "Bench", make)  # noqa: B010  # the server makes its bench by this name
    requests.execute = execute
    server.main()


if __name__ == "__main__":
    main()

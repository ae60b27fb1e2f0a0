"""A person's hands and eyes for a panel without hardware: the real panel process on gpiozero's mock pins.

    python -m hil.local_station.mock_panel        (environment as for `python -m appliance.panel`)

- The panel is the product's own, unchanged; only the pins under gpiozero are mock ones.
- `PROOFLINE_PANEL_HANDS` names a Unix socket. One JSON object a line in, one a line out:
    {"do":"press","hold_ms":80}   the button goes down and up again
    {"do":"scan","text":"..."}    the scanner reads a code
    {"do":"lamps"}                what every output does now, and what it did since the last time it was asked:
                                  {"now":{"red":true,...},"since":{"red":[[ms since the change before, on],...],...}}
  The answer is {"ok":true,...} or {"ok":false,"why":"..."}.
- The scanner is the FIFO that the panel's configuration names; it is made here if it is not there.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from appliance.panel import __main__ as panel
from appliance.panel import config
from appliance.panel.pins import at_position

_MAX_LINE = 4096
_MAX_HOLD_MS = 10_000


class Hands:
    """What a person can do to the mock pins of one panel."""

    def __init__(self, settings: config.Config, factory: Any) -> None:
        self._scanner = settings.scanner
        self._pins: dict[str, Any] = {name: factory.pin(pin) for name, pin in settings.pins.items()}
        for position, pins in enumerate(settings.positions):
            self._pins |= {at_position(lamp, position): factory.pin(pin) for lamp, pin in pins.items()}
        self._outputs = [name for name in self._pins if name != "button"]
        self._lock = threading.Lock()

    def do(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked; ValueError where it cannot be understood."""
        match wish.get("do"):
            case "press":
                hold_ms = wish.get("hold_ms", 80)
                if type(hold_ms) is not int or not 0 <= hold_ms <= _MAX_HOLD_MS:
                    raise ValueError(f"hold_ms is a number from 0 to {_MAX_HOLD_MS}")
                with self._lock:
                    self._pins["button"].drive_low()  # the contact closes to ground
                    time.sleep(hold_ms / 1000)
                    self._pins["button"].drive_high()
                return {}
            case "scan":
                text = wish.get("text")
                if not isinstance(text, str) or "\n" in text:
                    raise ValueError("text is one line")
                with self._scanner.open("wb", buffering=0) as fifo:
                    fifo.write(text.encode() + b"\n")
                return {}
            case "lamps":
                return self._lamps()
            case other:
                raise ValueError(f"nobody can do {other!r}")

    def _lamps(self) -> dict[str, Any]:
        with self._lock:
            now = {name: bool(self._pins[name].state) for name in self._outputs}
            since = {}
            for name in self._outputs:
                since[name] = [[int(state.timestamp * 1000), bool(state.state)] for state in self._pins[name].states]
                self._pins[name].clear_states()
        return {"now": now, "since": since}


def converse(hands: Hands, connection: socket.socket) -> None:
    """Answer one connection until it ends."""
    with connection, connection.makefile("rwb") as stream:
        while line := stream.readline(_MAX_LINE):
            try:
                wish = json.loads(line)
                if not isinstance(wish, dict):
                    raise ValueError("not an object")  # noqa: TRY004 -- likewise
                answer = {"ok": True, **hands.do(wish)}
            except (ValueError, OSError) as error:
                answer = {"ok": False, "why": str(error)}
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.flush()


def main() -> None:
    """Give the panel mock pins and hands, then run it."""
    factory = Device.pin_factory = MockFactory()
    settings = config.load()
    if not settings.scanner.exists():
        os.mkfifo(settings.scanner, 0o600)
    if not stat.S_ISFIFO(settings.scanner.stat().st_mode):
        raise SystemExit(f"{settings.scanner} is no FIFO")
    path = Path(os.environ["PROOFLINE_PANEL_HANDS"])
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    path.chmod(0o600)
    listener.listen(4)
    hands = Hands(settings, factory)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(hands, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    panel.main()


if __name__ == "__main__":
    main()

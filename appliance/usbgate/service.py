"""The USB gate as a process: looks whenever the kernel and udev have news, and every few seconds besides.

- Events only say *when* to look; what is true is read from sysfs. A lost or late event costs seconds, never a decision.
- Events are udev's, not the kernel's: they come after the rules that hand a device's files to this service.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pyudev

from appliance.ipc import Caller, serve
from appliance.usbgate import config
from appliance.usbgate.errors import ConfigWrong, KernelRefused, MachineUnknown
from appliance.usbgate.gate import Gate, Seen
from appliance.usbgate.policy import Board
from appliance.usbgate.sysfs import Usb

log = logging.getLogger("proofline.usbgate")

ACCESS: dict[str, frozenset[str]] = {"Describe": frozenset({"intake", "line", "panel", "health", "ops"})}
_LOOK_EVERY_S = 3.0
_MACHINE = Path("/sys/firmware/devicetree/base/compatible")


class Handlers:
    """The interface's one verb."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def describe(self, _caller: Caller) -> dict[str, Any]:
        return {"guarded": self._gate.guarded, "devices": [as_reply(seen) for seen in self._gate.known]}


def as_reply(seen: Seen) -> dict[str, Any]:
    """One device as io.proofline.usbgate writes it."""
    return {
        "name": seen.name,
        "place": seen.place,
        "device": seen.device,
        "what": seen.what or None,
        "interfaces": list(seen.interfaces),
        "refusal": None if seen.refusal is None else seen.refusal.as_record(),
    }


def watch(gate: Gate, stopping: threading.Event) -> None:
    """Look, and look again at every event, until told to stop."""
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="udev")
    monitor.filter_by("usb")
    monitor.start()
    while not stopping.is_set():
        try:
            gate.look()
        except KernelRefused as none:  # a machine without USB, or a bus that went while we looked
            log.debug("%s", none)
        event = monitor.poll(_LOOK_EVERY_S)
        while event is not None:  # a plug is a handful of events: one look for all of them
            event = monitor.poll(0)


def board_here(path: str, machine: Path = _MACHINE) -> Board | None:
    """This machine's map; None, and said so, where the image has none for it."""
    try:
        boards = config.parse(Path(path).read_bytes(), path)
    except OSError as error:
        raise ConfigWrong(path=path or "PROOFLINE_USB_CONFIG", why=str(error)) from None
    try:
        names = [name for name in machine.read_text("ascii", "replace").split("\0") if name]
    except OSError:
        names = []
    try:
        return config.board_of(boards, names)
    except MachineUnknown as unknown:
        log.warning("%s", unknown)
        return None


def main() -> None:
    """Serve `usbgate` with the map that PROOFLINE_USB_CONFIG names."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    gate = Gate(Usb(), board_here(os.environ.get("PROOFLINE_USB_CONFIG", "")))
    serve("usbgate", Handlers(gate), ACCESS, daemon=lambda stopping: watch(gate, stopping))

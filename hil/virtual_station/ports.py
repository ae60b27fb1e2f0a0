"""A station's USB ports: what is plugged in, over boots, and how QEMU is told."""

from __future__ import annotations

import time

from hil.virtual_station.machine import USB_PORTS
from hil.virtual_station.places import inside
from hil.virtual_station.qemu import Qmp
from hil.virtual_station.sticks import Stick


class Ports:
    """What is in each port: a stick, or None for a keyboard. `qmp` is None while the station is off."""

    def __init__(self) -> None:
        self._plugged: dict[str, Stick | None] = {}

    def __bool__(self) -> bool:
        return bool(self._plugged)

    def plug(self, stick: Stick | None, port: str, qmp: Qmp | None) -> None:
        assert port not in self._plugged, f"port {port} is taken"
        assert port in USB_PORTS
        self._plugged[port] = stick
        if qmp is not None:
            _attach(stick, port, qmp)

    def unplug(self, port: str, qmp: Qmp | None) -> None:
        stick = self._plugged.pop(port)
        if qmp is None:
            return
        since = time.monotonic()
        qmp.ask("device_del", id=f"usb{port}")
        qmp.wait_event("DEVICE_DELETED", since=since, timeout_s=30, device=f"usb{port}")
        if stick is not None:
            qmp.ask("blockdev-del", **{"node-name": f"stick{port}"})

    def attach(self, qmp: Qmp) -> None:
        """A boot begins: everything that is plugged in is there."""
        for port, stick in self._plugged.items():
            _attach(stick, port, qmp)


def _attach(stick: Stick | None, port: str, qmp: Qmp) -> None:
    where = {"id": f"usb{port}", "bus": "usb.0", "port": port}
    if stick is None:
        qmp.ask("device_add", driver="usb-kbd", **where)
        return
    file = {"driver": "file", "filename": inside(stick.file)}
    qmp.ask("blockdev-add", **{"node-name": f"stick{port}", "driver": "raw", "file": file})
    qmp.ask("device_add", driver="usb-storage", drive=f"stick{port}", serial=stick.serial, **where)

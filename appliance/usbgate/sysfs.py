"""The kernel's side of the gate: files of sysfs, and nothing else. The smallest possible shell.

- A device that is gone in the middle is `KernelRefused`, never a crash; a file is read to its end, because the size
  that sysfs states for `descriptors` is not its length.
- An authorised interface gets its driver only when it is asked for by `drivers_probe`, once all interfaces of its
  function are authorised.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from appliance.usbgate.descriptors import MAX_BYTES
from appliance.usbgate.errors import KernelRefused
from appliance.usbgate.policy import Place

_DEVICE = re.compile(r"([1-9][0-9]*)-([0-9]+(?:\.[0-9]+)*)")
_INTERFACE = re.compile(rf"({_DEVICE.pattern}):[0-9]+\.([0-9]+)")
_BUS = re.compile(r"usb[1-9][0-9]*")


class Usb:
    """USB as sysfs shows it. `root` is /sys; tests give a tree of their own."""

    def __init__(self, root: Path = Path("/sys"), udev: Path = Path("/run/udev/data")) -> None:
        self._udev = udev
        self._devices = root / "bus/usb/devices"
        self._probe = root / "bus/usb/drivers_probe"

    def buses(self) -> list[str]:
        """Root hubs: `usb1`, `usb2`."""
        return self._named(_BUS)

    def is_handed_over(self, bus: str) -> bool:
        """Whether udev's rules have been applied to a root hub: udev writes what it knows of a device after them."""
        return (self._udev / f"c{self.attribute(bus, 'dev')}").exists()

    def devices(self) -> list[str]:
        """Devices that were plugged in or are soldered on, nearest first: `1-1` before `1-1.3`."""
        return sorted(self._named(_DEVICE), key=lambda name: (name.count("."), name))

    def interfaces(self, device: str) -> dict[str, int]:
        """The interfaces of an authorised device: name -> number."""
        found: dict[str, int] = {}
        for name in self._named(_INTERFACE):
            match = _INTERFACE.fullmatch(name)
            if match is not None and match[1] == device:
                found[name] = int(match[4])
        return found

    def place(self, device: str) -> Place:
        """Where a device is plugged in."""
        match = _DEVICE.fullmatch(device)
        if match is None:
            raise KernelRefused(path=device, why="not a device's name")
        hub = self._devices / f"usb{match[1]}"
        try:
            return Place(hub.resolve(strict=True).parent.name, match[2])
        except OSError as error:
            raise _refused(hub, error) from None

    def descriptors(self, device: str) -> bytes:
        """What the device told the kernel of itself; one byte more than is allowed where it told more."""
        return self._read(device, "descriptors", MAX_BYTES + 1)

    def attribute(self, name: str, attribute: str) -> str:
        """A small attribute's text, stripped."""
        return self._read(name, attribute, 256).decode("ascii", "replace").strip()

    def authorize(self, name: str, *, allow: bool) -> None:
        """Let a device or an interface in, or take that back."""
        self._write(self._devices / name / "authorized", b"1" if allow else b"0")

    def probe(self, interface: str) -> None:
        """Have the kernel look for the interface's driver."""
        self._write(self._probe, interface.encode())

    def _named(self, pattern: re.Pattern[str]) -> list[str]:
        try:
            return sorted(path.name for path in self._devices.iterdir() if pattern.fullmatch(path.name))
        except OSError as error:
            raise _refused(self._devices, error) from None

    def _read(self, name: str, attribute: str, most: int) -> bytes:
        path = self._devices / name / attribute
        content = b""
        try:
            with path.open("rb", buffering=0) as file:
                while len(content) < most and (part := file.read(most - len(content))):
                    content += part
        except OSError as error:
            raise _refused(path, error) from None
        return content

    def _write(self, path: Path, value: bytes) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, value)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> KernelRefused:
    return KernelRefused(path=str(path)[-120:], why=error.strerror or "error")

"""Opens a set of pins: the only module that loads the extension.

- `open_port(pin_set)` for what the settings name; `on_object`, `on_capsule`, `on_socket`, `on_null` for benches.
- Opening lets go of nRESET, switches the target's power on where it is switched, and drives nothing else.
- Memory-mapped GPIO is refused where the device tree names another family than the settings: the same addresses would
  be other pins.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.swd import _core
from appliance.swd.errors import OtherSoc, PinsBusy, PinsUnavailable
from appliance.swd.port import SwdPort
from appliance.swd.settings import PULLS, SOCS, GpioChip, GpioMem, Pins, PinSet, Soc

_DEVICE_TREE = Path("/proc/device-tree/compatible")
_FAMILIES: dict[str, Soc] = {
    "brcm,bcm2835": "bcm2835",
    "brcm,bcm2836": "bcm2835",  # the same GPIO block in three generations
    "brcm,bcm2837": "bcm2835",
    "brcm,bcm2711": "bcm2711",
}
_BUSY = {errno.EBUSY, errno.EAGAIN}


class WirePins(Protocol):
    """Pins as a Python object; the cycle is described in core/pins_v1.h. An exception ends the operation."""

    def exchange(self, count: int, out: int, drive: bool, /) -> int:  # noqa: FBT001  # the C table's shape
        """1 to 64 clock cycles; returns the levels sampled in them."""

    def set_clock(self, hz: int, /) -> None:
        """SWCLK from now on."""

    def drive_pins(self, driven: bool, /) -> None:  # noqa: FBT001  # likewise
        """The host takes SWCLK and SWDIO, or lets them float."""

    def set_line(self, line: int, level: int, /) -> None:
        """nRESET (0): 0 pulls low, 1 lets go. Power (1): 0 off, 1 on."""

    def get_line(self, line: int, /) -> int:
        """The level on the wire."""

    def wait(self, ns: int, /) -> None:
        """Lets the target's time pass."""


def open_port(pin_set: PinSet) -> SwdPort:
    """The port of a set. Raises `PinsError`."""
    backend = pin_set.backend
    if isinstance(backend, GpioChip):
        port = _open(backend.path, lambda: _core.open_chip(backend.path, *_numbers(backend.pins)))
    elif isinstance(backend, GpioMem):
        _refuse_other_soc(backend.soc, _DEVICE_TREE)
        family = SOCS.index(backend.soc)
        port = _open(backend.path, lambda: _core.open_gpiomem(backend.path, family, *_numbers(backend.pins)))
    else:
        port = on_socket(backend.path)
    port.configure(wait_budget_ms=pin_set.wait_ms)
    return port


def on_object(pins: WirePins) -> SwdPort:
    """Pins in this process."""
    return SwdPort(_core.open_object(pins))


def on_capsule(capsule: object) -> SwdPort:
    """Pins in C: a PyCapsule named `proofline.swd.pins.v1` with a `struct swd_pins_v1`."""
    return SwdPort(_core.open_capsule(capsule))


def on_socket(path: str) -> SwdPort:
    """Pins behind a Unix socket. Raises `PinsError`."""
    return _open(path, lambda: _core.open_socket(path))


def on_null() -> SwdPort:
    """Pins that go nowhere; every transfer is acknowledged and reads zeros. For measuring the core itself."""
    return SwdPort(_core.open_null())


def _open(path: str, opener: Callable[[], _core.Port]) -> SwdPort:
    try:
        return SwdPort(opener())
    except (OSError, ValueError) as error:
        kind = PinsBusy if isinstance(error, OSError) and error.errno in _BUSY else PinsUnavailable
        raise kind(path=path, why=str(error)) from error


def _numbers(pins: Pins) -> tuple[int, int, int, int, bool, int, int]:
    return (
        pins.swclk,
        pins.swdio,
        -1 if pins.nreset is None else pins.nreset,
        -1 if pins.power is None else pins.power,
        pins.power_active_low,
        PULLS.index(pins.swdio_pull),
        PULLS.index(pins.nreset_pull),
    )


def _refuse_other_soc(expected: Soc, device_tree: Path) -> None:
    try:
        compatible = device_tree.read_bytes().decode("ascii", "replace").split("\0")
    except FileNotFoundError:
        return  # no device tree, so no Raspberry Pi: opening the device will say what is wrong
    actual = {_FAMILIES[name] for name in compatible if name in _FAMILIES}
    if actual != {expected}:
        raise OtherSoc(expected=expected, actual=", ".join(name for name in compatible if name))

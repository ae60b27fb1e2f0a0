"""The image in QEMU: start it, look at it, press its button, cut its power, and read its disk afterwards.

    with VirtualStation(folder) as station:
        station.power_on()
        station.wait_console("proofline: ")
        station.press()

- The disk is a copy of the very file that is written to a card, on a card of 4 GiB. Nothing is added, and nothing
  in the guest knows of this program: it is looked at through its console, its pins and its disk.
- `power_cut` is one: QEMU is killed between two instructions of the guest. What the guest had written is on its disk,
  what it had not is gone.
- Everything runs in the tools tree that `make image` made, with its QEMU and its U-Boot.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from hil.virtual_station.card import Card
from hil.virtual_station.places import CHECKOUT, SCRATCH, TREE
from hil.virtual_station.qemu import Pins, QemuGone, Qmp

BUTTON = 0
LAMPS = {"red": 1, "blue": 2, "green": 4, "buzzer": 5}
"""Lines of the emulated machine's controller: systemd/share/panel.json, board linux,dummy-virt."""
_CARD_BYTES = 4 << 30


class NotSeen(Exception):
    """What was waited for did not come; the text has the console's last lines."""


class VirtualStation:
    """One emulated station. `folder` is made below the scratch folder, which the tools tree sees as /scratch."""

    def __init__(self, name: str, *, board: Literal["virt", "raspi3b"] = "virt") -> None:
        self.folder = SCRATCH / "stations" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.disk = self.folder / "disk.raw"
        self._board = board
        subprocess.run(["cp", "--sparse=always", SCRATCH / "out" / "disk.raw", self.disk], check=True)
        os.truncate(self.disk, _CARD_BYTES)
        self._process: subprocess.Popen[bytes] | None = None
        self.boots = 0
        self.powered_at = 0.0
        self.qmp: Qmp | None = None
        self.pins: Pins | None = None

    def power_on(self, *, rtc: str = "utc", network: bool = True, extra: Sequence[str] = ()) -> None:
        """Plug the station in. `rtc`: what its clock says, as QEMU's -rtc base= takes it."""
        assert self._process is None, "it is on already"
        self.boots += 1
        for name in ("qmp", "qtest"):
            (self.folder / name).unlink(missing_ok=True)
        here = f"/scratch/stations/{self.folder.name}"
        if self._board == "virt":
            machine = _virt(f"{here}/disk.raw", network=network)
        else:
            machine = _raspi3b(f"{here}/disk.raw")
        command = [
            *(*machine, "-display", "none", "-monitor", "none", "-no-reboot", "-rtc", f"base={rtc}", *extra),
            *("-serial", f"file:{here}/console-{self.boots}.txt"),
            *("-qmp", f"unix:{here}/qmp,server=on,wait=off", "-qtest", f"unix:{here}/qtest,server=on,wait=off"),
        ]
        with (self.folder / "qemu.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [CHECKOUT / "image/builder/in_tree", TREE, CHECKOUT, SCRATCH, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.powered_at = time.monotonic()
        try:
            self.qmp = Qmp(self.folder / "qmp")
            if self._board == "virt":
                self.pins = Pins(self.folder / "qtest", self.qmp)
                self.pins.drive(BUTTON, high=False)
        except QemuGone as error:
            self.power_cut()
            raise QemuGone((self.folder / "qemu.txt").read_text("utf-8", "replace")) from error

    def power_cut(self) -> None:
        """Pull the plug."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself: the guest restarted, and -no-reboot makes that an end
        self._process.wait()
        self._process = None
        for door in (self.pins, self.qmp):
            if door is not None:
                door.close()
        self.pins = self.qmp = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_off(self, timeout_s: float) -> None:
        """Wait until the guest restarts or powers off by itself."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NotSeen(f"it still runs; the console ends with:\n{self.tail()}") from None
        self.power_cut()

    def console(self) -> str:
        """What this boot has said on its console so far, without escape sequences."""
        path = self.folder / f"console-{self.boots}.txt"
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        return re.sub(r"\x1b(\[[0-9;?!]*[A-Za-z]|[78])|\r", "", text)

    def tail(self) -> str:
        """The console's last lines, and what QEMU said of the machine (a watchdog that fired, a reset)."""
        events = [] if self.qmp is None else [str(event["event"]) for _at, event in self.qmp.events]
        return "\n".join([*self.console().splitlines()[-15:], f"QEMU: {', '.join(events) or 'nothing'}"])

    def wait_console(self, pattern: str, *, timeout_s: float = 300.0) -> re.Match[str]:
        """Wait until a line of the console matches; NotSeen when the guest ends before, or time is up."""
        deadline = time.monotonic() + timeout_s
        while True:
            alive = self.running
            found = re.search(pattern, self.console(), re.MULTILINE)
            if found:
                return found
            if not alive or time.monotonic() > deadline:
                why = "the guest ended" if not alive else f"{timeout_s:.0f} s are over"
                raise NotSeen(f"no {pattern!r}: {why}. The console ends with:\n{self.tail()}")
            time.sleep(0.2)

    def wait_journal(self, card: Card, text: str, *, timeout_s: float) -> None:
        """Wait until the journal on the card says something; what is not flushed yet is seen later."""
        deadline = time.monotonic() + timeout_s
        while not any(text in str(one.get("MESSAGE")) for one in card.journal()):
            if not self.running or time.monotonic() > deadline:
                raise NotSeen(f"the journal does not say {text!r}; the console ends with:\n{self.tail()}")
            time.sleep(15)

    def burning(self) -> dict[str, bool]:
        """Which lamps burn now."""
        assert self.pins is not None
        return {name: self.pins.levels.get(line, False) for name, line in LAMPS.items()}

    def press(self, *, hold_s: float = 0.5) -> None:
        """Press the button and let go."""
        assert self.pins is not None
        self.pins.drive(BUTTON, high=True)
        time.sleep(hold_s)
        self.pins.drive(BUTTON, high=False)

    def watch_lamps(self, seconds: float) -> dict[str, list[tuple[float, bool]]]:
        """Look at the lamps for a while: for each, when it changed (seconds from now on) and to what."""
        assert self.pins is not None
        start, first = time.monotonic(), len(self.pins.moves)
        time.sleep(seconds)
        names = {line: name for name, line in LAMPS.items()}
        seen: dict[str, list[tuple[float, bool]]] = {name: [] for name in LAMPS}
        for at, line, high in self.pins.moves[first:]:
            if line in names:
                seen[names[line]].append((at - start, high))
        return seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.power_cut()


def _virt(disk: str, *, network: bool) -> list[str]:
    """QEMU's own machine, with Debian's U-Boot for it: it has pins that the outside can drive."""
    net = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="] if network else ["-nic", "none"]
    return [
        # acpi=off: with firmware and ACPI, QEMU leaves the pin controller out
        *("qemu-system-aarch64", "-M", "virt,acpi=off", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi"),
        *("-m", "1024", "-smp", "2", "-bios", "/scratch/out/u-boot-qemu.bin"),
        *("-drive", f"file={disk},if=none,id=card,format=raw,cache=writeback"),
        *("-device", "virtio-blk-pci,drive=card,romfile=", "-device", "i6300esb"),
        *("-device", "virtio-rng-pci", "-device", "qemu-xhci", *net),
    ]


def _raspi3b(disk: str) -> list[str]:
    """A Raspberry Pi 3 with its card, from Debian's u-boot-rpi on. The console is the mini UART, QEMU's second."""
    (tree,) = (SCRATCH / "loose/linux").glob("usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb")
    return [
        *("qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=multi"),
        *("-kernel", "/scratch/loose/u-boot-rpi/usr/lib/u-boot/rpi_3/u-boot.bin"),
        *("-dtb", f"/scratch/{tree.relative_to(SCRATCH)}", "-drive", f"file={disk},if=sd,format=raw"),
        *("-serial", "null"),
    ]

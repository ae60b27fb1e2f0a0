"""The minute before systemd, alone: the image's kernel, initrd programs and root, and this checkout's boot scripts.

    with EarlyGuest("name", tpm="chip") as guest:
        said = guest.boot()              # runs boot/state as the first program does; what the console said

- A boot takes seconds, so that power can be cut in very many of them. The whole station, from U-Boot on, is
  hil/virtual_station/station.py; the card behind it is the same Medium, with the same losses.
- The card has the partition of the slot state and room behind it; nothing else of it is looked at so early.
- After the script, a command of the test's may look at the mounted state (`look`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from appliance.update import slotstate
from hil.virtual_station import gpt
from hil.virtual_station.loss import NOTHING, Loss
from hil.virtual_station.machine import CARD_DOOR, CPU, tpm_port
from hil.virtual_station.medium import Medium, Moment
from hil.virtual_station.places import CHECKOUT, SCRATCH, STATIONS, TREE, inside
from hil.virtual_station.surroundings import Network, Tpm, kill
from hil.virtual_station.tpm import ahead, kernel
from image.builder.tree import ToolsTree

_SLOTS = 1 << 20
_PATIENCE_S = 300.0
_INIT = r"""#!/bin/sh
PATH=/usr/bin:/usr/sbin
export PATH
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755 tmpfs /run
exec </dev/console >/dev/console 2>&1
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order
mount -t erofs -o ro /dev/vdb /ahead/root
read -r words </proc/cmdline
case " $words " in *" early.tpm "*) . /ahead/bridge.sh && start_bridge /ahead/root ;; esac
mount -t erofs -o ro /dev/vdb /sysroot
# this checkout's own, over what was built
mount -t tmpfs tmpfs /sysroot/srv
chroot /sysroot tar -xf - -C /srv </ahead/new.tar
mount --bind /sysroot/srv/boot /sysroot/usr/lib/proofline/boot
mount --bind /sysroot/srv/appliance /sysroot/usr/lib/python3/dist-packages/appliance
for one in proc sys dev run; do mount --bind "/$one" "/sysroot/$one"; done
echo "early: begins"
chroot /sysroot /bin/sh /usr/lib/proofline/boot/state a
echo "early: ended with $?"
[ ! -e /ahead/look ] || chroot /sysroot /bin/sh -c "$(cat /ahead/look)"
chroot /sysroot /bin/sync
echo "early: done"
sleep 0.2
echo o >/proc/sysrq-trigger
sleep 60
"""


class EarlyGuest:
    """A card of `card_bytes`, and a machine to put it in. good: slot a was found good before. tpm: a chip's folder."""

    def __init__(self, name: str, *, tpm: str | None = None, card_bytes: int = 96 << 20, good: bool = True) -> None:
        self.folder = STATIONS / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.card = self.folder / "card.raw"
        self.tpm = tpm
        self.network = Network(self.folder)
        self._tools = ToolsTree(TREE, SCRATCH)
        layout = "label: gpt\nfirst-lba: 2048\nstart=1MiB, size=1MiB, name=proofline-slots\n"
        with self.card.open("wb") as file:
            file.truncate(4 << 20)
        self.ask(f"printf '{layout}' | sfdisk --quiet card.raw")
        state = slotstate.fresh("a")
        with self.card.open("r+b") as file:
            file.seek(_SLOTS)
            file.write(slotstate.encode(slotstate.commit(state, "a") if good else state))
            file.truncate(card_bytes)

    def boot(self, *, look: str = "", cut: Moment | float | None = None, loss: Loss = NOTHING) -> str:
        """Power on until all is done, or power is cut: at a write, or so many seconds after the script began."""
        files = {"ahead/early": _INIT.encode(), "ahead/new.tar": self._newest()}
        ahead(self.folder / "initrd", files | ({"ahead/look": look.encode()} if look else {}))
        console = self.folder / "qemu.txt"
        console.unlink(missing_ok=True)
        medium = Medium(self.card, self.folder / CARD_DOOR)
        chip = Tpm(self.network, self.folder / self.tpm) if self.tpm else None
        process = self.network.start_in_tree("qemu", self._machine())
        try:
            if isinstance(cut, Moment):
                medium.cut_at(cut, lambda: kill(process))
            began = self._wait(lambda: process.poll() is not None or b"early: begins" in console.read_bytes())
            end = began + (cut if isinstance(cut, float) else _PATIENCE_S)
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
        finally:
            cut_off = process.poll() != 0
            kill(process)
            if chip is not None:
                chip.close()
            medium.end(loss if cut_off else NOTHING)
        return console.read_text("utf-8", "replace").replace("\r", "")

    def partitions(self) -> dict[str, tuple[int, int]] | None:
        """What the kernel will find: GPT name -> (offset, bytes)."""
        with self.card.open("rb") as file:
            descriptor = file.fileno()
            return gpt.names(lambda at, length: os.pread(descriptor, length, at), os.fstat(descriptor).st_size)

    def ask(self, command: str) -> str:
        """A command in the tools tree, in this guest's folder."""
        return self._tools.ask(["sh", "-c", f"cd {inside(self.folder)} && {command}"])

    def slot_state(self) -> slotstate.State:
        """What the boot script would act on."""
        copy = self.folder / "slots.raw"
        with self.card.open("rb") as file:
            file.seek(_SLOTS)
            copy.write_bytes(file.read(1 << 20))
        state, _place = slotstate.read(copy)
        assert state is not None
        return state

    def close(self) -> None:
        self.network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _machine(self) -> list[str]:
        here = inside(self.folder)
        told = f"console=ttyAMA0 quiet loglevel=4 panic=-1 gpt rdinit=/ahead/early {'early.tpm' if self.tpm else ''}"
        return [
            *("qemu-system-aarch64", "-M", "virt", "-cpu", CPU, "-accel", "tcg,thread=multi", "-m", "512"),
            *("-smp", "2", "-kernel", inside(kernel()), "-initrd", f"{here}/initrd", "-append", told),
            *("-nic", "none", "-display", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio"),
            *("-drive", f"file=nbd+unix:///?socket={here}/{CARD_DOOR},format=raw,if=none,id=card,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=card,romfile=", "-device", "virtio-rng-pci"),
            *("-drive", "if=none,id=root,file=/scratch/out/root.erofs,format=raw,read-only=on"),
            *("-device", "virtio-blk-pci,drive=root,romfile=", *(tpm_port(here) if self.tpm else ())),
        ]

    def _wait(self, there: Callable[[], bool]) -> float:
        deadline = time.monotonic() + _PATIENCE_S
        while not there():
            assert time.monotonic() < deadline, (self.folder / "qemu.txt").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.02)
        return time.monotonic()

    def _newest(self) -> bytes:
        """This checkout's boot scripts and package, as a tar."""
        archive = self.folder / "new.tar"
        boot = CHECKOUT / "image/files/usr/lib/proofline"
        skip = ["--exclude=__pycache__", "--exclude=*.so"]
        subprocess.run(["tar", "-cf", archive, *skip, "-C", boot, "boot", "-C", CHECKOUT, "appliance"], check=True)
        return archive.read_bytes()

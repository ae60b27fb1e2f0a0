"""Which emulated machine a station is: QEMU's command line, and nothing else. Pure.

- Every path is as the tools tree's programs see it.
- USB ports are those of a four-port controller, counted from 1; what is plugged in comes over QMP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Board = Literal["virt", "raspi3b"]
CPU = "max,pauth=off,sve=off,sme=off,lpa2=off"
"""Of QEMU's own machine. Nothing here depends on the model, but its cost does: on a core without E0PD (every Pi's) a
kernel with KASLR keeps two sets of page tables, each entry to the kernel then costs QEMU its translations, and a boot
takes half as long again. What QEMU computes slowly is off. That the image asks for no more than ARMv8.0, the first
Pi's core, is shown where it boots as one (raspi3b)."""
USB_PORTS = ("1", "2", "3", "4")


@dataclass(frozen=True)
class Direct:
    """What QEMU starts by itself, and the command line for it."""

    kernel: str
    initrd: str
    words: str


@dataclass(frozen=True)
class Setting:
    """How a station is started this time. `folder` is its own; `device_tree` is the Pi's; `thaw`: a machine's state.
    `direct`: started without U-Boot, with a TPM (hil/virtual_station/tpm.py). `typed`: a file that somebody
    types at the serial console, from the first moment on."""

    board: Board
    folder: str
    boot: int
    rtc: str = "utc"
    network: bool = True
    direct: Direct | None = None
    device_tree: str = ""
    thaw: str | None = None
    typed: str | None = None
    extra: Sequence[str] = field(default=())


def command(setting: Setting) -> list[str]:
    """The whole command. The machine waits, halted, until it is told to run."""
    machine = _virt(setting) if setting.board == "virt" else _raspi3b(setting)
    folder = setting.folder
    typed = "" if setting.typed is None else f",input-path={setting.typed}"
    doors = [f"{name}:{folder}/{name},server=on,wait=off".replace(":", " unix:", 1).split(" ") for name in DOORS]
    return [
        *(*machine, "-display", "none", "-monitor", "none", "-no-reboot", "-S", "-qtest-log", "/dev/null"),
        *("-rtc", f"base={setting.rtc}", *setting.extra),
        *([] if setting.thaw is None else ["-incoming", f"file:{setting.thaw}"]),
        *(
            "-chardev",
            f"file,id=console,path={folder}/{console_name(setting.boot)}{typed}",
            "-serial",
            "chardev:console",
        ),
        *(word for name, where in doors for word in (f"-{name}", where)),
    ]


DOORS = ("qmp", "qtest")
CARD_DOOR = "card.door"
DISK = "disk.raw"
TPM_DOOR = "tpm.door"


def console_name(boot: int) -> str:
    """The file that holds the console of the n-th boot."""
    return f"console-{boot}.txt"


def _virt(setting: Setting) -> list[str]:
    """QEMU's own machine, with Debian's U-Boot for it: it has pins that the outside can drive."""
    card = f"file=nbd+unix:///?socket={setting.folder}/{CARD_DOOR}"
    net = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
    start = ["-bios", "/scratch/out/u-boot-qemu.bin"]
    if setting.direct is not None:
        direct = setting.direct
        start = ["-kernel", direct.kernel, "-initrd", direct.initrd, "-append", direct.words]
    tpm = [
        *("-drive", "if=none,id=root,file=/scratch/out/root.erofs,format=raw,read-only=on"),
        *("-device", "virtio-blk-pci,drive=root,romfile=", *tpm_port(setting.folder)),
    ]
    return [
        # acpi=off: with firmware and ACPI, QEMU leaves the pin controller out
        *("qemu-system-aarch64", "-M", "virt,acpi=off", "-cpu", CPU, "-accel", "tcg,thread=multi"),
        *("-m", "1024", "-smp", "2", *start),
        *("-drive", f"{card},format=raw,if=none,id=card,cache=writeback"),
        *("-device", "virtio-blk-pci,drive=card,romfile=", "-device", "i6300esb"),
        *("-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb"),
        *(net if setting.network else ["-nic", "none"]),
        *(tpm if setting.direct else []),
    ]


def tpm_port(folder: str) -> list[str]:
    """The serial port that leads to the TPM (hil/virtual_station/tpm.py)."""
    port = ["-chardev", f"socket,id=tpm,path={folder}/{TPM_DOOR}", "-device", "virtio-serial-pci"]
    return [*port, "-device", "virtserialport,chardev=tpm,name=tpm"]


def _raspi3b(setting: Setting) -> list[str]:
    """A Raspberry Pi 3 with its card, from Debian's u-boot-rpi on. The console is the mini UART, QEMU's second."""
    return [
        *("qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=multi"),
        *("-kernel", "/scratch/loose/u-boot-rpi/usr/lib/u-boot/rpi_3/u-boot.bin"),
        *("-dtb", setting.device_tree, "-drive", f"file={setting.folder}/{DISK},format=raw,if=sd"),
        *("-serial", "null"),
    ]

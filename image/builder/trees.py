"""The device trees of the boards: Debian's own, with a place for a TPM board on those whose header they know.

- Debian's trees have no node for what is plugged onto the header. image/boot/tpm*.dtso are laid over those of the Pi 3
  and Pi 4 families; nothing else in them differs (hil/tests/image/test_boot_trees.py).
- A tree that Debian no longer has, or one without a label that the overlay hangs on, ends the build: no board is left
  out in silence.
- The same trees go into the UKI and into the boot FAT.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from image.builder.ground import CHECKOUT, Words

_HEADER = ("tpm", "tpm-pins")
BOARDS: dict[str, tuple[str, ...]] = {
    "bcm2711-rpi-4-b": _HEADER,
    "bcm2711-rpi-400": _HEADER,
    "bcm2711-rpi-cm4-io": _HEADER,
    "bcm2837-rpi-3-b": _HEADER,
    "bcm2837-rpi-3-b-plus": _HEADER,
    "bcm2837-rpi-cm3-io3": ("tpm",),
    "bcm2712-rpi-5-b": (),
}
"""The boards of an image, and what is laid over the tree of each. Debian's tree of the Pi 5 ends before the chip (RP1)
that its header hangs on."""


def made(folder: Path) -> list[Path]:
    """The trees that a build left in `folder`, in the order in which they go into the UKI."""
    return [folder / f"{name}.dtb" for name in BOARDS]


def make(kernel: Path, folder: Path) -> list[Path]:
    """Make all trees anew from those of the unpacked kernel package."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (source,) = kernel.glob("usr/lib/linux-image-*/broadcom")
    for name in sorted({name for names in BOARDS.values() for name in names}):
        compiled: Words = ["dtc", "-I", "dts", "-O", "dtb", "-o", folder / f"{name}.dtbo"]
        subprocess.run([*compiled, CHECKOUT / f"image/boot/{name}.dtso"], check=True)
    for tree in made(folder):
        shutil.copyfile(source / tree.name, tree)
        overlays = [folder / f"{name}.dtbo" for name in BOARDS[tree.stem]]
        if overlays:
            subprocess.run(["fdtoverlay", "-i", source / tree.name, "-o", tree, *overlays], check=True)
    return made(folder)

"""A plain Debian 13 to hold the image's start against: the same locked packages, as Debian configures them.

`python3 -m image.builder.reference EPOCH`, in the tools tree; writes /scratch/reference/disk.raw.

- Nothing of ours is in it: no unit, no verity, no service. ext4, read-write; all of Debian's modules, as Debian packs
  them; a login prompt on the serial console. The same kernel, started by the same U-Boot (its EFI path).
- Its initrd has one job, to mount the root: it is smaller and faster than the one that initramfs-tools makes, which
  leaves the reference, if anything, ahead of what somebody would install.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from image.builder import parts, record
from image.builder.ground import SCRATCH
from image.builder.root import CHECKOUT

_FOLDER = SCRATCH / "reference"
_ROOT_MIB = 1200
_FAT_MIB = 96
_INIT = CHECKOUT / "image/reference/init"


def make(epoch: int) -> None:
    """The reference's disk, unless it is there for these very inputs."""
    mark = _FOLDER / "state"
    state = hashlib.sha256((SCRATCH / "base.state").read_bytes() + _INIT.read_bytes() + Path(__file__).read_bytes())
    if mark.exists() and mark.read_text("ascii") == state.hexdigest():
        return
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    loose = SCRATCH / "loose"
    tree = _FOLDER / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", SCRATCH / "base", tree], check=True)
    kernel = loose / "linux"
    shutil.copytree(kernel / "usr/lib/modules", tree / "usr/lib/modules", dirs_exist_ok=True)
    (release,) = [one.name for one in (kernel / "usr/lib/modules").iterdir()]
    subprocess.run(["depmod", "--basedir", tree, release], check=True)
    (tree / "etc/hostname").write_text("debian\n", "ascii")
    # with a machine id it is no first boot, and nobody is asked for a time zone
    (tree / "etc/machine-id").write_text(hashlib.md5(b"reference", usedforsecurity=False).hexdigest() + "\n", "ascii")
    parts.initrd(SCRATCH / "root", kernel, _FOLDER / "initrd.zst", epoch, init=_INIT)
    command = [
        "ukify", "build",
        f"--linux={kernel}/boot/vmlinuz-{release}",
        f"--initrd={_FOLDER}/initrd.zst",
        "--cmdline=root=/dev/vda2 rw quiet console=ttyAMA0",
        f"--os-release=@{tree}/usr/lib/os-release",
        f"--uname={release}",
        "--efi-arch=aa64",
        f"--stub={loose}/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
        f"--output={_FOLDER}/debian.efi",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    parts.fat({"EFI/BOOT/BOOTAA64.EFI": _FOLDER / "debian.efi"}, _FOLDER / "efi.vfat", _FAT_MIB, "REFERENCE", epoch)
    root = _FOLDER / "root.ext4"
    with root.open("wb") as file:
        file.truncate(_ROOT_MIB * parts.MIB)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "reference", "-d", tree, root], check=True)
    shutil.rmtree(tree)
    _disk(_FOLDER / "disk.raw", _FOLDER / "efi.vfat", root)
    root.unlink()
    record.write(_FOLDER / "about.json", {"kernel": release, "sha256": record.sha256(_FOLDER / "disk.raw")})
    mark.write_text(state.hexdigest(), "ascii")


def _disk(disk: Path, fat: Path, root: Path) -> None:
    with disk.open("wb") as file:
        file.truncate((_FAT_MIB + _ROOT_MIB + 2) * parts.MIB)
    parted = [f"start=1MiB, size={_FAT_MIB}MiB, type=uefi", f"start={_FAT_MIB + 1}MiB, size={_ROOT_MIB}MiB, type=linux"]
    layout = "\n".join(["label: gpt", *parted, ""])
    subprocess.run(["sfdisk", "--quiet", disk], input=layout, text=True, check=True)
    for source, place in ((fat, 1), (root, _FAT_MIB + 1)):
        words = [f"if={source}", f"of={disk}", "bs=1M", f"seek={place}", "conv=notrunc,sparse", "status=none"]
        subprocess.run(["dd", *words], check=True)


if __name__ == "__main__":
    make(int(sys.argv[1]))

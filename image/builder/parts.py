"""Makes verity root, initrd, UKI, file systems and disk from a finished root. Runs in the tools tree.

- Every salt, UUID and volume id comes from what is built, so that same inputs give same bytes.
- FATs are filled by mtools in sorted order, never by a mounted file system.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.card.layout import FIRST_MIB, MIB, SECTOR, SLOTS, end_mib, places
from appliance.update import slotstate
from appliance.update.manifest import COMPATIBLE
from image.builder.ground import CHECKOUT, SCRATCH, Words, modules
from image.builder.uboot import environment

BLOCK = 4096
_NAMESPACE = uuid.UUID("3c5f1d4e-7d0b-4c39-9a53-0f4f1c1f8a10")
INITRD_PROGRAMS = (
    "dash",
    "kmod",
    "mount",
    "chroot",
    "cat",
    "dd",
    "od",
    "tr",
    "tail",
    "sed",
    "sleep",
    "dmsetup",
    "switch_root",
)


@dataclass(frozen=True)
class Verity:
    """What the command line must say for the kernel to verify a root. Hex without prefix; blocks of 4096 bytes."""

    root_hash: str
    salt: str
    uuid: str
    blocks: int


def erofs(folder: Path, image: Path, epoch: int, label: str) -> None:
    """A compressed read-only file system, made to be read fast: LZ4 in small pieces.

    Zstandard would make it a quarter smaller, but a boot would spend seconds on unpacking it, and a build a minute.
    """
    name = str(uuid.uuid5(_NAMESPACE, label))
    flags = ["-zlz4hc,level=9", "-C16384", "-Eztailpacking", f"-T{epoch}", f"-U{name}", f"-L{label}", "--quiet"]
    image.unlink(missing_ok=True)
    subprocess.run(["mkfs.erofs", *flags, image, folder], check=True, capture_output=True)


def verity(data: Path, tree: Path, version: str) -> Verity:
    """A hash tree over a file system. The salt comes from the data and the version, so that each version has a root
    hash of its own; the tree's UUID comes from the root hash."""
    with data.open("rb") as file:
        salt = hashlib.sha256(hashlib.file_digest(file, "sha256").digest() + version.encode()).hexdigest()
    blocks = data.stat().st_size // BLOCK

    def format_with(name: str) -> str:
        tree.unlink(missing_ok=True)
        command: Words = ["veritysetup", "format", f"--salt={salt}", f"--uuid={name}", data, tree]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"^Root hash:\s+([0-9a-f]{64})$", output, re.MULTILINE)
        assert found is not None
        return found[1]

    root_hash = format_with(str(_NAMESPACE))
    name = uuid.UUID(root_hash[:32])
    assert format_with(str(name)) == root_hash, "the root hash depends on the UUID"
    tree.chmod(0o644)
    return Verity(root_hash, salt, name.hex, blocks)


def initrd(root: Path, kernel: Path, output: Path, epoch: int, *, init: Path = CHECKOUT / "image/initrd/init") -> None:
    """A small initrd of the root's own programs: `init` and what it calls."""
    tree = SCRATCH / "initrd"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("dev", "proc", "sys", "run", "sysroot", "usr/bin", "usr/lib", "modules", "etc"):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "usr/sbin").symlink_to("bin")
    wanted = [_find(root, name) for name in INITRD_PROGRAMS]
    loader = root / "usr/lib/ld-linux-aarch64.so.1"
    for path in wanted:
        shutil.copy(path, tree / "usr/bin" / path.name)
    (tree / "usr/bin/sh").symlink_to("dash")
    (tree / "usr/bin/insmod").symlink_to("kmod")
    shutil.copy(loader.resolve() if not loader.is_symlink() else _resolve(root, loader), tree / "usr/lib" / loader.name)
    for library in _libraries(root, wanted):
        target = tree / library.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_resolve(root, library), target)
    shutil.copy(init, tree / "init")
    (tree / "init").chmod(0o755)
    _initrd_modules(root, kernel, tree)
    for path in [tree, *tree.rglob("*")]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = SCRATCH / "initrd.cpio"
    with archive.open("wb") as file:
        command = ["cpio", "--quiet", "--reproducible", "--owner=0:0", "-0", "-H", "newc", "-o"]
        subprocess.run(command, input="\0".join(names).encode(), stdout=file, cwd=tree, check=True)
    subprocess.run(["zstd", "-q", "-f", "-9", "-T1", archive, "-o", output], check=True)


def uki(
    root: Path,
    loose: Path,
    trees: Sequence[Path],
    initrd_file: Path,
    found: Verity,
    version: str,
    output: Path,
    more: Sequence[str] = (),
) -> str:
    """The unified kernel image with these device trees, and `more` words on its command line. Returns that line."""
    kernel = loose / "linux"
    (release,) = [one.name for one in (kernel / "usr/lib/modules").iterdir()]
    listing = (CHECKOUT / "systemd/kernel-command-line").read_text("utf-8").splitlines()
    words = [
        # not "root=": RAUC takes any word that ends so for the booted device
        f"proofline.roothash={found.root_hash}",
        f"proofline.salt={found.salt}",
        f"proofline.uuid={found.uuid}",
        f"proofline.blocks={found.blocks}",
        f"proofline.version={version}",
        f"proofline.compatible={COMPATIBLE}",
        "ro",
        "quiet",
        "loglevel=4",
        "systemd.getty_auto=no",
        *(line.strip() for line in listing if line.strip() and not line.startswith("#")),
        *more,
    ]
    release_file = output.with_suffix(".os-release")
    release_file.write_text((root / "usr/lib/os-release").read_text("ascii") + f"IMAGE_VERSION={version}\n", "ascii")
    command = [
        "ukify", "build",
        f"--linux={kernel}/boot/vmlinuz-{release}",
        f"--initrd={initrd_file}",
        f"--cmdline={' '.join(words)}",
        f"--os-release=@{release_file}",
        f"--uname={release}",
        "--efi-arch=aa64",
        f"--stub={loose}/systemd-boot-efi/usr/lib/systemd/boot/efi/linuxaa64.efi.stub",
        *(f"--devicetree-auto={tree}" for tree in trees),
        f"--output={output}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return " ".join(words)


def fat(files: Mapping[str, Path], image: Path, mib: int, label: str, epoch: int) -> None:
    """A FAT32 file system with these files, in sorted order, with one time for all."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    volume = hashlib.sha256(label.encode()).hexdigest()[:8]
    command: Words = [
        "mkfs.vfat",
        "-F",
        "32",
        "-S",
        "512",
        "-s",
        "1",
        "-i",
        volume,
        "-n",
        label.upper()[:11],
        "--invariant",
        image,
    ]
    subprocess.run(command, check=True, capture_output=True)
    surroundings = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    staged = SCRATCH / "fat"
    shutil.rmtree(staged, ignore_errors=True)
    for name, source in sorted(files.items()):
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, staged / name)
    for path in [*staged.rglob("*")]:
        os.utime(path, (epoch, epoch))
    for folder in sorted({str(one) for name in files for one in Path(name).parents} - {"."}):
        subprocess.run(["mmd", "-i", image, f"::{folder}"], check=True, env=surroundings)
    for name in sorted(files):
        subprocess.run(["mcopy", "-m", "-i", image, staged / name, f"::{name}"], check=True, env=surroundings)


def boot_files(loose: Path, trees: Sequence[Path], work: Path, epoch: int) -> dict[str, Path]:
    """What stands in the boot configuration FAT: the Pi's firmware, U-Boot, the boot script, the device trees."""
    firmware, uboot = loose / "raspi-firmware/usr/lib/raspi-firmware", loose / "u-boot-rpi/usr/lib/u-boot"
    script = work / "boot.scr"
    flags: Words = [
        "-A",
        "arm64",
        "-T",
        "script",
        "-C",
        "none",
        "-n",
        "Proofline",
        "-d",
        CHECKOUT / "image/boot/boot.cmd",
    ]
    subprocess.run(["mkimage", "-q", *flags, script], check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    files = {"boot.scr": script, "config.txt": CHECKOUT / "image/boot/config.txt"}
    boards = {name: uboot / name / "u-boot.bin" for name in ("rpi_3", "rpi_4", "rpi_arm64")}
    files |= {f"u-boot-{name}.bin": binary for name, binary in boards.items()}
    files["uboot.env"] = work / "uboot.env"
    files["uboot.env"].write_bytes(environment([binary.read_bytes() for binary in boards.values()]))
    for pattern in ("bootcode.bin", "start.elf", "start4.elf", "fixup.dat", "fixup4.dat", "LICENCE*"):
        files |= {path.name: path for path in firmware.glob(pattern)}
    return files | {tree.name: tree for tree in trees}


def disk(image: Path, contents: Mapping[str, Path]) -> None:
    """The whole card: a GPT with fixed ids, and the partitions' contents."""
    layout = [f"label: gpt\nlabel-id: {uuid.uuid5(_NAMESPACE, 'disk')}\nfirst-lba: {FIRST_MIB * MIB // SECTOR}\n"]
    at = {name: (start, mib) for name, _kind, start, mib in places()}
    for name, kind, start, mib in places():
        layout.append(f"start={start}MiB, size={mib}MiB, type={kind}, name={name}, uuid={uuid.uuid5(_NAMESPACE, name)}")
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate((end_mib() + 1) * MIB)
    subprocess.run(["sfdisk", "--quiet", image], input="\n".join(layout) + "\n", text=True, check=True)
    with image.open("r+b") as file:
        for name, source in contents.items():
            start, mib = at[name]
            if source.stat().st_size > mib * MIB:
                raise ValueError(f"{source.name} has {source.stat().st_size} bytes, {name} holds {mib} MiB")
            subprocess.run(
                [
                    "dd",
                    f"if={source}",
                    f"of={image}",
                    "bs=1M",
                    f"seek={start}",
                    "conv=notrunc,sparse",
                    "status=none",
                ],
                check=True,
            )
        file.seek(at[SLOTS][0] * MIB)
        file.write(slotstate.encode(slotstate.fresh("a")))


def _initrd_modules(root: Path, kernel: Path, tree: Path) -> None:
    (release,) = [one.name for one in (kernel / "usr/lib/modules").iterdir()]
    source = root / "usr/lib/modules" / release
    listing = [
        line.split("#")[0].strip() for line in (CHECKOUT / "image/initrd/modules.list").read_text("utf-8").splitlines()
    ]
    by_name = {path.stem.replace("_", "-"): str(path.relative_to(source)) for path in (source / "kernel").rglob("*.ko")}
    order: dict[str, None] = {}
    for name in filter(None, listing):
        found = by_name.get(name.replace("_", "-"))
        if found is not None:
            order |= dict.fromkeys(modules(source, [found]))
    for name in order:
        shutil.copy(source / name, tree / "modules" / Path(name).name)
    (tree / "modules/order").write_text("".join(f"{Path(name).name}\n" for name in order), "ascii")


def _find(root: Path, name: str) -> Path:
    for folder in ("usr/bin", "usr/sbin"):
        if (root / folder / name).exists():
            return root / folder / name
    raise FileNotFoundError(f"{name} is not in the image")


def _resolve(root: Path, path: Path) -> Path:
    while path.is_symlink():
        target = path.readlink()
        path = root / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path


def _libraries(root: Path, programs: Sequence[Path]) -> list[Path]:
    """The shared libraries that programs need, and those that these need."""
    folder = root / "usr/lib/aarch64-linux-gnu"
    found: dict[Path, None] = {}
    queue = list(programs)
    while queue:
        output = subprocess.run(
            ["readelf", "-d", _resolve(root, queue.pop())], check=True, capture_output=True, text=True
        ).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*?)\]", output):
            path = folder / name
            if path.exists() and path not in found:
                found[path] = None
                queue.append(path)
    return sorted(found)

"""What happens in the tools tree: `python3 -m image.builder.inside VERSION EPOCH`. Called by image.builder.__main__.

Everything it reads is in /checkout and /scratch; what is shipped lies in /scratch/out afterwards.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from appliance.card import erofs
from appliance.card.layout import SITE
from image.builder import archive, parts, record, root, trees, wheels
from image.builder.ground import CHECKOUT, SCRATCH

SHIPPED = ("disk.raw", "root.erofs", "root.verity", "boot.vfat", "proofline.efi")


def main(version: str, epoch: int) -> None:
    out, loose, tree = SCRATCH / "out", SCRATCH / "loose", SCRATCH / "root"
    out.mkdir(exist_ok=True)
    root.make(tree, epoch=epoch)
    assemble(tree, loose, out, version, epoch)
    packages = [one for one in archive.read_lock(CHECKOUT / "image/packages.lock") if one.set != "tools"]
    wheel_lock = wheels.read_lock(CHECKOUT / "image/wheels.lock")
    digests = {name: record.sha256(out / name) for name in SHIPPED}
    record.write(out / "sbom.spdx.json", record.sbom(version, epoch, packages, wheel_lock, digests))
    about = {
        "schema": 1,
        "version": version,
        "source_date_epoch": epoch,
        "inputs": {
            "source": json.loads((SCRATCH / "sources.json").read_text("utf-8")),
            "packages.lock": record.sha256(CHECKOUT / "image/packages.lock"),
            "wheels.lock": record.sha256(CHECKOUT / "image/wheels.lock"),
        },
        "tools": [
            f"{one.name} {one.version}"
            for one in archive.read_lock(CHECKOUT / "image/packages.lock")
            if one.set == "tools"
        ],
        "verity": "sha256:" + json.loads((out / "verity.json").read_text("utf-8"))["root_hash"],
        "artefacts": digests | {"sbom.spdx.json": record.sha256(out / "sbom.spdx.json")},
        "sizes": {name: (out / name).stat().st_size for name in SHIPPED},
    }
    record.write(out / "build.json", about)


def assemble(tree: Path, loose: Path, out: Path, version: str, epoch: int) -> None:
    """Slot images and the whole card, from a finished root."""
    parts.erofs(tree, out / "root.erofs", epoch, "proofline-root")
    found = parts.verity(out / "root.erofs", out / "root.verity", version)
    record.write(
        out / "verity.json",
        {"root_hash": found.root_hash, "salt": found.salt, "uuid": found.uuid, "blocks": found.blocks},
    )
    parts.initrd(tree, loose / "linux", SCRATCH / "initrd.zst", epoch)
    boards = trees.make(loose / "linux", SCRATCH / "trees")
    parts.uki(tree, loose, boards, SCRATCH / "initrd.zst", found, version, out / "proofline.efi")
    parts.fat({"proofline.efi": out / "proofline.efi"}, out / "boot.vfat", 96, "PL-SLOT", epoch)
    parts.fat(parts.boot_files(loose, boards, SCRATCH, epoch), SCRATCH / "config.vfat", 64, "PL-BOOT", epoch)
    (SCRATCH / "site.erofs").write_bytes(erofs.make({}, SITE))
    contents = {
        "proofline-boot": SCRATCH / "config.vfat",
        "proofline-boot-a": out / "boot.vfat",
        "proofline-root-a": out / "root.erofs",
        "proofline-hash-a": out / "root.verity",
        "proofline-site": SCRATCH / "site.erofs",
    }
    parts.disk(out / "disk.raw", contents)
    shutil.copy(loose / "u-boot-qemu/usr/lib/u-boot/qemu_arm64/u-boot.bin", out / "u-boot-qemu.bin")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""Update bundles: a built slot, signed, in the one form that a station takes (RAUC's verity format).

    slot = bundle.stamp(tools, "0.2.0", folder)          # another version of the root that was built; seconds
    bundle.make(tools, slot, key, cert, output)          # <version>.raucb and <version>.json

- Before it is signed a bundle has no chance in it: a squashfs of the slot's three images, its hash tree, and the
  manifest that names the tree's root hash. Salt and times come from what is packed. The signature is not repeatable,
  so two people compare `Unsigned.digest`.
- The signature is the manifest in a CMS envelope, made by this machine's own openssl: a key may be a PEM file or a
  `pkcs11:` URI, and never enters the tools tree.
- Beside the bundle lies its document, which the release desk completes (ticket, stations) and promotes.

What happens inside the tools tree is `main`: `python3 -m image.builder.bundle stamp|pack ...`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.card.layout import SLOT_FILES
from appliance.update.manifest import COMPATIBLE, SLOT_IMAGES
from image.builder import parts, record, trees
from image.builder.ground import SCRATCH
from image.builder.tree import ToolsTree

_SQUASHFS = ("-comp", "zstd", "-Xcompression-level", "15", "-b", "1M", "-all-root", "-no-xattrs", "-noappend")


class SigningFailed(Exception):
    """openssl did not sign; its words are in the text."""


@dataclass(frozen=True)
class Slot:
    """The three images of one slot, in a folder below the scratch folder."""

    folder: Path
    version: str
    verity: str


@dataclass(frozen=True)
class Unsigned:
    """A bundle without its signature."""

    payload: Path
    manifest: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over the payload and the manifest, in hex: what two people compare."""
        with self.payload.open("rb") as file:
            return hashlib.sha256(hashlib.file_digest(file, "sha256").digest() + self.manifest).hexdigest()


def built(out: Path) -> Slot:
    """The slot that the last build made."""
    about = json.loads((out / "build.json").read_text("utf-8"))
    return Slot(out, about["version"], about["verity"])


def stamp(tools: ToolsTree, version: str, folder: Path, *, words: Sequence[str] = (), root: Path | None = None) -> Slot:
    """A slot of another version, in a folder below the scratch folder, from the root that was built or from `root` (on
    the same file system): hash tree, UKI and FAT are made by the build's own steps, packages and root are not. `words`
    go onto the kernel's command line."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "root.erofs").hardlink_to(root or tools.scratch / "out/root.erofs")
    _run(tools, ["stamp", _inside(tools, folder), version, *words])
    root_hash = json.loads((folder / "verity.json").read_text("utf-8"))["root_hash"]
    return Slot(folder, version, f"sha256:{root_hash}")


def pack(tools: ToolsTree, slot: Slot, *, compatible: str = COMPATIBLE) -> Unsigned:
    """The bundle of a slot, all but its signature."""
    _run(tools, ["pack", _inside(tools, slot.folder), slot.version, compatible])
    return Unsigned(slot.folder / "bundle.payload", (slot.folder / "bundle.manifest").read_bytes())


def sign(unsigned: Unsigned, key: str, cert: Path, output: Path) -> None:
    """Put payload and signed manifest together. `key`: a PEM file, or a `pkcs11:` URI that openssl knows how to use.
    Certificates that follow the signer's own in `cert` go along as intermediates."""
    command = ["openssl", "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-md", "sha256", "-outform", "DER"]
    command += ["-signer", os.fspath(cert), "-inkey", key]
    if key.startswith("pkcs11:"):
        command += ["-engine", "pkcs11", "-keyform", "engine"]
    _signer, *chain = re.findall(
        r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", cert.read_text(), re.DOTALL
    )
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as others:
        others.write("".join(chain))
        others.flush()
        command += ["-certfile", others.name] if chain else []
        done = subprocess.run(command, input=unsigned.manifest, capture_output=True, check=False)
    if done.returncode:
        raise SigningFailed(done.stderr.decode("utf-8", "replace").strip())
    partial = output.with_name(output.name + ".part")
    shutil.copyfile(unsigned.payload, partial)
    with partial.open("ab") as file:
        file.write(done.stdout + len(done.stdout).to_bytes(8, "big"))
    partial.replace(output)


def document(slot: Slot, bundle: Path, *, floor: str, compatible: str = COMPATIBLE) -> dict[str, object]:
    """What the release desk promotes, but for the ticket and the stations."""
    return {
        "schema": 1,
        "compatible": compatible,
        "version": slot.version,
        "verity": slot.verity,
        "floor": floor,
        "bundle": {
            "target": f"images/{compatible}/{slot.version}.raucb",
            "sha256": record.sha256(bundle),
            "length": bundle.stat().st_size,
        },
    }


def make(tools: ToolsTree, slot: Slot, key: str, cert: Path, folder: Path, *, floor: str = "0.0.0") -> Path:
    """Write `<version>.raucb` and `<version>.json` into a folder; the bundle's path."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{slot.version}.raucb"
    sign(pack(tools, slot), key, cert, output)
    record.write(folder / f"{slot.version}.json", document(slot, output, floor=floor))
    return output


def _inside(tools: ToolsTree, folder: Path) -> str:
    return os.fspath(SCRATCH / folder.relative_to(tools.scratch))


def _run(tools: ToolsTree, words: list[str]) -> None:
    epoch = json.loads((tools.scratch / "out/build.json").read_text("utf-8"))["source_date_epoch"]
    command = ["python3", "-m", "image.builder.bundle", words[0], str(epoch), *words[1:]]
    tools.run(command, f"bundle-{words[0]}.log", env={"SOURCE_DATE_EPOCH": str(epoch)})


def _stamp(epoch: int, folder: Path, version: str, words: Sequence[str]) -> None:
    """Inside the tree: root.verity and boot.vfat for `folder`/root.erofs, under another version."""
    scratch = SCRATCH
    found = parts.verity(folder / "root.erofs", folder / "root.verity", version)
    boards = trees.made(scratch / "trees")
    initrd, output = scratch / "initrd.zst", folder / "proofline.efi"
    parts.uki(scratch / "root", scratch / "loose", boards, initrd, found, version, output, words)
    parts.fat({"proofline.efi": folder / "proofline.efi"}, folder / "boot.vfat", 96, "PL-SLOT", epoch)
    record.write(folder / "verity.json", {"root_hash": found.root_hash})


def _pack(epoch: int, folder: Path, version: str, compatible: str) -> None:
    """Inside the tree: bundle.payload and bundle.manifest from the slot's files in `folder`."""
    content = folder / "bundle"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    update = ["[update]", f"compatible={compatible}", f"version={version}"]
    images = []
    for kind in SLOT_IMAGES:
        source = folder / SLOT_FILES[kind]
        (content / f"{kind}.img").hardlink_to(source)
        digest, size = record.sha256(source), source.stat().st_size
        images += ["", f"[image.{kind}]", f"filename={kind}.img", f"sha256={digest}", f"size={size}"]
    inner = "\n".join([*update, "", "[bundle]", "format=verity", *images, ""])
    (content / "manifest.raucm").write_text(inner, "ascii")
    payload = folder / "bundle.payload"
    payload.unlink(missing_ok=True)
    # the times are given twice: mksquashfs takes them from its flags only where SOURCE_DATE_EPOCH is not set
    surroundings = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    times = ["-mkfs-time", str(epoch), "-all-time", str(epoch), "-no-progress", "-quiet"]
    subprocess.run(["mksquashfs", content, payload, *_SQUASHFS, *times], check=True, env=surroundings)
    shutil.rmtree(content)
    size = payload.stat().st_size
    with payload.open("r+b") as file:
        file.truncate(-(-size // parts.BLOCK) * parts.BLOCK)
    size = payload.stat().st_size
    salt = record.sha256(payload)
    tree = ["--no-superblock", f"--hash-offset={size}", f"--salt={salt}", f"--data-blocks={size // parts.BLOCK}"]
    told = subprocess.run(
        ["veritysetup", "format", *tree, payload, payload], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"^Root hash:\s+([0-9a-f]{64})$", told, re.MULTILINE)
    assert found is not None
    grown = payload.stat().st_size - size
    about = ["[bundle]", "format=verity", f"verity-hash={found[1]}", f"verity-salt={salt}", f"verity-size={grown}"]
    (folder / "bundle.manifest").write_text("\n".join([*update, "", *about, *images, ""]), "ascii")


def main(words: list[str]) -> None:
    """The two steps that need the tools tree."""
    if words[0] == "stamp":
        _stamp(int(words[1]), Path(words[2]), words[3], words[4:])
    else:
        _pack(int(words[1]), Path(words[2]), words[3], words[4])


if __name__ == "__main__":
    main(sys.argv[1:])

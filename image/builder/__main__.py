"""`image/build VERB`: the image from a clean machine, in named steps that say what they do.

  image   everything: tools tree, Debian's packages, root, slots, disk, SBOM, build record -> .build/image/scratch/out
  repro   a second build from nothing, in another place, on another file system, on one processor; every file compared
  bench   figures of the image that was made, one JSON object a line
  bundle  --key KEY --cert CERT [--version V] [--floor V]: the image as an update bundle with its document,
          or the same root under another version -> .build/image/scratch/out/bundles. KEY: PEM file or pkcs11: URI
  lock    ask the mirrors what is newest, show what changes, write image/packages.lock and image/wheels.lock

- A step whose inputs did not change is not done again; the steps that are fast are always done.
- The checkout is only read, but for the locks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from image.builder import archive, bench, bundle, record, wheels
from image.builder.archive import ArchiveError, Package
from image.builder.bundle import SigningFailed
from image.builder.tree import CHECKOUT, StepFailed, ToolsTree, emulate_arm64
from image.builder.wheels import WheelError

WORK = Path(os.environ.get("PROOFLINE_IMAGE_WORK", CHECKOUT / ".build" / "image"))
"""Where everything is made: by default inside the checkout."""
SOURCES = ("appliance", "pyproject.toml", "setup.py", "README.md", "LICENSE")
_LOCK = CHECKOUT / "image" / "packages.lock"
_WHEELS = CHECKOUT / "image" / "wheels.lock"
_PIP = CHECKOUT / ".venv" / "bin" / "pip"
_STARTED = time.monotonic()


def say(text: str) -> None:
    sys.stdout.write(f"image: {time.monotonic() - _STARTED:4.0f} s  {text}\n")
    sys.stdout.flush()


def lock() -> None:
    """Write both locks anew and show what changed."""
    say("asking this machine's mirrors what Debian 13 has today")
    packages = archive.resolve(CHECKOUT / "image" / "packages", WORK / "resolve")
    old = archive.read_lock(_LOCK) if _LOCK.exists() else ()
    told = archive.differences(old, packages)
    archive.write_lock(_LOCK, packages)
    say("choosing the Python packages' files for the image's Python")
    chosen = wheels.resolve(CHECKOUT / "requirements" / "station.txt", _PIP, WORK / "resolve-wheels")
    told += wheels.differences(wheels.read_lock(_WHEELS) if _WHEELS.exists() else (), chosen)
    wheels.write_lock(_WHEELS, chosen)
    sys.stdout.write("".join(f"  {line}\n" for line in told) or "  nothing changed\n")


def image() -> Path:
    """Make the image; returns the folder with what is shipped."""
    packages = archive.read_lock(_LOCK)
    tools = ToolsTree(WORK / "tools", WORK / "scratch")
    scratch = tools.scratch
    python = wheels.read_lock(_WHEELS)
    archive.fetch(packages, WORK / "archive", say)
    wheels.fetch(python, _PIP, WORK / "archive", say)
    tools.make([one for one in packages if one.set == "tools"], WORK / "archive", say)
    emulate_arm64(tools.tree / "usr/bin/qemu-aarch64", say)
    archive.select(python, WORK / "archive", scratch / "wheels")
    take_apart([one for one in packages if one.set == "loose"], scratch / "loose")
    base(tools, [one for one in packages if one.set == "image"])
    version, epoch = source(scratch)
    say(f"making root, slots and disk of version {version}")
    tools.run(
        ["python3", "-m", "image.builder.inside", version, str(epoch)],
        "inside.log",
        env={"SOURCE_DATE_EPOCH": str(epoch)},
    )
    about = json.loads((scratch / "out" / "build.json").read_text("utf-8"))
    for name, digest in about["artefacts"].items():
        say(f"{digest[:16]}…  {about['sizes'].get(name, 0) / 2**20:7.1f} MiB  {name}")
    say(f"made {os.path.relpath(scratch / 'out', CHECKOUT)}/disk.raw, root hash {about['verity']}")
    return scratch / "out"


def repro() -> None:
    """Build what is committed twice and compare. Raises StepFailed with a report when anything that is shipped differs.

    The first build uses what is there (tools tree, installed packages); the second has nothing but the fetched files,
    another path, another kind of file system and one processor.
    """
    again = WORK / "again"
    again.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10G,mode=0755", "tmpfs", again], check=True)
    try:
        # what was fetched may be the same; everything that is made is made anew
        shutil.copytree(WORK / "archive", again / "archive")
        say("building what is committed")
        build_frozen(CHECKOUT, WORK / "frozen", WORK, [])
        say("building it again from nothing, in another place")
        # from the first clone: somebody may have committed meanwhile
        build_frozen(WORK / "frozen", again / "elsewhere" / "frozen", again, ["taskset", "--cpu-list", "0"])
        told = differences(WORK / "scratch" / "out", again / "scratch" / "out")
        if told:
            told += tree_differences(WORK / "scratch" / "root", again / "scratch" / "root")
            raise StepFailed("the two builds differ:\n" + "\n".join(f"  {line}" for line in told))
    finally:
        subprocess.run(["umount", again], check=True)
    say("both builds have the same bytes")


def build_frozen(origin: Path, clone: Path, work: Path, prefix: Sequence[str]) -> None:
    """Build a repository's last commit from a clone of it, so that nobody's work in progress takes part."""
    shutil.rmtree(clone, ignore_errors=True)
    safe = ["-c", f"safe.directory={origin}", "-c", f"safe.directory={origin}/.git"]
    subprocess.run(["git", *safe, "clone", "--quiet", "--shared", origin, clone], check=True)
    surroundings = {**os.environ, "PROOFLINE_IMAGE_WORK": os.fspath(work), "PYTHONPATH": os.fspath(clone)}
    subprocess.run([*prefix, sys.executable, "-m", "image.builder", "image"], check=True, cwd=clone, env=surroundings)


def measure() -> None:
    """Print the figures of the image that is there."""
    sys.stdout.write(bench.lines(ToolsTree(WORK / "tools", WORK / "scratch")))


def make_bundle(words: Sequence[str]) -> None:
    """A signed update bundle and its document."""
    parser = argparse.ArgumentParser(prog="image/build bundle")
    parser.add_argument("--key", required=True)
    parser.add_argument("--cert", required=True, type=Path)
    parser.add_argument("--version")
    parser.add_argument("--floor", default="0.0.0")
    given = parser.parse_args(words)
    tools = ToolsTree(WORK / "tools", WORK / "scratch")
    slot = bundle.built(tools.scratch / "out")
    if given.version not in (None, slot.version):
        say(f"stamping version {given.version} on the root of {slot.version}")
        slot = bundle.stamp(tools, given.version, tools.scratch / "stamped" / given.version)
    say("packing and signing the bundle")
    made = bundle.make(tools, slot, given.key, given.cert, tools.scratch / "out" / "bundles", floor=given.floor)
    say(f"made {os.path.relpath(made, CHECKOUT)}, {made.stat().st_size / 2**20:.1f} MiB, and its document beside it")


def differences(one: Path, other: Path) -> list[str]:
    """The shipped files whose digests differ between two builds."""
    first, second = (json.loads((place / "build.json").read_text("utf-8"))["artefacts"] for place in (one, other))
    return [
        f"{name}: {first.get(name)} and {second.get(name)}"
        for name in sorted(first | second)
        if first.get(name) != second.get(name)
    ]


def tree_differences(one: Path, other: Path) -> list[str]:
    """Which files of two root file systems differ, and in what: for whoever looks for the reason."""

    def described(tree: Path) -> dict[str, str]:
        found = {}
        for path in tree.rglob("*"):
            about = path.lstat()
            content = str(path.readlink()) if path.is_symlink() else record.sha256(path) if path.is_file() else ""
            owner = f"{about.st_uid}:{about.st_gid}"
            found[str(path.relative_to(tree))] = (
                f"{about.st_mode:o} {owner} {int(about.st_mtime)} {about.st_nlink if path.is_file() else 0} {content}"
            )
        return found

    first, second = described(one), described(other)
    names = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    return [f"/{name}\n    {first.get(name, 'not there')}\n    {second.get(name, 'not there')}" for name in names[:200]]


def take_apart(packages: Sequence[Package], folder: Path) -> None:
    """Unpack what is never installed."""
    state = hashlib.sha256(repr(sorted(packages)).encode()).hexdigest()
    mark = folder / "state"
    if mark.exists() and mark.read_text("ascii") == state:
        return
    shutil.rmtree(folder, ignore_errors=True)
    for one in packages:
        name = "linux" if one.name.startswith("linux-image-") else one.name
        (folder / name).mkdir(parents=True)
        subprocess.run(["dpkg-deb", "--extract", WORK / "archive" / one.file, folder / name], check=True)
    mark.write_text(state, "ascii")


def base(tools: ToolsTree, packages: Sequence[Package]) -> None:
    """Debian's packages of the image, installed by mkosi."""
    recipe = (CHECKOUT / "image/mkosi/mkosi.conf").read_bytes()
    names = archive.wanted(CHECKOUT / "image/packages/image.list")
    state = hashlib.sha256(recipe + repr((names, sorted(packages))).encode()).hexdigest()
    scratch = tools.scratch
    mark = scratch / "base.state"
    if mark.exists() and mark.read_text("ascii") == state:
        return
    say(f"installing {len(packages)} Debian packages for arm64 (mkosi; through the emulator, this takes minutes)")
    mark.unlink(missing_ok=True)
    for name in ("base", "mkosi", "sandbox", "recipe"):
        shutil.rmtree(scratch / name, ignore_errors=True)
    for name in ("mkosi/out", "mkosi/work", "mkosi/cache", "sandbox/etc/apt/sources.list.d", "recipe"):
        (scratch / name).mkdir(parents=True)
    archive.select(packages, WORK / "archive", scratch / "archive")
    archive.index(scratch / "archive")
    (scratch / "recipe/mkosi.conf").write_bytes(recipe)
    (scratch / "sandbox/etc/apt/sources.list.d/mkosi.sources").write_text(
        "Types: deb\nURIs: file:///scratch/archive\nSuites: ./\nTrusted: yes\n", "ascii"
    )
    wanted = ["--package=" + ",".join(names), "--source-date-epoch=0"]
    tools.run(["sh", "-c", 'cd recipe && exec mkosi "$@" build', "mkosi", *wanted], "mkosi.log")
    installed = {
        (one["name"], one["version"])
        for one in json.loads((scratch / "mkosi/out/root.manifest").read_text("utf-8"))["packages"]
    }
    locked = {(one.name, one.version) for one in packages}
    if installed != locked:
        raise ArchiveError(f"installed and locked differ: {sorted(installed ^ locked)}")
    (scratch / "mkosi/out/root").rename(scratch / "base")
    shutil.rmtree(scratch / "archive")
    mark.write_text(state, "ascii")


def source(scratch: Path) -> tuple[str, int]:
    """Version and time of what is built, and the list of the package's own files for the steps inside."""
    git: list[str] = ["git", "-C", str(CHECKOUT), "-c", f"safe.directory={CHECKOUT}"]
    listed = subprocess.run(
        [*git, "ls-files", "--", *SOURCES], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    present = [name for name in listed if (CHECKOUT / name).is_file()]
    (scratch / "sources.txt").write_text("".join(f"{name}\n" for name in present), "utf-8")
    told = subprocess.run(
        [*git, "log", "-1", "--format=%H %ct"], check=True, capture_output=True, text=True
    ).stdout.split()
    changed = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    (scratch / "sources.json").write_text(json.dumps({"commit": told[0], "changed": bool(changed)}), "utf-8")
    line = (CHECKOUT / "appliance/__init__.py").read_text("utf-8").split('__version__ = "')[1]
    return line.split('"')[0], int(told[1])


def main() -> int:
    verbs: dict[str, Callable[[], object]] = {"image": image, "lock": lock, "repro": repro, "bench": measure}
    if sys.argv[1:2] == ["bundle"]:
        verbs["bundle"] = lambda: make_bundle(sys.argv[2:])
    elif len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.stderr.write(__doc__ or "")
        return 2
    WORK.mkdir(parents=True, exist_ok=True)
    try:
        verbs[sys.argv[1]]()
    except (ArchiveError, StepFailed, WheelError, SigningFailed) as error:
        sys.stderr.write(f"image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

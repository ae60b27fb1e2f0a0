"""The wheel lock: which files of which Python packages the image's Python 3.13 on arm64 gets, by SHA-256.

- Versions and hashes are those of requirements/station.txt; this lock only says which file of each is the image's.
- A package without a wheel (sdnotify) is built in the tools tree from its source file, which is in the lock as well.
- Files come from the archive, and what is not there from the index that pip is configured for on this machine; the lock
  does not name it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from image.builder.archive import lines

SOURCE_ONLY = ("sdnotify",)
_TARGET = [
    *("--python-version", "3.13", "--implementation", "cp", "--abi", "cp313", "--abi", "abi3", "--abi", "none"),
    *(
        flag
        for version in ("2_17", "2_24", "2_26", "2_28", "2_31", "2_34")
        for flag in ("--platform", f"manylinux_{version}_aarch64")
    ),
    *("--platform", "manylinux2014_aarch64", "--platform", "any"),
]
_HEADER = (
    "# Python packages of the image (CPython 3.13, arm64). Written by `make image-lock`.\n# name version sha256 file\n"
)


class WheelError(Exception):
    """The image's Python packages cannot be what the lock says."""


@dataclass(frozen=True, order=True)
class Wheel:
    """One line of the lock."""

    name: str
    version: str
    sha256: str
    file: str


def read_lock(path: Path) -> tuple[Wheel, ...]:
    """The lock's files in its order. ArchiveError names the line that is not one."""
    return tuple(lines(path, lambda fields: Wheel(*fields)))


def write_lock(path: Path, wheels: Iterable[Wheel]) -> None:
    path.write_text(
        _HEADER + "".join(f"{one.name} {one.version} {one.sha256} {one.file}\n" for one in sorted(wheels)), "ascii"
    )


def differences(old: Iterable[Wheel], new: Iterable[Wheel]) -> list[str]:
    before, after = {one.name: one for one in old}, {one.name: one for one in new}
    told = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            told.append(f"~ wheel  {name} {was.version if was else '-'} -> {now.version if now else '-'}")
    return told


def resolve(requirements: Path, pip: Path, scratch: Path) -> list[Wheel]:
    """Which files pip takes for the image's Python from what requirements/station.txt locks."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    wheels = []
    for name, version, hashes in _requirements(requirements):
        before = set(scratch.iterdir())
        _download(pip, [(name, version, hashes)], scratch)
        (file,) = set(scratch.iterdir()) - before - {scratch / "wanted.txt"}
        wheels.append(Wheel(name, version, _sha256(file), file.name))
    return wheels


def fetch(wheels: Iterable[Wheel], pip: Path, archive: Path, say: Callable[[str], None]) -> None:
    """Bring every file of the lock into the archive. WheelError."""
    archive.mkdir(parents=True, exist_ok=True)
    missing = [one for one in wheels if not (archive / one.file).exists()]
    if missing:
        say(f"fetching {len(missing)} Python packages")
        names = "\n".join(f"  {one.sha256}  {one.file}" for one in missing)
        told = f"these Python packages of the lock are not in {archive}:\n{names}\nCopy them there from a kept archive"
        if not pip.exists():
            raise WheelError(f"{told}, or run requirements/setup, so that they can be fetched.")
        for group in (
            [one for one in missing if one.name in SOURCE_ONLY],
            [one for one in missing if one.name not in SOURCE_ONLY],
        ):
            if group:
                try:
                    _download(pip, [(one.name, one.version, [one.sha256]) for one in group], archive)
                except WheelError as error:
                    raise WheelError(f"{told}: {error}") from None


def _requirements(path: Path) -> list[tuple[str, str, list[str]]]:
    """name, version, hashes of what applies to CPython 3.13 on Linux. Refuses unknown markers."""
    applies = {"": True, "sys_platform != 'linux'": False, "implementation_name != 'PyPy'": True}
    found = []
    for entry in re.split(r"\n(?=\S)", path.read_text("ascii")):
        match = re.match(r"([A-Za-z0-9._-]+)==(\S+)(?: ; (.*?))?(?: \\|$)", entry)
        if match is None:
            continue
        name, version, marker = match[1], match[2], (match[3] or "").strip()
        bound = re.fullmatch(r"python_full_version < '3\.(\d+)'", marker)
        use = int(bound[1]) > 13 if bound else applies.get(marker)
        if use is None:
            raise WheelError(f"{path.name}: {name} has a marker that image/builder/wheels.py does not know: {marker}")
        if use:
            found.append((name, version, re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)))
    return found


def _download(pip: Path, wanted: Iterable[tuple[str, str, list[str]]], folder: Path) -> None:
    wanted = list(wanted)
    listing = folder / "wanted.txt"
    listing.write_text(
        "".join(
            f"{name}=={version} {' '.join(f'--hash=sha256:{one}' for one in hashes)}\n"
            for name, version, hashes in wanted
        ),
        "ascii",
    )
    source = wanted[0][0] in SOURCE_ONLY
    kind = ["--no-binary", ":all:", "--no-build-isolation"] if source else ["--only-binary", ":all:", *_TARGET]
    command = [
        str(pip),
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        *kind,
        "--dest",
        str(folder),
        "-r",
        str(listing),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    listing.unlink()
    if done.returncode:
        raise WheelError(f"pip said: {done.stderr.strip()}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

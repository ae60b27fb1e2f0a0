"""What the root file system is made of but for our own: Debian's packages, the wheels and the modules, trimmed.

- Made anew only when something that it is made of has changed (`made`); most builds change our own code alone.
- What is taken out is taken out here, for nothing of it may come from us: package manager, logins, shells' helpers,
  documentation but for licences, everything that differs from build to build.
- All Python is compiled here, by content and not by time: the station never compiles, and no clock has a say.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from image.builder.archive import wanted

Words = list[str | os.PathLike[str]]
CHECKOUT = Path("/checkout")
SCRATCH = Path("/scratch")
SITE_PACKAGES = "usr/lib/python3/dist-packages"
_INPUTS = (
    "image/packages.lock",
    "image/wheels.lock",
    "image/packages/removed.list",
    "systemd/modules.allow",
    "image/builder/ground.py",
)
_WHEEL_TIME = "1000000000"
"""What a wheel says of its files' time; the root has one time for all in the end."""
_MADE = (
    "home",
    "srv",
    "site",
    "state",
    "efi",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "var",
    "usr/share/proofline",
)


def made() -> Path:
    """The ground, made now if it is not there for these very inputs."""
    place, mark = SCRATCH / "ground", SCRATCH / "ground.state"
    told = [(SCRATCH / "base.state").read_bytes(), *((CHECKOUT / name).read_bytes() for name in _INPUTS)]
    state = hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in told)).hexdigest()
    if place.is_dir() and mark.exists() and mark.read_text("ascii") == state:
        return place
    mark.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", SCRATCH / "base", place], check=True)
    work = SCRATCH / "foreign"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for source in sorted((SCRATCH / "wheels").glob("*.tar.gz")):
        build_wheel(source, work, {**os.environ, "SOURCE_DATE_EPOCH": _WHEEL_TIME})
    files = [*work.glob("*.whl"), *(SCRATCH / "wheels").glob("*.whl")]
    install_wheels(place, sorted(files, key=lambda one: one.name))
    shutil.rmtree(place / SITE_PACKAGES / "bin", ignore_errors=True)
    install_modules(place, SCRATCH / "loose" / "linux", (CHECKOUT / "systemd" / "modules.allow").read_text("utf-8"))
    prune(place)
    compile_python(place, ["usr/lib/python3.13", SITE_PACKAGES])
    mark.write_text(state, "ascii")
    return place


def build_wheel(source: Path, into: Path, env: Mapping[str, str]) -> None:
    """A wheel of a source folder or archive."""
    flags = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*_pip("wheel"), *flags, into, source], check=True, env=dict(env))


def install_wheels(root: Path, files: Sequence[Path]) -> None:
    """Unpack wheels where the image's Python looks for them, without what only this installation would have."""
    target = root / SITE_PACKAGES
    into: Words = ["--no-deps", "--no-index", "--no-compile", "--target", target]
    into += ["--python-version", "3.13", "--only-binary=:all:"]
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 28, 31, 34)] + ["linux_aarch64"]
    flags = [flag for one in [*platforms, "manylinux2014_aarch64", "any"] for flag in ("--platform", one)]
    subprocess.run([*_pip("install"), *into, *flags, *files], check=True)
    # RECORD lists what pip moved, with hashes of what is compiled anew
    for name in ("direct_url.json", "REQUESTED", "RECORD"):
        for path in target.glob(f"*.dist-info/{name}"):
            path.unlink()


def _pip(verb: str) -> Words:
    return [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check", "--no-cache-dir"]


def install_modules(root: Path, kernel: Path, listing: str) -> None:
    """The modules that the list names and what they depend on, unpacked (the file system compresses)."""
    (version,) = [one.name for one in (kernel / "usr/lib/modules").iterdir()]
    source = kernel / "usr/lib/modules" / version
    names = modules(source, allowed(source, listing))
    for name in names:
        target = root / "usr/lib/modules" / version / name.removesuffix(".xz")
        target.parent.mkdir(parents=True, exist_ok=True)
        data = (source / name).read_bytes()
        target.write_bytes(lzma.decompress(data) if name.endswith(".xz") else data)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(source / name, root / "usr/lib/modules" / version / name)
    subprocess.run(["depmod", "--basedir", root, version], check=True)


def allowed(source: Path, listing: str) -> set[str]:
    """The files below `source` that a list allows: exact paths, or whole folders where a line ends with a slash."""
    there = {str(path.relative_to(source)) for path in (source / "kernel").rglob("*.ko*")}
    chosen: set[str] = set()
    for line in listing.splitlines():
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        name = f"kernel/{name}"
        chosen |= {
            one for one in there if (one.startswith(name) if name.endswith("/") else one in (name, f"{name}.xz"))
        }
    return chosen


def modules(source: Path, names: Iterable[str]) -> list[str]:
    """These modules and all that they depend on, each after what it needs."""
    if not (source / "modules.dep").exists():
        base = source.parents[3]
        if not (base / "lib").exists():
            (base / "lib").symlink_to("usr/lib")  # where depmod looks
        subprocess.run(["depmod", "--basedir", base, source.name], check=True)
    needs = {}
    for line in (source / "modules.dep").read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    ordered: dict[str, None] = {}
    for name in sorted(names):
        for one in (*reversed(needs[name]), name):
            ordered.setdefault(one)
    return list(ordered)


def prune(root: Path) -> None:
    for pattern in wanted(CHECKOUT / "image/packages/removed.list"):
        for path in root.glob(pattern):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)
    for path in root.glob("usr/share/doc/*/*"):
        if path.name != "copyright" and path.parent.name != "proofline":
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    for name in _MADE:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)


def compile_python(root: Path, folders: Iterable[str]) -> None:
    """Compile what lies in these folders of the root."""
    for folder in folders:
        for path in [*(root / folder).glob("**/__pycache__")]:
            shutil.rmtree(path, ignore_errors=True)
        command: Words = ["-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", root, "-p", "/", root / folder]
        # some packages ship Python 2 templates that do not compile, and are never imported
        subprocess.run([sys.executable, "-I", *command], check=False, capture_output=True)

"""The package lock, and the local archive that holds exactly what the lock names.

- The lock says which Debian packages this image is made of: set, name, version, architecture, SHA-256, size, pool path.
- Resolving asks the mirrors that this machine's apt is configured for; building asks nobody what is newest.
- One folder holds all files, Debian's packages and Python's, of as many versions as there is room for; none is ever
  taken out of it. A file is used only when its SHA-256 is the lock's. Where it came from does not matter: an archive
  that was kept, a mirror, a snapshot service. So an old lock is buildable for as long as somebody has the files, and
  with all of them there it is built without a network.
- A line of a lock that is not one is refused with its number.
- No host name is written: pool paths are relative, and the mirrors are read from apt each time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

SUITE = "trixie"
SETS = {"tools": None, "image": "arm64", "loose": "arm64"}
"""What is resolved, and for which architecture (None: the building machine's)."""
_COMPONENTS = ("main", "non-free-firmware")
_TOLD = 10
_HEADER = """\
# Debian 13 packages of the tools tree, of the image and of what is taken apart for it. Written by `make image-lock`.
# set name version architecture sha256 size pool-path
"""


_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~%-]*", re.ASCII)
_POOL = re.compile(r"pool/[A-Za-z0-9._+~%/-]+", re.ASCII)
_Line = TypeVar("_Line", bound="Locked")


class ArchiveError(Exception):
    """The archive cannot be what the lock says; the text says what a person can do."""


@dataclass(frozen=True, order=True)
class Package:
    """One line of the lock."""

    set: str
    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    pool: str

    @property
    def file(self) -> str:
        return self.pool.rsplit("/", 1)[1]


class Locked(Protocol):
    """A file that a lock names."""

    @property
    def file(self) -> str: ...
    @property
    def sha256(self) -> str: ...


def read_lock(path: Path) -> tuple[Package, ...]:
    """The lock's packages in the order of the file. ArchiveError names the line that is not one."""
    return tuple(lines(path, _package))


def lines(path: Path, parse: Callable[[Sequence[str]], _Line]) -> Iterator[_Line]:
    """What `parse` makes of the fields of each line of a lock that is no comment; a name stands for one file only."""
    known: dict[str, str] = {}
    try:
        text = path.read_text("ascii")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path.name} is not ASCII at byte {error.start}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            one = parse(line.split(" "))
            if not _SHA256.fullmatch(one.sha256) or not _FILE.fullmatch(one.file):
                raise ValueError("no SHA-256, or no file name")
            if known.setdefault(one.file, one.sha256) != one.sha256:
                raise ValueError(f"{one.file} is named before, with other bytes")
        except (ValueError, TypeError) as error:
            raise ArchiveError(f"{path.name}, line {number} is not one of a lock ({error}): {line[:100]}") from None
        yield one


def _package(fields: Sequence[str]) -> Package:
    kind, name, version, architecture, sha, size, pool = fields
    if kind not in SETS or not all((name, version, architecture)):
        raise ValueError(f"no set is called {kind}, or something is empty")
    if not _POOL.fullmatch(pool) or ".." in pool:
        raise ValueError(f"{pool} is no place in an archive")
    return Package(kind, name, version, architecture, sha, int(size), pool)


def write_lock(path: Path, packages: Iterable[Package]) -> None:
    lines = [" ".join(str(value) for value in astuple(package)) + "\n" for package in sorted(packages)]
    path.write_text(_HEADER + "".join(lines), "ascii")


def differences(old: Iterable[Package], new: Iterable[Package]) -> list[str]:
    """What a person wants to read before they commit a new lock: one line a package that came, went or moved."""
    before = {(one.set, one.name, one.architecture): one for one in old}
    after = {(one.set, one.name, one.architecture): one for one in new}
    told = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        label = f"{key[0]:6} {key[1]}:{key[2]}"
        if was is None and now is not None:
            told.append(f"+ {label} {now.version}")
        elif now is None and was is not None:
            told.append(f"- {label} {was.version}")
        elif was is not None and now is not None and was.version != now.version:
            told.append(f"~ {label} {was.version} -> {now.version}")
        elif was is not None and now is not None and was.sha256 != now.sha256:
            told.append(f"! {label} {now.version}: same version, other bytes")
    return told


def wanted(listing: Path) -> list[str]:
    """The names in a list of packages."""
    return [line for line in listing.read_text("utf-8").split("\n") if line and not line.startswith("#")]


def mirrors() -> list[str]:
    """Base addresses of the Debian archives that this machine's apt uses; the main archive first."""
    output = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)")
    found = [fields for fields in map(str.split, output.splitlines()) if fields[2:] == ["Debian", "main"]]
    bases = sorted(found, key=lambda fields: fields[1].endswith("-security"))
    if not bases:
        raise ArchiveError("this machine's apt knows no Debian archive (run apt-get update?)")
    return list(dict.fromkeys(fields[0].rstrip("/") + "/" for fields in bases))


def sources() -> str:
    """apt's own words for Debian 13 from this machine's mirrors."""
    bases = mirrors()
    suites = {base: (f"{SUITE}-security",) if "security" in base else (SUITE, f"{SUITE}-updates") for base in bases}
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    return "".join(
        f"deb [signed-by={keyring}] {base} {suite} {' '.join(_COMPONENTS)}\n"
        for base, names in suites.items()
        for suite in names
    )


def resolve(lists: Path, scratch: Path) -> list[Package]:
    """Ask the mirrors what Debian 13 has today, and choose for each set what apt would install on an empty system."""
    native = _run("dpkg", "--print-architecture").strip()
    chosen: list[Package] = []
    for name, architecture in SETS.items():
        home = scratch / f"apt-{name}"
        apt = _apt(home, architecture or native)
        _run(*apt("apt-get"), "update")
        names = wanted(lists / f"{name}.list")
        if name == "loose":
            chosen += _show(apt, name, _without_depending(apt, names))
            continue
        plan = _run(*apt("apt-get"), "install", "--simulate", "--no-install-recommends", "?essential", *names)
        exact = re.findall(r"^Inst (\S+) \((\S+) .*\[(\S+)\]\)", plan, re.MULTILINE)
        chosen += _show(apt, name, [f"{item.split(':')[0]}:{arch}={version}" for item, version, arch in exact])
    return chosen


def fetch(packages: Sequence[Package], archive: Path, say: Callable[[str], None] = print) -> None:
    """Bring every file of the lock into the archive. Raises ArchiveError for the first that nobody has."""
    archive.mkdir(parents=True, exist_ok=True)
    missing = {one.file: one for one in packages if not (archive / one.file).exists()}
    if missing:
        say(f"fetching {len(missing)} Debian packages, {sum(one.size for one in missing.values()) >> 20} MiB")
    for base in _known_mirrors() if missing else ():
        left = [one for one in missing.values() if not (archive / one.file).exists()]
        for start in range(0, len(left), 100):
            _download(base, left[start : start + 100], archive)
    nowhere = [one for one in missing.values() if not (archive / one.file).exists()]
    if nowhere:
        listed = "\n".join(f"  {one.sha256}  {one.pool}" for one in nowhere[:_TOLD])
        raise ArchiveError(
            f"{len(nowhere)} packages of the lock are neither in {archive} nor on this machine's mirrors:\n{listed}\n"
            + (f"  and {len(nowhere) - _TOLD} more\n" if len(nowhere) > _TOLD else "")
            + "Copy a kept archive into that folder, point apt at a snapshot service's copy of that day, or, for a new "
            "version and not an old one, run make image-lock."
        )
    for one in missing.values():
        if _sha256(archive / one.file) != one.sha256:
            (archive / one.file).unlink()
            raise ArchiveError(f"{one.file} does not have the SHA-256 of the lock; it was removed from the archive")


def select(files: Iterable[Locked], archive: Path, folder: Path) -> None:
    """A folder with just these files of the archive: what a build may see. Hard links, where that is possible."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in files:
        if _sha256(archive / one.file) != one.sha256:
            raise ArchiveError(
                f"{archive / one.file} is not the file of the lock, whose SHA-256 is {one.sha256}. "
                "Remove it, or put the right one there."
            )
        try:
            os.link(archive / one.file, folder / one.file)
        except OSError:  # an archive on a disk of its own
            shutil.copyfile(archive / one.file, folder / one.file)


def index(folder: Path) -> None:
    """Make a folder of packages one that apt can read."""
    text = _run("dpkg-scanpackages", "--multiversion", os.fspath(folder)).replace(
        f"Filename: {folder}/", "Filename: ./"
    )
    (folder / "Packages").write_text(text, "utf-8")


def _known_mirrors() -> list[str]:
    """The mirrors, or none where this machine's apt knows none: then what is missing is what is told."""
    try:
        return mirrors()
    except ArchiveError:
        return []


def name_suite(folder: Path) -> None:
    """Say whose packages an indexed folder holds: Debian 13's mmdebstrap finds the essential ones by their suite."""
    packages = folder / "Packages"
    listed = f" {_sha256(packages)} {packages.stat().st_size} Packages\n"
    (folder / "Release").write_text(f"Suite: {SUITE}\nCodename: {SUITE}\nSHA256:\n{listed}", "ascii")


def _apt(home: Path, architecture: str) -> Callable[[str], list[str]]:
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    (home / "etc" / "sources.list").write_text(sources(), "ascii")
    options = [
        f"Dir::State={home}",
        f"Dir::State::Lists={home}/lists",
        f"Dir::State::status={home}/status",
        f"Dir::Cache={home}/cache",
        f"Dir::Etc::sourcelist={home}/etc/sources.list",
        "Dir::Etc::sourceparts=/dev/null",
        "Dir::Etc::preferencesparts=/dev/null",
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        "APT::Sandbox::User=root",
        # apt counts itself as essential; mkosi tells it not to, and the image has no use for it
        "pkgCacheGen::ForceEssential=,",
    ]
    flags = [flag for option in options for flag in ("-o", option)]
    return lambda program: [program, "-q", *flags] if program == "apt-get" else [program, *flags]


def _without_depending(apt: Callable[[str], list[str]], names: Sequence[str]) -> list[str]:
    """Newest version of each name; a package that only depends on the real one (linux-image-arm64) stands for that."""
    found = []
    for name in names:
        text = _run(*apt("apt-cache"), "show", "--no-all-versions", name)
        if name == "linux-image-arm64":
            name = re.findall(r"^Depends: (\S+)", text, re.MULTILINE)[0]
        found.append(name)
    return found


def _show(apt: Callable[[str], list[str]], which: str, exact: Sequence[str]) -> list[Package]:
    text = _run(*apt("apt-cache"), "show", "--no-all-versions", *exact)
    packages = []
    for stanza in text.strip().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|SHA256|Size|Filename): (.*)$", stanza, re.MULTILINE))
        packages.append(
            Package(
                which,
                fields["Package"],
                fields["Version"],
                fields["Architecture"],
                fields["SHA256"],
                int(fields["Size"]),
                fields["Filename"],
            )
        )
    if len(set(packages)) != len(exact):
        raise ArchiveError(f"apt knows {len(set(packages))} of the {len(exact)} packages it wanted to install")
    return packages


def _download(base: str, packages: Sequence[Package], archive: Path) -> None:
    """Through apt's own downloader: it knows this machine's proxies and certificates. What is missing stays missing."""
    triples = [text for one in packages for text in (base + one.pool, f"{archive}/{one.file}", f"SHA256:{one.sha256}")]
    subprocess.run(["/usr/lib/apt/apt-helper", "-q", "download-file", *triples], capture_output=True, check=False)
    for one in packages:
        (archive / f"{one.file}.FAILED").unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if done.returncode:
        raise ArchiveError(f"{command[0]} said: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout

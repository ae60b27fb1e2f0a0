"""The locks: what is read, what is refused by its line, what is told of a change, what is taken from an archive."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from image.builder import archive, wheels
from image.builder.archive import ArchiveError, Package
from image.builder.wheels import Wheel, WheelError

ROOT = Path(__file__).parents[2]
LOCK, WHEELS = ROOT / "image/packages.lock", ROOT / "image/wheels.lock"
ONE = Package("image", "dash", "0.5.12-12", "arm64", "a" * 64, 9, "pool/main/d/dash/dash_0.5.12-12_arm64.deb")
LINE = "image dash 0.5.12-12 arm64 " + "a" * 64 + " 9 pool/main/d/dash/dash_0.5.12-12_arm64.deb"


def nothing_said(_: str) -> None:
    """Progress does not matter here."""


def test_the_committed_locks_are_read_and_written_as_they_are(tmp_path: Path) -> None:
    packages = archive.read_lock(LOCK)
    archive.write_lock(tmp_path / "packages.lock", packages)
    assert (tmp_path / "packages.lock").read_bytes() == LOCK.read_bytes()
    assert {one.set for one in packages} == set(archive.SETS)
    files = wheels.read_lock(WHEELS)
    wheels.write_lock(tmp_path / "wheels.lock", files)
    assert (tmp_path / "wheels.lock").read_bytes() == WHEELS.read_bytes()


def test_the_python_lock_says_the_same_as_the_stations_requirements() -> None:
    text = (ROOT / "requirements/station.txt").read_text("ascii")
    for one in wheels.read_lock(WHEELS):
        assert f"{one.name}=={one.version}" in text
        assert f"--hash=sha256:{one.sha256}" in text


@pytest.mark.parametrize(
    "line",
    [
        "image dash",
        LINE + " more",
        LINE.replace("image ", "picture "),
        LINE.replace("a" * 64, "a" * 63),
        LINE.replace("a" * 64, "A" * 64),
        LINE.replace(" 9 ", " nine "),
        LINE.replace("pool/", "/pool/"),
        LINE.replace("pool/", "somewhere://pool/"),
        LINE.replace("pool/main", "pool/../.."),
        LINE.replace("/dash_0.5.12-12_arm64.deb", "/"),
        LINE.replace("image dash", "image  dash"),
        LINE.replace("dash_0", "dåsh_0"),
    ],
)
def test_a_line_that_is_not_one_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    lock = tmp_path / "packages.lock"
    lock.write_text(f"# a comment\n{LINE}\n{line}\n", "utf-8")
    with pytest.raises(ArchiveError, match=r"packages\.lock(, line 3| is not ASCII)"):
        archive.read_lock(lock)


def test_one_name_never_stands_for_two_files(tmp_path: Path) -> None:
    lock = tmp_path / "packages.lock"
    lock.write_text(f"{LINE}\n{LINE.replace('image ', 'tools ')}\n", "ascii")
    assert len(archive.read_lock(lock)) == 2
    lock.write_text(f"{LINE}\n{LINE.replace('image ', 'tools ').replace('a' * 64, 'b' * 64)}\n", "ascii")
    with pytest.raises(ArchiveError, match="line 2"):
        archive.read_lock(lock)


@pytest.mark.parametrize("line", ["six 1", "six 1 " + "a" * 64 + " ../six.whl", "six 1 short six.whl"])
def test_a_wheel_that_is_not_one_is_refused_with_its_number(line: str, tmp_path: Path) -> None:
    (tmp_path / "wheels.lock").write_text(f"{line}\n", "ascii")
    with pytest.raises(ArchiveError, match=r"wheels\.lock, line 1"):
        wheels.read_lock(tmp_path / "wheels.lock")


def test_a_change_of_the_lock_is_told_in_a_line_each() -> None:
    bash, perl = replace(ONE, name="bash"), replace(ONE, name="perl")
    old = [ONE, bash, perl, replace(ONE, set="tools")]
    new = [replace(ONE, version="0.5.13-1"), replace(perl, sha256="b" * 64), replace(ONE, name="zsh"), old[3]]
    assert archive.differences(old, new) == [
        "- image  bash:arm64 0.5.12-12",
        "~ image  dash:arm64 0.5.12-12 -> 0.5.13-1",
        "! image  perl:arm64 0.5.12-12: same version, other bytes",
        "+ image  zsh:arm64 0.5.12-12",
    ]
    assert archive.differences(old, list(reversed(old))) == []
    six = Wheel("six", "1.17.0", "a" * 64, "six-1.17.0-py2.py3-none-any.whl")
    assert wheels.differences([six], [replace(six, version="1.18.0")]) == ["~ wheel  six 1.17.0 -> 1.18.0"]


def kept(folder: Path, *contents: bytes) -> list[Package]:
    """An archive with these files, and the packages that they are."""
    folder.mkdir(exist_ok=True)
    found = []
    for number, data in enumerate(contents):
        name = f"p{number}_1_arm64.deb"
        (folder / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        found.append(replace(ONE, name=f"p{number}", sha256=digest, size=len(data), pool=f"pool/main/p/{name}"))
    return found


def test_a_kept_archive_is_all_that_is_needed_and_stays_as_it_is(tmp_path: Path) -> None:
    packages = kept(tmp_path / "archive", b"one", b"two", b"of another version")
    before = sorted(os.listdir(tmp_path / "archive"))
    # an empty search path: nothing can be asked of a mirror
    archive.fetch(packages[:2], tmp_path / "archive", nothing_said)
    archive.select(packages[:2], tmp_path / "archive", tmp_path / "seen")
    assert {path.name: path.read_bytes() for path in (tmp_path / "seen").iterdir()} == {
        "p0_1_arm64.deb": b"one",
        "p1_1_arm64.deb": b"two",
    }
    assert sorted(os.listdir(tmp_path / "archive")) == before


def test_files_that_nobody_has_are_all_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = kept(tmp_path / "archive", *(b"%d" % number for number in range(13)))
    for one in packages[1:]:
        (tmp_path / "archive" / one.file).unlink()
    programs = tmp_path / "bin"  # an apt that knows no mirror, as on a machine that was set up without one
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\n", "ascii")
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with pytest.raises(ArchiveError) as refusal:
        archive.fetch(packages, tmp_path / "archive", nothing_said)
    told = str(refusal.value)
    assert told.startswith("12 packages of the lock are neither in ")
    assert f"{packages[1].sha256}  {packages[1].pool}" in told
    assert "and 2 more" in told
    assert "make image-lock" in told


def test_an_archives_file_with_other_bytes_is_never_used(tmp_path: Path) -> None:
    packages = kept(tmp_path / "archive", b"right")
    (tmp_path / "archive" / packages[0].file).write_bytes(b"wrong")
    with pytest.raises(ArchiveError, match="is not the file of the lock"):
        archive.select(packages, tmp_path / "archive", tmp_path / "seen")


def test_python_files_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    files = wheels.read_lock(WHEELS)[:3]
    (tmp_path / files[0].file).touch()
    with pytest.raises(WheelError) as refusal:
        wheels.fetch(files, tmp_path / "no-pip", tmp_path, nothing_said)
    assert files[0].file not in str(refusal.value)
    for one in files[1:]:
        assert f"{one.sha256}  {one.file}" in str(refusal.value)


def test_an_indexed_folder_says_whose_packages_it_holds(tmp_path: Path) -> None:
    (tmp_path / "Packages").write_bytes(b"Package: dash\n")
    archive.name_suite(tmp_path)
    digest = hashlib.sha256(b"Package: dash\n").hexdigest()
    assert (tmp_path / "Release").read_text("ascii") == (
        f"Suite: trixie\nCodename: trixie\nSHA256:\n {digest} 14 Packages\n"
    )

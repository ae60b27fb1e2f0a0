"""`image/build` on machines where it cannot go on: it says so at once, and what to do next."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("sh", "dirname", "env", "cat", "dpkg-query", "dpkg")


def start(folder: Path, *without: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run it where only these programs are found; `programs` are scripts that stand for the machine's own."""
    folder.mkdir()
    for name in set(PROGRAMS) - set(without):
        (folder / name).symlink_to(shutil.which(name) or "missing")
    for name, text in programs.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/sh\n{text}\n", "ascii")
        (folder / name.replace("_", "-")).chmod(0o755)
    # the script adds /usr/sbin, where none of these programs are
    surroundings = {"PATH": os.fspath(folder)}
    return subprocess.run(
        ["/bin/sh", ROOT / "image/build", "image"], env=surroundings, capture_output=True, text=True, check=False
    )


def test_a_user_without_sudo_is_told_to_become_root(tmp_path: Path) -> None:
    done = start(tmp_path / "bin", id="echo 1000")
    assert done.returncode == 1
    assert "building needs root" in done.stderr
    assert "next: become root" in done.stderr


def test_a_user_whom_sudo_refuses_is_told_so(tmp_path: Path) -> None:
    done = start(tmp_path / "bin", id="echo 1000", sudo="exit 1")
    assert done.returncode == 1
    assert "going on through sudo" in done.stdout
    assert "sudo does not let this user in" in done.stderr


def test_a_user_with_sudo_builds_through_it(tmp_path: Path) -> None:
    installed = "echo installed"
    sudo = 'case "$1" in -v) ;; *) echo "as root: $*" ;; esac'
    done = start(tmp_path / "bin", "dpkg-query", id="echo 1000", sudo=sudo, dpkg_query=installed)
    assert done.returncode == 0, done.stderr
    assert "as root: --preserve-env=PROOFLINE_IMAGE_WORK env PYTHONPATH=." in done.stdout
    assert done.stdout.rstrip().endswith("python3 -m image.builder image")


def test_packages_that_cannot_be_installed_are_named(tmp_path: Path) -> None:
    done = start(tmp_path / "bin", "dpkg-query", id="echo 0", dpkg_query="exit 1", apt_get="exit 100")
    assert done.returncode == 1
    assert "these could not be installed: mmdebstrap" in done.stderr


def test_machines_that_cannot_build_are_told_so(tmp_path: Path) -> None:
    other = start(tmp_path / "bin", "dpkg-query", id="echo 0")
    assert (other.returncode, "not Debian" in other.stderr) == (1, True)
    arm = start(tmp_path / "arm", "dpkg", id="echo 0", dpkg="echo arm64")
    assert (arm.returncode, "arm64; the tools tree is locked for amd64" in arm.stderr) == (1, True)

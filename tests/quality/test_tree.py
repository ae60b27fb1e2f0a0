"""What may stand in a committed file, whoever wrote it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP_LEVEL_FOLDERS = {"appliance", "image", "systemd", "tests", "hil", "docs", "requirements", ".ci"}

# Patterns are written so that they do not match themselves.
FORBIDDEN = {
    "the host of a package registry: the machine's own configuration names it": (
        r"(?i)\b(?:pypi[.](?:org|io|python)|files[.]pythonhosted|(?:deb|security|snapshot|ftp)[.]debian"
        r"|registry[.]npmjs|crates[.]io|proxy[.]golang)"
    ),
    "a path of somebody's machine": r"(?<![\w.$}/-])/(?:work|root|home|Users|tmp)/\w",
    "an unfinished note: decide it or write it down as a decision": r"\b(?:TO(?:DO)|FIX(?:ME)|(?<!-)X{3}(?!-))\b",
    "a merge's leftover": r"(?m)^(?:<{7}|>{7}) ",
}


def committed_files() -> list[Path]:
    """Tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = (ROOT / name.decode() for name in listed.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Every committed text file by its name; binary files (with a NUL byte) are left out."""
    contents = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in committed_files()}
    return {name: data.decode("utf-8", "replace") for name, data in contents.items() if b"\0" not in data}


@pytest.mark.parametrize("why", FORBIDDEN)
def test_no_committed_file_holds(why: str, texts: dict[str, str]) -> None:
    pattern = re.compile(FORBIDDEN[why])
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in texts.items()
        for match in pattern.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("sample", "caught"),
    [
        ("see https://py" + "pi.org/simple", True),
        ("http://deb" + ".debian.org/debian trixie", True),
        ("wiki.debian.org", False),
        ("open('/ho" + "me/ada/key')", True),
        ("/us" + "r/lib and build/work/x and $HOME/tmp/x", False),
        ("# TO" + "DO later", True),
        ("<<<<<" + "<< HEAD", True),
    ],
)
def test_the_patterns_catch_what_they_are_for(sample: str, caught: bool) -> None:
    assert any(re.search(pattern, sample) for pattern in FORBIDDEN.values()) is caught


def test_the_top_level_is_what_the_design_names() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in committed_files() if path.parent != ROOT}
    assert folders <= TOP_LEVEL_FOLDERS


def test_every_lock_line_has_a_version_and_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        if lock.name == "apt.txt":
            continue
        entries = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^#.*\n", "", lock.read_text()).strip())
        for entry in entries:
            assert re.match(r"[a-z0-9.-]+==[\w.]+", entry), f"{lock.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"
            assert "://" not in entry, f"{lock.name}: {entry[:60]}"


def test_the_small_locks_agree_with_the_large_one() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"(?m)^[a-z0-9.-]+==\S+", (ROOT / "requirements" / name).read_text()))

    for small in ("base.txt", "station.txt", "release.txt"):
        assert pins(small) <= pins("dev.txt"), small

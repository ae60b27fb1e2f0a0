"""What `make repro` says of two builds that are not the same: which artefact, and which files of the root, in what."""

from __future__ import annotations

import json
import os
from pathlib import Path

from image.builder.__main__ import differences, tree_differences


def tree(place: Path, content: str) -> Path:
    """A small root file system."""
    (place / "etc").mkdir(parents=True)
    (place / "etc/same").write_text("same")
    (place / "etc/other").write_text(content)
    (place / "link").symlink_to(content)
    for path in [*place.rglob("*"), place]:
        os.utime(path, (0, 0), follow_symlinks=False)
    return place


def test_two_equal_trees_have_nothing_to_tell(tmp_path: Path) -> None:
    assert tree_differences(tree(tmp_path / "one", "x"), tree(tmp_path / "two", "x")) == []


def test_each_kind_of_difference_is_told_by_its_file(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one", "x"), tree(tmp_path / "two", "y")
    (two / "etc/same").chmod(0o600)
    (two / "more").write_text("")
    os.utime(one / "etc", (9, 9))
    os.utime(two / "etc", (0, 0))
    os.utime(two, (0, 0))
    told = "\n".join(tree_differences(one, two))
    assert [line for line in told.splitlines() if line.startswith("/")] == [
        "/etc",
        "/etc/other",
        "/etc/same",
        "/link",
        "/more",
    ]
    assert "not there" in told


def test_an_artefact_with_another_digest_is_told(tmp_path: Path) -> None:
    for name, digest in (("one", "aa"), ("two", "bb")):
        (tmp_path / name).mkdir()
        about = {"artefacts": {"disk.raw": digest, "root.erofs": "same"}}
        (tmp_path / name / "build.json").write_text(json.dumps(about))
    assert differences(tmp_path / "one", tmp_path / "two") == ["disk.raw: aa and bb"]

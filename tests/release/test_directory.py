"""Files of a repository on disk: only regular ones, only as large as they may be, never through a link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.verify import site_errors as errors
from appliance.verify.site import Directory, SiteTrust
from tests.release.forge import Forge, write


def as_link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def parent_as_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to("real")


def parent_as_file(path: Path) -> None:
    path.unlink()
    for other in path.parent.iterdir():
        other.unlink()
    path.parent.rmdir()
    path.parent.write_bytes(b"")


CASES: list[tuple[Callable[[Path], None], type[errors.SiteError]]] = [
    (as_link, errors.FileUnreadable),
    (as_folder, errors.FileUnreadable),
    (as_fifo, errors.FileUnreadable),
    (huge, errors.FileTooLarge),
    (parent_as_link, errors.FileUnreadable),
    (parent_as_file, errors.FileUnreadable),
    (Path.unlink, errors.FileMissing),
]


@pytest.mark.parametrize(("bend", "expected"), CASES, ids=[bend.__name__ for bend, _ in CASES])
def test_what_is_not_a_plain_file_is_refused_by_name(
    bend: Callable[[Path], None], expected: type[errors.SiteError], tmp_path: Path
) -> None:
    files = Forge().files()
    folder = write(files, tmp_path / "carrier")
    pinned = files["metadata/1.root.json"]
    assert SiteTrust.verify(Directory(folder), pinned).versions.targets == 3
    bend(folder / "metadata" / "timestamp.json")
    with pytest.raises(errors.SiteError) as refusal:
        SiteTrust.verify(Directory(folder), pinned)
    assert type(refusal.value) is expected

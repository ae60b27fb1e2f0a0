"""Cards for these tests: a whole image (mostly holes), a site's folder, and loop devices where this user may have them.

What is done to real block devices is in `test_disk.py`. Only root can make loop devices, so only root collects it;
`make test` is run as root in the project's own runs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.card.workbench import Build, make_build, site_files

collect_ignore = [] if os.geteuid() == 0 else ["test_disk.py"]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build's output folder; only read."""
    return make_build(tmp_path_factory.mktemp("build"))


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    """What somebody prepared for station bench-01."""
    folder = tmp_path / "bench-01"
    folder.mkdir()
    for name, data in site_files().items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def loop() -> Iterator[Callable[..., Path]]:
    """Makes block devices of files; all are gone afterwards."""
    made: list[str] = []

    def attach(file: Path, *options: str) -> Path:
        command = ["losetup", "--find", "--show", *options, os.fspath(file)]
        made.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        return Path(made[-1])

    yield attach
    for name in made:
        subprocess.run(["losetup", "--detach", name], check=True)

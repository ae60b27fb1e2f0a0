"""The committed blobs are their sources': byte for byte by the compiler that made them, in behaviour by any other."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from appliance.target import stub_blob
from appliance.target.boards import known_parts, profile_for
from appliance.target.errors import FlashRejected
from appliance.target.image import Image, Segment
from appliance.target.measure import Measurement
from appliance.target.program import ProgramReport
from hil.tests.target.sabotage import PROFILE, fresh_board, opened
from hil.tests.target.test_unit import FLASH, firmware, in_flash

SOURCES = Path(str(resources.files("appliance.target.stub")))
BLOBS = sorted(
    {stub.blob for part in known_parts() for stub in (profile_for(part).stub, profile_for(part).loader.stub)}
)
IMAGE = Image(PROFILE.part, (*firmware().segments, Segment(FLASH + 0x3FF1, bytes(range(256)) * 90)))


def _built(folder: Path, optimise: str) -> Path:
    copy = folder / "stub"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
    subprocess.run(["make", "--silent", "-B", "-C", str(copy), f"OPTIMISE={optimise}"], check=True)
    return copy / "build"


def _use(monkeypatch: pytest.MonkeyPatch, build: Path) -> None:
    def built(name: str) -> bytes:
        code = (build / name).read_bytes()
        return code + bytes(-len(code) % 4)

    monkeypatch.setattr(stub_blob, "blob", built)


def _behaviour() -> tuple[ProgramReport, Measurement, bytes, dict[str, object]]:
    """A written board programmed and measured, and what a closed sector answers."""
    board = fresh_board()
    board.array.main[0x8_0000] = 0
    with opened(board) as target:
        report = target.program(IMAGE)
        odd = [dataclasses.replace(r, length=r.length - 3) for r in IMAGE.ranges()]
        measured = target.measure(odd)
    flash = board.flash
    assert flash == in_flash(IMAGE)
    assert [span.start for span in measured.unerased]
    board = fresh_board()
    full = firmware(size="full")
    with opened(board) as target:

        def close(_done: int, _total: int) -> None:
            board.options.program(board.options.stored & ~(1 << 16 + 7))

        with pytest.raises(FlashRejected) as caught:
            target.program(full, close)
    return report, measured, flash, dict(caught.value.details)


def test_blobs_are_what_their_sources_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = _built(tmp_path, "-O2")
    committed = _behaviour()
    _use(monkeypatch, build)
    assert _behaviour() == committed
    compiler = subprocess.run(
        ["make", "--silent", "-C", str(SOURCES), "compiler"], check=True, capture_output=True, text=True
    ).stdout
    if compiler == (SOURCES / "compiler.txt").read_text():
        for name in BLOBS:
            assert (build / name).read_bytes() == (SOURCES / name).read_bytes(), name


def test_other_code_from_the_same_sources_behaves_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = _built(tmp_path, "-Os")
    for name in BLOBS:
        assert (build / name).read_bytes() != (SOURCES / name).read_bytes()
    committed = _behaviour()
    _use(monkeypatch, build)
    assert _behaviour() == committed


def test_blobs_lie_beside_their_mailboxes_and_stacks() -> None:
    for part in known_parts():
        profile = profile_for(part)
        for stub in (profile.stub, profile.loader.stub):
            assert stub.load_address + len(stub_blob.blob(stub.blob)) <= stub.mailbox < stub.stack_top
            assert profile.in_ram(stub.load_address + 1)
            assert profile.in_ram(stub.stack_top)
    assert len(BLOBS) == 2 * len(known_parts())

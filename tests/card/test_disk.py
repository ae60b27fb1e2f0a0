"""Writing to real block devices, as root: used cards, cards in use, cards that fail, lie or are pulled."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.card import check, device, gpt, site
from appliance.card.errors import DeviceInUse, DeviceIsPartition, DeviceReadOnly, ReadBackDiffers, ReadBackFailed
from appliance.card.layout import MIB, STATE, end_mib, places
from appliance.card.medium import Medium
from appliance.card.progress import Progress
from appliance.card.record import read_record
from appliance.card.write import write_card
from appliance.errors import ProoflineError
from tests.card.test_write import Meddling, refusals
from tests.card.workbench import CARD_BYTES, Build, new_card

ROOT = Path(__file__).parents[2]
Loop = Callable[..., Path]


def run(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def proofline(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli", "image", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def phrase(path: Path) -> str:
    return device.look(path).phrase


def write(build: Build, target: Path, progress: Progress | None = None) -> None:
    record = read_record(build.record)
    with Medium(device.look(target)) as medium:
        write_card(build.disk, record, site.no_site(), medium, progress or Progress(io.StringIO()))


def old_state(file: Path, offset: int) -> None:
    """A file system with a station's label, as an earlier card of the same layout had it."""
    run("mke2fs", "-q", "-F", "-t", "ext4", "-L", STATE, "-E", f"offset={offset}", file, "200M")


def label(file: Path, offset: int) -> str:
    command = ["blkid", "-p", "-O", str(offset), "-s", "LABEL", "-o", "value", os.fspath(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_a_used_card_becomes_a_new_one_and_its_old_state_is_never_adopted(
    build: Build, tmp_path: Path, loop: Loop, site_folder: Path
) -> None:
    file = new_card(tmp_path / "card")
    with file.open("r+b") as card:
        card.write(os.urandom(4 * MIB))
        card.seek(end_mib() * MIB - 2 * MIB)
        card.write(os.urandom(8 * MIB))
    old_state(file, end_mib() * MIB)
    assert label(file, end_mib() * MIB) == STATE, "or the test shows nothing"
    target = loop(file)
    done = proofline(
        "write", build.disk, target, "--build", build.record, "--site", site_folder, "--confirm", phrase(target)
    )
    assert done.returncode == 0, done.stderr
    assert "read back: version 0.1.0" in done.stdout
    assert label(file, end_mib() * MIB) == ""
    told = proofline("verify", target, "--build", build.record)
    assert told.returncode == 0, told.stdout
    assert "bench-01 at site demo" in told.stdout
    # what nobody of ours wrote reads the table, too (libblkid)
    names = run("partx", "--show", "--noheadings", "--output", "NAME", target).split()
    assert names == [name for name, _kind, _start, _mib in places()]


def test_a_station_card_is_overwritten_only_by_name(build: Build, tmp_path: Path, loop: Loop) -> None:
    target = loop(new_card(tmp_path / "card"))
    for confirmation in ([], ["--confirm", "yes"], ["--confirm", f"{target.name} {CARD_BYTES - 1}"]):
        done = proofline("write", build.disk, target, "--build", build.record, *confirmation)
        assert (done.returncode, done.stderr[:10]) == (3, "PL-CRD-025")
    assert (tmp_path / "card").stat().st_blocks == 0


@pytest.fixture
def mounted(tmp_path: Path, loop: Loop) -> Iterator[Path]:
    target = loop(new_card(tmp_path / "card"))
    run("mke2fs", "-q", "-F", "-t", "ext4", target, "64M")
    (tmp_path / "there").mkdir()
    run("mount", target, tmp_path / "there")
    yield target
    run("umount", tmp_path / "there")


def test_a_mounted_device_is_refused_whatever_is_confirmed(build: Build, mounted: Path) -> None:
    done = proofline("write", build.disk, mounted, "--build", build.record, "--confirm", f"{mounted.name} {CARD_BYTES}")
    assert (done.returncode, done.stderr[:10]) == (3, "PL-CRD-022")
    assert "mounted at" in done.stderr


def test_a_device_that_somebody_holds_is_refused_by_the_kernel(tmp_path: Path, loop: Loop) -> None:
    target = device.look(loop(new_card(tmp_path / "card")))
    with Medium(target), pytest.raises(DeviceInUse):
        Medium(target)


def test_a_partition_is_refused_and_its_disk_is_named(build: Build, tmp_path: Path, loop: Loop) -> None:
    file = new_card(tmp_path / "card")
    with file.open("r+b") as card:
        card.write(gpt.fitted(build.disk.open("rb").read(MIB), CARD_BYTES)[0])
    target = loop(file)
    run("partx", "--add", target)
    try:
        with pytest.raises(DeviceIsPartition, match=f"one partition of {target}"):
            device.look(Path(f"{target}p4"))
    finally:
        run("partx", "--delete", target)


def test_a_locked_card_is_refused(tmp_path: Path, loop: Loop) -> None:
    with pytest.raises(DeviceReadOnly):
        device.look(loop(new_card(tmp_path / "card"), "--read-only"))


def test_a_small_card_is_refused(build: Build, tmp_path: Path, loop: Loop) -> None:
    target = loop(new_card(tmp_path / "card", 2 << 30))
    done = proofline("write", build.disk, target, "--build", build.record)
    assert (done.returncode, done.stderr[:10]) == (3, "PL-CRD-024")


@pytest.fixture
def small_room(tmp_path: Path) -> Iterator[Path]:
    """Memory that ends: a card on it fails in the middle of being written."""
    folder = tmp_path / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=6M", "tmpfs", folder)
    yield folder
    run("umount", "--lazy", folder)


def test_a_card_that_fails_while_it_is_written_is_none(build: Build, small_room: Path, loop: Loop) -> None:
    target = loop(new_card(small_room / "card"))
    done = proofline("write", build.disk, target, "--build", build.record, "--confirm", phrase(target))
    assert done.returncode == 1
    assert done.stderr.startswith("PL-CRD-030"), done.stderr
    assert proofline("verify", target).returncode == 1
    assert refusals(target) == ["PL-CRD-005"]


def test_a_card_that_loses_a_byte_is_noticed_and_is_none(build: Build, tmp_path: Path, loop: Loop) -> None:
    file = new_card(tmp_path / "card")

    def lose() -> None:
        with file.open("r+b") as card:
            card.seek(900 * MIB + 5)
            card.write(b"?")

    with pytest.raises(ReadBackDiffers) as refusal:
        write(build, loop(file), Meddling("reading back", lose))
    assert refusal.value.details["at"] == 900 * MIB
    assert refusals(file) == ["PL-CRD-005"]


def test_a_card_that_is_smaller_than_it_says_is_noticed_and_is_none(build: Build, tmp_path: Path, loop: Loop) -> None:
    file = new_card(tmp_path / "card")
    with pytest.raises(ReadBackFailed):
        write(build, loop(file), Meddling("reading back", lambda: os.truncate(file, 600 * MIB)))
    assert refusals(file) == ["PL-CRD-005"]


@pytest.mark.parametrize("after", ["checking the image  1", "writing  0", "reading back  0"])
def test_a_card_that_is_pulled_or_a_machine_that_dies_leaves_no_card(
    after: str, build: Build, tmp_path: Path, loop: Loop
) -> None:
    file = new_card(tmp_path / "card")
    target = loop(file)
    command: list[str | Path] = [sys.executable, "-m", "appliance.cli", "image", "write", build.disk, target]
    with subprocess.Popen(
        [*command, "--build", build.record, "--confirm", phrase(target)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(after):
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert refusals(target) == ["PL-CRD-005"]
    assert [one for one in check.card(target, None) if not isinstance(one, ProoflineError)] == []

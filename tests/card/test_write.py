"""Writing a card, here into files: what is on it afterwards, and what it is at every moment before."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.card import check, device, gpt, site
from appliance.card.errors import ArtefactWrong, ImageChanged, LayoutForeign, TableWrong
from appliance.card.layout import MIB, SECTOR, SITE, STATE, end_mib, places
from appliance.card.medium import Medium
from appliance.card.progress import Progress, line
from appliance.card.record import BuildRecord, read_record
from appliance.card.write import check_layout, write_card
from appliance.errors import ProoflineError
from tests.card.workbench import IMAGE_BYTES, Build, digest, new_card, table


class Watched(Medium):
    """Looks, after each order to the medium, whether somebody could take it for a card."""

    def __init__(self, target: device.Device) -> None:
        super().__init__(target)
        self.orders: list[tuple[int, bool]] = []

    def _looks_like_a_card(self) -> bool:
        mbr = self.read(0, SECTOR)
        return mbr[510:] == b"\x55\xaa" or mbr[450] == 0xEE

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        self.orders.append((offset, self._looks_like_a_card()))

    def zero(self, offset: int, length: int) -> None:
        super().zero(offset, length)
        self.orders.append((offset, self._looks_like_a_card()))


class Meddling(Progress):
    """Does something at the beginning of a step."""

    def __init__(self, step: str, act: object) -> None:
        super().__init__(io.StringIO())
        self._when, self._act = step, act

    def begin(self, step: str, total: int) -> None:
        super().begin(step, total)
        if step == self._when and callable(self._act):
            self._act()


def refusals(path: Path, record: BuildRecord | None = None) -> list[str]:
    return [one.code for one in check.card(path, record) if isinstance(one, ProoflineError)]


def test_a_card_is_the_image_and_the_site_and_zeros_and_is_none_until_its_last_sector(
    build: Build, tmp_path: Path, site_folder: Path
) -> None:
    path = new_card(tmp_path / "card.img")
    record = read_record(build.record)
    files = site.read_folder(site_folder)
    with Watched(device.look(path)) as medium:
        done = write_card(build.disk, record, files.image(), medium, Progress(io.StringIO()))
    assert done.digest == digest(build.disk)
    assert medium.orders[-1] == (0, True)
    assert not any(card for _offset, card in medium.orders[:-1])

    told = dict(one for one in check.card(path, record) if not isinstance(one, ProoflineError))
    assert refusals(path, record) == []
    assert told["station"] == "bench-01 at site demo"
    assert told["slots"] == "version 0.1.0 is in slot a, byte for byte"
    assert told["anchor"].startswith(files.anchor)
    start = next(start for name, _kind, start, _mib in places() if name == SITE) * MIB
    with path.open("rb") as card, build.disk.open("rb") as image:
        for number in range(1, end_mib()):
            offset = number * MIB
            card.seek(offset)
            image.seek(offset)
            if not start <= offset < start + site.LIMIT:
                assert card.read(MIB) == image.read(MIB), f"MiB {number}"
        card.seek(end_mib() * MIB)
        assert not any(card.read(2 * MIB)), "the image's own second table lies in the middle"
    assert path.stat().st_blocks * 512 < 64 * MIB, "zeros take room in a file"


@pytest.mark.parametrize("size", [IMAGE_BYTES, IMAGE_BYTES + 512 * MIB])
def test_a_file_that_is_too_small_is_not_touched(size: int, tmp_path: Path) -> None:
    path = new_card(tmp_path / "card.img", size)
    with pytest.raises(ProoflineError, match="PL-CRD-024"):
        device.look(path)
    assert path.stat().st_blocks == 0


def test_an_image_that_is_not_the_builds_leaves_the_card_as_it_was(build: Build, tmp_path: Path) -> None:
    record = read_record(build.record)
    other = BuildRecord(record.version, {**record.artefacts, "disk.raw": "0" * 64}, record.sizes)
    with (
        Medium(device.look(new_card(tmp_path / "card.img"))) as medium,
        pytest.raises(ArtefactWrong),
    ):
        write_card(build.disk, other, site.no_site(), medium, Progress(io.StringIO()))
    assert (tmp_path / "card.img").stat().st_blocks == 0


HERE = [gpt.Partition(name, kind, start * MIB, mib * MIB) for name, kind, start, mib in places()]
LAYOUTS = {
    "nothing": [],
    "a partition less": HERE[:-1],
    "another name": [replace(HERE[0], name="boot"), *HERE[1:]],
    "another type": [replace(HERE[0], kind=HERE[1].kind), *HERE[1:]],
    "another place": [*HERE[:-1], replace(HERE[-1], start=HERE[-1].start + MIB)],
    "another size": [*HERE[:-1], replace(HERE[-1], size=HERE[-1].size - MIB)],
    "another order": [HERE[1], HERE[0], *HERE[2:]],
    "one more": [*HERE, gpt.Partition("more", HERE[1].kind, end_mib() * MIB, MIB)],
    "another state": [*HERE, gpt.Partition("state", HERE[1].kind, end_mib() * MIB, MIB)],
    "two states": [*HERE, *[gpt.Partition(STATE, HERE[1].kind, end_mib() * MIB, MIB)] * 2],
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_other_partitions_are_not_a_stations(case: str) -> None:
    with pytest.raises(LayoutForeign):
        check_layout(LAYOUTS[case])


def test_an_image_of_another_size_is_refused_before_the_card_changes(tmp_path: Path) -> None:
    size = IMAGE_BYTES + MIB
    head, tail = table(list(places()), size // 512)
    image = tmp_path / "disk.raw"
    with image.open("wb") as disk:
        disk.write(head)
        disk.truncate(size)
        disk.seek(size - len(tail))
        disk.write(tail)
    record = BuildRecord("1", {"disk.raw": digest(image)}, {})
    with Medium(device.look(new_card(tmp_path / "card.img"))) as medium, pytest.raises(LayoutForeign):
        write_card(image, record, site.no_site(), medium, Progress(io.StringIO()))
    assert (tmp_path / "card.img").stat().st_blocks == 0


def test_an_image_that_changes_while_it_is_written_leaves_no_card(build: Build, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    with build.disk.open("rb") as source, image.open("wb") as copy:
        copy.truncate(IMAGE_BYTES)
        for number in (0, *(start for _name, _kind, start, _mib in places()), end_mib()):
            source.seek(number * MIB)
            copy.seek(number * MIB)
            copy.write(source.read(6 * MIB if number < end_mib() - 6 else MIB))
    record = BuildRecord("1", {"disk.raw": digest(image)}, {})

    def change() -> None:
        with image.open("r+b") as file:
            file.seek(700 * MIB)
            file.write(b"!")

    with Medium(device.look(new_card(tmp_path / "card.img"))) as medium, pytest.raises(ImageChanged):
        write_card(image, record, site.no_site(), medium, Meddling("writing", change))
    assert refusals(tmp_path / "card.img") == ["PL-CRD-005"]


def test_a_card_that_was_copied_by_hand_onto_a_larger_one_is_told_from_a_written_one(
    tmp_path: Path, build: Build
) -> None:
    path = new_card(tmp_path / "card.img")
    with path.open("r+b") as card, build.disk.open("rb") as image:
        card.write(image.read(2 * MIB))
    assert refusals(path) == ["PL-CRD-005"]
    with path.open("rb") as card, pytest.raises(TableWrong, match="the last sector is"):
        gpt.parse(lambda offset, length: os.pread(card.fileno(), length, offset), path.stat().st_size)


def test_progress_says_how_much_how_fast_and_how_long() -> None:
    assert line("writing", 0, 1_000_000_000, 0.0) == "writing  0 of 1000 MB"
    assert line("writing", 250_000_000, 1_000_000_000, 10.0) == "writing  250 of 1000 MB  25.0 MB/s  30 s left"
    assert line("writing", 1_000_000_000, 1_000_000_000, 40.0) == "writing  1000 of 1000 MB  25.0 MB/s  40 s"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_and_a_log_has_few() -> None:
    for stream, lines in ((Terminal(), 1), (io.StringIO(), 5)):
        now = [0.0]
        progress = Progress(stream, lambda now=now: now[0])  # type: ignore[misc]  # mypy infers no type for a default
        progress.begin("writing", 350)
        for done in range(1, 351):
            now[0] += 0.1
            progress.reach(done)
        assert stream.getvalue().count("\n") == lines
        assert stream.getvalue().rstrip("\n").endswith("35 s")

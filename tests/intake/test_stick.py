"""Sticks read in user space: each kind of table and of FAT, each bent one refused by name, and nothing but that."""

from __future__ import annotations

import os
import random
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import ProoflineError
from appliance.intake import carrier, errors, stick_errors
from appliance.intake.fat import MAX_SLOTS, Volume
from appliance.intake.stick import Stick
from appliance.intake.stick_errors import StickError
from tests.intake.fatforge import SECTOR, Forge, checksum, entry, in_gpt, in_mbr, long_slots, short

LONG = "a" * 64 + ".0.2.0.raucb"
FILES = {
    "proofline/metadata/timestamp.json": b"{}",
    "proofline/metadata/1.root.json": bytes(range(256)) * 9,
    "proofline/targets/roster.json": b"",
    f"proofline/targets/images/kind/{LONG}": os.urandom(40_000),
    "System Volume Information/IndexerVolumeGuid": b"x",
    "hello.txt": b"hello",
}
CARRIER = {path.removeprefix("proofline/"): one for path, one in FILES.items() if path.startswith("proofline/")}


@contextmanager
def opened(disk: bytes | bytearray) -> Iterator[Stick]:
    with tempfile.TemporaryFile() as file:
        file.write(disk)
        file.flush()
        yield Stick(file.fileno())


def everything(stick: Stick, path: str = "") -> dict[str, bytes]:
    """All files, walked as intake walks."""
    found: dict[str, bytes] = {}
    for one in stick.entries(path, 20_000):
        inner = f"{path}/{one.name}".strip("/")
        if one.is_folder:
            found |= everything(stick, inner)
            continue
        with stick.reading(inner) as read:
            found[inner] = b"".join(iter(lambda: read(1_000), b""))
    return found


def refusal(disk: bytes | bytearray) -> ProoflineError | None:
    try:
        with opened(disk) as stick:
            everything(stick)
    except ProoflineError as told:
        return told
    return None


@pytest.mark.parametrize("layout", [bytes, in_mbr, in_gpt], ids=["no table", "MBR", "GPT"])
@pytest.mark.parametrize("bits", [12, 16, 32])
@pytest.mark.parametrize("scattered", [False, True])
def test_a_stick_gives_what_was_written(layout: Callable[[bytes], bytes], bits: int, *, scattered: bool) -> None:
    made = Forge(bits=bits, files=FILES, scattered=scattered)
    with opened(layout(bytes(made.volume))) as stick:
        assert everything(stick) == CARRIER


@pytest.mark.parametrize("per_cluster", [1, 2, 8, 64])
def test_clusters_of_any_size(per_cluster: int) -> None:
    with opened(Forge(bits=16, files=FILES, per_cluster=per_cluster).volume) as stick:
        assert everything(stick) == CARRIER


def test_a_carrier_at_the_top_is_taken_and_what_else_is_there_is_not_looked_at() -> None:
    files = {**CARRIER, "System Volume Information/x": b"x", "notes.txt": b"x"}
    with opened(Forge(bits=32, files=files).volume) as stick:
        assert everything(stick) == CARRIER


def test_a_folder_of_ours_in_capitals_is_ours() -> None:
    files = {path.replace("proofline/", "PROOFLINE/"): one for path, one in FILES.items()}
    with opened(Forge(bits=16, files=files).volume) as stick:
        assert everything(stick) == CARRIER


def test_a_full_directory_spans_clusters() -> None:
    files = {f"proofline/targets/orders/{number:064x}.WO-{number}.json": b"%d" % number for number in range(700)}
    with opened(Forge(bits=32, files=files, scattered=True).volume) as stick:
        found = everything(stick)
    assert len(found) == 700
    assert found[f"targets/orders/{699:064x}.WO-699.json"] == b"699"


def test_short_names_have_the_case_that_windows_notes() -> None:
    made = Forge(bits=16, files={"proofline/x": b""})
    at = made.at_slots("proofline") + 64
    slots = short(b"TIMES   JSO", 0, 0, 32, case=0x18) + short(
        b"METADATA   ", made.first["proofline"], 0, 16, case=0x08
    )
    slots += short(b"LOUD    TXT", 0, 0, 32) + short(b"MIXED   TXT", 0, 0, 32, case=0x10)
    made.volume[at : at + len(slots)] = slots
    with opened(made.volume) as stick:
        assert {one.name for one in stick.entries("", 100)} == {"times.jso", "metadata", "LOUD.TXT", "MIXED.txt"}


Bend = Callable[[Forge], object]
ROOT_JSON = "proofline/metadata/1.root.json"
META = "proofline/metadata"


def head(form: str, at: int, value: int) -> Bend:
    return lambda made: struct.pack_into(form, made.volume, at, value)


def chain(path: str, step: int, value: int) -> Bend:
    """What the table says after the cluster that is `step` clusters into a file (they lie side by side)."""
    return lambda made: made.set_table(made.first[path] + step, value)


def slots(folder: str, content: bytes, skip: int = 64) -> Bend:
    def bend(made: Forge) -> None:
        at = made.at_slots(folder) + skip
        made.volume[at : at + len(content)] = content

    return bend


def first_cluster(value: int) -> Bend:
    """The entry of 1.root.json begins at another cluster."""

    def bend(made: Forge) -> None:
        at = made.at_slots(META)
        while made.volume[at : at + 8] != b"N000001~":
            at += 32
        struct.pack_into("<H4xH", made.volume, at + 20, value >> 16, value & 0xFFFF)

    return bend


def full_and_then(folder: str, following: int | None) -> Bend:
    """A folder fills its cluster, and the table says another one after it: by default the same."""

    def bend(made: Forge) -> None:
        at = made.at_slots(folder)
        for slot in range(at, at + made.cluster_bytes, 32):
            made.volume[slot] = made.volume[slot] or 0xE5
        made.set_table(made.first[folder], made.first[folder] if following is None else following)

    return bend


def endless_directory(made: Forge) -> None:
    """A directory that fills every cluster there is."""
    at = made.first[META]
    for cluster in range(at, made.clusters + 1):
        made.set_entry(cluster, cluster + 1)
        made.volume[made.at_cluster(cluster) : made.at_cluster(cluster + 1)] = b"\xe5" * made.cluster_bytes
    made.write_tables()


BAD: list[tuple[str, int, Bend, type[ProoflineError]]] = [
    ("sector of 128 bytes", 16, head("<H", 11, 128), stick_errors.NoVolume),
    ("sector of 0 bytes", 16, head("<H", 11, 0), stick_errors.NoVolume),
    ("3 sectors a cluster", 16, head("<B", 13, 3), stick_errors.NoVolume),
    ("0 sectors a cluster", 16, head("<B", 13, 0), stick_errors.NoVolume),
    ("nothing reserved", 16, head("<H", 14, 0), stick_errors.NoVolume),
    ("no table", 16, head("<B", 16, 0), stick_errors.NoVolume),
    ("200 tables", 16, head("<B", 16, 200), stick_errors.NoVolume),
    ("no signature", 16, head("<H", 510, 0), stick_errors.NoVolume),
    ("clusters of 128 KiB", 16, lambda m: (head("<H", 11, 4096)(m), head("<B", 13, 32)(m)), stick_errors.VolumeWrong),
    ("more sectors than the stick", 16, head("<H", 19, 65_535), stick_errors.VolumeWrong),
    ("no sectors", 16, head("<H", 19, 0), stick_errors.VolumeWrong),
    ("tables longer than the volume", 16, head("<H", 22, 40_000), stick_errors.VolumeWrong),
    ("a table for fewer clusters", 16, head("<H", 22, 5), stick_errors.VolumeWrong),
    ("no root directory", 16, head("<H", 17, 0), stick_errors.VolumeWrong),
    ("FAT32 with a table of 0", 32, head("<I", 36, 0), stick_errors.VolumeWrong),
    ("FAT32 with a root like FAT16", 32, head("<H", 17, 512), stick_errors.VolumeWrong),
    ("FAT32 of version 1.0", 32, head("<H", 42, 256), stick_errors.VolumeWrong),
    ("root at cluster 0", 32, head("<I", 44, 0), stick_errors.VolumeWrong),
    ("root behind the end", 32, head("<I", 44, 6_002), stick_errors.VolumeWrong),
    ("a chain that ends early", 16, chain(ROOT_JSON, 1, 0xFFFF), stick_errors.ChainWrong),
    ("a chain into nothing", 16, chain(ROOT_JSON, 1, 0), stick_errors.ChainWrong),
    ("a chain to cluster 1", 16, chain(ROOT_JSON, 1, 1), stick_errors.ChainWrong),
    ("a chain behind the end", 16, chain(ROOT_JSON, 1, 5_002), stick_errors.ChainWrong),
    ("a chain to a bad cluster", 16, chain(ROOT_JSON, 1, 0xFFF7), stick_errors.ChainWrong),
    ("a chain to a bad cluster, FAT12", 12, chain(ROOT_JSON, 1, 0xFF7), stick_errors.ChainWrong),
    ("a chain to a bad cluster, FAT32", 32, chain(ROOT_JSON, 1, 0x0FFF_FFF7), stick_errors.ChainWrong),
    ("a file at no cluster", 16, first_cluster(0), stick_errors.ChainWrong),
    ("a file at cluster 1", 16, first_cluster(1), stick_errors.ChainWrong),
    ("a file behind the end", 16, first_cluster(5_002), stick_errors.ChainWrong),
    (
        "a folder that comes back to itself",
        32,
        full_and_then(META, None),
        stick_errors.ChainWrong,
    ),
    ("a folder into nothing", 32, full_and_then(META, 0), stick_errors.ChainWrong),
    ("the top comes back to itself", 32, full_and_then("", None), stick_errors.ChainWrong),
    ("a folder at cluster 0", 16, slots(META, entry("sub", 9, 0, 0, 16)), stick_errors.ChainWrong),
    ("a folder without end", 32, endless_directory, stick_errors.DirectoryWrong),
    ("a name twice", 16, slots(META, entry("a", 8, 0, 0, 32) + entry("A", 9, 0, 0, 32)), stick_errors.DirectoryWrong),
    ("a slash in a short name", 16, slots(META, short(b"A/B        ", 0, 0, 32)), stick_errors.DirectoryWrong),
    ("a slash in a long name", 16, slots(META, entry("../x", 9, 0, 0, 32)), stick_errors.DirectoryWrong),
    (
        "half a character",
        16,
        slots(META, entry("x", 9, 0, 0, 32).replace(b"x\0", b"\0\xd8", 1)),
        stick_errors.DirectoryWrong,
    ),
    ("an empty name", 16, slots(META, short(b" " * 11, 0, 0, 32)), stick_errors.DirectoryWrong),
    ("nothing of ours", 16, slots("", b"\0", 0), stick_errors.NothingOnStick),
]


@pytest.mark.parametrize(("_case", "bits", "bend", "expected"), BAD, ids=[case for case, *_ in BAD])
def test_a_bent_volume_is_refused_by_name(_case: str, bits: int, bend: Bend, expected: type[ProoflineError]) -> None:
    made = Forge(bits=bits, files=FILES)
    assert refusal(made.volume) is None
    bend(made)
    told = refusal(made.volume)
    assert type(told) is expected, told


def test_a_folder_that_holds_itself_is_left_at_the_depth_that_a_repository_has() -> None:
    made = Forge(bits=16, files={"proofline/targets/x/y": b"y"})
    at = made.at_slots("proofline/targets/x") + 64
    loop = entry("x", 9, made.first["proofline/targets/x"], 0, 16)
    made.volume[at : at + len(loop)] = loop
    with (
        tempfile.TemporaryDirectory() as private,
        opened(made.volume) as stick,
        pytest.raises(errors.CarrierNameUnexpected),
    ):
        carrier.copy(stick, Path(private))


def table(bend: Callable[[bytearray], object], layout: Callable[[bytes], bytearray]) -> bytearray:
    disk = layout(bytes(Forge(bits=16, files=FILES).volume))
    bend(disk)
    return disk


def resealed(at: int, form: str, value: int) -> Callable[[bytearray], object]:
    """A field of the GPT's header is another one, and the header's checksum is right again."""

    def bend(disk: bytearray) -> None:
        struct.pack_into(form, disk, SECTOR + at, value)
        struct.pack_into("<I", disk, SECTOR + 16, 0)
        struct.pack_into("<I", disk, SECTOR + 16, zlib.crc32(disk[SECTOR : SECTOR + 92]))

    return bend


TABLES: list[tuple[str, Callable[[bytes], bytearray], Callable[[bytearray], object], type[ProoflineError]]] = [
    ("a partition of another kind", in_mbr, lambda d: struct.pack_into("<B", d, 450, 0x83), stick_errors.NoVolume),
    ("no partition", in_mbr, lambda d: struct.pack_into("<B", d, 450, 0), stick_errors.NoVolume),
    ("no table", in_mbr, lambda d: struct.pack_into("<H", d, 510, 0), stick_errors.NoVolume),
    ("a status that is none", in_mbr, lambda d: struct.pack_into("<B", d, 446, 7), stick_errors.TableWrong),
    ("a partition at block 0", in_mbr, lambda d: struct.pack_into("<I", d, 454, 0), stick_errors.TableWrong),
    ("a partition behind the end", in_mbr, lambda d: struct.pack_into("<I", d, 454, 1 << 31), stick_errors.TableWrong),
    ("a partition past the end", in_mbr, lambda d: struct.pack_into("<I", d, 458, 1 << 31), stick_errors.TableWrong),
    ("an empty partition", in_mbr, lambda d: struct.pack_into("<I", d, 458, 0), stick_errors.TableWrong),
    (
        "a partition without a FAT",
        in_mbr,
        lambda d: struct.pack_into("<B", d, 64 * SECTOR, 0),
        stick_errors.VolumeWrong,
    ),
    ("a GPT that is none", in_gpt, lambda d: struct.pack_into("<B", d, SECTOR, 0), stick_errors.TableWrong),
    ("a GPT's header flipped", in_gpt, lambda d: struct.pack_into("<B", d, SECTOR + 60, 9), stick_errors.TableWrong),
    (
        "a GPT's entry flipped",
        in_gpt,
        lambda d: struct.pack_into("<B", d, 2 * SECTOR + 200, 9),
        stick_errors.TableWrong,
    ),
    ("a GPT elsewhere", in_gpt, resealed(24, "<Q", 2), stick_errors.TableWrong),
    ("a GPT with 2^32-1 entries", in_gpt, resealed(80, "<I", (1 << 32) - 1), stick_errors.TableWrong),
    ("a GPT with entries of 1 byte", in_gpt, resealed(84, "<I", 1), stick_errors.TableWrong),
    ("a GPT with entries behind the end", in_gpt, resealed(72, "<Q", 1 << 60), stick_errors.TableWrong),
    ("a GPT over the MBR", in_gpt, resealed(72, "<Q", 0), stick_errors.TableWrong),
    ("a GPT of another revision", in_gpt, resealed(8, "<I", 0x20000), stick_errors.TableWrong),
]


@pytest.mark.parametrize(("_case", "layout", "bend", "expected"), TABLES, ids=[case for case, *_ in TABLES])
def test_a_bent_partition_table_is_refused_by_name(
    _case: str,
    layout: Callable[[bytes], bytearray],
    bend: Callable[[bytearray], object],
    expected: type[ProoflineError],
) -> None:
    assert refusal(table(lambda _: None, layout)) is None
    told = refusal(table(bend, layout))
    assert type(told) is expected, told


def test_a_gpt_without_a_fat_partition_has_no_volume() -> None:
    volume = bytes(Forge(bits=16, files=FILES).volume)
    assert type(refusal(in_gpt(volume, kind=b"\x0f" * 16))) is stick_errors.NoVolume


@pytest.mark.parametrize("size", [0, 1, 511, 512, 32_767])
def test_a_stick_that_is_hardly_there_has_no_volume(size: int) -> None:
    assert type(refusal(bytes(size))) is stick_errors.NoVolume


def test_a_long_name_that_is_not_whole_counts_for_nothing() -> None:
    alias = b"HELLO   TXT"
    good = long_slots("a long name.txt", checksum(alias))
    kinds = {
        "another entry's": long_slots("a long name.txt", checksum(b"OTHER   TXT")),
        "its end is missing": good[32:],
        "its beginning is missing": good[:-32],
        "out of order": good[32:] + good[:32],
        "deleted in between": good[:32] + b"\xe5" + good[33:],
    }
    for why, before in kinds.items():
        made = Forge(bits=16, files={"proofline/x": b""})
        slots("proofline", before + short(alias, 0, 0, 32))(made)
        with opened(made.volume) as stick:
            assert "HELLO.TXT" in {one.name for one in stick.entries("", 100)}, why


def test_more_entries_than_asked_for_are_refused() -> None:
    with opened(Forge(bits=16, files=FILES).volume) as stick, pytest.raises(errors.CarrierFilesTooMany):
        stick.entries("metadata", 1)


@pytest.mark.parametrize("path", ["nothing", "metadata", "metadata/nothing", "hello.txt/x", "/".join("x" * 9)])
def test_a_file_that_is_not_there_is_named(path: str) -> None:
    with (
        opened(Forge(bits=16, files=FILES).volume) as stick,
        pytest.raises(stick_errors.NotOnStick),
        stick.reading(path),
    ):
        pass


class Counting:
    """A volume's bytes, and how many were asked for: what a stick can make its reader do."""

    def __init__(self, made: Forge) -> None:
        self.made, self.asked, self.most = made, 0, 0

    def __call__(self, offset: int, length: int) -> bytes:
        self.asked += length
        self.most = max(self.most, length)
        return self.made.read(offset, length)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([12, 16, 32]), st.integers(0, 2**32), st.integers(1, 40))
def test_a_corrupted_volume_is_read_or_refused_in_bounds(bits: int, seed: int, flips: int) -> None:
    """Flips where they matter: the head, the tables, the folders. Nothing but our refusals; no read outside the volume
    (the forge asserts it); no piece and no sum beyond what the volume's size explains."""
    made = Forge(bits=bits, files={name: FILES[name] for name in FILES if "IndexerVolume" not in name})
    chance = random.Random(seed)
    places = [range(90), range(made.reserved * SECTOR, made.reserved * SECTOR + 400), range(510, 512)]
    places += [range(made.at_slots(folder), made.at_slots(folder) + 256) for folder in ("", "proofline", META)]
    for _ in range(flips):
        made.volume[chance.choice(chance.choice(places))] = chance.choice([0, 1, 255, 0x40, chance.randrange(256)])
    counting = Counting(made)
    try:
        volume = Volume(counting, made.size)
        left = [64]

        def walk(path: str, depth: int) -> None:
            for name, node in volume.folder(path).items():
                inner = f"{path}/{name}".strip("/")
                left[0] -= 1
                if left[0] < 0 or depth > 4:
                    return
                if node.is_folder:
                    walk(inner, depth + 1)
                else:
                    total = 0
                    for piece in volume.content(node, inner):
                        total += len(piece)
                        if total > 2 * made.size:
                            break

        walk("", 0)
    except StickError:
        pass
    assert counting.most <= max(1 << 20, MAX_SLOTS * 32)
    assert counting.asked <= 64 * 4 * made.size


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([bytes, in_mbr, in_gpt]), st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 255))))
def test_a_corrupted_beginning_of_a_stick_is_read_or_refused(
    layout: Callable[[bytes], bytes], flips: list[tuple[int, int]]
) -> None:
    disk = bytearray(layout(bytes(SMALL.volume)))
    for at, value in flips:
        disk[at] = value
    told = refusal(disk)
    assert told is None or isinstance(told, errors.IntakeError)


SMALL = Forge(bits=12, files=FILES, clusters=200)


@settings(deadline=None)
@given(st.binary(max_size=40_000))
def test_noise_is_refused_by_name(noise: bytes) -> None:
    assert isinstance(refusal(noise), StickError)

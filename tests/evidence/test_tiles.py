"""C2SP tlog-tiles: the specification's examples, and what is no tile, path or bundle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.evidence import tiles
from appliance.evidence.errors import EvidenceError
from tests.evidence.formats import code_of


def test_the_specifications_tiles() -> None:
    # C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles"
    assert tiles.Tile(0, 1234067).path == "tile/0/x001/x234/067"
    found = [tile for tile in tiles.tiles_of(70_000) if tile.level != tiles.ENTRIES]
    assert sum(tile.level == 0 and tile.width == 256 for tile in found) == 273
    assert [tile for tile in found if tile.width < 256] == [
        tiles.Tile(0, 273, 112),
        tiles.Tile(1, 1, 17),
        tiles.Tile(2, 0, 1),
    ]
    assert list(tiles.tiles_of(256))[1:] == [tiles.Tile(0, 0), tiles.Tile(1, 0, 1)]
    assert list(tiles.tiles_of(0)) == []


@given(st.integers(-1, 63), st.integers(0, 2**55 - 1), st.integers(1, 256))
def test_a_path_names_one_tile(level: int, index: int, width: int) -> None:
    tile = tiles.Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_an_append_writes_what_the_bigger_tree_has_and_the_smaller_has_not(one: int, other: int) -> None:
    old, new = sorted((one, other))
    assert set(tiles.new_tiles(old, new)) == set(tiles.tiles_of(new)) - set(tiles.tiles_of(old))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/1000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/entries/000/",
        "tile/Entries/000",
        "/tile/0/000",
        "tile/../0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/0/٠٠٠",
        "x" * 500,
    ],
)
def test_other_paths_name_none(path: str) -> None:
    assert code_of(lambda: tiles.parse_path(path)) == "PL-EVD-030"


GOOD_BUNDLE = tiles.encode_bundle([b"one", b"", b"three"])


@pytest.mark.parametrize(
    ("content", "width", "code"),
    [
        (GOOD_BUNDLE[:-1], 3, "PL-EVD-032"),
        (GOOD_BUNDLE + b"\x00", 3, "PL-EVD-032"),
        (GOOD_BUNDLE + b"\x00\x00", 3, "PL-EVD-032"),
        (GOOD_BUNDLE, 2, "PL-EVD-032"),
        (GOOD_BUNDLE, 4, "PL-EVD-032"),
        (b"", 1, "PL-EVD-032"),
        (b"\xff\xff", 1, "PL-EVD-032"),
    ],
)
def test_bad_bundle(content: bytes, width: int, code: str) -> None:
    assert tiles.decode_bundle(GOOD_BUNDLE, 3) == (b"one", b"", b"three")
    assert code_of(lambda: tiles.decode_bundle(content, width)) == code


def test_what_no_bundle_or_tile_holds() -> None:
    assert code_of(lambda: tiles.encode_entry(bytes(65_536))) == "PL-EVD-033"
    assert code_of(lambda: tiles.encode_bundle([b""] * 257)) == "PL-EVD-032"
    assert code_of(lambda: tiles.split_tile(tiles.Tile(0, 0, 2), bytes(63))) == "PL-EVD-031"
    assert code_of(lambda: tiles.tile_at(0, 1, 256)) == "PL-EVD-030"


@given(st.binary(max_size=60), st.integers(0, 4))
def test_any_bundle_is_refused_or_spelled_that_way(content: bytes, width: int) -> None:
    try:
        entries = tiles.decode_bundle(content, width)
    except EvidenceError:
        return
    assert tiles.encode_bundle(entries) == content

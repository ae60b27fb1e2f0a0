"""C2SP tlog-tiles: where a log keeps its hashes and entries, and how.

- A tile is up to 256 consecutive hashes: of entries at level 0, of full tiles of the level below above that.
- Level -1 (`ENTRIES`) names entry bundles: up to 256 entries, each with its length in two big-endian bytes.
- Full tiles never change. A partial tile's width is part of its name, so no file ever changes.
- `TileHashes` gives any subtree's hash from tiles, which is all that `merkle` needs to make proofs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from appliance.evidence.errors import EntryBundleMalformed, EntryTooLarge, TileMalformed, TilePathMalformed
from appliance.evidence.merkle import HASH_BYTES, MAX_SIZE, node_hash

WIDTH = 256
ENTRIES = -1
MAX_ENTRY_BYTES = 65_535
MAX_BUNDLE_BYTES = WIDTH * (MAX_ENTRY_BYTES + 2)
_MAX_LEVEL = 63
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A tile's name: level (`ENTRIES` for a bundle), index within the level, width 1 to 256."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """The tile's place below the log's prefix: `tile/0/x001/x234/067.p/8`."""
        groups = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            groups.append(f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"

    @property
    def full(self) -> Tile:
        """The full tile that this one is, or grows into."""
        return Tile(self.level, self.index)


def parse_path(path: str) -> Tile:
    """The tile that `path` names, the exact inverse of `Tile.path`."""
    match = _PATH.fullmatch(path) if len(path) <= 64 and path.isascii() else None
    if match is None:
        raise TilePathMalformed(path=repr(path[:80]), why="it does not have the form tile/<L>/<N>[.p/<W>]")
    name, groups, partial = match.groups()
    tile = Tile(
        ENTRIES if name == "entries" else int(name),
        int(groups.replace("x", "").replace("/", "")),
        int(partial) if partial else WIDTH,
    )
    if tile.level > _MAX_LEVEL or tile.index > MAX_SIZE >> 8 or (partial and tile.width >= WIDTH):
        raise TilePathMalformed(path=repr(path), why="its level, index or width is out of range")
    if tile.path != path:
        raise TilePathMalformed(path=repr(path), why=f"the same tile is spelled {tile.path}")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of a tree of `size` entries, entry bundles included, levels ascending from `ENTRIES`."""
    return new_tiles(0, size)


def new_tiles(old_size: int, new_size: int) -> Iterator[Tile]:
    """The tiles that a tree of `new_size` entries has and a tree of `old_size` has not: what an append
    writes.
    """
    for level in range(ENTRIES, 8):
        shift = 8 * max(level, 0)
        old, new = old_size >> shift, new_size >> shift
        if not new:
            return
        if new > old:
            for index in range(old // WIDTH, new // WIDTH):
                yield Tile(level, index)
            if new % WIDTH:
                yield Tile(level, new // WIDTH, new % WIDTH)


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile at (`level`, `index`) as a tree of `size` entries has it, or a refusal."""
    width = min((size >> (8 * max(level, 0))) - index * WIDTH, WIDTH)
    if width < 1:
        raise TilePathMalformed(path=Tile(level, index).path, why=f"a tree of {size} entries has no such tile")
    return Tile(level, index, width)


def split_tile(tile: Tile, content: bytes) -> tuple[bytes, ...]:
    """The hashes in a tile's content."""
    if len(content) != tile.width * HASH_BYTES:
        raise TileMalformed(where=tile.path, found=len(content), expected=tile.width * HASH_BYTES)
    return tuple(content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The entry bundle that holds `entries` (at most 256, each at most 65,535 bytes)."""
    if len(entries) > WIDTH:
        raise EntryBundleMalformed(why=f"{len(entries)} entries; a bundle holds {WIDTH}")
    return b"".join([encode_entry(entry) for entry in entries])


def encode_entry(entry: bytes) -> bytes:
    """One entry as it stands in a bundle: appending it to a bundle's bytes appends it to the bundle."""
    if len(entry) > MAX_ENTRY_BYTES:
        raise EntryTooLarge(size=len(entry), limit=MAX_ENTRY_BYTES)
    return len(entry).to_bytes(2, "big") + entry


def decode_bundle(content: bytes, width: int) -> tuple[bytes, ...]:
    """The `width` entries of a bundle; not one more, not one less, no byte left over."""
    entries: list[bytes] = []
    at, end = 0, len(content)
    while at < end:
        start = at + 2
        at = start + int.from_bytes(content[at:start], "big")
        if start > end or at > end:
            raise EntryBundleMalformed(why=f"it ends inside entry {len(entries)}")
        if len(entries) == width:
            raise EntryBundleMalformed(why=f"it goes on after its {width} entries")
        entries.append(content[start:at])
    if len(entries) != width:
        raise EntryBundleMalformed(why=f"it holds {len(entries)} entries; its name says {width}")
    return tuple(entries)


class TileHashes:
    """Subtree hashes of a tree of `size` entries, from its tiles.

    `read` gives the content of a named tile (partial or full as `tile_at` says). Tiles are kept while the
    object lives: make one for each proof or each batch of proofs.
    """

    def __init__(self, size: int, read: Callable[[Tile], bytes]) -> None:
        self._size = size
        self._read = read
        self._kept: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def node(self, level: int, index: int) -> bytes:
        """MTH(D[index << level : (index + 1) << level]); a `merkle.Node`."""
        tile_level, height = divmod(level, 8)
        first = index << height
        hashes = self._tile(tile_level, first // WIDTH)
        run = list(hashes[first % WIDTH : first % WIDTH + (1 << height)])
        if len(run) != 1 << height:
            raise TilePathMalformed(
                path=f"subtree {level}/{index}", why=f"a tree of {self._size} entries has no such subtree"
            )
        while len(run) > 1:
            run = [node_hash(run[at], run[at + 1]) for at in range(0, len(run), 2)]
        return run[0]

    def _tile(self, level: int, index: int) -> tuple[bytes, ...]:
        kept = self._kept.get((level, index))
        if kept is None:
            tile = tile_at(level, index, self._size)
            kept = self._kept[level, index] = split_tile(tile, self._read(tile))
        return kept

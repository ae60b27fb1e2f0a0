"""Reading a published log (C2SP tlog-tiles) and recounting it: nothing in it is believed until it adds up.

- `recount` recomputes every hash of every tile from the entries and ends with the root the checkpoint names.
- The log's own words (tiles) are compared with what the entries say; a tile that differs is named, with its
  position.
- A partial tile may be gone when its full tile exists (the specification lets a grown log drop it).
- Memory is bounded by one entry bundle (16 MiB at most) and two tiles a level, whatever the log's size.

The storage is handed in: a directory, an object store, a dictionary in a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from appliance.evidence import merkle, tiles
from appliance.evidence.checkpoint import Checkpoint
from appliance.evidence.errors import LogFileMissing, LogFileTooLarge, LogRootFalse, LogTileFalse
from appliance.evidence.tiles import ENTRIES, WIDTH, Tile


class Storage(Protocol):
    """Read-only access to a published log."""

    def read(self, path: str, limit: int) -> bytes | None:
        """The file at `path` below the log's prefix, None where there is none; may stop after `limit` + 1
        bytes.
        """


def read_tile(storage: Storage, tile: Tile, size: int) -> bytes:
    """A tile's content as a tree of `size` entries has it, cut from the full tile where the partial one is
    gone.
    """
    limit = tiles.MAX_BUNDLE_BYTES if tile.level == ENTRIES else WIDTH * merkle.HASH_BYTES
    content = _read(storage, tile.path, limit)
    if content is not None:
        return content
    content = _read(storage, tile.full.path, limit) if tile.width < WIDTH else None
    if content is None:
        raise LogFileMissing(path=tile.path, size=size)
    if tile.level == ENTRIES:
        return tiles.encode_bundle(tiles.decode_bundle(content, WIDTH)[: tile.width])
    return content[: tile.width * merkle.HASH_BYTES]


def hashes(storage: Storage, size: int) -> tiles.TileHashes:
    """Subtree hashes for proofs about a tree of `size` entries, read from the published tiles."""
    return tiles.TileHashes(size, lambda tile: read_tile(storage, tile, size))


def read_entry(storage: Storage, index: int, size: int) -> bytes:
    """Entry `index` of a tree of `size` entries, as published: check its proof before believing it."""
    tile = tiles.tile_at(ENTRIES, index // WIDTH, size)
    return tiles.decode_bundle(read_tile(storage, tile, size), tile.width)[index % WIDTH]


def recount(storage: Storage, against: Checkpoint) -> Iterator[tuple[int, bytes]]:
    """Every (index, entry) of the log, in order.

    Tiles are checked as the entries go by and the root after the last one: **nothing yielded may be believed
    before the iterator has ended without a refusal** (`PL-EVD-031` to `-033`, `-090` to `-093`).
    """
    tree = merkle.CompactRange()
    upper = _UpperTiles(storage, against.size)
    for index in range(0, against.size, WIDTH):
        bundle = tiles.tile_at(ENTRIES, index // WIDTH, against.size)
        entries = tiles.decode_bundle(read_tile(storage, bundle, against.size), bundle.width)
        leaves = [merkle.leaf_hash(entry) for entry in entries]
        upper.add(0, leaves)
        for leaf in leaves:
            tree.append(leaf)
        yield from enumerate(entries, index)
    upper.finish()
    if tree.root() != against.root:
        raise LogRootFalse(size=against.size)


class _UpperTiles:
    """The tiles that the entries seen so far amount to, compared with the published as each completes."""

    def __init__(self, storage: Storage, size: int) -> None:
        self._storage = storage
        self._size = size
        self._pending: list[list[bytes]] = []
        self._done: list[int] = []

    def add(self, level: int, run: list[bytes]) -> None:
        if level == len(self._pending):
            self._pending.append([])
            self._done.append(0)
        pending = self._pending[level]
        pending.extend(run)
        if len(pending) == WIDTH:
            self._compare(Tile(level, self._done[level]), pending)
            self.add(level + 1, [merkle.root_of(pending)])
            self._pending[level] = []
            self._done[level] += 1

    def finish(self) -> None:
        for level, pending in enumerate(self._pending):
            if pending:
                self._compare(Tile(level, self._done[level], len(pending)), pending)

    def _compare(self, tile: Tile, expected: list[bytes]) -> None:
        published = tiles.split_tile(tile, read_tile(self._storage, tile, self._size))
        for position, (found, right) in enumerate(zip(published, expected, strict=True)):
            if found != right:
                raise LogTileFalse(path=tile.path, position=position)


def _read(storage: Storage, path: str, limit: int) -> bytes | None:
    content = storage.read(path, limit)
    if content is not None and len(content) > limit:
        raise LogFileTooLarge(path=path, limit=limit)
    return content

"""Recounting a published log: whatever differs from what the entries say is found and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.evidence import log, merkle, tiles
from appliance.evidence.checkpoint import Checkpoint
from appliance.evidence.errors import EvidenceError
from tests.evidence.formats import ORIGIN

Files = dict[str, bytes]


class Memory:
    """A `log.Storage` over a dict."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def read(self, path: str, limit: int) -> bytes | None:
        content = self.files.get(path)
        return None if content is None else content[: limit + 1]


def entries_of(size: int) -> list[bytes]:
    return [f"entry {at}".encode() for at in range(size)]


def publish(entries: list[bytes]) -> Files:
    """The files of a log with these entries, made the naive way: every tile straight from the specification."""
    leaves = [merkle.leaf_hash(one) for one in entries]
    files: Files = {}
    for tile in tiles.tiles_of(len(entries)):
        first = tile.index * 256
        if tile.level == tiles.ENTRIES:
            files[tile.path] = tiles.encode_bundle(entries[first : first + tile.width])
        else:
            span = 256**tile.level
            runs = range(first * span, (first + tile.width) * span, span)
            files[tile.path] = b"".join(merkle.root_of(leaves[at : at + span]) for at in runs)
    return files


def checkpoint_of(entries: list[bytes]) -> Checkpoint:
    return Checkpoint(ORIGIN, len(entries), merkle.root_of(map(merkle.leaf_hash, entries)))


def recount(files: Files, against: Checkpoint) -> list[bytes]:
    return [entry for _, entry in log.recount(Memory(files), against)]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 600, 65_536 + 3])
def test_a_good_log_adds_up(size: int) -> None:
    entries = entries_of(size)
    assert recount(publish(entries), checkpoint_of(entries)) == entries


def test_a_log_that_has_grown_still_shows_its_past() -> None:
    entries = entries_of(700)
    files, old = publish(entries), checkpoint_of(entries[:300])
    assert recount(files | publish(entries[:300]), old) == entries[:300]
    # A grown log may drop partial tiles whose full tile exists; those of the last tile stay.
    last = {path: content for path, content in publish(entries[:300]).items() if "/001.p/" in path or "tile/1" in path}
    assert recount({**last, **files}, old) == entries[:300]


def test_proofs_come_out_of_tiles() -> None:
    entries = entries_of(700)
    leaves = [merkle.leaf_hash(one) for one in entries]
    storage = Memory(publish(entries))
    node = log.hashes(storage, 700).node
    assert merkle.root_at(700, node) == checkpoint_of(entries).root
    for index in (0, 255, 256, 511, 512, 699):
        assert merkle.inclusion_proof(index, 700, node) == merkle.inclusion_proof(index, 700, merkle.node_of(leaves))
        assert log.read_entry(storage, index, 700) == entries[index]
    for old in (1, 256, 257, 512, 699, 700):
        assert merkle.consistency_proof(old, 700, node) == merkle.consistency_proof(old, 700, merkle.node_of(leaves))
    with pytest.raises(EvidenceError) as refused:
        node(9, 1)
    assert refused.value.code == "PL-EVD-030"


def flip(path: str, at: int) -> Callable[[Files], None]:
    def edit(files: Files) -> None:
        content = bytearray(files[path])
        content[at] ^= 1
        files[path] = bytes(content)

    return edit


def cut(path: str, end: int) -> Callable[[Files], None]:
    return lambda files: files.update({path: files[path][:end]})


def drop(path: str) -> Callable[[Files], object]:
    return lambda files: files.pop(path)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (flip("tile/entries/000", 5), "PL-EVD-091"),
        (flip("tile/entries/000", 1), "PL-EVD-032"),
        (flip("tile/entries/002.p/88", 5), "PL-EVD-091"),
        (flip("tile/0/001", 32 * 7), "PL-EVD-091"),
        (flip("tile/0/002.p/88", 3), "PL-EVD-091"),
        (flip("tile/1/000.p/2", 33), "PL-EVD-091"),
        (cut("tile/0/000", 8191), "PL-EVD-031"),
        (cut("tile/0/000", 0), "PL-EVD-031"),
        (cut("tile/entries/001", -1), "PL-EVD-032"),
        (drop("tile/entries/001"), "PL-EVD-090"),
        (drop("tile/entries/002.p/88"), "PL-EVD-090"),
        (drop("tile/0/000"), "PL-EVD-090"),
        (drop("tile/1/000.p/2"), "PL-EVD-090"),
        (lambda files: files.update({"tile/0/000": files["tile/0/000"] + bytes(32)}), "PL-EVD-093"),
        (lambda files: files.update({"tile/entries/002.p/88": bytes(20_000_000)}), "PL-EVD-093"),
    ],
)
def test_a_bent_log_does_not_add_up(edit: Callable[[Files], object], code: str) -> None:
    entries = entries_of(600)
    files = publish(entries)
    assert recount(files, checkpoint_of(entries)) == entries
    edit(files)
    with pytest.raises(EvidenceError) as refused:
        recount(files, checkpoint_of(entries))
    assert refused.value.code == code


def test_a_consistent_rewrite_does_not_have_the_signed_root() -> None:
    entries = entries_of(600)
    rewritten = [*entries[:300], b"another past", *entries[301:]]
    with pytest.raises(EvidenceError) as refused:
        recount(publish(rewritten), checkpoint_of(entries))
    assert refused.value.code == "PL-EVD-092"


def test_two_entries_swapped_with_their_tiles() -> None:
    entries = entries_of(20)
    with pytest.raises(EvidenceError) as refused:
        recount(publish([entries[1], entries[0], *entries[2:]]), checkpoint_of(entries))
    assert refused.value.code == "PL-EVD-092"

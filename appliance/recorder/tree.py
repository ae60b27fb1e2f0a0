"""The log's Merkle tree as it grows, in memory: every complete subtree's hash, 64 bytes an entry.

- Appending costs two hashes on average; a root, an inclusion or a consistency proof O(log n) look-ups and hashes.
- A tile is a slice of what is held, so publishing one hashes nothing.
"""

from __future__ import annotations

from appliance.evidence import merkle

_HASH = merkle.HASH_BYTES
_WIDTH = 256


class Tree:
    """Leaves are appended by one thread; the hashes of complete subtrees never change, so anybody may read."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        return len(self._levels[0]) // _HASH

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next entry (`merkle.leaf_hash`)."""
        carried, index = leaf, self.size
        for level in range(64):
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += carried
            if not index & 1:
                return
            carried = merkle.node_hash(self.node(level, index - 1), carried)
            index >>= 1

    def node(self, level: int, index: int) -> bytes:
        """A `merkle.Node`."""
        return bytes(self._levels[level][index * _HASH : (index + 1) * _HASH])

    def root(self, size: int) -> bytes:
        """The root of the first `size` entries."""
        return merkle.root_at(size, self.node)

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The content of a hash tile (level 0 and up, in tiles of 256)."""
        start = index * _WIDTH * _HASH
        return bytes(self._levels[8 * level][start : start + width * _HASH])

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        return merkle.inclusion_proof(index, size, self.node)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        return merkle.consistency_proof(old, new, self.node)

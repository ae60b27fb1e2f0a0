"""The RFC 6962 Merkle tree (SHA-256): roots, inclusion and consistency, made and checked.

- A tree is named by its size and root. `D[low:high]` below is RFC 6962's notation for a run of entries.
- Proofs are made from a function that gives the hash of any complete, aligned subtree, so the same code
  serves a list in memory, tiles on a disk and a stream (`node(level, index)` is `MTH(D[index << level :
  (index + 1) << level])`).
- `CompactRange` is the left edge of a growing tree in at most 63 hashes: append leaves, ask for the root,
  store it.
- Checking refuses with the reason: an index outside the tree, a proof of the wrong length, a root that
  differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from appliance.evidence.errors import (
    ConsistencyProofFalse,
    HashLengthWrong,
    InclusionProofFalse,
    IndexOutsideTree,
    ProofLengthWrong,
    TreeShrinks,
)

HASH_BYTES = 32
MAX_SIZE = (1 << 63) - 1
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""`(level, index)` to the hash of that complete subtree."""


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962 2.1: SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 2.1: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """The hashes of the complete subtrees that cover a tree from the left, largest first.

    `append` costs two hashes on average. `state` is (size, hashes) and restores by `CompactRange(size,
    hashes)`.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= MAX_SIZE or len(hashes) != size.bit_count():
            raise ProofLengthWrong(found=len(hashes), expected=max(size, 0).bit_count())
        for at, one in enumerate(hashes):
            _check_hash(one, f"compact range hash {at}")
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        return self._size

    @property
    def state(self) -> tuple[int, tuple[bytes, ...]]:
        return self._size, tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next entry."""
        carried, size = leaf, self._size
        while size & 1:
            carried = node_hash(self._hashes.pop(), carried)
            size >>= 1
        self._hashes.append(carried)
        self._size += 1

    def root(self) -> bytes:
        """The tree's root; of an empty tree, SHA-256 of nothing."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaf hashes."""
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def node_of(leaves: Sequence[bytes]) -> Node:
    """The subtree hashes of a list of leaf hashes, for making proofs in memory."""

    def node(level: int, index: int) -> bytes:
        if level == 0:
            return leaves[index]
        return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    return node


def root_at(size: int, node: Node) -> bytes:
    """The root of the first `size` entries."""
    return _range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> tuple[bytes, ...]:
    """PATH(index, D[0:size]) of RFC 6962 2.1.1, leaf's sibling first."""
    if not 0 <= index < size:
        raise IndexOutsideTree(index=index, size=size)
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low = middle
    return tuple(reversed(path))


def consistency_proof(old_size: int, new_size: int, node: Node) -> tuple[bytes, ...]:
    """PROOF(old_size, D[0:new_size]) of RFC 6962 2.1.2; empty for equal sizes and for an empty old tree."""
    _check_growth(old_size, new_size)
    if old_size in (0, new_size):
        return ()
    path: list[bytes] = []
    low, high, whole = 0, new_size, True
    while old_size < high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low, whole = middle, False
    if not whole:
        path.append(_range_hash(low, high, node))
    return tuple(reversed(path))


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162 2.1.3.2: `leaf` is entry `index` of the tree (`size`, `root`), or a `PL-EVD-020` to `-025`
    refusal.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise IndexOutsideTree(index=index, size=size)
    inner = (index ^ (size - 1)).bit_length()  # below this level the path goes both ways, above it only left
    expected = inner + (index >> inner).bit_count()
    if len(proof) != expected:
        raise ProofLengthWrong(found=len(proof), expected=expected)
    _check_hash(leaf, "leaf")
    _check_hash(root, "root")
    found = leaf
    for level, sibling in enumerate(proof):
        _check_hash(sibling, f"inclusion proof hash {level}")
        if level < inner and not index >> level & 1:
            found = node_hash(found, sibling)
        else:
            found = node_hash(sibling, found)
    if found != root:
        raise InclusionProofFalse(index=index, size=size)


def check_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 2.1.4.2: the new tree begins with the old one, or a `PL-EVD-021` to `-025` refusal."""
    _check_growth(old_size, new_size)
    for name, one in (("old root", old_root), ("new root", new_root)):
        _check_hash(one, name)
    for at, one in enumerate(proof):
        _check_hash(one, f"consistency proof hash {at}")
    if old_size in (0, new_size):
        if proof:
            raise ProofLengthWrong(found=len(proof), expected=0)
        expected_old = EMPTY_ROOT if old_size == 0 else new_root
        if old_root != expected_old:
            raise ConsistencyProofFalse(old_size=old_size, new_size=new_size, which="old")
        if new_size == 0 and new_root != EMPTY_ROOT:
            raise ConsistencyProofFalse(old_size=old_size, new_size=new_size, which="new")
        return
    # The path starts at the largest complete subtree that ends the old tree: `start` levels above the leaves.
    start = (old_size & -old_size).bit_length() - 1
    index, last = (old_size - 1) >> start, (new_size - 1) >> start
    inner = (index ^ last).bit_length()
    seed = (old_root,) if index == 0 else proof[:1]
    steps = tuple(proof) if index == 0 else tuple(proof[1:])
    expected = inner + (index >> inner).bit_count()
    if len(seed) != 1 or len(steps) != expected:
        raise ProofLengthWrong(found=len(proof), expected=expected + (index != 0))
    old = new = seed[0]
    for level, sibling in enumerate(steps):
        if level < inner and not index >> level & 1:
            new = node_hash(new, sibling)
        else:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
    if old != old_root:
        raise ConsistencyProofFalse(old_size=old_size, new_size=new_size, which="old")
    if new != new_root:
        raise ConsistencyProofFalse(old_size=old_size, new_size=new_size, which="new")


def _split(count: int) -> int:
    """RFC 6962 2.1's k: the largest power of two smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(low: int, high: int, node: Node) -> bytes:
    """MTH(D[low:high]) where `low` is aligned to the power of two that covers the run."""
    hashes: list[bytes] = []
    while low < high:
        level = (high - low).bit_length() - 1
        hashes.append(node(level, low >> level))
        low += 1 << level
    found = hashes.pop()
    while hashes:
        found = node_hash(hashes.pop(), found)
    return found


def _check_growth(old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise TreeShrinks(old_size=old_size, new_size=new_size)


def _check_hash(value: bytes, where: str) -> None:
    if len(value) != HASH_BYTES:
        raise HashLengthWrong(where=where, found=len(value))

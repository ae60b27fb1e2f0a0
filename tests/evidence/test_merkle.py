"""The tree of RFC 6962: known answers, then every proof of every small tree, then bigger ones at random."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.evidence import merkle
from appliance.evidence.errors import EvidenceError

# The inputs and roots of certificate-transparency's reference tree (merkle tree tests of
# google/certificate-transparency and transparency-dev/merkle); `mth` below recomputes them from RFC 6962 2.1
# alone.
INPUTS = [bytes.fromhex(one) for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes(range(0x60, 0x70)))
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_0_OF_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
PROOF_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def mth(entries: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def tree(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(at).encode()) for at in range(size)]


def test_the_reference_trees_roots() -> None:
    leaves = [merkle.leaf_hash(one) for one in INPUTS]
    for size, root in enumerate(ROOTS):
        assert merkle.root_of(leaves[:size]).hex() == mth(INPUTS[:size]).hex() == root


def test_the_reference_trees_proofs() -> None:
    node = merkle.node_of([merkle.leaf_hash(one) for one in INPUTS])
    assert [one.hex() for one in merkle.inclusion_proof(0, 8, node)] == PATH_0_OF_8
    assert [one.hex() for one in merkle.consistency_proof(6, 8, node)] == PROOF_6_TO_8


def test_every_proof_of_every_small_tree_holds() -> None:
    leaves = tree(70)
    roots = [merkle.root_of(leaves[:size]) for size in range(71)]
    for size in range(1, 71):
        node = merkle.node_of(leaves[:size])
        assert merkle.root_at(size, node) == roots[size]
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, node)
            merkle.check_inclusion(leaves[index], index, size, proof, roots[size])
        for old in range(size + 1):
            proof = merkle.consistency_proof(old, size, node)
            merkle.check_consistency(old, roots[old], size, roots[size], proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.data())
def test_proofs_of_bigger_trees_hold_and_bent_ones_do_not(size: int, data: st.DataObject) -> None:
    leaves = tree(size)
    node, root = merkle.node_of(leaves), merkle.root_of(leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    inclusion, consistency = merkle.inclusion_proof(index, size, node), merkle.consistency_proof(old, size, node)
    old_root = merkle.root_of(leaves[:old])
    merkle.check_inclusion(leaves[index], index, size, inclusion, root)
    merkle.check_consistency(old, old_root, size, root, consistency)
    if inclusion:
        at = data.draw(st.integers(0, len(inclusion) - 1))
        bent = [*inclusion[:at], merkle.leaf_hash(b"bent"), *inclusion[at + 1 :]]
        with pytest.raises(EvidenceError):
            merkle.check_inclusion(leaves[index], index, size, bent, root)
    if consistency:
        at = data.draw(st.integers(0, len(consistency) - 1))
        bent = [*consistency[:at], merkle.leaf_hash(b"bent"), *consistency[at + 1 :]]
        with pytest.raises(EvidenceError):
            merkle.check_consistency(old, old_root, size, root, bent)


def test_a_compact_range_goes_on_where_it_was_left() -> None:
    leaves = tree(45)
    for split in range(46):
        first = merkle.CompactRange()
        for leaf in leaves[:split]:
            first.append(leaf)
        second = merkle.CompactRange(*first.state)
        for leaf in leaves[split:]:
            second.append(leaf)
        assert (second.size, second.root()) == (45, merkle.root_of(leaves))


LEAVES = tree(11)
NODE = merkle.node_of(LEAVES)
ROOT = merkle.root_of(LEAVES)
PROOF = merkle.inclusion_proof(3, 11, NODE)
OLD_ROOT = merkle.root_of(LEAVES[:6])
GROWTH = merkle.consistency_proof(6, 11, NODE)


@pytest.mark.parametrize(
    ("leaf", "index", "size", "proof", "root", "code"),
    [
        (LEAVES[3], 11, 11, PROOF, ROOT, "PL-EVD-020"),
        (LEAVES[3], -1, 11, PROOF, ROOT, "PL-EVD-020"),
        (LEAVES[3], 3, 0, PROOF, ROOT, "PL-EVD-020"),
        (LEAVES[3], 3, 1 << 64, PROOF, ROOT, "PL-EVD-020"),
        (LEAVES[3], 3, 11, PROOF[:-1], ROOT, "PL-EVD-021"),
        (LEAVES[3], 3, 11, (*PROOF, ROOT), ROOT, "PL-EVD-021"),
        (LEAVES[3], 3, 11, PROOF[::-1], ROOT, "PL-EVD-022"),
        (LEAVES[4], 3, 11, PROOF, ROOT, "PL-EVD-022"),
        (LEAVES[3], 2, 11, PROOF, ROOT, "PL-EVD-022"),
        (LEAVES[3], 3, 4, PROOF, ROOT, "PL-EVD-021"),
        (LEAVES[3], 3, 11, PROOF, OLD_ROOT, "PL-EVD-022"),
        (LEAVES[3][:31], 3, 11, PROOF, ROOT, "PL-EVD-025"),
        (LEAVES[3], 3, 11, (PROOF[0] + b"x", *PROOF[1:]), ROOT, "PL-EVD-025"),
    ],
)
def test_false_inclusion(leaf: bytes, index: int, size: int, proof: tuple[bytes, ...], root: bytes, code: str) -> None:
    merkle.check_inclusion(LEAVES[3], 3, 11, PROOF, ROOT)
    with pytest.raises(EvidenceError) as refused:
        merkle.check_inclusion(leaf, index, size, proof, root)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "proof", "code"),
    [
        (12, ROOT, 11, ROOT, (), "PL-EVD-024"),
        (-1, ROOT, 11, ROOT, (), "PL-EVD-024"),
        (6, OLD_ROOT, 11, ROOT, GROWTH[:-1], "PL-EVD-021"),
        (6, OLD_ROOT, 11, ROOT, (), "PL-EVD-021"),
        (11, ROOT, 11, ROOT, GROWTH, "PL-EVD-021"),
        (6, ROOT, 11, ROOT, GROWTH, "PL-EVD-023"),
        (6, OLD_ROOT, 11, OLD_ROOT, GROWTH, "PL-EVD-023"),
        (11, OLD_ROOT, 11, ROOT, (), "PL-EVD-023"),
        (0, OLD_ROOT, 11, ROOT, (), "PL-EVD-023"),
        (0, merkle.EMPTY_ROOT, 0, ROOT, (), "PL-EVD-023"),
        (6, OLD_ROOT[:-1], 11, ROOT, GROWTH, "PL-EVD-025"),
    ],
)
def test_false_growth(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: tuple[bytes, ...], code: str
) -> None:
    merkle.check_consistency(6, OLD_ROOT, 11, ROOT, GROWTH)
    with pytest.raises(EvidenceError) as refused:
        merkle.check_consistency(old, old_root, new, new_root, proof)
    assert refused.value.code == code

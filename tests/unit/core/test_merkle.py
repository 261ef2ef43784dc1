"""The tree agrees with the published examples of Certificate Transparency and with the RFC's own recursion."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import merkle
from core.merkle import Edge, ProofError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "merkle.json").read_text("utf-8")
)
LEAVES = [bytes.fromhex(one) for one in VECTORS["leaves"]]
HASHES = [merkle.leaf_hash(one) for one in LEAVES]
ROOTS = [bytes.fromhex(one) for one in VECTORS["roots"]]

sizes = st.integers(1, 130)


def naive_root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:split]) + naive_root(hashes[split:])).digest()


def made_up(size: int, seed: int = 0) -> list[bytes]:
    return [hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(size)]


def node_of(hashes: list[bytes]) -> merkle.Node:
    """Only complete subtrees can be asked for: what a log on disk can answer."""

    def node(level: int, index: int) -> bytes:
        begin, end = index << level, (index + 1) << level
        assert end <= len(hashes)
        return naive_root(hashes[begin:end])

    return node


def tiles(hashes: list[bytes], begin: int, end: int) -> bytes:
    node = node_of(hashes)
    return b"".join(node(level, index) for level, index in merkle.cover(begin, end))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    """For each size from 0 to 8."""
    edge = Edge()
    for one in HASHES[:size]:
        edge.append(one)

    assert edge.root() == ROOTS[size]
    assert merkle.root_of(node_of(HASHES), size) == ROOTS[size]


def test_nodes_are_the_published_ones() -> None:
    """Leaf hashes and every complete subtree of the 8-leaf tree."""
    node = node_of(HASHES)

    found = [[node(level, index).hex() for index in range(8 >> level)] for level in range(4)]

    assert found == VECTORS["nodes"]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda v: f"{v['index']}-of-{v['size']}")
def test_published_inclusion_proofs_are_made_and_verified(vector: dict[str, Any]) -> None:
    """Byte for byte."""
    path = [bytes.fromhex(one) for one in vector["path"]]
    index, size = vector["index"], vector["size"]

    made = merkle.inclusion_proof(node_of(HASHES), index, size)

    assert made == path
    merkle.verify_inclusion(HASHES[index], index=index, size=size, path=path, root=ROOTS[size])


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda v: f"{v['size1']}-to-{v['size2']}")
def test_published_consistency_proofs_are_made_and_verified(vector: dict[str, Any]) -> None:
    """Byte for byte."""
    proof = [bytes.fromhex(one) for one in vector["proof"]]
    size1, size2 = vector["size1"], vector["size2"]

    made = merkle.consistency_proof(node_of(HASHES), size1, size2)

    assert made == proof
    merkle.verify_consistency(size1=size1, root1=ROOTS[size1], size2=size2, root2=ROOTS[size2], proof=proof)


@given(st.data(), sizes)
def test_every_leaf_is_proved_against_the_naive_root(data: st.DataObject, size: int) -> None:
    """Whatever the size and the position."""
    hashes = made_up(size)
    index = data.draw(st.integers(0, size - 1))

    path = merkle.inclusion_proof(node_of(hashes), index, size)

    merkle.verify_inclusion(hashes[index], index=index, size=size, path=path, root=naive_root(hashes))


@given(st.data(), sizes)
def test_every_older_size_is_consistent(data: st.DataObject, size: int) -> None:
    """A log that only grew proves it from any earlier size."""
    hashes = made_up(size)
    older = data.draw(st.integers(1, size))

    proof = merkle.consistency_proof(node_of(hashes), older, size)

    merkle.verify_consistency(
        size1=older, root1=naive_root(hashes[:older]), size2=size, root2=naive_root(hashes), proof=proof
    )


@given(st.data(), sizes)
def test_an_inclusion_proof_fits_one_leaf_index_and_size_only(data: st.DataObject, size: int) -> None:
    """Another leaf, place, path or root is refused."""
    hashes = made_up(size)
    index = data.draw(st.integers(0, size - 1))
    path = merkle.inclusion_proof(node_of(hashes), index, size)
    root = naive_root(hashes)
    foreign = b"\x5a" * 32
    wrong_paths = [path[:-1]] if path else []
    wrong_paths += [[*path, foreign], [foreign, *path]]
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        wrong_paths.append([*path[:at], foreign, *path[at + 1 :]])

    for wrong in wrong_paths:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(hashes[index], index=index, size=size, path=wrong, root=root)
    for other in {0, size - 1, (index + 1) % size} - {index}:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(hashes[index], index=other, size=size, path=path, root=root)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(foreign, index=index, size=size, path=path, root=root)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(hashes[index], index=index, size=size, path=path, root=foreign)


@given(st.data(), st.integers(2, 130))
def test_a_rewritten_log_is_not_consistent(data: st.DataObject, size: int) -> None:
    """One leaf changed below the older size turns the verdict, whichever proof is shown."""
    hashes = made_up(size)
    older = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, older - 1))
    forged = [*hashes[:changed], b"\x11" * 32, *hashes[changed + 1 :]]
    root1, root2 = naive_root(hashes[:older]), naive_root(forged)

    for source in (hashes, forged):
        proof = merkle.consistency_proof(node_of(source), older, size)
        with pytest.raises(ProofError):
            merkle.verify_consistency(size1=older, root1=root1, size2=size, root2=root2, proof=proof)


@given(st.data(), st.integers(2, 130))
def test_a_consistency_proof_has_exactly_its_length(data: st.DataObject, size: int) -> None:
    """Cut short, lengthened, or with a foreign hash it is refused."""
    hashes = made_up(size)
    older = data.draw(st.integers(1, size - 1))
    proof = merkle.consistency_proof(node_of(hashes), older, size)
    at = data.draw(st.integers(0, len(proof) - 1))
    foreign = b"\x5a" * 32

    for wrong in (proof[:-1], proof[1:], [*proof, foreign], [*proof[:at], foreign, *proof[at + 1 :]], []):
        with pytest.raises(ProofError):
            merkle.verify_consistency(
                size1=older,
                root1=naive_root(hashes[:older]),
                size2=size,
                root2=naive_root(hashes),
                proof=wrong,
            )


def test_nothing_is_in_an_empty_log() -> None:
    """Size 0 has a root, but no leaf, no proof, and nothing is consistent with it."""
    empty = merkle.EMPTY_ROOT

    with pytest.raises(ProofError):
        merkle.inclusion_proof(node_of([]), 0, 0)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(HASHES[0], index=0, size=0, path=[], root=empty)
    with pytest.raises(ProofError):
        merkle.consistency_proof(node_of(HASHES), 0, 8)
    with pytest.raises(ProofError):
        merkle.verify_consistency(size1=0, root1=empty, size2=8, root2=ROOTS[8], proof=[])
    assert Edge().root() == empty


def test_equal_sizes_are_consistent_only_when_equal() -> None:
    """Two roots for one size are a fork; a proof where none is due is refused."""
    with pytest.raises(ProofError):
        merkle.verify_consistency(size1=8, root1=ROOTS[8], size2=8, root2=ROOTS[7], proof=[])
    with pytest.raises(ProofError):
        merkle.verify_consistency(size1=8, root1=ROOTS[8], size2=8, root2=ROOTS[8], proof=[ROOTS[8]])
    with pytest.raises(ProofError):
        merkle.verify_consistency(size1=8, root1=ROOTS[8], size2=4, root2=ROOTS[4], proof=[])


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_hashes_of_another_length_are_refused(length: int) -> None:
    """A long 'hash' could hide a second node."""
    wrong = bytes(length)
    path = merkle.inclusion_proof(node_of(HASHES), 0, 8)

    with pytest.raises(ProofError):
        merkle.verify_inclusion(wrong, index=0, size=8, path=path, root=ROOTS[8])
    with pytest.raises(ProofError):
        merkle.verify_inclusion(HASHES[0], index=0, size=8, path=[wrong, *path[1:]], root=ROOTS[8])
    with pytest.raises(ProofError):
        merkle.verify_inclusion(HASHES[0], index=0, size=8, path=path, root=wrong)
    with pytest.raises(ProofError):
        merkle.verify_consistency(size1=1, root1=wrong, size2=8, root2=ROOTS[8], proof=path)
    with pytest.raises(ProofError):
        Edge(1, [wrong])


@pytest.mark.parametrize(("index", "size"), [(-1, 8), (8, 8), (0, merkle.MAX_SIZE + 1)])
def test_places_outside_the_log_are_refused(index: int, size: int) -> None:
    """Index and size come from a peer or a file: they may be anything."""
    with pytest.raises(ProofError):
        merkle.verify_inclusion(HASHES[0], index=index, size=size, path=[], root=ROOTS[8])


@given(st.integers(0, 300), st.integers(0, 300))
def test_cover_tiles_a_range_without_gap_or_overlap(a: int, b: int) -> None:
    """Complete, aligned subtrees from left to right."""
    begin, end = sorted((a, b))

    reached = begin
    for level, index in merkle.cover(begin, end):
        assert index << level == reached
        reached += 1 << level

    assert reached == end


@pytest.mark.parametrize(("begin", "end"), [(-1, 4), (5, 4), (0, merkle.MAX_SIZE + 1)])
def test_cover_of_no_range_is_refused(begin: int, end: int) -> None:
    """Borders come from peers."""
    with pytest.raises(ProofError):
        merkle.cover(begin, end)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=12), st.integers(0, 2**32))
def test_an_edge_moved_in_random_runs_has_the_naive_root(layout: list[tuple[bool, int]], seed: int) -> None:
    """Leaves one by one and subtrees passed over, in any order: what a receiver of frames does (M3)."""
    total = sum(count for _, count in layout)
    hashes = made_up(total, seed)
    edge = Edge()

    for one_by_one, count in layout:
        begin, end = edge.size, edge.size + count
        if one_by_one:
            for one in hashes[begin:end]:
                edge.append(one)
        else:
            edge.extend(end, tiles(hashes, begin, end))

    assert edge.size == total
    assert edge.root() == naive_root(hashes)
    assert edge.hashes == [node_of(hashes)(level, index) for level, index in merkle.cover(0, total)]
    assert Edge(edge.size, edge.hashes).root() == edge.root()


@given(st.integers(0, 60), st.integers(1, 60))
def test_an_edge_refuses_more_or_fewer_hashes_than_needed(size: int, count: int) -> None:
    """And stays as it was."""
    hashes = made_up(size + count)
    edge = Edge(size, [node_of(hashes)(level, index) for level, index in merkle.cover(0, size)])
    before = edge.root()
    fitting = tiles(hashes, size, size + count)

    for wrong in (fitting[:-1], fitting[:-32], fitting + bytes(32), fitting + b"\0"):
        with pytest.raises(ProofError):
            edge.extend(size + count, wrong)

    assert (edge.size, edge.root()) == (size, before)


def test_an_edge_does_not_go_back() -> None:
    """A log never gets shorter."""
    edge = Edge(8, [ROOTS[8]])

    with pytest.raises(ProofError):
        edge.extend(7, b"")


def test_a_copied_edge_is_independent() -> None:
    """A frame that turns out false must leave the receiver's edge untouched."""
    edge = Edge(8, [ROOTS[8]])

    edge.copy().append(HASHES[0])

    assert (edge.size, edge.root()) == (8, ROOTS[8])


def test_random_frames_at_scale_agree_with_the_naive_tree() -> None:
    """A seeded walk through larger logs, jumps of any size."""
    rng = random.Random(20261123)
    hashes = made_up(3000)
    node = node_of(hashes)
    for _ in range(30):
        edge = Edge()
        while edge.size < 2000:
            end = edge.size + rng.choice((0, 1, 1, 2, 3, 17, 255, 256, 700))
            edge.extend(end, b"".join(node(level, index) for level, index in merkle.cover(edge.size, end)))
            edge.append(hashes[edge.size])

        assert edge.root() == naive_root(hashes[: edge.size])

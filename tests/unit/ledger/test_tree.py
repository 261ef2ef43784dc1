"""The tree with most of its nodes in files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.merkle import EMPTY_ROOT, Edge, ProofError, cover, leaf_hash
from ledger import tree as module
from ledger.pieces import PieceFile
from ledger.tree import TreeFiles


def test_spilled_tree_agrees_with_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TAIL_BYTES", 512)
    monkeypatch.setattr(module, "SPILL_BYTES", 256)
    spilled, whole, edge = TreeFiles(tmp_path / "tree"), TreeFiles(None), Edge()
    for number in range(500):
        hashed = leaf_hash(b"%d" % number)
        for one in (spilled, whole, edge):
            one.append(hashed)

    assert spilled.root() == whole.root() == edge.root()
    assert all(spilled.root(size) == whole.root(size) for size in range(1, 500, 13))
    for begin in range(0, 500, 37):
        assert spilled.cover(begin, 500) == whole.cover(begin, 500)
        assert len(spilled.cover(begin, 500)) == 32 * len(cover(begin, 500))
    spilled.close()


@given(st.lists(st.integers(1, 40), max_size=8))
def test_leaves_added_in_batches_make_the_same_tree(batches: list[int]) -> None:
    batched, edge = TreeFiles(None), Edge()
    for count in batches:
        hashes = [leaf_hash(b"%d" % (batched.size + one)) for one in range(count)]
        batched.extend(hashes)
        for one in hashes:
            edge.append(one)

        assert batched.root() == edge.root()
    batched.close()


def test_tree_without_a_directory_spills_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's memory is bounded, whatever the size of the log."""
    monkeypatch.setattr(module, "TAIL_BYTES", 512)
    monkeypatch.setattr(module, "SPILL_BYTES", 256)
    tree, edge = TreeFiles(None), Edge()
    for number in range(300):
        tree.append(leaf_hash(b"%d" % number))
        edge.append(leaf_hash(b"%d" % number))

    assert tree.root() == edge.root()
    assert all(tree.node(0, index) == leaf_hash(b"%d" % index) for index in range(300))
    tree.close()


def test_a_disk_without_room_leaves_the_tree_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes stay in memory; a level that has leaves without their parents would prove what is not so."""
    monkeypatch.setattr(module, "TAIL_BYTES", 512)
    monkeypatch.setattr(module, "SPILL_BYTES", 256)
    tree, edge, refused = TreeFiles(None), Edge(), 0

    def refuse(file: PieceFile, piece: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in range(200):
        hashed = leaf_hash(b"%d" % number)
        edge.append(hashed)
        with monkeypatch.context() as full:
            if 40 <= number < 90:
                full.setattr(PieceFile, "append", refuse)
            try:
                tree.append(hashed)
            except OSError:
                refused += 1
        assert tree.root() == edge.root()

    assert refused > 10
    assert all(tree.node(0, index) == leaf_hash(b"%d" % index) for index in range(200))
    tree.close()


def test_empty_tree_has_the_empty_root() -> None:
    assert TreeFiles(None).root() == EMPTY_ROOT


@pytest.mark.parametrize(("level", "index"), [(0, 3), (1, 1), (9, 0)])
def test_node_that_does_not_exist_is_refused(level: int, index: int) -> None:
    tree = TreeFiles(None)
    for number in range(3):
        tree.append(leaf_hash(b"%d" % number))

    with pytest.raises(ProofError):
        tree.node(level, index)

"""A file of pieces goes on from what was kept of it, and what was kept stays what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.merkle import leaf_hash
from ledger import heard as heard_module
from ledger import tree as tree_module
from ledger.heard import HeardFiles
from ledger.pieces import KeptFile, PieceDamagedError, PieceFile
from ledger.tree import TreeFiles


def piece(number: int) -> bytes:
    return bytes([number]) * 16


def test_what_was_kept_stays_good_as_the_file_grows(tmp_path: Path) -> None:
    """A crash after any number of further pieces leaves the state before as it was."""
    path = tmp_path / "pieces"
    file = PieceFile(path, 16)
    file.append(piece(1))
    file.append(piece(2))
    before = file.kept(b"tail")
    for number in range(3, 9):
        file.append(piece(number))
        before.require_whole(path)
    file.close()

    again = PieceFile(path, 16, before, path)
    again.append(piece(77))

    assert again.read(16, 0) + again.read(16, 16) == piece(1) + piece(2)
    assert again.read(16, 32) == piece(77)
    again.kept(b"").require_whole(path)
    again.close()


def test_a_file_of_ones_own_begins_with_the_pieces_of_another(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    first = PieceFile(theirs, 16)
    first.append(piece(1))
    kept = first.kept(b"")
    own = PieceFile(ours, 16, kept, theirs)

    own.append(piece(2))
    first.append(piece(3))

    assert (own.read(16, 0), own.read(16, 16)) == (piece(1), piece(2))
    assert theirs.read_bytes() == piece(1) + piece(3)
    theirs.unlink()
    assert own.read(16, 0) == piece(1)


def test_a_file_that_is_begun_anew_does_not_change_the_one_before(tmp_path: Path) -> None:
    """Who started from the old pieces has them open."""
    path = tmp_path / "pieces"
    first = PieceFile(path, 16)
    first.append(piece(1))
    reader = PieceFile(None, 16, first.kept(b""), path)
    PieceFile(path, 16).append(piece(2))

    assert reader.read(16, 0) == piece(1)
    assert path.read_bytes() == piece(2)


@pytest.mark.parametrize(
    "kept", [KeptFile(16, b"d" * 31, b""), KeptFile(0, b"d" * 32, b""), KeptFile(16, b"d" * 32, b"")]
)
def test_pieces_that_are_not_what_was_kept_are_told(tmp_path: Path, kept: KeptFile) -> None:
    path = tmp_path / "pieces"
    path.write_bytes(piece(1))

    with pytest.raises(PieceDamagedError):
        kept.require_whole(path)
    with pytest.raises(PieceDamagedError):
        kept.require_whole(tmp_path / "missing")


def test_pieces_of_another_size_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "pieces"
    file = PieceFile(path, 16)
    file.append(piece(1))

    with pytest.raises(PieceDamagedError):
        PieceFile(path, 32, file.kept(b""), path)
    with pytest.raises(ValueError, match="17 bytes"):
        file.append(b"x" * 17)


@pytest.mark.no_cover
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=6), goes_on=st.booleans())
def test_a_tree_goes_on_from_any_size(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], goes_on: bool
) -> None:
    """In its own files, or in others beside those that it began with: the same nodes."""
    place = tmp_path_factory.mktemp("tree")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_module, "TAIL_BYTES", 256)
        patch.setattr(tree_module, "SPILL_BYTES", 128)
        tree, whole = TreeFiles(place / "0"), TreeFiles(None)
        for count in cuts:
            hashes = [leaf_hash(b"%d" % (whole.size + one)) for one in range(count)]
            tree.extend(hashes)
            whole.extend(hashes)
            kept = tree.kept()
            tree.extend(hashes)  # what a crash left behind the checkpoint
            tree.close()
            tree = TreeFiles(place / ("0" if goes_on else "copy"), kept, place / "0")
            assert (tree.size, tree.root()) == (whole.size, whole.root())
            assert [tree.node(0, index) for index in range(tree.size)] == [
                whole.node(0, index) for index in range(whole.size)
            ]
            if not goes_on:
                tree.close()
                tree = TreeFiles(place / "0", kept, place / "0")
        tree.close()


def test_heard_leaves_go_on_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those too that come in another order than the newest ones that were kept."""
    monkeypatch.setattr(heard_module, "UNSORTED", 4)
    place = tmp_path / "heard"
    files = HeardFiles(place)
    for index in range(0, 40, 2):
        files.of("a" * 64).add(index, taken=index % 4 == 0)
    kept = files.kept()
    files.of("a" * 64).add(99, taken=True)
    files.close()

    again = HeardFiles(tmp_path / "own", kept, place)
    again.of("a" * 64).add(37, taken=True)
    again.of("b" * 64).add(1, taken=False)

    leaves = again.of("a" * 64)
    assert len(leaves) == 21
    assert [leaves.record_of(index) for index in (0, 2, 36, 37, 38, 39, 99)] == [
        "taken",
        "not taken",
        "taken",
        "taken",
        "not taken",
        None,
        None,
    ]
    assert again.of("b" * 64).record_of(1) == "not taken"
    again.close()

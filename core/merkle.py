"""The Merkle tree of RFC 9162 (section 2.1) with SHA-256, and the receiver's edge of PROTOCOL M3.

A node is named by ``(level, index)``: the root of the complete subtree of ``2**level`` leaves that starts at
leaf ``index << level``. Functions that build proofs get a lookup for such nodes as an argument, so the same
code serves a tree in memory, in files, or rebuilt from an archive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from core.reasons import MalformedError, Reason

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_SIZE: Final = 2**62

Node = Callable[[int, int], bytes]

_sha256 = hashlib.sha256


class ProofError(MalformedError):
    """A proof that does not lead from what it claims to the root."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.PROOF_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 || leaf); RFC 9162, section 2.1.1."""
    return _sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right); RFC 9162, section 2.1.1."""
    return _sha256(b"\x01" + left + right).digest()


def cover(begin: int, end: int) -> list[tuple[int, int]]:
    """The fewest complete subtrees that tile leaves ``[begin, end)``, from left to right."""
    if not 0 <= begin <= end <= MAX_SIZE:
        raise ProofError(f"no range of leaves: [{begin}, {end})")
    nodes = []
    while begin < end:
        # As large as the alignment of the left border and the room to the right allow.
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


class Edge:
    """The compact range of leaves ``[0, size)``: all that is needed to append and to know the root.

    A receiver keeps one per peer log. It is only ever moved by leaves and subtree hashes whose sum was
    compared with a signed root; never taken over from the sender (PROTOCOL M3).
    """

    __slots__ = ("_stack", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        levels = [level for level, _ in cover(0, size)]
        given = list(hashes)
        if len(given) != len(levels) or any(len(one) != HASH_BYTES for one in given):
            raise ProofError(f"an edge of size {size} has {len(levels)} hashes of {HASH_BYTES} bytes")
        self.size = size
        self._stack = list(zip(levels, given, strict=True))

    @property
    def hashes(self) -> list[bytes]:
        """The subtree roots, largest (leftmost) first."""
        return [one for _, one in self._stack]

    def copy(self) -> Edge:
        """An independent edge of the same leaves."""
        twin = Edge.__new__(Edge)
        twin.size = self.size
        twin._stack = self._stack.copy()
        return twin

    def append(self, hashed_leaf: bytes) -> None:
        """Add one leaf, given by its leaf hash."""
        self.append_all((hashed_leaf,))

    def append_all(self, hashed_leaves: Iterable[bytes]) -> None:
        """Add leaves in order, given by their leaf hashes."""
        stack, added = self._stack, 0
        for hashed in hashed_leaves:
            level = 0
            while stack and stack[-1][0] == level:
                hashed = _sha256(b"\x01" + stack.pop()[1] + hashed).digest()
                level += 1
            stack.append((level, hashed))
            added += 1
        self.size += added

    def extend(self, end: int, hashes: bytes) -> None:
        """Pass over leaves ``[size, end)``, given by the joined subtree roots of ``cover(size, end)``."""
        if end < self.size:
            raise ProofError(f"cannot pass from leaf {self.size} back to {end}")
        tiles = cover(self.size, end)
        if len(hashes) != HASH_BYTES * len(tiles):
            raise ProofError(f"{len(tiles)} subtree hashes expected, {len(hashes)} bytes found")
        stack = self._stack
        for position, (level, _) in enumerate(tiles):
            hashed = hashes[position * HASH_BYTES : (position + 1) * HASH_BYTES]
            while stack and stack[-1][0] == level:
                hashed = _sha256(b"\x01" + stack.pop()[1] + hashed).digest()
                level += 1
            stack.append((level, hashed))
        self.size = end

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        if not self._stack:
            return EMPTY_ROOT
        folded = self._stack[-1][1]
        for _, one in reversed(self._stack[:-1]):
            folded = _sha256(b"\x01" + one + folded).digest()
        return folded


def root_of(node: Node, size: int) -> bytes:
    """The root over the first ``size`` leaves."""
    return Edge(size, (node(level, index) for level, index in cover(0, size))).root()


def _range_hash(node: Node, begin: int, end: int) -> bytes:
    """MTH(D[begin:end]) where ``begin`` starts a subtree of a tree of ``end`` leaves."""
    tiles = cover(begin, end)
    folded = node(*tiles[-1])
    for level, index in reversed(tiles[:-1]):
        folded = node_hash(node(level, index), folded)
    return folded


def _split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]), sibling hashes from leaf to root; RFC 9162, section 2.1.3.1."""
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    path = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(_range_hash(node, middle, end))
            end = middle
        else:
            path.append(_range_hash(node, begin, middle))
            begin = middle
    path.reverse()
    return path


def consistency_proof(node: Node, size1: int, size2: int) -> list[bytes]:
    """PROOF(size1, D[size2]); RFC 9162, section 2.1.4.1. Empty when the sizes are equal."""
    if not 0 < size1 <= size2:
        raise ProofError(f"no consistency proof from {size1} to {size2}")
    proof = []
    begin, end = 0, size2
    whole = True  # whether [begin, size1) is still a complete left part of the first tree
    while size1 != end:
        middle = begin + _split(end - begin)
        if size1 <= middle:
            proof.append(_range_hash(node, middle, end))
            end = middle
        else:
            proof.append(_range_hash(node, begin, middle))
            begin = middle
            whole = False
    if not whole:
        proof.append(_range_hash(node, begin, end))
    proof.reverse()
    return proof


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofError(f"every hash has {HASH_BYTES} bytes")


def _sides(position: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each hash of a proof and whether it stands to the left, from the leaf upwards; the length must fit."""
    for one in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        is_left = bool(position & 1) or position == last
        yield one, is_left
        # On the right border levels without a sibling are passed over.
        while is_left and position and not position & 1:
            position >>= 1
            last >>= 1
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the proof is too short")


def verify_inclusion(
    hashed_leaf: bytes, *, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf is in the log that ``root`` commits to.

    RFC 9162, section 2.1.3.2.

    Args:
        hashed_leaf: The leaf hash, 32 bytes.
        index: Position of the leaf in the log, counted from 0.
        size: Number of leaves that ``root`` commits to.
        path: Sibling hashes from leaf to root, 32 bytes each.
        root: SHA-256 Merkle root, 32 bytes.

    Raises:
        ProofError: The path does not lead from the leaf to the root.
    """
    _require_hashes((hashed_leaf, root, *path))
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    folded = hashed_leaf
    for one, is_left in _sides(index, size - 1, path):
        folded = node_hash(one, folded) if is_left else node_hash(folded, one)
    if folded != root:
        raise ProofError("the path leads to another root")


def verify_consistency(*, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check that the log of ``size2`` leaves only grew since it had ``size1``.

    RFC 9162, section 2.1.4.2. Of an empty log nothing can be proved: ``size1`` is at least 1.

    Args:
        size1: Number of leaves of the older head.
        root1: Its root, 32 bytes.
        size2: Number of leaves of the newer head.
        root2: Its root, 32 bytes.
        proof: The consistency proof, 32 bytes each.

    Raises:
        ProofError: The newer log does not start with the older one.
    """
    _require_hashes((root1, root2, *proof))
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise ProofError(f"no consistency from {size1} to {size2}")
    if size1 == size2:
        if proof:
            raise ProofError("equal sizes have an empty proof")
        if root1 != root2:
            raise ProofError("equal sizes have different roots")
        return
    if not proof:
        raise ProofError("the proof is empty")
    steps = list(proof)
    if size1 & (size1 - 1) == 0:
        steps.insert(0, root1)
    first, last = size1 - 1, size2 - 1
    while first & 1:
        first >>= 1
        last >>= 1
    older = newer = steps[0]
    for one, is_left in _sides(first, last, steps[1:]):
        if is_left:
            older = node_hash(one, older)
        newer = node_hash(one, newer) if is_left else node_hash(newer, one)
    if older != root1:
        raise ProofError("the proof leads to another older root")
    if newer != root2:
        raise ProofError("the proof leads to another newer root")

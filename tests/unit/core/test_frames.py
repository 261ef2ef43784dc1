"""Frame records: RFC 9162 proofs are made from what the receiver kept, years later, without the sender (M3, M10)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frames import (
    RECEIPT_BODY,
    FrameRecord,
    FrameRun,
    MalformedFrameRecordError,
    ReceiptRecord,
    encode_receipt,
    receipt_about,
    receipt_under,
)
from core.heads import TreeHead, b64url, encode_head, head_header
from core.merkle import (
    Edge,
    ProofError,
    consistency_proof,
    cover,
    inclusion_proof,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from core.reasons import MalformedError

LOG = "a" * 64


def leaves(size: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(size)]


def node(hashes: list[bytes], level: int, index: int) -> bytes:
    if level == 0:
        return hashes[index]
    return node_hash(node(hashes, level - 1, 2 * index), node(hashes, level - 1, 2 * index + 1))


def tiles(hashes: list[bytes], begin: int, end: int) -> bytes:
    return b"".join(node(hashes, level, index) for level, index in cover(begin, end))


def root(hashes: list[bytes]) -> bytes:
    edge = Edge()
    for one in hashes:
        edge.append(one)
    return edge.root()


def head(hashes: list[bytes], log: str = LOG) -> bytes:
    """A head in its form; nobody checks its signature here."""
    payload = encode_head(TreeHead(1, log, "BJ/GOV/ANIP/gw1", len(hashes), root(hashes).hex(), 1, None))
    return b".".join(map(b64url, (head_header("T" * 43), payload, bytes(64))))


def record(hashes: list[bytes], verified: int, spans: list[tuple[int, int]]) -> FrameRecord:
    """What a receiver keeps whose edge was ``verified`` and who is shown the leaves of ``spans``."""
    runs = []
    reached = verified
    for first, end in spans:
        runs.append(FrameRun(first, tiles(hashes, reached, first), b"".join(hashes[first:end])))
        reached = end
    after = tiles(hashes, reached, len(hashes))
    return FrameRecord(LOG, verified, tiles(hashes, 0, verified), tuple(runs), after, head(hashes))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """Size of the log, size verified before, and the leaves that were shown."""
    size = draw(st.integers(2, 120))
    verified = draw(st.integers(1, size - 1))
    borders = sorted(draw(st.sets(st.integers(verified, size), min_size=2, max_size=8)))
    spans = [(first, end) for first, end in zip(borders[::2], borders[1::2], strict=False) if first < end]
    return size, verified, spans


@given(layouts())
def test_every_leaf_of_a_frame_is_proved_from_its_record(
    layout: tuple[int, int, list[tuple[int, int]]],
) -> None:
    """At the head's size, by the RFC's own verifier; and so is consistency with the size before."""
    size, verified, spans = layout
    hashes = leaves(size)
    kept = FrameRecord.decode(record(hashes, verified, spans).encode())
    lookup = kept.nodes()

    for first, end in spans:
        for index in range(first, end):
            path = inclusion_proof(lookup, index, size)
            verify_inclusion(hashes[index], index=index, size=size, path=path, root=root(hashes))
    proof = consistency_proof(lookup, verified, size)
    verify_consistency(
        size1=verified, root1=root(hashes[:verified]), size2=size, root2=root(hashes), proof=proof
    )

    assert kept.size() == size
    assert kept.edge_after().root() == root(hashes)


@given(layouts())
def test_a_record_is_read_back(layout: tuple[int, int, list[tuple[int, int]]]) -> None:
    """Byte for byte."""
    size, verified, spans = layout
    kept = record(leaves(size), verified, spans)

    assert FrameRecord.decode(kept.encode()) == kept


def test_what_was_not_shown_cannot_be_proved() -> None:
    """The record says nothing about the leaves that were passed over."""
    lookup = record(leaves(8), 2, [(5, 6)]).nodes()

    with pytest.raises(ProofError):
        inclusion_proof(lookup, 3, 8)


KEPT = record(leaves(11), 3, [(4, 6), (8, 9)])


@given(st.integers(0, len(KEPT.encode()) - 1), st.integers(0, 7))
def test_a_changed_bit_is_found(at: int, bit: int) -> None:
    """A record proves what it proved, or nothing: whichever bit of it has changed."""
    data = bytearray(KEPT.encode())
    data[at] ^= 1 << bit

    try:
        found = FrameRecord.decode(bytes(data))
        found.nodes()
    except MalformedError:
        return

    # Only the head's signature is not checked here, and its thumbprint, which picks the certificate.
    assert (found.log, found.verified, found.edge, found.runs, found.after) == (
        KEPT.log,
        KEPT.verified,
        KEPT.edge,
        KEPT.runs,
        KEPT.after,
    )


@pytest.mark.parametrize("length", [0, 1, 40, 42, 43, 100, len(KEPT.encode()) - 1])
def test_records_cut_short_are_refused(length: int) -> None:
    """Be it in the header, a run, the head or the hashes behind it."""
    with pytest.raises(MalformedError):
        FrameRecord.decode(KEPT.encode()[:length]).nodes()


def test_records_of_another_version_are_refused() -> None:
    """Formats are told apart by their first byte."""
    with pytest.raises(MalformedFrameRecordError):
        FrameRecord.decode(b"\x02" + KEPT.encode()[1:])


def test_a_head_of_another_log_is_refused() -> None:
    """Sizes and root may fit; the log must."""
    other = FrameRecord(LOG, 3, KEPT.edge, KEPT.runs, KEPT.after, head(leaves(11), "b" * 64))

    with pytest.raises(MalformedFrameRecordError):
        other.nodes()


def test_what_a_receipt_is_about_is_read_without_the_rest_of_it() -> None:
    """The same as all of it says; and what is cut short is refused either way."""
    data = encode_receipt(7, 9, b"h" * 32, b"body")
    whole = ReceiptRecord.decode(data)

    assert (receipt_about(data), receipt_under(data).hex(), data[RECEIPT_BODY:]) == (
        whole.said,
        whole.head,
        whole.body,
    )
    assert whole.encode() == data
    for read in (receipt_about, receipt_under, ReceiptRecord.decode):
        with pytest.raises(MalformedFrameRecordError, match="cut short"):
            read(data[: RECEIPT_BODY - 1])

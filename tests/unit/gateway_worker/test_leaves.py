"""The hot path writes leaves by joining bytes; they are those that ``core.leaves`` encodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.leaves import Heard, Note, heard_leaf, note_leaf, said_leaf
from core.merkle import leaf_hash
from gateway.worker.leaves import Leaves, taken_body, without_annex
from gateway.worker.peerlog import VerifiedEntry

LOG, PEER = "a" * 64, "b" * 64
ENTRY = VerifiedEntry(7, b"\x01" * 32, "c" * 64, b"", None, None)


def test_a_said_leaf_is_the_core_s() -> None:
    """With its hash."""
    leaf, hashed = Leaves(LOG).said(b"statement")

    assert leaf == said_leaf(LOG, b"statement")
    assert hashed == leaf_hash(leaf)


@pytest.mark.parametrize("verdict", ["taken", "late", "refused:NO_AGREEMENT"])
@pytest.mark.parametrize("role", ["request", "response"])
def test_a_heard_leaf_is_the_core_s(role: str, verdict: str) -> None:
    """Byte for byte: peers and auditors re-encode it."""
    heard = Heard(1, role, PEER, 7, ENTRY.leaf_hash.hex(), ENTRY.head, verdict, None)  # type: ignore[arg-type]  # two literals

    body, leaf, hashed = Leaves(LOG).heard(role, PEER, ENTRY, verdict)

    assert leaf == heard_leaf(LOG, heard)
    assert leaf.endswith(body)
    assert hashed == leaf_hash(leaf)


@pytest.mark.parametrize("role", ["request", "response"])
def test_a_heard_leaf_with_an_annex_is_the_core_s(role: str) -> None:
    """It commits to the annex by its digest."""
    heard = Heard(1, role, PEER, 7, ENTRY.leaf_hash.hex(), ENTRY.head, "taken", "d" * 64)  # type: ignore[arg-type]  # two literals
    entry = replace(ENTRY, annex=("d" * 64, b"beside"))

    body, leaf, hashed = Leaves(LOG).heard(role, PEER, entry, "taken")

    assert leaf == heard_leaf(LOG, heard)
    assert (leaf.endswith(body), hashed) == (True, leaf_hash(leaf))


def test_the_receipt_that_we_foresee_is_the_one_that_comes() -> None:
    """Written on the other side by the same code."""
    body, _, _ = Leaves(PEER).heard("request", LOG, ENTRY, "taken")

    assert body == taken_body("request", LOG, ENTRY.index, ENTRY.leaf_hash.hex(), ENTRY.head)


@pytest.mark.parametrize("role", ["request", "response"])
def test_a_receipt_with_an_annex_is_foreseen_without_it(role: str) -> None:
    """What a peer notes for itself says nothing to us; that the rest is what it must be is seen by its bytes."""
    body, _, _ = Leaves(PEER).heard(role, LOG, replace(ENTRY, annex=("d" * 64, b"")), "taken")
    foreseen = taken_body(role, LOG, ENTRY.index, ENTRY.leaf_hash.hex(), ENTRY.head)

    assert without_annex(body) == foreseen
    assert without_annex(foreseen) == foreseen


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'"}',
        b"d" * 64 + b'"}',
        b'{"annex":"' + b"d" * 63 + b'"}',
        b'{"annex":"' + b"d" * 65 + b'"}',
        b'{"annex":"' + b"D" * 64 + b'"}',
        b'{"annex":"' + b"d" * 64 + b'"} ',
        b'{"x":"' + b"d" * 64 + b'"}',
    ],
)
def test_of_other_bytes_nothing_is_taken_away(body: bytes) -> None:
    """They are parsed, and refused as what they are."""
    assert without_annex(body) == body


def test_a_note_is_the_core_s() -> None:
    """With its hash."""
    note = Note(1, "0" * 32, 1, "event", "", 1)

    assert Leaves(LOG).note(note) == (note_leaf(LOG, note), leaf_hash(note_leaf(LOG, note)))

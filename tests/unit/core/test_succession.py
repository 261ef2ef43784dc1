"""What a successor says first: reason, heads, gap."""

from __future__ import annotations

import pytest

from core.heads import MalformedHeadError, TreeHead, b64url, encode_head, head_digest, head_header
from core.leaves import (
    Genesis,
    MalformedLeafError,
    Note,
    Succession,
    genesis_leaf,
    note_leaf,
    parse_genesis,
    parse_leaf,
    parse_note,
)
from core.reasons import ExchangeError, Reason
from core.succession import (
    MAX_REASON_CHARS,
    Gap,
    WitnessedHead,
    first_notes,
    gap_between,
    read_gap,
    written_reason,
)

LOG = "ab" * 32


def head(size: int, root: str = "cd" * 32) -> bytes:
    """A head in its written form; nobody verifies its signature here."""
    claims = TreeHead(1, LOG, "BJ/GOV/ANIP/gw1", size, root, 1_790_000_000, None)
    return b".".join([b64url(head_header("A" * 43)), b64url(encode_head(claims)), b64url(bytes(64))])


def held(size: int, *, contradicts: bool = False, by: str = "BJ/GOV/PNS/gw1") -> WitnessedHead:
    return WitnessedHead(by, head(size), contradicts)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Disque perdu, copie du matin restaurée", "Disque perdu, copie du matin restauree"),
        ("  l’hôte a brûlé  ", "l'hote a brule"),
        ("cœur du système", "coeur du systeme"),
        ("lost", "lost"),
    ],
)
def test_a_reason_is_written_without_accents(said: str, written: str) -> None:
    """A leaf holds ASCII without escapes, whatever language people write."""
    assert written_reason(said) == written


@pytest.mark.parametrize(
    "said", ["", "   ", 'a "b"', "a\\b", "a\nb", "a\x00b", "漢字", "a" * (MAX_REASON_CHARS + 1)]
)
def test_a_reason_that_a_leaf_cannot_hold_is_refused(said: str) -> None:
    """Rather than written as something else."""
    with pytest.raises(ExchangeError) as refused:
        written_reason(said)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize(
    ("elsewhere", "is_certain", "gap"),
    [
        ([], True, Gap(5, 5, is_certain=True)),
        ([held(9), held(7)], True, Gap(5, 9, is_certain=True)),
        ([held(3)], True, Gap(5, 5, is_certain=True)),
        ([held(4, contradicts=True)], True, Gap(5, 5, is_certain=False)),
        ([], False, Gap(5, 5, is_certain=False)),
    ],
)
def test_the_gap_is_what_others_hold_beyond_what_is_here(
    elsewhere: list[WitnessedHead], is_certain: bool, gap: Gap
) -> None:
    """Whoever holds a head of other leaves makes it uncertain: nobody can say where they part."""
    found = gap_between(5, elsewhere, is_certain=is_certain)

    assert found == gap
    assert found.is_empty == (gap.end == 5 and gap.is_certain)


def test_what_is_no_head_is_nobody_s_witness() -> None:
    """Refused where it comes in: no gap is ever reckoned from it."""
    with pytest.raises(MalformedHeadError):
        WitnessedHead("BJ/GOV/ANIP/gw1", b"no head", contradicts=False)


def test_the_first_notes_name_heads_and_gap_and_are_read_back() -> None:
    """Each head with its JWS beside it; the notes are leaves like any other."""
    gap = Gap(5, 9, is_certain=True)
    notes = first_notes(head(5), [held(9)], gap, 1_790_000_000_000, iter(["00" * 16, "11" * 16, "22" * 16]))

    (last, last_jws), (elsewhere, jws), (declared, nothing) = notes
    assert (last_jws, jws, nothing) == (head(5), head(9), None)
    assert last.detail == f"witness=here size=5 root={'cd' * 32} jws={head_digest(head(5))}"
    assert elsewhere.detail.startswith("witness=BJ/GOV/PNS/gw1 size=9 ")
    assert (read_gap(declared), declared.count) == (gap, 4)
    for note, _ in notes:
        assert parse_note(parse_leaf(note_leaf(LOG, note)).body) == note


@pytest.mark.parametrize(
    "note",
    [
        Note(1, "0" * 32, 1, "refusals-summed", "from=1 to=2 certain=yes", 1),
        Note(1, "0" * 32, 1, "gap-declared", "from=1 to=2", 1),
        Note(1, "0" * 32, 1, "gap-declared", "from=-1 to=2 certain=yes", 1),
        Note(1, "0" * 32, 1, "gap-declared", "from=1 to=2 certain=yes ", 1),
    ],
)
def test_no_other_note_declares_a_gap(note: Note) -> None:
    """One written form."""
    assert read_gap(note) is None


@pytest.mark.parametrize(
    "succeeds",
    [
        Succession("ab", 1, "cd" * 32, "x"),
        Succession(LOG, 1, "CD" * 32, "x"),
        Succession(LOG, -1, "cd" * 32, "x"),
        Succession(LOG, 2**63, "cd" * 32, "x"),
    ],
)
def test_a_genesis_leaf_that_succeeds_no_log_is_refused(succeeds: Succession) -> None:
    """Its words are strict like those of a peer: the log may be anybody's."""
    leaf = genesis_leaf(Genesis(1, "BJ/GOV/ANIP/gw1", 0, 1, "00" * 16, succeeds))

    with pytest.raises(MalformedLeafError):
        parse_genesis(parse_leaf(leaf).body)

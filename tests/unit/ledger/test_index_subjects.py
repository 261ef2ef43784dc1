"""The index finds exchanges by the pseudonyms of whom their records are about (M13)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from core.leaves import MalformedLeafError
from core.pseudonyms import MAX_PSEUDONYMS, PseudonymKey, annex_of, keep_annex, pseudonym
from ledger.index import ExchangeIndex, Filter
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from tests.unit.ledger.test_index import EXCHANGE, MINE, heard, said

KEY, OTHER_KEY = b"\x11" * 32, b"\x22" * 32
PERSON, OTHER = b"4999999901", b"4999999902"


def annexed(stored: StoredLeaf, *numbers: bytes, key: bytes = KEY, complete: bool = True) -> StoredLeaf:
    """The same leaf with an annex about some persons beside it."""
    digest, kept = keep_annex(bytes(16), annex_of(PseudonymKey(2026, key), numbers, complete=complete))
    return beside(naming(stored, digest), kept)


def naming(stored: StoredLeaf, digest: str) -> StoredLeaf:
    """The same leaf, that commits to an annex."""
    leaf = stored.leaf.replace(b'"annex":null', b'"annex":"%s"' % digest.encode())
    return msgspec.structs.replace(stored, leaf=leaf)


def beside(stored: StoredLeaf, kept: bytes) -> StoredLeaf:
    """The same leaf, with these bytes where an annex lies."""
    return msgspec.structs.replace(stored, attachments=(*stored.attachments, (AttachmentKind.ANNEX, kept)))


def found(index: ExchangeIndex, *numbers: bytes, keys: tuple[bytes, ...] = (KEY, OTHER_KEY)) -> list[str]:
    wanted = tuple(bytes.fromhex(pseudonym(key, one)) for key in keys for one in numbers)
    return [row["exchange"].removeprefix(EXCHANGE) for row in index.search(Filter(subjects=wanted))]


@pytest.fixture
def index(tmp_path: Path) -> ExchangeIndex:
    return ExchangeIndex(tmp_path / "index.sqlite")


LEAVES = [
    said(1, "request", 1),
    annexed(heard(2, "request", 2), PERSON),
    annexed(heard(3, "response", 1, issued_at=2000), PERSON, OTHER),
    annexed(heard(4, "request", 4), OTHER, key=OTHER_KEY),
    said(5, "request", 3),
    heard(6, "response", 3, issued_at=2001),
]


def test_exchanges_are_found_by_whom_they_are_about(index: ExchangeIndex) -> None:
    """On whichever side this log stood, under the key of any year; merged numbers together."""
    index.add(MINE, LEAVES)

    assert found(index, PERSON) == ["2", "1"]
    assert found(index, OTHER) == ["4", "1"]
    assert found(index, PERSON, OTHER) == ["4", "2", "1"]
    assert found(index, b"4999999903") == []


def test_without_the_key_of_a_year_its_exchanges_are_not_found(index: ExchangeIndex) -> None:
    """So each key that an auditor gets opens its year, and no other."""
    index.add(MINE, LEAVES)

    assert found(index, OTHER, keys=(KEY,)) == ["1"]


def test_every_segment_of_a_stream_may_name_somebody(index: ExchangeIndex) -> None:
    """In batches of their own, and twice in one."""
    index.add(MINE, [annexed(heard(1, "request", 2, final=False), PERSON)])
    segments = [
        annexed(heard(number, "request", 2, sequence=number - 1, request="aa" * 32), OTHER, PERSON)
        for number in (2, 3)
    ]

    index.add(MINE, segments)

    assert found(index, PERSON) == ["2"]


def test_what_may_concern_others_is_found_whoever_is_looked_for(index: ExchangeIndex) -> None:
    """More persons than an annex names, or a message that could not be read."""
    many = [b"%010d" % one for one in range(MAX_PSEUDONYMS + 1)]
    index.add(MINE, [annexed(heard(1, "request", 2), *many), annexed(heard(2, "request", 4), complete=False)])

    assert found(index, b"4999999999") == ["4", "2"]
    assert index.search(Filter(subjects=(bytes(32),), issue="ACT-2"))[0]["exchange"] == f"{EXCHANGE}2"


def test_an_index_built_anew_finds_the_same(tmp_path: Path, index: ExchangeIndex) -> None:
    """From the segments alone."""
    index.add(MINE, LEAVES)
    again = ExchangeIndex(tmp_path / "again.sqlite")

    for stored in LEAVES:
        again.add(MINE, [stored])
    again.add(MINE, LEAVES)

    assert found(again, PERSON, OTHER) == found(index, PERSON, OTHER)


def test_the_index_holds_no_personal_number(tmp_path: Path, index: ExchangeIndex) -> None:
    """Nor do the files beside it."""
    index.add(MINE, LEAVES)
    index.close()

    for path in tmp_path.iterdir():
        assert not [one for one in (PERSON, OTHER) if one in path.read_bytes()], path


WHOLE = annexed(heard(2, "request", 2), PERSON)
(_, KEPT) = WHOLE.attachments[-1]
_, CHANGED = annexed(heard(2, "request", 2), OTHER).attachments[-1]


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(naming(heard(2, "request", 2), "ab" * 32), id="taken-away"),
        pytest.param(beside(naming(heard(2, "request", 2), "ab" * 32), b""), id="emptied"),
        pytest.param(beside(naming(heard(2, "request", 2), "ab" * 32), CHANGED), id="changed"),
        pytest.param(beside(WHOLE, KEPT), id="twice"),
        pytest.param(beside(heard(2, "request", 2), KEPT), id="added"),
        pytest.param(beside(said(2, "request", 1), KEPT), id="added-to-our-own-word"),
        pytest.param(msgspec.structs.replace(WHOLE, attachments=WHOLE.attachments[1:]), id="statement-lost"),
    ],
)
def test_a_record_whose_annex_is_not_the_one_that_it_commits_to_ends_the_index(
    index: ExchangeIndex, spoilt: StoredLeaf
) -> None:
    """As it ends ``audit list`` and ``verify-log``: a search for a person must not miss it without a word."""
    with pytest.raises(MalformedLeafError, match="annex of leaf 2"):
        index.add(MINE, [said(1, "request", 1), spoilt, said(3, "request", 3)])

    assert (index.size(MINE), found(index, PERSON)) == (2, [])
    assert index.add(MINE, [WHOLE]) == 3
    assert found(index, PERSON) == ["2"]

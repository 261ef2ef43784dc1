"""Pseudonyms and the annex of a ``heard`` leaf: a private record that the leaf commits to (M13)."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.pseudonyms import (
    MAX_ANNEX_BYTES,
    MAX_PSEUDONYMS,
    MalformedAnnexError,
    PseudonymKey,
    annex_of,
    begin_of,
    keep_annex,
    key_id,
    parse_annex,
    pseudonym,
    read_annex,
    year_of,
)
from core.reasons import Reason

KEY, OTHER_KEY = b"\x11" * 32, b"\x22" * 32
SALT = bytes(range(16))
NUMBER = b"0000000001"
NEW_YEAR_MS = 1_798_758_000_000  # 2026-12-31T23:00:00Z: midnight in Porto-Novo

numbers = st.lists(st.binary(max_size=12), max_size=8)


def annex(**fields: Any) -> bytes:
    """A good annex about one person, with ``fields`` changed."""
    return json.dumps(
        json.loads(annex_of(PseudonymKey(2026, KEY), [NUMBER], complete=True)) | fields, separators=(",", ":")
    ).encode()


def test_a_pseudonym_is_an_hmac_of_the_number() -> None:
    """As any other implementation computes it."""
    assert pseudonym(KEY, NUMBER) == hmac.new(KEY, NUMBER, hashlib.sha256).hexdigest()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_a_key_at_work_gives_the_same_pseudonyms(key: bytes, number: bytes) -> None:
    """Whatever is hashed ahead."""
    assert PseudonymKey(2026, key).pseudonym(number) == pseudonym(key, number)


def test_a_key_has_its_length() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PseudonymKey(2026, bytes(31))


def test_a_key_is_named_by_what_tells_nothing_of_it() -> None:
    """Never to change: annexes say which key made them."""
    named = hmac.new(KEY, b"passerelle pseudonym key", hashlib.sha256).hexdigest()[:16]

    assert key_id(KEY) == PseudonymKey(2026, KEY).id == named
    assert parse_annex(annex()).key == named != key_id(OTHER_KEY)


def test_another_key_gives_another_pseudonym() -> None:
    """So members are not linked, nor years."""
    assert pseudonym(KEY, NUMBER) != pseudonym(OTHER_KEY, NUMBER)


def test_the_year_changes_at_midnight_in_porto_novo() -> None:
    """An hour before it does in UTC."""
    assert [year_of(NEW_YEAR_MS - 1), year_of(NEW_YEAR_MS)] == [2026, 2027]
    assert begin_of(2027) == NEW_YEAR_MS


def test_the_written_form_of_an_annex() -> None:
    """Never to change: old logs hold it."""
    data = annex_of(PseudonymKey(2026, KEY), [NUMBER, b"0000000002", NUMBER], complete=True)

    assert data == (
        b'{"v":1,"year":2026,"key":"cfe7204fddef4bf3","count":2,"complete":true,"pseudonyms":['
        b'"6a14a2426da921710ca5fe610643f48492c9dc7ac6fd336d707bc1289c7c6a77",'
        b'"93189b130b0213fa6dc01fb4c3fcaceff6cd336a3e81d13cc327ed232f334f1a"]}'
    )


@given(numbers.filter(bool))
def test_an_annex_is_read_back(found: list[bytes]) -> None:
    """Each person once, in an order that tells nothing."""
    read = parse_annex(annex_of(PseudonymKey(2026, KEY), found, complete=True))

    assert read.pseudonyms == sorted({pseudonym(KEY, one) for one in found})
    assert (read.count, read.complete) == (len(set(found)), True)


def test_what_could_not_be_read_to_its_end_is_said_to_be_incomplete() -> None:
    """Also if nobody was found in it: there may be somebody."""
    read = parse_annex(annex_of(PseudonymKey(2026, KEY), [], complete=False))

    assert (read.count, read.complete, read.pseudonyms) == (0, False, [])


def test_more_persons_than_the_bound_are_counted_and_not_named() -> None:
    """An answer that lists a village does not fill the log."""
    many = [b"%010d" % one for one in range(MAX_PSEUDONYMS + 5)]

    data = annex_of(PseudonymKey(2026, KEY), many, complete=True)

    read = parse_annex(data)
    assert (read.count, read.complete, len(read.pseudonyms)) == (MAX_PSEUDONYMS + 5, False, MAX_PSEUDONYMS)
    assert pseudonym(KEY, many[0]) in read.pseudonyms
    assert len(data) < MAX_ANNEX_BYTES


def test_the_leaf_commits_to_the_annex_by_a_salted_digest() -> None:
    """As payloads are digested (M11): without the salt, nobody tries numbers against a leaf."""
    data = annex()

    digest, kept = keep_annex(SALT, data)

    assert digest == hashlib.sha256(SALT + b"\x00" + data).hexdigest()
    assert read_annex(kept, digest) == parse_annex(data)


@pytest.mark.parametrize(
    "change", [lambda kept: kept[:-1], lambda kept: kept[:15], lambda kept: b"", lambda k: k[1:]]
)
def test_another_annex_than_the_leaf_names_is_refused(change: Any) -> None:
    """Cut anywhere."""
    digest, kept = keep_annex(SALT, annex())

    with pytest.raises(MalformedAnnexError):
        read_annex(change(kept), digest)


def test_an_annex_beside_a_leaf_without_one_is_refused() -> None:
    """``null`` is no digest."""
    with pytest.raises(MalformedAnnexError):
        read_annex(keep_annex(SALT, annex())[1], None)


ONE = pseudonym(KEY, NUMBER)
FORMS: dict[str, bytes] = {
    "version": annex(v=2),
    "year-0": annex(year=0),
    "year-10000": annex(year=10000),
    "key-absent": annex().replace(b'"key":"%s",' % key_id(KEY).encode(), b""),
    "key-short": annex(key="a" * 15),
    "key-long": annex(key="a" * 17),
    "key-upper-case": annex(key="A" * 16),
    "key-before-year": annex().replace(b'"year":2026,', b"").replace(b'"count"', b'"year":2026,"count"'),
    "count-below": annex(count=0),
    "count-above-and-complete": annex(count=2),
    "count-huge": annex(count=2**31, complete=False),
    "count-negative": annex(count=-1),
    "count-text": annex(count="1"),
    "nobody-and-complete": annex(count=0, pseudonyms=[]),
    "complete-as-number": annex(complete=1),
    "pseudonym-short": annex(pseudonyms=["ab"]),
    "pseudonym-upper-case": annex(pseudonyms=[ONE.upper()]),
    "pseudonym-a-number": annex(pseudonyms=["0000000001"]),
    "twice": annex(count=2, pseudonyms=[ONE, ONE]),
    "falling": annex(count=2, pseudonyms=["b" * 64, "a" * 64]),
    "too-many": annex(count=300, complete=False, pseudonyms=[f"{one:064x}" for one in range(257)]),
    "unknown-key": annex(extra=1),
    "blank": annex().replace(b",", b", ", 1),
    "escaped": annex().replace(b"true", b"true", 1).replace(b'"year"', b'"\\u0079ear"'),
    "duplicate-key": annex().replace(b'"v":1', b'"v":1,"v":1'),
    "not-utf-8": annex() + b"\xff",
    "not-json": b"annex",
    "nested": b"[" * 5000,
    "over-long": annex() + b" " * MAX_ANNEX_BYTES,
}


@pytest.mark.parametrize("name", FORMS)
def test_malformed_annexes_are_refused(name: str) -> None:
    """Each by the one error."""
    with pytest.raises(MalformedAnnexError) as refused:
        parse_annex(FORMS[name])

    assert refused.value.reason is Reason.STATEMENT_INVALID


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_cleanly(data: bytes) -> None:
    """Nothing but the one error."""
    with pytest.raises(MalformedAnnexError):
        parse_annex(data)
    with pytest.raises(MalformedAnnexError):
        read_annex(data, "a" * 64)

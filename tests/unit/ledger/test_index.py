"""What the leaves of a log tell of exchanges."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError

from core.heads import ConfigurationMark
from core.leaves import Heard, MalformedLeafError, Note, Role, heard_leaf, note_leaf, said_leaf
from core.merkle import leaf_hash
from core.payloads import encode_payloads
from core.statements import ANSWERS, AgreementMark, Statement, User, encode_statement
from ledger.index import (
    MAX_ROWS,
    SCHEMA,
    ExchangeIndex,
    Filter,
    place_of,
    statements_for,
)
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from ledger.rows import COUNTS, HANDED, Row, row_of
from tests.support.spoiled import spoil

MINE = "ab" * 32
PEER = "cd" * 32
EXCHANGE = "01936f00-0000-7000-8000-00000000000"
PROVIDED = (2, 4, 8)


def statement(kind: str, number: int, **changed: object) -> bytes:
    """A statement as it stands in a log; ``number`` tells the exchange."""
    values: dict[str, Any] = dict.fromkeys(Statement.__struct_fields__)
    values |= {"v": 1, "kind": kind, "from_": MINE, "to": PEER, "exchange": f"{EXCHANGE}{number}"}
    values |= {
        "attempt": 1,
        "sequence": 0,
        "final": True,
        "door": "grpc",
        "payloads": ["ee" * 32],
        "nonce": "00" * 16,
    }
    values |= {"client": "BJ/GOV/PNS/PORTAIL", "service": "BJ/GOV/ANIP/RNPP", "issued_at": 1000 + number}
    values |= {
        "method": "bj.identity.v1.IdentityService/GetPerson",
        "purpose": "P01",
        "issue": f"ACT-{number}",
    }
    values |= {"agreement": AgreementMark("CV-0042", 3, "aa" * 32), "user": User("agent:4711", "claimed")}
    values |= {"configuration": ConfigurationMark(1, "bb" * 32), "caller": "mtls:" + "x" * 43}
    if kind != "request":
        values |= {"request": request_hash(number)}
    if kind == "response":
        values |= {"heard": 0}
    if kind in ("response", "refusal"):
        values |= {"status": 0 if kind == "response" else 7}
    return encode_statement(Statement(**(values | changed)))


def request_hash(number: int, **changed: object) -> str:
    """Of the request that ``number`` tells: ours if we asked, else the peer's."""
    asker, asked = (PEER, MINE) if number in PROVIDED else (MINE, PEER)
    request = statement("request", number, **({"from_": asker, "to": asked} | changed))
    return leaf_hash(said_leaf(asker, request)).hex()


def said(index: int, kind: str, number: int, **changed: object) -> StoredLeaf:
    """A leaf of ours."""
    return StoredLeaf(index, said_leaf(MINE, statement(kind, number, **changed)), (), None)


def heard(index: int, kind: str, number: int, verdict: str = "taken", **changed: object) -> StoredLeaf:
    """A leaf about a peer's statement, which lies beside it."""
    data = statement(kind, number, from_=PEER, to=MINE, **changed)
    role: Role = "response" if kind in ANSWERS else "request"
    hashed = leaf_hash(said_leaf(PEER, data)).hex()
    leaf = heard_leaf(MINE, Heard(1, role, PEER, 7, hashed, "ab" * 32, verdict, None))
    return StoredLeaf(index, leaf, ((AttachmentKind.STATEMENT, data),), None)


@pytest.fixture
def index(tmp_path: Path) -> ExchangeIndex:
    return ExchangeIndex(tmp_path / "index.sqlite")


LEAVES = [
    said(1, "request", 1),
    heard(2, "request", 2),
    said(3, "request", 3),
    heard(4, "response", 1, issued_at=2000),
    said(5, "refusal", 2, reason="ADAPTER_DOWN", status=14),
    said(6, "cancel", 3),
    heard(7, "request", 4, "refused:STATEMENT_EXPIRED"),
    said(8, "refusal", 4, reason="STATEMENT_EXPIRED"),
    said(9, "refusal", 5, to=None, reason="NO_AGREEMENT", agreement=None, user=None),
    said(10, "request", 6),
    said(11, "abandon", 6),
    heard(12, "response", 6, "late"),
    said(13, "request", 7),
    heard(14, "response", 7, "refused:HEAD_INVALID"),
    heard(15, "request", 8),
    said(16, "response", 8, status=5),
]
OUTCOMES = {
    1: ("consumer", "granted", None),
    2: ("provider", "refused", "ADAPTER_DOWN"),
    3: ("consumer", "cancelled", None),
    4: ("provider", "refused", "STATEMENT_EXPIRED"),
    5: ("consumer", "refused", "NO_AGREEMENT"),
    6: ("consumer", "granted", None),
    7: ("consumer", "invalid", "HEAD_INVALID"),
    8: ("provider", "error", None),
}


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_each_request_is_one_row_however_it_was_batched(index: ExchangeIndex, batch: int) -> None:
    for begin in range(0, len(LEAVES), batch):
        assert index.add(MINE, LEAVES[begin : begin + batch]) == min(begin + batch, 16) + 1

    rows = {int(row["exchange"][-1]): row for row in index.search(Filter())}
    assert {number: (row["role"], row["outcome"], row["reason"]) for number, row in rows.items()} == OUTCOMES
    assert index.size(MINE) == 17
    assert (rows[1]["said"], rows[1]["heard"]) == (1, 4)
    assert (rows[1]["begun_ms"], rows[1]["ended_ms"], rows[1]["status"]) == (1001, 2000, 0)
    assert (rows[1]["agreement"], rows[1]["agreement_version"]) == ("CV-0042", 3)
    assert [rows[number]["request"].hex() for number in (1, 2)] == [request_hash(1), request_hash(2)]


def test_index_taken_in_twice_is_the_same(index: ExchangeIndex) -> None:
    """After a crash between the batch and the worker's next report it may be fed again."""
    index.add(MINE, LEAVES)
    once = index.search(Filter())

    index.add(MINE, LEAVES)
    twice = index.search(Filter())
    index.add(MINE, LEAVES[3:] + LEAVES)

    assert twice == once
    assert index.search(Filter()) == once


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(issue="ACT-3"), [3]),
        (Filter(outcome="refused"), [5, 4, 2]),
        (Filter(since_ms=1003, until_ms=1005), [4, 3]),
        (Filter(client="BJ/GOV/X/Y"), []),
        (Filter(exchange=f"{EXCHANGE}6"), [6]),
        (Filter(limit=2), [8, 7]),
        (Filter(limit=MAX_ROWS + 1), [8, 7, 6, 5, 4, 3, 2, 1]),
    ],
)
def test_rows_are_found_newest_first(index: ExchangeIndex, wanted: Filter, found: list[int]) -> None:
    index.add(MINE, LEAVES)

    assert [int(row["exchange"][-1]) for row in index.search(wanted)] == found


def test_pages_follow_each_other_whatever_comes_in_between(index: ExchangeIndex) -> None:
    index.add(MINE, LEAVES)
    pages = [index.search(Filter(limit=3))]
    index.add(MINE, [said(17, "request", 9)])
    while page := index.search(Filter(limit=3, after=place_of(pages[-1][-1]))):
        pages.append(page)

    assert [[int(row["exchange"][-1]) for row in page] for page in pages] == [[8, 7, 6], [5, 4, 3], [2, 1]]


def test_two_logs_of_one_gateway_keep_a_row_each(index: ExchangeIndex) -> None:
    """Also of one request, if one asks the other."""
    index.add(MINE, [said(1, "request", 1)])
    asked = statement("request", 1)
    record = Heard(1, "request", MINE, 1, request_hash(1), "ab" * 32, "taken", None)
    index.add(PEER, [StoredLeaf(2, heard_leaf(PEER, record), ((AttachmentKind.STATEMENT, asked),), None)])
    index.add(PEER, [])

    assert (index.size(MINE), index.size(PEER), index.size("00" * 32)) == (2, 3, 0)
    assert {(row["log"], row["role"], row["request"].hex()) for row in index.search(Filter())} == {
        (MINE, "consumer", request_hash(1)),
        (PEER, "provider", request_hash(1)),
    }


# --- what a peer may try ---


def taken_in(index: ExchangeIndex, leaves: list[StoredLeaf], batch: int) -> list[Row]:
    """The rows, oldest request first."""
    for begin in range(0, len(leaves), batch):
        index.add(MINE, leaves[begin : begin + batch])
    return index.search(Filter())[::-1]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_an_exchange_id_used_again_hides_nothing(index: ExchangeIndex, batch: int) -> None:
    """The id is the peer's choice: each request is a row, with the end that names it."""
    again = {"exchange": f"{EXCHANGE}2", "issue": "ACT-8"}
    other = request_hash(8, **again)
    leaves = [
        heard(1, "request", 2),
        said(2, "response", 2),
        heard(3, "request", 8, **again),
        said(4, "refusal", 8, exchange=f"{EXCHANGE}2", request=other, reason="REPLAYED", status=6),
        said(5, "refusal", 1, to=None, exchange=f"{EXCHANGE}2", request=None, reason="NO_AGREEMENT"),
    ]

    rows = taken_in(index, leaves, batch)
    found, count = index.requests_of(f"{EXCHANGE}2", 2)

    assert {(row["request"].hex(), row["role"], row["outcome"]) for row in rows} == {
        (request_hash(2), "provider", "granted"),
        (other, "provider", "refused"),
        (leaf_hash(leaves[4].leaf).hex(), "consumer", "refused"),
    }
    assert count == 3
    assert [row["request"].hex() for row in found] == [request_hash(2), other]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_an_answer_under_another_exchange_id_ends_what_it_answers(index: ExchangeIndex, batch: int) -> None:
    """It was refused as an answer to 1; that it claims to belong to 3 is nothing to 3."""
    leaves = [
        said(1, "request", 1),
        said(2, "request", 3),
        heard(3, "response", 1, "refused:STATEMENT_INVALID", exchange=f"{EXCHANGE}3"),
    ]

    assert [(row["outcome"], row["reason"]) for row in taken_in(index, leaves, batch)] == [
        ("invalid", "STATEMENT_INVALID"),
        ("open", None),
    ]


@pytest.mark.parametrize(("under", "kept"), [("ab" * 32, None), ("cd" * 32, "taken")])
def test_a_receipt_that_came_with_the_answer_is_not_kept(
    index: ExchangeIndex, under: str, kept: str | None
) -> None:
    """Under one head the answer tells more; of a receipt that came before, it is told that the peer had the request."""
    record = heard_leaf(PEER, Heard(1, "request", MINE, 1, request_hash(1), "ef" * 32, "taken", None))
    data = (1).to_bytes(8, "little") + bytes(8) + bytes.fromhex(under) + record.split(b"\n", 2)[2]
    answer = heard(2, "response", 1)
    answer = StoredLeaf(2, answer.leaf, (*answer.attachments, (AttachmentKind.RECEIPT, data)), None)

    (row,) = taken_in(index, [said(1, "request", 1), answer], 100)

    assert (row["outcome"], row["receipt"]) == ("granted", kept)


# --- exchanges in doubt ---


def receipt(index: int, said_index: int, verdict: str) -> StoredLeaf:
    """A note beside which the peer's record of our leaf ``said_index`` lies."""
    record = heard_leaf(PEER, Heard(1, "request", MINE, said_index, "aa" * 32, "ab" * 32, verdict, None))
    data = said_index.to_bytes(8, "little") + bytes(40) + record.split(b"\n", 2)[2]
    note = note_leaf(MINE, Note(1, "00" * 16, 1000, "receipts-kept", "", 1))
    return StoredLeaf(index, note, ((AttachmentKind.RECEIPT, data),), None)


ABANDONED = [said(1, "request", 1), said(2, "abandon", 1, reason="PEER_LOST")]
# As providers say it: of a request, by its leaf hash alone.
WORD: dict[str, Any] = dict.fromkeys(
    ("exchange", "client", "service", "method", "purpose", "issue", "agreement", "user", "caller")
) | {"issued_at": 3000, "payloads": []}
NEVER_TAKEN = WORD | {"delivery": "not_sent"}


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ([], ("in_doubt", "PEER_LOST", None)),
        ([heard(3, "response", 1, "late")], ("granted", None, None)),
        ([heard(3, "refusal", 1, "late", reason="INTERRUPTED", status=14)], ("refused", "INTERRUPTED", None)),
        ([heard(3, "outcome", 1, **NEVER_TAKEN)], ("not_taken", None, None)),
        ([heard(3, "outcome", 1, **WORD, delivery="unknown", heard=0)], ("taken", None, None)),
        ([heard(3, "outcome", 1, **WORD, delivery="unknown")], ("lost", None, None)),
        # Unasked for, or refused: no word at all.
        ([heard(3, "outcome", 1, "late", **NEVER_TAKEN)], ("in_doubt", "PEER_LOST", None)),
        (
            [heard(3, "outcome", 1, "refused:STATEMENT_INVALID", **NEVER_TAKEN)],
            ("in_doubt", "PEER_LOST", None),
        ),
        # What is known is not taken back, neither by a second word nor by a doubt that was said late.
        (
            [heard(3, "response", 1, "late"), heard(4, "outcome", 1, **NEVER_TAKEN)],
            ("granted", None, None),
        ),
        ([heard(3, "response", 1, "late"), said(4, "abandon", 1)], ("granted", None, None)),
        ([heard(3, "outcome", 1, **NEVER_TAKEN), said(4, "abandon", 1)], ("not_taken", None, None)),
        # The peer has it, and its answer is missing: in doubt still, and that is known.
        ([receipt(3, 1, "taken")], ("in_doubt", "PEER_LOST", "taken")),
        ([receipt(3, 1, "taken"), heard(4, "response", 1, "late")], ("granted", None, "taken")),
    ],
)
def test_an_exchange_is_in_doubt_until_the_peer_that_was_asked_tells(
    index: ExchangeIndex, then: list[StoredLeaf], outcome: tuple[str, str | None, str | None], batch: int
) -> None:
    """By a late answer, or by its word that the request was never taken."""
    (row,) = taken_in(index, ABANDONED + then, batch)

    assert (row["outcome"], row["reason"], row["receipt"]) == outcome
    assert row["peer"] == PEER


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_nobody_but_the_peer_that_was_asked_ends_a_doubt(index: ExchangeIndex, batch: int) -> None:
    """A third member could name a request that it saw elsewhere: all that the worker says to it is ``late``."""
    asked = {"to": "ef" * 32}
    request = leaf_hash(said_leaf(MINE, statement("request", 1, **asked))).hex()
    leaves = [
        said(1, "request", 1, **asked),
        said(2, "abandon", 1, request=request, **asked),
        heard(3, "response", 1, "late", request=request),
        heard(4, "outcome", 1, "late", **NEVER_TAKEN | {"request": request}),
    ]

    (row,) = taken_in(index, leaves, batch)

    assert row["outcome"] == "in_doubt"


def test_what_a_provider_says_of_a_request_that_it_never_had_makes_no_row(index: ExchangeIndex) -> None:
    """Its log holds no such request; the consumer's tells of it."""
    assert taken_in(index, [said(1, "outcome", 2, **NEVER_TAKEN)], 1) == []


REPEATED = heard(3, "request", 2, "refused:REPLAYED"), said(4, "refusal", 2, reason="REPLAYED", status=6)


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("leaves", "told"),
    [
        # While the first is open; after its end, taken again and refused by the adapter; refused first, then taken.
        ([heard(1, "request", 2), *REPEATED, said(5, "response", 2)], ("granted", None, 0, 1, 5)),
        (
            [
                heard(1, "request", 2),
                said(2, "response", 2),
                heard(3, "request", 2),
                said(4, "refusal", 2, reason="ADAPTER_DOWN", status=14),
            ],
            ("granted", None, 0, 1, 2),
        ),
        (
            [heard(1, "request", 2), said(2, "response", 2, status=5), *REPEATED],
            ("error", None, 5, 1, 2),
        ),
        ([*REPEATED, heard(5, "request", 2), said(6, "response", 2)], ("granted", None, 0, 3, 6)),
    ],
)
def test_a_request_logged_twice_keeps_its_answer(
    index: ExchangeIndex, leaves: list[StoredLeaf], told: tuple[object, ...], batch: int
) -> None:
    """A peer may log the same bytes twice (ADR 0013): one row, and what was given out stays in sight."""
    (row,) = taken_in(index, leaves, batch)

    assert tuple(row[name] for name in ("outcome", "reason", "status", "heard", "said")) == told


# What may come of a request, each as a leaf of ours.
Further = Callable[[int, dict[str, Any]], StoredLeaf]
OF_OURS: dict[str, Further] = {
    "granted": lambda index, of: heard(index, "response", 1, **of),
    "error": lambda index, of: heard(index, "response", 1, **of, status=5),
    "refused": lambda index, of: heard(index, "refusal", 1, **of, reason="ADAPTER_DOWN"),
    "invalid": lambda index, of: heard(index, "response", 1, "refused:HEAD_INVALID", **of),
    "cancelled": lambda index, of: said(index, "cancel", 1, **of),
    "in doubt": lambda index, of: said(index, "abandon", 1, **of, reason="PEER_LOST"),
    "granted late": lambda index, of: heard(index, "response", 1, "late", **of),
    "error late": lambda index, of: heard(index, "response", 1, "late", **of, status=5),
    "refused late": lambda index, of: heard(index, "refusal", 1, "late", **of, reason="INTERRUPTED"),
    "not taken": lambda index, of: heard(index, "outcome", 1, **of | NEVER_TAKEN),
    "taken": lambda index, of: heard(index, "outcome", 1, **of | WORD, delivery="unknown", heard=0),
    "lost": lambda index, of: heard(index, "outcome", 1, **of | WORD, delivery="unknown"),
}
RESOLVING = ("granted late", "error late", "refused late", "not taken", "taken", "lost")
OF_THEIRS: dict[str, Further] = {
    "asked": lambda index, of: heard(index, "request", 2, **of_request(of)),
    "asked and refused": lambda index, of: heard(index, "request", 2, "refused:REPLAYED", **of_request(of)),
    "granted": lambda index, of: said(index, "response", 2, **of),
    "error": lambda index, of: said(index, "response", 2, **of, status=5),
    "refused": lambda index, of: said(index, "refusal", 2, **of, reason="ADAPTER_DOWN"),
}


def of_request(of: dict[str, Any]) -> dict[str, Any]:
    """The same bytes as the first time: a request names no other, and was issued once."""
    return {name: value for name, value in of.items() if name not in ("request", "issued_at")}


@pytest.mark.parametrize(("number", "kinds"), [(1, OF_OURS), (2, OF_THEIRS)])
def test_a_batch_and_the_file_follow_one_rule(tmp_path: Path, number: int, kinds: dict[str, Further]) -> None:
    """``tell`` says it in Python and the statements in SQL: each two of what may come give the same row, however cut."""
    asked: list[StoredLeaf] = []
    first: list[StoredLeaf] = []
    second: list[StoredLeaf] = []
    among = len(kinds) ** 2
    # Nobody waits for a request that was resolved: a worker says no more of it, but for a doubt that it had planned.
    pairs = [
        (one, other)
        for one, other in itertools.product(kinds, kinds)
        if one not in RESOLVING or other in (*RESOLVING, "in doubt")
    ]
    for at, (one, other) in enumerate(pairs):
        mark = {"exchange": f"01936f00-0000-7000-8000-{at:012d}"}
        of = mark | {"request": request_hash(number, **mark)}
        begins = said(at, "request", 1, **mark) if number == 1 else heard(at, "request", 2, **mark)
        asked.append(begins)
        first.append(kinds[one](among + at, of | {"issued_at": 2000}))
        second.append(kinds[other](2 * among + at, of | {"issued_at": 3000}))

    cuts: dict[str, list[list[StoredLeaf]]] = {
        "one": [asked + first + second],
        "end": [asked + first, second],
        "begin": [asked, first + second],
        "all": [asked, first, second],
    }
    told: dict[str, list[Row]] = {}
    for name, batches in cuts.items():
        index = ExchangeIndex(tmp_path / name)
        for batch in batches:
            index.add(MINE, batch)
        told[name] = sorted(index.search(Filter()), key=lambda row: str(row["exchange"]))
        index.close()

    assert [len(rows) for rows in told.values()] == [len(pairs)] * 4
    differ = [pair for pair, *rows in zip(pairs, *told.values(), strict=True) if rows != [rows[0]] * 4]
    assert differ == []


# --- streams ---


# What may come of a stream, each as a leaf that says how far the other direction was handed on.
IN_A_STREAM: dict[int, dict[str, Callable[[int, dict[str, Any], int | None], StoredLeaf]]] = {
    1: {
        "asked on": lambda at, of, _: said(at, "request", 1, **of, sequence=1, final=False),
        "answered": lambda at, of, k: heard(at, "response", 1, **of, heard=k or 0, final=False, status=None),
        "ended": lambda at, of, k: heard(at, "response", 1, **of, heard=k or 0),
        "refused": lambda at, of, k: heard(at, "refusal", 1, **of, heard=k, reason="ADAPTER_LOST"),
        "not sent": lambda at, of, k: heard(
            at, "refusal", 1, **of, heard=k, reason="ADAPTER_DOWN", delivery="not_sent"
        ),
        "invalid": lambda at, of, k: heard(at, "response", 1, "refused:HEAD_INVALID", **of, heard=k or 0),
        "cancelled": lambda at, of, k: said(at, "cancel", 1, **of, heard=k),
        "given up": lambda at, of, k: said(at, "abandon", 1, **of, heard=k, reason="PEER_LOST"),
        "refused late": lambda at, of, k: heard(
            at, "refusal", 1, "late", **of, heard=k, reason="INTERRUPTED"
        ),
    },
    2: {
        "asked on": lambda at, of, _: heard(at, "request", 2, **of, sequence=1, final=False),
        "answered": lambda at, of, k: said(at, "response", 2, **of, heard=k or 0, final=False, status=None),
        "ended": lambda at, of, k: said(at, "response", 2, **of, heard=k or 0),
        "refused": lambda at, of, k: said(at, "refusal", 2, **of, heard=k, reason="ADAPTER_LOST"),
        "cancelled": lambda at, of, k: heard(at, "cancel", 2, **of, heard=k),
    },
}


@pytest.mark.no_cover
@pytest.mark.parametrize("number", [1, 2])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_however_a_stream_was_cut_into_batches_it_counts_the_same(number: int, data: st.DataObject) -> None:
    """``tell`` over all of it in Python, and the statements in SQL batch by batch: what was handed on only rises."""
    kinds = IN_A_STREAM[number]
    first: dict[str, Any] = {"final": False}
    of = {"request": request_hash(number, **first)}
    acts = data.draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(kinds)), st.none() | st.integers(0, 3)), min_size=1, max_size=6
        )
    )
    cuts = data.draw(st.sets(st.integers(1, len(acts))))
    begins = said(0, "request", 1, **first) if number == 1 else heard(0, "request", 2, **first)
    leaves = [begins, *(kinds[kind](at, of, k) for at, (kind, k) in enumerate(acts, 1))]

    told: list[Row] = []
    for among in (set(), cuts):
        with tempfile.TemporaryDirectory() as directory:
            index = ExchangeIndex(Path(directory) / "index.sqlite")
            edges = [0, *sorted(among), len(leaves)]
            for begin, end in itertools.pairwise(edges):
                index.add(MINE, leaves[begin:end])
            told += index.search(Filter())
            index.close()

    whole, cut = ({name: row[name] for name in (*COUNTS, *HANDED)} for row in told)
    assert cut == whole


def segments_of(number: int, *, broken: bool) -> list[StoredLeaf]:
    """A call of three segments each way, as its consumer (1) or its provider (2) logs it, to its end or cut."""
    first: dict[str, Any] = {"final": False, "payloads": ["ee" * 32] * 3}
    name = request_hash(number, **first)
    ask, answer = (said, heard) if number == 1 else (heard, said)
    later: dict[str, Any] = {"request": name, "final": False}
    leaves = [
        ask(1, "request", number, **first),
        ask(2, "request", number, sequence=1, payloads=["ee" * 32] * 4, **later),
        answer(3, "response", number, heard=0, status=None, payloads=["ee" * 32] * 2, **later),
        ask(4, "request", number, sequence=2, payloads=[], request=name),
        answer(5, "response", number, sequence=1, heard=1, status=None, payloads=["ee" * 32], **later),
    ]
    if not broken:
        final: dict[str, Any] = {"sequence": 2, "heard": 2, "request": name, "payloads": ["ee" * 32] * 3}
        return [*leaves, answer(6, "response", number, **final)]
    if number == 1:
        return [*leaves, said(6, "abandon", 1, heard=0, request=name, reason="PEER_LOST")]
    return [
        *leaves,
        heard(6, "cancel", 2, heard=0, request=name),
        said(7, "refusal", 2, heard=1, request=name, reason="INTERRUPTED", status=14),
    ]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
@pytest.mark.parametrize("number", [1, 2])
def test_a_stream_is_one_row_that_its_final_segment_ends(
    index: ExchangeIndex, number: int, batch: int
) -> None:
    """Whatever came before counts, and leaves it open."""
    leaves = segments_of(number, broken=False)

    (open_row,) = taken_in(index, leaves[:-1], batch)
    (row,) = taken_in(index, leaves[-1:], batch)

    assert (open_row["outcome"], open_row["status"], open_row["ended_ms"]) == ("open", None, None)
    assert (row["outcome"], row["status"]) == ("granted", 0)
    assert [row[name] for name in ("asked_segments", "asked_messages", "asked_handed")] == [3, 6, 3]
    assert [row[name] for name in ("answered_segments", "answered_messages")] == [3, 4]
    assert (row["said"], row["heard"]) == ((1, 6) if number == 1 else (6, 1))
    assert row["begun_ms"] == 1000 + number


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("number", "told"), [(1, ("in_doubt", 3, 2, 2, 1)), (2, ("refused", 3, 2, 2, 1))], ids=["asked", "served"]
)
def test_a_broken_stream_tells_what_was_delivered(
    index: ExchangeIndex, number: int, told: tuple[object, ...], batch: int
) -> None:
    """What was said or taken here, and what was handed on as those say who did it."""
    (row,) = taken_in(index, segments_of(number, broken=True), batch)

    names = ("outcome", "asked_segments", "asked_handed", "answered_segments", "answered_handed")
    assert tuple(row[name] for name in names) == told


@pytest.mark.parametrize("batch", [1, 100])
def test_segments_that_nobody_took_count_for_nothing(index: ExchangeIndex, batch: int) -> None:
    """A repetition was refused, what came late was handed to nobody; only what ends the call late ends a doubt."""
    name = request_hash(1)
    late: dict[str, Any] = {"request": name, "final": False, "status": None}
    leaves = [
        said(1, "request", 1),
        said(2, "abandon", 1, reason="PEER_LOST"),
        heard(3, "response", 1, "late", **late),
        heard(4, "request", 2),
        heard(5, "request", 2, "refused:STATEMENT_INVALID", sequence=1, request=request_hash(2)),
        heard(6, "request", 2, "late", sequence=1, request=request_hash(2)),
    ]

    doubt, served = taken_in(index, leaves, batch)
    resolved, _ = taken_in(index, [heard(7, "response", 1, "late", sequence=1, request=name)], batch)

    assert (doubt["outcome"], doubt["answered_segments"]) == ("in_doubt", 0)
    assert (served["outcome"], served["asked_segments"]) == ("open", 1)
    assert resolved["outcome"] == "granted"


@pytest.mark.parametrize(("delivery", "handed"), [("not_sent", 0), ("unknown", 1), ("delivered", 1)])
def test_a_refusal_says_what_was_handed_on(index: ExchangeIndex, delivery: str, handed: int) -> None:
    """What was not sent was not, whatever segment it names."""
    refusal = said(2, "refusal", 2, heard=0, reason="ADAPTER_DOWN", status=14, delivery=delivery)

    (row,) = taken_in(index, [heard(1, "request", 2), refusal], 1)

    assert row["asked_handed"] == handed


@pytest.mark.parametrize("batch", [1, 100])
def test_what_nobody_knows_is_not_none(index: ExchangeIndex, batch: int) -> None:
    """A gateway that was stopped midway names no segment; what was said before is the least."""
    ours, theirs = (
        {"request": request_hash(number, final=False), "heard": None, "reason": "INTERRUPTED"}
        for number in (1, 2)
    )
    leaves = [
        said(1, "request", 1, final=False),
        heard(2, "response", 1, request=ours["request"], heard=0, final=False, status=None),
        said(3, "abandon", 1, **ours),
        heard(4, "request", 2, final=False),
        said(5, "response", 2, request=theirs["request"], heard=0, final=False, status=None),
        said(6, "refusal", 2, **theirs, delivery="unknown", status=14),
    ]

    given_up, refused = taken_in(index, leaves, batch)

    assert (given_up["answered_handed"], given_up["answered_uncertain"]) == (None, 1)
    assert (refused["asked_handed"], refused["asked_uncertain"]) == (1, 1)
    late = heard(7, "refusal", 1, "late", **ours, delivery="unknown", status=14)
    (resolved, _) = taken_in(index, [late], batch)
    assert (resolved["outcome"], resolved["asked_handed"], resolved["asked_uncertain"]) == ("refused", 1, 1)


def test_a_number_that_no_database_holds_is_the_highest_that_it_does(index: ExchangeIndex) -> None:
    """What a peer claims stands in our log: it must not keep the rest of it from being found."""
    answer = heard(2, "response", 1, heard=2**63 - 1)

    (row,) = taken_in(index, [said(1, "request", 1), answer], 100)

    assert (row["outcome"], row["asked_handed"]) == ("granted", 2**63 - 1)


def test_bytes_are_those_of_the_payloads(index: ExchangeIndex) -> None:
    """Counted from the sealed body, whose key may be gone; what was not kept counts nothing."""
    payloads = ((bytes(16), 0, b"metadata"), (bytes(16), 0, b"a message"))
    sealed = bytes(17) + encode_payloads(payloads) + bytes(16)
    asked = said(1, "request", 1, payloads=["ee" * 32] * 2)

    index.add(MINE, [StoredLeaf(1, asked.leaf, (), sealed), heard(2, "response", 1)])

    (row,) = index.search(Filter())
    assert (row["asked_bytes"], row["answered_bytes"]) == (len(b"metadataa message"), 0)


def test_leaves_about_no_exchange_change_nothing() -> None:
    note = note_leaf(MINE, Note(1, "00" * 16, 1000, "peer-refused", "", 3))
    unknown = said(1, "refusal", 1, to=None, exchange=None, reason="METADATA_INVALID")
    bare = StoredLeaf(2, heard(2, "request", 1).leaf, (), None)

    assert row_of(StoredLeaf(0, note, (), None)) is None
    assert row_of(unknown) is None
    assert row_of(bare) is None


def test_leaf_that_cannot_be_read_is_named() -> None:
    for leaf in (b"passerelle/1/said", said_leaf(MINE, b"{}"), said_leaf(MINE, b"\xff")):
        with pytest.raises(MalformedLeafError, match="leaf 7"):
            row_of(StoredLeaf(7, leaf, (), None))


def test_postgresql_understands_the_same_statements() -> None:
    for sql, _ in statements_for(postgresql.psycopg.dialect()):  # type: ignore[no-untyped-call]  # SQLAlchemy's
        assert "%(request)s" in sql


def test_index_survives_its_process(index: ExchangeIndex, tmp_path: Path) -> None:
    index.add(MINE, LEAVES)
    index.close()

    again = ExchangeIndex(tmp_path / "index.sqlite")

    assert again.size(MINE) == 17
    assert len(again.search(Filter())) == 8


def test_index_of_another_schema_is_built_anew(index: ExchangeIndex, tmp_path: Path) -> None:
    """As an earlier version left it, or before versions were written: what it says is not read, nor an obstacle."""
    index.add(MINE, LEAVES)
    index.close()
    path = tmp_path / "index.sqlite"
    for version in (0, SCHEMA + 1):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(
                f"DROP TABLE exchanges; CREATE TABLE exchanges (exchange TEXT); PRAGMA user_version = {version}"
            )

        again = ExchangeIndex(path)

        assert again.size(MINE) == 0
        again.add(MINE, LEAVES)
        assert len(again.search(Filter())) == 8
        again.close()


def test_index_has_at_most_three_indexes(index: ExchangeIndex, tmp_path: Path) -> None:
    """Each costs every exchange, one of all leaf hashes most of all; none may be missing for what is asked daily."""
    index.close()
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:
        made = connection.execute(
            "SELECT name FROM sqlite_master WHERE tbl_name = 'exchanges' AND sql LIKE '%INDEX%'"
        )
        names = {name for (name,) in made}
        plans = [
            str(connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM exchanges WHERE {where}").fetchall())
            for where in (
                "exchange = '' AND request = x'00' AND log = 0",
                "request = x'00' AND log = 0 AND outcome IN ('open', 'in_doubt')",
                "exchange = ''",
                "issue = ''",
                "begun_ms > 0",
            )
        ]

    assert len(names) == 3
    assert all("SEARCH" in plan for plan in plans), plans


def test_a_damaged_index_is_built_anew(tmp_path: Path) -> None:
    """It holds nothing that the segments do not."""
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)

    assert ExchangeIndex(path).size("ab" * 32) == 0


@pytest.mark.parametrize("use", ["add", "search", "size"])
def test_an_index_that_is_damaged_in_use_is_built_anew(tmp_path: Path, use: str) -> None:
    """Whatever finds it; only whoever adds renews it, and adds all of it again."""
    index = ExchangeIndex(tmp_path / "index.sqlite")
    index.add(PEER, [said(1, "request", 3)])
    index.add(MINE, LEAVES)
    before = index.search(Filter())
    assert not index.renew()
    spoil(tmp_path / "index.sqlite")

    uses: dict[str, Callable[[], object]] = {
        "add": lambda: index.add(MINE, LEAVES),
        "search": lambda: index.search(Filter()),
        "size": lambda: index.size(MINE),
    }
    for _ in range(2):
        with pytest.raises(SQLAlchemyError, match="malformed"):
            uses[use]()
        assert index.is_malformed

    assert index.renew()
    assert not index.is_malformed
    assert (index.size(MINE), index.size(PEER)) == (0, 0)
    # In another order: a log's number in the file that is gone is nothing to the new one.
    index.add(MINE, LEAVES)
    index.add(PEER, [said(1, "request", 3)])
    assert {(row["log"], row["request"]) for row in index.search(Filter())} == {
        (row["log"], row["request"]) for row in before
    }
    assert len(before) == 9


def test_what_the_disk_refuses_is_not_damage(tmp_path: Path) -> None:
    """A lock, a full disk or a constraint says nothing against the file: it is kept."""
    index = ExchangeIndex(tmp_path / "index.sqlite")
    index.add(MINE, LEAVES)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as connection:
        connection.execute("DROP TABLE exchanges")

    with pytest.raises(SQLAlchemyError, match="no such table"):
        index.search(Filter())

    assert not index.renew()
    assert index.size(MINE) == 17


def test_an_index_that_the_disk_does_not_take_is_taken_later(tmp_path: Path) -> None:
    """A gateway starts without it; each use tells until there is room."""
    path = tmp_path / "not there yet" / "index.sqlite"
    index = ExchangeIndex(path)
    with pytest.raises(SQLAlchemyError):
        index.size("ab" * 32)

    path.parent.mkdir()

    assert index.size("ab" * 32) == 0

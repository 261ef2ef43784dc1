"""What the leaves of a log tell of exchanges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from core.heads import ConfigurationMark
from core.leaves import Heard, MalformedLeafError, Note, Role, heard_leaf, note_leaf, said_leaf
from core.statements import AgreementMark, Statement, User, encode_statement
from ledger.index import MAX_ROWS, ExchangeIndex, Filter, row_of, statements_for
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind

MINE = "ab" * 32
PEER = "cd" * 32
EXCHANGE = "01936f00-0000-7000-8000-00000000000"


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
        values |= {"request": "dd" * 32}
    if kind == "response":
        values |= {"heard": 0}
    if kind in ("response", "refusal"):
        values |= {"status": 0 if kind == "response" else 7}
    return encode_statement(Statement(**(values | changed)))


def said(index: int, kind: str, number: int, **changed: object) -> StoredLeaf:
    """A leaf of ours."""
    return StoredLeaf(index, said_leaf(MINE, statement(kind, number, **changed)), (), None)


def heard(index: int, kind: str, number: int, verdict: str = "taken", **changed: object) -> StoredLeaf:
    """A leaf about a peer's statement, which lies beside it."""
    data = statement(kind, number, from_=PEER, to=MINE, **changed)
    role: Role = "request" if kind == "request" else "response"
    leaf = heard_leaf(MINE, Heard(1, role, PEER, 7, "ef" * 32, "ab" * 32, verdict, None))
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
    6: ("consumer", "in_doubt", None),
    7: ("consumer", "invalid", "HEAD_INVALID"),
    8: ("provider", "error", None),
}


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_each_exchange_is_one_row_however_it_was_batched(index: ExchangeIndex, batch: int) -> None:
    for begin in range(0, len(LEAVES), batch):
        assert index.add(MINE, LEAVES[begin : begin + batch]) == min(begin + batch, 16) + 1

    rows = {int(row["exchange"][-1]): row for row in index.search(Filter())}
    assert {number: (row["role"], row["outcome"], row["reason"]) for number, row in rows.items()} == OUTCOMES
    assert index.size(MINE) == 17
    assert (rows[1]["said"], rows[1]["heard"]) == (1, 4)
    assert (rows[1]["begun_ms"], rows[1]["ended_ms"], rows[1]["status"]) == (1001, 2000, 0)
    assert (rows[1]["agreement"], rows[1]["agreement_version"], rows[1]["user"]) == (
        "CV-0042",
        3,
        "agent:4711",
    )


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


def test_two_logs_of_one_gateway_keep_a_row_each(index: ExchangeIndex) -> None:
    index.add(MINE, LEAVES[:1])
    index.add(PEER, LEAVES[1:2])
    index.add(PEER, [])

    assert (index.size(MINE), index.size(PEER), index.size("00" * 32)) == (2, 3, 0)


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
    for sql in statements_for(postgresql.psycopg.dialect()):  # type: ignore[no-untyped-call]  # SQLAlchemy's
        assert "%(exchange)s" in sql
        assert "coalesce(" in sql


def test_index_survives_its_process(index: ExchangeIndex, tmp_path: Path) -> None:
    index.add(MINE, LEAVES)
    index.close()

    again = ExchangeIndex(tmp_path / "index.sqlite")

    assert again.size(MINE) == 17
    assert len(again.search(Filter())) == 8

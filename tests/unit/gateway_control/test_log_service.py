"""Index, heads, proofs and searches over a log with real leaves."""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from core.clock import ManualClock
from core.frames import encode_receipt
from core.heads import ConfigurationMark, TreeHead, b64url, encode_head, head_header
from core.leaves import (
    Genesis,
    Heard,
    Role,
    Succession,
    genesis_leaf,
    heard_leaf,
    log_id_of,
    said_leaf,
)
from core.merkle import leaf_hash, verify_consistency, verify_inclusion
from core.pseudonyms import PseudonymKey, annex_of, keep_annex
from core.reasons import ExchangeError, Reason
from core.statements import AgreementMark, Cut, Statement, encode_statement
from gateway.channel import WorkerReport
from gateway.control.index import Indexer
from gateway.control.log_service import LogServicer
from gateway.control.logbook import LogBook, Proof, WorkerLog
from gateway.layout import GatewayDirectory
from gateway.succession import finish_succession
from ledger.commit import Entry, GroupCommit
from ledger.index import ExchangeIndex, Filter
from ledger.log import Log, create_log, segments
from ledger.reader import StoredLeaf
from ledger.records import AttachmentKind
from ledger.vault import BodyVault
from passerelle.gateway.v1 import log_pb2
from tests.support.spoiled import spoil
from tests.support.waiting import until

EXCHANGE = "0192f1a0-0000-7000-8000-00000000000"
PEER = "cd" * 32
BODY = bytes(64 * 1024)


def statement(kind: str, number: int, log: str, **fields: object) -> Statement:
    values: dict[str, object] = {
        "v": 1,
        "kind": kind,
        "from_": log,
        "to": PEER,
        "exchange": f"{EXCHANGE}{number}",
        "reference": None,
        "attempt": 1,
        "previous": None,
        "sequence": 0,
        "final": True,
        "client": "BJ/GOV/PNS/PORTAIL",
        "service": "BJ/GOV/ANIP/RNPP",
        "method": "bj.identity.v1.IdentityService/GetPerson",
        "represented": None,
        "purpose": "P01",
        "issue": f"ACT-{number}",
        "user": None,
        "caller": "mtls:" + "x" * 43,
        "door": "grpc",
        "agreement": AgreementMark("CV-0042", 1, "aa" * 32),
        "configuration": ConfigurationMark(1, "bb" * 32),
        "descriptors": None,
        "issued_at": 1_795_000_000_000 + number,
        "deadline_us": None,
        "encoding": None,
        "payloads": ["ee" * 32],
        "nonce": "00" * 16,
    }
    if kind != "request" and fields.get("to", PEER) is not None:
        values |= {"request": "dd" * 32, "heard": 0}
    return Statement(**(values | fields))  # type: ignore[arg-type]  # by name, checked by the parser


class OneLog:
    """A gateway's log, written as its worker writes it, and what control makes of it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        genesis = Genesis(1, "BJ/GOV/PNS/gw1", 0, 1_795_000_000_000, secrets.token_hex(16), None)
        self.id = create_log(root / "log" / "0", genesis_leaf(genesis))
        self._open()
        self.book = LogBook(GatewayDirectory(root), 1)
        self.index = ExchangeIndex(root / "index.sqlite")
        self.indexer = Indexer(self.book, self.index)
        self.servicer = LogServicer(self.book, self.index, self.indexer, self._gather, lambda context: None)
        self.requests: dict[int, str] = {}

    def _open(self) -> None:
        self._log = Log.open(self._root / "log" / "0")
        vault = BodyVault(self._root / "bodies", self.id, b"k" * 32, ManualClock())
        self._commit = GroupCommit(self._log, lambda run: run(), lambda error: None, vault=vault)

    def open_again(self) -> Path:
        """As a worker that is started again: what comes now goes into a segment of its own. Returns the one before."""
        written = segments(self._root / "log" / "0")[-1]
        self._commit.close()
        self._log.close()
        self._open()
        return written

    def say(self, kind: str, number: int, *, body: bytes | None = None, **fields: object) -> None:
        """Append a statement of ours; an answer or ending names the last request of its number."""
        if kind != "request" and fields.get("to", PEER) is not None:
            fields = {"request": self.requests[number]} | fields
        leaf = said_leaf(self.id, encode_statement(statement(kind, number, self.id, **fields)))
        hashed = leaf_hash(leaf)
        self._commit.commit_now([Entry(leaf, hashed, (), body, "BJ/GOV/ANIP/RNPP")])
        if kind == "request" and not fields.get("sequence"):
            self.requests[number] = hashed.hex()

    def hear(
        self,
        kind: str,
        number: int,
        verdict: str = "taken",
        *,
        body: bytes | None = None,
        annex: tuple[str, bytes | None] | None = None,
        **fields: object,
    ) -> None:
        """Append what the peer said, and whom it is about if that is to be noted; without bytes it is lost."""
        if kind != "request":
            fields = {"request": self.requests[number]} | fields
        data = encode_statement(statement(kind, number, PEER, to=self.id, **fields))
        hashed = leaf_hash(said_leaf(PEER, data)).hex()
        if kind == "request":
            self.requests[number] = hashed
        role: Role = "request" if kind == "request" else "response"
        digest = None if annex is None else annex[0]
        heard = Heard(1, role, PEER, 100 + number, hashed, "ab" * 32, verdict, digest)
        leaf = heard_leaf(self.id, heard)
        beside: tuple[tuple[AttachmentKind, bytes], ...] = ((AttachmentKind.STATEMENT, data),)
        if annex is not None and annex[1] is not None:
            beside += ((AttachmentKind.ANNEX, annex[1]),)
        self._commit.commit_now([Entry(leaf, leaf_hash(leaf), beside, body, "BJ/GOV/ANIP/RNPP")])

    def receive_receipt(self, said: int, number: int) -> None:
        """Append something that has the peer's receipt beside it."""
        body = heard_leaf(PEER, Heard(1, "request", self.id, said, "ef" * 32, "ab" * 32, "taken", None))
        receipt = encode_receipt(said, 77, bytes(32), body.split(b"\n", 2)[2])
        leaf = said_leaf(self.id, encode_statement(statement("request", number, self.id)))
        self._commit.commit_now([Entry(leaf, leaf_hash(leaf), ((AttachmentKind.RECEIPT, receipt),))])

    def report(self, *, signed: int | None = None) -> None:
        """What the worker says once a second; control catches up."""
        head = TreeHead(
            v=1,
            log=self.id,
            gateway="BJ/GOV/PNS/gw1",
            size=signed or self._log.size,
            root=self._log.root(signed or self._log.size).hex(),
            iat=1_795_000_000,
            cfg=None,
        )
        parts = (head_header("k" * 43), encode_head(head), bytes(64))
        report = WorkerReport(
            state="ready",
            log=self.id,
            size=self._log.size,
            sequence=self._commit.durable_sequence,
            head=b".".join(map(b64url, parts)).decode(),
        )
        self.indexer.on_report(0, report)
        self.indexer.catch_up()

    def succeed(self, root: Path) -> str:
        """Let go of the log, as a worker that ends does, and close it; returns the id of the one that goes on."""
        directory, size = GatewayDirectory(root), self._log.size
        succession = Succession(self.id, size, "cd" * 32, "lost")
        leaf = genesis_leaf(Genesis(1, "BJ/GOV/PNS/gw1", 0, 1_795_000_000_001, "00" * 16, succession))
        create_log(directory.next_log(0), leaf)
        self._commit.close()
        self._log.close()
        assert finish_succession(directory, 0)
        return log_id_of(leaf)

    def search(self, **fields: object) -> log_pb2.SearchResponse:
        return self.servicer.Search(log_pb2.SearchRequest(**fields), _context())  # type: ignore[arg-type]

    @staticmethod
    def _gather(exchange: str, with_bodies: bool, mandate: str, purpose: str) -> list[tuple[str, bytes]]:
        return [("mimetype", b"zip"), ("statements/request.json", b"x" * 100_000)]


def _context() -> grpc.ServicerContext:
    return None  # type: ignore[return-value]  # these methods only pass it on


@pytest.fixture
def log(tmp_path: Path) -> OneLog:
    return OneLog(tmp_path)


def numbers(response: log_pb2.SearchResponse) -> list[int]:
    return [int(one.exchange_id[-1]) for one in response.exchanges]


def test_an_exchange_becomes_one_row_with_its_outcome(log: OneLog) -> None:
    """Asked, answered, refused, open, in doubt: each told from the leaves alone."""
    log.say("request", 1)
    log.hear("response", 1, status=0)
    log.say("request", 2)
    log.say("refusal", 3, to=None, reason="NO_AGREEMENT", status=7)
    log.hear("request", 4)
    log.say("response", 4, status=5)
    log.say("request", 5)
    log.say("abandon", 5)
    log.say("request", 6)
    log.hear("response", 6, verdict="refused:HEAD_INVALID", status=0)
    log.report()

    found = {int(one.exchange_id[-1]): one for one in log.search().exchanges}

    assert [found[number].outcome for number in range(1, 7)] == [
        log_pb2.EXCHANGE_OUTCOME_GRANTED,
        log_pb2.EXCHANGE_OUTCOME_OPEN,
        log_pb2.EXCHANGE_OUTCOME_REFUSED,
        log_pb2.EXCHANGE_OUTCOME_ERROR,
        log_pb2.EXCHANGE_OUTCOME_IN_DOUBT,
        log_pb2.EXCHANGE_OUTCOME_INVALID,
    ]
    assert (found[1].side, found[4].side) == (log_pb2.SIDE_CONSUMER, log_pb2.SIDE_PROVIDER)
    assert found[3].reason == "NO_AGREEMENT"
    assert found[1].requested_at.ToMilliseconds() == 1_795_000_000_001
    assert found[1].first_index == 1


def test_nothing_beyond_what_is_durable_is_read(log: OneLog) -> None:
    """The worker's report is the limit."""
    log.say("request", 1)
    log.report()
    log.say("request", 2)

    log.indexer.catch_up()

    assert numbers(log.search()) == [1]
    assert log.search().indexed[0].size == 2


def test_a_providers_error_has_the_reason_of_the_auditors_list(log: OneLog) -> None:
    """The canonical code, as ``audit list`` shows it: why must not depend on where one looks."""
    log.say("request", 1)
    log.hear("response", 1, status=5)
    log.say("request", 2)
    log.hear("response", 2, status=0)
    log.report()

    assert [one.reason for one in log.search().exchanges] == ["", "NOT_FOUND"]


def test_an_exchange_id_used_again_is_a_row_of_its_own(log: OneLog) -> None:
    """A peer may make up any id: what it was granted under it before stays in sight, each request apart."""
    log.hear("request", 1)
    log.say("response", 1, status=0)
    log.hear("request", 2, exchange=f"{EXCHANGE}1", issue="ACT-9")
    log.say("refusal", 2, exchange=f"{EXCHANGE}1", reason="NO_AGREEMENT", status=7)
    log.say("refusal", 3, to=None, exchange=f"{EXCHANGE}1", reason="NO_AGREEMENT", status=7)
    log.report()

    found = log.search(exchange_id=f"{EXCHANGE}1").exchanges
    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    outcomes = [
        (log_pb2.EXCHANGE_OUTCOME_GRANTED, "ACT-1", log.requests[1]),
        (log_pb2.EXCHANGE_OUTCOME_REFUSED, "ACT-9", log.requests[2]),
        (log_pb2.EXCHANGE_OUTCOME_REFUSED, "ACT-3", log.book.require("").leaf_hash(5).hex()),
    ]
    assert [(one.outcome, one.issue, one.request_hash) for one in shown.exchanges] == outcomes
    assert [(one.outcome, one.issue, one.request_hash) for one in reversed(found)] == outcomes
    assert [(one.row, one.label, one.kind, one.from_peer) for one in shown.entries] == [
        (0, "heard", "taken", False),
        (0, "said", "request", True),
        (0, "said", "response", False),
        (1, "heard", "taken", False),
        (1, "said", "request", True),
        (1, "said", "refusal", False),
        (2, "said", "refusal", False),
    ]
    assert shown.further == 0


def test_an_exchange_shows_its_first_requests_and_counts_the_others(
    log: OneLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First in our log: a later request may claim any earlier time."""
    monkeypatch.setattr("gateway.control.log_service._MAX_REQUESTS", 2)
    for number in range(1, 6):
        log.hear("request", number, exchange=f"{EXCHANGE}1", issued_at=1_795_000_000_000 - number)
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [one.issue for one in shown.exchanges] == ["ACT-1", "ACT-2"]
    assert shown.further == 3


def test_search_filters_and_pages(log: OneLog) -> None:
    """Newest first; the token leads on; no row twice."""
    for number in range(1, 8):
        log.say("request", number, purpose="P02" if number == 3 else "P01")
    log.report()

    first = log.search(page_size=3)
    second = log.search(page_size=3, page_token=first.next_page_token)
    third = log.search(page_size=3, page_token=second.next_page_token)

    assert [numbers(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert third.next_page_token == ""
    assert numbers(log.search(purpose="P02")) == [3]
    assert numbers(log.search(issue="ACT-4")) == [4]
    assert numbers(log.search(outcome=log_pb2.EXCHANGE_OUTCOME_GRANTED)) == []
    early = log_pb2.SearchRequest()
    early.until.FromMilliseconds(1_795_000_000_003)
    getattr(early, "from").FromMilliseconds(1_795_000_000_002)
    assert numbers(log.servicer.Search(early, _context())) == [2]


def test_search_finds_exchanges_by_the_pseudonyms_of_a_person(log: OneLog) -> None:
    """The caller has the keys; control has none of them, and sees no number."""
    key = PseudonymKey(2026, b"k" * 32)
    for number, person in ((1, b"4999999901"), (2, b"4999999902"), (3, b"4999999901")):
        log.hear("request", number, annex=keep_annex(bytes(16), annex_of(key, [person], complete=True)))
    log.hear("request", 4, annex=keep_annex(bytes(16), annex_of(key, [], complete=False)))
    log.hear("request", 5)
    log.report()

    wanted = [bytes.fromhex(key.pseudonym(b"4999999901"))]

    assert numbers(log.search(subject_pseudonyms=wanted)) == [4, 3, 1]
    assert numbers(log.search(subject_pseudonyms=wanted, issue="ACT-3")) == [3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"page_size": -1},
        {"page_size": 1001},
        {"page_token": "x"},
        {"page_token": f"1.{'a' * 64}.-1"},
        {"subject_pseudonyms": [b"4999999901"]},
        {"subject_pseudonyms": [bytes(32)] * 513},
    ],
)
def test_a_search_that_cannot_be_is_refused(wrong: dict[str, object], log: OneLog) -> None:
    """Pages that do not exist; a number where a pseudonym should stand: bounded, and never a guess."""
    with pytest.raises(ExchangeError) as refused:
        log.search(**wrong)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_an_exchange_is_shown_from_both_sides(log: OneLog) -> None:
    """Four leaves: what we said, the peer's receipt, what we heard, the peer's own statement."""
    log.say("request", 1)
    log.hear("response", 1, status=0)
    log.receive_receipt(1, 2)
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [(one.label, one.kind, one.from_peer, one.index) for one in shown.entries] == [
        ("said", "request", False, 1),
        ("heard", "taken", True, 77),
        ("heard", "taken", False, 2),
        ("said", "response", True, 101),
    ]
    assert [one.log for one in shown.entries] == [log.id, PEER, log.id, PEER]


def looked_at(monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """The leaves that control reads from now on, by index, and how many bytes each read of a file brought."""
    leaves: list[int] = []
    sizes: list[int] = []
    at, pread = WorkerLog.at, os.pread

    def noted_at(log: WorkerLog, index: int) -> StoredLeaf:
        leaves.append(index)
        return at(log, index)

    def noted_pread(fd: int, length: int, offset: int) -> bytes:
        data = pread(fd, length, offset)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(WorkerLog, "at", noted_at)
    monkeypatch.setattr(os, "pread", noted_pread)
    return leaves, sizes


@pytest.mark.parametrize("side", ["consumer", "provider"])
def test_a_unary_call_is_read_to_its_end_and_its_receipts(
    log: OneLog, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much was written since, and without what bodies hold."""
    if side == "consumer":
        log.say("request", 1, body=BODY)
        log.hear("response", 1, status=0, body=BODY)
    else:
        log.hear("request", 1, body=BODY)
        log.say("response", 1, status=0, body=BODY)
    log.receive_receipt(1 if side == "consumer" else 2, 3)
    for number in range(20):
        log.say("request", 2, nonce=f"{number:032x}", body=BODY)
    log.report()
    leaves, sizes = looked_at(monkeypatch)

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert len(shown.entries) == 4
    assert max(leaves) == 3
    assert sum(sizes) < len(BODY)


def test_bodies_of_others_are_passed_over(log: OneLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call that is still open whole windows are looked at: leaves, not what lies encrypted beside them."""
    log.say("request", 1, body=BODY)
    for number in range(30):
        log.say("request", 2, nonce=f"{number:032x}", body=BODY)
    log.report()
    leaves, sizes = looked_at(monkeypatch)

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [(one.index, one.kind) for one in shown.entries] == [(1, "request")]
    assert set(leaves) == set(range(1, 32))
    assert sum(sizes) < len(leaves) * 4096


def test_the_requests_of_one_exchange_share_what_is_looked_at(
    log: OneLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that uses one id again and again makes nobody read more; each of its requests is still shown."""
    monkeypatch.setattr("gateway.control.log_service._WINDOW", 10)
    for number in range(1, 6):
        log.hear("request", number, exchange=f"{EXCHANGE}1")
        for other in range(20):
            log.say("request", 9, nonce=f"{number:016x}{other:016x}")
    log.report()
    leaves, _ = looked_at(monkeypatch)

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [one.index for one in shown.entries if not one.from_peer] == [1, 22, 43, 64, 85]
    # Three windows for all, and of each request its own leaf: once to be found, once to be shown.
    assert len(leaves) == 3 * 10 + 5 * 2


@pytest.mark.parametrize("exchange_id", ["", "nonsense", f"{EXCHANGE}9"])
def test_an_unknown_exchange_is_refused(exchange_id: str, log: OneLog) -> None:
    """Malformed or not here."""
    with pytest.raises(ExchangeError):
        log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=exchange_id), _context())


def test_what_was_cut_is_told_of_each_segment_that_has_messages(log: OneLog) -> None:
    """Of the peer's statement; nothing of one that says nothing of it."""
    cut: dict[str, Any] = {
        "encoding": "identity",
        "payloads": ["ee" * 32] * 2,
        "cut": Cut("3c" * 32, 5, "5e" * 32),
    }
    log.say("request", 1)
    log.hear("response", 1, final=False, status=None, **cut)
    log.hear("response", 1, sequence=1, status=0)
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    said = [one for one in shown.entries if one.kind == "response"]
    assert [(one.sequence, one.HasField("fields_cut"), one.fields_cut) for one in said] == [
        (0, True, 5),
        (1, False, 0),
    ]


def test_a_stream_that_ended_is_shown_with_all_its_leaves(log: OneLog) -> None:
    """Each segment, the deadline that ended it, what the peer said after that, and the receipts of both."""
    log.say("request", 1)
    log.hear("response", 1, final=False, status=None)
    log.hear("response", 1, sequence=1, final=False, status=None)
    log.say("request", 2)
    log.say("deadline", 1, heard=1, delivery="unknown", status=4, reason="DEADLINE_EXCEEDED")
    log.hear("refusal", 1, verdict="late", reason="CANCELLED", status=1, delivery="delivered")
    log.receive_receipt(1, 3)
    log.receive_receipt(5, 4)
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [(one.index, one.label, one.kind) for one in shown.entries if not one.from_peer] == [
        (1, "said", "request"),
        (2, "heard", "taken"),
        (3, "heard", "taken"),
        (5, "said", "deadline"),
        (6, "heard", "late"),
    ]
    assert [(one.label, one.kind) for one in shown.entries if one.from_peer] == [
        ("heard", "taken"),
        ("said", "response"),
        ("said", "response"),
        ("heard", "taken"),
        ("said", "refusal"),
    ]


def test_the_end_of_a_stream_is_found_behind_the_traffic_of_others(
    log: OneLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time at which it ended: of a call that waited for an hour, it stands nowhere near its last segment."""
    monkeypatch.setattr("gateway.control.log_service._WINDOW", 6)
    monkeypatch.setattr("gateway.control.log_service._CLOCKS_APART_MS", 2)
    log.say("request", 1)
    for number in range(2, 99):
        if number == 60:
            log.say("cancel", 1, delivery="unknown", issued_at=1_795_000_000_060)
        else:
            log.say("request", 2, issued_at=1_795_000_000_000 + number, nonce=f"{number:032x}")
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    assert [(one.index, one.kind) for one in shown.entries] == [(1, "request"), (60, "cancel")]


def test_of_a_long_stream_its_begin_and_its_end_are_shown(
    log: OneLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are between them: what they amount to stands in the row."""
    monkeypatch.setattr("gateway.control.log_service._MAX_LEAVES", 2)
    log.say("request", 1, final=False, payloads=["ee" * 32] * 3)
    for sequence in range(1, 40):
        log.say("request", 1, sequence=sequence, final=False, request=log.requests[1])
        log.hear("response", 1, sequence=sequence - 1, final=False, status=None, heard=sequence)
    log.report()

    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())

    (row,) = shown.exchanges
    assert row.outcome == log_pb2.EXCHANGE_OUTCOME_OPEN
    assert (row.asked.segments, row.asked.messages, row.asked.handed) == (40, 41, 40)
    assert (row.answered.segments, row.answered.messages) == (39, 38)
    assert not row.answered.HasField("handed")
    assert [(one.label, one.kind, one.sequence) for one in shown.entries] == [
        ("said", "request", 0),
        ("said", "request", 1),
        ("said", "request", 39),
        ("heard", "taken", 0),
        ("said", "response", 38),
    ]


def test_proofs_lead_from_leaves_to_the_signed_root(log: OneLog) -> None:
    """Checked as an auditor checks them, with the head's own root."""
    for number in range(1, 7):
        log.say("request", number)
    log.report()
    (head,) = log.servicer.GetHead(log_pb2.GetHeadRequest(), _context()).heads
    (named,) = log.servicer.GetHead(log_pb2.GetHeadRequest(log=log.id), _context()).heads

    for index in range(7):
        request = log_pb2.GetProofRequest(inclusion=log_pb2.InclusionRequest(index=index))
        proof = log.servicer.GetProof(request, _context())
        verify_inclusion(
            proof.leaf_hash,
            index=index,
            size=proof.size,
            path=list(proof.path),
            root=bytes.fromhex(head.root),
        )
    for size1 in range(1, 8):
        request = log_pb2.GetProofRequest(log=log.id, consistency=log_pb2.ConsistencyRequest(size1=size1))
        proof = log.servicer.GetProof(request, _context())
        verify_consistency(
            size1=size1,
            size2=proof.size,
            root1=proof.root1,
            root2=bytes.fromhex(head.root),
            proof=list(proof.path),
        )

    assert named == head
    assert (head.size, head.log) == (7, log.id)


@pytest.mark.parametrize(
    "request_",
    [
        log_pb2.GetProofRequest(),
        log_pb2.GetProofRequest(log="00" * 32, inclusion=log_pb2.InclusionRequest(index=0)),
        log_pb2.GetProofRequest(inclusion=log_pb2.InclusionRequest(index=9)),
        log_pb2.GetProofRequest(inclusion=log_pb2.InclusionRequest(index=0, size=9)),
        log_pb2.GetProofRequest(consistency=log_pb2.ConsistencyRequest(size1=0)),
        log_pb2.GetProofRequest(consistency=log_pb2.ConsistencyRequest(size1=2, size2=1)),
    ],
)
def test_a_proof_of_what_is_not_there_is_refused(request_: log_pb2.GetProofRequest, log: OneLog) -> None:
    """By name, never with a wrong proof."""
    log.say("request", 1)
    log.report()

    with pytest.raises(ExchangeError):
        log.servicer.GetProof(request_, _context())


def test_evidence_comes_in_pieces(log: OneLog) -> None:
    """The path stands on the first piece of each part."""
    log.say("request", 1)
    log.report()

    pieces = list(
        log.servicer.GetEvidence(log_pb2.GetEvidenceRequest(exchange_id=f"{EXCHANGE}1"), _context())
    )

    assert [piece.path for piece in pieces] == ["mimetype", "statements/request.json", ""]
    assert sum(len(piece.data) for piece in pieces[1:]) == 100_000


def test_the_index_follows_on_its_own_thread_and_goes_on_after_a_restart(log: OneLog, tmp_path: Path) -> None:
    """What was taken in is not taken in again."""
    log.indexer.start()
    log.say("request", 1)
    log.report()
    log.indexer.stop()

    index = ExchangeIndex(tmp_path / "index.sqlite")
    book = LogBook(GatewayDirectory(tmp_path), 1)
    again = Indexer(book, index)
    again.on_report(0, WorkerReport(state="ready", sequence=10_000))
    again.catch_up()

    assert again.indexed == {log.id: 2}
    assert book.require("").size == 2


@pytest.mark.parametrize(
    "fault",
    [ExchangeError(Reason.LOG_DAMAGED, "unreadable for a moment"), OverflowError("a defect of ours")],
    ids=["told", "defect"],
)
def test_an_index_that_cannot_be_written_tries_again(
    log: OneLog, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchanges go on meanwhile; whatever it was, the thread lives on."""
    monkeypatch.setattr("gateway.control.index._RETRY_S", 0.01)
    done = threading.Event()
    attempts: list[int] = []
    original = log.indexer.catch_up

    def fail_once() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise fault
        original()
        done.set()

    monkeypatch.setattr(log.indexer, "catch_up", fail_once)
    log.say("request", 1)
    log.indexer.start()
    log.indexer.on_report(0, WorkerReport(state="ready", sequence=10_000))

    assert done.wait(20)
    log.indexer.stop()
    assert log.indexer.indexed == {log.id: 2}


@pytest.mark.parametrize("finder", ["search", "indexer"])
def test_an_index_damaged_in_use_is_complete_again(log: OneLog, tmp_path: Path, finder: str) -> None:
    """Closed logs included; nobody has to start anything again, nor does it need another exchange."""
    for number in range(1, 4):
        log.say("request", number)
    log.hear("response", 1, status=0)
    log.report()
    successor = log.succeed(tmp_path)
    report = WorkerReport(state="ready", log=successor, sequence=1)
    log.indexer.on_report(0, report)
    log.indexer.catch_up()
    rows, indexed = log.index.search(Filter()), log.indexer.indexed
    spoil(tmp_path / "index.sqlite")

    if finder == "search":
        with pytest.raises(DatabaseError, match="malformed"):
            log.search()
    else:
        with pytest.raises(DatabaseError, match="malformed"):
            log.index.add(successor, [log.book.logs[0].at(0)])
    log.indexer.start()
    log.indexer.on_report(0, report)
    until(lambda: log.indexer.indexed == indexed and not log.index.is_malformed)

    assert sorted(log.index.search(Filter()), key=str) == sorted(rows, key=str)
    assert len(rows) == 3
    assert sorted(indexed.values()) == [1, 5]
    log.indexer.stop()


def test_a_closed_log_that_could_not_be_indexed_is_indexed_later(
    log: OneLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once, and not done with before the index has it."""
    log.say("request", 1)
    log.report()
    log.say("request", 2)
    before, successor = log.id, log.succeed(tmp_path)
    log.indexer.on_report(0, WorkerReport(state="ready", log=successor, sequence=1))
    original, refusals = log.index.add, [1]

    def add(log_id: str, leaves: Iterable[StoredLeaf]) -> int:
        taken = list(leaves)
        if refusals and refusals.pop():
            raise OperationalError("INSERT", {}, Exception("database or disk is full"))
        return original(log_id, taken)

    monkeypatch.setattr(log.index, "add", add)
    with pytest.raises(OperationalError):
        log.indexer.catch_up()
    log.indexer.catch_up()

    assert log.indexer.indexed == {before: 3, successor: 1}
    assert len(log.search().exchanges) == 2


def test_damage_in_an_old_segment_is_told_and_ends_what_is_known_of_that_log(
    log: OneLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker goes on, and so does every other log; once the segment is put back, so does the index."""
    monkeypatch.setattr("gateway.control.index._RETRY_S", 0.0)
    genesis = Genesis(1, "BJ/GOV/PNS/gw1", 1, 1_795_000_000_000, secrets.token_hex(16), None)
    other = create_log(tmp_path / "log" / "1", genesis_leaf(genesis))
    log.say("request", 1)
    log.say("request", 2)
    old = log.open_again()
    log.say("request", 3)
    whole = old.read_bytes()
    old.write_bytes(whole.replace(b"ACT-1", b"ACT-X"))
    book = LogBook(GatewayDirectory(tmp_path), 2)
    indexer = Indexer(book, log.index)
    for worker, name in enumerate((log.id, other)):
        indexer.on_report(worker, WorkerReport(state="ready", log=name, sequence=10_000))

    indexer.catch_up()
    told, known = indexer.damage, log.index.search(Filter())
    with pytest.raises(ExchangeError, match="no leaf"):
        book.logs[0].at(3)
    old.write_bytes(whole)
    indexer.catch_up()

    assert list(told) == [0]
    assert told[0].startswith(f"{old.name} is damaged at byte")
    assert known == []
    assert indexer.damage == {}
    assert indexer.indexed == {log.id: 4, other: 1}
    assert numbers(log.search()) == [3, 2, 1]


def test_a_record_without_its_annex_ends_what_is_known_of_its_log_alone(log: OneLog, tmp_path: Path) -> None:
    """It is told as damage, the leaves before it are found, and the logs of later workers are read on."""
    genesis = Genesis(1, "BJ/GOV/PNS/gw1", 1, 1_795_000_000_000, secrets.token_hex(16), None)
    other = create_log(tmp_path / "log" / "1", genesis_leaf(genesis))
    log.say("request", 1)
    log.hear("request", 2, annex=("ab" * 32, None))
    log.say("request", 3)
    indexer = Indexer(LogBook(GatewayDirectory(tmp_path), 2), log.index)
    for worker, name in enumerate((log.id, other)):
        indexer.on_report(worker, WorkerReport(state="ready", log=name, sequence=10_000))

    indexer.catch_up()

    assert indexer.damage[0].startswith("annex of leaf 2: ")
    assert indexer.indexed == {log.id: 2, other: 1}
    assert numbers(log.search()) == [1]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_leaves_that_were_read_and_could_not_be_indexed_are_indexed_later(
    log: OneLog, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("gateway.control.index._BATCH", batch)
    for number in range(1, 6):
        log.say("request", number)
    original = log.index.add
    refusals = [0, 1, 1, 0, 0, 1]

    def add(log_id: str, leaves: Iterable[StoredLeaf]) -> int:
        taken = list(leaves)
        if refusals and refusals.pop(0):
            raise OperationalError("INSERT", {}, Exception("database is locked"))
        return original(log_id, taken)

    monkeypatch.setattr(log.index, "add", add)
    log.indexer.on_report(0, WorkerReport(state="ready", sequence=10_000))
    for _ in range(4):
        with contextlib.suppress(OperationalError):
            log.indexer.catch_up()

    assert log.indexer.indexed == {log.id: 6}
    assert len(log.search().exchanges) == 5


def test_reports_in_quick_succession_are_indexed_together(
    log: OneLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load a worker reports many times a second: a transaction for each would cost as much as the rows."""
    monkeypatch.setattr("gateway.control.index._GATHER_S", 2.0)
    added = []
    original = log.index.add

    def add(log_id: str, leaves: Iterable[StoredLeaf]) -> int:
        added.append(log_id)
        return original(log_id, leaves)

    monkeypatch.setattr(log.index, "add", add)
    log.indexer.start()
    for number in range(40):
        log.say("request", number)
        log.indexer.on_report(0, WorkerReport(state="ready", log=log.id, sequence=10_000 + number))
    until(lambda: log.indexer.indexed.get(log.id) == 41)
    log.indexer.stop()

    assert len(added) < 20
    assert len(log.search().exchanges) == 40


def test_proofs_are_made_while_the_index_follows(log: OneLog) -> None:
    """A long log to catch up with does not keep the admin API waiting."""
    for number in range(1, 6):
        log.say("request", number)
    (worker_log,) = log.book.logs
    following = worker_log.read_on(10_000)
    next(following)
    proofs: list[Proof] = []

    other = threading.Thread(target=lambda: proofs.append(worker_log.prove_inclusion(0, 1)), daemon=True)
    other.start()
    other.join(20)

    assert [proof.size for proof in proofs] == [1]


def test_what_a_closed_log_holds_is_still_found_and_proved(log: OneLog, tmp_path: Path) -> None:
    """While control runs: the worker reports another log, and the one before lies among the closed ones."""
    log.say("request", 1)
    log.hear("response", 1, status=0)
    log.report()
    before, successor = log.id, log.succeed(tmp_path)

    log.indexer.on_report(0, WorkerReport(state="ready", log=successor, sequence=1))
    log.indexer.catch_up()

    assert log.indexer.indexed == {before: 3, successor: 1}
    shown = log.servicer.GetExchange(log_pb2.GetExchangeRequest(exchange_id=f"{EXCHANGE}1"), _context())
    assert [entry.index for entry in shown.entries if not entry.from_peer] == [1, 2]
    assert log.book.require(before).prove_inclusion(1, 3).size == 3

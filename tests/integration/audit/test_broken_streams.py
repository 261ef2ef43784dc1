"""Streams between two running gateways, whole and really broken: what either log proves of them, beside its writer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from audit.exchanges import Wanted, require_whole
from audit.listing import Listing
from audit.report import Report, StepVerdict
from audit.streams import Progress
from audit.verify import verify_evidence
from audit.wholelog import verify_logs
from core.evidence import Parts
from core.reasons import ExchangeError, Reason
from gateway.settings import Limits
from ledger.index import ExchangeIndex, Filter
from ledger.reader import LogReader
from ledger.rows import COUNTS, HANDED
from tests.support.checker import check
from tests.support.evidence import gather_evidence
from tests.support.federation import Federation, Member, calling, metadata
from tests.support.loopback import LoopThread
from tests.support.proxy import Link
from tests.support.streams import at_rest, converse
from tests.support.waiting import until

LIMITS = Limits(drain_ms=300, peer_wait_ms=2000)


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    with Federation(tmp_path, limits=LIMITS) as found:
        with found.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        yield found


class Conversation:
    """Three questions and their answers, with a question that waits for what comes next."""

    def __init__(self, federation: Federation, channel: grpc.Channel, **options: Any) -> None:
        self.told = threading.Event()
        self._end = threading.Event()
        federation.adapter.converse = self._converse
        self.call = converse(channel)(self._questions(), metadata=metadata(), **options)
        self.answers = [next(self.call) for _ in range(3)]
        self.id = str(dict(self.call.initial_metadata()).get("x-road-exchange-id", ""))

    def _questions(self) -> Iterator[bytes]:
        yield from (b"one", b"two", b"three")
        self._end.wait(60)

    def _converse(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.told.set)
        yield from requests

    def half_close(self) -> None:
        self._end.set()


def exchange_of(member: Member) -> str:
    """The exchange of the newest stream in a member's log."""
    index = ExchangeIndex(member.directory.root / "test-index.sqlite")
    reader = LogReader(member.directory.log(0))
    index.add(_log_id(reader), list(reader))
    rows = [row for row in index.search(Filter()) if str(row["method"]).endswith("Converse")]
    index.close()
    return str(rows[0]["exchange"])


def _log_id(reader: LogReader) -> str:
    reader.read_all()
    return reader.log_id


def gathered(member: Member, exchange: str) -> Parts | None:
    """``None`` while no head covers it."""
    try:
        return gather_evidence(member.directory.root, exchange)
    except ExchangeError as error:
        if error.reason is not Reason.PROOF_INVALID:
            raise
        return None


def delivery(federation: Federation, member: Member, exchange: str) -> Progress:
    """How far it came, as the evidence of one side says. Chains are another test's: these have no revocation lists."""
    found: list[Parts] = []

    def is_covered() -> bool:
        found.extend(one for one in [gathered(member, exchange)] if one is not None)
        return bool(found)

    until(is_covered)
    report: Report = verify_evidence(found[0], federation.ca.certificate)
    failed = [step for step in report.steps if step.verdict is StepVerdict.FAILED]
    assert failed == []
    assert report.steps[7].verdict is StepVerdict.GOOD
    (one,) = report.streams
    return one


def require_whole_logs(federation: Federation) -> None:
    """Every verifier of logs agrees, and the two that count say the same."""
    for member in (federation.pns, federation.anip):
        (report,) = verify_logs(member.directory.root, certificates=[member.directory.seal.certificate])
        assert report.fault is None, report.fault
        reader = LogReader(member.directory.log(0))
        index = ExchangeIndex(member.directory.root / "another-index.sqlite")
        index.add(_log_id(reader), list(reader))
        rows = index.search(Filter())
        index.close()
        with closing(Listing(member.directory.root, Wanted())) as listing:
            require_whole(listing.logs)
            listed = {row["exchange"]: row for row in listing.rows("en")}
        for row in rows:
            names, flags = ("outcome", *COUNTS, *HANDED[:2]), HANDED[2:]
            one = listed[row["exchange"]]
            assert [row[name] for name in names] == [one[name] for name in names]
            assert [bool(row[name]) for name in flags] == [one[name] for name in flags]
    verdict = check(federation.pns.directory.log(0), federation.anip.directory.log(0), [], [])
    assert verdict.segments_out_of_order == []
    assert verdict.taken_and_never_said == []
    assert verdict.handed_on_and_never_taken == []


def test_a_whole_stream_is_proved_the_same_from_either_log(federation: Federation) -> None:
    with federation.channel() as channel:
        talk = Conversation(federation, channel)
        talk.half_close()
        assert list(talk.call) == []
        until(lambda: at_rest(federation))
        exchange = exchange_of(federation.pns)

        mine, theirs = (delivery(federation, one, exchange) for one in (federation.pns, federation.anip))

    for one in (mine, theirs):
        assert (one.asked.messages, one.answered.messages) == (3, 3)
        assert one.asked.is_final
        assert one.asked.handed == one.asked.taken == one.asked.segments
        assert one.ends == (("response", "OK"),)
    assert mine.answered.handed == mine.answered.taken == mine.answered.segments
    require_whole_logs(federation)


Break = Callable[[Federation, Conversation], None]


def _cancel(federation: Federation, talk: Conversation) -> None:
    talk.call.cancel()


def _abort(federation: Federation, talk: Conversation) -> None:
    """The agreement is revoked while the stream is open."""
    federation.states = ["revoked"]
    federation.publish()


def _crash(federation: Federation, talk: Conversation) -> None:
    """The consumer's gateway dies, and starts again."""
    federation.stop(federation.pns)
    federation.start(federation.pns)
    federation.publish()


@pytest.mark.parametrize(
    ("broken", "ends"),
    [
        (_cancel, {"cancel"}),
        (_abort, {"abandon", "refusal"}),
        (_crash, {"abandon"}),
    ],
)
def test_a_stream_that_is_cut_is_proved_as_far_as_it_came(
    federation: Federation, broken: Break, ends: set[str]
) -> None:
    """The program had three answers to three questions: so both logs say, whoever ended it."""
    with federation.channel() as channel:
        talk = Conversation(federation, channel)
        broken(federation, talk)
        assert talk.told.wait(20)
        talk.half_close()
    until(lambda: at_rest(federation))
    exchange = exchange_of(federation.pns)

    mine, theirs = (delivery(federation, one, exchange) for one in (federation.pns, federation.anip))

    assert {kind for kind, _ in mine.ends} & ends
    assert (mine.asked.messages, theirs.asked.messages) == (3, 3)
    assert (mine.answered.messages, theirs.answered.messages) == (3, 3)
    assert mine.asked.taken == theirs.asked.taken == theirs.asked.segments
    assert mine.answered.taken == mine.answered.segments
    # How much the program has is the word of the consumer's gateway, which the provider's has from its ending; after a
    # restart nobody knows it.
    assert theirs.answered.handed == mine.answered.handed
    assert (mine.answered.handed is None) is mine.answered.is_uncertain is (broken is _crash)
    require_whole_logs(federation)


def test_a_stream_whose_road_was_lost_is_proved_by_each_side_alone(federation: Federation) -> None:
    """Neither has the other's last words; each proves what it took and what it handed on."""
    loop = LoopThread()
    link = Link(loop, federation.anip.road_port)
    federation.anip.link_port = link.port
    federation.publish()
    federation.stop(federation.pns)
    federation.start(federation.pns)
    federation.publish()
    try:
        with federation.channel() as channel:
            talk = Conversation(federation, channel, wait_for_ready=True)
            link.cut()
            with pytest.raises(grpc.RpcError):
                next(talk.call)
            assert talk.told.wait(20)
            talk.half_close()
            exchange = exchange_of(federation.pns)
            apart = delivery(federation, federation.pns, exchange)
            link.heal()
            calling(channel)(b"", metadata=metadata(), timeout=20, wait_for_ready=True)
            until(lambda: at_rest(federation))
            mine, theirs = (delivery(federation, one, exchange) for one in (federation.pns, federation.anip))
    finally:
        link.heal()
        link.close()
        loop.stop()

    assert ("abandon", "PEER_LOST") in apart.ends
    assert (apart.asked.messages, apart.answered.messages) == (3, 3)
    assert apart.answered.handed == apart.answered.taken == apart.answered.segments
    assert ("abandon", "PEER_LOST") in mine.ends
    assert theirs.asked.handed == theirs.asked.taken == theirs.asked.segments
    assert "refusal" in {kind for kind, _ in theirs.ends}
    require_whole_logs(federation)

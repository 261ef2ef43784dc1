"""Segments out of order, of another call, past their credit, behind the end: from a peer that holds its own keys.

Whatever it says is signed by it and stands in its log; none of it reaches an adapter or a program that should not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.payloads import encode_metadata
from core.statements import Statement
from gateway.worker.flow import CREDIT
from gateway.worker.frames import UnverifiedEntry, encode_credit
from tests.support.calls import worker_of
from tests.support.federation import SERVICE, Federation, calling, metadata
from tests.support.hostile import heard, outcome_of
from tests.support.intruder import Intruder
from tests.support.streams import watch
from tests.support.waiting import until

METHOD = f"{SERVICE}/Converse"
INITIAL = (0, encode_metadata(()))


class Adapter:
    """Keeps what reached it, until it is told that nobody goes on."""

    def __init__(self, federation: Federation) -> None:
        self.got: list[bytes] = []
        self.told = threading.Event()
        federation.adapter.converse = self._converse

    def _converse(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.told.set)
        for one in requests:
            self.got.append(one)
        yield b"end"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("segments")) as found:
        found.stop(found.pns)
        yield found


@pytest.fixture
def adapter(federation: Federation) -> Adapter:
    return Adapter(federation)


@pytest.fixture
def consumer(federation: Federation, tmp_path: Path) -> Iterator[Intruder]:
    """PNS's only gateway that runs."""
    found = Intruder(federation, federation.pns).met(federation.anip, tmp_path)
    yield found
    found.leave()


class Stream:
    """A stream that the intruder began, and its segments."""

    def __init__(self, federation: Federation, consumer: Intruder) -> None:
        self._consumer, self._to = consumer, federation.anip
        self.exchange = f"0192f1a0-0000-7000-8000-{consumer.log.size:012x}"
        self.index = self.segment(0, b"first", request=None, parts=(INITIAL, (0, b"first")))

    @property
    def name(self) -> str:
        return self._consumer.log.hashes[self.index].hex()

    def segment(self, sequence: int, *messages: bytes, **fields: Any) -> int:
        given: dict[str, Any] = {
            "exchange": self.exchange,
            "method": METHOD,
            "sequence": sequence,
            "final": False,
            "parts": tuple((0, one) for one in messages),
        }
        if sequence or "request" in fields:
            given["request"] = fields.pop("request", None) or (self.name if sequence else None)
        if not given["parts"]:
            given["payloads"] = []
        return self._consumer.ask(self._to, **(given | fields))

    def end(self) -> str:
        """How the provider ended it."""

        def last() -> Statement | None:
            said = [one for one in self._consumer.answers() if one.request == self.name and one.final]
            return said[-1] if said else None

        until(lambda: last() is not None)
        answer = last()
        assert answer is not None
        return str(answer.reason or answer.status)


@pytest.fixture
def stream(federation: Federation, adapter: Adapter, consumer: Intruder) -> Stream:
    return Stream(federation, consumer)


def verdicts(federation: Federation) -> list[str]:
    return [one.verdict for one in heard(federation.anip) if one.role == "request"]


def test_honest_segments_of_the_intruder_reach_the_adapter(stream: Stream, adapter: Adapter) -> None:
    """What follows is refused for its one fault."""
    stream.segment(1, b"second", b"third")
    stream.segment(2, final=True)

    assert stream.end() == "0"
    assert adapter.got == [b"first", b"second", b"third"]


@pytest.mark.parametrize("sequence", [2, 2**40])
def test_a_gap_ends_the_stream(
    stream: Stream, adapter: Adapter, federation: Federation, sequence: int
) -> None:
    until(lambda: bool(adapter.got))
    stream.segment(sequence, b"after a gap")

    assert stream.end() == "STATEMENT_INVALID"
    assert adapter.told.wait(20)
    assert adapter.got == [b"first"]
    assert verdicts(federation)[-1] == "refused:STATEMENT_INVALID"


def test_a_segment_said_twice_is_taken_once(stream: Stream, adapter: Adapter) -> None:
    stream.segment(1, b"second")
    stream.segment(1, b"again")

    assert stream.end() == "STATEMENT_INVALID"
    assert b"again" not in adapter.got


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "P02"},
        {"issue": "ACT-OTHER"},
        {"method": f"{SERVICE}/CollectPersons"},
        {"exchange": "0192f1a0-0000-7000-8000-00000000dead"},
        {"caller": "mtls:" + "B" * 43},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_segment_that_contradicts_the_first_ends_the_stream(
    stream: Stream, adapter: Adapter, changes: dict[str, Any]
) -> None:
    """A stream is for one purpose, one dossier, one method, from its beginning to its end."""
    stream.segment(1, b"other", **changes)

    assert stream.end() == "STATEMENT_INVALID"
    assert b"other" not in adapter.got


@pytest.mark.parametrize(
    ("messages", "changes"),
    [
        ([b""] * 65, {}),
        ([b"x" * CREDIT, b"x"], {}),
        ([b"x"], {"encoding": "gzip"}),
    ],
    ids=["65-messages", "too-long", "encoding"],
)
def test_a_segment_that_an_auditor_would_refuse_is_refused_here(
    stream: Stream, messages: list[bytes], changes: dict[str, Any]
) -> None:
    """Recorded as taken it would spoil our own log for whoever verifies it."""
    stream.segment(1, *messages, **changes)

    assert stream.end() == "STATEMENT_INVALID"


@pytest.mark.parametrize("heard_of", [1, 2**62])
def test_an_ending_that_claims_more_than_was_said_is_refused_and_still_ends(
    stream: Stream, adapter: Adapter, federation: Federation, heard_of: int
) -> None:
    until(lambda: bool(adapter.got))
    stream.segment(
        0, kind="cancel", request=stream.name, heard=heard_of, reason="CANCELLED", delivery="unknown"
    )

    assert stream.end() == "STATEMENT_INVALID"
    assert adapter.told.wait(20)
    assert verdicts(federation)[-1] == "refused:STATEMENT_INVALID"


def test_nothing_comes_behind_the_half_close(
    federation: Federation, consumer: Intruder, adapter: Adapter
) -> None:
    """Whether the answer was said before it or not: it is late, or it ends the stream."""
    go_on = threading.Event()
    got: list[bytes] = []

    def answer(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        got.extend(requests)
        go_on.wait(20)
        yield b"end"

    federation.adapter.converse = answer
    stream = Stream(federation, consumer)
    stream.segment(1, b"second", final=True)
    stream.segment(2, b"behind")

    assert stream.end() == "STATEMENT_INVALID"
    go_on.set()
    assert b"behind" not in got


def test_a_segment_of_a_stream_that_nobody_began_is_late(federation: Federation, stream: Stream) -> None:
    """It is heard within the budget of entries, answered with nothing, and ends nothing."""
    stream.segment(1, b"lost", request="d" * 64)
    stream.segment(1, b"second")
    stream.segment(2, final=True)

    assert stream.end() == "0"
    assert "late" in verdicts(federation)


def test_a_stream_of_another_peer_is_nobody_elses(
    federation: Federation, stream: Stream, adapter: Adapter, tmp_path: Path
) -> None:
    """A second log of the same member names it, and is not heard."""
    other = Intruder(federation, federation.pns).met(federation.anip, tmp_path)
    try:
        other.ask(
            federation.anip,
            exchange=stream.exchange,
            method=METHOD,
            sequence=1,
            final=False,
            request=stream.name,
            parts=((0, b"smuggled"),),
        )
        until(lambda: verdicts(federation)[-1] == "late")
    finally:
        other.leave()
    stream.segment(1, final=True)

    assert stream.end() == "0"
    assert adapter.got == [b"first"]


def test_whoever_goes_past_the_credit_is_refused(
    federation: Federation, consumer: Intruder, adapter: Adapter
) -> None:
    """An adapter that reads nothing: what would have to be held for it is not taken."""
    begun, stop = threading.Event(), threading.Event()

    def deaf(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(stop.set)
        begun.set()
        stop.wait(30)
        yield b""

    federation.adapter.converse = deaf
    stream = Stream(federation, consumer)
    assert begun.wait(20)
    for sequence in range(1, 40):
        stream.segment(sequence, b"x" * (CREDIT // 2))
        if any(one.kind == "refusal" for one in consumer.answers()):
            break

    assert stream.end() == "LIMIT_EXCEEDED"
    assert stop.wait(20)
    until(lambda: not worker_of(federation.anip).station.budget.held_bytes)


def test_a_segment_of_more_messages_than_allowed_is_refused(stream: Stream, consumer: Intruder) -> None:
    """66 payloads are the most that a statement may have; no more are read."""
    stream.segment(1, *[b""] * 67, payloads=["e" * 64] * 67)

    assert "FRAME_INVALID" in consumer.ended() or "STATEMENT_INVALID" in consumer.ended()


def test_credit_for_what_is_no_stream_is_void(stream: Stream, consumer: Intruder) -> None:
    """However much of it, and for whatever: the road stays, the stream goes on."""
    for leaf in (b"\xaa" * 32, bytes.fromhex(stream.name)):
        consumer.send(encode_credit(leaf, 2**63))
    stream.segment(1, final=True)

    assert stream.end() == "0"


def test_a_unary_method_takes_no_stream(federation: Federation, consumer: Intruder) -> None:
    index = consumer.ask(federation.anip, b"x", final=False)

    assert consumer.answer_to(index).reason == "CALL_KIND_NOT_SUPPORTED"


# --- the intruder provides ---


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("asking")) as found:
        found.stop(found.anip)
        yield found


@pytest.fixture
def provider(asking: Federation, tmp_path: Path) -> Iterator[Intruder]:
    """ANIP's only gateway that runs."""
    found = Intruder(asking, asking.anip).met(asking.pns, tmp_path)
    yield found
    found.leave()


class Watched:
    """A server stream of the portal that the intruder answers."""

    def __init__(self, provider: Intruder, channel: grpc.Channel) -> None:
        self._provider = provider
        self.call = watch(channel)(b"?", metadata=metadata(), timeout=20)
        until(lambda: bool(provider.requests()))
        self._request, self.name, _ = provider.requests()[-1]

    def say(self, sequence: int, *messages: bytes, **fields: Any) -> None:
        self._provider.send(self._provider.frame(self.entry(sequence, *messages, **fields)))

    def entry(self, sequence: int, *messages: bytes, **fields: Any) -> tuple[int, UnverifiedEntry]:
        final = fields.get("final", False)
        parts = [INITIAL] if sequence == 0 else []
        parts += [(0, one) for one in messages] + ([INITIAL] if final else [])
        given: dict[str, Any] = {"sequence": sequence, "final": final, "status": 0 if final else None}
        if not parts:
            given["payloads"] = []
        return self._provider.answer(self._request, self.name, fields.pop("parts", parts), **(given | fields))


@pytest.fixture
def watched(provider: Intruder, asking: Federation) -> Iterator[Watched]:
    with asking.channel() as channel:
        yield Watched(provider, channel)


def rest_of(call: Any) -> list[bytes]:
    return list(call)


def test_an_honest_stream_of_the_intruder_is_taken(watched: Watched) -> None:
    watched.say(0, b"a")
    watched.say(1, b"b", b"c")
    watched.say(2, final=True)

    assert rest_of(watched.call) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.say(2, b"after a gap"),
        lambda one: one.say(0, b"again"),
        lambda one: one.say(1, b"x", purpose="P02"),
        lambda one: one.say(1, b"x", issue="ACT-OTHER"),
        lambda one: one.say(1, *[b"x"] * 3, payloads=["e" * 64]),
        lambda one: one.say(1, *[b"x"] * 65),
        lambda one: one.say(1, b"x", encoding="gzip"),
        lambda one: one.say(1, b"x", heard=1),
        lambda one: one.say(1, b"x", heard=2**62),
        lambda one: one.say(1, b"x", status=0),
        lambda one: one.say(1),
    ],
    ids=[
        "gap",
        "repeated",
        "purpose",
        "dossier",
        "other-digests",
        "65-messages",
        "encoding",
        "heard-what-was-not-said",
        "heard-absurd",
        "status-too-early",
        "empty",
    ],
)
def test_a_spoilt_segment_ends_the_stream_and_is_not_given_to_the_program(
    watched: Watched, provider: Intruder, spoil: Callable[[Watched], None]
) -> None:
    """What came before is the program's; the provider is told that nobody goes on."""
    watched.say(0, b"good")
    assert next(watched.call) == b"good"

    spoil(watched)

    assert outcome_of(lambda: rest_of(watched.call)) in ("RESPONSE_INVALID", "PEER_LOST")
    until(
        lambda: (
            any(one.kind == "abandon" and one.request == watched.name for one in provider.answers())
            or bool(provider.closed)
        )
    )


def test_an_end_without_trailing_metadata_is_no_answer(watched: Watched) -> None:
    watched.say(0, final=True, parts=())

    assert outcome_of(lambda: rest_of(watched.call)) in ("RESPONSE_INVALID", "PEER_LOST")


def test_a_provider_past_its_credit_is_cut_off_by_name(watched: Watched, asking: Federation) -> None:
    """The program reads nothing, so that nothing is given back."""
    before = len(heard(asking.pns))
    for sequence in range(60):
        watched.say(sequence, b"x" * (CREDIT // 2))
        if any(one.verdict == "refused:LIMIT_EXCEEDED" for one in heard(asking.pns)[before:]):
            break

    assert outcome_of(lambda: rest_of(watched.call)) == "LIMIT_EXCEEDED"
    until(lambda: not worker_of(asking.pns).station.budget.held_bytes)


def test_what_comes_behind_the_end_is_late(watched: Watched, asking: Federation) -> None:
    watched.say(0, b"a", final=True)
    assert rest_of(watched.call) == [b"a"]
    watched.say(1, b"more")

    until(lambda: heard(asking.pns)[-1].verdict == "late")


def test_an_answer_to_a_unary_call_heard_one_segment(provider: Intruder, asking: Federation) -> None:
    with asking.channel() as channel:
        call = calling(channel).future(b"?", metadata=metadata(), timeout=10)
        until(lambda: bool(provider.requests()))
        request, name, _ = provider.requests()[-1]
        parts = (INITIAL, (0, b"answer"), INITIAL)
        provider.send(provider.frame(provider.answer(request, name, parts, heard=7)))

        assert outcome_of(call.result) == "RESPONSE_INVALID"


def test_what_was_taken_before_a_refusal_in_the_same_frame_reaches_the_program(
    watched: Watched, provider: Intruder
) -> None:
    segment = watched.entry(0, b"a", b"b")
    refusal = watched.entry(
        0,
        kind="refusal",
        parts=(),
        payloads=[],
        status=14,
        reason="ADAPTER_LOST",
        delivery="delivered",
        final=True,
    )
    provider.send(provider.frame(segment, refusal))

    assert [next(watched.call), next(watched.call)] == [b"a", b"b"]
    assert outcome_of(lambda: rest_of(watched.call)) == "ADAPTER_LOST"


def test_a_unary_call_takes_no_second_segment(provider: Intruder, asking: Federation) -> None:
    with asking.channel() as channel:
        call = calling(channel).future(b"?", metadata=metadata(), timeout=10)
        until(lambda: bool(provider.requests()))
        request, name, _ = provider.requests()[-1]
        provider.send(
            provider.frame(provider.answer(request, name, (INITIAL, (0, b"half")), final=False, status=None))
        )

        assert outcome_of(call.result) == "RESPONSE_INVALID"


def test_a_refusal_ends_a_stream_at_any_time(watched: Watched) -> None:
    watched.say(0, b"a")
    assert next(watched.call) == b"a"
    watched.say(
        0,
        kind="refusal",
        parts=(),
        payloads=[],
        status=14,
        reason="ADAPTER_LOST",
        delivery="delivered",
        final=True,
    )

    assert outcome_of(lambda: rest_of(watched.call)) == "ADAPTER_LOST"

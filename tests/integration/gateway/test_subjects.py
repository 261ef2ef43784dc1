"""Calls about persons: each log notes pseudonyms of its own, nothing that travels or is shown has a number (M13)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from audit.logreport import is_good
from audit.wholelog import verify_logs
from bj.identity.v1 import identity_pb2
from core.leaves import HEARD, SAID
from core.pseudonyms import MAX_PSEUDONYMS, Annex, pseudonym, year_of
from core.reasons import Reason
from core.statements import Statement, parse_statement
from gateway.settings import Limits
from ledger.index import ExchangeIndex
from ledger.reader import LogReader
from pki.pseudonyms import key_file, read_key
from tests.support.calls import leaves, refused, request_hash, worker_of
from tests.support.federation import SERVICE, Federation, Member, calling, metadata
from tests.support.persons import OTHER, PERSON, Noted, federation_marks, noted
from tests.support.streams import at_rest, collect, watch
from tests.support.waiting import until

VERIFY = f"/{SERVICE}/VerifyPerson"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    found = Federation(tmp_path_factory.mktemp("country"), limits=Limits(peer_wait_ms=3000))
    found.marks = federation_marks()
    with found:
        with found.channel() as channel:
            calling(channel)(asking(), metadata=metadata(), timeout=10)
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: answering()
    federation.adapter.converse = lambda requests, _: requests
    federation.adapter.calls.clear()


@pytest.fixture
def channel(federation: Federation) -> Iterator[grpc.Channel]:
    with federation.channel() as found:
        yield found


def asking(npi: bytes = PERSON) -> bytes:
    return identity_pb2.GetPersonRequest(npi=npi.decode()).SerializeToString()


def answering(npi: bytes = PERSON, merged: bytes = b"", phone: str = "") -> bytes:
    return identity_pb2.GetPersonResponse(
        npi=npi.decode(), last_name="DOSSOU", merged_npi=merged.decode(), phone=phone
    ).SerializeToString()


def own(member: Member, *numbers: bytes) -> list[str]:
    """The pseudonyms that a member gives to some persons this year."""
    year = year_of(member.clock.now_ms())
    key = read_key(member.directory.pseudonym_keys, year)
    return sorted(pseudonym(key, one) for one in numbers)


def about(member: Member, request: str) -> list[Noted]:
    """What a log notes beside its records of the call that ``request`` began, in order."""
    said = {leaf for leaf, _ in _answers(member, request)} | {request}
    return [one for one in noted(member.directory.place(0)) if one.heard.leaf in said]


def annexes(member: Member, request: str) -> list[Annex | None]:
    return [one.annex for one in about(member, request)]


def _answers(member: Member, request: str) -> list[tuple[str, Statement]]:
    """Leaf hash and statement of what peers said about a request, or of a later segment of it."""
    found = []
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    for stored in reader:
        for _, data in stored.attachments:
            if b'"request":"%s"' % request.encode() in data and data.startswith(b'{"v":1,"kind"'):
                heard = stored.leaf.split(b'"leaf":"')[1][:64].decode()
                found.append((heard, parse_statement(data)))
    return found


def said(member: Member, request: str) -> list[Statement]:
    statements = [parse_statement(body) for label, body in leaves(member) if label == SAID]
    return [one for one in statements if one.request == request and one.kind == "response"]


# --- what is noted ---


def test_each_gateway_notes_whom_a_call_was_about_under_its_own_key(
    federation: Federation, channel: grpc.Channel
) -> None:
    """The provider with the request, the consumer with the answer; nobody links the two pseudonyms."""
    _, call = calling(channel).with_call(asking(), metadata=metadata(), timeout=10)
    request = request_hash(call)

    (asked,), (answered,) = annexes(federation.anip, request), annexes(federation.pns, request)

    assert asked is not None
    assert answered is not None
    assert (asked.pseudonyms, asked.count, asked.complete) == (own(federation.anip, PERSON), 1, True)
    assert (answered.pseudonyms, answered.count, answered.complete) == (own(federation.pns, PERSON), 1, True)
    assert asked.pseudonyms != answered.pseudonyms
    assert asked.year == answered.year == year_of(federation.pns.clock.now_ms())


def test_everybody_in_an_answer_is_noted_each_once(federation: Federation, channel: grpc.Channel) -> None:
    """A record has two numbers when one was merged into the other; who was asked for is among them."""
    federation.adapter.answer = lambda request, _: answering(PERSON, merged=OTHER)

    _, call = calling(channel).with_call(asking(), metadata=metadata(), timeout=10)

    (found,) = annexes(federation.pns, request_hash(call))
    assert found is not None
    assert found.pseudonyms == own(federation.pns, PERSON, OTHER)


def test_an_answer_that_names_nobody_is_noted_with_whom_was_asked_for(
    federation: Federation, channel: grpc.Channel
) -> None:
    """ "Is this her name?": the consumer's log hears nothing else of the call."""
    federation.adapter.answer = lambda request, _: identity_pb2.VerifyPersonResponse(
        score=100
    ).SerializeToString()
    asked = identity_pb2.VerifyPersonRequest(npi=OTHER.decode(), last_name="DOSSOU").SerializeToString()

    _, call = calling(channel, VERIFY).with_call(asked, metadata=metadata(), timeout=10)

    (found,) = annexes(federation.pns, request_hash(call))
    assert found is not None
    assert found.pseudonyms == own(federation.pns, OTHER)


def test_a_call_that_names_nobody_has_no_annex(federation: Federation, channel: grpc.Channel) -> None:
    """The option is there, and no number is set."""
    federation.adapter.answer = lambda request, _: answering(b"")

    _, call = calling(channel).with_call(b"", metadata=metadata(), timeout=10)

    request = request_hash(call)
    assert annexes(federation.anip, request) == annexes(federation.pns, request) == [None]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_read(
    federation: Federation, compression: grpc.Compression, channel: grpc.Channel
) -> None:
    """A program must not hide from its own auditor whom it asks about."""
    message = asking() + b"\x7a\x82\x08" + b"x" * 1026  # a field that nobody knows, to be worth compressing

    _, call = calling(channel).with_call(message, metadata=metadata(), timeout=10, compression=compression)

    (found,) = annexes(federation.anip, request_hash(call))
    assert found is not None
    assert (found.pseudonyms, found.complete) == (own(federation.anip, PERSON), True)


@pytest.mark.parametrize(
    ("message", "count"),
    [(b"\xff\xff\xff", 0), (asking() + b"\x0b", 1), (b"\x10\x01" * 20_000, 0)],
    ids=["no-message", "group", "too-many-fields"],
)
def test_what_cannot_be_read_is_noted_as_incomplete(
    federation: Federation, message: bytes, count: int, channel: grpc.Channel
) -> None:
    """Nothing lies: a list of persons who may be concerned must show it."""
    _, call = calling(channel).with_call(message, metadata=metadata(), timeout=10)

    (found,) = annexes(federation.anip, request_hash(call))
    assert found is not None
    assert (found.count, found.complete) == (count, False)


def test_a_bomb_is_not_inflated_beyond_the_bound(federation: Federation, channel: grpc.Channel) -> None:
    """Some KiB that stand for megabytes cost their sender more than us."""
    bomb = asking() + b"\x7a\x80\x80\x80\x01" + bytes(2 * 1024 * 1024)

    _, call = calling(channel).with_call(
        bomb, metadata=metadata(), timeout=10, compression=grpc.Compression.Gzip
    )

    (found,) = annexes(federation.anip, request_hash(call))
    assert found is not None
    assert not found.complete


def test_a_refused_answer_is_noted_with_whom_was_asked_for(
    federation: Federation, channel: grpc.Channel
) -> None:
    """The adapter said no; that she was asked for is to be found all the same."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown")
        return b""

    federation.adapter.answer = refuse

    with pytest.raises(grpc.RpcError) as error:
        calling(channel)(asking(OTHER), metadata=metadata(), timeout=10)

    assert isinstance(error.value, grpc.Call)
    (found,) = annexes(federation.pns, request_hash(error.value))
    assert found is not None
    assert found.pseudonyms == own(federation.pns, OTHER)


def test_each_segment_of_a_stream_is_noted_with_its_own(
    federation: Federation, channel: grpc.Channel
) -> None:
    """At the provider those of the question's segments, at the consumer those of the answer's."""
    people = [b"4%09d" % one for one in range(200)]

    answer, call = collect(channel).with_call(
        (asking(one) for one in people), metadata=metadata(), timeout=20
    )

    found = [one for one in annexes(federation.anip, request_hash(call)) if one is not None]
    assert answer
    assert len(found) > 1
    assert {name for one in found for name in one.pseudonyms} == set(own(federation.anip, *people))
    until(lambda: at_rest(federation))


def test_answers_of_a_stream_are_noted_as_they_come(federation: Federation, channel: grpc.Channel) -> None:
    """With whom was asked for in the first of them."""
    people = [b"5%09d" % one for one in range(150)]
    federation.adapter.converse = lambda requests, _: (answering(one) for one in people)

    call = watch(channel)(asking(OTHER), metadata=metadata(), timeout=20)

    assert len(list(call)) == 150
    found = [one for one in annexes(federation.pns, request_hash(call)) if one is not None]
    assert {name for one in found for name in one.pseudonyms} == set(own(federation.pns, OTHER, *people))
    assert own(federation.pns, OTHER)[0] in found[0].pseudonyms
    until(lambda: at_rest(federation))


def test_more_persons_than_the_bound_are_counted(federation: Federation, channel: grpc.Channel) -> None:
    """What waits for an answer is bounded, too: the log is not filled by names, nor the memory."""
    people = [b"6%09d" % one for one in range(3 * MAX_PSEUDONYMS)]

    _, call = collect(channel).with_call((asking(one) for one in people), metadata=metadata(), timeout=20)

    (found,) = annexes(federation.pns, request_hash(call))
    assert found is not None
    assert (found.complete, len(found.pseudonyms)) == (False, MAX_PSEUDONYMS)
    assert found.count > MAX_PSEUDONYMS
    until(lambda: at_rest(federation))


# --- what the answer's statement says ---


def test_the_provider_says_what_it_returned(federation: Federation, channel: grpc.Channel) -> None:
    """Records, and the highest class of the fields that stand in the answer."""
    _, call = calling(channel).with_call(asking(), metadata=metadata(), timeout=10)
    (one,) = said(federation.anip, request_hash(call))

    federation.adapter.answer = lambda request, _: answering(PERSON, phone="0190000000")
    _, call = calling(channel).with_call(asking(), metadata=metadata(), timeout=10)
    (other,) = said(federation.anip, request_hash(call))

    assert (one.records, one.sensitivity) == (1, "S1")
    assert (other.records, other.sensitivity) == (1, "S2")


def test_an_answer_that_cannot_be_read_is_not_told(federation: Federation, channel: grpc.Channel) -> None:
    """Rather unknown than wrong."""
    federation.adapter.answer = lambda request, _: b"\xff\xff\xff"

    _, call = calling(channel).with_call(asking(), metadata=metadata(), timeout=10)

    (one,) = said(federation.anip, request_hash(call))
    assert (one.records, one.sensitivity) == (None, None)


# --- the key ---


def without_key(federation: Federation, member: Member, path: Path) -> None:
    """The member's gateway starts again, and this year's key is not there."""
    year = year_of(member.clock.now_ms())
    key_file(member.directory.pseudonym_keys, year).rename(path)
    federation.stop(member)
    federation.start(member)


def with_key(member: Member, path: Path) -> None:
    """The key is put back, as from its copy."""
    path.rename(key_file(member.directory.pseudonym_keys, year_of(member.clock.now_ms())))


def answered(channel: grpc.Channel) -> bool:
    try:
        calling(channel)(asking(), metadata=metadata(), timeout=10, wait_for_ready=True)
    except grpc.RpcError:
        return False
    return True


@pytest.mark.parametrize("side", ["pns", "anip"])
def test_without_its_key_a_gateway_serves_nobody_who_asks_about_persons(
    federation: Federation, side: str, tmp_path: Path
) -> None:
    """Rather than record the call as if it were about nobody; with the key it goes on, without another start."""
    member: Member = getattr(federation, side)
    without_key(federation, member, tmp_path / "key")

    def reason() -> str:
        with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
            calling(channel)(asking(), metadata=metadata(), timeout=10, wait_for_ready=True)
        return str(refused(error)[1].reason)

    until(lambda: reason() == "KEY_UNREADABLE")
    assert federation.adapter.calls == []
    assert str(Reason.KEY_UNREADABLE) in worker_of(member).report().faults
    with_key(member, tmp_path / "key")
    with federation.channel() as channel:
        until(lambda: answered(channel))
    assert str(Reason.KEY_UNREADABLE) not in worker_of(member).report().faults


def test_a_call_about_nobody_needs_no_key(federation: Federation, tmp_path: Path) -> None:
    """A method whose descriptors mark no data subject is served."""
    marks = federation.marks
    federation.marks = type(marks)(
        [one for one in marks.methods if one.method.endswith("VerifyPerson")], marks.plans
    )
    without_key(federation, federation.anip, tmp_path / "key")
    try:
        federation.publish()
        with federation.channel() as channel:
            until(lambda: answered(channel))
        (last,) = [one.annex for one in noted(federation.anip.directory.place(0))][-1:]
        assert last is None
    finally:
        with_key(federation.anip, tmp_path / "key")
        federation.marks = marks
        federation.publish()
        with federation.channel() as channel:
            until(lambda: answered(channel))


def test_a_stream_ends_by_name_when_the_year_has_no_key(federation: Federation, tmp_path: Path) -> None:
    """On 1 January, if nobody made one: what follows could not be noted."""
    going_on = threading.Event()

    def trickle(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        yield answering()
        going_on.wait(20)

    federation.adapter.converse = trickle
    pseudonyms = worker_of(federation.anip).station.pseudonyms
    try:
        with federation.channel() as channel:
            call = watch(channel)(asking(), metadata=metadata(), timeout=20)
            next(call)
            year = year_of(federation.anip.clock.now_ms())
            key_file(federation.anip.directory.pseudonym_keys, year).rename(tmp_path / "key")
            pseudonyms._in_use_ms = range(0)  # as if the year had just begun
            with pytest.raises(grpc.RpcError) as error:
                list(call)
    finally:
        going_on.set()
        with_key(federation.anip, tmp_path / "key")
        with federation.channel() as channel:
            until(lambda: answered(channel))

    assert refused(error)[1].reason == "KEY_UNREADABLE"
    until(lambda: at_rest(federation))


# --- what has no number ---


def test_after_a_restart_annexes_stand_and_logs_are_good(federation: Federation) -> None:
    """A crash takes the annex with its record, or neither."""
    with federation.channel() as channel:
        calling(channel)(asking(), metadata=metadata(), timeout=10)
    before = [
        len([one for one in noted(m.directory.place(0)) if one.annex])
        for m in (federation.pns, federation.anip)
    ]

    for member in (federation.pns, federation.anip):
        federation.stop(member)
        federation.start(member)
    with federation.channel() as channel:
        until(lambda: answered(channel))

    after = [
        len([one for one in noted(m.directory.place(0)) if one.annex])
        for m in (federation.pns, federation.anip)
    ]
    assert all(then > one for one, then in zip(before, after, strict=True))
    for member in (federation.pns, federation.anip):
        reports = verify_logs(member.directory.root, anchor=None, certificates=(), crls=(), heads=())
        assert all(map(is_good, reports)), reports


def test_no_personal_number_stands_in_any_file(federation: Federation) -> None:
    """Leaves, statements, annexes, index, configuration, keys: nothing but encrypted bodies has it."""
    with federation.channel() as channel:
        calling(channel)(asking(OTHER), metadata=metadata(), timeout=10)
    scanned = 0
    for member in (federation.pns, federation.anip):
        reader = LogReader(member.directory.log(0))
        index = ExchangeIndex(member.directory.index)
        index.add(member.log, list(reader.follow()))
        index.close()
        for path in member.directory.root.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                scanned += 1
                assert not [one for one in (PERSON, OTHER) if one in data], path
    for label, body in (*leaves(federation.pns), *leaves(federation.anip)):
        assert PERSON not in body
        assert label != HEARD or b'"pseudonyms"' not in body
    assert scanned > 20


def test_no_pseudonym_leaves_its_member(federation: Federation) -> None:
    """Neither in a statement nor in a receipt: what the other member holds has none of ours."""
    with federation.channel() as channel:
        calling(channel)(asking(), metadata=metadata(), timeout=10)
    ours, theirs = own(federation.pns, PERSON)[0].encode(), own(federation.anip, PERSON)[0].encode()

    for member, foreign in ((federation.pns, theirs), (federation.anip, ours)):
        for path in member.directory.root.rglob("*"):
            assert not path.is_file() or foreign not in path.read_bytes(), path

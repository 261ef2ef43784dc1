"""Field masks: what an adapter answers past the agreement does not leave its gateway, and both logs say so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import grpc
import msgspec
import pytest
from click.testing import CliRunner, Result

from audit.commands import audit
from bj.identity.v1.identity_pb2 import GetPersonResponse, Residence
from core.agreements import Agreement
from core.documents import digest, encode
from core.leaves import SAID, parse_leaf
from core.masks import is_cut_of, mask_digest
from core.merkle import leaf_hash
from core.statements import Cut, Statement, parse_statement
from gateway.settings import Limits
from ledger.reader import LogReader, StoredLeaf
from ledger.records import AttachmentKind
from tests.support.calls import judge, refused, request_hash
from tests.support.federation import SERVICE, Federation, Member, calling, metadata
from tests.support.streams import converse, watch

MASK: Final = {
    "GetPerson": ["last_name", "residence.town"],
    "WatchPersons": ["npi", "residence"],
    "Converse": ["last_name"],
}
PERSON: Final = GetPersonResponse(
    npi="0000000001",
    last_name="Adjovi",
    first_names="Koffi",
    residence=Residence(town="Cotonou", address="C/1204"),
    record_version=7,
).SerializeToString()
NEWER: Final = b"\xba\x3e\x03new"  # field 999 of a later version


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("masks"), limits=Limits(message_bytes=64 * 1024)) as found:
        found.agreements = [found.agreement(field_mask=MASK)]
        found.publish()
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: request
    federation.adapter.converse = lambda requests, _: requests
    federation.adapter.calls.clear()


@pytest.fixture
def channel(federation: Federation) -> Iterator[grpc.Channel]:
    with federation.channel() as found:
        yield found


def answers(member: Member, request: str) -> list[tuple[Statement, StoredLeaf]]:
    """What a member's log has of the answer to ``request``: said, or received beside what was heard."""
    found = []
    reader = LogReader(member.directory.log(0))
    reader.read_all()
    for stored in reader:
        leaf = parse_leaf(stored.leaf)
        texts = [leaf.body] if leaf.label == SAID else []
        texts += [data for kind, data in stored.attachments if kind is AttachmentKind.STATEMENT]
        found += [(parse_statement(text), stored) for text in texts]
    return [one for one in found if one[0].kind == "response" and one[0].request == request]


def salts_beside(stored: StoredLeaf) -> bytes:
    return b"".join(data for kind, data in stored.attachments if kind is AttachmentKind.SALTS)


# --- one message ---


def test_a_program_gets_what_was_granted_and_both_logs_say_what_was_cut(
    federation: Federation, channel: grpc.Channel
) -> None:
    """Mask, count, and the digest of the original, whose salt the provider alone has."""
    federation.adapter.answer = lambda request, _: PERSON + NEWER

    answer, call = calling(channel).with_call(b"", metadata=metadata(), timeout=10)

    assert GetPersonResponse.FromString(answer) == GetPersonResponse(
        last_name="Adjovi", residence=Residence(town="Cotonou")
    )
    (said, stored), (heard, beside) = (
        answers(member, request_hash(call))[0] for member in (federation.anip, federation.pns)
    )
    assert said == heard
    assert said.cut is not None
    assert said.cut == Cut(mask_digest(MASK["GetPerson"]), 5, said.cut.original)
    assert said.encoding == "identity"
    assert is_cut_of(said.cut, salts_beside(stored), [(0, PERSON + NEWER)])
    assert not is_cut_of(said.cut, salts_beside(stored), [(0, PERSON)])
    assert salts_beside(beside) == b""
    assert judge(federation, [request_hash(call)]).is_clean


def test_a_mask_that_has_nothing_to_take_is_on_record_too(
    federation: Federation, channel: grpc.Channel
) -> None:
    """Whoever reads the log sees that it was looked at."""
    sent = GetPersonResponse(last_name="Adjovi").SerializeToString()

    answer, call = calling(channel).with_call(sent, metadata=metadata(), timeout=10)

    assert answer == sent
    cut = answers(federation.pns, request_hash(call))[0][0].cut
    assert cut is not None
    assert (cut.mask, cut.count) == (mask_digest(MASK["GetPerson"]), 0)


def test_another_method_of_the_agreement_is_not_touched(
    federation: Federation, channel: grpc.Channel
) -> None:
    """A mask is of a method; what has none passes byte for byte, message or not."""
    answer, call = calling(channel, f"/{SERVICE}/VerifyPerson").with_call(
        b"\xff no message", metadata=metadata(), timeout=10
    )

    assert answer == b"\xff no message"
    said, stored = answers(federation.anip, request_hash(call))[0]
    assert said.cut is None
    assert salts_beside(stored) == b""


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_compressed_answer_is_decompressed_to_be_cut(
    federation: Federation, channel: grpc.Channel, compression: grpc.Compression
) -> None:
    """It travels uncompressed; the original is what the adapter sent, compressed."""
    long = GetPersonResponse(last_name="A" * 5000, first_names="B" * 5000).SerializeToString()

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(compression)
        return long

    federation.adapter.answer = answer

    found, call = calling(channel).with_call(b"", metadata=metadata(), timeout=10)

    assert found == GetPersonResponse(last_name="A" * 5000).SerializeToString()
    said, _ = answers(federation.pns, request_hash(call))[0]
    assert said.encoding == "identity"
    assert said.cut is not None
    assert said.cut.count == 1


def test_a_bomb_is_not_unpacked(federation: Federation, channel: grpc.Channel) -> None:
    """No more than the limit of a message comes out of it."""

    def bomb(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        return GetPersonResponse(last_name="A" * 8_000_000).SerializeToString()

    federation.adapter.answer = bomb

    with pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=20)

    assert refused(error)[1].reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    "sent", [b"\xff no message", b"\x12\x7f", b"\x0b\x0c"], ids=["tag", "length", "group"]
)
def test_what_is_no_message_does_not_pass(federation: Federation, channel: grpc.Channel, sent: bytes) -> None:
    """What cannot be cut is not sent; it was delivered, the statement says."""
    with pytest.raises(grpc.RpcError) as error:
        calling(channel)(sent, metadata=metadata(), timeout=10)

    info = refused(error)[1]
    assert (info.reason, info.metadata["delivery"]) == ("ADAPTER_PROTOCOL", "delivered")


def test_an_error_of_the_adapter_has_no_message_to_cut(federation: Federation, channel: grpc.Channel) -> None:
    """Its status passes."""

    def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, "inconnu")
        raise AssertionError

    federation.adapter.answer = fail

    with pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    assert isinstance(error.value, grpc.Call)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    (said, _), *_ = answers(federation.pns, request_hash(error.value))
    assert said.cut is None


# --- streams ---


def test_each_message_of_a_stream_is_cut(federation: Federation, channel: grpc.Channel) -> None:
    """The segments say it of all their messages, whose originals can be shown one by one."""
    federation.adapter.converse = lambda requests, _: (PERSON for _ in range(150))

    call: Any = watch(channel)(b"", metadata=metadata(), timeout=20)
    found = list(call)

    assert {GetPersonResponse.FromString(one).last_name for one in found} == {""}
    assert {GetPersonResponse.FromString(one).residence.address for one in found} == {"C/1204"}
    assert len(found) == 150
    segments = answers(federation.anip, request_hash(call))
    assert [one for one, _ in segments] == [one for one, _ in answers(federation.pns, request_hash(call))]
    assert sum(said.cut.count for said, _ in segments if said.cut) == 150 * 3
    for said, stored in segments:
        messages = len(said.payloads) - (said.sequence == 0) - said.final
        assert (said.cut is None) is (messages == 0)
        if said.cut is not None:
            assert is_cut_of(said.cut, salts_beside(stored), [(0, PERSON)] * messages)


def test_a_stream_of_compressed_messages_is_cut(federation: Federation, channel: grpc.Channel) -> None:
    """In both directions open."""

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.set_compression(grpc.Compression.Gzip)
        yield from requests

    federation.adapter.converse = answer

    found = list(converse(channel)(iter([PERSON, b"", PERSON]), metadata=metadata(), timeout=20))

    cut = GetPersonResponse(last_name="Adjovi").SerializeToString()
    assert found == [cut, b"", cut]


def test_a_stream_ends_at_the_first_message_that_cannot_be_cut(
    federation: Federation, channel: grpc.Channel
) -> None:
    """What came before it has arrived."""
    federation.adapter.converse = lambda requests, _: iter([PERSON, b"\xff"])
    call = watch(channel)(b"", metadata=metadata(), timeout=20)

    assert GetPersonResponse.FromString(next(call)).npi == "0000000001"
    with pytest.raises(grpc.RpcError) as error:
        next(call)

    assert refused(error)[1].reason == "ADAPTER_PROTOCOL"


# --- who shows the original ---


def verify_cut(
    member: Member, call: Any, originals: Path, *sent: bytes, options: Sequence[str] = ()
) -> Result:
    """What the command says of ``sent``, written to files below ``originals``."""
    files = [originals / f"{number}.binpb" for number in range(len(sent))]
    for file, data in zip(files, sent, strict=True):
        file.write_bytes(data)
    exchange = dict(call.trailing_metadata())["x-road-exchange-id"]
    arguments = ["verify-cut", exchange, *map(str, files), "--log", str(member.directory.root)]
    return CliRunner().invoke(audit, [*arguments, *options, "--output", "json"])


def test_an_auditor_who_is_shown_the_original_checks_what_was_cut(
    federation: Federation, channel: grpc.Channel, tmp_path: Path
) -> None:
    """By the salts of the provider's log; other messages, more or fewer of them are refused."""
    federation.adapter.converse = lambda requests, _: (PERSON for _ in range(70))
    call: Any = watch(channel)(b"", metadata=metadata(), timeout=20)
    assert len(list(call)) == 70
    other = GetPersonResponse(npi="0000000001").SerializeToString()

    good = verify_cut(federation.anip, call, tmp_path, *[PERSON] * 70)
    wrong = [
        verify_cut(federation.anip, call, tmp_path, *sent)
        for sent in ([*[PERSON] * 69, other], [PERSON] * 69)
    ]

    mask = mask_digest(MASK["WatchPersons"])
    leaves = [
        f"{federation.anip.log} {stored.index} {leaf_hash(stored.leaf).hex()}"
        for said, stored in answers(federation.anip, request_hash(call))
        if said.cut is not None
    ]
    told = {"verdict": "GOOD", "messages": 70, "mask": mask, "fields_cut": 70 * 3, "leaves": leaves}
    told |= {"signatures": "unchecked", "reason": None, "detail": None}
    assert (good.exit_code, json.loads(good.stdout)) == (0, told)
    assert [(one.exit_code, json.loads(one.stdout)["reason"]) for one in wrong] == [(1, "PROOF_INVALID")] * 2


def test_only_the_providers_log_tells_what_an_answer_was_cut_from(
    federation: Federation, channel: grpc.Channel, tmp_path: Path
) -> None:
    """The consumer's has no salt: that is no verdict on the messages. A message is not its compressed form."""
    federation.adapter.answer = lambda request, _: PERSON
    _, call = calling(channel).with_call(b"", metadata=metadata(), timeout=10)

    at_the_consumers = verify_cut(federation.pns, call, tmp_path, PERSON)

    assert at_the_consumers.exit_code == 2
    assert "NOT_FOUND" in at_the_consumers.stderr
    verdicts = [
        verify_cut(federation.anip, call, tmp_path, PERSON, options=options).exit_code
        for options in ([], ["--compressed", "1"])
    ]
    assert verdicts == [0, 1]


# --- agreements that change ---


def amended(federation: Federation, **changes: Any) -> Agreement:
    before = federation.agreements[0]
    return msgspec.structs.replace(before, version=2, supersedes=digest(encode(before)), **changes)


def test_an_open_stream_keeps_the_mask_of_its_version_while_that_counts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each message is cut to the agreement that its stream names; a call that begins gets the new one."""
    with Federation(tmp_path_factory.mktemp("amended")) as other, other.channel() as channel:
        other.agreements = [other.agreement(field_mask=MASK)]
        other.publish()
        other.adapter.converse = lambda requests, _: requests
        requests = _queued(PERSON)
        call = converse(channel)(iter(requests.get, None), metadata=metadata(), timeout=30)
        first = next(call)

        other.agreements = [other.agreements[0], amended(other, field_mask=MASK | {"Converse": ["npi"]})]
        other.states = ["superseded", "active"]
        other.publish()
        requests.put(PERSON)
        second = next(call)
        third = next(converse(channel)(iter([PERSON]), metadata=metadata(), timeout=30))
        call.cancel()

    assert first == second == GetPersonResponse(last_name="Adjovi").SerializeToString()
    assert third == GetPersonResponse(npi="0000000001").SerializeToString()


def test_a_mask_that_can_be_enforced_no_more_ends_an_open_stream(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The service registered descriptors without a field that was granted: nobody knows what its number means now."""
    with Federation(tmp_path_factory.mktemp("descriptors")) as other, other.channel() as channel:
        other.agreements = [other.agreement(field_mask=MASK)]
        other.publish()
        call = converse(channel)(iter(_queued(PERSON).get, None), metadata=metadata(), timeout=30)
        next(call)

        other.descriptors = other.descriptors.replace(b"last_name", b"last_nome")
        other.publish()
        with pytest.raises(grpc.RpcError) as error:
            next(call)

    assert refused(error)[1].reason == "TERM_NOT_SUPPORTED"


def test_an_agreement_with_a_field_that_nobody_knows_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whole: the methods without a mask, too."""
    with Federation(tmp_path_factory.mktemp("unknown")) as other, other.channel() as channel:
        other.agreements = [other.agreement(field_mask={"GetPerson": ["last_name", "surname"]})]
        other.publish()

        for method in ("GetPerson", "VerifyPerson"):
            with pytest.raises(grpc.RpcError) as error:
                calling(channel, f"/{SERVICE}/{method}")(b"", metadata=metadata(), timeout=10)
            assert refused(error)[1].reason == "TERM_NOT_SUPPORTED"

        assert other.adapter.calls == []


def _queued(*requests: bytes) -> SimpleQueue[bytes]:
    """Requests that a test adds to; the stream that takes them stays open."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    for request in requests:
        queue.put(request)
    return queue

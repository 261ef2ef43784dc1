"""Calls through two gateways with stock grpcio at both ends."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from core.agreements import Quota
from core.clock import ManualClock, SystemClock
from core.leaves import HEARD, NOTE, SAID, parse_heard, parse_leaf
from core.reasons import Reason
from core.statements import parse_statement
from gateway.settings import Limits
from gateway.worker.edges import AdapterCall
from gateway.worker.exchange import Parts
from gateway.worker.peerlog import VerifiedEntry
from gateway.worker.recovery import Unfinished
from gateway.worker.road import Road
from gateway.worker.turn import Turn
from ledger.log import SystemDisk
from tests.support.calls import leaves, refused
from tests.support.federation import (
    CLIENT,
    METHOD,
    PROVIDER,
    STRANGER,
    Federation,
    calling,
    issue,
    metadata,
)
from tests.support.waiting import until
from tests.support.worker_country import statement


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(
        tmp_path_factory.mktemp("country"), limits=Limits(message_bytes=4 * 1024 * 1024)
    ) as found:
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> None:
    federation.adapter.answer = lambda request, _: request
    federation.adapter.calls.clear()


def test_answer_comes_back_with_exchange_id_and_request_hash(federation: Federation) -> None:
    with federation.channel() as channel:
        answer, call = calling(channel).with_call(b"hello", metadata=metadata(), timeout=10)

    trailers = dict(call.trailing_metadata())
    assert answer == b"hello"
    assert re.fullmatch(r"[0-9a-f-]{36}", str(trailers["x-road-exchange-id"]))
    assert re.fullmatch(r"[0-9a-f]{64}", str(trailers["x-road-request-hash"]))


def test_exchange_leaves_four_leaves_in_two_logs(federation: Federation) -> None:
    """Consumer said, provider heard; provider said, consumer heard (PROTOCOL M7)."""
    with federation.channel() as channel:
        _, call = calling(channel).with_call(b"four", metadata=metadata(), timeout=10)
    request = str(dict(call.trailing_metadata())["x-road-request-hash"])

    mine, theirs = leaves(federation.pns), leaves(federation.anip)

    answers = [
        parse_statement(body)
        for label, body in theirs
        if label == SAID and parse_statement(body).request == request
    ]
    assert [one.kind for one in answers] == ["response"]
    assert [
        parse_heard(body).verdict for label, body in theirs if label == HEARD and request.encode() in body
    ] == ["taken"]
    response_hashes = [parse_heard(body) for label, body in mine if label == HEARD]
    assert any(one.role == "response" and one.verdict == "taken" for one in response_hashes)


def test_adapter_learns_the_verified_caller_and_nothing_the_program_forged(federation: Federation) -> None:
    forged = [
        ("x-road-exchange-id", "forged"),
        ("x-road-request-hash", "forged"),
        ("x-road-agreement", "forged"),
    ]

    with federation.channel() as channel:
        calling(channel)(b"", metadata=(*metadata(x_road_userid="agent:4711"), *forged), timeout=10)

    told = federation.adapter.calls[0][2]
    assert told["x-road-client"] == CLIENT
    assert told["x-road-service"] == PROVIDER
    assert told["x-road-agreement"] == "CV-0001/1"
    assert told["x-road-userid"] == "agent:4711"
    assert "forged" not in told.values()


def test_custom_metadata_passes_both_ways(federation: Federation) -> None:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("initial", "1"), ("initial-bin", b"\x00\xff")))
        context.set_trailing_metadata((("trailing", "2"), ("trailing-bin", b"\x01")))
        return request

    federation.adapter.answer = answer
    sent = (*metadata(), ("mine", "a"), ("mine-bin", b"\x02\x03"))

    with federation.channel() as channel:
        _, call = calling(channel).with_call(b"", metadata=sent, timeout=10)

    assert federation.adapter.calls[0][2]["mine"] == "a"
    assert federation.adapter.calls[0][2]["mine-bin"] == b"\x02\x03"
    assert dict(call.initial_metadata())["initial-bin"] == b"\x00\xff"
    assert dict(call.trailing_metadata())["trailing"] == "2"
    assert dict(call.trailing_metadata())["trailing-bin"] == b"\x01"


def test_status_and_details_of_the_adapter_reach_the_program_untouched(federation: Federation) -> None:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x0a\x00opaque"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "NOT_FOUND: inconnu, 100 % sûr")
        return b""

    federation.adapter.answer = answer

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    call = error.value
    assert isinstance(call, grpc.Call)
    assert call.code() is grpc.StatusCode.NOT_FOUND
    assert call.details() == "NOT_FOUND: inconnu, 100 % sûr"
    assert dict(call.trailing_metadata())["grpc-status-details-bin"] == b"\x0a\x00opaque"


@pytest.mark.parametrize("size", [0, 1, 65_536, 262_144, 262_145, 1_000_000, 4_000_000])
def test_message_of_any_permitted_size_passes(federation: Federation, size: int) -> None:
    message = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    with federation.channel() as channel:
        assert calling(channel)(message, metadata=metadata(), timeout=20) == message


def test_message_above_the_limit_is_refused_by_name(federation: Federation) -> None:
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"x" * (4 * 1024 * 1024 + 1), metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert federation.adapter.calls == []


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"x_road_purpose": None}, grpc.StatusCode.INVALID_ARGUMENT, Reason.PURPOSE_REQUIRED),
        ({"x_road_purpose": "P08"}, grpc.StatusCode.PERMISSION_DENIED, Reason.PURPOSE_NOT_ALLOWED),
        ({"x_road_purpose": "p 1"}, grpc.StatusCode.INVALID_ARGUMENT, Reason.METADATA_INVALID),
        ({"x_road_issue": None}, grpc.StatusCode.INVALID_ARGUMENT, Reason.ISSUE_REQUIRED),
        (
            {"x_road_issue": "0000000001"},
            grpc.StatusCode.INVALID_ARGUMENT,
            Reason.PERSONAL_NUMBER_IN_METADATA,
        ),
        (
            {"x_road_userid": "npi:0000000001"},
            grpc.StatusCode.INVALID_ARGUMENT,
            Reason.PERSONAL_NUMBER_IN_METADATA,
        ),
        ({"x_road_client": None}, grpc.StatusCode.INVALID_ARGUMENT, Reason.METADATA_INVALID),
        ({"x_road_client": "BJ/GOV/../PORTAIL"}, grpc.StatusCode.INVALID_ARGUMENT, Reason.METADATA_INVALID),
        ({"x_road_client": STRANGER}, grpc.StatusCode.PERMISSION_DENIED, Reason.CLIENT_NOT_YOURS),
        ({"x_road_client": PROVIDER}, grpc.StatusCode.PERMISSION_DENIED, Reason.CLIENT_NOT_YOURS),
        ({"x_road_service": "BJ/GOV/ANIP/AUTRE"}, grpc.StatusCode.PERMISSION_DENIED, Reason.NO_AGREEMENT),
        (
            {"x_road_represented_party": "BJ/GOV/MTFP"},
            grpc.StatusCode.PERMISSION_DENIED,
            Reason.REPRESENTATION_NOT_ALLOWED,
        ),
    ],
)
def test_call_that_the_agreement_does_not_cover_is_refused_and_logged(
    federation: Federation, changes: dict[str, str | None], code: grpc.StatusCode, reason: Reason
) -> None:
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(**changes), timeout=10)

    found, info = refused(error)
    assert (found, info.reason, info.domain) == (code, str(reason), "passerelle")
    assert info.metadata["delivery"] == "not_sent"
    assert federation.adapter.calls == []
    said = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    logged = next(one for one in said if one.exchange == info.metadata["exchange_id"])
    assert (logged.kind, logged.reason, logged.to) == ("refusal", str(reason), None)
    assert b"0000000001" not in b"".join(body for _, body in leaves(federation.pns))


@pytest.mark.parametrize(
    "method", ["/bj.identity.v1.IdentityService/Unused", "/no.Such/Method", "/nonsense", "//"]
)
def test_unknown_method_looks_like_a_missing_agreement(federation: Federation, method: str) -> None:
    """What exists is nobody's business."""
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel, method)(b"", metadata=metadata(), timeout=10)

    assert refused(error)[1].reason == "NO_AGREEMENT"


def test_program_of_another_subsystem_without_agreement_is_refused(federation: Federation) -> None:
    with federation.channel(federation.stats) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(x_road_client=STRANGER), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NO_AGREEMENT")


def test_unpinned_program_is_counted_and_not_logged(federation: Federation) -> None:
    before = len(leaves(federation.pns))
    stranger = issue("stranger", federation.pns.programs)

    with federation.channel(stranger) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "PROGRAM_UNKNOWN")
    assert len(leaves(federation.pns)) == before


def test_refusal_speaks_french_and_english(federation: Federation) -> None:
    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(x_road_purpose=None), timeout=10)

    call = error.value
    assert isinstance(call, grpc.Call)
    details = status_pb2.Status.FromString(dict(call.trailing_metadata())["grpc-status-details-bin"]).details
    texts = {}
    for one in details:
        localized = error_details_pb2.LocalizedMessage()
        if one.Unpack(localized):
            texts[localized.locale] = localized.message
    assert set(texts) == {"fr", "en"}
    assert "finalité" in texts["fr"]


def test_many_calls_at_once_each_get_their_own_answer(federation: Federation) -> None:
    with federation.channel() as channel:
        call = calling(channel)
        waiting = [call.future(b"%d" % number, metadata=metadata(), timeout=30) for number in range(500)]

        assert [one.result() for one in waiting] == [b"%d" % number for number in range(500)]


def test_deadline_of_the_program_reaches_the_adapter(federation: Federation) -> None:
    left: list[float] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        left.append(context.time_remaining() or 0)
        return request

    federation.adapter.answer = answer

    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=7)

    assert 0 < left[0] < 7


def test_deadline_ends_the_call_and_the_adapter_is_told(federation: Federation) -> None:
    told = futures.Future[bool]()

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(lambda: told.set_result(True))
        told.result(10)
        return request

    federation.adapter.answer = answer

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=0.4)

    call = error.value
    assert isinstance(call, grpc.Call)
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert told.result(10)


def test_cancellation_reaches_the_adapter_and_the_record(federation: Federation) -> None:
    called, told = futures.Future[bool](), futures.Future[bool]()

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.add_callback(lambda: told.set_result(True))
        called.set_result(True)
        told.result(10)
        return request

    federation.adapter.answer = answer

    with federation.channel() as channel:
        call = calling(channel).future(b"", metadata=metadata())
        called.result(10)
        call.cancel()
        assert told.result(10)

    def kinds() -> set[str]:
        return {parse_statement(body).kind for label, body in leaves(federation.pns) if label == SAID}

    until(lambda: "cancel" in kinds())
    worker = federation.pns.worker
    assert worker is not None
    until(lambda: not worker.station.pipeline.consumer.doubts)  # the provider's late refusal settled it


@pytest.mark.parametrize("count", [0, 2, 3, 40])
def test_other_than_one_request_message_is_no_unary_call(federation: Federation, count: int) -> None:
    """Whatever the stub makes of the method: the reason names the kind, not the metadata or a size."""
    with federation.channel() as channel:
        several: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD, None, None)
        with pytest.raises(grpc.RpcError) as error:
            several(iter([b"x"] * count), metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "CALL_KIND_NOT_SUPPORTED")
    assert federation.adapter.calls == []


def test_adapter_down_is_told_as_not_sent(
    federation: Federation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Federation(tmp_path_factory.mktemp("down")) as other:
        other.adapter.stop()

        with other.channel() as channel, pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "ADAPTER_DOWN")
    assert (info.metadata["delivery"], info.metadata["side"]) == ("not_sent", "adapter")


def test_ok_without_a_message_is_the_adapters_fault(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passed on, a stock client would tell it as INTERNAL (invariant 5)."""
    worker = federation.anip.worker
    assert worker is not None
    edge = worker._adapters.edges[PROVIDER]
    loop = federation._loop

    def answer_nothing(*arguments: Any) -> AdapterCall:
        loop.call_soon(arguments[-1].on_end, 0, (), None)
        return AdapterCall(edge, (), arguments[-1], 0)

    monkeypatch.setattr(edge, "open", answer_nothing)

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "ADAPTER_PROTOCOL")
    assert info.metadata["delivery"] == "delivered"


def test_a_second_message_to_a_method_that_returns_one_is_the_adapters_fault(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is not passed on as if it were the answer; nothing more of it is gathered."""

    def stream(details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request] * 100))

    monkeypatch.setattr(federation.adapter, "service", stream)

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "ADAPTER_PROTOCOL")
    assert info.metadata["delivery"] == "delivered"


def test_revoked_agreement_stops_the_next_call(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Federation(tmp_path_factory.mktemp("revoked")) as other, other.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=10)
        other.states = ["revoked"]
        other.publish()

        with pytest.raises(grpc.RpcError) as error:
            call(b"", metadata=metadata(), timeout=10)

    assert refused(error)[1].reason == "NO_AGREEMENT"


def test_provider_decides_by_its_own_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A consumer's gateway that still holds a revoked agreement does not get past the provider."""
    with Federation(tmp_path_factory.mktemp("own")) as other, other.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=10)
        kept, other.pns.worker = other.pns.worker, None
        other.states = ["revoked"]
        other.publish()
        other.pns.worker = kept
        other.adapter.calls.clear()

        with pytest.raises(grpc.RpcError) as error:
            call(b"", metadata=metadata(), timeout=10)

        code, info = refused(error)
        assert (code, info.reason, info.metadata["side"]) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "NO_AGREEMENT",
            "provider",
        )
        assert other.adapter.calls == []


def test_agreement_with_a_term_that_cannot_be_enforced_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Federation(tmp_path_factory.mktemp("terms")) as other, other.channel() as channel:
        other.agreements = [other.agreement(quota=Quota(10, 60))]
        other.publish()

        with pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=metadata(), timeout=10)

    assert refused(error)[1].reason == "TERM_NOT_SUPPORTED"


def test_provider_gateway_away_is_told_as_unreachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Federation(tmp_path_factory.mktemp("away"), limits=Limits(peer_wait_ms=500)) as other:
        other.stop(other.anip)

        with other.channel() as channel, pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=metadata(), timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "PEER_UNREACHABLE")
    assert info.metadata["retry"] == "safe"


def test_calls_go_on_after_either_gateway_restarted(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Federation(tmp_path_factory.mktemp("restart")) as other:
        for member in (other.anip, other.pns, other.anip):
            with other.channel() as channel:
                assert calling(channel)(b"x", metadata=metadata(), timeout=10, wait_for_ready=True) == b"x"
            other.stop(member)
            other.start(member)
        with other.channel() as channel:
            assert calling(channel)(b"y", metadata=metadata(), timeout=10, wait_for_ready=True) == b"y"


def test_restored_older_log_is_noticed_and_signs_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A snapshot put back would fork the log; the peer's Hello shows a head that it cannot extend (M5)."""
    with Federation(tmp_path_factory.mktemp("older")) as other:
        with other.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10)
        other.stop(other.pns)
        log, kept = other.pns.directory.log(0), other.pns.directory.root / "kept"
        shutil.copytree(log, kept)
        other.start(other.pns)
        with other.channel() as channel:
            calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)
        other.stop(other.pns)
        shutil.rmtree(log)
        shutil.copytree(kept, log)
        other.pns.directory.head(
            0
        ).unlink()  # the whole disk was put back, with what remembers the newest head
        other.start(other.pns)

        with other.channel() as channel, pytest.raises(grpc.RpcError) as error:
            calling(channel)(b"", metadata=metadata(), timeout=10, wait_for_ready=True)

        worker = other.pns.worker
        assert worker is not None
        assert refused(error)[1].reason == "LOG_BEHIND_PEERS"
        assert worker.station.state == "LOG_BEHIND_PEERS"


def test_disk_that_refuses_ends_every_call_and_the_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Invariant 4: after one failed sync nothing is acknowledged from this log again."""
    with Federation(tmp_path_factory.mktemp("disk")) as other, other.channel() as channel:
        call = calling(channel)
        call(b"", metadata=metadata(), timeout=10)
        worker = other.pns.worker
        assert worker is not None
        worker._commit.log.disk = _BrokenDisk()
        other.adapter.calls.clear()

        with pytest.raises(grpc.RpcError) as error:
            call(b"", metadata=metadata(), timeout=10)

        assert refused(error)[1].reason == "RECORDING_FAILED"
        assert other.adapter.calls == []
        until(worker._stopped.is_set)
        assert worker._exit_code == 1


class _BrokenDisk(SystemDisk):
    """A disk that refuses every sync."""

    def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]  # refuses
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_log_that_was_quiet_opens_a_road(tmp_path: Path) -> None:
    """Nothing was written for longer than a peer believes a head: Hello shows one that is signed anew."""
    with Federation(tmp_path) as quiet:
        for member in (quiet.pns, quiet.anip):
            assert member.worker is not None
            heads, now = member.worker.station.heads, SystemClock()
            earlier = ManualClock(now.now_ms() - 120_000)
            heads._clock, heads.size, heads._iat = earlier, 0, 0
            quiet.do(_do(member.worker.station._sign))
            heads._clock = now

        with quiet.channel() as channel:
            assert calling(channel)(b"after a while", metadata=metadata(), timeout=10) == b"after a while"


async def _do(function: Callable[[], object]) -> None:
    function()


def test_calls_that_waited_in_vain_are_let_go(tmp_path: Path) -> None:
    """A peer that stays away does not let calls heap up that programs gave up long ago."""
    with Federation(tmp_path) as country:
        country.stop(country.anip)
        worker = country.pns.worker
        assert worker is not None

        with country.channel() as channel:
            for _ in range(3):
                with pytest.raises(grpc.RpcError):
                    calling(channel)(b"", metadata=metadata(), timeout=0.2)

        until(lambda: not worker.station.pipeline.consumer._waiting and not worker.station.pipeline.in_flight)


def test_an_ended_call_is_not_held_until_its_deadline(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its program would have waited."""
    monkeypatch.setattr("gateway.worker.consumer.MAX_CLOSED_DEADLINES", 3)
    worker = federation.pns.worker
    assert worker is not None

    with federation.channel() as channel:
        for _ in range(8):
            calling(channel)(b"", metadata=metadata(), timeout=600)

    until(lambda: len(worker.station.pipeline.consumer._deadlines) <= 3)


def test_a_program_gone_before_its_answer_is_released_leaves_no_further_leaf(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is ``taken``; a cancellation after that is nobody's business (PROTOCOL, "The road")."""
    worker = federation.pns.worker
    assert worker is not None
    consumer = worker.station.pipeline.consumer
    hear = consumer.hear_responses

    def gone(turn: Turn, road: Road, entries: list[VerifiedEntry]) -> None:
        (call,) = consumer._calls
        hear(turn, road, entries)
        consumer.on_cancel(call)

    monkeypatch.setattr(consumer, "hear_responses", gone)
    with federation.channel() as channel, pytest.raises(grpc.RpcError):
        calling(channel)(b"gone", metadata=metadata(x_road_id="gone-1"), timeout=1)

    until(lambda: not consumer.in_flight)
    said = [parse_statement(body) for label, body in leaves(federation.pns) if label == SAID]
    assert [one.kind for one in said if one.reference == "gone-1"] == ["request"]


def test_a_peer_that_sends_receipts_only_costs_a_note_now_and_then(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they prove becomes durable beside one note; neither our memory nor our log grows with time."""
    monkeypatch.setattr("gateway.worker.station.MAX_KEPT_RECORDS", 0)
    worker = federation.anip.worker
    assert worker is not None

    def notes() -> list[bytes]:
        return [body for label, body in leaves(federation.anip) if label == NOTE and b"receipts-kept" in body]

    def has_ended() -> bool:
        before = len(notes())
        time.sleep(0.5)
        return len(notes()) == before

    with federation.channel() as channel:
        calling(channel)(b"", metadata=metadata(), timeout=10)
        until(lambda: len(notes()) > 0)
        # A receipt that waited too long is sent again, and noted again; nothing is noted for a note.
        until(has_ended)

    assert [road.records for road in worker.station.roads.roads.values()] == [[]]


def test_a_stopped_log_ends_the_road_instead_of_gathering_frames(tmp_path: Path) -> None:
    """A consumer is told long before its deadline, and nothing heaps up: the road ends, whatever came over it."""
    with Federation(tmp_path) as country:
        worker = country.anip.worker
        assert worker is not None
        with country.channel() as channel:
            calling(channel)(b"before", metadata=metadata(), timeout=10)
            country.do(
                _do(lambda: worker.station._stop("FORKED", "BJ/GOV/ANIP/gw2", worker.station.heads.newest))
            )

            with pytest.raises(grpc.RpcError) as error:
                calling(channel)(b"after", metadata=metadata(), timeout=30)

        # Which of the two, depends on whether the request had left when the road ended.
        assert refused(error)[1].reason in ("PEER_LOST", "PEER_UNREACHABLE")
        assert not worker.station.pipeline._arrived


def test_a_worker_whose_ticks_fail_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ticks no deadline would end a call; a restart reads what the disk really holds."""

    def full() -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with Federation(tmp_path) as country:
        worker = country.pns.worker
        assert worker is not None
        monkeypatch.setattr(worker._vault, "prepare", full)

        until(worker._stopped.is_set)

        assert worker._exit_code == 1
        assert worker.station.state == "closed"


@pytest.mark.parametrize(
    ("sender", "reason"),
    [("pns", "LIMIT_EXCEEDED"), ("anip", "RESPONSE_INVALID")],
    ids=["request", "response"],
)
def test_metadata_that_no_edge_would_have_read_is_refused(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, sender: str, reason: str
) -> None:
    """A hostile peer's metadata must not break the connection that others' calls share."""
    worker = getattr(federation, sender).worker
    write = Parts.salted
    large = tuple((b"k%d" % number, b"x" * 1000) for number in range(1000))
    monkeypatch.setattr(
        Parts,
        "salted",
        lambda parts, initial, messages, trailing=None: write(
            parts,
            initial + large if parts.terms.log == worker.station.log_id else initial,
            messages,
            trailing,
        ),
    )

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    assert refused(error)[1].reason == reason
    assert len(federation.adapter.calls) == (1 if sender == "anip" else 0)


def test_a_full_queue_before_the_adapter_has_delivered_nothing(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement must not claim that the adapter has it."""
    worker = federation.anip.worker
    assert worker is not None
    edge = worker._adapters.edges[PROVIDER]
    monkeypatch.setattr(edge, "_place", lambda call: False)
    monkeypatch.setattr(edge, "limits", replace(edge.limits, max_waiting=0))

    with federation.channel() as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"", metadata=metadata(), timeout=10)

    info = refused(error)[1]
    assert (info.reason, info.metadata["delivery"]) == ("LIMIT_EXCEEDED", "not_sent")
    assert federation.adapter.calls == []


def test_what_a_peer_asked_that_is_gone_is_answered_in_the_log(federation: Federation) -> None:
    """After a restart every ``taken`` gets its answer (PROTOCOL M5), also one that nobody is there to hear."""
    worker = federation.anip.worker
    assert worker is not None
    turn = Turn(worker.station._leaves, 0, 0)
    left = Unfinished("taken", statement(from_="e" * 64), b"l" * 32, 7)

    worker.station.pipeline.take_up(left, turn)

    (planned,) = turn.in_order()
    said = parse_statement(parse_leaf(planned.leaf).body)
    assert (said.kind, said.reason, said.delivery) == ("refusal", "INTERRUPTED", "unknown")
    assert (said.to, said.request, turn.by_road) == ("e" * 64, (b"l" * 32).hex(), {})

"""A servicer of any kind stays an ordinary grpcio one; what stands around it does the rest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from adapters.context import current_caller
from adapters.server import make_server, start
from bj.identity.v1 import identity_pb2 as pb
from core.clock import SystemClock
from tests.support.adapter_country import AdapterCountry, metadata

Request = pb.GetPersonRequest
GOOD = Request(npi="0000000001")
BAD = Request(npi="1")


def answer(text: str) -> pb.GetPersonResponse:
    """An answer that shows who called."""
    return pb.GetPersonResponse(npi=text, last_name=str(current_caller().client))


class Servicer:
    """One method of each kind, and some that end badly, as a developer would write them."""

    def one(self, request: Request, context: grpc.ServicerContext) -> pb.GetPersonResponse:
        return answer(request.npi)

    def many(self, request: Request, context: grpc.ServicerContext) -> Iterator[pb.GetPersonResponse]:
        for number in range(3):
            yield answer(str(number))

    def collect(self, requests: Iterable[Request], context: grpc.ServicerContext) -> pb.GetPersonResponse:
        return answer("+".join(request.npi for request in requests))

    def talk(
        self, requests: Iterable[Request], context: grpc.ServicerContext
    ) -> Iterator[pb.GetPersonResponse]:
        for request in requests:
            yield answer(request.npi)

    def abort(self, request: Request, context: grpc.ServicerContext) -> pb.GetPersonResponse:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back tomorrow")

    def fail_late(self, request: Request, context: grpc.ServicerContext) -> Iterator[pb.GetPersonResponse]:
        yield answer("first")
        raise RuntimeError("0000000001 broke it")


def handlers(servicer: Servicer) -> grpc.GenericRpcHandler:
    """What generated code would register."""
    kinds: dict[str, Any] = {
        "one": grpc.unary_unary_rpc_method_handler,
        "many": grpc.unary_stream_rpc_method_handler,
        "collect": grpc.stream_unary_rpc_method_handler,
        "talk": grpc.stream_stream_rpc_method_handler,
        "abort": grpc.unary_unary_rpc_method_handler,
        "fail_late": grpc.unary_stream_rpc_method_handler,
    }
    return grpc.method_handlers_generic_handler(
        "bj.test.v1.Plain",
        {
            name: make(
                getattr(servicer, name),
                request_deserializer=Request.FromString,
                response_serializer=pb.GetPersonResponse.SerializeToString,
            )
            for name, make in kinds.items()
        },
    )


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """A gateway's connection to an adapter that serves ``Servicer``."""
    directory: Path = tmp_path_factory.mktemp("plain")
    country = AdapterCountry(directory)
    server = make_server(country.settings, SystemClock())
    server.grpc.add_generic_rpc_handlers((handlers(Servicer()),))
    port = start(server, country.settings, ())
    with country.channel(port, country.identity()) as channel:
        yield channel
    server.stop(0)


def call(channel: grpc.Channel, kind: str, name: str, request: Any) -> Any:
    """Make one call of one kind."""
    method = getattr(channel, kind)(
        f"/bj.test.v1.Plain/{name}",
        request_serializer=Request.SerializeToString,
        response_deserializer=pb.GetPersonResponse.FromString,
    )
    return method(request, metadata=metadata(), timeout=10)


def test_all_four_kinds_see_their_caller(channel: grpc.Channel) -> None:
    """The context stands while the call is served, for streams from the first message to the last."""
    one = call(channel, "unary_unary", "one", GOOD)
    many = list(call(channel, "unary_stream", "many", GOOD))
    collected = call(channel, "stream_unary", "collect", iter([GOOD, GOOD]))
    talked = list(call(channel, "stream_stream", "talk", iter([GOOD, GOOD])))

    assert {answer.last_name for answer in (one, *many, collected, *talked)} == {"BJ/GOV/PNS/PORTAIL"}
    assert collected.npi == "0000000001+0000000001"
    assert (len(many), len(talked)) == (3, 2)


@pytest.mark.parametrize(("kind", "name"), [("stream_unary", "collect"), ("stream_stream", "talk")])
def test_each_message_of_a_stream_is_checked(channel: grpc.Channel, kind: str, name: str) -> None:
    """A malformed message ends the stream by name of its field, whenever it comes."""
    with pytest.raises(grpc.RpcError) as failed:
        list(call(channel, kind, name, iter([GOOD, BAD])))

    error: Any = failed.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("FORMAT_INVALID")


def test_a_servicer_may_end_its_call_itself(channel: grpc.Channel) -> None:
    """grpcio's own way of refusing passes untouched and is no fault to be logged."""
    with capture_logs() as events, pytest.raises(grpc.RpcError) as failed:
        call(channel, "unary_unary", "abort", GOOD)

    error: Any = failed.value
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "come back tomorrow")
    assert events == []


def test_a_stream_that_breaks_tells_no_text(channel: grpc.Channel) -> None:
    """What was sent was sent; then INTERNAL, and the number in the error's text stays where it was."""
    with capture_logs() as events:
        stream = call(channel, "unary_stream", "fail_late", GOOD)
        first = next(stream)
        with pytest.raises(grpc.RpcError) as failed:
            next(stream)

    error: Any = failed.value
    assert first.npi == "first"
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "0000000001" not in error.details()
    assert [(event["event"], event["error"]) for event in events] == [("call_failed", "RuntimeError")]


def test_a_caller_that_leaves_is_nobodys_fault(channel: grpc.Channel) -> None:
    """Cancelling a stream in the middle ends it without an event."""

    def endless() -> Iterator[Request]:
        while True:
            yield GOOD

    with capture_logs() as events:
        stream = call(channel, "stream_stream", "talk", endless())
        assert next(iter(stream)).npi == GOOD.npi
        stream.cancel()
        assert call(channel, "unary_unary", "one", GOOD).npi == GOOD.npi

    assert events == []

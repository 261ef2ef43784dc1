"""A program calls through a gateway's two ports: any kind of method, from descriptors alone."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from cli.dynamic import DynamicMethod, find_method
from cli.program import CallContext, Program
from core.documents import digest
from core.identifiers import MethodName
from core.reasons import Code, ExchangeError, Reason
from gateway.founding import InitResult
from gateway.hints import ProgramHints
from rpc.credentials import server_credentials
from rpc.identity import Identity
from rpc.remote import RemoteError
from rpc.richerrors import describe
from tests.integration.gateway_control.conftest import PORTAL, Country

SERVICE = "bj.echo.v1.EchoService"
EXCHANGE = "0192f1a0-0000-7000-8000-000000000001"


def echo_descriptors() -> bytes:
    """A service with one method of each kind, as a registry would publish it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="bj/echo/v1/echo.proto", package="bj.echo.v1", syntax="proto3"
    )
    message = file.message_type.add(name="Words")
    message.field.add(
        name="last_word",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        json_name="lastWord",
    )
    service = file.service.add(name="EchoService")
    for name, client, server in (
        ("One", False, False),
        ("Many", False, True),
        ("Gather", True, False),
        ("Chat", True, True),
    ):
        service.method.add(
            name=name,
            input_type=".bj.echo.v1.Words",
            output_type=".bj.echo.v1.Words",
            client_streaming=client,
            server_streaming=server,
        )
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def method(name: str) -> DynamicMethod:
    return find_method(MethodName.parse(f"{SERVICE}/{name}"), echo_descriptors())


class Door(grpc.GenericRpcHandler):
    """Stands in for the programs' port: echoes bytes, and refuses who names no purpose, as a gateway does."""

    def __init__(self) -> None:
        self.metadata: dict[str, str | bytes] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        kinds: dict[str, Callable[[], grpc.RpcMethodHandler[Any, Any]]] = {
            "One": lambda: grpc.unary_unary_rpc_method_handler(self._one),
            "Many": lambda: grpc.unary_stream_rpc_method_handler(self._many),
            "Gather": lambda: grpc.stream_unary_rpc_method_handler(self._gather),
            "Chat": lambda: grpc.stream_stream_rpc_method_handler(self._chat),
        }
        return kinds[details.method.rpartition("/")[2]]()

    def _begin(self, context: grpc.ServicerContext) -> None:
        self.metadata = dict(context.invocation_metadata())
        if "x-road-purpose" not in self.metadata:
            text, details = describe(
                Reason.PURPOSE_REQUIRED,
                language="fr",
                exchange_id=EXCHANGE,
                delivery="not_sent",
                side="consumer",
            )
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        context.set_trailing_metadata(
            (("x-road-exchange-id", EXCHANGE), ("x-road-request-hash", digest(b"request")))
        )

    def _one(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._begin(context)
        return request

    def _many(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._begin(context)
        yield from (request, request)

    def _gather(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._begin(context)
        return list(requests)[-1]

    def _chat(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Echoes until it is given nothing to say: there it breaks, as where a road is lost."""
        self._begin(context)
        for request in requests:
            if not request:
                text, details = describe(
                    Reason.PEER_LOST, language="fr", exchange_id=EXCHANGE, delivery="unknown", side="consumer"
                )
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(grpc.StatusCode.UNAVAILABLE, text)
            yield request


@pytest.fixture
def made(country: Country) -> InitResult:
    return country.found(country.pns)


@pytest.fixture
def door(made: InitResult) -> Iterator[tuple[Door, int]]:
    files = made.directory.programs_server
    credentials = server_credentials(
        files.key.read_bytes(),
        files.certificate.read_bytes(),
        made.directory.programs.certificate.read_bytes(),
    )
    handler = Door()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield handler, port
    server.stop(None).wait()


@pytest.fixture
def program(country: Country, made: InitResult, door: tuple[Door, int]) -> Program:
    hints = ProgramHints(
        subsystem=str(PORTAL.subsystem),
        gateway_id=made.settings.gateway,
        gateway=f"127.0.0.1:{door[1]}",
        directory="127.0.0.1:1",
    )
    return Program(Identity.read(country.root / "portal"), hints)


CONTEXT = CallContext(client="BJ/GOV/PNS/PORTAIL", purpose="P01", issue="ACT-202611-0001", user="agent-7")


@pytest.mark.parametrize(("name", "responses"), [("One", 1), ("Many", 2), ("Gather", 1), ("Chat", 2)])
def test_every_kind_of_method_can_be_called(name: str, responses: int, program: Program) -> None:
    """As its true kind, with JSON in and JSON out."""
    called = method(name)
    requests = [called.parse_request('{"lastWord":"été"}')] * (2 if called.client_streaming else 1)

    came: list[str] = []

    result = program.call(called, requests, CONTEXT, timeout_s=10, on_response=came.append)

    assert came == ['{"lastWord": "été"}'] * responses
    assert result.exchange_id == EXCHANGE
    assert result.is_sealed
    assert result.elapsed_ms > 0


def test_a_conversation_goes_on_as_it_comes(program: Program) -> None:
    """The next request may depend on the answer to the one before: nothing is gathered first."""
    called, words = method("Chat"), iter(["one", "two", "three"])
    came: queue.Queue[str] = queue.Queue()

    def requests() -> Iterator[Message]:
        yield called.parse_request('{"lastWord":"zero"}')
        for word in words:
            last = json.loads(came.get(timeout=10))["lastWord"]
            yield called.parse_request(json.dumps({"lastWord": f"{last} {word}"}))

    shown: list[str] = []

    def show(text: str) -> None:
        shown.append(text)
        came.put(text)

    program.call(called, requests(), CONTEXT, timeout_s=10, on_response=show)

    assert json.loads(shown[-1])["lastWord"] == "zero one two three"


def test_a_request_that_cannot_be_read_ends_the_call_and_is_told(program: Program) -> None:
    """Not as gRPC tells it, which says no more than that something was wrong with the requests."""
    called = method("Chat")
    texts = ['{"lastWord":"one"}', "{"]

    with pytest.raises(ExchangeError) as refused:
        program.call(called, map(called.parse_request, texts), CONTEXT, timeout_s=10, on_response=print)

    assert refused.value.reason is Reason.DOCUMENT_INVALID


def test_what_a_program_says_of_its_call_travels_as_metadata(
    program: Program, door: tuple[Door, int]
) -> None:
    """What it does not say is not sent."""
    called = method("One")
    context = CallContext(
        client="BJ/GOV/PNS/PORTAIL",
        service="BJ/GOV/ANIP/RNPP",
        purpose="P01",
        reference="ref-1",
        represented="BJ/GOV/MTFP",
    )

    program.call(called, [called.parse_request("{}")], context, timeout_s=10, on_response=print)

    said = {key: value for key, value in door[0].metadata.items() if key.startswith("x-road-")}
    assert said == {
        "x-road-client": "BJ/GOV/PNS/PORTAIL",
        "x-road-service": "BJ/GOV/ANIP/RNPP",
        "x-road-purpose": "P01",
        "x-road-id": "ref-1",
        "x-road-represented-party": "BJ/GOV/MTFP",
    }


@pytest.mark.parametrize("name", ["One", "Many", "Gather", "Chat"])
def test_a_refusal_comes_with_reason_and_both_languages(name: str, program: Program) -> None:
    """As the gateway gave it."""
    called = method(name)

    with pytest.raises(RemoteError) as refused:
        program.call(
            called,
            [called.parse_request("{}")],
            CallContext(client="BJ/GOV/PNS/PORTAIL"),
            timeout_s=10,
            on_response=print,
        )

    assert (refused.value.code, refused.value.reason) == (Code.INVALID_ARGUMENT, Reason.PURPOSE_REQUIRED)
    assert refused.value.metadata["exchange_id"] == EXCHANGE
    assert refused.value.metadata["delivery"] == "not_sent"
    assert "finalité" in refused.value.text.fr
    assert "purpose" in refused.value.text.en


def test_a_gateway_with_another_name_is_not_believed(
    country: Country, made: InitResult, door: tuple[Door, int]
) -> None:
    """Its certificate must name the gateway that program add wrote down."""
    hints = ProgramHints(
        subsystem=str(PORTAL.subsystem),
        gateway_id="BJ/GOV/PNS/gw9",
        gateway=f"127.0.0.1:{door[1]}",
        directory="127.0.0.1:1",
    )
    called = method("One")

    with pytest.raises(RemoteError) as refused:
        Program(Identity.read(country.root / "portal"), hints).call(
            called, [called.parse_request("{}")], CONTEXT, timeout_s=5, on_response=print
        )

    assert refused.value.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)


def test_a_directory_that_does_not_answer_is_told(program: Program) -> None:
    """Both questions to it."""
    with pytest.raises(RemoteError):
        program.list_services()
    with pytest.raises(RemoteError):
        program.describe(MethodName.parse(f"{SERVICE}/One"))


def test_damaged_descriptors_and_unknown_methods_are_named() -> None:
    """Before anything is sent."""
    with pytest.raises(ExchangeError) as unknown:
        find_method(MethodName.parse(f"{SERVICE}/Other"), echo_descriptors())
    with pytest.raises(ExchangeError) as damaged:
        find_method(MethodName.parse(f"{SERVICE}/One"), b"\xff")

    assert unknown.value.reason is Reason.NOT_FOUND
    assert damaged.value.reason is Reason.DOCUMENT_INVALID


@pytest.mark.parametrize("data", ["", "[]", "{", '{"unknown":1}', '{"lastWord":1}'])
def test_data_that_is_no_request_is_refused_before_it_is_sent(data: str) -> None:
    """With the place, as far as the parser tells it."""
    with pytest.raises(ExchangeError):
        method("One").parse_request(data)

"""A program that calls through its own gateway: stock grpcio over mTLS, descriptors from the gateway's Directory.

It has no more than any program of a ministry has: an identity that ``program add`` wrote, and two addresses.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
from google.protobuf.message import Message

from cli.dynamic import DynamicMethod, find_method
from core.identifiers import MethodName, urn
from gateway.hints import ProgramHints
from passerelle.gateway.v1 import directory_pb2, directory_pb2_grpc
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.status import error_from_rpc

_DIRECTORY_TIMEOUT_S: Final = 10.0
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a program says of its call, beside the message.

    Attributes:
        client: Its subsystem.
        service: The provider; empty if only one provides the service.
        purpose: Purpose code.
        issue: Dossier.
        user: Who acts, an opaque handle.
        reference: The program's own reference.
        represented: On whose behalf.
    """

    client: str
    service: str = ""
    purpose: str = ""
    issue: str = ""
    user: str = ""
    reference: str = ""
    represented: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata that the gateway reads; what is not said is not sent."""
        entries = [
            ("x-road-client", self.client),
            ("x-road-service", self.service),
            ("x-road-purpose", self.purpose),
            ("x-road-issue", self.issue),
            ("x-road-userid", self.user),
            ("x-road-id", self.reference),
            ("x-road-represented-party", self.represented),
        ]
        return tuple((name, value) for name, value in entries if value)


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came back.

    Attributes:
        responses: The responses as JSON, one line each.
        exchange_id: The exchange, as the gateway named it; empty if it did not.
        is_sealed: The gateway named the hash of the signed request: both logs hold the exchange.
        elapsed_ms: From the call to its status.
    """

    responses: tuple[str, ...]
    exchange_id: str
    is_sealed: bool
    elapsed_ms: float


class Program:
    """One program and its gateway.

    Args:
        identity: Key, certificate and whom to trust.
        hints: Where the gateway is; ``gateway_id`` empty trusts the host name instead.
    """

    def __init__(self, identity: Identity, hints: ProgramHints) -> None:
        self._identity = identity
        self._hints = hints

    def list_services(self, name: str = "") -> list[directory_pb2.DirectoryEntry]:
        """The services that this program may know of; raises ``RemoteError``."""
        with self._channel(self._hints.directory) as opened:
            try:
                found = directory_pb2_grpc.DirectoryServiceStub(opened).ListServices(
                    directory_pb2.ListServicesRequest(service=name), timeout=_DIRECTORY_TIMEOUT_S
                )
            except grpc.RpcError as error:
                raise error_from_rpc(error) from error
        return list(found.services)

    def describe(self, method: MethodName, provider: str = "") -> DynamicMethod:
        """A method from the Directory; raises ``RemoteError`` or ``ExchangeError``."""
        with self._channel(self._hints.directory) as opened:
            try:
                found = directory_pb2_grpc.DirectoryServiceStub(opened).GetDescriptors(
                    directory_pb2.GetDescriptorsRequest(service=str(method.service), provider=provider),
                    timeout=_DIRECTORY_TIMEOUT_S,
                )
            except grpc.RpcError as error:
                raise error_from_rpc(error) from error
        return find_method(method, found.file_descriptor_set)

    def call(
        self, method: DynamicMethod, requests: Sequence[Message], context: CallContext, *, timeout_s: float
    ) -> CallResult:
        """Call a method of any kind and wait for its end.

        Raises:
            RemoteError: It ended with a status other than OK.
        """
        with self._channel(self._hints.gateway) as opened:
            started = time.monotonic()
            try:
                call = _start(opened, method, requests, timeout_s, context.metadata)
                responses = tuple(map(method.show_response, call))
                trailers = dict(call.trailing_metadata() or ())
            except grpc.RpcError as error:
                raise error_from_rpc(error) from error
            elapsed_ms = (time.monotonic() - started) * 1000
        return CallResult(
            responses,
            str(trailers.get("x-road-exchange-id", "")),
            "x-road-request-hash" in trailers,
            elapsed_ms,
        )

    def _channel(self, address: str) -> grpc.Channel:
        expect = urn("gateway", self._hints.gateway_id) if self._hints.gateway_id else None
        return channel(address, self._identity, expect=expect, options=_OPTIONS)


class _Single:
    """A call with one response, read like one with many."""

    def __init__(self, response: Message, call: grpc.Call) -> None:
        self._response = response
        self._call = call

    def __iter__(self) -> Iterator[Message]:
        yield self._response

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        return self._call.trailing_metadata()


class _Answers(Protocol):
    def __iter__(self) -> Iterator[Message]: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def _start(
    opened: grpc.Channel,
    method: DynamicMethod,
    requests: Sequence[Message],
    timeout_s: float,
    metadata: tuple[tuple[str, str | bytes], ...],
) -> _Answers:
    # The true kind of the method: a call that is declared as another kind gets other statuses (grpc/grpc#36066).
    path = method.name.path
    serialize: Callable[[Message], bytes] = method.request.SerializeToString
    parse: Callable[[bytes], Message] = method.response.FromString
    match method.client_streaming, method.server_streaming:
        case True, True:
            both = opened.stream_stream(path, serialize, parse)
            return both(iter(requests), timeout=timeout_s, metadata=metadata)
        case False, True:
            many = opened.unary_stream(path, serialize, parse)
            return many(requests[0], timeout=timeout_s, metadata=metadata)
        case True, False:
            sent = opened.stream_unary(path, serialize, parse)
            return _Single(*sent.with_call(iter(requests), timeout=timeout_s, metadata=metadata))
        case _:
            one = opened.unary_unary(path, serialize, parse)
            return _Single(*one.with_call(requests[0], timeout=timeout_s, metadata=metadata))

"""A program that calls through its own gateway: stock grpcio over mTLS, descriptors from the gateway's Directory.

It has no more than any program of a ministry has: an identity that ``program add`` wrote, and two addresses.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
from google.protobuf.message import Message

from cli.dynamic import DynamicMethod, find_method
from core.identifiers import MethodName, urn
from core.reasons import ExchangeError
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
    """What came back beside the responses.

    Attributes:
        exchange_id: The exchange, as the gateway named it; empty if it did not.
        is_sealed: The gateway named the hash of the signed request: both logs hold the exchange.
        elapsed_ms: From the call to its status.
    """

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
        return find_method(method, self.get_descriptors(str(method.service), provider))

    def get_descriptors(self, service: str, provider: str = "") -> bytes:
        """The FileDescriptorSet of a service, from the Directory; raises ``RemoteError``."""
        with self._channel(self._hints.directory) as opened:
            try:
                found = directory_pb2_grpc.DirectoryServiceStub(opened).GetDescriptors(
                    directory_pb2.GetDescriptorsRequest(service=service, provider=provider),
                    timeout=_DIRECTORY_TIMEOUT_S,
                )
            except grpc.RpcError as error:
                raise error_from_rpc(error) from error
        return found.file_descriptor_set

    def call(
        self,
        method: DynamicMethod,
        requests: Iterable[Message],
        context: CallContext,
        *,
        timeout_s: float,
        on_response: Callable[[str], object],
    ) -> CallResult:
        """Call a method of any kind and wait for its end.

        Args:
            method: The method, as ``describe`` gave it.
            requests: Its requests; of a method that takes a stream each is sent as it comes.
            context: What is said beside them.
            timeout_s: After so long it is given up.
            on_response: Gets each response as one line of JSON, as it comes: of a stream that breaks, what came before.

        Raises:
            RemoteError: It ended with a status other than OK.
            ExchangeError: What ``requests`` raised.
        """
        asked = _Requests(requests)
        with self._channel(self._hints.gateway) as opened:
            started = time.monotonic()
            try:
                call = _start(opened, method, asked, timeout_s, context.metadata)
                for response in call:
                    on_response(method.show_response(response))
                trailers = dict(call.trailing_metadata() or ())
            except grpc.RpcError as error:
                if asked.error is not None:
                    raise asked.error from None
                raise error_from_rpc(error) from error
            elapsed_ms = (time.monotonic() - started) * 1000
        return CallResult(
            str(trailers.get("x-road-exchange-id", "")),
            "x-road-request-hash" in trailers,
            elapsed_ms,
        )

    def _channel(self, address: str) -> grpc.Channel:
        expect = urn("gateway", self._hints.gateway_id) if self._hints.gateway_id else None
        return channel(address, self._identity, expect=expect, options=_OPTIONS)


class _Requests:
    """Requests one by one; gRPC ends the call for an error in them and does not tell it, so it is kept."""

    def __init__(self, requests: Iterable[Message]) -> None:
        self._requests = iter(requests)
        self.error: ExchangeError | None = None

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        try:
            return next(self._requests)
        except ExchangeError as error:
            self.error = error
            raise


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
    requests: Iterator[Message],
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
            return both(requests, timeout=timeout_s, metadata=metadata)
        case False, True:
            many = opened.unary_stream(path, serialize, parse)
            return many(next(requests), timeout=timeout_s, metadata=metadata)
        case True, False:
            sent = opened.stream_unary(path, serialize, parse)
            return _Single(*sent.with_call(requests, timeout=timeout_s, metadata=metadata))
        case _:
            one = opened.unary_unary(path, serialize, parse)
            return _Single(*one.with_call(next(requests), timeout=timeout_s, metadata=metadata))

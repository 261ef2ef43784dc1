"""The ministry as a consumer: calls to others through its own gateway, as any program makes them.

Settings in ``adapter.toml``::

    [program]
    gateway = "127.0.0.1:8443"
    directory = "programs/agency"       # what « passerelle program add » wrote
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc

from adapters.kit.tasks import TryAgain
from adapters.reasons import ProviderError, ProviderReason
from adapters.settings import ProgramSettings
from core.identifiers import SubsystemId, urn
from core.reasons import Code, ExchangeError, Reason
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.status import error_from_rpc

Metadata = tuple[tuple[str, str], ...]

_Stub = TypeVar("_Stub")
# An answer: the same call would get it again. Whatever else a call ends with says nothing of what became of it.
_ANSWERS: Final = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.PERMISSION_DENIED,
        Code.FAILED_PRECONDITION,
        Code.ABORTED,
        Code.OUT_OF_RANGE,
        Code.UNIMPLEMENTED,
        Code.UNAUTHENTICATED,
    }
)


class Away(ProviderError, TryAgain):
    """The other member, or the road to it, does not answer: nothing is known of what became of the call.

    In a task it means to try again; a servicer that lets it pass answers UPSTREAM_UNAVAILABLE. ``why`` is a reason or a
    status, ``PEER_UNAVAILABLE``.
    """

    def __init__(self, why: str) -> None:
        ProviderError.__init__(self, ProviderReason.UPSTREAM_UNAVAILABLE)
        self.why = why


class Refused(Exception):
    """The other member refused, or the layer did.

    Attributes:
        reason: ``NOT_FOUND``; empty if none was given.
        domain: Whose reason that is: a service's id, or ``passerelle`` for the layer.
        code: The status.
    """

    def __init__(self, reason: str, domain: str, code: Code) -> None:
        super().__init__(f"{reason or code.name} by {domain or 'nobody named'}")
        self.reason = reason
        self.domain = domain
        self.code = code


class Road:
    """Calls through the member's own gateway, for one subsystem."""

    def __init__(self, settings: ProgramSettings | None, client: SubsystemId) -> None:
        self._settings = settings
        self._client = client
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    def stub(self, make: Callable[[grpc.Channel], _Stub], provider: str) -> _Stub:
        """A stub whose calls go to ``provider``: ``road.stub(IdentityServiceStub, "BJ/GOV/ANIP/RNPP")``.

        Each call says whose it is and to whom, has a deadline (``program.timeout_s`` unless it is given one; a stream
        none), and ends with its response, or raises ``Away`` or ``Refused``. Never call it inside a transaction.

        Raises:
            ExchangeError: ``adapter.toml`` has no ``[program]`` (CONFIG_FILE_INVALID), or its files cannot be read.
        """
        said = (("x-road-client", str(self._client)), ("x-road-service", provider))
        opened, timeout_s = self._open()
        return make(grpc.intercept_channel(opened, _Calls(said, timeout_s)))

    def metadata(self, purpose: str, issue: str = "") -> Metadata:
        """What a call says beside its message: ``stub.GetPerson(request, metadata=road.metadata("P02", reference))``."""
        said = (("x-road-purpose", purpose), ("x-road-issue", issue))
        return tuple((name, value) for name, value in said if value)

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _open(self) -> tuple[grpc.Channel, float]:
        settings = self._settings
        if settings is None:
            raise ExchangeError(Reason.CONFIG_FILE_INVALID, "adapter.toml has no [program]: nobody is called")
        with self._lock:
            if self._channel is None:
                identity = Identity.read(Path(settings.directory))
                expect = urn("gateway", settings.gateway_id) if settings.gateway_id else None
                self._channel = channel(settings.gateway, identity, expect=expect)
            return self._channel, settings.timeout_s


class _Details(grpc.ClientCallDetails):
    """One call's details, with more metadata and a deadline."""

    def __init__(self, given: grpc.ClientCallDetails, said: Metadata, timeout_s: float | None) -> None:
        self.method = given.method
        self.timeout = timeout_s if given.timeout is None else given.timeout
        self.metadata = (*said, *(given.metadata or ()))
        self.credentials = given.credentials
        self.wait_for_ready = given.wait_for_ready
        self.compression = given.compression


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Puts what is always said into each call, and turns its end into our own terms."""

    def __init__(self, said: Metadata, timeout_s: float) -> None:
        self._said = said
        self._timeout_s = timeout_s

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = continuation(_Details(client_call_details, self._said, self._timeout_s), request)
        # Waits for the end: what the stub's caller would do next.
        error = call.exception()
        if error is not None:
            raise _told(error) from None
        return call

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _Responses(continuation(_Details(client_call_details, self._said, None), request))


class _Responses:
    """A stream of responses that ends in our own terms, too; ``cancel`` gives it up."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise _told(error) from None

    def cancel(self) -> None:
        self._call.cancel()


def _told(error: grpc.RpcError) -> Away | Refused:
    remote = error_from_rpc(error)
    if remote.code in _ANSWERS:
        return Refused(remote.reason, remote.domain, remote.code)
    return Away(remote.reason or remote.code.name)

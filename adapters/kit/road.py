"""The ministry as a consumer: calls to others through its own gateway, as any program makes them.

Settings in ``adapter.toml``::

    [program]
    gateway = "127.0.0.1:8443"
    directory = "programs/agency"       # what « passerelle program add » wrote
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc

from adapters.kit.tasks import TryAgain
from adapters.reasons import ProviderError, ProviderReason
from adapters.settings import ProgramSettings
from core.identifiers import SubsystemId

_Stub = TypeVar("_Stub")
Metadata = tuple[tuple[str, str], ...]


class Away(ProviderError, TryAgain):
    """The other member, or the road to it, does not answer: nothing is known of what became of the call.

    In a task it means to try again; a servicer that lets it pass answers UPSTREAM_UNAVAILABLE.
    """

    def __init__(self, why: str) -> None:
        ProviderError.__init__(self, ProviderReason.UPSTREAM_UNAVAILABLE)
        self.why = why


class Refused(Exception):
    """The other member refused, for good.

    Attributes:
        reason: Its reason, ``NOT_FOUND``; empty if it gave none.
        domain: Whose reason that is: a service's id, or ``passerelle`` for the layer.
        code: The status.
    """

    def __init__(self, reason: str, domain: str, code: grpc.StatusCode) -> None:
        super().__init__(f"{reason or code.name} by {domain or 'nobody named'}")
        self.reason = reason
        self.domain = domain
        self.code = code


class Road:
    """Calls through the member's own gateway, for one subsystem."""

    def __init__(self, settings: ProgramSettings | None, client: SubsystemId) -> None:
        self._settings = settings
        self._client = client

    def stub(self, make: Callable[[grpc.Channel], _Stub], provider: str) -> _Stub:
        """A stub whose calls go to ``provider``: ``road.stub(IdentityServiceStub, "BJ/GOV/ANIP/RNPP")``.

        Each call says whose it is and to whom, has a deadline of 20 s unless it is given one, and ends with its
        response, or
        raises ``Away`` or ``Refused``; never ``grpc.RpcError``. Never call it inside a transaction.

        Raises:
            ExchangeError: ``adapter.toml`` has no ``[program]`` (CONFIG_FILE_INVALID), or its files cannot be read.
        """
        raise NotImplementedError

    def metadata(self, purpose: str, issue: str = "") -> Metadata:
        """What a call says beside its message: ``stub.GetPerson(request, metadata=road.metadata("P02", reference))``."""
        raise NotImplementedError

    def close(self) -> None:
        """End the connection."""
        raise NotImplementedError

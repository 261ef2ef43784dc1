"""The one way in: only gateways of the same member, proven by their certificate on every call.

TLS has already refused whoever has no certificate under the anchor. What is left to tell apart are the many who
have one: gateways of other members, operators, auditors. An adapter takes its caller's words for the truth, so it
must know that the caller is its own gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import grpc
from cryptography import x509

from adapters.reasons import ProviderError, ProviderReason
from core.clock import Clock
from core.identifiers import GatewayId
from pki.profiles import Profile, profile_of
from rpc.credentials import peer


def admit_gateways(pinned: frozenset[GatewayId], clock: Clock) -> Callable[[grpc.ServicerContext], GatewayId]:
    """The check of each call: returns the gateway that it came through.

    It raises ``ProviderError`` (NOT_THROUGH_GATEWAY) for any other caller, and ``ExchangeError``
    (CERTIFICATE_EXPIRED, CERTIFICATE_INVALID) for a certificate that cannot be judged or is no longer in force:
    a connection must not outlive its certificate.
    """

    def admit(context: grpc.ServicerContext) -> GatewayId:
        caller = peer(context, clock=clock)
        # A gateway has two certificates of its own name: the one that seals heads opens no connection.
        if caller.identifier not in pinned or not _is_auth(caller.certificate):
            raise ProviderError(ProviderReason.NOT_THROUGH_GATEWAY)
        assert isinstance(caller.identifier, GatewayId)  # noqa: S101 - so are all that are pinned
        return caller.identifier

    return admit


@lru_cache(maxsize=64)
def _is_auth(certificate: x509.Certificate) -> bool:
    return profile_of(certificate) is Profile.AUTH

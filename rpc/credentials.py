"""mTLS for grpcio: what a server and a client show, whom they take, and who called (DESIGN, invariant 7).

grpcio for Python can neither set a minimum TLS version (grpc/grpc#37305: it negotiates 1.3 with current peers and
would go down to 1.2 with older ones) nor check revocation lists. So ``peer`` looks at the certificate on every
call, not once per connection: a connection must not outlive its certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import grpc
from cryptography import x509

from core.clock import Clock, SystemClock
from core.identifiers import AnyId, UrnKind, parse_urn
from core.reasons import ExchangeError, MalformedError, Reason
from rpc.identity import Identity
from rpc.names import certificate_thumbprint, identity_host, urn_of

ChannelOption = tuple[str, int | str]

# With gRPC's defaults a dead link is told by deadlines only; this reports it within half a minute.
_CLIENT_OPTIONS: Final[tuple[ChannelOption, ...]] = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.enable_http_proxy", 0),
    # An address is what the configuration says it is; no TXT record may change how it is used.
    ("grpc.service_config_disable_resolution", 1),
)
_SYSTEM_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as its certificate says.

    Attributes:
        certificate: The certificate that TLS verified.
        urn: Its name, ``urn:passerelle:operator:BJ/GOV/ASIN/akossou``.
        kind: The role, ``operator``.
        identifier: Who, parsed.
        thumbprint: ``x5t#S256``; services compare it with what they have pinned or revoked.
    """

    certificate: x509.Certificate
    urn: str
    kind: UrnKind
    identifier: AnyId
    thumbprint: str


def server_credentials(key_pem: bytes, chain_pem: bytes, client_roots_pem: bytes) -> grpc.ServerCredentials:
    """Credentials of a server that takes no client without a certificate under ``client_roots_pem``."""
    return grpc.ssl_server_credentials(
        [(key_pem, chain_pem)], root_certificates=client_roots_pem, require_client_auth=True
    )


def channel(
    address: str,
    identity: Identity,
    server_roots_pem: bytes | None = None,
    expect: str | None = None,
    options: Sequence[ChannelOption] = (),
) -> grpc.Channel:
    """A channel to one of our servers.

    Args:
        address: ``host:port``.
        identity: Whom the client is.
        server_roots_pem: Whom to trust as server; those of ``identity`` by default.
        expect: The SAN URI that the server must have. Its address then may be any, since the certificate is
            checked for the identity's own host name (``rpc.names.identity_host``). Without it the certificate
            must name the host of ``address``.
        options: More channel options.
    """
    credentials = grpc.ssl_channel_credentials(
        root_certificates=server_roots_pem or identity.roots,
        private_key=identity.key,
        certificate_chain=identity.chain,
    )
    demanded: tuple[ChannelOption, ...] = ()
    if expect is not None:
        demanded = (("grpc.ssl_target_name_override", identity_host(expect)),)
    return grpc.secure_channel(address, credentials, options=[*_CLIENT_OPTIONS, *demanded, *options])


def peer(context: grpc.ServicerContext, *, clock: Clock = _SYSTEM_CLOCK) -> Peer:
    """Who calls, judged anew on every call.

    Raises:
        ExchangeError: No certificate, one without exactly one of our names, or one that has expired since.
    """
    shown = context.auth_context().get("x509_pem_cert")
    if not shown:
        raise ExchangeError(Reason.CERTIFICATE_INVALID, "the caller shows no certificate")
    found, begins_ms, ends_ms = _parse(bytes(shown[0]))
    if not begins_ms <= clock.now_ms() <= ends_ms:
        raise ExchangeError(Reason.CERTIFICATE_EXPIRED, f"the certificate of {found.urn} is not in force")
    return found


def require_role(context: grpc.ServicerContext, *kinds: UrnKind, clock: Clock = _SYSTEM_CLOCK) -> Peer:
    """The caller, if it has one of the roles ``kinds``; raises ``ExchangeError`` ``NOT_AUTHORISED``."""
    found = peer(context, clock=clock)
    if found.kind not in kinds:
        raise ExchangeError(Reason.NOT_AUTHORISED, f"{found.urn} is not {' or '.join(kinds)}")
    return found


@lru_cache(maxsize=1024)
def _parse(pem: bytes) -> tuple[Peer, int, int]:
    """Who a certificate is of, and from when until when, UTC milliseconds: it is read once, and judged on every call."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, x509.InvalidVersion):
        raise MalformedError(Reason.CERTIFICATE_INVALID, "the caller's certificate cannot be read") from None
    urn = urn_of(certificate)
    kind, identifier = parse_urn(urn)
    found = Peer(certificate, urn, kind, identifier, certificate_thumbprint(certificate))
    return found, _ms(certificate.not_valid_before_utc), _ms(certificate.not_valid_after_utc)


def _ms(moment: datetime) -> int:
    # Certificates know whole seconds.
    return int(moment.timestamp()) * 1000

"""TLS of a worker's three sides. TLS 1.3 and HTTP/2 only; no flag weakens it.

What TLS proves is who holds which key. Whether that key may do anything is decided on every call by the pinned
thumbprint: an open connection must not outlive a revocation.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from core.reasons import ExchangeError, Reason
from gateway.layout import GatewayDirectory, KeyFiles


def _context(protocol: int, own: KeyFiles, trusted: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(own.certificate, own.key)
    except OSError as error:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{own.key} and {own.certificate}: {error}") from None
    try:
        context.load_verify_locations(trusted)
    except OSError as error:
        raise ExchangeError(Reason.KEY_UNREADABLE, f"{trusted}: {error}") from None
    # Resumption would carry a peer's old certificate past its revocation.
    context.options |= ssl.OP_NO_TICKET
    return context


def programs_port(directory: GatewayDirectory) -> ssl.SSLContext:
    """The programs' port: our member's own CA on both sides.

    A client may leave its certificate out: a caller token tells who it is, or it is told ``PROGRAM_UNKNOWN``. One that
    is shown must verify.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, directory.programs_server, directory.programs.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def road_port(directory: GatewayDirectory) -> ssl.SSLContext:
    """The road's port: auth certificates under the anchor, both ways."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, directory.auth, directory.anchor)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return context


def road_client(directory: GatewayDirectory) -> ssl.SSLContext:
    """Towards a peer's road port.

    The name is not compared: the peer's certificate must be one of those that its member registered, by thumbprint,
    which no host name can add to.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, directory.auth, directory.anchor)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def adapter_client(directory: GatewayDirectory) -> ssl.SSLContext:
    """Towards an adapter: it shows a certificate of our member's own CA and sees our auth certificate."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, directory.auth, directory.programs.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    return context

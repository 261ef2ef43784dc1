"""What the registry refuses to write down, whoever signed it: look-alike names, reserved names, unsafe addresses.

Gateways judge addresses again when they dial; here a mistake is stopped before it is published to a country.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from core.identifiers import RESERVED_CODES, MemberId, ServiceName
from core.reasons import ExchangeError, Reason
from core.registrations import parse_address

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_TEXT: Final = 500

# Characters that a reader on the telephone, or at a small screen, takes for each other.
_LOOK_ALIKES: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", "2": "z"})
_SEPARATORS = re.compile(r"[-_.]")

# Packages that belong to the layer and to gRPC itself (RELIABILITY 3h: X-Road let users register such codes).
_RESERVED_PACKAGES: Final = ("passerelle.", "grpc.", "google.")
# What servers of gRPC have beside their own services: each subsystem its own, to those with an agreement over it.
_STANDARD_SERVICES: Final = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)

# Cloud metadata services that are not link-local: Alibaba's, and AWS's over IPv6.
_METADATA: Final = (ipaddress.ip_network("100.100.100.200/32"), ipaddress.ip_network("fd00:ec2::/32"))
# IPv4 behind a translator or a tunnel: whatever it leads to is not what it looks like.
_DISGUISED: Final = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")
_LOCAL_NAMES: Final = ("localhost", "local", "internal")


def skeleton(identifier: str) -> str:
    """Equal for identifiers that people confuse: ``BJ/GOV/PNS`` and ``BJ/GOV/PN5``."""
    return _SEPARATORS.sub("", identifier.lower()).translate(_LOOK_ALIKES)


def require_member_name(member: MemberId, instance: str) -> None:
    """Refuse another country's members and reserved codes; raises ``ExchangeError``."""
    if member.instance != instance:
        raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{member} does not belong to instance {instance}")
    if member.member_code.lower() in RESERVED_CODES:
        raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{member} has a reserved code")


def require_service_name(service: ServiceName, allowed: Sequence[str] = ()) -> None:
    """Refuse services of the layer and of gRPC; raises ``ExchangeError``.

    Args:
        service: ``bj.identity.v1.IdentityService``; health and reflection of a subsystem are let through.
        allowed: Packages that this country allows nevertheless.
    """
    name = str(service)
    if name in _STANDARD_SERVICES or name.rpartition(".")[0] in allowed:
        return
    if name.startswith(_RESERVED_PACKAGES):
        raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{service} is in a reserved package")


def require_text(text: str, what: str, *, longest: int = MAX_TEXT) -> str:
    """A text that people will read: not empty, bounded, printable; raises ``ExchangeError``."""
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise ExchangeError(
            Reason.DOCUMENT_INVALID, f"{what} is 1 to {longest} printable characters on one line"
        )
    return text


def require_public_address(address: str, allowed: Sequence[IPNetwork]) -> None:
    """Refuse addresses that would make peers dial their own machine or their own network's services.

    Args:
        address: ``host:port`` of a road port, as a registration names it.
        allowed: Networks that the country allows nevertheless: loopback in a country in a box.

    Raises:
        ExchangeError: ``ADDRESS_NOT_ALLOWED``.
    """
    host, _port = parse_address(address)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        _require_dns_name(host)
        return
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    if not _is_allowed(mapped or ip, allowed):
        raise ExchangeError(Reason.ADDRESS_NOT_ALLOWED, f"the address {ip} is not one that peers may dial")


def _is_allowed(ip: IPAddress, allowed: Sequence[IPNetwork]) -> bool:
    if any(ip in network for network in (*allowed,)):
        return True
    unsafe = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
    return not unsafe and not any(ip in network for network in (*_METADATA, *_DISGUISED))


def _require_dns_name(host: str) -> None:
    last = host.rpartition(".")[2].lower()
    # "2130706433", "0x7f.1" and "127.1" are IPv4 addresses to the resolver, and to nobody who reads them.
    if _NUMERIC_LABEL.match(last) or last in _LOCAL_NAMES or "." not in host or ".." in host:
        raise ExchangeError(
            Reason.ADDRESS_NOT_ALLOWED, f"{host[:80]!a} is not a public host name or an address"
        )

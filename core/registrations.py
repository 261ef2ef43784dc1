"""Registrations of gateways, signed by the member key: no operator can add one (PROTOCOL M8)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from core.documents import MalformedDocumentError, decode_strict
from core.identifiers import GatewayId, MemberId, require_log_id
from core.times import parse_time_ms

MAX_REGISTRATION_BYTES: Final = 128 * 1024
MAX_LOGS: Final = 64

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
# A host is an IPv4 or IPv6 literal or a DNS name; whether it may be dialled, the dialling gateway decides.
_ADDRESS = re.compile(
    r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):([0-9]{1,5})"
)


class RegisteredCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate of the gateway: ``x5t#S256`` and its chain as PEM, leaf first."""

    thumbprint: str
    chain: str


class RegisteredLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log of the gateway: its id, worker, and the road address where that worker answers, ``host:port``."""

    id: str
    worker: int
    address: str


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a ``registration+jwt``.

    Attributes:
        v: Format version, 1.
        gateway: ``BJ/GOV/ANIP/gw1``.
        serial: Rises with each registration of the same gateway; the highest counts.
        issued_at: When the member signed it, UTC.
        auth: Certificates that its TLS may show.
        seal: Certificates that its heads may be signed with.
        logs: Its logs.
    """

    v: int
    gateway: str
    serial: int
    issued_at: str
    auth: list[RegisteredCertificate]
    seal: list[RegisteredCertificate]
    logs: list[RegisteredLog]


class MemberSuccessor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of a ``member-successor+jwt``: the old member key names the new one."""

    v: int
    member: str
    old_key: str
    new_key: str
    issued_at: str


def parse_address(text: str) -> tuple[str, int]:
    """Split ``host:port``; raises ``MalformedDocumentError``."""
    found = _ADDRESS.fullmatch(text)
    if not found or not 1 <= int(found[2]) <= 65535:
        raise MalformedDocumentError(f"not an address: {text[:80]!a}")
    return found[1].strip("[]"), int(found[2])


def parse_registration(payload: bytes) -> Registration:
    """Read the payload bytes of a registration; raises ``MalformedDocumentError``."""
    registration = decode_strict(payload, Registration, max_bytes=MAX_REGISTRATION_BYTES)
    try:
        _check(registration)
    except MalformedDocumentError:
        raise
    except ValueError as error:
        raise MalformedDocumentError(f"registration: {error}") from None
    return registration


def parse_successor(payload: bytes) -> MemberSuccessor:
    """Read the payload bytes of a member key's succession; raises ``MalformedDocumentError``."""
    successor = decode_strict(payload, MemberSuccessor, max_bytes=MAX_REGISTRATION_BYTES)
    try:
        MemberId.parse(successor.member)
        parse_time_ms(successor.issued_at)
    except ValueError as error:
        raise MalformedDocumentError(f"successor: {error}") from None
    keys = (successor.old_key, successor.new_key)
    if successor.v != 1 or not all(map(_THUMBPRINT.fullmatch, keys)) or keys[0] == keys[1]:
        raise MalformedDocumentError("successor: value out of range")
    return successor


def _check(r: Registration) -> None:
    GatewayId.parse(r.gateway)
    parse_time_ms(r.issued_at)
    if r.v != 1 or r.serial < 1 or not r.auth or not r.seal or not 1 <= len(r.logs) <= MAX_LOGS:
        raise MalformedDocumentError("registration: value out of range")
    for certificate in (*r.auth, *r.seal):
        if not _THUMBPRINT.fullmatch(certificate.thumbprint) or not certificate.chain:
            raise MalformedDocumentError("registration: malformed certificate")
    # One certificate for both uses would let a stolen TLS key sign.
    if {one.thumbprint for one in r.auth} & {one.thumbprint for one in r.seal}:
        raise MalformedDocumentError("registration: one certificate for auth and seal")
    for log in r.logs:
        require_log_id(log.id)
        parse_address(log.address)
        if log.worker < 0:
            raise MalformedDocumentError("registration: worker out of range")
    if len({log.id for log in r.logs}) != len(r.logs):
        raise MalformedDocumentError("registration: a log twice")

"""Registrations of gateways, signed by the member key: no operator can add one (PROTOCOL M8)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from core.documents import MalformedDocumentError, decode_strict
from core.identifiers import GatewayId, MemberId, require_log_id
from core.merkle import MAX_SIZE
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


class ClosedLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log of the gateway that takes no more entries, and the log that succeeds it (PROTOCOL M5).

    Attributes:
        id: Its id.
        worker: The worker that wrote it.
        size: How many of its leaves the gateway still has, as the successor's genesis leaf says.
        root: Merkle root over them.
        successor: The log that goes on from it.
    """

    id: str
    worker: int
    size: int
    root: str
    successor: str


# Registrations from before the first succession keep their bytes: what is empty is left out.
class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The payload of a ``registration+jwt``.

    Attributes:
        v: Format version, 1.
        gateway: ``BJ/GOV/ANIP/gw1``.
        serial: Rises with each registration of the same gateway; the highest counts.
        issued_at: When the member signed it, UTC.
        auth: Certificates that its TLS may show.
        seal: Certificates that its heads may be signed with.
        logs: Its logs.
        closed: Logs that it had before: heads of them still count in evidence, frames of them are refused.
    """

    v: int
    gateway: str
    serial: int
    issued_at: str
    auth: list[RegisteredCertificate]
    seal: list[RegisteredCertificate]
    logs: list[RegisteredLog]
    closed: list[ClosedLog] = []

    @property
    def all_logs(self) -> set[str]:
        """Ids of all logs, open or closed."""
        return {one.id for one in self.logs} | {one.id for one in self.closed}


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
    for closed in r.closed:
        _check_closed(closed)
    known = [log.id for log in r.logs] + [log.id for log in r.closed]
    if len(r.closed) > MAX_LOGS or len(set(known)) != len(known):
        raise MalformedDocumentError("registration: a log twice, or too many")
    _require_line(r)


def _check_closed(closed: ClosedLog) -> None:
    for hexed in (closed.id, closed.root, closed.successor):
        require_log_id(hexed)
    if closed.worker < 0 or not 0 <= closed.size <= MAX_SIZE:
        raise MalformedDocumentError("registration: closed log: value out of range")


def _require_line(r: Registration) -> None:
    """Each closed log leads, over its successors, to a log that is open: else nobody could say who speaks for it."""
    following = {one.id: one.successor for one in r.closed}
    if len(set(following.values())) != len(following):
        raise MalformedDocumentError("registration: two logs with one successor")
    for log in following:
        seen = set()
        while log in following and log not in seen:
            seen.add(log)
            log = following[log]
        if log not in {one.id for one in r.logs}:
            raise MalformedDocumentError("registration: a closed log without a successor that is open")

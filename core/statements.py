"""Statements: what a gateway says to a peer about one call (PROTOCOL M2, M13, M15).

The bytes of a statement are its meaning: fixed key order, no blanks, ASCII without escapes, and equal to
their own re-encoding. They are logged, hashed and verified as received; nothing is re-serialised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal

import msgspec

from core.agreements import MAX_VERSION
from core.heads import ConfigurationMark
from core.identifiers import (
    MethodName,
    SubsystemId,
    require_exchange_id,
    require_handle,
    require_log_id,
    require_purpose,
)
from core.payloads import MAX_PAYLOADS
from core.reasons import Delivery, MalformedError, Reason
from core.times import MAX_TIME_MS

MAX_STATEMENT_BYTES: Final = 16 * 1024
# What a database and other languages hold as a signed integer.
_MAX_NUMBER: Final = 2**63 - 1
# Of segments; who counts one more must not leave that range.
_MAX_SEQUENCE: Final = 2**62

Kind = Literal["request", "response", "refusal", "cancel", "deadline", "abandon", "outcome"]
Basis = Literal["claimed", "verified"]

# What a peer says of a request of ours that it was sent.
ANSWERS: Final[frozenset[Kind]] = frozenset({"response", "refusal", "outcome"})

_CALLER = re.compile(r"mtls:[A-Za-z0-9_-]{43}|jwt:[A-Za-z0-9_-]{43}|loopback")
_DOOR = re.compile(r"[a-z][a-z0-9-]{0,31}")
_ENCODING = re.compile(r"[a-z0-9-]{1,16}")
_HEXED = re.compile(r"[0-9a-f]{32}(?:,[0-9a-f]{64})+")
_NO_HASH: Final = "0" * 64
_AGREEMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SENSITIVITY = re.compile(r"S[0-3]")


class MalformedStatementError(MalformedError):
    """Bytes that are no statement, or values that no statement may hold."""

    def __init__(self, why: str) -> None:
        super().__init__(Reason.STATEMENT_INVALID, why)

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who acts, as an opaque handle; ``claimed`` by the program or ``verified`` by the gateway."""

    id: str
    basis: Basis


class AgreementMark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which agreement the sender acted under: id, version, SHA-256 of its payload bytes."""

    id: str
    version: int
    digest: str


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was cut from the messages of a response (M11): to which mask, how many fields, from which original.

    ``mask`` and ``original`` as ``core.masks`` computes them; ``count`` is 0 where the mask had nothing to take.
    """

    mask: str
    count: int
    original: str


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """One statement. Field order is the order of the keys on the wire and in the log.

    Attributes:
        v: Format version, 1.
        kind: What is said.
        from_: Log id of the log that says it.
        to: Log id of the log it is said to; null in refusals at one's own gateway.
        exchange: UUIDv7 of the exchange, minted by the consumer's gateway.
        reference: The program's own reference (``x-road-id``), a handle.
        attempt: 1 for the first sending, rising with each new statement for the same call.
        previous: Leaf hash of the previous attempt's statement.
        sequence: Number of the segment in its direction, from 0.
        final: Whether it is the last segment of its direction.
        client: Consumer subsystem.
        service: Provider subsystem.
        method: ``bj.identity.v1.IdentityService/GetPerson``.
        represented: Represented party, a handle or a member.
        purpose: Purpose code, ``P01``.
        issue: Dossier reference, a handle.
        user: Who acts.
        caller: How the program was authenticated: ``mtls:`` or ``jwt:`` with a thumbprint, or ``loopback``.
        door: ``grpc``, ``json`` or a route's name.
        agreement: The agreement acted under.
        configuration: The global configuration in force at the sender.
        descriptors: SHA-256 of the service's FileDescriptorSet.
        issued_at: UTC milliseconds at the sender; informative.
        deadline_us: What remained of the deadline when this was written, microseconds.
        encoding: grpc-encoding of the messages.
        payloads: Salted digests in order: initial metadata (in segment 0), messages, trailing metadata
            (in a final response).
        nonce: 16 random bytes, hex.
        request: Leaf hash of the request statement that is answered or ended; in a later segment of a request, of its
            segment 0.
        heard: Sequence of the last segment that was handed on, of the other direction.
        status: gRPC status code.
        reason: Why, in a refusal.
        delivery: Whether the adapter has got the request, in a refusal or an ending. In an outcome: ``not_sent``, the
            request was never taken, nor will be; ``unknown``, it was taken and answered, or, where ``heard`` is null,
            leaves are missing that would tell.
        cut: What was cut from the messages of this response; ``None`` where all fields are granted.
        records: Number of records returned, where the service tells it.
        sensitivity: Highest sensitivity class returned.
        fields: Reserved for per-field commitments; null.
    """

    v: int
    kind: Kind
    from_: str
    to: str | None
    exchange: str | None
    reference: str | None
    attempt: int
    previous: str | None
    sequence: int
    final: bool
    client: str | None
    service: str | None
    method: str | None
    represented: str | None
    purpose: str | None
    issue: str | None
    user: User | None
    caller: str | None
    door: str
    agreement: AgreementMark | None
    configuration: ConfigurationMark | None
    descriptors: str | None
    issued_at: int
    deadline_us: int | None
    encoding: str | None
    payloads: list[str]
    nonce: str
    request: str | None = None
    heard: int | None = None
    status: int | None = None
    reason: str | None = None
    delivery: Delivery | None = None
    cut: Cut | None = None
    records: int | None = None
    sensitivity: str | None = None
    fields: None = None


# What a response repeats of its request: whose it is, what was asked, for what (PROTOCOL M2).
BOUND_FIELDS: Final = (
    "exchange",
    "reference",
    "client",
    "service",
    "method",
    "represented",
    "purpose",
    "issue",
    "user",
    "caller",
    "door",
    "agreement",
    "descriptors",
)


def is_within_stream(statement: Statement) -> bool:
    """Whether it is a segment that neither begins a call nor ends it: it means nothing once its stream has broken."""
    if statement.kind == "request":
        return statement.sequence > 0
    return statement.kind == "response" and not statement.final


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Statement)


def encode_statement(statement: Statement) -> bytes:
    """The bytes of ``statement``, whose values were checked: what cannot be read back must not be said."""
    return _encoder.encode(statement)


def parse_statement(data: bytes) -> Statement:
    """Read a statement's bytes.

    Raises:
        MalformedStatementError: Not canonical (M15), or a value out of its grammar.
    """
    return parse_statements([data])[0]


def parse_statements(found: Sequence[bytes]) -> list[Statement]:
    """The same for several, step by step over all of them: what is true of one is asked of all before the next.

    Raises:
        MalformedStatementError: One of them is malformed.
    """
    if any(len(data) > MAX_STATEMENT_BYTES for data in found):
        raise MalformedStatementError("statement is too long")
    decode, encode = _decoder.decode, _encoder.encode
    try:
        statements = [decode(data) for data in found]
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedStatementError(f"not a statement: {str(error)[:120]!a}") from None
    for statement, data in zip(statements, found, strict=True):
        # Duplicate keys, blanks, other orders and number forms all fail to re-encode to the same bytes.
        if not data.isascii() or b"\\" in data or b"\x7f" in data or encode(statement) != data:
            raise MalformedStatementError("statement is not canonical")
    for statement in statements:
        check_statement(statement)
    return statements


def check_statement(statement: Statement) -> None:
    """Check every value against its grammar; raises ``MalformedStatementError``."""
    try:
        _check(statement)
    except MalformedStatementError:
        raise
    except ValueError as error:
        raise MalformedStatementError(str(error)) from None


def _check(s: Statement) -> None:
    if s.v != 1 or not 1 <= s.attempt <= _MAX_NUMBER or not 0 <= s.issued_at <= MAX_TIME_MS:
        raise MalformedStatementError("value out of range")
    for count in (s.deadline_us, s.records):
        if count is not None and not 0 <= count <= _MAX_NUMBER:
            raise MalformedStatementError("value out of range")
    if not 0 <= s.sequence <= _MAX_SEQUENCE or not 0 <= (s.heard or 0) <= _MAX_SEQUENCE:
        raise MalformedStatementError("value out of range")
    _check_recurring(
        s.from_,
        s.to,
        s.client,
        s.service,
        s.method,
        s.purpose,
        s.caller,
        s.door,
        s.encoding,
        s.sensitivity,
        s.agreement,
        s.configuration,
        s.descriptors,
    )
    if s.exchange is not None:
        require_exchange_id(s.exchange)
    for handle in (s.reference, s.represented, s.issue, s.user.id if s.user else None):
        if handle is not None:
            require_handle(handle)
    if len(s.payloads) > MAX_PAYLOADS:
        raise MalformedStatementError("too many payloads")
    # One match for all that is hexadecimal; no value can hold the comma that separates them.
    hexed = (s.nonce, s.previous or _NO_HASH, s.request or _NO_HASH, *s.payloads)
    if not _HEXED.fullmatch(",".join(hexed)):
        raise MalformedStatementError("malformed nonce, leaf hash or payload digest")
    if s.cut is not None:
        _check_cut(s, s.cut)
    _check_kind(s)


@lru_cache(4096)
def _check_recurring(
    log: str,
    to: str | None,
    client: str | None,
    service: str | None,
    method: str | None,
    purpose: str | None,
    caller: str | None,
    door: str,
    encoding: str | None,
    sensitivity: str | None,
    agreement: AgreementMark | None,
    configuration: ConfigurationMark | None,
    descriptors: str | None,
) -> None:
    """What recurs from call to call is checked once; what is refused is not kept."""
    require_log_id(log)
    _optional(to, require_log_id)
    _optional(client, SubsystemId.parse)
    _optional(service, SubsystemId.parse)
    _optional(method, MethodName.parse)
    _optional(purpose, require_purpose)
    _matches(_CALLER, caller, "caller")
    _matches(_DOOR, door, "door")
    _matches(_ENCODING, encoding, "encoding")
    _matches(_SENSITIVITY, sensitivity, "sensitivity")
    if agreement:
        _matches(_AGREEMENT_ID, agreement.id, "agreement")
        require_log_id(agreement.digest)
        if not 1 <= agreement.version <= MAX_VERSION:
            raise MalformedStatementError("agreement version out of range")
    if configuration:
        require_log_id(configuration.digest)
        if not 1 <= configuration.version <= _MAX_NUMBER:
            raise MalformedStatementError("configuration version out of range")
    _optional(descriptors, require_log_id)


def _check_cut(s: Statement, cut: Cut) -> None:
    require_log_id(cut.mask)
    require_log_id(cut.original)
    if not 0 <= cut.count <= _MAX_NUMBER:
        raise MalformedStatementError("value out of range")
    # What is cut is sent uncompressed, and there is something that it was cut from: beside the metadata, a message.
    has_message = len(s.payloads) > (s.sequence == 0) + s.final
    if s.kind != "response" or s.encoding != "identity" or not has_message:
        raise MalformedStatementError(
            "fields are cut from the messages of a response, which are not compressed"
        )


def _check_request(s: Statement) -> None:
    wanted = (s.to, s.exchange, s.client, s.service, s.method, s.caller, s.agreement, s.configuration)
    # A later segment names segment 0, so that it cannot be moved to another call (docs/adr/0021).
    if None in wanted or not (s.payloads or (s.sequence and s.final)):
        raise MalformedStatementError("a request lacks a field")
    if (s.request is None) is not (s.sequence == 0):
        raise MalformedStatementError("a later segment of a request, and no other, names segment 0")
    if s.status is not None or s.reason or s.heard is not None or s.cut or s.delivery:
        raise MalformedStatementError("a request has a response's field")


def _check_response(s: Statement) -> None:
    # Every segment of an answer says something: initial metadata, messages, or the end. Else a provider could have us
    # log for ever what costs it no credit.
    if None in (s.request, s.to, s.heard) or s.reason or not s.payloads:
        raise MalformedStatementError("a response lacks a field, or has a refusal's")
    if s.final is (s.status is None):
        raise MalformedStatementError("a response has a status when it is final, and only then")


def _check_kind(s: Statement) -> None:
    """What each kind must and must not say."""
    if s.status is not None and not 0 <= s.status <= 16:
        raise MalformedStatementError("status out of range")
    if s.reason is not None and s.reason not in Reason.__members__:
        raise MalformedStatementError("unknown reason")
    if s.kind == "request":
        _check_request(s)
    elif s.kind == "response":
        _check_response(s)
    elif s.kind == "refusal":
        if s.reason is None or s.status is None or (s.to is not None and s.request is None):
            raise MalformedStatementError("a refusal lacks a field")
    elif s.request is None:
        raise MalformedStatementError(f"{s.kind} names no request")
    elif s.kind == "outcome" and (s.to is None or s.delivery is None):
        raise MalformedStatementError("an outcome says to whom what became of a request")


def _optional(value: str | None, require: Callable[[str], object]) -> None:
    if value is not None:
        require(value)


def _matches(pattern: re.Pattern[str], value: str | None, name: str) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise MalformedStatementError(f"malformed {name}")

"""Agreements: who may call which methods, for which purpose, until when, on which legal basis (PROTOCOL M8).

An agreement is one sequence of payload bytes, signed by both member keys as compact JWS of type
``agreement+jwt``. The registry keeps it and can suspend or revoke it; only the two members can grant it.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from core.documents import MalformedDocumentError, decode_strict
from core.identifiers import MethodName, ServiceName, SubsystemId, require_handle, require_purpose
from core.times import parse_time_ms

MAX_AGREEMENT_BYTES: Final = 64 * 1024
MAX_VERSION: Final = 2**31 - 1

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_FIELD_PATH = re.compile(r"[a-z][a-z0-9_]{0,62}(?:\.[a-z][a-z0-9_]{0,62}){0,7}")


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side: its subsystem and the thumbprint of its member key, compared out of band."""

    subsystem: str
    member_key: str


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``calls`` calls in each period of ``period_s`` seconds."""

    calls: int
    period_s: int


class Bilingual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    fr: str
    en: str


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload of an agreement, complete as a document.

    Attributes:
        v: Format version, 1.
        id: Name of the agreement, the same in all its versions, ``CV-0042``.
        version: Rises by one with each amendment.
        supersedes: SHA-256 of the payload of the version before, or null.
        consumer: The calling side.
        provider: The serving side.
        service: gRPC service, ``bj.identity.v1.IdentityService``.
        methods: Its methods that may be called, without the service.
        purposes: Purpose codes that are granted; empty: no purpose is demanded.
        issue_required: Whether each call must name a dossier.
        field_mask: Per method the field paths that are granted; null grants all.
        quota: How often; null is unlimited.
        represented_parties: Whom the consumer may represent; null is nobody.
        allow_loopback: Whether calls through an unauthenticated loopback route are admitted (M14).
        max_configuration_age_s: Demand for a fresher configuration than the general rule; null is none.
        not_before: First moment of validity, UTC.
        not_after: End of validity, UTC.
        legal_basis: The law or decree it rests on.
        apdp_decision: Reference of the APDP's decision, or null where none is needed.
    """

    v: int
    id: str
    version: int
    supersedes: str | None
    consumer: Party
    provider: Party
    service: str
    methods: list[str]
    purposes: list[str]
    issue_required: bool
    field_mask: dict[str, list[str]] | None
    quota: Quota | None
    represented_parties: list[str] | None
    allow_loopback: bool
    max_configuration_age_s: int | None
    not_before: str
    not_after: str
    legal_basis: Bilingual
    apdp_decision: str | None


def parse_agreement(payload: bytes) -> Agreement:
    """Read the payload bytes of an agreement; raises ``MalformedDocumentError``."""
    agreement = decode_strict(payload, Agreement, max_bytes=MAX_AGREEMENT_BYTES)
    check_agreement(agreement)
    return agreement


def check_agreement(agreement: Agreement) -> None:
    """Check every value; raises ``MalformedDocumentError``."""
    try:
        _check(agreement)
    except MalformedDocumentError:
        raise
    except ValueError as error:
        raise MalformedDocumentError(f"agreement: {error}") from None


def _check(a: Agreement) -> None:
    _require(a.v == 1 and 1 <= a.version <= MAX_VERSION, "version out of range")
    _require(_ID.fullmatch(a.id), "malformed id")
    _require((a.version == 1) == (a.supersedes is None), "only version 1 supersedes nothing")
    _require(a.supersedes is None or _DIGEST.fullmatch(a.supersedes), "malformed digest")
    for party in (a.consumer, a.provider):
        SubsystemId.parse(party.subsystem)
        _require(_THUMBPRINT.fullmatch(party.member_key), "malformed member key thumbprint")
    ServiceName.parse(a.service)
    _require(a.methods and len(set(a.methods)) == len(a.methods), "no method, or one twice")
    for method in a.methods:
        MethodName.parse(f"{a.service}/{method}")
    _require(len(set(a.purposes)) == len(a.purposes), "a purpose twice")
    for purpose in a.purposes:
        require_purpose(purpose)
    for method, paths in (a.field_mask or {}).items():
        _require(method in a.methods and paths, "field mask of a method that is not granted, or empty")
        _require(all(map(_FIELD_PATH.fullmatch, paths)), "malformed field path")
    _require(a.quota is None or (a.quota.calls >= 1 and a.quota.period_s >= 1), "quota out of range")
    for party_name in a.represented_parties or ():
        require_handle(party_name)
    age = a.max_configuration_age_s
    _require(age is None or age >= 60, "configuration age out of range")
    _require(parse_time_ms(a.not_before) < parse_time_ms(a.not_after), "validity ends before it begins")
    _require(a.legal_basis.fr.strip() and a.legal_basis.en.strip(), "no legal basis")


def _require(condition: object, why: str) -> None:
    if not condition:
        raise MalformedDocumentError(f"agreement: {why}")

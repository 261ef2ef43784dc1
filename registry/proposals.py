"""Agreements on their way to the registry: written down from a TOML file, signed by each member on its own machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.agreements import Agreement, Bilingual, Party, Quota, check_agreement, parse_agreement
from core.documents import encode
from core.identifiers import SubsystemId
from core.jws import DocumentKind
from core.reasons import ExchangeError, Reason
from core.times import parse_time_ms
from pki.documents import sign_document
from pki.keys import key_thumbprint, read_key
from rpc.settings import load_settings


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``agreement.toml``: the terms as people write them (docs/operations/agreement.md).

    Attributes:
        id: Name of the agreement, ``CV-0042``.
        consumer: The calling subsystem.
        consumer_key: Thumbprint of its member key, compared over another channel.
        provider: The serving subsystem.
        provider_key: Thumbprint of its member key, compared likewise.
        service: gRPC service.
        methods: Methods that may be called.
        not_before: First moment, ``2026-11-23T00:00:00Z``.
        not_after: End of validity.
        legal_basis: The law or decree, ``fr`` and ``en``.
        purposes: Purpose codes; empty: none is demanded.
        issue_required: Whether each call names a dossier.
        version: Rises with each amendment.
        supersedes: Digest of the version before.
        apdp_decision: Reference of the APDP's decision.
        field_mask: Field paths per method; absent grants all.
        quota: ``calls`` per ``period_s``.
        represented_parties: Whom the consumer may represent.
        allow_loopback: Whether unauthenticated loopback callers are admitted.
        max_configuration_age_s: Demand for a fresher configuration.
    """

    id: str
    consumer: str
    consumer_key: str
    provider: str
    provider_key: str
    service: str
    methods: list[str]
    not_before: str
    not_after: str
    legal_basis: Bilingual
    purposes: list[str] = []
    issue_required: bool = False
    version: int = 1
    supersedes: str | None = None
    apdp_decision: str | None = None
    field_mask: dict[str, list[str]] | None = None
    quota: Quota | None = None
    represented_parties: list[str] | None = None
    allow_loopback: bool = False
    max_configuration_age_s: int | None = None


def proposal_payload(file: Path) -> bytes:
    """The payload bytes that both members will sign.

    Raises:
        ExchangeError: The file is no proposal, or its terms are no agreement.
    """
    proposal = load_settings(file, Proposal)
    agreement = Agreement(
        v=1,
        id=proposal.id,
        version=proposal.version,
        supersedes=proposal.supersedes,
        consumer=Party(proposal.consumer, proposal.consumer_key),
        provider=Party(proposal.provider, proposal.provider_key),
        service=proposal.service,
        methods=proposal.methods,
        purposes=proposal.purposes,
        issue_required=proposal.issue_required,
        field_mask=proposal.field_mask,
        quota=proposal.quota,
        represented_parties=proposal.represented_parties,
        allow_loopback=proposal.allow_loopback,
        max_configuration_age_s=proposal.max_configuration_age_s,
        not_before=proposal.not_before,
        not_after=proposal.not_after,
        legal_basis=proposal.legal_basis,
        apdp_decision=proposal.apdp_decision,
    )
    check_agreement(agreement)
    return encode(agreement)


def sign_agreement(payload: bytes, member_key: Path, now_ms: int) -> tuple[str, str]:
    """Sign an agreement with a member key; returns the subsystem it was signed for, and the JWS.

    Raises:
        ExchangeError: It is no agreement, has ended, or names another key on both sides.
    """
    agreement = parse_agreement(payload)
    if parse_time_ms(agreement.not_after) <= now_ms:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"agreement {agreement.id} has ended already")
    key = read_key(member_key)
    thumbprint = key_thumbprint(key.public_key())
    for party in (agreement.consumer, agreement.provider):
        if party.member_key == thumbprint:
            subsystem = str(SubsystemId.parse(party.subsystem))
            return subsystem, sign_document(DocumentKind.AGREEMENT, payload, key)
    raise ExchangeError(Reason.SIGNATURE_INVALID, f"agreement {agreement.id} does not name this member key")

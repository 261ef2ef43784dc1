"""The documents of the global configuration, made from the database: the same rows give the same bytes."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from core.agreements import Bilingual
from core.configuration import (
    COMMON_TARGET,
    AgreementEntry,
    Authorities,
    CommonDocument,
    MemberDocument,
    MemberKey,
    Purpose,
    RegistrationEntry,
    RegistryParty,
    ServiceEntry,
    ServiceMethod,
    descriptors_target,
    member_target,
)
from core.documents import encode
from registry import models

# Everything of all members in a handful of queries: one by one, 1,000 members took 15 s.
_WHOLE = (
    selectinload(models.Member.keys),
    selectinload(models.Member.gateways).selectinload(models.Gateway.registrations),
    selectinload(models.Member.subsystems)
    .selectinload(models.Subsystem.services)
    .selectinload(models.Service.methods),
)


def all_documents(
    session: Session, party: RegistryParty, instance: str, personal_numbers: str
) -> dict[str, bytes]:
    """Every target with its bytes: ``common.json``, one document per member, the descriptor sets in use."""
    found = {COMMON_TARGET: encode(common_document(session, party, instance, personal_numbers))}
    provided = _agreements_by_provider(session)
    for member in session.scalars(select(models.Member).options(*_WHOLE).order_by(models.Member.id)):
        found[member_target(member.id)] = encode(_document(member, provided.get(member.id, [])))
    used = select(models.Service.descriptors).where(models.Service.state == "active")
    for row in session.scalars(select(models.DescriptorSet).where(models.DescriptorSet.digest.in_(used))):
        found[descriptors_target(row.digest)] = row.data
    return found


def common_document(
    session: Session, party: RegistryParty, instance: str, personal_numbers: str
) -> CommonDocument:
    """What holds for all members."""
    purposes = session.scalars(select(models.Purpose).order_by(models.Purpose.code))
    return CommonDocument(
        v=1,
        instance=instance,
        registry=party,
        purposes=[Purpose(p.code, Bilingual(fr=p.label_fr, en=p.label_en)) for p in purposes],
        authorities=Authorities(auth=authority_pems(session, "auth"), seal=authority_pems(session, "seal")),
        crls=authority_pems(session, "crl"),
        personal_number_pattern=personal_numbers,
    )


def authority_pems(session: Session, kind: str) -> list[str]:
    """The certificates or lists of one kind, in order."""
    rows = (
        select(models.Authority.pem).where(models.Authority.kind == kind).order_by(models.Authority.position)
    )
    return list(session.scalars(rows))


def member_document(session: Session, member: models.Member) -> MemberDocument:
    """One member's document; agreements stand in the provider's."""
    return _document(member, provided_agreements(session, member.id))


def _document(member: models.Member, agreements: list[models.Agreement]) -> MemberDocument:
    return MemberDocument(
        v=1,
        member=member.id,
        name=Bilingual(fr=member.name_fr, en=member.name_en),
        state="suspended" if member.state == "suspended" else "active",
        member_keys=[_key(key) for key in member.keys],
        successors=[],
        registrations=[entry for gateway in member.gateways for entry in _registrations(gateway)],
        subsystems=[row.id.rpartition("/")[2] for row in member.subsystems],
        services=[_service(row) for subsystem in member.subsystems for row in subsystem.services],
        agreements=[_agreement(row) for row in agreements],
    )


def _agreements_by_provider(session: Session) -> dict[str, list[models.Agreement]]:
    """All agreements, by the member that provides, each member's in order of id and version."""
    rows = (
        select(models.Agreement, models.Subsystem.member_id)
        .join(models.Subsystem, models.Agreement.provider_id == models.Subsystem.id)
        .order_by(models.Agreement.id, models.Agreement.version)
    )
    found: dict[str, list[models.Agreement]] = {}
    for agreement, member_id in session.execute(rows):
        found.setdefault(member_id, []).append(agreement)
    return found


def provided_agreements(session: Session, member_id: str) -> list[models.Agreement]:
    """Agreements that this member provides under, in all states, in order of id and version."""
    provider = select(models.Subsystem.id).where(models.Subsystem.member_id == member_id)
    rows = (
        select(models.Agreement)
        .where(models.Agreement.provider_id.in_(provider))
        .order_by(models.Agreement.id, models.Agreement.version)
    )
    return list(session.scalars(rows))


def _key(key: models.MemberKey) -> MemberKey:
    match key.state:
        case "active" | "superseded" as state:
            return MemberKey(key.thumbprint, key.public_key, state)
        case _:
            return MemberKey(key.thumbprint, key.public_key, "revoked")


def _registrations(gateway: models.Gateway) -> list[RegistrationEntry]:
    """The registration that counts; older ones stay in the database and in the log."""
    newest = gateway.registrations[-1]
    match newest.state:
        case "active" | "suspended" as state:
            return [RegistrationEntry(newest.jws, state)]
        case _:
            return [RegistrationEntry(newest.jws, "revoked")]


def _service(row: models.Service) -> ServiceEntry:
    methods = [
        ServiceMethod(m.name, m.client_streaming, m.server_streaming, m.idempotent) for m in row.methods
    ]
    state = row.state
    return ServiceEntry(
        row.subsystem_id, row.name, row.descriptors, methods, "active" if state == "active" else "retired"
    )


def _agreement(row: models.Agreement) -> AgreementEntry:
    match row.state:
        case "active" | "suspended" | "superseded" as state:
            return AgreementEntry(row.consumer_jws, row.provider_jws, state, row.changed_at)
        case _:
            return AgreementEntry(row.consumer_jws, row.provider_jws, "revoked", row.changed_at)

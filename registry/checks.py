"""What must hold before a document is put into force: judged when it arrives, and again when it takes effect.

Trust comes from member keys. The registry looks a key up by the thumbprint that the document names, verifies the
signature over the bytes that arrived, and parses them only then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from cryptography import x509
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.agreements import Agreement, Party, parse_agreement
from core.identifiers import GatewayId, SubsystemId, urn
from core.jws import DocumentKind, parse_document
from core.reasons import ExchangeError, MalformedError, Reason
from core.registrations import ClosedLog, RegisteredCertificate, Registration, parse_registration
from core.times import parse_time_ms
from pki.chain import verify_chain
from pki.documents import unverified_kid, verify_document
from pki.keys import certificate_thumbprint, load_chain, load_crl, load_public_key
from pki.profiles import Profile, utc
from registry import models
from registry.documents import authority_pems
from registry.policy import IPNetwork, require_public_address, skeleton
from rpc.descriptors import load_descriptors
from rpc.plans import PlanError, find_messages, lost_field, mask_plan

_log = structlog.get_logger("registry.checks")


@dataclass(frozen=True, slots=True)
class VerifiedRegistration:
    """A registration that its member signed and that may be put into force.

    ``newly_closed`` are the logs that the registration before did not name as closed.
    """

    registration: Registration
    gateway: GatewayId
    jws: str
    digest: str
    newly_closed: tuple[ClosedLog, ...]


@dataclass(frozen=True, slots=True)
class VerifiedAgreement:
    """An agreement that both members signed and that may be put into force."""

    agreement: Agreement
    payload: bytes
    consumer_jws: str
    provider_jws: str
    digest: str


@dataclass(frozen=True, slots=True)
class Judge:
    """What judging needs besides the database.

    Attributes:
        root: The anchor's X.509 root.
        networks: Networks whose addresses may be registered although they are not public.
    """

    root: x509.Certificate
    networks: Sequence[IPNetwork]

    def registration(self, session: Session, jws: str, now_ms: int) -> VerifiedRegistration:
        """Verify a registration against the member keys known here; raises ``ExchangeError``."""
        # 1 The signature, over the bytes that arrived, by a member key in force.
        payload, owner = _signed(session, DocumentKind.REGISTRATION, jws)
        # 2 The form, and the key's own member.
        registration = parse_registration(payload)
        gateway = GatewayId.parse(registration.gateway)
        if str(gateway.member) != owner.id:
            raise ExchangeError(
                Reason.SIGNATURE_INVALID, f"the registration of {gateway} is signed by {owner.id}"
            )
        require_active(owner)
        # 3 It takes the place of an older one, never of a newer.
        _require_newest(session, gateway, registration.serial)
        # 4 Its name cannot be taken for another's.
        _require_gateway_name(session, gateway)
        # 5 Its certificates are what they claim to be, for this very gateway.
        for profile, certificates in ((Profile.AUTH, registration.auth), (Profile.SEAL, registration.seal)):
            for certificate in certificates:
                self.certificate(session, certificate, profile, gateway, now_ms)
        # 6 Its logs are nobody else's; its addresses may be dialled.
        for name in sorted(registration.all_logs):
            held = session.get(models.RegisteredLog, name)
            if held is not None and held.gateway_id != str(gateway):
                raise ExchangeError(Reason.ALREADY_EXISTS, f"log {name} belongs to {held.gateway_id}")
        for log in registration.logs:
            require_public_address(log.address, self.networks)
        # 7 No log vanishes: what was registered is open, or closed and succeeded in public, for ever.
        newly_closed = _newly_closed(session, registration)
        return VerifiedRegistration(
            registration, gateway, jws, hashlib.sha256(payload).hexdigest(), newly_closed
        )

    def certificate(
        self,
        session: Session,
        listed: RegisteredCertificate,
        profile: Profile,
        gateway: GatewayId,
        now_ms: int,
    ) -> None:
        """Check one registered certificate: thumbprint, chain, revocation, name."""
        leaf = load_chain(listed.chain)[0]
        if certificate_thumbprint(leaf) != listed.thumbprint:
            raise ExchangeError(
                Reason.CERTIFICATE_INVALID, f"a thumbprint of {gateway} is not its certificate's"
            )
        verified = self.chain(session, leaf, profile, now_ms)
        if verified != urn("gateway", gateway):
            raise ExchangeError(
                Reason.CERTIFICATE_INVALID, f"{gateway} registers a certificate of {verified}"
            )

    def chain(self, session: Session, leaf: x509.Certificate, profile: Profile, now_ms: int) -> str:
        """The name of a certificate that leads to the anchor's root and is not revoked."""
        authorities = [*authority_pems(session, "auth"), *authority_pems(session, "seal")]
        return verify_chain(
            leaf,
            intermediates=[issuer for pem in authorities for issuer in load_chain(pem)],
            roots=[self.root],
            crls=[load_crl(pem.encode()) for pem in authority_pems(session, "crl")],
            at=utc(now_ms),
            profile=profile,
        ).urn

    def agreement(
        self, session: Session, consumer_jws: str, provider_jws: str, now_ms: int
    ) -> VerifiedAgreement:
        """Verify an agreement that both members signed; raises ``ExchangeError``."""
        # 1 Both signatures, each over the bytes that arrived.
        payload, consumer = _signed(session, DocumentKind.AGREEMENT, consumer_jws)
        same, provider = _signed(session, DocumentKind.AGREEMENT, provider_jws)
        if payload != same:
            raise ExchangeError(Reason.DOCUMENT_INVALID, "the two members signed different agreements")
        # 2 The form, and that each side signed for itself with the key that the agreement names.
        agreement = parse_agreement(payload)
        _require_party(agreement.consumer, consumer, unverified_kid(DocumentKind.AGREEMENT, consumer_jws))
        _require_party(agreement.provider, provider, unverified_kid(DocumentKind.AGREEMENT, provider_jws))
        # 3 Everything it speaks of exists.
        _require_subsystems(session, agreement)
        _require_service(session, agreement)
        _require_purposes(session, agreement)
        _require_fields(session, agreement)
        # 4 It is not over, continues its last version, and grants nothing that another agreement grants already.
        if parse_time_ms(agreement.not_after) <= now_ms:
            raise ExchangeError(Reason.DOCUMENT_INVALID, f"agreement {agreement.id} has ended already")
        _require_succession(session, agreement)
        _require_no_overlap(session, agreement, now_ms)
        digest = hashlib.sha256(payload).hexdigest()
        return VerifiedAgreement(agreement, payload, consumer_jws, provider_jws, digest)


def require_active(member: models.Member) -> None:
    """Refuse what a suspended member hands in; raises ``ExchangeError``."""
    if member.state != "active":
        raise ExchangeError(Reason.MEMBER_SUSPENDED, f"{member.id} is suspended")


def _signed(session: Session, kind: DocumentKind, jws: str) -> tuple[bytes, models.Member]:
    """The payload of a document and the member whose active key signed it."""
    key = session.get(models.MemberKey, unverified_kid(kind, jws))
    if key is None or key.state != "active":
        raise ExchangeError(Reason.SIGNATURE_INVALID, "signed by a key that is no member's key in force")
    payload = verify_document(kind, jws, load_public_key(key.public_key))
    member = session.get_one(models.Member, key.member_id)
    return payload, member


def _require_newest(session: Session, gateway: GatewayId, serial: int) -> None:
    row = session.get(models.Gateway, str(gateway))
    if row is not None and row.registrations and row.registrations[-1].serial >= serial:
        newest = row.registrations[-1].serial
        raise ExchangeError(
            Reason.STATE_CONFLICT, f"{gateway} has registration {newest} already, {serial} is not newer"
        )


def _newly_closed(session: Session, registration: Registration) -> tuple[ClosedLog, ...]:
    row = session.get(models.Gateway, registration.gateway)
    if row is None or not row.registrations:
        return tuple(registration.closed)
    before = parse_registration(
        parse_document(DocumentKind.REGISTRATION, row.registrations[-1].jws).unverified_payload
    )
    missing = sorted(before.all_logs - registration.all_logs)
    if missing:
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"log {missing[0]} of {registration.gateway} is registered: it must be named as open or as closed",
        )
    kept = {one.id: one for one in registration.closed}
    for closed in before.closed:
        if kept.get(closed.id) != closed:
            raise ExchangeError(
                Reason.STATE_CONFLICT, f"log {closed.id} is closed, and what was said of that stays"
            )
    return tuple(one for one in registration.closed if one not in before.closed)


def _require_gateway_name(session: Session, gateway: GatewayId) -> None:
    shape = skeleton(str(gateway))
    taken = [
        *session.scalars(select(models.Gateway.id).where(models.Gateway.skeleton == shape)),
        *session.scalars(select(models.Subsystem.id).where(models.Subsystem.skeleton == shape)),
    ]
    for other in taken:
        if other != str(gateway):
            raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{gateway} looks like {other}")


def _require_party(party: Party, signer: models.Member, kid: str) -> None:
    if str(SubsystemId.parse(party.subsystem).member) != signer.id or party.member_key != kid:
        raise ExchangeError(
            Reason.SIGNATURE_INVALID, f"the side of {party.subsystem} is signed by {signer.id}, key {kid}"
        )
    require_active(signer)


def _require_subsystems(session: Session, agreement: Agreement) -> None:
    for party in (agreement.consumer, agreement.provider):
        if session.get(models.Subsystem, party.subsystem) is None:
            raise ExchangeError(Reason.NOT_FOUND, f"there is no subsystem {party.subsystem}")
    if agreement.consumer.subsystem == agreement.provider.subsystem:
        raise ExchangeError(Reason.DOCUMENT_INVALID, "a subsystem needs no agreement with itself")


def _require_service(session: Session, agreement: Agreement) -> None:
    service = session.get(models.Service, (agreement.provider.subsystem, agreement.service))
    if service is None or service.state != "active":
        raise ExchangeError(
            Reason.NOT_FOUND, f"{agreement.provider.subsystem} does not provide {agreement.service}"
        )
    unknown = set(agreement.methods) - {method.name for method in service.methods}
    if unknown:
        raise ExchangeError(
            Reason.NOT_FOUND, f"{agreement.service} has no method {', '.join(sorted(unknown))}"
        )


def _require_purposes(session: Session, agreement: Agreement) -> None:
    known = set(session.scalars(select(models.Purpose.code)))
    unknown = set(agreement.purposes) - known
    if unknown:
        raise ExchangeError(Reason.NOT_FOUND, f"there is no purpose {', '.join(sorted(unknown))}")


def _require_fields(session: Session, agreement: Agreement) -> None:
    """Every field that is granted is one that the published descriptors know: else no gateway could enforce the mask."""
    if not agreement.field_mask:
        return
    service = session.get_one(models.Service, (agreement.provider.subsystem, agreement.service))
    published = load_descriptors(session.get_one(models.DescriptorSet, service.descriptors).data)
    for method, paths in agreement.field_mask.items():
        try:
            _, returned = find_messages(published, agreement.service, method)
            mask_plan(returned, paths)
        except PlanError as error:
            text = f"the field mask of agreement {agreement.id} for {method}: {error}"
            raise ExchangeError(Reason.DOCUMENT_INVALID, text) from None


def require_grants_kept(session: Session, subsystem: str, service: str, data: bytes, now_ms: int) -> None:
    """Require that new descriptors keep what field masks of agreements grant of those that are published (PROTOCOL M11).

    And that every mask can be enforced with them: else gateways would refuse its agreement, and the next descriptors
    would have nothing to keep. Of a retired service, too: it comes back with the agreements that it had. An agreement
    without a mask grants whatever there is.

    Raises:
        ExchangeError: ``GRANTED_FIELD_LOST``, with agreement, method and field.
    """
    row = session.get(models.Service, (subsystem, service))
    masked = [one for one in _agreements_over(session, subsystem, service, now_ms) if one.field_mask]
    if row is None or not masked:
        return
    try:
        before = load_descriptors(session.get_one(models.DescriptorSet, row.descriptors).data)
    except MalformedError as error:
        # Linked when it was published, by the protobuf of that day: not the new set is to blame.
        _log.warning("published_descriptors_not_linked", service=f"{subsystem}/{service}", error=str(error))
        return
    after = load_descriptors(data)
    for agreement in masked:
        for method, paths in (agreement.field_mask or {}).items():
            try:
                _, returned = find_messages(before, service, method)
                mask_plan(returned, paths)
            except PlanError:
                continue  # no gateway could enforce it before: there is nothing to keep
            what = _lost_grant(returned, after, service, method, paths)
            if what:
                text = f"agreement {agreement.id}, version {agreement.version}, grants {what}"
                raise ExchangeError(Reason.GRANTED_FIELD_LOST, text)


def _lost_grant(
    returned: Descriptor, after: DescriptorPool, service: str, method: str, paths: Sequence[str]
) -> str:
    """What the descriptors ``after`` take of ``paths``, and why; empty if they take nothing."""
    try:
        _, newer = find_messages(after, service, method)
        lost = lost_field(returned, newer, paths)
        if lost is not None:
            return f"{method}: {lost}"
        mask_plan(newer, paths)
    except PlanError as error:
        return f"{method}: {error}"
    return ""


def _agreements_over(session: Session, provider: str, service: str, now_ms: int) -> list[Agreement]:
    """The agreements over a service that are in force or may be again."""
    rows = select(models.Agreement).where(
        models.Agreement.provider_id == provider,
        models.Agreement.service == service,
        models.Agreement.state.in_(("active", "suspended")),
        models.Agreement.not_after > now_ms,
    )
    order = (models.Agreement.id, models.Agreement.version)
    return [parse_agreement(row.payload) for row in session.scalars(rows.order_by(*order))]


def _require_succession(session: Session, agreement: Agreement) -> None:
    newest = newest_version(session, agreement.id)
    expected = (1, None) if newest is None else (newest.version + 1, newest.digest)
    if (agreement.version, agreement.supersedes) != expected:
        raise ExchangeError(
            Reason.STATE_CONFLICT,
            f"agreement {agreement.id} goes on with version {expected[0]}, naming the last",
        )
    sides = (agreement.consumer.subsystem, agreement.provider.subsystem)
    if newest is not None and sides != (newest.consumer_id, newest.provider_id):
        raise ExchangeError(Reason.STATE_CONFLICT, f"agreement {agreement.id} is between other parties")


def _require_no_overlap(session: Session, agreement: Agreement, now_ms: int) -> None:
    """One method is granted to one subsystem by one agreement, or nobody could say which one was used."""
    for other in _agreements_over(session, agreement.provider.subsystem, agreement.service, now_ms):
        is_between_the_same = other.consumer.subsystem == agreement.consumer.subsystem
        if other.id != agreement.id and is_between_the_same and set(other.methods) & set(agreement.methods):
            raise ExchangeError(Reason.STATE_CONFLICT, f"agreement {other.id} grants such a method already")


def newest_version(session: Session, name: str) -> models.Agreement | None:
    """The newest version of an agreement, whatever its state."""
    rows = select(models.Agreement).where(models.Agreement.id == name)
    return session.scalars(rows.order_by(models.Agreement.version.desc()).limit(1)).first()

"""Judges what the documents of a trusted version say: who is who, and what both sides of an agreement signed.

The order of the argument (PROTOCOL M8, "registry and CA keys can refuse, suspend and revoke; they can grant
nothing"):

1. The common document names the registry that this gateway pins, and the issuing CAs.
2. A member's document lies under its own name; each key is what its thumbprint says.
3. A successor of a member key is signed by the key before it.
4. A registration is signed by a key of that member; each of its certificates leads over the right CA to the
   anchor's root, under the right profile and the gateway's own name, and is not revoked. The highest serial
   counts. No log belongs to two gateways.
5. A service lies under a subsystem of the member, and its descriptors have the digest that names them.
6. An agreement of our own member is one sequence of bytes signed by both keys that it names, each a key of
   the member it speaks for; ours is the key in ``gateway.toml``, or its successor.
7. A field mask of such an agreement names fields that the descriptors of step 5 have; else workers refuse the agreement.

What fails at 1 refuses the whole version: the one before stays in force. What fails later is left out, with
its reason; the rest goes on.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from core.agreements import Agreement, Party, parse_agreement
from core.configuration import (
    COMMON_TARGET,
    AgreementEntry,
    CommonDocument,
    Marks,
    MaskPlan,
    MemberDocument,
    RegistrationEntry,
    ServiceEntry,
    descriptors_target,
    member_target,
)
from core.documents import decode_strict
from core.identifiers import GatewayId, MemberId, RegistryId, SubsystemId, urn
from core.jws import DocumentKind, parse_document
from core.reasons import ExchangeError, Reason
from core.registrations import RegisteredCertificate, Registration, parse_registration, parse_successor
from gateway.control.marks import compile_marks
from gateway.control.masks import compile_masks
from gateway.control.repository import UntrustedConfigurationError
from gateway.control.state import LeftOut
from pki.chain import verify_chain
from pki.documents import unverified_kid, verify_document
from pki.keys import certificate_thumbprint, key_thumbprint, load_chain, load_crl, load_public_key
from pki.profiles import Profile

_Candidate = TypeVar("_Candidate")
_Accepted = TypeVar("_Accepted")
_MEMBERS = "members/"


@dataclass(frozen=True, slots=True)
class JudgedConfiguration:
    """The documents of one version, without what does not hold.

    Attributes:
        common: The common document.
        members: Every member whose document holds, in order of id; agreements of other members are not kept.
        masks: The field masks of their agreements, compiled.
        marks: What descriptors say of the messages of methods that their agreements name.
        left_out: What does not hold, and why.
    """

    common: CommonDocument
    members: list[MemberDocument]
    masks: list[MaskPlan]
    marks: Marks
    left_out: tuple[LeftOut, ...]


class RejectedError(ValueError):
    """A part of a document is not what it claims to be."""


@dataclass(frozen=True, slots=True)
class Judge:
    """What this gateway takes as given when it judges a configuration.

    Attributes:
        root: The X.509 root of the anchor it was installed with.
        registry: The registry it pins.
        member: Its own member.
        member_key: Thumbprint of its own member's key, from ``gateway.toml``.
    """

    root: x509.Certificate
    registry: RegistryId
    member: MemberId
    member_key: str

    def judge(self, documents: Mapping[str, bytes], now_ms: int) -> JudgedConfiguration:
        """Judge all documents of one version, by target.

        Raises:
            UntrustedConfigurationError: The common document does not hold.
        """
        at = datetime.fromtimestamp(now_ms / 1000, UTC)
        # Step 1
        common, authorities = _require_common(self, documents, at)
        left_out = _LeftOutList()
        # Steps 2 and 3
        members = {
            member.member: member
            for target in sorted(documents)
            if target.startswith(_MEMBERS)
            for member in left_out.sieve(target, "document", [target], lambda t: _member(t, documents[t]))
        }
        members = {name: _with_successors(member, left_out) for name, member in members.items()}
        # Step 4
        members = {name: _with_registrations(m, authorities, left_out) for name, m in members.items()}
        members = _without_shared_logs(members, left_out)
        # Step 5
        members = {name: _with_services(member, documents, left_out) for name, member in members.items()}
        # Step 6
        members = {name: _with_agreements(self, m, members, left_out) for name, m in members.items()}
        # Step 7
        masks, unknown = compile_masks(list(members.values()), documents)
        marks = compile_marks(list(members.values()), documents)
        return JudgedConfiguration(common, list(members.values()), masks, marks, (*left_out.found, *unknown))


@dataclass(frozen=True, slots=True)
class _Authorities:
    """Who may issue certificates, and which of those no longer count, at one moment."""

    root: x509.Certificate
    issuing: Mapping[Profile, Sequence[x509.Certificate]]
    crls: Sequence[x509.CertificateRevocationList]
    at: datetime

    def require(self, chain_pem: str, profile: Profile, name: str) -> x509.Certificate:
        """The leaf of a chain that leads from ``name`` over the CA of ``profile`` to the anchor's root."""
        leaf = load_chain(chain_pem)[0]
        # Intermediates that came with the certificate count for nothing: only listed CAs may issue.
        verified = verify_chain(
            leaf,
            intermediates=self.issuing[profile],
            roots=[self.root],
            crls=self.crls,
            at=self.at,
            profile=profile,
        )
        if verified.urn != name:
            raise RejectedError(f"certificate names {verified.urn}, not {name}")
        return leaf


class _LeftOutList:
    """Collects what does not hold."""

    def __init__(self) -> None:
        self._found: list[LeftOut] = []

    @property
    def found(self) -> tuple[LeftOut, ...]:
        return tuple(self._found)

    def add(self, target: str, part: str, why: str) -> None:
        self._found.append(LeftOut(target, part, why))

    def sieve(
        self,
        target: str,
        part: str,
        candidates: Iterable[_Candidate],
        accept: Callable[[_Candidate], _Accepted],
    ) -> list[_Accepted]:
        """What ``accept`` returns for each candidate; those for which it raises are left out."""
        accepted = []
        for candidate in candidates:
            try:
                accepted.append(accept(candidate))
            except (ExchangeError, ValueError) as error:
                self.add(target, part, str(error))
        return accepted


def _require_common(
    judge: Judge, documents: Mapping[str, bytes], at: datetime
) -> tuple[CommonDocument, _Authorities]:
    try:
        common = decode_strict(documents.get(COMMON_TARGET, b""), CommonDocument)
        if common.v != 1 or common.instance != judge.member.instance:
            raise RejectedError(f"the common document is of version {common.v} for {common.instance}")
        if common.registry.id != str(judge.registry):
            raise RejectedError(f"the configuration is of {common.registry.id}, not {judge.registry}")
        authorities = _Authorities(
            judge.root,
            {
                Profile.AUTH: [load_chain(pem)[0] for pem in common.authorities.auth],
                Profile.SEAL: [load_chain(pem)[0] for pem in common.authorities.seal],
            },
            [load_crl(pem.encode()) for pem in common.crls],
            at,
        )
    except (ExchangeError, ValueError) as error:
        raise UntrustedConfigurationError(f"the common document does not hold: {error}") from error
    return common, authorities


def _member(target: str, data: bytes) -> MemberDocument:
    document = decode_strict(data, MemberDocument)
    if document.v != 1 or member_target(MemberId.parse(document.member)) != target:
        raise RejectedError(f"it is a document of {document.member}, version {document.v}")
    for key in document.member_keys:
        if key_thumbprint(load_public_key(key.public_key)) != key.thumbprint:
            raise RejectedError(f"a member key is not the one that {key.thumbprint} names")
    return document


def _with_successors(member: MemberDocument, left_out: _LeftOutList) -> MemberDocument:
    keys = _usable_keys(member)

    def accept(jws: str) -> str:
        old = unverified_kid(DocumentKind.MEMBER_SUCCESSOR, jws)
        successor = parse_successor(_verified(DocumentKind.MEMBER_SUCCESSOR, jws, keys))
        if (successor.member, successor.old_key) != (member.member, old) or successor.new_key not in keys:
            raise RejectedError("a successor speaks of another member or of keys that are not listed")
        return jws

    target = member_target(member.member)
    accepted = left_out.sieve(target, "successor", member.successors, accept)
    return msgspec.structs.replace(member, successors=accepted)


def _with_registrations(
    member: MemberDocument, authorities: _Authorities, left_out: _LeftOutList
) -> MemberDocument:
    keys = _usable_keys(member)

    def accept(entry: RegistrationEntry) -> tuple[Registration, RegistrationEntry]:
        registration = parse_registration(_verified(DocumentKind.REGISTRATION, entry.jws, keys))
        _require_own_gateway(member, registration)
        # What was suspended or revoked is kept as a word of the registry; its certificates no longer matter.
        if entry.state == "active":
            _require_certificates(registration, authorities)
        return registration, entry

    target = member_target(member.member)
    accepted = left_out.sieve(target, "registration", member.registrations, accept)
    newest: dict[str, tuple[Registration, RegistrationEntry]] = {}
    for registration, entry in sorted(accepted, key=lambda one: one[0].serial):
        newest[registration.gateway] = (registration, entry)
    kept = [entry for _, entry in sorted(newest.values(), key=lambda one: one[0].gateway)]
    return msgspec.structs.replace(member, registrations=kept)


def _require_own_gateway(member: MemberDocument, registration: Registration) -> None:
    if str(GatewayId.parse(registration.gateway).member) != member.member:
        raise RejectedError(f"{member.member} cannot register {registration.gateway}")


def _require_certificates(registration: Registration, authorities: _Authorities) -> None:
    name = urn("gateway", registration.gateway)
    certificates: list[tuple[Profile, RegisteredCertificate]] = [
        *((Profile.AUTH, certificate) for certificate in registration.auth),
        *((Profile.SEAL, certificate) for certificate in registration.seal),
    ]
    valid: Counter[Profile] = Counter()
    for profile, certificate in certificates:
        try:
            leaf = authorities.require(certificate.chain, profile, name)
        except ExchangeError as error:
            # During a rotation the old certificate expires beside the new one. Anything else is no accident:
            # a revoked certificate closes its gateway until the member signs a registration without it.
            if error.reason is not Reason.CERTIFICATE_EXPIRED:
                raise
            continue
        if certificate_thumbprint(leaf) != certificate.thumbprint:
            raise RejectedError(f"a certificate is not the one that {certificate.thumbprint} names")
        valid[profile] += 1
    for profile in (Profile.AUTH, Profile.SEAL):
        if not valid[profile]:
            raise RejectedError(
                f"{registration.gateway} has no {profile.value} certificate that is valid now"
            )


def _without_shared_logs(
    members: Mapping[str, MemberDocument], left_out: _LeftOutList
) -> dict[str, MemberDocument]:
    owners = Counter(
        log for member in members.values() for entry in member.registrations for log in _logs(entry)
    )

    def accept(entry: RegistrationEntry) -> RegistrationEntry:
        shared = sorted(log for log in _logs(entry) if owners[log] > 1)
        if shared:
            raise RejectedError(f"log {shared[0]} is registered for more than one gateway")
        return entry

    return {
        name: msgspec.structs.replace(
            member,
            registrations=left_out.sieve(member_target(name), "registration", member.registrations, accept),
        )
        for name, member in members.items()
    }


def _with_services(
    member: MemberDocument, documents: Mapping[str, bytes], left_out: _LeftOutList
) -> MemberDocument:
    def accept(service: ServiceEntry) -> ServiceEntry:
        subsystem = SubsystemId.parse(service.subsystem)
        if str(subsystem.member) != member.member or subsystem.code not in member.subsystems:
            raise RejectedError(f"{service.subsystem} is no subsystem of {member.member}")
        data = documents.get(descriptors_target(service.descriptors), b"")
        if hashlib.sha256(data).hexdigest() != service.descriptors:
            raise RejectedError(
                f"the descriptors of {service.service} are not those that {service.subsystem} published"
            )
        _require_descriptors(data, service)
        return service

    accepted = left_out.sieve(member_target(member.member), "service", member.services, accept)
    return msgspec.structs.replace(member, services=accepted)


def _require_descriptors(data: bytes, service: ServiceEntry) -> None:
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    except DecodeError as error:
        raise RejectedError(f"the descriptors of {service.service} cannot be read") from error
    methods = {
        method.name
        for file in files
        for one in file.service
        if f"{file.package}.{one.name}" == service.service
        for method in one.method
    }
    if {method.name for method in service.methods} != methods:
        raise RejectedError(f"the methods of {service.service} are not those of its descriptors")


def _with_agreements(
    judge: Judge, member: MemberDocument, members: Mapping[str, MemberDocument], left_out: _LeftOutList
) -> MemberDocument:
    own_keys = _succession(judge.member_key, members.get(str(judge.member)))

    def accept(entry: AgreementEntry) -> AgreementEntry | None:
        payload = parse_document(DocumentKind.AGREEMENT, entry.consumer_jws).unverified_payload
        agreement = parse_agreement(payload)
        sides = (agreement.consumer, agreement.provider)
        # Agreements between others are their own affair.
        if str(judge.member) not in map(_member_of, sides):
            return None
        if _member_of(agreement.provider) != member.member:
            raise RejectedError(
                f"agreement {agreement.id} of {_member_of(agreement.provider)} is not published here"
            )
        for side, jws in zip(sides, (entry.consumer_jws, entry.provider_jws), strict=True):
            _require_consent(agreement, side, jws, payload, members)
            if _member_of(side) == str(judge.member) and side.member_key not in own_keys:
                raise RejectedError(f"agreement {agreement.id} names a key that is not our member key")
        return entry

    accepted = left_out.sieve(member_target(member.member), "agreement", member.agreements, accept)
    return msgspec.structs.replace(member, agreements=[entry for entry in accepted if entry is not None])


def _require_consent(
    agreement: Agreement, side: Party, jws: str, payload: bytes, members: Mapping[str, MemberDocument]
) -> None:
    """Require that the key which ``side`` names belongs to its member and signed exactly ``payload``."""
    member = members.get(_member_of(side))
    keys = _usable_keys(member) if member is not None else {}
    if unverified_kid(DocumentKind.AGREEMENT, jws) != side.member_key:
        raise RejectedError(
            f"agreement {agreement.id} is not signed with the key that it names for {side.subsystem}"
        )
    if _verified(DocumentKind.AGREEMENT, jws, keys) != payload:
        raise RejectedError(f"the two sides of agreement {agreement.id} signed different bytes")


def _succession(pinned: str, member: MemberDocument | None) -> frozenset[str]:
    """The pinned key and every key that it, or its successors, named as successor.

    Only forward: a key that merely claims the pinned one as its successor has shown nothing.
    """
    links = [
        parse_successor(parse_document(DocumentKind.MEMBER_SUCCESSOR, jws).unverified_payload)
        for jws in (member.successors if member is not None else ())
    ]
    reached = {pinned}
    for _ in links:
        reached |= {link.new_key for link in links if link.old_key in reached}
    return frozenset(reached)


def _usable_keys(member: MemberDocument) -> dict[str, ec.EllipticCurvePublicKey]:
    return {
        key.thumbprint: load_public_key(key.public_key)
        for key in member.member_keys
        if key.state != "revoked"
    }


def _verified(kind: DocumentKind, jws: str, keys: Mapping[str, ec.EllipticCurvePublicKey]) -> bytes:
    """The payload of a document signed by one of ``keys``."""
    thumbprint = unverified_kid(kind, jws)
    if thumbprint not in keys:
        raise RejectedError(f"signed with {thumbprint}, which is no usable key of the member")
    return verify_document(kind, jws, keys[thumbprint])


def _member_of(side: Party) -> str:
    return str(SubsystemId.parse(side.subsystem).member)


def _logs(entry: RegistrationEntry) -> list[str]:
    payload = parse_document(DocumentKind.REGISTRATION, entry.jws).unverified_payload
    return sorted(parse_registration(payload).all_logs)

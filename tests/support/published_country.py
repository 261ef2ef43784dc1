"""A country's documents as a registry publishes them: real keys, real chains, real signatures.

Every part can be made wrong: that is what the tests of the judge do.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.agreements import Agreement, Bilingual, Party
from core.configuration import (
    COMMON_TARGET,
    AgreementEntry,
    Authorities,
    CommonDocument,
    MemberDocument,
    MemberKey,
    RegistrationEntry,
    RegistryParty,
    ServiceEntry,
    ServiceMethod,
    descriptors_target,
    member_target,
)
from core.documents import digest, encode
from core.identifiers import urn
from core.jws import DocumentKind
from core.registrations import MemberSuccessor, RegisteredCertificate, RegisteredLog, Registration
from core.times import format_time_ms
from pki.documents import sign_document
from pki.keys import (
    certificate_pem,
    certificate_thumbprint,
    chain_pem,
    generate_key,
    key_thumbprint,
    public_key_pem,
)
from pki.profiles import AuthorityKind, Issuer, Profile, issue, issue_authority, utc

REGISTRY = "BJ/GOV/ASIN/registre"


def found_authority(kind: AuthorityKind, issuer: Issuer | None, now_ms: int) -> Issuer:
    """A CA with a key of its own."""
    key = generate_key()
    return Issuer(key, issue_authority(kind, issuer, key, f"Test {kind}", now_ms=now_ms))


@dataclass
class PublishedMember:
    """A member's keys and its document; change the document and publish again."""

    id: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=generate_key)
    document: MemberDocument = field(init=False)

    def __post_init__(self) -> None:
        self.document = MemberDocument(
            v=1,
            member=self.id,
            name=Bilingual("nom", "name"),
            state="active",
            member_keys=[listed(self.key)],
            successors=[],
            registrations=[],
            subsystems=[],
            services=[],
            agreements=[],
        )

    @property
    def thumbprint(self) -> str:
        """Of its first member key."""
        return key_thumbprint(self.key.public_key())

    def change(self, **fields: object) -> None:
        """Put other values into the document."""
        self.document = msgspec.structs.replace(self.document, **fields)


def listed(key: ec.EllipticCurvePrivateKey, **fields: object) -> MemberKey:
    """A member key as its document lists it."""
    public = key.public_key()
    found = MemberKey(thumbprint=key_thumbprint(public), public_key=public_key_pem(public), state="active")
    return msgspec.structs.replace(found, **fields)


class PublishedCountry:
    """A root, two issuing CAs, and whoever is added."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.root = found_authority(AuthorityKind.ROOT, None, now_ms)
        self.auth = found_authority(AuthorityKind.AUTH, self.root, now_ms)
        self.seal = found_authority(AuthorityKind.SEAL, self.root, now_ms)
        self.members: dict[str, PublishedMember] = {}
        self.files: dict[str, bytes] = {}
        self.revoked: list[x509.Certificate] = []
        self.crl_lifetime = timedelta(days=7)

    def member(self, member_id: str) -> PublishedMember:
        """A new member."""
        self.members[member_id] = PublishedMember(member_id)
        return self.members[member_id]

    def certificate(
        self, profile: Profile, gateway: str, *, lifetime: timedelta | None = None, now_ms: int | None = None
    ) -> RegisteredCertificate:
        """A certificate of a gateway with its chain, as a registration lists it."""
        issuer = self.auth if profile is Profile.AUTH else self.seal
        certificate = issue(
            profile,
            issuer,
            generate_key().public_key(),
            urn("gateway", gateway),
            now_ms=now_ms or self.now_ms,
            hosts=("127.0.0.1",) if profile.rules.hosts else (),
            lifetime=lifetime,
        )
        return registered(certificate, issuer.certificate)

    def registration(self, gateway: str, **fields: object) -> Registration:
        """A gateway with one log; ``fields`` replace what a test wants otherwise."""
        found = Registration(
            v=1,
            gateway=gateway,
            serial=1,
            issued_at=format_time_ms(self.now_ms),
            auth=[self.certificate(Profile.AUTH, gateway)],
            seal=[self.certificate(Profile.SEAL, gateway)],
            logs=[RegisteredLog(id=digest(gateway.encode()), worker=0, address="127.0.0.1:7444")],
        )
        return msgspec.structs.replace(found, **fields)

    def register(
        self,
        member: PublishedMember,
        registration: Registration,
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        """Sign a registration and publish it."""
        jws = sign_document(DocumentKind.REGISTRATION, encode(registration), key or member.key)
        entry = RegistrationEntry(jws=jws, state="active")
        member.change(registrations=[*member.document.registrations, entry])

    def provide(
        self, member: PublishedMember, code: str, service: str, descriptors: bytes, *methods: str
    ) -> None:
        """Publish a service of a subsystem."""
        self.files[descriptors_target(digest(descriptors))] = descriptors
        entry = ServiceEntry(
            subsystem=f"{member.id}/{code}",
            service=service,
            descriptors=digest(descriptors),
            methods=[ServiceMethod(name, False, False, True) for name in methods],
            state="active",
        )
        member.change(
            subsystems=[*member.document.subsystems, code], services=[*member.document.services, entry]
        )

    def agreement(
        self, consumer: PublishedMember, provider: PublishedMember, /, **fields: object
    ) -> Agreement:
        """An agreement between two members; ``fields`` replace what a test wants otherwise."""
        found = Agreement(
            v=1,
            id="CV-0042",
            version=1,
            supersedes=None,
            consumer=Party(f"{consumer.id}/PORTAIL", consumer.thumbprint),
            provider=Party(f"{provider.id}/RNPP", provider.thumbprint),
            service="bj.identity.v1.IdentityService",
            methods=["GetPerson"],
            purposes=["P01"],
            issue_required=True,
            field_mask=None,
            quota=None,
            represented_parties=None,
            allow_loopback=False,
            max_configuration_age_s=None,
            not_before=format_time_ms(self.now_ms - 86_400_000),
            not_after=format_time_ms(self.now_ms + 86_400_000),
            legal_basis=Bilingual("loi", "law"),
            apdp_decision=None,
        )
        return msgspec.structs.replace(found, **fields)

    def documents(self) -> dict[str, bytes]:
        """Everything that is published, by target."""
        common = CommonDocument(
            v=1,
            instance="BJ",
            registry=RegistryParty(id=REGISTRY, logs=[], certificates=[]),
            purposes=[],
            authorities=Authorities(
                auth=[certificate_pem(self.auth.certificate).decode()],
                seal=[certificate_pem(self.seal.certificate).decode()],
            ),
            crls=[self.crl(issuer) for issuer in (self.root, self.auth, self.seal)],
            personal_number_pattern="(?<![0-9])[0-9]{10}(?![0-9])",
        )
        found = {COMMON_TARGET: encode(common), **self.files}
        for member in self.members.values():
            found[member_target(member.id)] = encode(member.document)
        return found

    def crl(self, issuer: Issuer) -> str:
        """The revocation list of one CA."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(utc(self.now_ms))
            .next_update(utc(self.now_ms) + self.crl_lifetime)
        )
        for certificate in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            if certificate.issuer == issuer.certificate.subject:
                builder = builder.add_revoked_certificate(entry.revocation_date(utc(self.now_ms)).build())
        crl = builder.sign(issuer.key, hashes.SHA256())
        return crl.public_bytes(serialization.Encoding.PEM).decode()


def registered(certificate: x509.Certificate, *chain: x509.Certificate) -> RegisteredCertificate:
    """A certificate as a registration lists it."""
    return RegisteredCertificate(
        thumbprint=certificate_thumbprint(certificate), chain=chain_pem([certificate, *chain]).decode()
    )


def conclude(
    agreement: Agreement,
    consumer_key: ec.EllipticCurvePrivateKey,
    provider_key: ec.EllipticCurvePrivateKey,
    **fields: object,
) -> AgreementEntry:
    """An agreement signed by two keys."""
    payload = encode(agreement)
    entry = AgreementEntry(
        consumer_jws=sign_document(DocumentKind.AGREEMENT, payload, consumer_key),
        provider_jws=sign_document(DocumentKind.AGREEMENT, payload, provider_key),
        state="active",
        changed_at=0,
    )
    return msgspec.structs.replace(entry, **fields)


def succeed(
    member: str, old: ec.EllipticCurvePrivateKey, new: ec.EllipticCurvePrivateKey, **fields: object
) -> str:
    """The succession of a member key, signed by the old one."""
    payload = MemberSuccessor(
        v=1,
        member=member,
        old_key=key_thumbprint(old.public_key()),
        new_key=key_thumbprint(new.public_key()),
        issued_at="2026-11-23T10:00:00Z",
    )
    return sign_document(
        DocumentKind.MEMBER_SUCCESSOR, encode(msgspec.structs.replace(payload, **fields)), old
    )

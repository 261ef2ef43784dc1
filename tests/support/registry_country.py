"""A registry in this process, founded as the documentation says, and the members, keys and papers that tests hand in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.descriptors import descriptor_set
from bj.identity.v1 import identity_pb2
from core.agreements import Agreement, Bilingual, Party
from core.clock import Clock
from core.documents import digest, encode
from core.heads import TreeHead
from core.identifiers import GatewayId, PersonId, RegistryId, UrnKind, parse_urn, urn
from core.jws import DocumentKind
from core.registrations import RegisteredCertificate, RegisteredLog, Registration
from core.times import format_time_ms
from pki.anchor import Anchor
from pki.authority import Authority, found
from pki.documents import sign_document
from pki.heads import HeadSigner
from pki.keys import (
    certificate_thumbprint,
    chain_pem,
    generate_key,
    key_pem,
    key_thumbprint,
    public_key_pem,
)
from pki.profiles import AuthorityKind, Profile, build_csr
from registry.client import RegistryClient
from registry.founding import found_registry
from registry.office import Actor, MemberDocument, Office
from registry.serving import Registry
from rpc.identity import Identity

REGISTRY = RegistryId.parse("BJ/GOV/ASIN/registre")
IDENTITY_SERVICE = "bj.identity.v1.IdentityService"
PNS, ANIP = "BJ/GOV/PNS", "BJ/GOV/ANIP"
PORTAIL, RNPP = "BJ/GOV/PNS/PORTAIL", "BJ/GOV/ANIP/RNPP"

# Importing the generated module registers its descriptors.
IDENTITY_PROTO = identity_pb2.DESCRIPTOR.name


@dataclass
class RegistryCountry:
    """One registry with its CAs; everything that members do by hand is a method."""

    root: Path
    clock: Clock
    authorities: dict[AuthorityKind, Authority]
    anchor: Anchor
    registry: Registry
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    @property
    def office(self) -> Office:
        """What the registry does."""
        return self.registry.office

    @property
    def version(self) -> int:
        """The configuration version that is published."""
        return self.office.publisher.current.mark.version

    def reopen(self) -> None:
        """Stop and start the registry, as a restart of its process does."""
        self.registry.close()
        self.registry = Registry.open(self.root / "registry" / "registry.toml", self.clock)

    def require_documents_as_from_scratch(self) -> None:
        """What is published, made change by change, equals what the database alone would give."""
        if not self.office.is_behind:
            with self.office.sessions() as session:
                published = self.office.publisher.targets
                assert published == {
                    path: digest(data) for path, data in self.office.documents(session).items()
                }

    # --- who asks ---

    def operator(self, number: int = 1) -> Actor:
        """An operator."""
        person = PersonId(REGISTRY.member, f"operateur-{number}")
        return Actor("operator", person, urn("operator", person))

    def gateway(self, gateway: str) -> Actor:
        """A gateway, as its auth certificate names it."""
        identifier = GatewayId.parse(gateway)
        return Actor("gateway", identifier, urn("gateway", identifier))

    def identity(self, kind: UrnKind, name: str, profile: Profile) -> Identity:
        """A TLS identity, as ``ca issue`` makes it."""
        subject = urn(kind, name)
        assert parse_urn(subject)
        key = generate_key()
        auth = self.authorities[AuthorityKind.AUTH]
        hosts = ("127.0.0.1",) if profile.rules.hosts else ()
        leaf = auth.issue(profile, build_csr(key), subject, now_ms=self.clock.now_ms(), hosts=hosts)
        return Identity(
            key_pem(key), chain_pem([leaf, auth.certificate]), chain_pem([self.anchor.certificate])
        )

    def client(self, identity: Identity) -> RegistryClient:
        """A connection to the running registry."""
        return RegistryClient(f"127.0.0.1:{self.registry.port}", identity, str(REGISTRY))

    # --- documents ---

    def key(self, member: str) -> ec.EllipticCurvePrivateKey:
        """A member's key."""
        return self.keys.setdefault(member, generate_key())

    def member_document(self, member: str) -> MemberDocument:
        """What an operator hands in for a new member."""
        return MemberDocument(member, "Un membre", "A member", public_key_pem(self.key(member).public_key()))

    def registered(self, profile: Profile, gateway: str, *, revoked: bool = False) -> RegisteredCertificate:
        """A certificate of a gateway, as a registration lists it."""
        kind = AuthorityKind.AUTH if profile is Profile.AUTH else AuthorityKind.SEAL
        authority = self.authorities[kind]
        leaf = authority.issue(
            profile,
            build_csr(generate_key()),
            urn("gateway", gateway),
            now_ms=self.clock.now_ms(),
            hosts=("127.0.0.1",) if profile.rules.hosts else (),
        )
        if revoked:
            authority.revoke(leaf, "key-compromise", now_ms=self.clock.now_ms())
        chain = chain_pem([leaf, authority.certificate]).decode("ascii")
        return RegisteredCertificate(certificate_thumbprint(leaf), chain)

    def registration(self, gateway: str, **fields: object) -> Registration:
        """A registration with one log; ``fields`` replace what a test wants otherwise."""
        made = Registration(
            v=1,
            gateway=gateway,
            serial=1,
            issued_at=format_time_ms(self.clock.now_ms()),
            auth=[self.registered(Profile.AUTH, gateway)],
            seal=[self.registered(Profile.SEAL, gateway)],
            logs=[RegisteredLog(id=digest(gateway.encode()), worker=0, address="127.0.0.1:7444")],
        )
        return msgspec.structs.replace(made, **fields)

    def sign_registration(
        self, registration: Registration, key: ec.EllipticCurvePrivateKey | None = None
    ) -> str:
        """The registration, signed by its member's key unless another is given."""
        member = str(GatewayId.parse(registration.gateway).member)
        return sign_document(DocumentKind.REGISTRATION, encode(registration), key or self.key(member))

    def agreement(self, **fields: object) -> Agreement:
        """The portal may ask ANIP; ``fields`` replace what a test wants otherwise."""
        now = self.clock.now_ms()
        year = timedelta(days=365) // timedelta(milliseconds=1)
        made = Agreement(
            v=1,
            id="CV-0001",
            version=1,
            supersedes=None,
            consumer=Party(PORTAIL, key_thumbprint(self.key(PNS).public_key())),
            provider=Party(RNPP, key_thumbprint(self.key(ANIP).public_key())),
            service=IDENTITY_SERVICE,
            methods=["GetPerson"],
            purposes=["P01"],
            issue_required=True,
            field_mask=None,
            quota=None,
            represented_parties=None,
            allow_loopback=False,
            max_configuration_age_s=None,
            not_before=format_time_ms(now),
            not_after=format_time_ms(now + year),
            legal_basis=Bilingual("Loi 2017-08", "Law 2017-08"),
            apdp_decision=None,
        )
        return msgspec.structs.replace(made, **fields)

    def sign_agreement(self, agreement: Agreement, *members: str) -> tuple[str, str]:
        """The agreement signed for consumer and provider, by their own keys unless others are named."""
        first, second = members or (PNS, ANIP)
        payload = encode(agreement)
        return (
            sign_document(DocumentKind.AGREEMENT, payload, self.key(first)),
            sign_document(DocumentKind.AGREEMENT, payload, self.key(second)),
        )

    # --- steps of founding ---

    def approve(self, number: int) -> int:
        """Both operators approve; returns the version in force."""
        self.office.approve(self.operator(1), number)
        return self.office.approve(self.operator(2), number)[1]

    def add_member(self, member: str) -> None:
        """A member, approved."""
        self.approve(self.office.propose_member(self.operator(), self.member_document(member)))

    def register(self, gateway: str, **fields: object) -> None:
        """A gateway, registered and approved."""
        jws = self.sign_registration(self.registration(gateway, **fields))
        self.approve(self.office.submit_registration(self.gateway(gateway), jws))

    def populate(self) -> None:
        """Two members with gateways and subsystems, and ANIP's service."""
        for member, subsystem in ((PNS, PORTAIL), (ANIP, RNPP)):
            self.add_member(member)
            self.office.add_subsystem(self.operator(), subsystem)
            self.register(f"{member}/gw1")
        self.office.publish_services(
            self.gateway(f"{ANIP}/gw1"), RNPP, descriptor_set(IDENTITY_SERVICE), [IDENTITY_SERVICE]
        )

    def conclude(self, **fields: object) -> int:
        """An agreement, signed and approved; returns the version in force."""
        signed = self.sign_agreement(self.agreement(**fields))
        return self.approve(self.office.conclude_agreement(self.operator(), *signed))


class SealedGateway:
    """A registered gateway whose seal key signs heads of its one log."""

    def __init__(self, country: RegistryCountry, gateway: str) -> None:
        authority, now = country.authorities[AuthorityKind.SEAL], country.clock.now_ms()
        key = generate_key()
        leaf = authority.issue(Profile.SEAL, build_csr(key), urn("gateway", gateway), now_ms=now)
        chain = chain_pem([leaf, authority.certificate]).decode("ascii")
        self.seal = RegisteredCertificate(certificate_thumbprint(leaf), chain)
        self.gateway = gateway
        self._signer = HeadSigner(key, leaf)
        country.add_member(gateway.rpartition("/")[0])
        country.register(gateway, seal=[self.seal])

    def head(self, size: int, root: str = "ab" * 32, *, iat: int = 1_790_000_000, log: str = "") -> bytes:
        """A head as the gateway signs it."""
        named = log or digest(self.gateway.encode())
        return self._signer.sign(TreeHead(1, named, self.gateway, size, root, iat, None))


def found_registry_country(root: Path, clock: Clock) -> None:
    """Found a registry with its CAs, without members."""
    found_registry(
        root / "registry",
        registry=REGISTRY,
        listen="127.0.0.1:0",
        hosts=("127.0.0.1",),
        lang="fr",
        purposes=[
            ("P01", "service demandé", "service asked for"),
            ("P02", "obligation légale", "legal duty"),
        ],
        authorities=found(root / "ca", "BJ", now_ms=clock.now_ms()),
        anchor=root / "anchor.pem",
        loopback_allowed=True,
        clock=clock,
    )
    # Relative, so that a country can be founded once and copied for each test.
    file = root / "registry" / "registry.toml"
    text = re.sub("(?m)^authorities = .*$", 'authorities = "../ca"', file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")


def open_registry_country(
    root: Path, clock: Clock, keys: dict[str, ec.EllipticCurvePrivateKey]
) -> RegistryCountry:
    """Open the registry of a founded country; the caller closes ``registry``."""
    kinds = (AuthorityKind.ROOT, AuthorityKind.AUTH, AuthorityKind.SEAL)
    authorities = {kind: Authority.open(root / "ca", kind) for kind in kinds}
    registry = Registry.open(root / "registry" / "registry.toml", clock)
    return RegistryCountry(root, clock, authorities, Anchor.read(root / "anchor.pem"), registry, dict(keys))


@dataclass
class Templates:
    """Countries that are founded once per run and copied for each test."""

    root: Path
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def found(self, clock: Clock) -> None:
        """One without members, one with PNS and ANIP."""
        found_registry_country(self.root / "empty", clock)
        shutil.copytree(self.root / "empty", self.root / "populated")
        country = open_registry_country(self.root / "populated", clock, {})
        country.populate()
        self.keys = country.keys
        country.registry.close()

    def opened(self, name: str, root: Path, clock: Clock) -> Iterator[RegistryCountry]:
        """A copy of a template in ``root``, open; closed at the end."""
        shutil.copytree(self.root / name, root, dirs_exist_ok=True)
        country = open_registry_country(root, clock, self.keys if name == "populated" else {})
        yield country
        country.registry.close()
        country.require_documents_as_from_scratch()

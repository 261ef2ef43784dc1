"""``passerelle country found country.toml DIR``: the one path by which countries come to be.

Demo, ``make up``, tests and the documentation all take it. It runs the documented steps in their order, each a
function that a command of its own calls too; what needs the registry goes through its API as anybody's request does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from adapters.descriptors import STANDARD_SERVICES, descriptor_set, standard_set
from adapters.kit.adapter import load_ministry, services_of
from adapters.kit.founding import create_register, seed_register
from adapters.world.world import DEFAULT_SEED
from cli.plan import LOOPBACK, AgreementPlan, CountryPlan, Layout, MemberPlan, Ports, load_plan
from core.agreements import Agreement, Bilingual, Party, check_agreement
from core.clock import Clock, SystemClock
from core.documents import encode
from core.identifiers import PersonId, ProgramId, RegistryId, SubsystemId, urn
from core.jws import DocumentKind
from core.reasons import ExchangeError, Reason
from core.times import format_time_ms
from gateway.founding import (
    Plan,
    add_adapter,
    add_program,
    init_gateway,
    install_certificates,
    registration_payload,
    sign_registration,
)
from gateway.hints import toml_text
from gateway.layout import GatewayDirectory
from gateway.settings import GatewaySettings, HostPort, Listen
from pki.authority import Authority
from pki.authority import found as found_authorities
from pki.documents import sign_document
from pki.keys import (
    certificate_pem,
    generate_key,
    key_thumbprint,
    public_key_pem,
    read_key,
    write_key,
)
from pki.profiles import AuthorityKind, Profile, build_csr
from registry.client import RegistryClient
from registry.founding import found_registry
from registry.hints import RegistryHints
from rpc.files import replace_file
from rpc.identity import CHAIN_FILE, KEY_FILE, ROOTS_FILE, Identity
from rpc.personal import unsaid
from rpc.settings import load_settings

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Founder:
    """Founds one country; each method is one documented step."""

    plan: CountryPlan
    layout: Layout
    ports: Ports
    clock: Clock
    progress: Progress

    def found(self, run_registry: Callable[[], AbstractContextManager[None]]) -> None:
        """All steps; ``run_registry`` runs the registry's process while the members are added."""
        authorities = self.found_authorities()
        self.add_people(authorities)
        self.found_registry(authorities)
        with run_registry(), self._client(0) as first, self._client(1) as second:
            for number, member in enumerate(self.plan.member, 1):
                self.add_member(number, member, authorities, first, second)
            if self.plan.agreement:
                count, last = len(self.plan.agreement), self.plan.agreement[-1].id
                named = f"{self.plan.agreement[0].id} … {last}" if count > 1 else last
                self.progress(f"conventions / agreements: {count} ({named})")
            for agreement in self.plan.agreement:
                self.conclude(agreement, first, second)
        replace_file(self.layout.founded, json.dumps({"base_port": self.ports.base}).encode("ascii"))

    def found_authorities(self) -> dict[AuthorityKind, Authority]:
        """``passerelle ca found``: root, auth CA and seal CA on files."""
        self.progress("autorités de certification / certification authorities")
        return found_authorities(self.layout.ca, self.plan.instance, now_ms=self.clock.now_ms())

    def add_people(self, authorities: dict[AuthorityKind, Authority]) -> None:
        """``passerelle ca issue --profile operator|auditor``: identities of the registry's people."""
        registry = RegistryId.parse(self.plan.registry)
        for role, names in (("operator", self.plan.operators), ("auditor", self.plan.auditors)):
            for name in names:
                out = self.layout.person(role, name)
                person = PersonId(registry.member, name)
                subject = urn("operator", person) if role == "operator" else urn("auditor", person)
                self._issue_identity(authorities, Profile(role), subject, out)
                RegistryHints(self.plan.registry, self.ports.registry).write(out)

    def _issue_identity(
        self, authorities: dict[AuthorityKind, Authority], profile: Profile, subject: str, out: Path
    ) -> None:
        out.mkdir(mode=0o700, parents=True)
        key = generate_key()
        auth, root = authorities[AuthorityKind.AUTH], authorities[AuthorityKind.ROOT]
        certificate = auth.issue(profile, build_csr(key), subject, now_ms=self.clock.now_ms())
        write_key(out / KEY_FILE, key)
        replace_file(out / CHAIN_FILE, certificate_pem(certificate) + certificate_pem(auth.certificate))
        replace_file(out / ROOTS_FILE, certificate_pem(root.certificate))

    def found_registry(self, authorities: dict[AuthorityKind, Authority]) -> None:
        """``passerelle registry found``: database, TUF keys, purposes, the tree log, the anchor."""
        self.progress("registre et ancre / registry and anchor")
        found_registry(
            self.layout.registry,
            registry=RegistryId.parse(self.plan.registry),
            listen=self.ports.registry,
            hosts=(LOOPBACK, "localhost"),
            lang=self.plan.lang,
            purposes=[(one.code, one.fr, one.en) for one in self.plan.purpose],
            authorities=authorities,
            anchor=self.layout.anchor,
            loopback_allowed=True,
            clock=self.clock,
        )

    def add_member(
        self,
        number: int,
        member: MemberPlan,
        authorities: dict[AuthorityKind, Authority],
        first: RegistryClient,
        second: RegistryClient,
    ) -> None:
        """Member key, gateway, certificates, signed registration, subsystems, services, programs."""
        self.progress(f"membre {member.id} / member {member.id}")
        self.layout.member(member).mkdir(mode=0o700, parents=True)
        key = generate_key()
        write_key(self.layout.member_key(member), key)
        request = first.propose_member(member.id, member.fr, member.en, public_key_pem(key.public_key()))
        _approve(request, first, second)
        self.init_gateway(number, member, authorities)
        for subsystem in member.subsystems:
            first.add_subsystem(subsystem)
        _approve(self.register_gateway(member), first, second)
        if member.adapter is not None:
            self.add_adapter(number, member, authorities)
        for program in member.programs:
            self.add_program(member, program)

    def init_gateway(
        self, number: int, member: MemberPlan, authorities: dict[AuthorityKind, Authority]
    ) -> None:
        """``gateway init``, then ``ca issue`` for its two requests."""
        port = self.ports.gateway
        adapters = {}
        if member.adapter is not None:
            adapters[SubsystemId.parse(member.adapter.subsystem)] = HostPort.parse(port(number, 5))
        made = init_gateway(
            self.layout.gateway(member),
            Plan(
                gateway=member.gateway_id,
                member_key=key_thumbprint(read_key(self.layout.member_key(member)).public_key()),
                registry=RegistryId.parse(self.plan.registry),
                registry_address=HostPort.parse(self.ports.registry),
                hosts=(LOOPBACK, "localhost"),
                listen=Listen(
                    programs=port(number, 1),
                    road=self.ports.roads(number, member.workers),
                    admin=port(number, 3),
                    http=port(number, 4),
                ),
                adapters=adapters,
                allowed_networks=("127.0.0.0/8",),
                lang=self.plan.lang,
                # A key that wraps lies outside of what it wraps; here beside the gateway, in production elsewhere.
                wrapping_key=self.layout.member(member) / f"{member.gateway}-wrapping.key",
            ),
            self.layout.anchor,
            clock=self.clock,
        )
        chains = []
        for profile, kind in ((Profile.AUTH, AuthorityKind.AUTH), (Profile.SEAL, AuthorityKind.SEAL)):
            hosts = (LOOPBACK, "localhost") if profile.rules.hosts else ()
            subject = urn("gateway", member.gateway_id)
            issued = authorities[kind].issue(
                profile, made.requests[profile], subject, now_ms=self.clock.now_ms(), hosts=hosts
            )
            chains.append(certificate_pem(issued) + certificate_pem(authorities[kind].certificate))
        install_certificates(made.directory, made.settings, *chains)

    def register_gateway(self, member: MemberPlan) -> int:
        """``gateway register``: signed by the member key, submitted as the gateway; returns the request's number."""
        directory = GatewayDirectory(self.layout.gateway(member))
        settings = load_settings(directory.settings, GatewaySettings)
        payload = registration_payload(directory, settings, self.clock)
        jws = sign_registration(payload, self.layout.member_key(member), settings)
        identity = Identity.from_files(
            directory.auth.key, directory.auth.certificate, self.layout.ca / f"{AuthorityKind.ROOT}.crt"
        )
        with RegistryClient(self.ports.registry, identity, self.plan.registry) as client:
            if member.adapter is not None:
                for service in services_of(load_ministry(member.adapter.kind)):
                    descriptors = descriptor_set(service)
                    tell_unsaid(descriptors, self.progress)
                    client.publish_services(member.adapter.subsystem, descriptors, (service,))
                for kind in member.adapter.standard:
                    client.publish_services(
                        member.adapter.subsystem, standard_set(kind), (STANDARD_SERVICES[kind],)
                    )
            return client.submit_registration(jws)

    def add_adapter(
        self, number: int, member: MemberPlan, authorities: dict[AuthorityKind, Authority]
    ) -> None:
        """The adapter's certificate, the key of its documents, its ``adapter.toml``, and its fictitious records."""
        adapter = member.adapter
        if adapter is None:
            return
        out = self.layout.adapter(member)
        hosts = (LOOPBACK, "localhost")
        add_adapter(
            GatewayDirectory(self.layout.gateway(member)),
            SubsystemId.parse(adapter.subsystem),
            hosts,
            out,
            self.clock,
        )
        lines = [
            f'adapter = "{adapter.kind}"',
            f'subsystem = "{adapter.subsystem}"',
            f'gateways = ["{member.gateway_id}"]',
            f'listen = "{self.ports.gateway(number, 5)}"',
            'database = "sqlite:///register.sqlite"',
            'key = "adapter.key"',
            'certificate = "adapter.crt"',
            f'lang = "{self.plan.lang}"',
        ]
        if adapter.program is not None:
            lines += [
                "[program]",
                f'gateway = "{self.ports.gateway(number, 1)}"',
                f'gateway_id = "{member.gateway_id}"',
                f"directory = {toml_text(str(self.layout.program(adapter.program)))}",
            ]
        config = out / "adapter.toml"
        replace_file(config, ("\n".join(lines) + "\n").encode("utf-8"))
        ministry = load_ministry(adapter.kind)
        if ministry.has_dossiers:
            self._certify_documents(adapter.subsystem, out, authorities[AuthorityKind.SEAL])
        if ministry.seed is None:
            create_register(config)
            return
        written = seed_register(config, self.plan.persons, DEFAULT_SEED)
        self.progress(f"{adapter.subsystem} : {written} fiches fictives / fictitious records")

    def _certify_documents(self, subsystem: str, out: Path, seal: Authority) -> None:
        """``ca issue --profile document``: the certificate of the key that signs what the ministry grants."""
        request = (out / "document.csr").read_bytes()
        subject = urn("adapter", SubsystemId.parse(subsystem))
        certificate = seal.issue(Profile.DOCUMENT, request, subject, now_ms=self.clock.now_ms())
        replace_file(out / "document.crt", certificate_pem(certificate) + certificate_pem(seal.certificate))

    def add_program(self, member: MemberPlan, program: str) -> None:
        """``program add``: key, certificate and CA of a program, pinned at its gateway."""
        directory = GatewayDirectory(self.layout.gateway(member))
        settings = load_settings(directory.settings, GatewaySettings)
        add_program(directory, settings, ProgramId.parse(program), self.layout.program(program), self.clock)

    def conclude(self, agreement: AgreementPlan, first: RegistryClient, second: RegistryClient) -> None:
        """``agreement propose | sign | conclude``: signed by both member keys, approved by two operators."""
        payload = encode(self._terms(agreement))
        signed = [
            sign_document(
                DocumentKind.AGREEMENT,
                payload,
                read_key(self.layout.member_key(self.plan.member_of(subsystem))),
            )
            for subsystem in (agreement.consumer, agreement.provider)
        ]
        _approve(first.conclude_agreement(*signed), first, second)

    def _terms(self, plan: AgreementPlan) -> Agreement:
        now = self.clock.now_ms()
        years = timedelta(days=365 * plan.years) // timedelta(milliseconds=1)

        def party(subsystem: str) -> Party:
            key = read_key(self.layout.member_key(self.plan.member_of(subsystem)))
            return Party(subsystem, key_thumbprint(key.public_key()))

        terms = Agreement(
            v=1,
            id=plan.id,
            version=1,
            supersedes=None,
            consumer=party(plan.consumer),
            provider=party(plan.provider),
            service=plan.service,
            methods=list(plan.methods),
            purposes=list(plan.purposes),
            issue_required=plan.issue_required,
            field_mask=plan.field_mask,
            quota=None,
            represented_parties=None,
            allow_loopback=False,
            max_configuration_age_s=None,
            not_before=format_time_ms(now - 60_000),
            not_after=format_time_ms(now + years),
            legal_basis=Bilingual(plan.legal_basis_fr, plan.legal_basis_en),
            apdp_decision=plan.apdp_decision,
        )
        check_agreement(terms)
        return terms

    def _client(self, operator: int) -> RegistryClient:
        identity = Identity.read(self.layout.person("operator", self.plan.operators[operator]))
        return RegistryClient(self.ports.registry, identity, self.plan.registry)


def tell_unsaid(descriptors: bytes, progress: Progress) -> None:
    """Name what descriptors forgot to say of persons; they are published: what a sandbox holds is fictitious."""
    for line in unsaid(descriptors).lines():
        progress(f"{line.fr} / {line.en}" if line.fr != line.en else line.fr)


def _approve(request: int, first: RegistryClient, second: RegistryClient) -> None:
    """Starting something takes two operators."""
    first.approve(request)
    second.approve(request)


def founder(plan: Path, directory: Path, base_port: int, progress: Progress) -> Founder:
    """Prepare the founding of a country in a new directory.

    Raises:
        ExchangeError: There is a country in ``directory``, or the plan needs two operators and has fewer.
    """
    layout = Layout(directory)
    if layout.founded.exists():
        raise ExchangeError(Reason.ALREADY_EXISTS, f"{directory} holds a country already")
    found = load_plan(plan)
    if len(found.operators) < 2:
        raise ExchangeError(Reason.CONFIG_FILE_INVALID, "a country needs two operators: starting takes two")
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Founder(found, layout, Ports(base_port), SystemClock(), progress)

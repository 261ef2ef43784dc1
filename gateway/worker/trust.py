"""What this gateway believes, as one immutable view that is swapped whole.

Control has verified every signature and chain in it (``gateway.control.configuration``). Here it becomes the few
look-ups that the exchange needs: which gateway a log belongs to, which agreement lets a call through, which program
a certificate admits. Deny by default: what is not found is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, Literal

from cryptography import x509

from core.agreements import Agreement, parse_agreement
from core.configuration import (
    AgreementEntry,
    AgreementState,
    CurrentConfiguration,
    Marks,
    MaskPlan,
    MemberDocument,
    ServiceMethod,
)
from core.documents import digest
from core.heads import ConfigurationMark
from core.identifiers import MethodName
from core.jws import DocumentKind, parse_document
from core.masks import mask_digest
from core.payloads import Metadata
from core.reasons import Reason
from core.registrations import ClosedLog, RegisteredLog, parse_registration, parse_successor
from core.statements import AgreementMark
from core.times import parse_time_ms
from core.wire import Plan, unpack_plan
from gateway.worker.masks import FieldMask
from pki.keys import load_public_key
from pki.tokens import ProgramKey

SUPERSEDED_GRACE_MS: Final = 60_000

Freshness = Literal["fresh", "stale", "expired"]


@dataclass(frozen=True, slots=True)
class RegisteredGateway:
    """A gateway as its member registered it.

    Attributes:
        id: ``BJ/GOV/ANIP/gw1``.
        member: ``BJ/GOV/ANIP``.
        member_key: Thumbprint of the key that signed the registration.
        auth: Thumbprints of the certificates that its TLS may show.
        seal: Certificates that its heads may be signed with, by thumbprint.
        logs: Its logs with their road addresses.
        closed: Logs that it had before, each with the log that goes on from it.
        admitted: Whether neither gateway nor member is suspended or revoked.
    """

    id: str
    member: str
    member_key: str
    auth: frozenset[str]
    seal: Mapping[str, x509.Certificate]
    logs: tuple[RegisteredLog, ...]
    closed: tuple[ClosedLog, ...]
    admitted: bool


@dataclass(frozen=True, slots=True)
class HeldAgreement:
    """An agreement with its terms ready to be asked.

    Attributes:
        terms: The payload.
        mark: How statements name it.
        state: The registry's word on it.
        changed_at: When that last changed, UTC milliseconds.
        not_before: UTC milliseconds.
        not_after: UTC milliseconds.
        methods: What may be called.
        purposes: What for; empty if no purpose is demanded.
        represented: Whom the consumer may represent.
        masks: What is granted of the answers of a method, where that is not all.
        unsupported: A term that cannot be enforced: the agreement is refused, never the term ignored.
    """

    terms: Agreement
    mark: AgreementMark
    state: AgreementState
    changed_at: int
    not_before: int
    not_after: int
    methods: frozenset[str]
    purposes: frozenset[str]
    represented: frozenset[str]
    masks: Mapping[str, FieldMask]
    unsupported: bool


@dataclass(frozen=True, slots=True)
class MethodMarks:
    """What is noted of the messages of a method; see ``core.configuration.MarkedMethod``."""

    asked: Plan | None
    named: Plan | None
    returned: Plan | None
    names_persons: bool
    is_list: bool


@dataclass(frozen=True, slots=True)
class Provision:
    """A method as a subsystem provides it; ``marks`` if its messages say something of persons."""

    descriptors: str
    method: ServiceMethod
    marks: MethodMarks | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """An agreement that lets one method be called, found for one client.

    Attributes:
        provider: The subsystem that is called.
        agreement: The agreement.
        provision: The method as it provides it.
        mask: What is granted of its answers; ``None``: all.
    """

    provider: str
    agreement: HeldAgreement
    provision: Provision
    mask: FieldMask | None


@dataclass(frozen=True, slots=True)
class TrustView:
    """The global configuration as the worker asks it; see ``build``."""

    mark: ConfigurationMark
    fresh_at: int
    expires_at: int
    fresh_ms: int
    personal_number_pattern: str
    programs: Mapping[str, str]
    program_keys: Mapping[str, ProgramKey]
    gateways: Mapping[str, RegisteredGateway]
    by_log: Mapping[str, RegisteredGateway]
    successors: Mapping[str, str]
    suspended_members: frozenset[str]
    names_persons: bool
    _provisions: Mapping[tuple[str, str], Provision]
    _providers: Mapping[str, tuple[str, ...]]
    _paths: Mapping[bytes, frozenset[bytes]]
    _agreements: Mapping[tuple[str, str, str], tuple[HeldAgreement, ...]]
    _masks: Mapping[tuple[str, str], FieldMask]
    _lineage: Mapping[str, frozenset[str]]
    _grants: dict[tuple[str, str | None, str], Grant | Reason] = field(default_factory=dict, repr=False)
    _reached: dict[tuple[str, str], tuple[tuple[RegisteredGateway, RegisteredLog], ...]] = field(
        default_factory=dict, repr=False
    )

    def freshness(self, now_ms: int) -> Freshness:
        """Whether exchanges may rely on this view."""
        if now_ms >= self.expires_at:
            return "expired"
        return "fresh" if now_ms - self.fresh_at < self.fresh_ms else "stale"

    def confirmed(self, fresh_at: int, expires_at: int) -> TrustView:
        """The same view, known to be in force at ``fresh_at``."""
        return replace(self, fresh_at=fresh_at, expires_at=expires_at)

    def takes_stream(self, path: bytes, metadata: Metadata) -> bool:
        """Whether the method that a call means, by its HTTP/2 ``:path`` and metadata, takes more messages than one.

        Another provider of the same name says nothing about it. Where several provide it and none is named, the call is
        refused whatever it sends.
        """
        providers = self._paths.get(path)
        if not providers:
            return False
        named = next((value for name, value in metadata if name == b"x-road-service"), None)
        return named is None or named in providers

    def is_provided(self, path: bytes) -> bool:
        """Whether somebody provides a method under this HTTP/2 ``:path``."""
        return path in self._paths

    def method(self, provider: str, method: str) -> ServiceMethod | None:
        """The method as ``provider`` registered it."""
        provision = self._provisions.get((provider, method))
        return provision.method if provision else None

    def marks(self, provider: str | None, method: str | None) -> MethodMarks | None:
        """What is noted of the messages of a method, if its provider's descriptors say something of persons."""
        provision = self._provisions.get((provider or "", method or ""))
        return provision.marks if provision else None

    def find_grant(self, client: str, provider: str | None, method: str, now_ms: int) -> Grant | Reason:
        """Steps 2 and 3: the agreement in force that lets ``client`` call ``method``, or why there is none.

        An unknown service or method is told as a missing agreement: what exists is nobody's business.
        """
        key = (client, provider, method)
        found = self._grants.get(key)
        if found is None:
            found = self._look_up(client, provider, method)
            if len(self._grants) < _MAX_CACHED_GRANTS:
                self._grants[key] = found
        if isinstance(found, Grant):
            agreement = found.agreement
            if not agreement.not_before <= now_ms < agreement.not_after:
                return Reason.NO_AGREEMENT
        return found

    def _look_up(self, client: str, provider: str | None, method: str) -> Grant | Reason:
        if provider is None:
            providers = self._providers.get(method, ())
            if len(providers) > 1:
                return Reason.SERVICE_AMBIGUOUS
            if not providers:
                return Reason.NO_AGREEMENT
            provider = providers[0]
        provision = self._provisions.get((provider, method))
        service, _, name = method.partition("/")
        held = [
            one
            for one in self._agreements.get((client, provider, service), ())
            if one.state == "active" and name in one.methods
        ]
        if provision is None or not held or _member_of(client) in self.suspended_members:
            return Reason.NO_AGREEMENT
        if _member_of(provider) in self.suspended_members:
            return Reason.MEMBER_SUSPENDED
        newest = max(held, key=lambda one: one.mark.version)
        if newest.unsupported:
            return Reason.TERM_NOT_SUPPORTED
        return Grant(provider, newest, provision, newest.masks.get(name))

    def find_named(
        self, client: str, provider: str, method: str, mark: AgreementMark, now_ms: int
    ) -> Grant | Reason:
        """Step 8: the agreement that a peer's request names, if it is in force here by our own configuration.

        The version before is honoured for 60 s after it was superseded; a revoked one never (PROTOCOL M2).
        """
        service, _, name = method.partition("/")
        provision = self._provisions.get((provider, method))
        if provision is None or _member_of(client) in self.suspended_members:
            return Reason.NO_AGREEMENT
        for held in self._agreements.get((client, provider, service), ()):
            if held.mark != mark or name not in held.methods:
                continue
            in_grace = held.state == "superseded" and now_ms - held.changed_at < SUPERSEDED_GRACE_MS
            if (held.state == "active" or in_grace) and held.not_before <= now_ms < held.not_after:
                if held.unsupported:
                    return Reason.TERM_NOT_SUPPORTED
                return Grant(provider, held, provision, held.masks.get(name) if held.masks else None)
        return Reason.NO_AGREEMENT

    def mask_of(self, agreement: AgreementMark, method: str) -> FieldMask | None:
        """What an agreement grants of the answers of a method, by this view; ``None``: all, or nobody can tell."""
        return self._masks.get((agreement.digest, method.partition("/")[2]))

    def provider_logs(self, grant: Grant) -> tuple[tuple[RegisteredGateway, RegisteredLog], ...]:
        """Where the grant's provider can be reached: gateways registered under the key the agreement names."""
        party = (grant.provider, grant.agreement.terms.provider.member_key)
        found = self._reached.get(party)
        if found is None:
            # All gateways of the country are looked at: once for each party of an agreement, not for each call.
            found = self._reached[party] = tuple(
                (gateway, log)
                for gateway in self.gateways.values()
                if gateway.admitted and self.is_party(gateway, *party)
                for log in gateway.logs
            )
        return found

    def refusal_of_log(self, log: str) -> Reason | None:
        """Why nothing is taken of a log: it is registered for nobody, or its member closed it."""
        if log in self.by_log:
            return None
        return Reason.LOG_CLOSED if log in self.successors else Reason.LOG_NOT_REGISTERED

    def speaker_of(self, log: str) -> str:
        """The log that speaks for ``log`` now: itself, or the one that it led to over its successors."""
        seen: set[str] = set()
        while log in self.successors and log not in seen:
            seen.add(log)
            log = self.successors[log]
        return log

    def is_party(self, gateway: RegisteredGateway, subsystem: str, member_key: str) -> bool:
        """Whether ``gateway`` speaks for ``subsystem`` under the key that an agreement names, or a successor of it."""
        return gateway.member == _member_of(subsystem) and self.is_same_key(member_key, gateway.member_key)

    def is_same_key(self, named: str, used: str) -> bool:
        """Whether ``used`` is the key ``named`` in an agreement or was named by it as its successor."""
        return named == used or used in self._lineage.get(named, frozenset())


_MAX_CACHED_GRANTS: Final = 10_000


def _member_of(subsystem: str) -> str:
    return subsystem.rsplit("/", 1)[0]


def refusal_of_terms(
    held: HeldAgreement,
    *,
    purpose: str | None,
    issue: str | None,
    represented: str | None,
    caller: str,
    age_ms: int,
) -> Reason | None:
    """What the terms of ``held`` object to in a call, asked alike by consumer (3) and provider (8)."""
    terms = held.terms
    if held.purposes:
        if purpose is None:
            return Reason.PURPOSE_REQUIRED
        if purpose not in held.purposes:
            return Reason.PURPOSE_NOT_ALLOWED
    if terms.issue_required and issue is None:
        return Reason.ISSUE_REQUIRED
    if represented is not None and represented not in held.represented:
        return Reason.REPRESENTATION_NOT_ALLOWED
    if caller == "loopback" and not terms.allow_loopback:
        return Reason.LOOPBACK_NOT_ALLOWED
    if terms.max_configuration_age_s is not None and age_ms > terms.max_configuration_age_s * 1000:
        return Reason.CONFIG_STALE
    return None


def build(current: CurrentConfiguration, *, own_member: str, own_key: str, fresh_ms: int) -> TrustView:
    """Turn the verified configuration into look-ups.

    Args:
        current: What control handed over.
        own_member: The member this gateway works for.
        own_key: Its member key's thumbprint, from the local settings: an agreement that names another key for
            our own side is not ours and is left out.
        fresh_ms: Up to which age it counts as fresh.
    """
    lineage = _lineage(current.members)
    admitted = [one for one in current.programs if one.state == "active"]
    gateways = {gateway.id: gateway for member in current.members for gateway in _gateways(member)}
    by_log = {log.id: gateway for gateway in gateways.values() for log in gateway.logs}
    provisions: dict[tuple[str, str], Provision] = {}
    providers: dict[str, list[str]] = defaultdict(list)
    agreements: dict[tuple[str, str, str], list[HeldAgreement]] = defaultdict(list)
    plans = plans_by_agreement(current)
    marks = _marks(current.marks)
    for member in current.members:
        for service in member.services:
            for method in service.methods if service.state == "active" else ():
                name = f"{service.service}/{method.name}"
                marked = marks.get((service.subsystem, name))
                provisions[service.subsystem, name] = Provision(service.descriptors, method, marked)
                providers[name].append(service.subsystem)
        for entry in member.agreements:
            held = hold(entry, plans)
            for party in (held.terms.consumer, held.terms.provider):
                ours = _member_of(party.subsystem) == own_member
                # Forward only: anybody can name our key as the successor of his own.
                if ours and party.member_key != own_key and party.member_key not in lineage.get(own_key, ()):
                    break
            else:
                key = (held.terms.consumer.subsystem, held.terms.provider.subsystem, held.terms.service)
                agreements[key].append(held)
    return TrustView(
        mark=ConfigurationMark(current.version, current.digest),
        fresh_at=current.fresh_at,
        expires_at=current.expires_at,
        fresh_ms=fresh_ms,
        personal_number_pattern=current.common.personal_number_pattern,
        programs={one.thumbprint: one.id for one in admitted if one.public_key is None},
        program_keys={
            one.thumbprint: ProgramKey(one.id, load_public_key(one.public_key))
            for one in admitted
            if one.public_key is not None
        },
        gateways=gateways,
        by_log=by_log,
        # What is open for one gateway no other can close; control leaves such registrations out.
        successors={
            log.id: log.successor
            for gateway in gateways.values()
            for log in gateway.closed
            if log.id not in by_log
        },
        suspended_members=frozenset(one.member for one in current.members if one.state != "active"),
        names_persons=any(one.names_persons for one in marks.values()),
        _provisions=provisions,
        _providers={name: tuple(sorted(found)) for name, found in providers.items()},
        _paths=_paths(provisions),
        _agreements={key: tuple(found) for key, found in agreements.items()},
        _masks={
            (held.mark.digest, method): mask
            for found in agreements.values()
            for held in found
            for method, mask in held.masks.items()
        },
        _lineage=lineage,
    )


def plans_by_agreement(current: CurrentConfiguration) -> dict[str, list[MaskPlan]]:
    """The compiled masks of the configuration, by the digest of their agreement."""
    found: dict[str, list[MaskPlan]] = defaultdict(list)
    for plan in current.masks:
        found[plan.agreement].append(plan)
    return found


def hold(entry: AgreementEntry, plans: Mapping[str, Iterable[MaskPlan]]) -> HeldAgreement:
    """Read an agreement of the configuration; both signatures were verified by control."""
    payload = parse_document(DocumentKind.AGREEMENT, entry.provider_jws).unverified_payload
    terms = parse_agreement(payload)
    mark = AgreementMark(terms.id, terms.version, digest(payload))
    field_mask = terms.field_mask or {}
    masks = {
        plan.method: FieldMask(
            mask_digest(field_mask[plan.method]),
            unpack_plan(plan.tables),
            unpack_plan(plan.outline or plan.tables),
        )
        for plan in plans.get(mark.digest, ())
        if plan.method in field_mask
    }
    return HeldAgreement(
        terms=terms,
        mark=mark,
        state=entry.state,
        changed_at=entry.changed_at,
        not_before=parse_time_ms(terms.not_before),
        not_after=parse_time_ms(terms.not_after),
        methods=frozenset(terms.methods),
        purposes=frozenset(terms.purposes),
        represented=frozenset(terms.represented_parties or ()),
        masks=masks,
        # There are no quotas yet; of a mask that control could not compile, the descriptors do not know a field.
        unsupported=terms.quota is not None or masks.keys() != field_mask.keys(),
    )


def _marks(marks: Marks) -> dict[tuple[str, str], MethodMarks]:
    """By provider and method; a plan without a table, of what cannot be read, is taken as it is."""
    plans = [unpack_plan(plan) if plan else () for plan in marks.plans]

    def plan(number: int | None) -> Plan | None:
        return None if number is None else plans[number]

    return {
        (one.subsystem, one.method): MethodMarks(
            plan(one.asked), plan(one.named), plan(one.returned), one.names_persons, one.is_list
        )
        for one in marks.methods
    }


def _paths(provisions: Mapping[tuple[str, str], Provision]) -> dict[bytes, frozenset[bytes]]:
    """Who provides a method as one that takes a stream, for each method by its HTTP/2 ``:path``."""
    found: dict[bytes, frozenset[bytes]] = {}
    for (provider, name), provision in provisions.items():
        streaming = {provider.encode("ascii")} if provision.method.client_streaming else set()
        path = f"/{name}".encode("ascii")
        found[path] = found.get(path, frozenset()) | streaming
    return found


def _gateways(member: MemberDocument) -> Iterable[RegisteredGateway]:
    newest: dict[str, tuple[int, RegisteredGateway]] = {}
    for entry in member.registrations:
        document = parse_document(DocumentKind.REGISTRATION, entry.jws)
        registration = parse_registration(document.unverified_payload)
        gateway = RegisteredGateway(
            id=registration.gateway,
            member=member.member,
            member_key=document.kid,
            auth=frozenset(one.thumbprint for one in registration.auth),
            seal={one.thumbprint: _leaf_certificate(one.chain) for one in registration.seal},
            logs=tuple(registration.logs),
            closed=tuple(registration.closed),
            admitted=entry.state == "active" and member.state == "active",
        )
        if newest.get(gateway.id, (0, gateway))[0] < registration.serial:
            newest[gateway.id] = (registration.serial, gateway)
    return [gateway for _, gateway in newest.values()]


def _leaf_certificate(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.encode("ascii"))[0]


def _lineage(members: Iterable[MemberDocument]) -> dict[str, frozenset[str]]:
    """For each member key the keys that succeed it, over any number of steps."""
    following: dict[str, str] = {}
    for member in members:
        for jws in member.successors:
            successor = parse_successor(parse_document(DocumentKind.MEMBER_SUCCESSOR, jws).unverified_payload)
            following[successor.old_key] = successor.new_key
    lineage = {}
    for start in following:
        chain: list[str] = []
        key: str | None = following[start]
        while key is not None and key not in chain:
            chain.append(key)
            key = following.get(key)
        lineage[start] = frozenset(chain)
    return lineage


@lru_cache(4096)
def method_name(path: bytes) -> str | None:
    """``bj.identity.v1.IdentityService/GetPerson`` from an HTTP/2 ``:path``; ``None`` if it is no method's."""
    try:
        return (
            str(MethodName.parse(path.decode("ascii").removeprefix("/"))) if path.startswith(b"/") else None
        )
    except ValueError:
        return None

"""What the registry does: it takes documents, has two operators approve what starts, and stops at a word from one.

Each change goes the same way: judged, committed to the database together with its entry for the tree log, appended
to that log, published. Who crashes in between is caught up with by ``bring_out`` at the next start or tick: what is
committed will be logged, and nothing is published that is not.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.clock import Clock
from core.configuration import RegistryParty
from core.documents import decode_strict, encode
from core.heads import ConfigurationMark
from core.identifiers import AnyId, GatewayId, MemberId, PersonId, ServiceName, SubsystemId, UrnKind
from core.reasons import ExchangeError, Reason
from core.times import parse_time_ms
from pki.keys import key_thumbprint, load_public_key, public_key_pem
from registry import models
from registry.authorities import require_not_older
from registry.budget import ChangeBudget
from registry.checks import (
    Judge,
    VerifiedAgreement,
    VerifiedRegistration,
    newest_version,
    require_grants_kept,
)
from registry.descriptors import DescribedMethod, described_services
from registry.editions import Editions
from registry.journal import Journal, note_change
from registry.policy import require_member_name, require_text, skeleton
from registry.publisher import Publication, Publisher
from registry.settings import RegistrySettings

MEMBER = "member"
REGISTRATION = "registration"
AGREEMENT = "agreement"
MEMBER_RESUMPTION = "member-resumption"
GATEWAY_RESUMPTION = "gateway-resumption"
AGREEMENT_RESUMPTION = "agreement-resumption"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, as the certificate says that TLS verified: role, name, URN."""

    kind: UrnKind
    identifier: AnyId
    urn: str

    def require_operator(self) -> PersonId:
        """This operator; raises ``NOT_AUTHORISED`` for anybody else."""
        if self.kind != "operator" or not isinstance(self.identifier, PersonId):
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{self.urn} is no operator")
        return self.identifier

    def speaks_for(self, member: str) -> bool:
        """Whether this is a gateway of ``member``."""
        return self.kind == "gateway" and (
            isinstance(self.identifier, GatewayId) and str(self.identifier.member) == member
        )


class MemberDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request for a member holds."""

    member: str
    fr: str
    en: str
    public_key: str


class RegistrationDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request for a registration holds."""

    jws: str


class AgreementDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request for an agreement holds."""

    consumer_jws: str
    provider_jws: str


class ResumptionDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request for a resumption holds: since when the thing was stopped, so that a later stop voids it."""

    stopped_at: int


@dataclass(slots=True)
class _Writing:
    """One change under way."""

    session: Session
    actor: Actor
    actors: list[str] = field(default_factory=list)
    has_notes: bool = False

    def note(self, clock: Clock, change: str, subject: str, document: bytes | None = None) -> None:
        """Put it on record."""
        self.has_notes = True
        digest = None if document is None else hashlib.sha256(document).hexdigest()
        note_change(self.session, clock, change, self.actors or [self.actor.urn], subject, digest)


class Office:
    """The registry at work. One process; changes one at a time."""

    def __init__(
        self,
        settings: RegistrySettings,
        sessions: sessionmaker[Session],
        judge: Judge,
        journal: Journal,
        publisher: Publisher,
        certificates: list[str],
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.judge = judge
        self.journal = journal
        self.publisher = publisher
        self.on_publication: Callable[[ConfigurationMark], None] = lambda mark: None
        # Whether something is committed that is not published: the next tick tries again.
        self.is_behind = True
        self._editions = Editions(
            RegistryParty(settings.registry, [journal.log_id], certificates),
            settings.instance,
            settings.personal_number_pattern,
        )
        self._budget = ChangeBudget(settings.gateway_changes_per_hour, clock)
        self._clock = clock
        self._lock = threading.RLock()

    def now_ms(self) -> int:
        """The registry's clock, UTC milliseconds."""
        return self._clock.now_ms()

    # --- publication ---

    def bring_out(self) -> Publication:
        """Log what is committed, then publish it. Safe to call again after any failure."""
        with self._lock, self.sessions() as session:
            before = self.publisher.current.mark
            self.journal.catch_up(session)
            publication = self.publisher.publish(self._editions.newest(session))
            self.journal.sign(publication.mark)
            self.is_behind = False
        if publication.mark != before:
            _log.info("published", version=publication.mark.version, digest=publication.mark.digest)
            self.on_publication(publication.mark)
        return publication

    def documents(self, session: Session) -> dict[str, bytes]:
        """Every target, made from the database alone."""
        return self._editions.from_scratch(session)

    def has_authorities(self) -> bool:
        """Whether the CAs' certificates and lists have been taken over once."""
        with self.sessions() as session:
            return session.scalar(select(func.count()).select_from(models.Authority)) != 0

    def set_authorities(self, pems: dict[str, list[str]]) -> bool:
        """Take over the CAs' certificates and lists, if they changed; returns whether they did."""
        with self._lock, self.sessions() as session:
            rows = select(models.Authority).order_by(models.Authority.kind, models.Authority.position)
            known: dict[str, list[str]] = {kind: [] for kind in pems}
            for row in session.scalars(rows):
                known.setdefault(row.kind, []).append(row.pem)
            if known == pems:
                return False
            require_not_older(known.get("crl", []), pems["crl"])
            session.execute(delete(models.Authority))
            for kind, listed in pems.items():
                session.add_all(
                    models.Authority(kind=kind, position=position, pem=pem)
                    for position, pem in enumerate(listed)
                )
            actor = [f"urn:passerelle:registry:{self.settings.registry}"]
            digest = hashlib.sha256(
                "".join(pem for listed in pems.values() for pem in listed).encode()
            ).hexdigest()
            note_change(session, self._clock, "authorities-changed", actor, self.settings.registry, digest)
            session.commit()
            self.is_behind = True
        return True

    @contextmanager
    def _writing(self, actor: Actor, *, dry_run: bool = False) -> Iterator[_Writing]:
        """One change: committed, logged and published when the block ends; taken back in a dry run.

        If logging or publishing fails after the commit the caller is told so, and the change stands: the next tick
        brings it out. Asking again then meets ``STATE_CONFLICT`` or ``ALREADY_EXISTS``, never a second effect.
        """
        with self._lock, self.sessions() as session:
            self.journal.require_alive()
            if actor.kind == "gateway":
                self._budget.take(actor.urn)
            with self._editions.watching(session):
                yield _Writing(session, actor)
                if dry_run:
                    session.rollback()
                    return
                session.commit()
            self.is_behind = True
            self.bring_out()

    @contextmanager
    def witnessing(self, actor: Actor) -> Iterator[_Writing]:
        """Work that leaves the configuration as it is: committed together with what it notes, which is then logged.

        One transaction, so that nothing is ever held of which the log will not tell. No change's budget is asked:
        who used up his own must not silence what the registry saw.
        """
        with self._lock, self.sessions() as session:
            self.journal.require_alive()
            writing = _Writing(session, actor)
            yield writing
            session.commit()
            if writing.has_notes:
                self.is_behind = True
                self.bring_out()

    # --- members ---

    def propose_member(self, actor: Actor, document: MemberDocument, *, dry_run: bool = False) -> int:
        """Ask for a new member; an operator."""
        actor.require_operator()
        with self._writing(actor, dry_run=dry_run) as writing:
            key = load_public_key(document.public_key)
            document = msgspec.structs.replace(document, public_key=public_key_pem(key))
            self._require_new_member(writing.session, document)
            return self._submit(writing, MEMBER, document.member, document)

    def _require_new_member(self, session: Session, document: MemberDocument) -> None:
        member = MemberId.parse(document.member)
        require_member_name(member, self.settings.instance)
        require_text(document.fr, "the French name", longest=200)
        require_text(document.en, "the English name", longest=200)
        same = select(models.Member.id).where(models.Member.skeleton == skeleton(str(member)))
        for other in session.scalars(same):
            if other == str(member):
                raise ExchangeError(Reason.ALREADY_EXISTS, f"{member} is a member already")
            raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{member} looks like {other}")
        thumbprint = key_thumbprint(load_public_key(document.public_key))
        if session.get(models.MemberKey, thumbprint) is not None:
            raise ExchangeError(Reason.ALREADY_EXISTS, "this member key is in use already")

    def _start_member(self, writing: _Writing, request: models.Request) -> None:
        document = decode_strict(request.document, MemberDocument)
        self._require_new_member(writing.session, document)
        now = self._clock.now_ms()
        writing.session.add(
            models.Member(
                id=document.member,
                skeleton=skeleton(document.member),
                name_fr=document.fr,
                name_en=document.en,
                state="active",
                changed_at=now,
            )
        )
        writing.session.add(
            models.MemberKey(
                thumbprint=key_thumbprint(load_public_key(document.public_key)),
                member_id=document.member,
                public_key=document.public_key,
                state="active",
                added_at=now,
            )
        )
        writing.note(self._clock, "member-added", document.member, request.document)

    def suspend_member(self, actor: Actor, member_id: str, reason: str, *, dry_run: bool = False) -> None:
        """Stop a member at once; an operator."""
        actor.require_operator()
        require_text(reason, "the reason")
        with self._writing(actor, dry_run=dry_run) as writing:
            member = _member(writing.session, member_id)
            _require_state(member.state, "active", member_id)
            member.state, member.changed_at = "suspended", self._clock.now_ms()
            writing.note(self._clock, "member-suspended", member_id, reason.encode())

    def resume_member(self, actor: Actor, member_id: str, *, dry_run: bool = False) -> int:
        """Ask that a member go on; an operator."""
        actor.require_operator()
        with self._writing(actor, dry_run=dry_run) as writing:
            member = _member(writing.session, member_id)
            _require_state(member.state, "suspended", member_id)
            document = ResumptionDocument(member.changed_at)
            return self._submit(writing, MEMBER_RESUMPTION, member_id, document)

    def _resume_member(self, writing: _Writing, request: models.Request) -> None:
        member = _member(writing.session, request.subject)
        _require_stopped(request, member.state, member.changed_at)
        member.state, member.changed_at = "active", self._clock.now_ms()
        writing.note(self._clock, "member-resumed", member.id)

    def add_subsystem(self, actor: Actor, text: str, *, dry_run: bool = False) -> None:
        """Add a subsystem; an operator or the member's own gateway. It may do nothing without an agreement."""
        subsystem = SubsystemId.parse(text)
        with self._writing(actor, dry_run=dry_run) as writing:
            member = _member(writing.session, str(subsystem.member))
            self._require_side(writing, member.id)
            shape = skeleton(text)
            for model in (models.Subsystem, models.Gateway):
                for other in writing.session.scalars(select(model.id).where(model.skeleton == shape)):
                    if other == text:
                        raise ExchangeError(Reason.ALREADY_EXISTS, f"{text} exists already")
                    raise ExchangeError(Reason.IDENTIFIER_INVALID, f"{text} looks like {other}")
            row = models.Subsystem(
                id=text, skeleton=shape, member_id=member.id, added_at=self._clock.now_ms()
            )
            writing.session.add(row)
            writing.note(self._clock, "subsystem-added", text)

    # --- gateways ---

    def submit_registration(self, actor: Actor, jws: str, *, dry_run: bool = False) -> int:
        """Hand in a registration; an operator or a gateway of the member, registered or not."""
        with self._writing(actor, dry_run=dry_run) as writing:
            verified = self.judge.registration(writing.session, jws, self._clock.now_ms())
            if not actor.speaks_for(str(verified.gateway.member)):
                actor.require_operator()
            return self._submit(writing, REGISTRATION, str(verified.gateway), RegistrationDocument(jws))

    def _start_registration(self, writing: _Writing, request: models.Request) -> None:
        session, now = writing.session, self._clock.now_ms()
        jws = decode_strict(request.document, RegistrationDocument).jws
        verified = self.judge.registration(session, jws, now)
        gateway = str(verified.gateway)
        if session.get(models.Gateway, gateway) is None:
            member = str(verified.gateway.member)
            session.add(models.Gateway(id=gateway, skeleton=skeleton(gateway), member_id=member))
            session.flush()
        self._supersede_registrations(session, gateway, now)
        session.add(_registration_row(verified, now))
        for log in sorted(verified.registration.all_logs):
            session.merge(models.RegisteredLog(log_id=log, gateway_id=gateway))
        writing.note(self._clock, "gateway-registered", gateway, request.document)
        for closed in verified.newly_closed:
            writing.note(self._clock, "log-succeeded", closed.id, encode(closed))

    def _supersede_registrations(self, session: Session, gateway: str, now: int) -> None:
        rows = select(models.Registration).where(
            models.Registration.gateway_id == gateway, models.Registration.state != "superseded"
        )
        for old in session.scalars(rows):
            # A newer registration is a new grant, approved by two operators: it lifts a suspension.
            old.state, old.changed_at = "superseded", now

    def stop_gateway(
        self, actor: Actor, gateway: str, reason: str, *, for_good: bool, dry_run: bool = False
    ) -> None:
        """Suspend or revoke a gateway at once; an operator or a gateway of the same member."""
        require_text(reason, "the reason")
        with self._writing(actor, dry_run=dry_run) as writing:
            self._require_side(writing, str(GatewayId.parse(gateway).member))
            row = _registration(writing.session, gateway)
            state = "revoked" if for_good else "suspended"
            allowed = ("active", "suspended") if for_good else ("active",)
            if row.state not in allowed:
                raise ExchangeError(Reason.STATE_CONFLICT, f"{gateway} is {row.state}")
            row.state, row.changed_at, row.reason = state, self._clock.now_ms(), reason
            writing.note(self._clock, f"gateway-{state}", gateway, reason.encode())

    def resume_gateway(self, actor: Actor, gateway: str, *, dry_run: bool = False) -> int:
        """Ask that a gateway go on; an operator."""
        actor.require_operator()
        with self._writing(actor, dry_run=dry_run) as writing:
            row = _registration(writing.session, gateway)
            _require_state(row.state, "suspended", gateway)
            return self._submit(writing, GATEWAY_RESUMPTION, gateway, ResumptionDocument(row.changed_at))

    def _resume_gateway(self, writing: _Writing, request: models.Request) -> None:
        row = _registration(writing.session, request.subject)
        _require_stopped(request, row.state, row.changed_at)
        row.state, row.changed_at, row.reason = "active", self._clock.now_ms(), ""
        writing.note(self._clock, "gateway-resumed", request.subject)

    # --- services ---

    def publish_services(
        self, actor: Actor, subsystem: str, data: bytes, wanted: list[str], *, dry_run: bool = False
    ) -> list[str]:
        """Publish services of a subsystem; an operator or the member's own gateway. Returns their names."""
        services = described_services(data, wanted, self.settings.allowed_packages)
        digest = hashlib.sha256(data).hexdigest()
        with self._writing(actor, dry_run=dry_run) as writing:
            row = writing.session.get(models.Subsystem, str(SubsystemId.parse(subsystem)))
            if row is None:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no subsystem {subsystem}")
            self._require_side(writing, row.member_id)
            if writing.session.get(models.DescriptorSet, digest) is None:
                writing.session.add(models.DescriptorSet(digest=digest, data=data))
                writing.session.flush()
            for name, methods in services.items():
                require_grants_kept(writing.session, subsystem, str(name), data, self._clock.now_ms())
                self._put_service(writing.session, subsystem, str(name), digest, methods)
                writing.note(self._clock, "service-published", f"{subsystem}/{name}", data)
        return [str(name) for name in services]

    def _put_service(
        self, session: Session, subsystem: str, name: str, digest: str, methods: list[DescribedMethod]
    ) -> None:
        row = session.get(models.Service, (subsystem, name))
        if row is None:
            row = models.Service(subsystem_id=subsystem, name=name)
            session.add(row)
        row.methods.clear()
        row.descriptors, row.state, row.changed_at = digest, "active", self._clock.now_ms()
        session.flush()
        for position, method in enumerate(methods):
            row.methods.append(
                models.Method(
                    position=position,
                    name=method.name,
                    client_streaming=method.client_streaming,
                    server_streaming=method.server_streaming,
                    idempotent=method.idempotent,
                )
            )
        session.flush()

    def retire_service(self, actor: Actor, subsystem: str, name: str, *, dry_run: bool = False) -> None:
        """Withdraw a service; an operator or the member's own gateway."""
        with self._writing(actor, dry_run=dry_run) as writing:
            self._require_side(writing, str(SubsystemId.parse(subsystem).member))
            row = writing.session.get(models.Service, (subsystem, str(ServiceName.parse(name))))
            if row is None or row.state != "active":
                raise ExchangeError(Reason.NOT_FOUND, f"{subsystem} does not provide {name}")
            row.state, row.changed_at = "retired", self._clock.now_ms()
            writing.note(self._clock, "service-retired", f"{subsystem}/{name}")

    # --- agreements ---

    def conclude_agreement(
        self, actor: Actor, consumer_jws: str, provider_jws: str, *, dry_run: bool = False
    ) -> int:
        """Hand in an agreement that both members signed; an operator or a gateway of one of them."""
        with self._writing(actor, dry_run=dry_run) as writing:
            verified = self.judge.agreement(writing.session, consumer_jws, provider_jws, self._clock.now_ms())
            self._require_party(writing, _sides(verified))
            document = AgreementDocument(consumer_jws, provider_jws)
            return self._submit(writing, AGREEMENT, verified.agreement.id, document)

    def _start_agreement(self, writing: _Writing, request: models.Request) -> None:
        now = self._clock.now_ms()
        document = decode_strict(request.document, AgreementDocument)
        verified = self.judge.agreement(writing.session, document.consumer_jws, document.provider_jws, now)
        previous = newest_version(writing.session, verified.agreement.id)
        if previous is not None and previous.state in ("active", "suspended"):
            previous.state, previous.changed_at = "superseded", now
        writing.session.add(_agreement_row(verified, now))
        # The digest on record is that of the payload both signed, as statements name it.
        writing.note(self._clock, "agreement-concluded", verified.agreement.id, verified.payload)

    def stop_agreement(
        self, actor: Actor, name: str, reason: str, *, for_good: bool, dry_run: bool = False
    ) -> None:
        """Suspend or revoke an agreement at once; an operator or a gateway of one of the two members."""
        require_text(reason, "the reason")
        with self._writing(actor, dry_run=dry_run) as writing:
            row = _agreement(writing.session, name)
            self._require_party(writing, (row.consumer_id, row.provider_id))
            state = "revoked" if for_good else "suspended"
            allowed = ("active", "suspended") if for_good else ("active",)
            if row.state not in allowed:
                raise ExchangeError(Reason.STATE_CONFLICT, f"agreement {name} is {row.state}")
            row.state, row.changed_at, row.reason = state, self._clock.now_ms(), reason
            writing.note(self._clock, f"agreement-{state}", name, reason.encode())

    def resume_agreement(self, actor: Actor, name: str, *, dry_run: bool = False) -> int:
        """Ask that an agreement go on; an operator or a gateway of one of the two members."""
        with self._writing(actor, dry_run=dry_run) as writing:
            row = _agreement(writing.session, name)
            self._require_party(writing, (row.consumer_id, row.provider_id))
            _require_state(row.state, "suspended", f"agreement {name}")
            return self._submit(writing, AGREEMENT_RESUMPTION, name, ResumptionDocument(row.changed_at))

    def _resume_agreement(self, writing: _Writing, request: models.Request) -> None:
        row = _agreement(writing.session, request.subject)
        _require_stopped(request, row.state, row.changed_at)
        row.state, row.changed_at, row.reason = "active", self._clock.now_ms(), ""
        writing.note(self._clock, "agreement-resumed", row.id)

    # --- requests ---

    def approve(self, actor: Actor, number: int) -> tuple[models.Request, int]:
        """One operator's approval; the last one that is needed puts the request into force.

        Returns the request, and the version that carries it into force or 0.
        """
        operator = str(actor.require_operator())
        with self._writing(actor) as writing:
            request = _pending(writing.session, number)
            if operator in [approval.operator for approval in request.approvals]:
                raise ExchangeError(
                    Reason.APPROVAL_REQUIRED, f"{operator} approved request {number} already; another must"
                )
            request.approvals.append(models.Approval(operator=operator, at=self._clock.now_ms()))
            writing.session.flush()
            writing.note(self._clock, "request-approved", f"request/{number}", request.document)
            in_force = len(request.approvals) >= self.settings.approvals
            if in_force:
                request.state = "approved"
                approvers = [f"urn:passerelle:operator:{one.operator}" for one in request.approvals]
                writing.actors = [request.submitted_by, *approvers]
                self._effects[request.kind](writing, request)
        return request, self.publisher.current.mark.version if in_force else 0

    def refuse(self, actor: Actor, number: int, reason: str) -> models.Request:
        """Refuse a request for good; one operator is enough."""
        actor.require_operator()
        require_text(reason, "the reason")
        with self._writing(actor) as writing:
            request = _pending(writing.session, number)
            request.state, request.refusal_reason = "refused", reason
            writing.note(self._clock, "request-refused", f"request/{number}", reason.encode())
            # Loaded while the session is open: the answer tells who had approved before.
            _ = request.approvals
        return request

    def _submit(self, writing: _Writing, kind: str, subject: str, document: msgspec.Struct) -> int:
        """Put a request on the operators' list."""
        encoded = encode(document)
        waiting = select(func.count()).where(
            models.Request.state == "pending",
            models.Request.kind == kind,
            models.Request.subject == subject,
            models.Request.document == encoded,
        )
        if writing.session.scalar(waiting):
            raise ExchangeError(Reason.ALREADY_EXISTS, f"the same request for {subject} waits already")
        request = models.Request(
            kind=kind,
            subject=subject,
            state="pending",
            document=encoded,
            submitted_by=writing.actor.urn,
            submitted_at=self._clock.now_ms(),
        )
        writing.session.add(request)
        writing.session.flush()
        writing.note(self._clock, "request-submitted", f"request/{request.number}", encoded)
        return request.number

    @property
    def _effects(self) -> dict[str, Callable[[_Writing, models.Request], None]]:
        """What each kind of request starts."""
        return {
            MEMBER: self._start_member,
            REGISTRATION: self._start_registration,
            AGREEMENT: self._start_agreement,
            MEMBER_RESUMPTION: self._resume_member,
            GATEWAY_RESUMPTION: self._resume_gateway,
            AGREEMENT_RESUMPTION: self._resume_agreement,
        }

    # --- who may ---

    def _require_side(self, writing: _Writing, member: str) -> None:
        """An operator, or a gateway of ``member`` that is not stopped."""
        actor = writing.actor
        if not actor.speaks_for(member):
            actor.require_operator()
            return
        gateway = writing.session.get(models.Gateway, str(actor.identifier))
        if gateway is not None and gateway.registrations[-1].state in ("suspended", "revoked"):
            raise ExchangeError(Reason.GATEWAY_SUSPENDED, f"{actor.identifier} is stopped")

    def _require_party(self, writing: _Writing, subsystems: tuple[str, str]) -> None:
        """An operator, or a gateway of one of the two members."""
        for subsystem in subsystems:
            member = str(SubsystemId.parse(subsystem).member)
            if writing.actor.speaks_for(member):
                self._require_side(writing, member)
                return
        writing.actor.require_operator()


def _sides(verified: VerifiedAgreement) -> tuple[str, str]:
    return verified.agreement.consumer.subsystem, verified.agreement.provider.subsystem


def _registration_row(verified: VerifiedRegistration, now: int) -> models.Registration:
    return models.Registration(
        gateway_id=str(verified.gateway),
        serial=verified.registration.serial,
        jws=verified.jws,
        state="active",
        changed_at=now,
        reason="",
    )


def _agreement_row(verified: VerifiedAgreement, now: int) -> models.Agreement:
    agreement = verified.agreement
    return models.Agreement(
        id=agreement.id,
        version=agreement.version,
        digest=verified.digest,
        consumer_id=agreement.consumer.subsystem,
        provider_id=agreement.provider.subsystem,
        service=agreement.service,
        not_after=parse_time_ms(agreement.not_after),
        payload=verified.payload,
        consumer_jws=verified.consumer_jws,
        provider_jws=verified.provider_jws,
        state="active",
        changed_at=now,
        reason="",
    )


def _member(session: Session, member_id: str) -> models.Member:
    row = session.get(models.Member, str(MemberId.parse(member_id)))
    if row is None:
        raise ExchangeError(Reason.NOT_FOUND, f"there is no member {member_id}")
    return row


def _registration(session: Session, gateway: str) -> models.Registration:
    row = session.get(models.Gateway, str(GatewayId.parse(gateway)))
    if row is None:
        raise ExchangeError(Reason.NOT_FOUND, f"there is no gateway {gateway}")
    return row.registrations[-1]


def _agreement(session: Session, name: str) -> models.Agreement:
    # Some databases know no NUL: what no agreement can be called is not asked of them.
    row = newest_version(session, name) if name.isprintable() else None
    if row is None:
        raise ExchangeError(Reason.NOT_FOUND, f"there is no agreement {name[:64]!a}")
    return row


def _pending(session: Session, number: int) -> models.Request:
    # A number beyond what a database counts to is as unknown as any other.
    row = session.get(models.Request, number) if number < 2**63 else None
    if row is None:
        raise ExchangeError(Reason.NOT_FOUND, f"there is no request {number}")
    if row.state != "pending":
        raise ExchangeError(Reason.STATE_CONFLICT, f"request {number} is {row.state} already")
    return row


def _require_state(state: str, expected: str, subject: str) -> None:
    if state != expected:
        raise ExchangeError(Reason.STATE_CONFLICT, f"{subject} is {state}, not {expected}")


def _require_stopped(request: models.Request, state: str, changed_at: int) -> None:
    """A resumption undoes the stop it was asked for, not one that came later."""
    stopped_at = decode_strict(request.document, ResumptionDocument).stopped_at
    if state != "suspended" or changed_at != stopped_at:
        raise ExchangeError(Reason.STATE_CONFLICT, f"{request.subject} has changed since the request")

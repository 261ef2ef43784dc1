"""The registry's gRPC API: who may ask is settled here by certificate, what may be done by the office.

Generated types end in this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import grpc
from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from core.agreements import parse_agreement
from core.clock import Clock
from core.heads import ConfigurationMark
from core.identifiers import MemberId, ServiceName, SubsystemId, UrnKind
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import (
    agreements_pb2,
    agreements_pb2_grpc,
    configuration_pb2,
    configuration_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    requests_pb2,
    requests_pb2_grpc,
    services_pb2,
    services_pb2_grpc,
)
from pki.profiles import Profile
from registry import models, office
from registry.checks import newest_version
from registry.office import Actor, Office
from rpc.credentials import peer
from rpc.server import RpcServer
from rpc.waiting import WaitingStream, Watchers, waiting

SERVICES: Final = (
    "passerelle.registry.v1.ConfigurationService",
    "passerelle.registry.v1.MembersService",
    "passerelle.registry.v1.ServicesService",
    "passerelle.registry.v1.AgreementsService",
    "passerelle.registry.v1.RequestsService",
)
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1000

# The certificates that may speak here, and the profile each must fulfil in full.
_PROFILES: Final[dict[UrnKind, Profile]] = {
    "operator": Profile.OPERATOR,
    "auditor": Profile.AUDITOR,
    "gateway": Profile.AUTH,
    "registry": Profile.REGISTRY,
}
_STATES: Final = {
    "active": members_pb2.STATE_ACTIVE,
    "suspended": members_pb2.STATE_SUSPENDED,
    "revoked": members_pb2.STATE_REVOKED,
    "superseded": members_pb2.STATE_SUPERSEDED,
}
_KINDS: Final = {
    office.MEMBER: requests_pb2.REQUEST_KIND_MEMBER,
    office.REGISTRATION: requests_pb2.REQUEST_KIND_REGISTRATION,
    office.AGREEMENT: requests_pb2.REQUEST_KIND_AGREEMENT,
    office.MEMBER_RESUMPTION: requests_pb2.REQUEST_KIND_MEMBER_RESUMPTION,
    office.GATEWAY_RESUMPTION: requests_pb2.REQUEST_KIND_GATEWAY_RESUMPTION,
    office.AGREEMENT_RESUMPTION: requests_pb2.REQUEST_KIND_AGREEMENT_RESUMPTION,
}
_REQUEST_STATES: Final = {
    "pending": requests_pb2.REQUEST_STATE_PENDING,
    "approved": requests_pb2.REQUEST_STATE_APPROVED,
    "refused": requests_pb2.REQUEST_STATE_REFUSED,
}


class Door:
    """Tells who calls, judged anew on every call: chain, validity, revocation, role."""

    def __init__(self, office: Office, clock: Clock) -> None:
        self._office = office
        self._clock = clock

    def enter(self, context: grpc.ServicerContext) -> Actor:
        """The caller; raises ``ExchangeError`` for certificates that may not speak here."""
        found = peer(context, clock=self._clock)
        profile = _PROFILES.get(found.kind)
        if profile is None:
            raise ExchangeError(Reason.NOT_AUTHORISED, f"{found.urn} has nothing to ask of a registry")
        with self._office.sessions() as session:
            # TLS looks at no revocation list; a revoked operator must not get in by an open connection.
            self._office.judge.chain(session, found.certificate, profile, self._clock.now_ms())
        return Actor(found.kind, found.identifier, found.urn)


class ConfigurationServer(configuration_pb2_grpc.ConfigurationServiceServicer):
    """Files, news and state of the configuration."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door
        self._watchers: Watchers[configuration_pb2.WatchResponse] = Watchers()

    def announce(self, mark: ConfigurationMark) -> None:
        """Tell all watchers of a new version."""
        self._watchers.publish(_news(mark))

    def Fetch(
        self, request: configuration_pb2.FetchRequest, context: grpc.ServicerContext
    ) -> Iterator[configuration_pb2.FetchResponse]:
        """See the proto."""
        self._door.enter(context)
        for piece in self._office.publisher.read(request.path):
            yield configuration_pb2.FetchResponse(data=piece)

    @waiting
    def Watch(
        self,
        request: configuration_pb2.WatchRequest,
        stream: WaitingStream[configuration_pb2.WatchResponse],
        context: grpc.ServicerContext,
    ) -> None:
        """See the proto."""
        self._door.enter(context)
        # First among the watchers, then the news: a version published in between is told twice, never missed.
        self._watchers.add(stream)
        stream.send(_news(self._office.publisher.current.mark))

    def GetStatus(
        self, request: configuration_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> configuration_pb2.GetStatusResponse:
        """See the proto."""
        self._door.enter(context)
        current = self._office.publisher.current
        with self._office.sessions() as session:
            return configuration_pb2.GetStatusResponse(
                registry=self._office.settings.registry,
                version=current.mark.version,
                digest=current.mark.digest,
                expires_at_ms=current.expires_at_ms,
                log_id=self._office.journal.log_id,
                head=self._office.journal.head,
                watchers=len(self._watchers),
                pending_requests=_count(session, models.Request, models.Request.state == "pending"),
                members=_count(session, models.Member),
                active_agreements=_count(session, models.Agreement, models.Agreement.state == "active"),
            )


class MembersServer(members_pb2_grpc.MembersServiceServicer):
    """Members, subsystems, gateways."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door

    def ProposeMember(
        self, request: members_pb2.ProposeMemberRequest, context: grpc.ServicerContext
    ) -> members_pb2.ProposeMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        document = office.MemberDocument(
            member=request.member,
            fr=request.name.fr,
            en=request.name.en,
            public_key=_bounded(request.member_key_pem, 1024, "the member key"),
        )
        number = self._office.propose_member(actor, document, dry_run=request.dry_run)
        return members_pb2.ProposeMemberResponse(request=0 if request.dry_run else number)

    def ListMembers(
        self, request: members_pb2.ListMembersRequest, context: grpc.ServicerContext
    ) -> members_pb2.ListMembersResponse:
        """See the proto."""
        self._door.enter(context)
        size = _page(request.page_size)
        rows = select(models.Member).order_by(models.Member.id)
        if request.page_token:
            rows = rows.where(models.Member.id > str(MemberId.parse(request.page_token)))
        with self._office.sessions() as session:
            found = session.scalars(rows.limit(size + 1)).all()
            return members_pb2.ListMembersResponse(
                members=[_member(row) for row in found[:size]],
                next_page_token=found[size - 1].id if len(found) > size else "",
            )

    def GetMember(
        self, request: members_pb2.GetMemberRequest, context: grpc.ServicerContext
    ) -> members_pb2.GetMemberResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            row = session.get(models.Member, str(MemberId.parse(request.member)))
            if row is None:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no member {request.member}")
            return members_pb2.GetMemberResponse(member=_member(row))

    def SuspendMember(
        self, request: members_pb2.SuspendMemberRequest, context: grpc.ServicerContext
    ) -> members_pb2.SuspendMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.suspend_member(actor, request.member, request.reason, dry_run=request.dry_run)
        return members_pb2.SuspendMemberResponse(version=self._version(request.dry_run))

    def ResumeMember(
        self, request: members_pb2.ResumeMemberRequest, context: grpc.ServicerContext
    ) -> members_pb2.ResumeMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_member(actor, request.member, dry_run=request.dry_run)
        return members_pb2.ResumeMemberResponse(request=0 if request.dry_run else number)

    def AddSubsystem(
        self, request: members_pb2.AddSubsystemRequest, context: grpc.ServicerContext
    ) -> members_pb2.AddSubsystemResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.add_subsystem(actor, request.subsystem, dry_run=request.dry_run)
        return members_pb2.AddSubsystemResponse(version=self._version(request.dry_run))

    def SubmitRegistration(
        self, request: members_pb2.SubmitRegistrationRequest, context: grpc.ServicerContext
    ) -> members_pb2.SubmitRegistrationResponse:
        """See the proto."""
        actor = self._door.enter(context)
        jws = _bounded(request.registration_jws, 256 * 1024, "the registration")
        number = self._office.submit_registration(actor, jws, dry_run=request.dry_run)
        return members_pb2.SubmitRegistrationResponse(request=0 if request.dry_run else number)

    def SuspendGateway(
        self, request: members_pb2.SuspendGatewayRequest, context: grpc.ServicerContext
    ) -> members_pb2.SuspendGatewayResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.stop_gateway(
            actor, request.gateway, request.reason, for_good=False, dry_run=request.dry_run
        )
        return members_pb2.SuspendGatewayResponse(version=self._version(request.dry_run))

    def ResumeGateway(
        self, request: members_pb2.ResumeGatewayRequest, context: grpc.ServicerContext
    ) -> members_pb2.ResumeGatewayResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_gateway(actor, request.gateway, dry_run=request.dry_run)
        return members_pb2.ResumeGatewayResponse(request=0 if request.dry_run else number)

    def RevokeGateway(
        self, request: members_pb2.RevokeGatewayRequest, context: grpc.ServicerContext
    ) -> members_pb2.RevokeGatewayResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.stop_gateway(
            actor, request.gateway, request.reason, for_good=True, dry_run=request.dry_run
        )
        return members_pb2.RevokeGatewayResponse(version=self._version(request.dry_run))

    def _version(self, dry_run: bool) -> int:
        return 0 if dry_run else self._office.publisher.current.mark.version


class ServicesServer(services_pb2_grpc.ServicesServiceServicer):
    """Services with their descriptors."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door

    def PublishServices(
        self, request: services_pb2.PublishServicesRequest, context: grpc.ServicerContext
    ) -> services_pb2.PublishServicesResponse:
        """See the proto."""
        actor = self._door.enter(context)
        names = self._office.publish_services(
            actor,
            request.subsystem,
            request.file_descriptor_set,
            list(request.services),
            dry_run=request.dry_run,
        )
        if request.dry_run:
            listed = [services_pb2.Service(subsystem=request.subsystem, service=name) for name in names]
            return services_pb2.PublishServicesResponse(services=listed)
        with self._office.sessions() as session:
            rows = [session.get_one(models.Service, (request.subsystem, name)) for name in names]
            return services_pb2.PublishServicesResponse(
                services=[_service(row) for row in rows], version=self._office.publisher.current.mark.version
            )

    def ListServices(
        self, request: services_pb2.ListServicesRequest, context: grpc.ServicerContext
    ) -> services_pb2.ListServicesResponse:
        """See the proto."""
        self._door.enter(context)
        size = _page(request.page_size)
        key = tuple_(models.Service.subsystem_id, models.Service.name)
        rows = select(models.Service).where(models.Service.state == "active")
        if request.subsystem:
            rows = rows.where(models.Service.subsystem_id == str(SubsystemId.parse(request.subsystem)))
        if request.page_token:
            subsystem, _, name = request.page_token.partition(" ")
            rows = rows.where(key > (str(SubsystemId.parse(subsystem)), str(ServiceName.parse(name))))
        rows = rows.order_by(models.Service.subsystem_id, models.Service.name)
        with self._office.sessions() as session:
            found = session.scalars(rows.limit(size + 1)).all()
            last = found[size - 1] if len(found) > size else None
            return services_pb2.ListServicesResponse(
                services=[_service(row) for row in found[:size]],
                next_page_token=f"{last.subsystem_id} {last.name}" if last else "",
            )

    def GetService(
        self, request: services_pb2.GetServiceRequest, context: grpc.ServicerContext
    ) -> services_pb2.GetServiceResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            key = str(SubsystemId.parse(request.subsystem)), str(ServiceName.parse(request.service))
            row = session.get(models.Service, key)
            if row is None or row.state != "active":
                raise ExchangeError(Reason.NOT_FOUND, "there is no such service")
            descriptors = session.get_one(models.DescriptorSet, row.descriptors)
            return services_pb2.GetServiceResponse(
                service=_service(row), file_descriptor_set=descriptors.data
            )

    def RetireService(
        self, request: services_pb2.RetireServiceRequest, context: grpc.ServicerContext
    ) -> services_pb2.RetireServiceResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.retire_service(actor, request.subsystem, request.service, dry_run=request.dry_run)
        version = 0 if request.dry_run else self._office.publisher.current.mark.version
        return services_pb2.RetireServiceResponse(version=version)


class AgreementsServer(agreements_pb2_grpc.AgreementsServiceServicer):
    """Agreements."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door

    def ConcludeAgreement(
        self, request: agreements_pb2.ConcludeAgreementRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.ConcludeAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.conclude_agreement(
            actor,
            _bounded(request.consumer_jws, 128 * 1024, "the consumer's document"),
            _bounded(request.provider_jws, 128 * 1024, "the provider's document"),
            dry_run=request.dry_run,
        )
        return agreements_pb2.ConcludeAgreementResponse(request=0 if request.dry_run else number)

    def ListAgreements(
        self, request: agreements_pb2.ListAgreementsRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.ListAgreementsResponse:
        """See the proto."""
        self._door.enter(context)
        size = _page(request.page_size)
        rows = select(models.Agreement)
        if request.member:
            own = select(models.Subsystem.id).where(
                models.Subsystem.member_id == str(MemberId.parse(request.member))
            )
            rows = rows.where(models.Agreement.consumer_id.in_(own) | models.Agreement.provider_id.in_(own))
        if request.page_token:
            rows = rows.where(
                tuple_(models.Agreement.id, models.Agreement.version) > _agreement_token(request.page_token)
            )
        rows = rows.order_by(models.Agreement.id, models.Agreement.version)
        with self._office.sessions() as session:
            found = session.scalars(rows.limit(size + 1)).all()
            last = found[size - 1] if len(found) > size else None
            return agreements_pb2.ListAgreementsResponse(
                agreements=[_agreement(row) for row in found[:size]],
                next_page_token=f"{last.id} {last.version}" if last else "",
            )

    def GetAgreement(
        self, request: agreements_pb2.GetAgreementRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.GetAgreementResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            if request.version:
                row = session.get(models.Agreement, (_name(request.id), request.version))
            else:
                row = newest_version(session, _name(request.id))
            if row is None:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no agreement {request.id[:64]!a}")
            return agreements_pb2.GetAgreementResponse(agreement=_agreement(row))

    def SuspendAgreement(
        self, request: agreements_pb2.SuspendAgreementRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.SuspendAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.stop_agreement(
            actor, request.id, request.reason, for_good=False, dry_run=request.dry_run
        )
        version = 0 if request.dry_run else self._office.publisher.current.mark.version
        return agreements_pb2.SuspendAgreementResponse(version=version)

    def ResumeAgreement(
        self, request: agreements_pb2.ResumeAgreementRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.ResumeAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_agreement(actor, request.id, dry_run=request.dry_run)
        return agreements_pb2.ResumeAgreementResponse(request=0 if request.dry_run else number)

    def RevokeAgreement(
        self, request: agreements_pb2.RevokeAgreementRequest, context: grpc.ServicerContext
    ) -> agreements_pb2.RevokeAgreementResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.stop_agreement(actor, request.id, request.reason, for_good=True, dry_run=request.dry_run)
        version = 0 if request.dry_run else self._office.publisher.current.mark.version
        return agreements_pb2.RevokeAgreementResponse(version=version)


class RequestsServer(requests_pb2_grpc.RequestsServiceServicer):
    """Requests that wait for operators."""

    def __init__(self, office: Office, door: Door) -> None:
        self._office = office
        self._door = door

    def ListRequests(
        self, request: requests_pb2.ListRequestsRequest, context: grpc.ServicerContext
    ) -> requests_pb2.ListRequestsResponse:
        """See the proto."""
        actor = self._door.enter(context)
        size = _page(request.page_size)
        rows = select(models.Request)
        if actor.kind not in ("operator", "auditor"):
            # A gateway sees what it handed in itself, nothing of its neighbours.
            rows = rows.where(models.Request.submitted_by == actor.urn)
        if request.state:
            rows = rows.where(models.Request.state == _name_of(_REQUEST_STATES, request.state))
        if request.kind:
            rows = rows.where(models.Request.kind == _name_of(_KINDS, request.kind))
        if request.page_token:
            rows = rows.where(models.Request.number < _number(request.page_token))
        rows = rows.order_by(models.Request.number.desc())
        with self._office.sessions() as session:
            found = session.scalars(rows.limit(size + 1)).all()
            return requests_pb2.ListRequestsResponse(
                requests=[self._request(row) for row in found[:size]],
                next_page_token=str(found[size - 1].number) if len(found) > size else "",
            )

    def GetRequest(
        self, request: requests_pb2.GetRequestRequest, context: grpc.ServicerContext
    ) -> requests_pb2.GetRequestResponse:
        """See the proto."""
        actor = self._door.enter(context)
        with self._office.sessions() as session:
            row = session.get(models.Request, request.number) if request.number < 2**63 else None
            hidden = row is not None and (
                actor.kind not in ("operator", "auditor") and row.submitted_by != actor.urn
            )
            if row is None or hidden:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no request {request.number}")
            return requests_pb2.GetRequestResponse(request=self._request(row), document=row.document)

    def ApproveRequest(
        self, request: requests_pb2.ApproveRequestRequest, context: grpc.ServicerContext
    ) -> requests_pb2.ApproveRequestResponse:
        """See the proto."""
        row, version = self._office.approve(self._door.enter(context), request.number)
        return requests_pb2.ApproveRequestResponse(request=self._request(row), version=version)

    def RefuseRequest(
        self, request: requests_pb2.RefuseRequestRequest, context: grpc.ServicerContext
    ) -> requests_pb2.RefuseRequestResponse:
        """See the proto."""
        row = self._office.refuse(self._door.enter(context), request.number, request.reason)
        return requests_pb2.RefuseRequestResponse(request=self._request(row))

    def _request(self, row: models.Request) -> requests_pb2.Request:
        return requests_pb2.Request(
            number=row.number,
            kind=_KINDS[row.kind],
            subject=row.subject,
            state=_REQUEST_STATES[row.state],
            submitted_by=row.submitted_by,
            submitted_at_ms=row.submitted_at,
            approvals=[requests_pb2.Approval(operator=one.operator, at_ms=one.at) for one in row.approvals],
            approvals_needed=self._office.settings.approvals,
            refusal_reason=row.refusal_reason,
        )


def add_services(server: RpcServer, office: Office, clock: Clock) -> None:
    """Put the five services on a server, and let watchers hear of publications."""
    door = Door(office, clock)
    configuration = ConfigurationServer(office, door)
    office.on_publication = configuration.announce
    configuration_pb2_grpc.add_ConfigurationServiceServicer_to_server(configuration, server.grpc)
    members_pb2_grpc.add_MembersServiceServicer_to_server(MembersServer(office, door), server.grpc)
    services_pb2_grpc.add_ServicesServiceServicer_to_server(ServicesServer(office, door), server.grpc)
    agreements_pb2_grpc.add_AgreementsServiceServicer_to_server(AgreementsServer(office, door), server.grpc)
    requests_pb2_grpc.add_RequestsServiceServicer_to_server(RequestsServer(office, door), server.grpc)


def _news(mark: ConfigurationMark) -> configuration_pb2.WatchResponse:
    return configuration_pb2.WatchResponse(version=mark.version, digest=mark.digest)


def _count(session: Session, model: type[models.Base], *where: object) -> int:
    rows = select(func.count()).select_from(model)
    for condition in where:
        rows = rows.where(condition)  # type: ignore[arg-type]  # column expressions, typed as bool by the ORM
    return session.scalar(rows) or 0


def _page(size: int) -> int:
    if size > MAX_PAGE:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"a page has at most {MAX_PAGE} entries")
    return size or DEFAULT_PAGE


def _number(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise ExchangeError(Reason.DOCUMENT_INVALID, "not a page token of this list")
    return int(token)


def _agreement_token(token: str) -> tuple[str, int]:
    name, _, version = token.partition(" ")
    return _name(name), _number(version)


def _name(text: str) -> str:
    """An agreement's id as databases take it: some know no NUL, none need a control character."""
    if len(text) > 64 or not text.isascii() or not text.isprintable():
        raise ExchangeError(Reason.NOT_FOUND, "there is no such agreement")
    return text


def _name_of(names: Mapping[str, int], value: int) -> str:
    for name, known in names.items():
        if known == value:
            return name
    raise ExchangeError(Reason.DOCUMENT_INVALID, f"unknown value {value}")


def _bounded(text: str, longest: int, what: str) -> str:
    if len(text) > longest:
        raise ExchangeError(Reason.DOCUMENT_INVALID, f"{what} is longer than {longest} characters")
    return text


def _member(row: models.Member) -> members_pb2.Member:
    return members_pb2.Member(
        member=row.id,
        name=members_pb2.LocalizedName(fr=row.name_fr, en=row.name_en),
        state=_STATES[row.state],
        keys=[
            members_pb2.MemberKey(
                thumbprint=key.thumbprint, spki_pem=key.public_key, state=_STATES[key.state]
            )
            for key in row.keys
        ],
        subsystems=[subsystem.id.rpartition("/")[2] for subsystem in row.subsystems],
        gateways=[
            members_pb2.Gateway(
                gateway=gateway.id,
                state=_STATES[gateway.registrations[-1].state],
                registration_jws=gateway.registrations[-1].jws,
            )
            for gateway in row.gateways
        ],
    )


def _service(row: models.Service) -> services_pb2.Service:
    return services_pb2.Service(
        subsystem=row.subsystem_id,
        service=row.name,
        methods=[
            services_pb2.Method(
                name=method.name,
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
                idempotent=method.idempotent,
            )
            for method in row.methods
        ],
        descriptors_digest=row.descriptors,
    )


def _agreement(row: models.Agreement) -> agreements_pb2.Agreement:
    terms = parse_agreement(row.payload)
    return agreements_pb2.Agreement(
        id=row.id,
        version=row.version,
        state=_STATES[row.state],
        consumer=row.consumer_id,
        provider=row.provider_id,
        service=row.service,
        methods=terms.methods,
        purposes=terms.purposes,
        digest=row.digest,
        consumer_jws=row.consumer_jws,
        provider_jws=row.provider_jws,
        changed_at_ms=row.changed_at,
        reason=row.reason,
    )

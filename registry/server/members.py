"""``MembersService``: members, subsystems, gateways."""

from __future__ import annotations

from grpc import ServicerContext as Context
from sqlalchemy import select

from core.identifiers import MemberId
from core.reasons import ExchangeError, Reason
from passerelle.registry.v1 import members_pb2 as pb
from passerelle.registry.v1.members_pb2_grpc import MembersServiceServicer
from registry import models
from registry.office import MemberDocument
from registry.server.desk import STATES, Desk, read_page, require_bounded


class MembersServer(Desk, MembersServiceServicer):
    """Members, subsystems, gateways."""

    def ProposeMember(self, request: pb.ProposeMemberRequest, context: Context) -> pb.ProposeMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        document = MemberDocument(
            member=request.member,
            fr=request.name.fr,
            en=request.name.en,
            public_key=require_bounded(request.member_key_pem, 1024, "the member key"),
        )
        number = self._office.propose_member(actor, document, dry_run=request.dry_run)
        return pb.ProposeMemberResponse(request=0 if request.dry_run else number)

    def ListMembers(self, request: pb.ListMembersRequest, context: Context) -> pb.ListMembersResponse:
        """See the proto."""
        self._door.enter(context)
        rows = select(models.Member).order_by(models.Member.id)
        if request.page_token:
            rows = rows.where(models.Member.id > str(MemberId.parse(request.page_token)))
        with self._office.sessions() as session:
            found, more = read_page(session, rows, request.page_size, lambda row: row.id)
            return pb.ListMembersResponse(members=[_member(row) for row in found], next_page_token=more)

    def GetMember(self, request: pb.GetMemberRequest, context: Context) -> pb.GetMemberResponse:
        """See the proto."""
        self._door.enter(context)
        with self._office.sessions() as session:
            row = session.get(models.Member, str(MemberId.parse(request.member)))
            if row is None:
                raise ExchangeError(Reason.NOT_FOUND, f"there is no member {request.member}")
            return pb.GetMemberResponse(member=_member(row))

    def SuspendMember(self, request: pb.SuspendMemberRequest, context: Context) -> pb.SuspendMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.suspend_member(actor, request.member, request.reason, dry_run=request.dry_run)
        return pb.SuspendMemberResponse(version=self._version(request.dry_run))

    def ResumeMember(self, request: pb.ResumeMemberRequest, context: Context) -> pb.ResumeMemberResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_member(actor, request.member, dry_run=request.dry_run)
        return pb.ResumeMemberResponse(request=0 if request.dry_run else number)

    def AddSubsystem(self, request: pb.AddSubsystemRequest, context: Context) -> pb.AddSubsystemResponse:
        """See the proto."""
        actor = self._door.enter(context)
        self._office.add_subsystem(actor, request.subsystem, dry_run=request.dry_run)
        return pb.AddSubsystemResponse(version=self._version(request.dry_run))

    def SubmitRegistration(
        self, request: pb.SubmitRegistrationRequest, context: Context
    ) -> pb.SubmitRegistrationResponse:
        """See the proto."""
        actor = self._door.enter(context)
        jws = require_bounded(request.registration_jws, 256 * 1024, "the registration")
        number = self._office.submit_registration(actor, jws, dry_run=request.dry_run)
        return pb.SubmitRegistrationResponse(request=0 if request.dry_run else number)

    def SuspendGateway(
        self, request: pb.SuspendGatewayRequest, context: Context
    ) -> pb.SuspendGatewayResponse:
        """See the proto."""
        actor, dry_run = self._door.enter(context), request.dry_run
        self._office.stop_gateway(actor, request.gateway, request.reason, for_good=False, dry_run=dry_run)
        return pb.SuspendGatewayResponse(version=self._version(dry_run))

    def ResumeGateway(self, request: pb.ResumeGatewayRequest, context: Context) -> pb.ResumeGatewayResponse:
        """See the proto."""
        actor = self._door.enter(context)
        number = self._office.resume_gateway(actor, request.gateway, dry_run=request.dry_run)
        return pb.ResumeGatewayResponse(request=0 if request.dry_run else number)

    def RevokeGateway(self, request: pb.RevokeGatewayRequest, context: Context) -> pb.RevokeGatewayResponse:
        """See the proto."""
        actor, dry_run = self._door.enter(context), request.dry_run
        self._office.stop_gateway(actor, request.gateway, request.reason, for_good=True, dry_run=dry_run)
        return pb.RevokeGatewayResponse(version=self._version(dry_run))


def _member(row: models.Member) -> pb.Member:
    return pb.Member(
        member=row.id,
        name=pb.LocalizedName(fr=row.name_fr, en=row.name_en),
        state=STATES[row.state],
        keys=[
            pb.MemberKey(thumbprint=key.thumbprint, spki_pem=key.public_key, state=STATES[key.state])
            for key in row.keys
        ],
        subsystems=[subsystem.id.rpartition("/")[2] for subsystem in row.subsystems],
        gateways=[
            pb.Gateway(
                gateway=gateway.id,
                state=STATES[gateway.registrations[-1].state],
                registration_jws=gateway.registrations[-1].jws,
            )
            for gateway in row.gateways
        ],
    )

"""The registry as others see it: its API over mutual TLS, for commands, founding and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc

from core.identifiers import RegistryId, urn
from core.reasons import Code, ExchangeError, Reason
from passerelle.registry.v1 import (
    agreements_pb2,
    agreements_pb2_grpc,
    configuration_pb2,
    configuration_pb2_grpc,
    heads_pb2,
    heads_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    requests_pb2,
    requests_pb2_grpc,
    services_pb2,
    services_pb2_grpc,
)
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.remote import OWN_DOMAIN, RemoteError
from rpc.status import error_from_rpc

TIMEOUT_S: Final = 15.0
# A list is read whole or not at all: one of more than MAX_PAGES pages is refused, never cut.
PAGE: Final = 200
MAX_PAGES: Final = 500

_Response = TypeVar("_Response")
_Entry = TypeVar("_Entry")


class RegistryClient:
    """One connection to a registry, in one role.

    Every method raises ``RemoteError`` with the registry's own reason when it refuses. A method that lists reads all
    pages; it raises ``ExchangeError`` if there are more than ``MAX_PAGES`` of ``PAGE`` entries.

    Args:
        address: ``host:port``.
        identity: An operator's, an auditor's or a gateway's.
        registry: Id that the server's certificate must carry, ``BJ/GOV/ASIN/registre``.
    """

    def __init__(self, address: str, identity: Identity, registry: str) -> None:
        self._channel = channel(address, identity, expect=urn("registry", RegistryId.parse(registry)))
        self._members = members_pb2_grpc.MembersServiceStub(self._channel)
        self._services = services_pb2_grpc.ServicesServiceStub(self._channel)
        self._agreements = agreements_pb2_grpc.AgreementsServiceStub(self._channel)
        self._requests = requests_pb2_grpc.RequestsServiceStub(self._channel)
        self._heads = heads_pb2_grpc.HeadsServiceStub(self._channel)
        self._configuration = configuration_pb2_grpc.ConfigurationServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    # --- members ---

    def propose_member(
        self, member: str, fr: str, en: str, member_key_pem: str, *, dry_run: bool = False
    ) -> int:
        """Ask that a member be added; returns the number of the request that operators must approve."""
        request = members_pb2.ProposeMemberRequest(
            member=member,
            name=members_pb2.LocalizedName(fr=fr, en=en),
            member_key_pem=member_key_pem,
            dry_run=dry_run,
        )
        return _ask(self._members.ProposeMember, request).request

    def list_members(self) -> list[members_pb2.Member]:
        """All members, in the order of their ids."""
        request = members_pb2.ListMembersRequest(page_size=PAGE)

        def read(token: str) -> tuple[Iterable[members_pb2.Member], str]:
            request.page_token = token
            page = _ask(self._members.ListMembers, request)
            return page.members, page.next_page_token

        return _all(read)

    def get_member(self, member: str) -> members_pb2.Member:
        """One member."""
        return _ask(self._members.GetMember, members_pb2.GetMemberRequest(member=member)).member

    def suspend_member(self, member: str, reason: str, *, dry_run: bool = False) -> int:
        """Stop a member; one operator is enough. Returns the version in which that is published."""
        request = members_pb2.SuspendMemberRequest(member=member, reason=reason, dry_run=dry_run)
        return _ask(self._members.SuspendMember, request).version

    def resume_member(self, member: str, *, dry_run: bool = False) -> int:
        """Ask that a member go on; returns the request's number."""
        request = members_pb2.ResumeMemberRequest(member=member, dry_run=dry_run)
        return _ask(self._members.ResumeMember, request).request

    def add_subsystem(self, subsystem: str, *, dry_run: bool = False) -> int:
        """Add a subsystem; returns the version in which it is published."""
        request = members_pb2.AddSubsystemRequest(subsystem=subsystem, dry_run=dry_run)
        return _ask(self._members.AddSubsystem, request).version

    def submit_registration(self, jws: str, *, dry_run: bool = False) -> int:
        """Submit a gateway's registration, signed by the member key; returns the request's number."""
        request = members_pb2.SubmitRegistrationRequest(registration_jws=jws, dry_run=dry_run)
        return _ask(self._members.SubmitRegistration, request).request

    def suspend_gateway(self, gateway: str, reason: str, *, dry_run: bool = False) -> int:
        """Stop a gateway; one operator is enough."""
        request = members_pb2.SuspendGatewayRequest(gateway=gateway, reason=reason, dry_run=dry_run)
        return _ask(self._members.SuspendGateway, request).version

    def resume_gateway(self, gateway: str, *, dry_run: bool = False) -> int:
        """Ask that a gateway go on; returns the request's number."""
        request = members_pb2.ResumeGatewayRequest(gateway=gateway, dry_run=dry_run)
        return _ask(self._members.ResumeGateway, request).request

    def revoke_gateway(self, gateway: str, reason: str, *, dry_run: bool = False) -> int:
        """Stop a gateway for ever."""
        request = members_pb2.RevokeGatewayRequest(gateway=gateway, reason=reason, dry_run=dry_run)
        return _ask(self._members.RevokeGateway, request).version

    # --- services ---

    def publish_services(
        self, subsystem: str, descriptors: bytes, services: Sequence[str], *, dry_run: bool = False
    ) -> list[services_pb2.Service]:
        """Publish services of a subsystem with their FileDescriptorSet."""
        request = services_pb2.PublishServicesRequest(
            subsystem=subsystem, file_descriptor_set=descriptors, services=services, dry_run=dry_run
        )
        return list(_ask(self._services.PublishServices, request).services)

    def list_services(self, subsystem: str = "") -> list[services_pb2.Service]:
        """All services, or those of one subsystem."""
        request = services_pb2.ListServicesRequest(subsystem=subsystem, page_size=PAGE)

        def read(token: str) -> tuple[Iterable[services_pb2.Service], str]:
            request.page_token = token
            page = _ask(self._services.ListServices, request)
            return page.services, page.next_page_token

        return _all(read)

    def get_service(self, subsystem: str, service: str) -> services_pb2.GetServiceResponse:
        """One service with its descriptors."""
        request = services_pb2.GetServiceRequest(subsystem=subsystem, service=service)
        return _ask(self._services.GetService, request)

    def retire_service(self, subsystem: str, service: str, *, dry_run: bool = False) -> int:
        """Withdraw a service."""
        request = services_pb2.RetireServiceRequest(subsystem=subsystem, service=service, dry_run=dry_run)
        return _ask(self._services.RetireService, request).version

    # --- agreements ---

    def conclude_agreement(self, consumer_jws: str, provider_jws: str, *, dry_run: bool = False) -> int:
        """Submit an agreement that both member keys signed; returns the request's number."""
        request = agreements_pb2.ConcludeAgreementRequest(
            consumer_jws=consumer_jws, provider_jws=provider_jws, dry_run=dry_run
        )
        return _ask(self._agreements.ConcludeAgreement, request).request

    def list_agreements(self, member: str = "") -> list[agreements_pb2.Agreement]:
        """All agreements, or those of one member."""
        request = agreements_pb2.ListAgreementsRequest(member=member, page_size=PAGE)

        def read(token: str) -> tuple[Iterable[agreements_pb2.Agreement], str]:
            request.page_token = token
            page = _ask(self._agreements.ListAgreements, request)
            return page.agreements, page.next_page_token

        return _all(read)

    def get_agreement(self, name: str, version: int = 0) -> agreements_pb2.Agreement:
        """One agreement; version 0 is the newest."""
        request = agreements_pb2.GetAgreementRequest(id=name, version=version)
        return _ask(self._agreements.GetAgreement, request).agreement

    def suspend_agreement(self, name: str, reason: str, *, dry_run: bool = False) -> int:
        """Stop an agreement; one operator, or one of its members, is enough."""
        request = agreements_pb2.SuspendAgreementRequest(id=name, reason=reason, dry_run=dry_run)
        return _ask(self._agreements.SuspendAgreement, request).version

    def resume_agreement(self, name: str, *, dry_run: bool = False) -> int:
        """Ask that an agreement go on; returns the request's number."""
        request = agreements_pb2.ResumeAgreementRequest(id=name, dry_run=dry_run)
        return _ask(self._agreements.ResumeAgreement, request).request

    def revoke_agreement(self, name: str, reason: str, *, dry_run: bool = False) -> int:
        """End an agreement for ever; returns the version in which that is published."""
        request = agreements_pb2.RevokeAgreementRequest(id=name, reason=reason, dry_run=dry_run)
        return _ask(self._agreements.RevokeAgreement, request).version

    # --- requests ---

    def list_requests(
        self, state: requests_pb2.RequestState.ValueType = requests_pb2.REQUEST_STATE_UNSPECIFIED
    ) -> list[requests_pb2.Request]:
        """Requests that wait for operators, or all."""
        request = requests_pb2.ListRequestsRequest(state=state, page_size=PAGE)

        def read(token: str) -> tuple[Iterable[requests_pb2.Request], str]:
            request.page_token = token
            page = _ask(self._requests.ListRequests, request)
            return page.requests, page.next_page_token

        return _all(read)

    def get_request(self, number: int) -> requests_pb2.GetRequestResponse:
        """One request with its document."""
        return _ask(self._requests.GetRequest, requests_pb2.GetRequestRequest(number=number))

    def approve(self, number: int) -> requests_pb2.ApproveRequestResponse:
        """Approve a request as this operator."""
        return _ask(self._requests.ApproveRequest, requests_pb2.ApproveRequestRequest(number=number))

    def refuse(self, number: int, reason: str) -> requests_pb2.Request:
        """Refuse a request as this operator."""
        request = requests_pb2.RefuseRequestRequest(number=number, reason=reason)
        return _ask(self._requests.RefuseRequest, request).request

    # --- heads of logs ---

    def list_alarms(self) -> list[heads_pb2.HeadAlarm]:
        """Heads that could not follow the ones held, newest first; an operator or an auditor."""
        request = heads_pb2.ListAlarmsRequest(page_size=PAGE)

        def read(token: str) -> tuple[Iterable[heads_pb2.HeadAlarm], str]:
            request.page_token = token
            page = _ask(self._heads.ListAlarms, request)
            return page.alarms, page.next_page_token

        return _all(read)

    # --- the registry itself ---

    def status(self) -> configuration_pb2.GetStatusResponse:
        """What is published, and what waits."""
        return _ask(self._configuration.GetStatus, configuration_pb2.GetStatusRequest())


def _all(read: Callable[[str], tuple[Iterable[_Entry], str]]) -> list[_Entry]:
    """The entries of all pages; ``read`` gives those of the page that a token names, and the next token."""
    found: list[_Entry] = []
    token = ""
    for _ in range(MAX_PAGES):
        entries, token = read(token)
        found += entries
        if not token:
            return found
    raise ExchangeError(
        Reason.DOCUMENT_INVALID, f"the registry's list has more than {MAX_PAGES} pages of {PAGE} entries"
    )


def _ask(method: Callable[..., _Response], request: object) -> _Response:
    try:
        return method(request, timeout=TIMEOUT_S, wait_for_ready=True)
    except grpc.RpcError as error:
        found = error_from_rpc(error)
        if found.reason or found.code not in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
            raise found from error
        # Nobody answered: grpcio's own words would blame a deadline.
        unreachable = Reason.REGISTRY_UNREACHABLE
        raise RemoteError(
            found.code, found.message, reason=unreachable, domain=OWN_DOMAIN, text=unreachable.entry.text
        ) from error

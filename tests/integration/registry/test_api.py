"""The registry's API over mutual TLS: who gets in, what watchers hear, what hostile callers are told."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from adapters.descriptors import descriptor_set
from core.identifiers import urn
from core.reasons import Code, ExchangeError, Reason
from passerelle.registry.v1 import (
    agreements_pb2,
    agreements_pb2_grpc,
    configuration_pb2,
    configuration_pb2_grpc,
    members_pb2,
    members_pb2_grpc,
    requests_pb2,
    requests_pb2_grpc,
)
from pki.keys import load_chain
from pki.profiles import AuthorityKind, Profile
from registry.client import RegistryClient
from rpc.credentials import channel
from rpc.identity import Identity
from rpc.remote import RemoteError
from tests.support.registry_country import (
    ANIP,
    IDENTITY_SERVICE,
    PNS,
    PORTAIL,
    REGISTRY,
    RNPP,
    RegistryCountry,
)

OPERATORS = ("BJ/GOV/ASIN/operateur-1", "BJ/GOV/ASIN/operateur-2")


@pytest.fixture
def served(populated: RegistryCountry) -> RegistryCountry:
    """Two members, served on a free port."""
    populated.registry.start()
    return populated


@pytest.fixture
def operators(served: RegistryCountry) -> Iterator[tuple[RegistryClient, RegistryClient]]:
    """Both operators, connected."""
    first, second = (served.client(served.identity("operator", name, Profile.OPERATOR)) for name in OPERATORS)
    yield first, second
    first.close()
    second.close()


def raw(served: RegistryCountry, identity: Identity) -> grpc.Channel:
    """A bare channel, for what the client would not send."""
    return channel(f"127.0.0.1:{served.registry.port}", identity, expect=urn("registry", REGISTRY))


def gateway(served: RegistryCountry, name: str = f"{PNS}/gw1") -> Identity:
    """A gateway's identity."""
    return served.identity("gateway", name, Profile.AUTH)


def refused(error: pytest.ExceptionInfo[RemoteError]) -> tuple[Code, str]:
    """Code and reason of a refusal."""
    return error.value.code, error.value.reason


def test_the_whole_way_of_a_member_and_its_agreement(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """Propose, approve, register, conclude, revoke: each through the API, each published."""
    first, second = operators
    number = first.propose_member(
        "BJ/GOV/ANDF", "Domaine et foncier", "Land", served.member_document("BJ/GOV/ANDF").public_key
    )
    assert first.approve(number).version == 0
    in_force = second.approve(number).version
    assert in_force == served.version

    with served.client(gateway(served, "BJ/GOV/ANDF/gw1")) as own:
        waiting = own.submit_registration(served.sign_registration(served.registration("BJ/GOV/ANDF/gw1")))
        assert [request.number for request in own.list_requests()] == [waiting]
    first.approve(waiting)
    second.approve(waiting)
    assert first.get_member("BJ/GOV/ANDF").gateways[0].state == members_pb2.STATE_ACTIVE

    agreed = first.conclude_agreement(*served.sign_agreement(served.agreement()))
    first.approve(agreed)
    second.approve(agreed)
    with served.client(gateway(served)) as consumer:
        assert consumer.revoke_agreement("CV-0001", "fin") == served.version
    (listed,) = first.list_agreements(PNS)
    assert (listed.state, listed.reason) == (members_pb2.STATE_REVOKED, "fin")


def test_watchers_hear_of_each_version(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """The version in force at once, and a revocation within moments."""
    served.conclude()
    with raw(served, gateway(served)) as link:
        stub = configuration_pb2_grpc.ConfigurationServiceStub(link)
        news = stub.Watch(configuration_pb2.WatchRequest(version=0), timeout=30)
        before = next(news).version

        revoking = threading.Thread(target=operators[0].revoke_agreement, args=("CV-0001", "fin"))
        revoking.start()
        after = next(news)
        revoking.join()

        assert after.version == before + 1
        assert after.digest == served.office.publisher.current.mark.digest
        news.cancel()


def test_fifty_watchers_starve_nobody(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """Waiting takes no thread: the API answers while a country listens."""
    with raw(served, gateway(served)) as link:
        stub = configuration_pb2_grpc.ConfigurationServiceStub(link)
        streams = [stub.Watch(configuration_pb2.WatchRequest(), timeout=30) for _ in range(50)]
        for stream in streams:
            next(stream)

        assert operators[0].status().watchers == 50
        for stream in streams:
            stream.cancel()


def test_a_fetched_file_is_the_file_on_disk(served: RegistryCountry) -> None:
    """Streamed whole, byte for byte; a file that is not there is told so."""
    with raw(served, gateway(served)) as link:
        stub = configuration_pb2_grpc.ConfigurationServiceStub(link)

        def fetch(path: str) -> bytes:
            return b"".join(
                one.data for one in stub.Fetch(configuration_pb2.FetchRequest(path=path), timeout=10)
            )

        version = served.version
        file = served.root / "registry" / "published" / "metadata" / f"{version}.targets.json"
        assert fetch(f"metadata/{version}.targets.json") == file.read_bytes()
        for path in ("metadata/2.root.json", "../registry.toml", "metadata/../../keys/auth.key"):
            with pytest.raises(grpc.RpcError) as missing:
                fetch(path)
            assert missing.value.code() is grpc.StatusCode.NOT_FOUND


def test_roles_come_from_certificates(served: RegistryCountry) -> None:
    """An auditor reads; it neither proposes nor approves nor stops."""
    served.conclude()
    auditor = served.identity("auditor", "BJ/GOV/ASIN/auditeur-1", Profile.AUDITOR)

    with served.client(auditor) as client:
        assert [member.member for member in client.list_members()] == [ANIP, PNS]
        attempts = (
            lambda: client.suspend_member(PNS, "gêne"),
            lambda: client.revoke_agreement("CV-0001", "gêne"),
            lambda: client.add_subsystem("BJ/GOV/PNS/AUTRE"),
            lambda: client.approve(1),
        )
        for attempt in attempts:
            with pytest.raises(RemoteError) as error:
                attempt()
            assert refused(error) == (Code.PERMISSION_DENIED, "NOT_AUTHORISED")


def test_a_gateway_sees_only_its_own_requests(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """What other members ask for is none of its business."""
    number = operators[0].propose_member(
        "BJ/GOV/ANDF", "Domaine", "Land", served.member_document("BJ/GOV/ANDF").public_key
    )

    with served.client(gateway(served)) as client:
        assert number not in [request.number for request in client.list_requests()]
        with pytest.raises(RemoteError) as hidden:
            client.get_request(number)

    assert refused(hidden) == (Code.NOT_FOUND, "NOT_FOUND")


def test_a_revoked_operator_is_refused_on_an_open_connection(served: RegistryCountry) -> None:
    """TLS checks no revocation list; the registry does, on every call."""
    identity = served.identity("operator", OPERATORS[0], Profile.OPERATOR)
    with served.client(identity) as client:
        assert client.list_members()
        leaf = load_chain(identity.chain)[0]
        now = served.clock.now_ms()
        served.authorities[AuthorityKind.AUTH].revoke(leaf, "key-compromise", now_ms=now)
        served.registry.tick()

        with pytest.raises(RemoteError) as error:
            client.list_members()

    assert error.value.reason == "CERTIFICATE_REVOKED"


def test_strangers_do_not_get_in(served: RegistryCountry, tmp_path: Path) -> None:
    """A certificate under another root fails in the handshake already."""
    from pki.authority import found

    now = served.clock.now_ms()
    other = RegistryCountry(
        tmp_path, served.clock, found(tmp_path / "ca", "BJ", now_ms=now), served.anchor, served.registry
    )
    stranger = other.identity("operator", OPERATORS[0], Profile.OPERATOR)

    with raw(served, stranger) as link, pytest.raises(grpc.RpcError) as error:
        members_pb2_grpc.MembersServiceStub(link).ListMembers(members_pb2.ListMembersRequest(), timeout=5)

    assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_hostile_requests_get_one_clear_error(served: RegistryCountry) -> None:
    """Out of range, over-long, unknown, empty: a named refusal each, and the registry goes on."""
    operator = served.identity("operator", OPERATORS[0], Profile.OPERATOR)
    with raw(served, operator) as link:
        members = members_pb2_grpc.MembersServiceStub(link)
        agreements = agreements_pb2_grpc.AgreementsServiceStub(link)
        requests = requests_pb2_grpc.RequestsServiceStub(link)
        attempts: list[tuple[Callable[..., object], object]] = [
            (members.ListMembers, members_pb2.ListMembersRequest(page_size=1001)),
            (members.GetMember, members_pb2.GetMemberRequest(member="\r\n" * 400)),
            (members.ProposeMember, members_pb2.ProposeMemberRequest()),
            (members.ProposeMember, members_pb2.ProposeMemberRequest(member_key_pem="x" * 2000)),
            (members.AddSubsystem, members_pb2.AddSubsystemRequest(subsystem="../../../x")),
            (members.SuspendMember, members_pb2.SuspendMemberRequest(member=PNS, reason="")),
            (members.SuspendGateway, members_pb2.SuspendGatewayRequest(gateway=PNS, reason="x")),
            (members.SubmitRegistration, members_pb2.SubmitRegistrationRequest(registration_jws="é")),
            (agreements.ConcludeAgreement, agreements_pb2.ConcludeAgreementRequest(consumer_jws="a.b.c")),
            (agreements.ListAgreements, agreements_pb2.ListAgreementsRequest(page_token="x y z")),
            (agreements.GetAgreement, agreements_pb2.GetAgreementRequest(id="'; DROP TABLE agreements")),
            (requests.GetRequest, requests_pb2.GetRequestRequest(number=2**64 - 1)),
            (requests.ApproveRequest, requests_pb2.ApproveRequestRequest(number=2**64 - 1)),
            (requests.ListRequests, requests_pb2.ListRequestsRequest(page_token="-1")),
        ]
        for method, request in attempts:
            with pytest.raises(grpc.RpcError) as error:
                method(request, timeout=10)
            assert error.value.code() in (
                grpc.StatusCode.INVALID_ARGUMENT,
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.PERMISSION_DENIED,
            ), request

        assert len(members.ListMembers(members_pb2.ListMembersRequest(), timeout=10).members) == 2


def test_lists_come_in_pages(served: RegistryCountry) -> None:
    """Each page starts where the last one ended; together they are the list."""
    operator = served.identity("operator", OPERATORS[0], Profile.OPERATOR)
    served.conclude()
    served.conclude(id="CV-0002", methods=["VerifyPerson"])
    with raw(served, operator) as link:
        requests = requests_pb2_grpc.RequestsServiceStub(link)
        agreements = agreements_pb2_grpc.AgreementsServiceStub(link)
        numbers, token = [], ""
        while True:
            page = requests.ListRequests(requests_pb2.ListRequestsRequest(page_size=2, page_token=token))
            numbers += [request.number for request in page.requests]
            token = page.next_page_token
            if not token:
                break
        first = agreements.ListAgreements(agreements_pb2.ListAgreementsRequest(page_size=1))
        second = agreements.ListAgreements(
            agreements_pb2.ListAgreementsRequest(page_size=1, page_token=first.next_page_token)
        )

    assert numbers == [6, 5, 4, 3, 2, 1]
    assert [first.agreements[0].id, second.agreements[0].id] == ["CV-0001", "CV-0002"]
    assert not second.next_page_token


def test_the_client_reads_lists_to_their_end(
    served: RegistryCountry,
    operators: tuple[RegistryClient, RegistryClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever does not fit into one page is read from the next ones; what does not fit into all is refused."""
    served.conclude()
    served.conclude(id="CV-0002", methods=["VerifyPerson"])
    served.office.add_subsystem(served.operator(), f"{ANIP}/COPIE")
    descriptors = descriptor_set(IDENTITY_SERVICE)
    served.office.publish_services(
        served.gateway(f"{ANIP}/gw1"), f"{ANIP}/COPIE", descriptors, [IDENTITY_SERVICE]
    )
    monkeypatch.setattr("registry.client.PAGE", 1)
    client = operators[0]

    assert [one.member for one in client.list_members()] == [ANIP, PNS]
    assert [one.subsystem for one in client.list_services()] == [f"{ANIP}/COPIE", RNPP]
    assert [one.id for one in client.list_agreements()] == ["CV-0001", "CV-0002"]
    assert [one.id for one in client.list_agreements(PNS)] == ["CV-0001", "CV-0002"]
    assert [one.number for one in client.list_requests()] == [6, 5, 4, 3, 2, 1]

    monkeypatch.setattr("registry.client.MAX_PAGES", 5)
    assert len(client.list_agreements()) == 2
    with pytest.raises(ExchangeError) as error:
        client.list_requests()
    assert error.value.reason is Reason.DOCUMENT_INVALID


def test_services_can_be_looked_up(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """With the very descriptors that were published; a retired one is gone."""
    (service,) = operators[0].list_services(RNPP)
    found = operators[0].get_service(RNPP, service.service)
    assert [method.name for method in found.service.methods] == ["GetPerson", "VerifyPerson", "SearchPerson"]
    assert found.file_descriptor_set

    operators[0].retire_service(RNPP, service.service)

    assert operators[0].list_services() == []
    assert PORTAIL


def test_many_at_once_make_one_effect(
    served: RegistryCountry, operators: tuple[RegistryClient, RegistryClient]
) -> None:
    """Both operators approve the same request from many connections: it takes effect once, and each counts once."""
    number = operators[0].propose_member(
        "BJ/GOV/ANDF", "Domaine", "Land", served.member_document("BJ/GOV/ANDF").public_key
    )
    outcomes: list[str] = []

    def approve(client: RegistryClient) -> None:
        try:
            outcomes.append("in force" if client.approve(number).version else "one of two")
        except RemoteError as error:
            outcomes.append(error.reason)

    threads = [threading.Thread(target=approve, args=(operators[one % 2],)) for one in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (outcomes.count("one of two"), outcomes.count("in force")) == (1, 1)
    assert set(outcomes) <= {"one of two", "in force", "APPROVAL_REQUIRED", "STATE_CONFLICT"}
    approvals = operators[0].get_request(number).request.approvals
    assert sorted(one.operator for one in approvals) == sorted(OPERATORS)

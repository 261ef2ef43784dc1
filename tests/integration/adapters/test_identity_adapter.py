"""ANIP's adapter over real mTLS, called by a stock grpcio client that holds the gateway's certificate."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from adapters.identity.store import PersonStore
from adapters.kit.adapter import Adapter
from bj.identity.v1 import identity_pb2 as pb
from bj.identity.v1.identity_pb2_grpc import IdentityServiceStub
from core.clock import ManualClock
from pki.profiles import Profile
from rpc.identity import Identity
from tests.support.adapter_country import EXCHANGE, AdapterCountry, Metadata, metadata, now_ms

SERVICE = "BJ/GOV/ANIP/RNPP/bj.identity.v1.IdentityService"
KOFFI = pb.GetPersonRequest(npi="0000000001")


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> AdapterCountry:
    """Certificates, configuration and a seeded register."""
    country = AdapterCountry(tmp_path_factory.mktemp("anip"))
    country.seed()
    return country


@pytest.fixture(scope="module")
def server(country: AdapterCountry) -> Iterator[tuple[Adapter, int]]:
    """The adapter, running."""
    server, port = country.serve()
    yield server, port
    server.stop(0)


@pytest.fixture(scope="module")
def port(server: tuple[Adapter, int]) -> int:
    """Where it listens."""
    return server[1]


@pytest.fixture(scope="module")
def stub(country: AdapterCountry, port: int) -> Iterator[IdentityServiceStub]:
    """A stock client that shows the gateway's certificate."""
    with country.channel(port, country.identity()) as channel:
        yield IdentityServiceStub(channel)


def test_a_running_adapter_has_planned_to_forget(server: tuple[Adapter, int]) -> None:
    """What is kept for a time only, each night."""
    desk = server[0].desk

    with desk.store.reading() as tx:
        assert desk.tasks.is_asked(tx, "housekeeping", "")


class Refusal:
    """What a client learns from a failed call."""

    def __init__(self, error: Any) -> None:
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details()
        trailers = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
        self.info = error_details_pb2.ErrorInfo()
        self.bad_request = error_details_pb2.BadRequest()
        self.texts: dict[str, str] = {}
        for detail in status.details:
            localized = error_details_pb2.LocalizedMessage()
            detail.Unpack(self.info)
            detail.Unpack(self.bad_request)
            if detail.Unpack(localized):
                self.texts[localized.locale] = localized.message

    @property
    def fields(self) -> dict[str, str]:
        """The refused fields and what they must be."""
        return {violation.field: violation.description for violation in self.bad_request.field_violations}


def refusal(call: Any, request: Any, entries: Metadata | None = None) -> Refusal:
    """Make a call that must fail."""
    with pytest.raises(grpc.RpcError) as failed:
        call(request, metadata=metadata() if entries is None else entries, timeout=10)
    return Refusal(failed.value)


def refused_identity(country: AdapterCountry, port: int, identity: Identity) -> Refusal:
    """Call with a certificate that must not do."""
    with country.channel(port, identity) as channel:
        return refusal(IdentityServiceStub(channel).GetPerson, KOFFI)


def test_a_person_is_found_through_the_gateway(stub: IdentityServiceStub) -> None:
    """The plain path: context, purpose, record."""
    person = stub.GetPerson(KOFFI, metadata=metadata(), timeout=10)

    assert (person.npi, person.last_name, person.first_names) == ("0000000001", "ADJOVI", "KOFFI")


def test_an_identity_is_verified_through_the_gateway(stub: IdentityServiceStub) -> None:
    """The same for VerifyPerson."""
    request = pb.VerifyPersonRequest(npi="0000000019", last_name="N\u2019tcha", first_names="Aïcha")

    assert stub.VerifyPerson(request, metadata=metadata(), timeout=10).score == 100


def test_a_person_is_found_and_verified_through_the_gateway(stub: IdentityServiceStub) -> None:
    """The token of the search goes back in a call of its own, for the same consumer and dossier."""
    request = pb.SearchPersonRequest(last_name="Adjovi", first_names="Koffi", birth_date="1987")

    (found,) = stub.SearchPerson(request, metadata=metadata(), timeout=10).candidates
    claim = pb.VerifyPersonRequest(candidate_token=found.candidate_token, birth_date="1987-04-12")

    assert (found.masked_last_name, found.npi) == ("A***", "")
    assert stub.VerifyPerson(claim, metadata=metadata(), timeout=10).score == 100


def test_a_refusal_of_the_register_carries_its_reason_and_domain(stub: IdentityServiceStub) -> None:
    """Programs read ErrorInfo, people read their language, and nobody takes it for a fault of the layer."""
    refused = refusal(stub.GetPerson, pb.GetPersonRequest(npi="0000000003"))

    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert refused.message == f"NOT_FOUND: aucune fiche ne répond à cette demande (échange {EXCHANGE})"
    assert (refused.info.reason, refused.info.domain) == ("NOT_FOUND", SERVICE)
    assert dict(refused.info.metadata) == {
        "delivery": "delivered",
        "retry": "no",
        "side": "adapter",
        "exchange_id": EXCHANGE,
    }
    assert set(refused.texts) == {"fr", "en"}


@pytest.mark.parametrize(
    ("npi", "purpose", "code", "reason"),
    [
        ("0000000002", "P01", grpc.StatusCode.FAILED_PRECONDITION, "DECEASED"),
        ("0000000012", "P01", grpc.StatusCode.FAILED_PRECONDITION, "RECORD_LOCKED"),
        ("0000000001", "P03", grpc.StatusCode.PERMISSION_DENIED, "PURPOSE_NOT_ALLOWED"),
    ],
)
def test_each_refusal_has_its_status(
    stub: IdentityServiceStub, npi: str, purpose: str, code: grpc.StatusCode, reason: str
) -> None:
    """Canonical code and reason, as the proto promises."""
    refused = refusal(stub.GetPerson, pb.GetPersonRequest(npi=npi), metadata(x_road_purpose=purpose))

    assert (refused.code, refused.info.reason, refused.info.domain) == (code, reason, SERVICE)


def test_a_call_without_purpose_is_refused_by_the_layers_reason(stub: IdentityServiceStub) -> None:
    """The purpose is the layer's affair; its absence reads alike at the gateway and at the adapter."""
    refused = refusal(stub.GetPerson, KOFFI, metadata(x_road_purpose=None))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.info.reason, refused.info.domain) == ("PURPOSE_REQUIRED", "passerelle")


def test_malformed_fields_are_named_in_bad_request(stub: IdentityServiceStub) -> None:
    """Each field with its rule, none with its value; the message names the fields."""
    request = pb.VerifyPersonRequest(npi="99", birth_date="12/04/1987")

    refused = refusal(stub.VerifyPerson, request)

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.info.reason, refused.info.domain) == ("FORMAT_INVALID", SERVICE)
    assert set(refused.fields) == {"npi", "birth_date"}
    assert "npi, birth_date" in refused.message
    assert "12/04" not in json.dumps(refused.fields)


def test_bytes_that_are_no_message_are_the_callers_mistake(country: AdapterCountry, port: int) -> None:
    """Never INTERNAL: the caller sent something else than the method takes."""
    with country.channel(port, country.identity()) as channel:
        call: Any = channel.unary_unary("/bj.identity.v1.IdentityService/GetPerson")
        for garbage in (b"\x0a\xff", b"\x0a\x02\xff\xfe", b"\x07"):
            refused = refusal(call, garbage)

            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
            assert refused.info.reason == "FORMAT_INVALID"


def test_an_unknown_method_is_unimplemented(country: AdapterCountry, port: int) -> None:
    """As any gRPC server says it."""
    with country.channel(port, country.identity()) as channel:
        refused = refusal(channel.unary_unary("/bj.identity.v1.IdentityService/GetPhoto"), b"")

    assert refused.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "change",
    [
        {"x_road_client": None},
        {"x_road_service": None},
        {"x_road_exchange_id": None},
        {"x_road_request_hash": None},
        {"x_road_agreement": None},
        {"x_road_issued_at": None},
        {"x_road_client": "PNS"},
        {"x_road_service": "BJ/GOV/ANDF/CADASTRE"},
        {"x_road_request_hash": "zz"},
        {"x_road_userid": "agent-7"},
    ],
)
def test_a_call_without_a_true_context_is_refused(
    stub: IdentityServiceStub, change: dict[str, str | None]
) -> None:
    """Even from its own gateway: what the adapter would believe must be there and be meant for it."""
    refused = refusal(stub.GetPerson, KOFFI, metadata(**change))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.info.reason, refused.info.domain) == ("METADATA_INVALID", "passerelle")
    assert refused.info.metadata["side"] == "adapter"
    assert next(iter(change)).replace("_", "-") in refused.message


@pytest.mark.parametrize(
    ("profile", "urn"),
    [
        (Profile.AUTH, "urn:passerelle:gateway:BJ/GOV/PNS/gw1"),
        (Profile.AUTH, "urn:passerelle:gateway:BJ/GOV/ANIP/gw2"),
        (Profile.OPERATOR, "urn:passerelle:operator:BJ/GOV/ASIN/gw1"),
        (Profile.OPERATOR, "urn:passerelle:operator:BJ/GOV/ANIP/gw1"),
        (Profile.AUDITOR, "urn:passerelle:auditor:BJ/GOV/ANIP/gw1"),
        (Profile.REGISTRY, "urn:passerelle:registry:BJ/GOV/ASIN/gw1"),
    ],
)
def test_whoever_is_not_the_own_gateway_is_refused(
    country: AdapterCountry, port: int, profile: Profile, urn: str
) -> None:
    """A certificate under the anchor is not enough; even a same-named role is another."""
    refused = refused_identity(country, port, country.identity(profile, urn))

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert (refused.info.reason, refused.info.domain) == ("NOT_THROUGH_GATEWAY", SERVICE)


def test_certificates_that_are_not_under_the_anchors_auth_authority_open_no_connection(
    country: AdapterCountry, port: int, tmp_path: Path
) -> None:
    """A program of the member, its gateway's own seal certificate, another country's gateway, nobody at all."""
    other = AdapterCountry(tmp_path)
    program = country.identity(
        Profile.PROGRAM, "urn:passerelle:program:BJ/GOV/ANIP/RNPP/web", country.programs
    )
    seal = country.identity(Profile.SEAL, "urn:passerelle:gateway:BJ/GOV/ANIP/gw1", country.seal)
    stranger = Identity(*((foreign := other.identity()).key, foreign.chain), program.roots)

    for identity in (program, seal, stranger):
        assert refused_identity(country, port, identity).code is grpc.StatusCode.UNAVAILABLE
    with grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(program.roots)) as channel:
        refused = refusal(IdentityServiceStub(channel).GetPerson, KOFFI)
    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_plaintext_is_not_spoken(port: int) -> None:
    """There is no door without TLS."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        refused = refusal(IdentityServiceStub(channel).GetPerson, KOFFI)

    assert refused.code is grpc.StatusCode.UNAVAILABLE


def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    """The certificate is judged at each call: an open connection ends with it."""
    clock = ManualClock(now_ms())
    country = AdapterCountry(tmp_path, clock)
    country.seed(50)
    server, port = country.serve()
    try:
        with country.channel(port, country.identity()) as channel:
            stub = IdentityServiceStub(channel)
            assert stub.GetPerson(KOFFI, metadata=metadata(), timeout=10).npi == KOFFI.npi

            clock.advance(timedelta(days=800))

            refused = refusal(stub.GetPerson, KOFFI)
    finally:
        server.stop(0)
    assert (refused.info.reason, refused.info.domain) == ("CERTIFICATE_EXPIRED", "passerelle")


def test_health_answers_the_gateway_and_nobody_else(country: AdapterCountry, port: int) -> None:
    """The gateway watches its adapter; a call of the layer needs no caller's context."""
    request = health_pb2.HealthCheckRequest(service="bj.identity.v1.IdentityService")
    with country.channel(port, country.identity()) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert health.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
        watching = health.Watch(request, timeout=10)
        assert next(iter(watching)).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()
    stranger = country.identity(Profile.AUTH, "urn:passerelle:gateway:BJ/GOV/PNS/gw1")
    with country.channel(port, stranger) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        refused = refusal(health.Check, request, ())
    assert refused.info.reason == "NOT_THROUGH_GATEWAY"


def test_reflection_lists_the_service_to_the_gateway(country: AdapterCountry, port: int) -> None:
    """A developer behind the gateway sees what there is."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with country.channel(port, country.identity()) as channel:
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub
        answers = reflection(channel).ServerReflectionInfo(iter([request]))
        names = [service.name for service in next(answers).list_services_response.service]
    assert "bj.identity.v1.IdentityService" in names


def test_a_register_that_is_away_is_unavailable_and_may_be_asked_again(
    stub: IdentityServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that failed changed nothing: the caller is told that it may try again."""

    def fail(_engine: sa.Engine) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sa.Engine, "raw_connection", fail)

    with capture_logs() as events:
        refused = refusal(stub.GetPerson, KOFFI)

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert (refused.info.reason, refused.info.metadata["retry"]) == ("UPSTREAM_UNAVAILABLE", "safe")
    assert [event["event"] for event in events] == ["store_unavailable"], events


def test_a_fault_is_internal_to_the_caller_and_told_without_persons_in_the_log(
    stub: IdentityServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the exchange id; the log gets type and place; nobody gets the text, which may name somebody."""

    def fail(_store: PersonStore, npi: str) -> None:
        raise RuntimeError(f"cannot read {npi}")

    monkeypatch.setattr(PersonStore, "find", fail)

    with capture_logs() as events:
        refused = refusal(stub.GetPerson, KOFFI)

    assert refused.code is grpc.StatusCode.INTERNAL
    assert (refused.info.reason, refused.info.metadata["exchange_id"]) == ("INTERNAL", EXCHANGE)
    assert [(event["event"], event["error"]) for event in events] == [("call_failed", "RuntimeError")]
    assert KOFFI.npi not in json.dumps([events, refused.message, refused.texts], default=str)

"""Metadata injection: whatever a program writes, the adapter sees only what the gateway established."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import grpc
import pytest

from gateway.worker.wire import request_headers
from tests.support.federation import CLIENT, METHOD, PROVIDER, Federation, calling, metadata
from tests.support.hostile import outcome_of, reason_of
from tests.support.rawprogram import RawProgram

FORGED = "BJ/GOV/MEF/DGI"
TOLD_BY_THE_GATEWAY = {
    "x-road-client",
    "x-road-service",
    "x-road-purpose",
    "x-road-issue",
    "x-road-exchange-id",
    "x-road-request-hash",
    "x-road-issued-at",
    "x-road-agreement",
}
RESERVED = (
    "x-road-exchange-id",
    "x-road-request-hash",
    "x-road-issued-at",
    "x-road-agreement",
    "x-road-userid-basis",
    "x-road-anything",
)
IDENTITIES = (
    "x_road_client",
    "x-road_client",
    "x_road_agreement",
    "x-forwarded-for",
    "x-forwarded-client-cert",
    "x_forwarded_user",
    "forwarded",
    "via",
    "x-real-ip",
    "proxy-authorization",
    "cookie",
)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("metadata")) as found:
        yield found


def told(federation: Federation, *forged: tuple[str, str | bytes]) -> dict[str, str | bytes]:
    """What the adapter sees of a call with ``forged`` entries behind, and before, the honest ones."""
    federation.adapter.calls.clear()
    with federation.channel() as channel:
        calling(channel)(b"", metadata=(*forged, *metadata(), *forged), timeout=10)
    ((_, _, found),) = federation.adapter.calls
    return found


def raw(name: str, value: str = FORGED) -> tuple[bytes, bytes]:
    return name.encode(), value.encode()


HONEST = tuple(raw(name, str(value)) for name, value in metadata())


@pytest.mark.parametrize("name", [*RESERVED, *IDENTITIES])
def test_metadata_injection_of_a_reserved_name_or_identity_never_arrives(
    federation: Federation, name: str
) -> None:
    """With each spelling, as text and as ``-bin``."""
    found = told(federation, (name, FORGED), (f"{name}-bin", FORGED.encode()))

    assert FORGED not in found.values()
    assert FORGED.encode() not in found.values()
    assert {one for one in found if one.startswith("x-road")} == TOLD_BY_THE_GATEWAY
    assert found["x-road-client"] == CLIENT
    assert found["x-road-service"] == PROVIDER


@pytest.mark.parametrize("name", ["x-road-client", "x-road-service", "x-road-purpose", "x-road-issue"])
def test_metadata_injection_by_duplicates_is_refused(federation: Federation, name: str) -> None:
    """Nobody guesses which of two was meant; the adapter is not called."""
    federation.adapter.calls.clear()
    value = dict(metadata()).get(name, PROVIDER)

    with federation.channel() as channel:
        outcomes = set()
        for again in (FORGED, str(value)):
            twice = (*metadata(x_road_service=PROVIDER), (name, again))
            outcomes.add(outcome_of(partial(calling(channel), b"", metadata=twice, timeout=10)))

    assert outcomes == {"METADATA_INVALID"}
    assert federation.adapter.calls == []


@pytest.mark.parametrize("name", ["X-Road-Client", "X-ROAD-AGREEMENT", "x-road-Client", "X-Forwarded-For"])
def test_metadata_injection_in_upper_case_never_arrives(federation: Federation, name: str) -> None:
    """HTTP/2 knows no upper case: the entry or its call is dropped, whatever it was meant to be."""
    federation.adapter.calls.clear()
    headers = request_headers(METHOD.encode(), b"localhost", HONEST, "identity", None)
    with RawProgram(federation) as program:
        ended_by = program.handmade([*headers, raw(name)], b"")

    assert ended_by in (1, 3)
    assert FORGED not in str(federation.adapter.calls)
    for _, _, found in federation.adapter.calls:
        assert found["x-road-client"] == CLIENT
    with federation.channel() as channel:
        assert calling(channel)(b"next", metadata=metadata(), timeout=10) == b"next"


@pytest.mark.parametrize(
    "value",
    [
        "BJ/GOV/PNS/PORTAIL ",
        " BJ/GOV/PNS/PORTAIL",
        "BJ/GOV/PNS/PORTAIL,BJ/GOV/MEF/DGI",
        "BJ/GOV/PNS/PORTAIL\t",
        "bj/gov/pns/portail",
        "BJ//GOV/PNS/PORTAIL",
        "urn:passerelle:program:BJ/GOV/PNS/PORTAIL",
        "",
    ],
)
def test_metadata_injection_within_a_value_is_refused(federation: Federation, value: str) -> None:
    """One identifier in its one written form, or nothing."""
    federation.adapter.calls.clear()
    with RawProgram(federation) as program:
        found = program.call(raw("x-road-client", value), *HONEST[1:])

    assert found.get(b"grpc-status") in (b"3", None)
    assert federation.adapter.calls == []


def test_metadata_injection_by_the_adapter_never_arrives(federation: Federation) -> None:
    """What the gateway says of the exchange in trailers cannot be said by the ministry's software."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.send_initial_metadata((("x-road-exchange-id", FORGED), ("forwarded", FORGED)))
        context.set_trailing_metadata((("x-road-request-hash", FORGED), ("x_road_client", FORGED)))
        return request

    federation.adapter.answer = answer
    with federation.channel() as channel:
        _, call = calling(channel).with_call(b"", metadata=metadata(), timeout=10)
    federation.adapter.answer = lambda request, _: request

    seen = [*call.initial_metadata(), *call.trailing_metadata()]
    assert FORGED not in dict(seen).values()
    assert sum(name == "x-road-exchange-id" for name, _ in seen) == 1


def test_metadata_that_no_program_may_claim_is_refused_by_name(federation: Federation) -> None:
    """Another's subsystem as client."""
    with federation.channel() as channel:
        assert reason_of(channel, x_road_client=FORGED) == "CLIENT_NOT_YOURS"

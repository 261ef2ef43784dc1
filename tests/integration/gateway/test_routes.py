"""Fixed routes (PROTOCOL M14): they fill in metadata, and never who calls. Stock grpcio, real TLS, real logs."""

from __future__ import annotations

import asyncio
import os
import queue
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import msgspec
import pytest

from core.clock import SystemClock
from core.leaves import SAID, Genesis, genesis_leaf
from core.reasons import Reason
from core.registrations import RegisteredLog
from core.statements import Statement, parse_statement
from gateway.settings import HostPort, Route
from gateway.shared_port import Share, SharedPorts
from gateway.worker.main import Worker
from ledger.log import create_log
from pki.keys import certificate_pem
from tests.support.calls import leaves, refused, worker_of
from tests.support.federation import (
    CLIENT,
    SERVICE,
    STREAMS,
    Federation,
    Issued,
    Member,
    _stop,
    calling,
    metadata,
)
from tests.support.waiting import until

GUICHET = Route(
    name="guichet",
    listen="127.0.0.1:0",
    methods=(f"{SERVICE}/GetPerson",),
    client=CLIENT,
    purpose="P01",
    issue="ACT-202611-0007",
    userid="agent:17",
)
LOCAL = Route(
    name="local",
    listen="127.0.0.1:0",
    allow_unauthenticated_loopback=True,
    client=CLIENT,
    purpose="P01",
    issue="ACT-1",
)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    found = Federation(tmp_path_factory.mktemp("country"))
    found.pns.settings = msgspec.structs.replace(found.pns.settings, routes=(GUICHET, LOCAL))
    with found:
        yield found


@pytest.fixture(autouse=True)
def _plain_adapter(federation: Federation) -> Iterator[None]:
    federation.adapter.calls.clear()
    yield
    federation.agreements = [federation.agreement()]
    federation.publish()


def port(federation: Federation, route: Route) -> int:
    started = worker_of(federation.pns).started
    assert started is not None
    return started.routes[route.name][1]


def shown(federation: Federation, program: Issued | None = None) -> grpc.Channel:
    """A program at the route that asks for certificates."""
    return grpc.secure_channel(
        f"localhost:{port(federation, GUICHET)}", federation.credentials(program), _own_connection()
    )


def unshown(federation: Federation) -> grpc.Channel:
    """Anybody on the machine, at the route that asks nobody."""
    return grpc.insecure_channel(f"127.0.0.1:{port(federation, LOCAL)}", _own_connection())


def _own_connection() -> list[tuple[str, int]]:
    return [("grpc.use_local_subchannel_pool", 1)]


def said(member: Member) -> list[Statement]:
    return [parse_statement(body) for label, body in leaves(member) if label == SAID]


def test_a_route_fills_in_what_the_program_does_not_say(federation: Federation) -> None:
    """A stock program that sends nothing of ours: the ministry is told it all, both logs name the door."""
    with shown(federation) as channel:
        assert calling(channel)(b"hello", timeout=10, metadata=(("x-own", "kept"),)) == b"hello"

    ((_, _, told),) = federation.adapter.calls
    assert told["x-road-client"] == CLIENT
    assert (told["x-road-purpose"], told["x-road-issue"]) == ("P01", "ACT-202611-0007")
    assert (told["x-road-userid"], told["x-road-userid-basis"]) == ("agent:17", "claimed")
    assert told["x-own"] == "kept"
    request, response = said(federation.pns)[-1], said(federation.anip)[-1]
    assert (request.kind, response.kind) == ("request", "response")
    assert request.door == response.door == "guichet"
    assert request.caller == response.caller == f"mtls:{federation.portal.thumbprint}"


def test_what_the_program_says_as_the_route_has_it_is_no_contradiction(federation: Federation) -> None:
    """A program that was written for the programs' port goes on unchanged."""
    told = metadata(x_road_issue="ACT-202611-0007", x_road_id="own-1")

    with shown(federation) as channel:
        assert calling(channel)(b"hello", timeout=10, metadata=told) == b"hello"

    assert said(federation.pns)[-1].reference == "own-1"


@pytest.mark.parametrize(
    "entries",
    [
        {"x_road_purpose": "P02"},
        {"x_road_issue": "ACT-202611-0008"},
        {"x_road_client": "BJ/GOV/PNS/STATS"},
        {"x_road_userid": "agent:18"},
    ],
    ids=lambda entries: next(iter(entries)),
)
def test_what_the_program_says_otherwise_is_refused_and_logged_as_the_route_has_it(
    federation: Federation, entries: dict[str, str]
) -> None:
    """Neither is overruled in silence."""
    told = metadata(**({"x_road_issue": "ACT-202611-0007"} | entries))

    with shown(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"hello", timeout=10, metadata=told)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.METADATA_INVALID)
    refusal = said(federation.pns)[-1]
    assert (refusal.kind, refusal.reason, refusal.door) == ("refusal", Reason.METADATA_INVALID, "guichet")
    assert (refusal.client, refusal.purpose, refusal.issue) == (CLIENT, "P01", "ACT-202611-0007")
    assert federation.adapter.calls == []


def test_a_route_authenticates_nobody(federation: Federation) -> None:
    """Without certificate or token the caller is a stranger, of whom nothing is logged."""
    before = len(leaves(federation.pns))
    roots = certificate_pem(federation.pns.programs.certificate)
    address = f"localhost:{port(federation, GUICHET)}"

    with (
        grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), _own_connection()) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        calling(channel)(b"hello", timeout=10)

    assert refused(error)[1].reason == Reason.PROGRAM_UNKNOWN
    assert len(leaves(federation.pns)) == before


def test_a_route_lends_nobody_another_subsystem(federation: Federation) -> None:
    """What it fills in as client must be the subsystem of the program that shows its certificate."""
    with shown(federation, federation.stats) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"hello", timeout=10)

    assert refused(error)[1].reason == Reason.CLIENT_NOT_YOURS
    assert said(federation.pns)[-1].client is None


def test_a_route_leads_to_its_methods_only(federation: Federation) -> None:
    """The agreement covers the other method; through this door it does not exist."""
    with shown(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel, f"/{SERVICE}/VerifyPerson")(b"hello", timeout=10)

    assert refused(error)[1].reason == Reason.NO_AGREEMENT
    assert said(federation.pns)[-1].door == "guichet"
    assert federation.adapter.calls == []


def test_an_agreement_refuses_loopback_unless_it_allows_it(federation: Federation) -> None:
    """By default; refused at our own gateway, and on record as what it was."""
    with unshown(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"hello", timeout=10)

    code, info = refused(error)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, Reason.LOOPBACK_NOT_ALLOWED)
    refusal = said(federation.pns)[-1]
    assert (refusal.door, refusal.caller, refusal.client) == ("local", "loopback", CLIENT)
    assert federation.adapter.calls == []


def test_loopback_that_is_allowed_stands_in_both_logs(federation: Federation) -> None:
    """Plain HTTP/2, no certificate, no metadata; the provider's own answer repeats how it was asked."""
    federation.agreements = [federation.agreement(allow_loopback=True)]
    federation.publish()

    with unshown(federation) as channel:
        assert calling(channel)(b"hello", timeout=10) == b"hello"

    for statement in (said(federation.pns)[-1], said(federation.anip)[-1]):
        assert (statement.door, statement.caller, statement.client) == ("local", "loopback", CLIENT)


def test_an_open_stream_of_a_loopback_route_goes_on_with_a_new_configuration(federation: Federation) -> None:
    """It is judged again, as all are: by its agreement, and by the settings that let it in."""
    federation.agreements = [federation.agreement(allow_loopback=True, methods=["GetPerson", *STREAMS])]
    federation.publish()
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    with unshown(federation) as channel:
        converse: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            f"/{SERVICE}/Converse", None, None
        )
        call = converse(iter(messages.get, b""), timeout=20)
        messages.put(b"before")
        assert next(call) == b"before"
        federation.publish()
        messages.put(b"after")
        assert next(call) == b"after"
        federation.agreements = [federation.agreement(methods=["GetPerson", *STREAMS])]
        federation.publish()
        with pytest.raises(grpc.RpcError) as error:
            next(call)
        messages.put(b"")

    assert refused(error)[0] is grpc.StatusCode.PERMISSION_DENIED


def test_the_provider_refuses_loopback_by_its_own_configuration(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the consumer's gateway thinks of the agreement is not asked."""
    monkeypatch.setattr("gateway.worker.consumer_streams.refusal_of_terms", lambda *_, **__: None)

    with unshown(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"hello", timeout=10)

    info = refused(error)[1]
    assert (info.reason, info.metadata["side"]) == (Reason.LOOPBACK_NOT_ALLOWED, "provider")
    assert said(federation.anip)[-1].reason == Reason.LOOPBACK_NOT_ALLOWED
    assert federation.adapter.calls == []


def test_a_token_that_cannot_be_believed_is_refused_on_loopback_too(federation: Federation) -> None:
    """Whoever shows a credential is judged by it."""
    with unshown(federation) as channel, pytest.raises(grpc.RpcError) as error:
        calling(channel)(b"hello", timeout=10, metadata=(("authorization", "Bearer nonsense"),))

    assert refused(error)[1].reason == Reason.TOKEN_INVALID


def test_workers_share_the_port_of_a_route(federation: Federation) -> None:
    """As they share the programs' port: the worker that is there takes the calls, and nobody else may listen."""
    pns = federation.pns
    log = create_log(
        pns.directory.log(1),
        genesis_leaf(Genesis(1, pns.gateway, 1, SystemClock().now_ms(), "cd" * 16, None)),
    )
    listen = msgspec.structs.replace(pns.settings.listen, programs="127.0.0.1:0", road=("127.0.0.1:0",) * 2)
    settings = msgspec.structs.replace(pns.settings, workers=2, listen=listen, routes=(LOCAL,))
    ports = SharedPorts([HostPort("127.0.0.1", 0)] * 2, 2)
    ports.bind()
    share = Share.inherited([os.dup(one) for one in ports.descriptors], 2, 1)
    worker = Worker(settings, pns.directory, 1, share=share)
    started = federation.do(worker.start())
    running = asyncio.run_coroutine_threadsafe(worker.run(), federation._loop)
    pns.more_logs.append(RegisteredLog(log, 1, f"127.0.0.1:{started.road[1]}"))
    federation.agreements = [federation.agreement(allow_loopback=True)]
    federation.publish()
    federation.do(_reload(worker))

    with grpc.insecure_channel(f"127.0.0.1:{ports.ports[1]}") as channel:
        answer = calling(channel)(b"hello", timeout=10)
    refused_to = [_can_bind(ports.ports[1], shared=shared) for shared in (False, True)]
    federation.do(_stop(worker))
    running.result(10)
    bound = ports.ports
    ports.close()
    pns.more_logs.clear()

    assert answer == b"hello"
    assert [started.programs[1], started.routes["local"][1]] == bound
    assert refused_to == [False, False]
    assert said(federation.anip)[-1].to == log


async def _reload(worker: Worker) -> None:
    worker._load_configuration()


def _can_bind(number: int, *, shared: bool) -> bool:
    try:
        with socket.create_server(("127.0.0.1", number), reuse_port=shared):
            return True
    except OSError:
        return False


def test_a_route_that_drains_takes_no_more(tmp_path: Path) -> None:
    """Its port closes with the programs' port."""
    found = Federation(tmp_path / "country")
    found.pns.settings = msgspec.structs.replace(found.pns.settings, routes=(GUICHET,))
    with found:
        where = port(found, GUICHET)
        assert found.drain(found.pns) == 0

        until(lambda: _can_bind(where, shared=False))
